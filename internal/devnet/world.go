package devnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/porep"
)

// WorldOptions are those of a network with miners and a client's wallet.
type WorldOptions struct {
	Options
	Miners     int    // a network found in Dir keeps its number
	SectorSize uint64 // bytes; 0: 8 MiB
	// Level lets new miners all ask one price. Otherwise each asks for half of the
	// first one's more than the one before, so that a book tells them apart.
	Level bool
	// Voting makes the miners storage validators: each registers the keys of a
	// follower of its own, of which there must be as many, and follows that.
	Voting bool
	// Commit is how many sectors without deals each new miner keeps on the chain.
	Commit int
}

// World is a network with miners and the wallet of a client. Below its
// directory lie node0, node1, ..., miner0, ... and wallet, a home each.
type World struct {
	*Network
	Miners []*Miner
	Wallet string // home of the client
	Client chain.Address

	log   *slog.Logger
	proof abi.RegisteredSealProof
	level bool
	first int // node of the first miner; its followers come after it, if they vote
	votes bool

	commit int // sectors of new miners
}

// defaultSector is the size of sectors in bytes unless the options say another.
const defaultSector = 8 << 20

// StartWorld starts a network, new or as its directory has it, with all its
// miners, and returns when every miner has its offer in the order book.
func StartWorld(ctx context.Context, o WorldOptions) (w *World, err error) {
	if o.SectorSize == 0 {
		o.SectorSize = defaultSector
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w = &World{Wallet: filepath.Join(o.Dir, "wallet"), log: o.Log, level: o.Level, votes: o.Voting, commit: o.Commit}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
			w = nil
		}
	}()
	if o.Voting && o.Followers != o.Miners {
		return w, fmt.Errorf("%d miners that vote, through %d followers", o.Miners, o.Followers)
	}
	if w.proof, err = porep.ProofOfSize(o.SectorSize); err != nil {
		return w, fmt.Errorf("sector size: %w", err)
	}
	if err := w.findHomes(&o); err != nil {
		return w, err
	}
	if w.Network, err = Start(o.Options); err != nil {
		return w, err
	}
	if w.votes {
		w.first = len(w.Nodes) - len(w.Miners)
	}
	return w, w.During(ctx, w.startMiners)
}

// findHomes finds or makes the homes of wallet and miners. Those of a new
// network get money in its genesis.
func (w *World) findHomes(o *WorldOptions) error {
	count := o.Miners
	_, _, err := node.LoadGenesis(filepath.Join(o.Dir, "node0"))
	if fresh := errors.Is(err, fs.ErrNotExist); !fresh {
		if err != nil {
			return err
		}
		if count, err = countHomes(o.Dir); err != nil {
			return err
		}
	}
	homes := []string{w.Wallet}
	for i := range count {
		m := &Miner{Home: filepath.Join(o.Dir, fmt.Sprintf("miner%d", i)), log: o.Log}
		w.Miners = append(w.Miners, m)
		homes = append(homes, m.Home)
	}
	for i, home := range homes {
		a, err := makeHome(home)
		if err != nil {
			return err
		}
		if i == 0 {
			w.Client = a
		} else {
			w.Miners[i-1].Owner = a
		}
		o.Accounts = append(o.Accounts, consensus.GenesisAccount{
			Address: chain.FormatAddress(a, chain.Testnet), Balance: genesisMoney})
	}
	return nil
}

