package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	cmtconfig "github.com/cometbft/cometbft/config"
	cmtnode "github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/proxy"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/app"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/hints"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/mempool"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/state/snapshot"
)

// Options is what New needs; only Home is required.
type Options struct {
	Home   string
	Config *Config      // nil: the home's config.toml
	Log    *slog.Logger // nil: none
	Pace   Pace         // zero: what the network's block time asks for
	Sync   *Sync        // nil: a node without blocks fetches them all

	// Patience is how long the node waits for a peer that has the blocks it
	// lacks before it stops with a BehindError; 0: half a minute.
	Patience time.Duration

	// Gate, if set, is waited for before this node proposes a block.
	Gate func(context.Context, chain.Height) error
	// Mount makes the handler of all paths that the node itself does not serve;
	// nil: the explorer's. It is called once, by New.
	Mount func(*Node) (http.Handler, error)
}

// Node is a running chain node.
type Node struct {
	home     string
	config   Config
	params   *consensus.Params
	identity *Identity
	log      *slog.Logger

	store     *state.Store
	snapshots *snapshot.Archive
	index     *index.Index // nil if another handler than the explorer's is mounted
	keeper    *keeper
	patience  time.Duration
	peers     peerBlocks
	databases map[string]*engineDB
	app       *app.App
	comet     *cmtnode.Node
	door      *door    // closed to peers until comet has started
	votes     sm.Store // CometBFT's state: the validators of each height
	registry  *prometheus.Registry
	listener  net.Listener
	server    *http.Server
	explorer  *explorer.API   // nil if another handler is mounted
	hints     *hints.Follower // nil: off

	failed   chan error      // the engine stopped by itself
	life     context.Context // ends when the node closes
	end      context.CancelFunc
	serving  sync.WaitGroup
	closing  sync.Once
	closeErr error
}

// New opens a node: state, CometBFT with what is to be replayed, and the API's
// listener. Nothing answers before Run.
func New(o Options) (n *Node, err error) {
	n = &Node{home: o.Home, log: o.Log, registry: prometheus.NewRegistry(), failed: make(chan error, 1),
		databases: map[string]*engineDB{}, patience: cmp.Or(o.Patience, patience)}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	n.life, n.end = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open node %s: %w", o.Home, err), n.Close())
			n = nil
		}
	}()
	if o.Config == nil {
		c, err := LoadConfig(o.Home)
		if err != nil {
			return n, err
		}
		o.Config = &c
	}
	n.config = *o.Config
	if err := n.config.validate(); err != nil {
		return n, err
	}
	doc, genesis, err := LoadGenesis(o.Home)
	if err != nil {
		return n, err
	}
	n.params = &genesis.Params
	keys, err := loadKeys(o.Home)
	if err != nil {
		return n, err
	}
	if n.identity, err = LoadIdentity(o.Home); err != nil {
		return n, err
	}
	if err := n.openStores(); err != nil {
		return n, err
	}
	n.app = app.New(app.Config{Store: n.store, Params: n.params, ConsensusKey: n.identity.ConsensusKey,
		BeaconSecret: keys.beacon, Mempool: n.config.limits(), Gate: n.gated(o.Gate),
		Snapshots: n.snapshots, Retain: n.keeper.retain, Log: n.log.With("part", "app")})
	if err := n.openEngine(o, doc, keys); err != nil {
		return n, err
	}
	if o.Mount == nil {
		o.Mount = explore
	}
	return n, n.openAPI(o.Mount)
}

// openStores opens the state and the snapshots, and reads what is to be kept of them.
func (n *Node) openStores() (err error) {
	if n.store, err = state.Open(state.Config{Dir: stateDir(n.home), Params: n.params}); err != nil {
		return err
	}
	if n.snapshots, err = snapshot.Open(snapshotDir(n.home)); err != nil {
		return err
	}
	if n.keeper, err = newKeeper(n); err != nil {
		return err
	}
	n.store.Keep(n.keeper.state.limit.Load())
	return nil
}

// gated makes a gate that lets nobody wait longer than the node lives.
func (n *Node) gated(gate func(context.Context, chain.Height) error) func(context.Context, chain.Height) error {
	if gate == nil {
		return nil
	}
	return func(_ context.Context, h chain.Height) error { return gate(n.life, h) }
}

// limits are the mempool's bounds: the defaults where the config has none.
func (c *Config) limits() mempool.Limits {
	l := mempool.DefaultLimits()
	for _, f := range []struct {
		to   *uint64
		from uint64
	}{{&l.Bytes, c.Mempool.Bytes}, {&l.Count, c.Mempool.Count}, {&l.PerSender, c.Mempool.PerSender}} {
		if f.from != 0 {
			*f.to = f.from
		}
	}
	return l
}

