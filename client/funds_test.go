package client_test

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/clienttest"
)

// funds reads where the money is, and checks that it adds up: what the client has
// left, free and locked, is what it had less its fees and what miners redeemed.
func (w *world) funds(c *client.Client, redeemed chain.Amount) *client.Funds {
	w.t.Helper()
	w.chain.Pause(true)
	defer w.chain.Pause(false)
	f, err := c.Funds(w.ctx)
	w.must(err)
	gone, err := w.chain.Fees(clienttest.ClientKey).Add(redeemed)
	w.must(err)
	due, err := clienttest.ClientMoney.Sub(gone)
	w.must(err)
	if f.Height == 0 || f.Total != due {
		w.t.Errorf("height %d: %s in all, want %s", f.Height, f.Total, due)
	}
	sum := f.Account
	for _, ch := range f.Channels {
		sum, err = sum.Add(ch.Balance)
		w.must(err)
	}
	for _, of := range [][]client.LockedFunds{f.Orders, f.Deals} {
		for _, l := range of {
			sum, err = sum.Add(l.Amount)
			w.must(err)
		}
	}
	if sum != f.Total {
		w.t.Errorf("the parts make %s, the total is %s", sum, f.Total)
	}
	return f
}

// TestFunds pays ahead, fetches without sending anything, and gets the rest
// back; at each step all money is accounted for.
func TestFunds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, data := w.file(1_300_000)
	c := w.client()
	if f := w.funds(c, chain.Amount{}); f.Account != clienttest.ClientMoney || !f.Locked.IsZero() {
		t.Errorf("at the start %s are free, %s locked", f.Account, f.Locked)
	}
	put, err := c.Put(w.ctx, path, client.PutOptions{})
	w.must(err)
	if f := w.funds(c, chain.Amount{}); len(f.Deals) != 2 || len(f.Orders) != 0 || len(f.Channels) != 0 {
		t.Errorf("after a put: %+v", f)
	}

	amount := chain.Atto(2*clienttestChunks + 1) // an odd one: the shares are not equal
	r, err := c.Deposit(w.ctx, amount)
	w.must(err)
	if len(r.Channels) != 2 || !r.Channels[0].Opened || len(r.Skipped) != 0 {
		t.Fatalf("deposit: %+v", r)
	}
	f := w.funds(c, chain.Amount{})
	if sum, err := f.Channels[0].Balance.Add(f.Channels[1].Balance); err != nil || sum != amount || !f.Channels[0].Ahead {
		t.Errorf("channels hold %s (%v), want %s", sum, err, amount)
	}

	var sent atomic.Int64
	w.chain.OnSubmit = func(raw []byte) error {
		if w.kindOf(raw) != 0 {
			sent.Add(1)
		}
		return nil
	}
	root, err := client.ParseRoot(put.Root)
	w.must(err)
	var out bytes.Buffer
	got, err := c.Get(w.ctx, root, "", client.GetOptions{To: &out})
	w.must(err)
	if !bytes.Equal(out.Bytes(), data) || sent.Load() != 0 || got.Paid.IsZero() {
		t.Errorf("a get after a deposit sent %d messages and paid %s", sent.Load(), got.Paid)
	}
	f = w.funds(c, chain.Amount{})
	promised, err := f.Channels[0].Promised.Add(f.Channels[1].Promised)
	w.must(err)
	if promised != got.Paid || !f.Channels[0].Known {
		t.Errorf("%s promised, %s paid", promised, got.Paid)
	}
	if r, err := c.Deposit(w.ctx, chain.Atto(10), root); err != nil || len(r.Channels) != 2 || r.Channels[0].Opened {
		t.Errorf("second deposit: %+v, %v", r, err)
	}

	w.books(got) // redeemed
	w.funds(c, got.Paid)
	all, err := c.Withdraw(w.ctx, false)
	w.must(err)
	if len(all) != 2 || all[0].SettleAt == 0 {
		t.Errorf("withdraw: %+v", all)
	}
	w.funds(c, got.Paid)
	all, err = c.Withdraw(w.ctx, true)
	w.must(err)
	if f := w.funds(c, got.Paid); len(all) != 2 || all[0].SettleAt != 0 || len(f.Channels) != 0 {
		t.Errorf("withdraw and wait: %+v, %d channels left", all, len(f.Channels))
	}
}

// clienttestChunks is what a million chunks cost at a test miner, attoPDR.
const clienttestChunks = 1_000_000 * 1_000_000_000_000

// TestDepositRefusals: nothing is sent for a deposit that nobody can get.
func TestDepositRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, _ := w.file(1000)
	c := w.client()
	stranger, err := client.ParseRoot("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
	w.must(err)
	if _, err := c.Deposit(w.ctx, chain.Atto(1)); err == nil || !strings.Contains(err.Error(), "stored nothing") {
		t.Errorf("with nothing stored: %v", err)
	}
	if _, err := c.Deposit(w.ctx, chain.Atto(1), stranger); !errors.Is(err, client.ErrNotStored) {
		t.Errorf("for what nobody stores: %v", err)
	}
	_, err = c.Put(w.ctx, path, client.PutOptions{Copies: 1})
	w.must(err)
	if _, err := c.Deposit(w.ctx, chain.Amount{}); err == nil {
		t.Error("deposited nothing")
	}
	w.must(w.miners[0].Host.Close())
	r, err := c.Deposit(w.ctx, chain.Atto(1))
	if !errors.Is(err, client.ErrNobodyToPay) || len(r.Skipped) != 1 {
		t.Errorf("with the miner gone: %+v, %v", r, err)
	}
	if w.chain.Opened() != 0 {
		t.Error("a channel was opened")
	}
}
