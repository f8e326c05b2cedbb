package explorer

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/explorer/access"
	"github.com/perdure/perdure/chain/explorer/live"
	"github.com/perdure/perdure/chain/hints"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/state/proof"
)

// Backend is the node behind the API.
type Backend interface {
	Params() *consensus.Params
	// Store is the node's state. It has no View before genesis.
	Store() *state.Store
	// Messages returns the encoded messages of a committed block, in order and
	// without the beacon's contribution; nil if the block is not kept.
	Messages(ctx context.Context, h chain.Height) ([][]byte, error)
	// Votes returns who voted on a committed block, as the next one brought it;
	// nil if that is not kept.
	Votes(ctx context.Context, h chain.Height) (*index.Commit, error)
	// Submit hands a message to the mempool; a *consensus.Refusal says why not.
	Submit(ctx context.Context, raw []byte) error
	// Prove returns the proof of a key's record in the state of a height, under
	// the header after it, for which it waits until ctx ends.
	Prove(ctx context.Context, k chain.Key, at chain.Height) (*proof.Bundle, error)
	// Synced reports whether the node follows the head of the chain.
	Synced() bool
	// Peers is the number of connected peers.
	Peers() int
}

// Hints says what miners claim of the payloads in their pieces; a hints.Table does.
type Hints interface {
	Of(root cid.Cid, limit int) []hints.Hint
}

// Hashes knows which hash the engine gave a block; a node does.
type Hashes interface {
	// Find is the height of the block with a hash.
	Find(hash []byte) (chain.Height, bool)
	// HashOf is the hash of a block; nil if the engine keeps it no more.
	HashOf(h chain.Height) []byte
}

// Config is what New needs; Backend is required.
type Config struct {
	Backend Backend
	Index   *index.Index // the API feeds it and closes it; nil: it is off

	Genesis *consensus.Params // parameters of genesis; nil: those of Backend
	Hints   Hints             // nil: none

	Hashes Hashes // of the engine; nil: none is known

	NodeID  string   // of the node's key, in hexadecimal
	Listen  []string // ID@host:port, by which peers dial the node
	Version string   // of the program

	Tokens  *access.Tokens // nil: there are none
	Proxies []netip.Prefix // whose word on who asks is believed

	Registry prometheus.Registerer // nil: no metrics
	Log      *slog.Logger          // nil: none
	Limits   Limits                // zero fields: DefaultLimits
	Live     live.Limits           // of streams; zero fields: live.DefaultLimits
}

// Limits bound what callers may ask for.
type Limits struct {
	PerSecond float64       // requests of one IP address, on the average
	Burst     int           // and at once
	Streams   int           // of one IP address at once
	Time      time.Duration // of one answer
	Page      int           // items of a list at most
	Rows      int           // of a list that is read as a whole, without a token that allows export
}

// DefaultLimits are generous for people and programs, not for floods.
func DefaultLimits() Limits {
	return Limits{PerSecond: 100, Burst: 400, Streams: 20, Time: 20 * time.Second, Page: 500, Rows: 100_000}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.PerSecond <= 0 {
		l.PerSecond = d.PerSecond
	}
	if l.Burst <= 0 {
		l.Burst = d.Burst
	}
	if l.Streams <= 0 {
		l.Streams = d.Streams
	}
	if l.Time <= 0 {
		l.Time = d.Time
	}
	if l.Page <= 0 {
		l.Page = d.Page
	}
	if l.Rows <= 0 {
		l.Rows = d.Rows
	}
	return l
}

// API is the explorer of one node.
type API struct {
	config  Config
	node    Backend
	params  *consensus.Params // for what never changes
	genesis *consensus.Params
	ranks   ranks
	newest  atomic.Pointer[head]
	lastTag atomic.Pointer[tag]
	index   *index.Index
	log     *slog.Logger
	limits  Limits
	callers *access.Callers
	recent  answers
	turns   turns
	over    daysOver
	epoch   string // of this process, in tags
	metrics *metrics
	live    *live.Hub
	handler http.Handler
	calls   *http.ServeMux // of Call
}

// New makes the handlers. The API answers at once; what needs the index
// answers 503 until Run has built it.
func New(c Config) (*API, error) {
	a := &API{config: c, node: c.Backend, index: c.Index, params: c.Backend.Params(), log: c.Log, limits: c.Limits.orDefault()}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.genesis = c.Genesis; a.genesis == nil {
		a.genesis = a.params
	}
	a.callers = access.NewCallers(access.Limits{PerSecond: a.limits.PerSecond, Burst: a.limits.Burst, Streams: a.limits.Streams}, c.Proxies)
	a.turns = newTurns()
	a.epoch = rand.Text()
	a.metrics = newMetrics()
	if c.Registry != nil {
		if err := a.metrics.register(c.Registry, a); err != nil {
			return nil, err
		}
	}
	if err := a.openStreams(); err != nil {
		return nil, err
	}
	a.handler = a.beside(a.wrap(a.mux()))
	a.calls = a.callMux()
	return a, nil
}

// Handler serves the API. It may be mounted at /.
func (a *API) Handler() http.Handler { return a.handler }

// Index is the index that the API asks.
func (a *API) Index() *index.Index { return a.index }

// Run keeps the index at the chain's head until ctx ends.
func (a *API) Run(ctx context.Context) error {
	return a.index.Run(ctx, index.Source{Store: a.node.Store(), Messages: a.node.Messages, Votes: a.node.Votes})
}

// Close ends the streams and closes the index. Requests that come later are
// answered with 503.
func (a *API) Close() error {
	a.live.Close()
	return a.index.Close()
}
