package miner

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Chain is what a miner reads from the chain.
type Chain interface {
	Params(ctx context.Context) (*consensus.Params, error)
	Global(ctx context.Context) (*chain.Global, error)
	// Record reads the newest record of a key and reports whether there is one.
	Record(ctx context.Context, k chain.Key, into chain.CBOR) (bool, error)
	// Follow calls each with every Update from a height on, without gap, until
	// ctx ends or each fails.
	Follow(ctx context.Context, from chain.Height, each func(*consensus.Update) error) error
}

// Sender sends messages as the miner's worker.
type Sender interface {
	// Send waits for the message's block; what the rules refused is an error.
	Send(ctx context.Context, body chain.Body) (*consensus.Receipt, error)
}

// Fetcher gets the piece of a deal from its client.
type Fetcher interface {
	// Fetch writes the piece's bytes, a CAR, to the file at path and makes it
	// durable. ErrNoClient means that the client is not connected now.
	Fetch(ctx context.Context, d *chain.Deal, path string) error
}

// Buyer gets the piece of a deal from the miners that hold other copies of it.
type Buyer interface {
	// Buy writes the bytes of the deal's piece, a CAR, to the file at path and
	// makes it durable. It asks the peers, cheapest first, and pays at most most
	// attoPDR for all of it. A purchase comes with an error, too.
	Buy(ctx context.Context, d *chain.Deal, peers []chain.Peer, most chain.Amount, path string) (Purchase, error)
}

// Purchase is what came of buying a piece.
type Purchase struct {
	Spent chain.Amount // attoPDR
	Blame func()       // says that what came is not the piece: whoever sold it is not asked for a while
}

// Records is the miner's own memory. Writes are durable when they return.
type Records interface {
	Tip() (chain.Height, error)
	SetTip(chain.Height) error
	// NewSector stores a sector under the next free number and gives it that
	// number, together with the deals that are packed into it.
	NewSector(s *Sector, deals []*Deal) error
	Sector(number uint64) (*Sector, error)
	// UpdateSector changes a stored sector in one step; an error of change
	// leaves it as it was and is returned.
	UpdateSector(number uint64, change func(*Sector) error) error
	Sectors() ([]*Sector, error)
	PutDeal(*Deal) error
	Deals() ([]*Deal, error)
	// Deal returns a deal, or ErrNoRecord.
	Deal(id uint64) (*Deal, error)
	// DealsIn returns the deals in a state by ID, without those whose piece was
	// Swept away.
	DealsIn(state DealState) ([]*Deal, error)
	// DealsOfPiece returns the deals over a piece by ID.
	DealsOfPiece(piece cid.Cid) ([]*Deal, error)
	// Changes counts the changes of deals and contents since the records were opened.
	// While it stays, nothing that was read of them has changed.
	Changes() uint64
	// SetContents notes the roots of the payloads that a piece holds, if they are
	// several, in place of those noted before.
	SetContents(piece cid.Cid, roots []cid.Cid) error
	// DropSector and DropDeal remove a record. Numbers are not given again.
	DropSector(number uint64) error
	DropDeal(id uint64) error
}

// Errors of the ports.
var (
	ErrNoClient = errors.New("the client is not connected")
	ErrNoSeller = errors.New("no other miner holds a copy now")
	ErrNoRecord = errors.New("no such record")
)
