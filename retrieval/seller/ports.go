package seller

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/ledger"
)

// ErrNotFound is returned by a Source that does not hold the piece.
var ErrNotFound = errors.New("piece not held here")

// ErrUnavailable is wrapped by a Source that holds a piece but cannot give it
// out now.
var ErrUnavailable = errors.New("piece not to be had now")

// Archive is the bytes of an archive.
type Archive interface {
	io.ReaderAt
	io.Closer
}

// Dormant is an Archive that has to be unsealed before it can be read.
type Dormant interface {
	Archive
	// Cost is attoPDR that unsealing it costs; zero: nothing, or it is paid for.
	Cost() chain.Amount
	// Wake has it unsealed, whatever becomes of this process: it is durable when it
	// returns.
	Wake(ctx context.Context) error
	// Left is about how long that will take from now; 0: nobody knows.
	Left() time.Duration
	// Await waits until it can be read.
	Await(ctx context.Context) error
}

// Content is what a session is about: a piece, or one payload in it.
type Content struct {
	Piece   cid.Cid
	Segment cid.Cid // root of a payload in a piece that holds several; undefined: the whole piece
}

// Source is where the pieces are.
type Source interface {
	// Find returns the piece that holds a part of a payload, or ErrNotFound.
	Find(ctx context.Context, root cid.Cid, part uint64) (Content, error)
	// Open opens the archive of a piece, or of a payload in it, or returns
	// ErrNotFound or ErrUnavailable. The index may be shared; the archive, in
	// which its offsets are, is closed by the caller; it may be Dormant.
	Open(ctx context.Context, c Content) (*car.Index, Archive, error)
}

// Chain is what a seller asks of the chain. Both answers come from the newest
// block known, without waiting.
type Chain interface {
	// Channel returns the record of a channel, nil if there is none.
	Channel(ctx context.Context, id uint64) (*chain.Channel, error)
	// Height is the newest height.
	Height(ctx context.Context) (chain.Height, error)
}

// Grants says who may fetch for nothing.
type Grants interface {
	// Granted returns nil if the deal entitles the peer (its ID in binary form,
	// authenticated) to the piece. Any other answer is shown to the peer as a
	// refusal.
	Granted(ctx context.Context, peer string, deal uint64, piece cid.Cid) error
}

// Config is what a Seller is made of. Zero values take the defaults.
type Config struct {
	ChainID string
	Source  Source
	Chain   Chain          // needed where there is a price
	Ledger  *ledger.Ledger // needed where there is a price
	Grants  Grants         // nil: no deal entitles anybody
	Prices  Prices         // nil: nothing is served without a deal
	// Miner is who the seller is on chain: buyers' receipts for it are checked and
	// kept in the Ledger. 0: none are wanted. It needs Chain and Ledger.
	Miner chain.MinerID

	// SettleDelay is the chain's, in blocks. A voucher must outlive it by
	// Margin (default: a quarter of the delay, at least 10 blocks).
	SettleDelay, Margin uint64
	// Credit is the most chunks that a channel may have unpaid, 1 to
	// retrieval.MaxCredit, which is the default.
	Credit uint64
	// MaxSessions and MaxPeerSessions bound the sessions at one time, default
	// 64 and 8.
	MaxSessions, MaxPeerSessions int
	// BytesPerSecond bounds what all sessions together send; the peers that are
	// served share it equally, however many sessions each has. PeerBytesPerSecond
	// bounds what one peer gets. 0: no bound.
	BytesPerSecond, PeerBytesPerSecond int
	// IdleTimeout ends a session whose buyer is silent or takes nothing,
	// default 60 s; PayTimeout one that owes a payment, default 30 s.
	IdleTimeout, PayTimeout time.Duration
	// Patience is how long a voucher waits for the channel that covers it, which
	// the payer may have seen on chain earlier, default 3 s.
	Patience time.Duration
	// FreePeriod is how long a peer's FreeChunks last, default one hour; FreeTotal
	// is how many chunks all peers together get for nothing in it, since a peer ID
	// costs nothing. 0: no bound.
	FreePeriod time.Duration
	FreeTotal  uint64
	// Ended is told about every session that got as far as an offer; it must
	// not wait. A Redeemer's Nudge fits.
	Ended func(Report)
	// Log gets one line a session; nil: none.
	Log *slog.Logger
}

// Report is how a session went.
type Report struct {
	Session uint64
	Peer    string
	Piece   cid.Cid
	Deal    uint64
	Channel uint64       // 0: no voucher came
	Chunks  uint64       // sent
	Bytes   uint64       // of blocks, sent
	Paid    uint64       // chunks paid
	Earned  chain.Amount // attoPDR
	Unseal  uint64       // of Paid: ticks for unsealing
	Signed  uint64       // bytes that the buyer's receipt says came; 0: there is none
	Err     error        // nil: ended in peace
}

// Stats are sums over all sessions so far.
type Stats struct {
	Active   int
	Sessions uint64
	Refused  uint64 // before an offer
	Chunks   uint64
	Bytes    uint64
	Paid     uint64
	Earned   chain.Amount
	Unpaid   uint64 // chunks that were due and never paid
}

func (c *Config) setDefaults() {
	if c.Margin == 0 {
		c.Margin = max(c.SettleDelay/4, 10)
	}
	if c.Credit == 0 || c.Credit > retrieval.MaxCredit {
		c.Credit = retrieval.MaxCredit
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = 64
	}
	if c.MaxPeerSessions == 0 {
		c.MaxPeerSessions = 8
	}
	for _, d := range []struct {
		v       *time.Duration
		initial time.Duration
	}{{&c.IdleTimeout, time.Minute}, {&c.PayTimeout, 30 * time.Second}, {&c.Patience, 3 * time.Second}, {&c.FreePeriod, time.Hour}} {
		if *d.v == 0 {
			*d.v = d.initial
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}
