package buyer

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/ledger"
)

// Dialer opens a stream of the retrieval protocol to a peer; a p2p.Host does.
type Dialer interface {
	Open(ctx context.Context, peer chain.Peer) (io.ReadWriteCloser, error)
}

// Channels is what a buyer asks of the chain about its own channels. Open and
// TopUp return when the message has landed.
type Channels interface {
	// Height is the newest height known.
	Height(ctx context.Context) (chain.Height, error)
	// Find returns the buyer's channels that pay the payee.
	Find(ctx context.Context, payee chain.Address) ([]chain.Channel, error)
	// Open opens a channel that holds amount attoPDR.
	Open(ctx context.Context, payee chain.Address, amount chain.Amount) (*chain.Channel, error)
	// TopUp adds amount attoPDR to a channel and returns its new record.
	TopUp(ctx context.Context, id uint64, amount chain.Amount) (*chain.Channel, error)
}

// Signer signs vouchers with the key of the channels' payer.
type Signer interface {
	SignVoucher(ctx context.Context, v *chain.Voucher) (chain.Signature, error)
}

// Sink takes the blocks that were checked, in the order in which they come.
// data is valid until Put returns.
type Sink interface {
	Put(ctx context.Context, c cid.Cid, data []byte) error
}

// SinkFunc is a function as a Sink.
type SinkFunc func(ctx context.Context, c cid.Cid, data []byte) error

// Put calls the function.
func (f SinkFunc) Put(ctx context.Context, c cid.Cid, data []byte) error { return f(ctx, c, data) }

// Config is what a Buyer is made of. Zero values take the defaults. A buyer
// without Channels, Signer and Ledger gets only what costs nothing.
type Config struct {
	ChainID  string
	Dialer   Dialer
	Channels Channels
	Signer   Signer
	Ledger   *ledger.Ledger
	Witness  Witness // signs receipts for sellers that want them; nil: none

	// VoucherLife is how many blocks a voucher lives, at least what the offer
	// asks for; default 2,000. An offer that asks for more than MaxLife,
	// default 100,000, is refused.
	VoucherLife, MaxLife uint64
	// StallTimeout is how long a seller may be silent, default 20 s.
	StallTimeout time.Duration
	// MinRate is the least block bytes per second, measured after SlowGrace
	// (default 10 s) of waiting for a seller; a slower one is dropped if there
	// is another. 0: no bound.
	MinRate   uint64
	SlowGrace time.Duration
	// RememberFor is how long a dropped seller is not asked again, default ten
	// minutes.
	RememberFor time.Duration
	// UnsealTimeout is how long a seller may take to unseal a piece while the session
	// waits, default ten minutes. One that says it needs longer is left; paid for or
	// not, its piece may be there when it is asked again.
	UnsealTimeout time.Duration
	// Retries is how often a seller whose connection broke is tried again
	// without progress, default 2; RetryDelay the wait before, default 200 ms,
	// doubled each time.
	Retries    int
	RetryDelay time.Duration
	// LeaveTimeout is how long the end of a Transfer waits for sellers to send
	// what was called off too late and to take leave, default 3 s.
	LeaveTimeout time.Duration
}

func (c *Config) setDefaults() {
	for _, d := range []struct {
		v       *time.Duration
		initial time.Duration
	}{{&c.StallTimeout, 20 * time.Second}, {&c.SlowGrace, 10 * time.Second}, {&c.RememberFor, 10 * time.Minute}, {&c.RetryDelay, 200 * time.Millisecond}, {&c.LeaveTimeout, 3 * time.Second}, {&c.UnsealTimeout, 10 * time.Minute}} {
		if *d.v == 0 {
			*d.v = d.initial
		}
	}
	if c.VoucherLife == 0 {
		c.VoucherLife = 2_000
	}
	if c.MaxLife == 0 {
		c.MaxLife = 100_000
	}
	if c.Retries == 0 {
		c.Retries = 2
	}
}

