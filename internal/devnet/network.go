package devnet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/chain/rpc"
)

// Options is what Start needs; only Dir is required.
type Options struct {
	Dir        string            // homes of all parts; a network found there goes on
	Validators int               // of genesis; 0: one; a network found in Dir keeps its number
	Followers  int               // nodes beside them, which may come to vote for miners; the same
	Params     *consensus.Params // nil: devnet's; ChainID may be empty
	Accounts   []consensus.GenesisAccount
	Gated      bool
	Wired      bool      // nodes talk over wires that Cut can cut
	Pace       node.Pace // zero: by the gate, or the block time
	Log        *slog.Logger
	EngineLog  string // least level of CometBFT's lines; empty: error
	// API is where the first node's API listens; empty: a free port.
	API   string
	Mount func(*node.Node) (http.Handler, error)
}

// faucetMoney is what the faucet's account has at genesis.
const faucetMoney = 100_000_000 // PDR

// gatedPropose is how long validators of a gated network wait for a proposal:
// as long as any test leaves the gate shut.
const gatedPropose = 10 * time.Minute

// Network is a running network.
type Network struct {
	Params *consensus.Params
	Nodes  []*Node

	dir    string
	faucet []byte
	peers  [][]string // by node: ID@host:port of all others, in order
	wires  *wires     // nil: nodes dial each other directly
	gate   *gate
	opts   Options
}

// Node is one node: the validators of genesis come first, then the followers.
// Node.Node is nil while it is stopped.
type Node struct {
	*node.Node
	home string
	end  context.CancelFunc
	done chan error // Run's result
}

