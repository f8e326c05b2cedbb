// Package scale makes big chains to measure readers on: a state of a million
// deals and as many sectors, of miners, orders, accounts and channels, and blocks
// on top of it.
//
// The state is written past the rules, as Updates of real records with the events
// that would have made them, through the store that a node has; so an index follows
// it as it follows a chain. Its money adds up, its book does not cross, and nothing
// in it falls due. The blocks on top are executed by the rules from signed messages.
// Both are kept in a directory: what was begun is gone on with, what is there is
// used again.
package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/app"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state"
)

// Size says how much of everything a state has.
type Size struct {
	Deals    uint64 `json:"deals"`
	Sectors  uint64 `json:"sectors"`
	Miners   uint64 `json:"miners"` // their sectors are shared out evenly
	Orders   uint64 `json:"orders"` // at rest, half of them asks
	Accounts uint64 `json:"accounts"`
	Channels uint64 `json:"channels"`
}

// Million is the size that the explorer is measured at.
func Million() Size {
	return Size{Deals: 1_000_000, Sectors: 1_000_000, Miners: 10_000, Orders: 20_000, Accounts: 100_000, Channels: 20_000}
}

// Of is a size of so many deals with everything else in proportion.
func Of(deals uint64) Size {
	m := Million()
	part := func(n uint64) uint64 { return max(1, n*deals/m.Deals) }
	return Size{Deals: deals, Sectors: part(m.Sectors), Miners: part(m.Miners), Orders: part(m.Orders), Accounts: part(m.Accounts), Channels: part(m.Channels)}
}

const (
	// ChainID is of all chains made here.
	ChainID = "perdure-scale"

	version    = 1             // of what is made; another one in a directory is not used
	chunkItems = 5_000         // deals or sectors that a block of the state brings
	chunkTime  = 3_600         // seconds between those blocks
	blockTime  = 2             // seconds between the blocks on top
	began      = 1_750_000_000 // Unix seconds of genesis
)

// Chain is a big chain in a directory.
type Chain struct {
	Size   Size
	Params *consensus.Params
	Store  *state.Store

	dir string
	app *app.App
	log func(format string, args ...any)

	mu       sync.Mutex
	accounts []chain.Address
}

// Open opens the chain of a size in a directory. What is missing of it is made;
// log is told how far that is.
func Open(ctx context.Context, dir string, size Size, log func(format string, args ...any)) (*Chain, error) {
	c := &Chain{Size: size, Params: consensus.Testnet(), dir: dir, log: log}
	c.Params.ChainID = ChainID
	if err := c.claim(); err != nil {
		return nil, fmt.Errorf("big chain in %s: %w", dir, err)
	}
	if err := os.MkdirAll(c.blocksDir(), 0o755); err != nil {
		return nil, fmt.Errorf("big chain: %w", err)
	}
	var err error
	c.Store, err = state.Open(state.Config{Dir: filepath.Join(dir, "state"), Params: c.Params, Keep: 1 << 40})
	if err != nil {
		return nil, err
	}
	c.app = app.New(app.Config{Store: c.Store, Params: c.Params})
	if err = c.grow(ctx); err == nil {
		err = c.sweep()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("big chain in %s: %w", dir, err), c.Store.Close())
	}
	return c, nil
}

// Close closes the chain.
func (c *Chain) Close() error { return c.Store.Close() }

// claim notes the size in the directory, or refuses one of another size.
func (c *Chain) claim() error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	type label struct {
		Version int
		Size    Size
	}
	path, want := filepath.Join(c.dir, "size.json"), label{version, c.Size}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		raw, err = json.Marshal(want)
		if err != nil {
			return err
		}
		return os.WriteFile(path, raw, 0o644)
	}
	if err != nil {
		return err
	}
	var have label
	if err := json.Unmarshal(raw, &have); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if have != want {
		return fmt.Errorf("it holds %+v of version %d, want %+v of version %d: take another directory", have.Size, have.Version, want.Size, want.Version)
	}
	return nil
}

// chunks is how many blocks bring the state.
func (c *Chain) chunks() uint64 {
	return (max(c.Size.Deals, c.Size.Sectors) + chunkItems - 1) / chunkItems
}

// Base is the height of the state, below the blocks on top.
func (c *Chain) Base() chain.Height { return chain.Height(c.chunks()) + 1 }

// share is what part of n things the block of a chunk brings.
func (c *Chain) share(n, chunk uint64) (from, to uint64) {
	return n * chunk / c.chunks(), n * (chunk + 1) / c.chunks()
}

// grow makes what is missing of the state.
func (c *Chain) grow(ctx context.Context) error {
	if c.Store.View() == nil {
		if err := c.genesis(); err != nil {
			return err
		}
	}
	for done := uint64(c.Store.View().Height()); done < c.chunks(); done++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if done%20 == 0 {
			c.log("making a state of %d deals: %d %%", c.Size.Deals, 100*done/c.chunks())
		}
		if err := c.write(done); err != nil {
			return fmt.Errorf("write chunk %d: %w", done, err)
		}
	}
	if c.Store.View().Height() < c.Base() {
		return c.Play(ctx, nil) // works off the empty queues up to here
	}
	return nil
}

func (c *Chain) genesis() error {
	g := &consensus.Genesis{Params: *c.Params}
	for i := range c.Size.senders() {
		a, err := c.account(i)
		if err != nil {
			return err
		}
		g.Accounts = append(g.Accounts, consensus.GenesisAccount{Address: chain.FormatAddress(a, c.Params.Network), Balance: chain.PDR(1_000_000)})
	}
	g.Validators = []consensus.GenesisValidator{{PubKey: key("validator", 0), Power: 10, Reward: g.Accounts[0].Address}}
	u, err := consensus.GenesisUpdate(g)
	if err != nil {
		return err
	}
	u.Time = began
	_, err = c.Store.Genesis(u)
	return err
}