// countHomes counts miner0, miner1, ... of a directory.
func countHomes(dir string) (int, error) {
	for n := 0; ; n++ {
		_, err := os.Stat(filepath.Join(dir, fmt.Sprintf("miner%d", n)))
		if errors.Is(err, fs.ErrNotExist) {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// startMiners registers the miners one after the other, so that their numbers
// follow their homes, starts them and waits until they can trade.
func (w *World) startMiners(ctx context.Context) error {
	if err := w.Reach(ctx, 1); err != nil {
		return err
	}
	for i, m := range w.Miners {
		if err := w.startMiner(ctx, i); err != nil {
			return fmt.Errorf("start miner %d of %s: %w", i, m.Home, err)
		}
	}
	return w.awaitMiners(ctx)
}

// nodeOf is the node that a miner follows.
func (w *World) nodeOf(miner int) int { return (w.first + miner) % len(w.Nodes) }

func (w *World) startMiner(ctx context.Context, i int) error {
	c := w.Network.Client(w.nodeOf(i))
	defer c.Close()
	var votes func(*chain.Keys) error
	if w.votes {
		votes = func(k *chain.Keys) error { return node.VoteKeys(w.home(w.nodeOf(i)), w.Params.ChainID, k) }
	}
	step := i
	if w.level {
		step = 0
	}
	if err := w.initMiner(ctx, c, w.Miners[i].Home, step, votes); err != nil {
		return err
	}
	return w.Miners[i].Start(ctx, c.Base())
}

// errReady ends the wait for the miners.
var errReady = errors.New("ready")

// awaitMiners returns when every miner that runs has its addresses on chain
// and an ask that may match.
func (w *World) awaitMiners(ctx context.Context) error {
	c := w.Network.Client(0)
	defer c.Close()
	g, err := c.Global(ctx)
	if err != nil {
		return err
	}
	err = c.Follow(ctx, g.Height, func(*consensus.Update) error {
		ready, err := w.ready(ctx, c)
		if err == nil && ready {
			err = errReady
		}
		return err
	})
	if errors.Is(err, errReady) {
		return nil
	}
	return fmt.Errorf("wait for miners: %w", err)
}

func (w *World) ready(ctx context.Context, c *rpc.Client) (bool, error) {
	offers, err := offers(ctx, c)
	if err != nil {
		return false, err
	}
	for _, m := range w.Miners {
		if !m.Running() {
			continue
		}
		if err := m.ended(); err != nil {
			return false, err
		}
		on := new(chain.Miner)
		if _, err := c.Record(ctx, chain.MinerKey(m.ID), on); err != nil {
			return false, err
		}
		self := m.daemon.Host().Self()
		if _, ok := offers[m.ID]; !ok || !slices.EqualFunc(self.Addrs, on.Peer.Addrs, bytes.Equal) {
			return false, nil
		}
	}
	return true, nil
}

// offers returns the miners with an ask that may match.
func offers(ctx context.Context, c *rpc.Client) (map[chain.MinerID]chain.Amount, error) {
	g, err := c.Global(ctx)
	if err != nil {
		return nil, err
	}
	out := map[chain.MinerID]chain.Amount{}
	for id := uint64(1); id < g.NextOrder; id++ {
		o := new(chain.Order)
		ok, err := c.Record(ctx, chain.OrderKey(id), o)
		if err != nil {
			return nil, err
		}
		if ok && o.Ask != nil && o.State != chain.OrderWaiting {
			out[o.Ask.Miner] = o.Ask.Price
		}
	}
	return out, nil
}

// During runs work that waits for blocks: a gated network makes blocks until
// it is done.
func (n *Network) During(ctx context.Context, work func(context.Context) error) error {
	if n.gate == nil {
		return work(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		default:
		}
		if err := n.push(ctx); err != nil {
			cancel()
			return errors.Join(err, <-done)
		}
	}
}

// pushPatience is for how long a block is waited for before another may come.
const pushPatience = 10 * time.Second

// push lets blocks pass until all running nodes have one more. The gate is held in
// the middle of a proposal, where the engine has its lock: a node that fell two heights
// behind in its eyes then hears no votes of the past until the next block.
func (n *Network) push(ctx context.Context) error {
	for {
		within, cancel := context.WithTimeout(ctx, pushPatience)
		err := n.Advance(within, 1)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// Close stops miners, then nodes.
func (w *World) Close() error {
	errs := make([]error, len(w.Miners))
	var wg sync.WaitGroup
	for i, m := range w.Miners {
		wg.Go(func() { errs[i] = m.Stop() })
	}
	wg.Wait()
	if w.Network != nil {
		errs = append(errs, w.Network.Close())
	}
	return errors.Join(errs...)
}