// Buyer fetches. It may be used by many goroutines; it has none of its own
// beyond its calls.
type Buyer struct {
	cfg     Config
	opening chan struct{} // held while a channel is looked for, opened or topped up

	mu      sync.Mutex
	dropped map[string]time.Time // by binary peer ID: not asked again until then
}

// New makes a buyer.
func New(cfg Config) (*Buyer, error) {
	cfg.setDefaults()
	if cfg.ChainID == "" || cfg.Dialer == nil {
		return nil, errors.New("make buyer: needs a chain ID and a dialer")
	}
	return &Buyer{cfg: cfg, opening: make(chan struct{}, 1), dropped: map[string]time.Time{}}, nil
}

// maxDropped bounds the memory of dropped sellers.
const maxDropped = 4096

// drop remembers that a seller is not to be asked again for a while.
func (b *Buyer) drop(peer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if len(b.dropped) >= maxDropped {
		for p, until := range b.dropped {
			if now.After(until) {
				delete(b.dropped, p)
			}
		}
	}
	if len(b.dropped) < maxDropped {
		b.dropped[peer] = now.Add(b.cfg.RememberFor)
	}
}

// Blame remembers the sellers that a fetch took blocks from as ones that lied:
// what they sent was right block by block and yet not what was asked for.
func (b *Buyer) Blame(s Stats) {
	for i := range s.Sellers {
		if s.Sellers[i].Chunks > 0 {
			b.drop(s.Sellers[i].Peer)
		}
	}
}

// Dropped reports whether the seller with this binary peer ID is remembered as
// one that lied, stalled or was too slow.
func (b *Buyer) Dropped(peer string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	until, ok := b.dropped[peer]
	return ok && time.Now().Before(until)
}

// SellerStats is what one seller had to do with a fetch.
type SellerStats struct {
	Peer      string // binary ID
	Price     chain.Amount
	Chunks    uint64
	Bytes     uint64       // of blocks
	Paid      uint64       // chunks
	Spent     chain.Amount // attoPDR revealed to it in ticks
	Unsealing chain.Amount // of Spent: for unsealing
	Dropped   bool
	Lied      bool   // it was dropped for what it sent, or for breaking the protocol
	Err       string // why it was left, if it was
}

// Stats is how a fetch went so far.
type Stats struct {
	Blocks  uint64
	Bytes   uint64 // of blocks, checked and handed on
	Chunks  uint64
	Paid    uint64       // chunks paid
	Spent   chain.Amount // attoPDR revealed in ticks
	Sellers []SellerStats
}

var (
	// ErrFault is wrapped by errors that blame the seller: it lied, broke the
	// protocol, stalled or was too slow.
	ErrFault = errors.New("seller at fault")
	// ErrBudget is wrapped when what is left to fetch costs more than allowed.
	ErrBudget = errors.New("over the budget")
	// ErrNoSeller is wrapped when no seller that may be asked has the next block.
	ErrNoSeller = errors.New("no seller has it")

	errAbsent = errors.New("the seller does not hold the next block")
)

// ownError marks an error of this side: asking another seller would not help.
type ownError struct{ err error }

func (e ownError) Error() string { return e.err.Error() }
func (e ownError) Unwrap() error { return e.err }

// payError marks an error about a channel or a voucher of this side: trying the
// same seller again would not help.
type payError struct{ err error }

func (e payError) Error() string { return e.err.Error() }
func (e payError) Unwrap() error { return e.err }

// debtError marks a seller's word that it lends nothing more on a channel which
// was in use before: sessions that broke off left chunks unpaid.
type debtError struct{ err error }

func (e debtError) Error() string { return e.err.Error() }
func (e debtError) Unwrap() error { return e.err }

// blames reports whether a seller's own wire error is to its discredit: it
// claims that a correct message is none.
func blames(code retrieval.Code) bool {
	return code == retrieval.CodeMalformed
}
