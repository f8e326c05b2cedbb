// Package clienttest is a network for the tests of clients: the real rules over
// a state in memory, with blocks at the test's hand, and miners that fetch,
// accept, prove and sell over loopback. Sealing alone is left out: the chain
// believes every seal proof.
package clienttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/chain/wallet"
)

// Chain implements deals.Chain and client.Directory.
type Chain struct {
	t      testing.TB
	params *consensus.Params

	mu       sync.Mutex
	view     *view
	height   chain.Height
	updates  []*consensus.Update // of heights 1...
	receipts map[chain.Hash]*wallet.Inclusion
	pending  [][]byte
	fees     map[chain.Address]chain.Amount
	block    chan struct{} // closed when the next block is there
	paused   bool

	// Claims, if set, are the deals that are said to be over pieces which hold a payload
	// among others.
	Claims func(root string) []uint64
	// OnSubmit, if set, is asked before a message is admitted; its error is
	// what the sender gets.
	OnSubmit func(raw []byte) error
}

// view is a committed state in memory, never changing.
type view struct {
	records map[chain.Key][]byte
	book    *orderbook.Book
}

// Record implements consensus.View.
func (v *view) Record(k chain.Key) ([]byte, error) { return v.records[k], nil }

// Book implements consensus.View.
func (v *view) Book() *orderbook.Book { return v.book }

// trusting believes seal proofs, and checks everything else.
type trusting struct{ consensus.Direct }

// SealProof implements consensus.Verifier.
func (trusting) SealProof(*consensus.SealCheck, []byte) error { return nil }

// Key is a private key that stands for a number.
func Key(n byte) []byte { return bytes.Repeat([]byte{n}, chain.PrivateKeySize) }

// Rich are the keys that have money at genesis: of the client, and of miners.
const (
	ClientKey     = 1
	firstMinerKey = 2
	richKeys      = 8
)

// ClientMoney is what the client has at genesis.
var ClientMoney = chain.PDR(1000)

// NewChain starts a chain with long windows, so that no test meets a deadline.
// Nothing is issued, so that money moves by the tests' messages alone.
func NewChain(t testing.TB) *Chain {
	t.Helper()
	p := consensus.Devnet()
	p.ChainID, p.Window, p.StateRetention, p.EndedRetention, p.FetchBy, p.ActivateBy = "clienttest", 10_000, 100_000, 100_001, 3_000, 6_000
	p.BlockMillis = 20
	p.IssuanceTotal, p.CollateralSpan = chain.Amount{}, 0
	c := &Chain{t: t, params: p, receipts: map[chain.Hash]*wallet.Inclusion{}, fees: map[chain.Address]chain.Amount{}, block: make(chan struct{})}
	g := &consensus.Genesis{Params: *p, Validators: []consensus.GenesisValidator{{PubKey: make([]byte, 32), Power: 1, Reward: c.text(ClientKey + 100)}}}
	for n := byte(ClientKey); n < ClientKey+richKeys; n++ {
		money := chain.PDR(1_000_000)
		if n == ClientKey {
			money = ClientMoney
		}
		g.Accounts = append(g.Accounts, consensus.GenesisAccount{Address: c.text(n), Balance: money})
	}
	u, err := consensus.GenesisUpdate(g)
	c.must(err)
	c.view, err = (&view{}).after(u)
	c.must(err)
	return c
}

func (c *Chain) text(n byte) string {
	a, err := chain.AddressOfKey(Key(n))
	c.must(err)
	return chain.FormatAddress(a, c.params.Network)
}

func (c *Chain) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// after returns the state that an Update leaves.
func (v *view) after(u *consensus.Update) (*view, error) {
	next := &view{records: maps.Clone(v.records)}
	if next.records == nil {
		next.records = map[chain.Key][]byte{}
	}
	for _, ch := range u.Changes {
		if ch.Value == nil {
			delete(next.records, ch.Key())
			continue
		}
		next.records[ch.Key()] = ch.Value
	}
	var err error
	next.book, err = orderbook.Rebuild(func(yield func(*chain.Order, error) bool) {
		for k, raw := range next.records {
			if k.Table == chain.TableOrder {
				o := new(chain.Order)
				if err := chain.Decode(raw, o); !yield(o, err) {
					return
				}
			}
		}
	})
	return next, err
}

// Advance makes n blocks, the first with everything that waits.
func (c *Chain) Advance(n int) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		c.must(c.step())
	}
}

func (c *Chain) step() error {
	b := &consensus.Block{Height: c.height + 1, Time: uint64(c.height), Messages: c.pending}
	u, results, err := consensus.Apply(c.params, c.view, trusting{}, b)
	if err != nil {
		return err
	}
	if c.view, err = c.view.after(u); err != nil {
		return err
	}
	c.height, c.pending = b.Height, nil
	c.updates = append(c.updates, u)
	for i, r := range results {
		c.receipts[r.Hash] = &wallet.Inclusion{Height: b.Height, Receipt: u.Receipts[i]}
	}
	if err := c.countFees(b.Messages); err != nil {
		return err
	}
	close(c.block)
	c.block = make(chan struct{})
	return nil
}

// countFees adds what the messages of the last block paid to their senders' sums.
func (c *Chain) countFees(messages [][]byte) error {
	for _, raw := range messages {
		m, err := chain.DecodeSigned(raw)
		if err != nil {
			return err
		}
		in := c.receipts[chain.HashBytes(raw)]
		if in == nil {
			continue
		}
		if c.fees[m.Message.From], err = c.fees[m.Message.From].Add(in.Receipt.Fee); err != nil {
			return err
		}
	}
	return nil
}