// openEngine makes CometBFT's node, which brings the application to the height
// of its own blocks.
func (n *Node) openEngine(o Options, doc *types.GenesisDoc, k *keys) error {
	for _, address := range []*string{&n.config.P2P, &n.config.RPC} {
		picked, err := pickPort(*address)
		if err != nil {
			return err
		}
		*address = picked
	}
	logger := engineLog{n.log.With("part", "engine"), engineLevels[n.config.EngineLog], n}
	config := engineConfig(o.Home, &n.config, n.params, o.Pace)
	if o.Sync != nil {
		p := n.params
		if n.store.View() == nil {
			var err error
			if p, err = o.Sync.inForce(n.life, n.params); err != nil {
				n.log.Warn("the trust period is that of genesis: whether voters changed it is not known", "error", err)
			}
		}
		if err := o.Sync.configure(config, p); err != nil {
			return err
		}
	}
	if err := config.ValidateBasic(); err != nil {
		return fmt.Errorf("engine config: %w", err)
	}
	comet, err := cmtnode.NewNode(config, k.sign, k.node, proxy.NewConnSyncLocalClientCreator(n.app),
		func() (*types.GenesisDoc, error) { return doc, nil }, n.openHalf(o.Sync != nil),
		cmtnode.DefaultMetricsProvider(config.Instrumentation), logger)
	if err != nil {
		return fmt.Errorf("open engine: %w", err)
	}
	n.comet, n.door = comet, newDoor(n.life)
	comet.Switch().AddReactor("DOOR", n.door)
	n.votes = sm.NewStore(n.databases["state"], sm.StoreOptions{})
	return nil
}

// engineStopped notes that consensus cannot go on and reports whether that is
// worth a line: a gate that ends with the node ends consensus, too.
func (n *Node) engineStopped(why string) bool {
	n.stop(fmt.Errorf("engine: %s", why))
	return n.life.Err() == nil
}

// openDB opens a database of CometBFT's and remembers it: the engine does not
// close all of them.
func (n *Node) openDB(c *cmtconfig.DBContext) (dbm.DB, error) {
	db, err := cmtconfig.DefaultDBProvider(c)
	if err != nil {
		return nil, err
	}
	n.databases[c.ID] = &engineDB{DB: db}
	return n.databases[c.ID], nil
}

// openHalf is openDB that looks at the two databases that must agree, with
// each other and with the state, once both are open.
func (n *Node) openHalf(syncs bool) cmtconfig.DBProvider {
	return func(c *cmtconfig.DBContext) (dbm.DB, error) {
		db, err := n.openDB(c)
		if err != nil || c.ID != "state" {
			return db, err
		}
		blocks := n.databases["blockstore"]
		return db, errors.Join(mendSync(blocks, db), n.checkHalves(blocks, syncs))
	}
}

// pickPort replaces port 0 by a free one.
func pickPort(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if address == "" || err == nil && port != "0" {
		return address, nil
	}
	if err != nil {
		return "", fmt.Errorf("address %q: %w", address, err)
	}
	l, err := ListenSpare(host)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Ports below those that systems give to connections going out.
const (
	firstPort = 16384
	endPort   = 32768
	portTries = 100
)

// ListenSpare listens on a port for somebody who opens it later. It is picked
// by chance among those that no connection going out takes in between.
func ListenSpare(host string) (l net.Listener, err error) {
	for range portTries {
		if l, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(firstPort+rand.IntN(endPort-firstPort)))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("pick a port of %s: %w", host, err)
}

// Run starts the node and waits until ctx ends or the node cannot go on; then
// it stops it, without closing it. The end of ctx is no error.
func (n *Node) Run(ctx context.Context) error {
	n.serving.Go(func() {
		if err := n.server.Serve(n.listener); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("API stopped", "error", err)
		}
	})
	n.runExplorer()
	n.serving.Go(func() { n.keeper.run(n.life) })
	n.serving.Go(func() { n.watchPeers(n.life, n.patience) })
	if err := n.comet.Start(); err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	n.door.open()
	n.log.Info("node runs", "chain", n.params.ChainID, "api", n.API(), "rpc", n.config.RPC, "p2p", n.Peer())
	select {
	case <-ctx.Done():
		return nil
	case <-n.life.Done():
		return nil
	case err := <-n.app.Failed():
		return stopped(ctx, err)
	case err := <-n.failed:
		select {
		case err = <-n.app.Failed(): // more telling than what the engine makes of it
		default:
		}
		return stopped(ctx, err)
	}
}

// stopped is the error of a node that could not go on, if it was meant to.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("node stops: %w", err)
}

// stopTime is how long Close lets answers that are under way finish.
const stopTime = 2 * time.Second

// Close stops what runs and closes what is open, in reverse order.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closeErr = n.close() })
	return n.closeErr
}

func (n *Node) close() error {
	var errs []error
	n.end()
	if n.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		if err := n.server.Shutdown(ctx); err != nil {
			errs = append(errs, n.server.Close())
		}
		cancel()
		n.serving.Wait()
	}
	if n.listener != nil {
		n.listener.Close() // the server has, if it ran
	}
	if n.explorer != nil {
		errs = append(errs, n.explorer.Close())
	}
	if n.comet != nil {
		errs = append(errs, n.stopEngine())
	}
	for _, db := range n.databases {
		errs = append(errs, db.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}

// stopEngine stops CometBFT. A node that was never started still has its
// application connections, event bus and databases open.
func (n *Node) stopEngine() error {
	if n.comet.IsRunning() {
		if err := n.comet.Stop(); err != nil {
			return fmt.Errorf("stop engine: %w", err)
		}
		n.comet.Wait()
	} else {
		n.comet.OnStop()
	}
	if err := n.comet.ProxyApp().Stop(); err != nil && n.comet.ProxyApp().IsRunning() {
		return fmt.Errorf("stop engine: %w", err)
	}
	return nil
}
