package scale

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/index"
)

var _ explorer.Backend = Backend{}

func quiet(string, ...any) {}

// TestChain makes a small chain in two runs and plays blocks of every mix: money
// adds up, records count what they should, bids trade, and the directory holds
// what was made.
func TestChain(t *testing.T) {
	dir, size := t.TempDir(), Of(12_000)
	stopped, stop := context.WithCancel(t.Context())
	if _, err := Open(stopped, dir, size, func(string, ...any) { stop() }); !errors.Is(err, context.Canceled) {
		t.Fatalf("a stopped run: %v", err)
	}
	c, err := Open(t.Context(), dir, size, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if have := c.Store.View().Height(); have != c.Base() {
		t.Errorf("the state is at height %d, want %d", have, c.Base())
	}
	count(t, c, size)
	deals := globalOf(t, c).NextDeal
	for _, mix := range Mixes() {
		messages, err := c.Messages(mix, 10)
		if err == nil {
			err = c.Play(t.Context(), messages)
		}
		if err != nil {
			t.Fatalf("%s: %v", mix, err)
		}
		check(t, c, mix, len(messages))
	}
	for range c.Params.MatchDelay + 1 {
		if err := c.Play(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if now := globalOf(t, c).NextDeal; now != deals+12 {
		t.Errorf("%d deals were matched, want the 10 of bids and the 2 of the mixed block", now-deals)
	}
	tip := c.Store.View().Height()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, Of(10), quiet); err == nil {
		t.Error("the directory of another size was taken")
	}
	if c, err = Open(t.Context(), dir, size, quiet); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if have := c.Store.View().Height(); have != tip {
		t.Errorf("opened again it is at height %d, want %d", have, tip)
	}
	if kept, err := c.block(c.Base() + 2); err != nil || len(kept) != 10 {
		t.Errorf("%d messages of a block are kept, %v; want 10", len(kept), err)
	}
}

func globalOf(t *testing.T, c *Chain) *chain.Global {
	t.Helper()
	g, err := c.Store.View().Global()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// count looks through the records.
func count(t *testing.T, c *Chain, size Size) {
	t.Helper()
	var free, locked chain.Amount
	add := func(sum *chain.Amount, amounts ...chain.Amount) {
		total, err := chain.Sum(append(amounts, *sum)...)
		if err != nil {
			t.Fatal(err)
		}
		*sum = total
	}
	var power, sectors uint64
	walk := func(table chain.Table, noun chain.CBOR, want uint64, each func()) {
		n := uint64(0)
		err := c.Store.View().ForEach(table, func(_ string, raw []byte) error {
			n++
			err := chain.Decode(raw, noun)
			each()
			return err
		})
		if err != nil || n != want {
			t.Errorf("table %s has %d records, %v; want %d", table, n, err, want)
		}
	}
	var a chain.Account
	walk(chain.TableAccount, &a, size.Accounts, func() { add(&free, a.Balance) })
	var m chain.Miner
	walk(chain.TableMiner, &m, size.Miners, func() {
		add(&free, m.Balance)
		add(&locked, m.Pledge)
		power, sectors = power+m.Power, sectors+m.Sectors
	})
	var s chain.Sector
	walk(chain.TableSector, &s, size.Sectors, func() {
		add(&locked, s.Deposit)
		if s.Live() {
			sectors--
		}
		if s.State == chain.SectorActive {
			power -= sectorSize
		}
	})
	var d chain.Deal
	walk(chain.TableDeal, &d, size.Deals, func() { add(&locked, d.Unspent, d.Collateral, d.ClientDeposit, d.MinerDeposit) })
	var o chain.Order
	walk(chain.TableOrder, &o, size.Orders, func() { add(&locked, o.Locked, o.Deposit) })
	var ch chain.Channel
	walk(chain.TableChannel, &ch, size.Channels, func() { add(&locked, ch.Balance) })
	if power != 0 || sectors != 0 {
		t.Errorf("miners count %d bytes and %d sectors more than there are", int64(power), int64(sectors))
	}
	supply := globalOf(t, c).Supply
	if supply.Accounts != free || supply.Locked != locked {
		t.Errorf("accounts hold %s and %s is locked, the supply says %s and %s", free, locked, supply.Accounts, supply.Locked)
	}
	if err := supply.Check(); err != nil {
		t.Error(err)
	}
}

// check reads the receipts of the newest block: all succeed.
func check(t *testing.T, c *Chain, mix Mix, messages int) {
	t.Helper()
	raw, err := c.Store.Update(c.Store.View().Height())
	if err != nil {
		t.Fatal(err)
	}
	var u consensus.Update
	if err := chain.Decode(raw, &u); err != nil {
		t.Fatal(err)
	}
	if len(u.Receipts) != messages {
		t.Errorf("%s: %d receipts of %d messages", mix, len(u.Receipts), messages)
	}
	for i, r := range u.Receipts {
		if r.Code != uint64(consensus.CodeOK) {
			t.Errorf("%s: message %d, a %s: %s", mix, i, r.Kind, r.Error)
		}
	}
}

// TestCutOff leaves the messages of blocks as a run that was stopped may: cut off
// anywhere, half made, or of a block that was never committed. The chain opens
// again, lets go of them alone, and is indexed to its tip.
func TestCutOff(t *testing.T) {
	dir, size := t.TempDir(), Of(1000)
	c, err := Open(t.Context(), dir, size, quiet)
	if err != nil {
		t.Fatal(err)
	}
	play := func(n int) {
		t.Helper()
		messages, err := c.Messages(Mixed, n)
		if err == nil {
			err = c.Play(t.Context(), messages)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	play(10)
	play(10)
	whole, err := os.ReadFile(c.blockPath(c.Base() + 2))
	if err != nil {
		t.Fatal(err)
	}
	play(10)
	for _, at := range []int{0, 1, 10, len(whole) / 2, len(whole) - 1, len(whole)} {
		tip := c.Store.View().Height()
		for path, bytes := range map[string][]byte{c.blockPath(c.Base() + 2): whole[:at], c.blockPath(tip + 1): whole[:at],
			filepath.Join(c.blocksDir(), "next"): whole[:at]} {
			if err := os.WriteFile(path, bytes, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if c, err = Open(t.Context(), dir, size, quiet); err != nil {
			t.Fatalf("cut off at %d: %v", at, err)
		}
		for h, want := range map[chain.Height]int{c.Base() + 1: 10, c.Base() + 2: 10 * (at / len(whole)), c.Base() + 3: 10, tip + 1: 0} {
			if kept, err := c.block(h); err != nil || len(kept) != want {
				t.Errorf("cut off at %d: block %d has %d messages, %v; want %d", at, h, len(kept), err, want)
			}
		}
		if kept, err := filepath.Glob(filepath.Join(c.blocksDir(), "[a-z]*")); err != nil || len(kept) > 0 {
			t.Errorf("cut off at %d: %v is left, %v", at, kept, err)
		}
		play(5)
		indexed(t, c)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// indexed has a new index take in the chain.
func indexed(t *testing.T, c *Chain) {
	t.Helper()
	x, err := index.Open(index.Config{Dir: t.TempDir(), ChainID: ChainID, Params: c.Params})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- x.Run(ctx, index.Source{Store: c.Store, Messages: Backend{c}.Messages, Votes: Backend{c}.Votes})
	}()
	for {
		moved := x.Moved()
		_, height, ok := x.Tip()
		if ok && height == c.Store.View().Height() {
			break
		}
		select {
		case <-moved:
		case err := <-ended:
			t.Fatalf("the index ended at height %d: %v", height, err)
		}
	}
	stop()
	<-ended
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}
