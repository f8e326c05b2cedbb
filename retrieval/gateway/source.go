package gateway

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// ErrNotFound is returned by a Source for a block that it does not hold, or does
// not give out for nothing.
var ErrNotFound = errors.New("not held here")

// Source is what a gateway serves. It may be used by many goroutines.
type Source interface {
	// Ready returns nil once everything that is held can be found.
	Ready() error
	// Status says how things stand with a CID that begins a path, or with a piece.
	Status(ctx context.Context, root cid.Cid) (Status, error)
	// Block returns a block that is free to everybody, or ErrNotFound. It is
	// found by its hash alone: the CID's version and codec do not matter.
	Block(ctx context.Context, c cid.Cid) ([]byte, error)
	// BlockSize returns the length of such a block without reading it.
	BlockSize(ctx context.Context, c cid.Cid) (int, error)
	// Piece opens a piece by its CID of version 1. Whether it is free, Status says.
	Piece(ctx context.Context, c cid.Cid) (Piece, error)
	// Providers are the peers that are known to hold a payload.
	Providers(ctx context.Context, root cid.Cid) ([]Provider, error)
}

// State is how a gateway stands to what a request asks for.
type State int

// The states. Unknown things are not held here.
const (
	Unknown State = iota
	Free
	Priced
	Ended   // was held under a deal that is over
	Waiting // is held, and cannot be given out yet
)

// Status is a State with what belongs to it.
type Status struct {
	State State
	Terms Terms         // of Priced
	Retry time.Duration // of Waiting: when to ask again
}

// Terms say what something costs and where it is sold.
type Terms struct {
	ChainID string       `json:"chainId,omitempty"`
	Price   chain.Amount `json:"price"`           // attoPDR a chunk of up to 256 KiB
	Payee   string       `json:"payee,omitempty"` // address on chain
	// Unseal is attoPDR that are due before, since the piece has to be unsealed; nil: it
	// is at hand.
	Unseal *chain.Amount `json:"unsealPrice,omitempty"`
	// Peer are the multiaddrs of who sells it, each with its peer ID.
	Peer []string `json:"peer,omitempty"`
}

// Piece is the bytes of a piece without the zeros behind them. It is closed by
// who opened it.
type Piece interface {
	io.ReadSeeker
	io.Closer
}

// Provider is a peer that holds something.
type Provider struct {
	// Addrs are its multiaddrs, each with its peer ID: at least "/p2p/ID".
	Addrs []string
	// Protocols are names of the multicodec table, such as "transport-bitswap".
	Protocols []string
}
