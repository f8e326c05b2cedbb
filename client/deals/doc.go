// Package deals is the market side of a client: it prices content against the
// live order book, places one bid a piece, follows what becomes of them, dials
// the miners that matched and serves them the archives.
//
// A bid is never paid twice. Its signed message is on disk before a node sees
// it, and is sent again only as it is. Whether it landed is read from the
// chain: its receipt, else the orders and deals made since it was signed. Only
// if its nonce was used by another message, so that it never can land, is a new
// one signed.
//
// No client address goes on chain: the client makes the connection, the miner
// fetches over it with the retrieval protocol, at price zero, authorised by the
// deal and both peer IDs.
package deals

import (
	"context"
	"log/slog"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client/files"
)

// Chain is what a client reads from the chain; chain/rpc's Client does it.
type Chain interface {
	wallet.Node
	// Record reads the newest record of a key and reports whether there is one.
	Record(ctx context.Context, k chain.Key, into chain.CBOR) (bool, error)
	// Follow calls each with every Update from a height on, without gap, until
	// ctx ends or each fails. Updates no longer kept are a *rpc.PrunedError.
	Follow(ctx context.Context, from chain.Height, each func(*consensus.Update) error) error
}

// Sender signs and sends as the client; a wallet.Sender does it.
type Sender interface {
	Address() chain.Address
	// PostKept submits a message that keep makes durable before it is sent.
	PostKept(ctx context.Context, body chain.Body, keep func(raw []byte, nonce uint64) error) (chain.Hash, error)
	// Send submits a message and waits for its block.
	Send(ctx context.Context, body chain.Body) (*wallet.Inclusion, error)
	// Sign signs bytes other than a message.
	Sign(message []byte) (chain.Signature, error)
}

// Host makes connections to miners; a p2p.Host does it.
type Host interface {
	// ID is the client's peer ID in binary form.
	ID() string
	Connect(ctx context.Context, p chain.Peer) error
	Connected(id string) bool
}

// Config is what a Market is made of.
type Config struct {
	Chain   Chain
	Sender  Sender
	Host    Host
	Records *files.Records
	Log     *slog.Logger // nil: none
	Event   func(Event)  // hears of what happens to bids and deals; must not wait
}

// Stage is how far one copy of a piece, or its bid, is.
type Stage string

// The stages, in their order.
const (
	StagePlaced   Stage = "placed"   // the bid landed: Order
	StageMatched  Stage = "matched"  // Deal, Miner, Amount: its price
	StageServed   Stage = "served"   // the miner has fetched the piece
	StageAccepted Stage = "accepted" // and says so on chain
	StageActive   Stage = "active"   // sealed and proven
	StageVoid     Stage = "void"     // the copy will never be: Reason
)

// Event is one step of one copy.
type Event struct {
	Stage  Stage        `json:"stage"`
	Object uint64       `json:"object"` // files.Object.Number
	Part   uint64       `json:"part"`
	Order  uint64       `json:"order,omitempty"`
	Deal   uint64       `json:"deal,omitempty"`
	Miner  uint64       `json:"miner,omitempty"`
	Height chain.Height `json:"height,omitempty"`
	Amount chain.Amount `json:"amount"` // attoPDR
	Reason string       `json:"reason,omitempty"`
}

// Market works on the bids and deals of one home.
type Market struct {
	cfg Config
	log *slog.Logger
}

// New makes a market.
func New(cfg Config) *Market {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Event == nil {
		cfg.Event = func(Event) {}
	}
	return &Market{cfg, cfg.Log.With("part", "deals")}
}
