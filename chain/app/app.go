package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/mempool"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/state/snapshot"
	"github.com/perdure/perdure/internal/cores"
)

// Config is what New needs. Store and Params are required.
type Config struct {
	Store  *state.Store
	Params *consensus.Params

	// ConsensusKey is this validator's ed25519 public key and BeaconSecret its
	// BLS secret; both empty for a node that does not vote.
	ConsensusKey []byte
	BeaconSecret []byte

	// Snapshots are offered to peers; nil: none.
	Snapshots *snapshot.Archive
	// Retain, if set, says after a commit which block is the oldest that must stay.
	Retain func(tip chain.Height) chain.Height
	Log    *slog.Logger // nil: none

	Mempool mempool.Limits     // zero: mempool.DefaultLimits
	Workers int                // goroutines that verify; 0: as many as cores
	Verify  consensus.Verifier // nil: consensus.Direct

	// Gate, if set, is waited for before a block of a height is proposed; its
	// error means that no block is.
	Gate func(context.Context, chain.Height) error
}

// App is the CometBFT application. All its methods may be called from many
// goroutines, as far as ABCI allows for.
type App struct {
	abci.BaseApplication
	store  *state.Store
	params *consensus.Params
	key    []byte
	secret []byte
	gate   func(context.Context, chain.Height) error
	memo   *memo
	log    *slog.Logger

	snapshots *snapshot.Archive
	retain    func(chain.Height) chain.Height
	receiving receiving

	slots      chan struct{} // bounds the signatures that are checked at once outside of blocks
	proofSlots chan struct{} // the same of proofs
	strikes    strikes

	mu       sync.Mutex
	pool     *mempool.Pool
	admitted recent

	rehearsals rehearsals
	finalized  *consensus.Update // staged by FinalizeBlock, for Commit

	failed   chan error // the first error after which the node must stop
	counters counters
}

var _ abci.Application = (*App)(nil)

// New returns the application over an open store.
func New(c Config) *App {
	if c.Mempool == (mempool.Limits{}) {
		c.Mempool = mempool.DefaultLimits()
	}
	if c.Workers <= 0 {
		c.Workers = cores.Count()
	}
	if c.Verify == nil {
		c.Verify = consensus.Direct{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &App{
		log: c.Log, snapshots: c.Snapshots, retain: c.Retain,
		store: c.Store, params: c.Params, key: c.ConsensusKey, secret: c.BeaconSecret, gate: c.Gate,
		memo: newMemo(c.Verify, c.Workers), slots: make(chan struct{}, c.Workers),
		proofSlots: make(chan struct{}, max(1, c.Workers/2)),
		pool:       mempool.New(c.Mempool), failed: make(chan error, 1),
	}
}

// recent remembers the newest hashes it was given, at least recentSize of them.
type recent struct{ now, old map[chain.Hash]bool }

const recentSize = 1 << 15

func (r *recent) add(h chain.Hash) {
	if len(r.now) >= recentSize || r.now == nil {
		r.now, r.old = map[chain.Hash]bool{}, r.now
	}
	r.now[h] = true
}

func (r *recent) has(h chain.Hash) bool { return r.now[h] || r.old[h] }

// Failed gives the error after which the node must stop: a broken disk, or
// money that does not add up.
func (a *App) Failed() <-chan error { return a.failed }

func (a *App) fail(err error) error {
	select {
	case a.failed <- err:
	default:
	}
	return err
}

// Store returns the state that the application writes.
func (a *App) Store() *state.Store { return a.store }

// Info implements abci.Application: where the state stands.
func (a *App) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	r := &abci.ResponseInfo{Data: "perdure", AppVersion: consensus.RuleVersion}
	if v := a.store.View(); v != nil && v.Height() > 0 {
		r.LastBlockHeight, r.LastBlockAppHash = int64(v.Height()), v.AppHash()
	}
	return r, nil
}

// InitChain implements abci.Application: the state of height 0 from genesis.
func (a *App) InitChain(_ context.Context, req *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	g, err := consensus.ParseGenesis(req.AppStateBytes)
	if err != nil {
		return nil, a.fail(err)
	}
	if g.Params.ChainID != req.ChainId || g.Params.ChainID != a.params.ChainID {
		return nil, a.fail(fmt.Errorf("genesis of chain %q for chain %q, node of %q", g.Params.ChainID, req.ChainId, a.params.ChainID))
	}
	if req.InitialHeight != 1 {
		return nil, a.fail(fmt.Errorf("genesis: initial height %d, want 1", req.InitialHeight))
	}
	update, err := consensus.GenesisUpdate(g)
	if err != nil {
		return nil, a.fail(err)
	}
	hash, err := a.store.Genesis(update)
	if err != nil {
		return nil, a.fail(err)
	}
	voters, err := consensus.Voters(a.store.View(), 1)
	if err != nil {
		return nil, a.fail(err)
	}
	return &abci.ResponseInitChain{AppHash: hash, Validators: validatorUpdates(nil, voters)}, nil
}

// ErrNotReady is returned before genesis is loaded.
var ErrNotReady = errors.New("node has no state yet")

// tip returns the newest committed state.
func (a *App) tip() (*state.View, error) {
	v := a.store.View()
	if v == nil {
		return nil, ErrNotReady
	}
	return v, nil
}

// over returns the newest committed state if the block of a height comes next.
func (a *App) over(height int64) (*state.View, error) {
	v, err := a.tip()
	if err != nil {
		return nil, err
	}
	if height < 1 || uint64(v.Height())+1 != uint64(height) {
		return nil, fmt.Errorf("block of height %d over a state of height %d", height, v.Height())
	}
	return v, nil
}