// Start starts a network, new or as Dir has it, and returns when all its
// nodes' APIs answer.
func Start(o Options) (n *Network, err error) {
	n = &Network{dir: o.Dir, opts: o}
	if o.Gated {
		n.gate = newGate()
		if n.opts.Pace == (node.Pace{}) {
			n.opts.Pace = node.Pace{Commit: time.Millisecond, Propose: gatedPropose, Hasty: true, Gossip: 5 * time.Millisecond}
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start network in %s: %w", o.Dir, err), n.Close())
			n = nil
		}
	}()
	if n.faucet, err = loadFaucet(o.Dir); err != nil {
		return n, err
	}
	if err := n.findOrMake(); err != nil {
		return n, err
	}
	if err := n.configure(); err != nil {
		return n, err
	}
	for i := range n.Nodes {
		if err := n.Restart(i); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Remove removes the directory of a network that was closed, until it is gone: an
// engine that has stopped may be writing its address book once more.
func Remove(dir string) (err error) {
	for range 100 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("remove network: %w", err)
}

// loadFaucet reads the faucet's private key, or makes it.
func loadFaucet(dir string) ([]byte, error) {
	path := filepath.Join(dir, "faucet.key")
	text, err := os.ReadFile(path)
	if err == nil {
		key, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key := make([]byte, chain.PrivateKeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return key, os.WriteFile(path, []byte(hex.EncodeToString(key)+"\n"), 0o600)
}

// home is the home of node i.
func (n *Network) home(i int) string { return filepath.Join(n.dir, fmt.Sprintf("node%d", i)) }

// findOrMake reads the network in the directory, or makes keys and genesis of
// a new one.
func (n *Network) findOrMake() error {
	if _, g, err := node.LoadGenesis(n.home(0)); err == nil {
		n.Params = &g.Params
		for i := 0; ; i++ {
			if _, _, err := node.LoadGenesis(n.home(i)); errors.Is(err, fs.ErrNotExist) {
				break
			}
			n.Nodes = append(n.Nodes, &Node{home: n.home(i)})
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	n.Params = n.opts.Params
	if n.Params == nil {
		n.Params = consensus.Devnet()
	}
	if n.Params.ChainID == "" {
		n.Params.ChainID = "perdure-devnet-" + hex.EncodeToString(n.faucet[:4])
	}
	return n.makeGenesis()
}

func (n *Network) makeGenesis() error {
	faucet, err := chain.AddressOfKey(n.faucet)
	if err != nil {
		return err
	}
	g := &consensus.Genesis{Params: *n.Params, Accounts: append([]consensus.GenesisAccount{
		{Address: chain.FormatAddress(faucet, n.Params.Network), Balance: chain.PDR(faucetMoney)}}, n.opts.Accounts...)}
	validators := max(n.opts.Validators, 1)
	for i := range validators + n.opts.Followers {
		id, err := node.Init(n.home(i))
		if err != nil {
			return err
		}
		if i < validators {
			g.Validators = append(g.Validators, id.Validator(10, faucet, n.Params.Network))
		}
		n.Nodes = append(n.Nodes, &Node{home: n.home(i)})
	}
	doc, err := node.MakeGenesis(g, time.Now())
	if err != nil {
		return err
	}
	for i := len(n.Nodes) - 1; i >= 0; i-- { // the first last: it tells that all are there
		if err := node.SaveGenesis(n.home(i), doc); err != nil {
			return err
		}
	}
	return nil
}

// configure gives each node free ports and the others as peers.
func (n *Network) configure() error {
	var held []net.Listener // until all ports are given, so that none is given twice
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	configs, ids := make([]node.Config, len(n.Nodes)), make([]string, len(n.Nodes))
	for i := range n.Nodes {
		id, err := node.LoadIdentity(n.home(i))
		if err != nil {
			return err
		}
		c := node.DefaultConfig()
		c.Moniker, c.LocalPeers, c.Private = fmt.Sprintf("node%d", i), true, n.opts.Wired
		c.Hints.Every = 1 // its miners are few, and near
		if n.opts.EngineLog != "" {
			c.EngineLog = n.opts.EngineLog
		}
		for _, address := range []*string{&c.P2P, &c.RPC, &c.API} { // the same when it is started again
			l, err := node.ListenSpare("127.0.0.1")
			if err != nil {
				return err
			}
			held, *address = append(held, l), l.Addr().String()
		}
		if i == 0 && n.opts.API != "" {
			c.API = n.opts.API
		}
		configs[i], ids[i] = c, id.NodeID
	}
	if n.opts.Wired {
		n.wires = newWires()
	}
	n.peers = make([][]string, len(n.Nodes))
	for i, c := range configs {
		for j := range configs {
			if j == i {
				continue
			}
			address := configs[j].P2P
			if n.wires != nil {
				var err error
				if address, err = n.wires.lay(i, j, address); err != nil {
					return err
				}
			}
			n.peers[i] = append(n.peers[i], ids[j]+"@"+address)
		}
		c.Peers = n.peers[i][:i] // the later dial the earlier
		if err := c.Save(n.home(i)); err != nil {
			return err
		}
	}
	return nil
}

// Cut cuts nodes of a wired network off from the others, but not from each
// other; without any it makes all wires whole again.
func (n *Network) Cut(nodes ...int) { n.wires.cut(nodes...) }

// Restart starts node i, which is not running.
func (n *Network) Restart(i int) error {
	d := n.Nodes[i]
	if d.Node != nil {
		return fmt.Errorf("node %d runs", i)
	}
	c, err := node.LoadConfig(d.home)
	if err != nil {
		return err
	}
	if d.end != nil { // it ran before: the others' engines may be slow to dial it again
		c.Peers = n.peers[i]
	}
	o := node.Options{Home: d.home, Config: &c, Pace: n.opts.Pace, Mount: n.opts.Mount}
	if n.opts.Log != nil {
		o.Log = n.opts.Log.With("node", i)
	}
	if n.gate != nil {
		o.Gate = n.gate.wait
	}
	running, err := node.New(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.Node, d.end, d.done = running, cancel, make(chan error, 1)
	go func() { d.done <- running.Run(ctx) }()
	return nil
}

// Stop stops node i and waits for it.
func (n *Network) Stop(i int) error {
	d := n.Nodes[i]
	if d.Node == nil {
		return nil
	}
	d.end()
	err := errors.Join(<-d.done, d.Node.Close())
	d.Node = nil
	if err != nil {
		return fmt.Errorf("stop node %d: %w", i, err)
	}
	return nil
}

// Close stops all nodes.
func (n *Network) Close() error {
	for _, d := range n.Nodes {
		if d.Node != nil {
			d.end()
		}
	}
	var errs []error
	for i := range n.Nodes {
		errs = append(errs, n.Stop(i))
	}
	if n.wires != nil {
		errs = append(errs, n.wires.close())
	}
	return errors.Join(errs...)
}

// Faucet is the private key of an account with a great deal of money.
func (n *Network) Faucet() []byte { return n.faucet }

// Client returns a client of node i, to be closed by the caller.
func (n *Network) Client(i int) *rpc.Client { return rpc.New(n.Nodes[i].API()) }

// Height is the greatest height that a running node has committed.
func (n *Network) Height() chain.Height {
	var h chain.Height
	for _, d := range n.Nodes {
		if d.Node != nil {
			h = max(h, d.Stats().Height)
		}
	}
	return h
}

// Advance lets a gated network make n blocks and returns when every running
// node has committed them.
func (n *Network) Advance(ctx context.Context, blocks uint64) error {
	if n.gate == nil {
		return errors.New("advance: the network is not gated")
	}
	return n.Reach(ctx, n.gate.open(n.Height(), blocks))
}

// Reach returns when every running node has committed a height.
func (n *Network) Reach(ctx context.Context, h chain.Height) error {
	for i, d := range n.Nodes {
		if d.Node == nil {
			continue
		}
		if err := n.reach(ctx, i, h); err != nil {
			return err
		}
	}
	return nil
}

// reach returns when node i has committed a height.
func (n *Network) reach(ctx context.Context, i int, h chain.Height) error {
	for d := n.Nodes[i]; ; {
		changed := d.Store().Changed()
		if v := d.Store().View(); v != nil && v.Height() >= h {
			return nil
		}
		select {
		case <-changed:
		case err := <-d.done:
			d.done <- err
			return fmt.Errorf("node %d stopped: %w", i, err)
		case <-ctx.Done():
			return fmt.Errorf("node %d is at height %d, want %d: %w", i, d.Stats().Height, h, ctx.Err())
		}
	}
}