// Fees is what a key has paid in fees so far.
func (c *Chain) Fees(n byte) chain.Amount {
	a, err := chain.AddressOfKey(Key(n))
	c.must(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fees[a]
}

// Run makes blocks until ctx ends, unless it is paused.
func (c *Chain) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Duration(c.params.BlockMillis) * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		c.mu.Lock()
		var err error
		if !c.paused {
			err = c.step()
		}
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// Pause stops or resumes Run's blocks.
func (c *Chain) Pause(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = on
}

// ForgetReceipts makes the chain one that keeps no receipts of what landed so far.
func (c *Chain) ForgetReceipts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.receipts)
}

// DropPending empties the mempool.
func (c *Chain) DropPending() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = nil
}

// Params implements deals.Chain.
func (c *Chain) Params(ctx context.Context) (*consensus.Params, error) { return c.params, ctx.Err() }

// Record implements deals.Chain.
func (c *Chain) Record(ctx context.Context, k chain.Key, into chain.CBOR) (bool, error) {
	c.mu.Lock()
	raw := c.view.records[k]
	c.mu.Unlock()
	if raw == nil || ctx.Err() != nil {
		return false, ctx.Err()
	}
	return true, chain.Decode(raw, into)
}

// Global implements deals.Chain.
func (c *Chain) Global(ctx context.Context) (*chain.Global, error) {
	g := new(chain.Global)
	_, err := c.Record(ctx, chain.GlobalKey(), g)
	return g, err
}

// Account implements deals.Chain.
func (c *Chain) Account(ctx context.Context, a chain.Address) (*chain.Account, error) {
	acc := new(chain.Account)
	_, err := c.Record(ctx, chain.AccountKey(a), acc)
	return acc, err
}

// Submit implements deals.Chain.
func (c *Chain) Submit(ctx context.Context, raw []byte) error {
	if c.OnSubmit != nil {
		if err := c.OnSubmit(raw); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.pending, func(p []byte) bool { return bytes.Equal(p, raw) }) {
		return nil
	}
	if _, err := consensus.Validate(c.params, c.view, trusting{}, raw); err != nil {
		return err
	}
	c.pending = append(c.pending, raw)
	return ctx.Err()
}

// Await implements deals.Chain.
func (c *Chain) Await(ctx context.Context, hash chain.Hash) (*wallet.Inclusion, error) {
	for {
		c.mu.Lock()
		in, next := c.receipts[hash], c.block
		c.mu.Unlock()
		if in != nil {
			return in, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-next:
		}
	}
}

// Follow implements deals.Chain.
func (c *Chain) Follow(ctx context.Context, from chain.Height, each func(*consensus.Update) error) error {
	if from == 0 {
		return errors.New("there is no update of height 0")
	}
	for h := from; ; {
		c.mu.Lock()
		next := c.block
		var u *consensus.Update
		if int(h) <= len(c.updates) {
			u = c.updates[h-1]
		}
		c.mu.Unlock()
		if u != nil {
			if err := each(u); err != nil {
				return err
			}
			h++
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next:
		}
	}
}

// Asks implements client.Directory; all are on the first page.
func (c *Chain) Asks(_ context.Context, w *orderbook.Wanted, _ string) (asks []*chain.Order, next string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view.book.Offers(w, chain.Place{}, 1<<20, 1<<20).Orders, "", nil
}

// Bids implements client.Directory.
func (c *Chain) Bids(_ context.Context, price chain.Amount, fresh bool) ([]*chain.Order, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view.book.Wishes(price, fresh, chain.Place{}, 1<<20).Orders, nil
}

// Delays implements client.Directory.
func (c *Chain) Delays(context.Context) ([]uint64, error) {
	var out []uint64
	for _, d := range c.Deals() {
		if d.State == chain.DealActive {
			out = append(out, uint64(d.Activated-d.Matched))
		}
	}
	return out, nil
}

// DealsOf implements client.Directory.
func (c *Chain) DealsOf(_ context.Context, root string) (deals, claimed []uint64, err error) {
	for _, d := range c.Deals() {
		if d.PayloadRoot.String() == root {
			deals = append(deals, d.ID)
		}
	}
	if c.Claims != nil {
		claimed = c.Claims(root)
	}
	return deals, claimed, nil
}

// DealsOfPiece implements client.Directory.
func (c *Chain) DealsOfPiece(_ context.Context, piece string) (out []uint64, err error) {
	for _, d := range c.Deals() {
		if d.PieceCID.String() == piece {
			out = append(out, d.ID)
		}
	}
	return out, nil
}

// Deals returns all deals by ID.
func (c *Chain) Deals() []*chain.Deal {
	g, err := c.Global(context.Background())
	c.must(err)
	var out []*chain.Deal
	for id := uint64(1); id < g.NextDeal; id++ {
		d := new(chain.Deal)
		ok, err := c.Record(context.Background(), chain.DealKey(id), d)
		c.must(err)
		if !ok {
			c.t.Fatal(fmt.Errorf("deal %d is missing", id))
		}
		out = append(out, d)
	}
	return out
}

// Placed counts the orders that a key has placed so far, bids or asks.
func (c *Chain) Placed(n byte) int {
	a, err := chain.AddressOfKey(Key(n))
	c.must(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	count := 0
	for _, u := range c.updates {
		for _, e := range u.Events {
			if e.Kind == consensus.EventOrderPlaced && bytes.Equal(e.From, a.Bytes()) {
				count++
			}
		}
	}
	return count
}

// Opened counts the payment channels that were opened so far.
func (c *Chain) Opened() int {
	g, err := c.Global(context.Background())
	c.must(err)
	return int(g.NextChannel - 1)
}
