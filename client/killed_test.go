package client_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/clienttest"
	"github.com/perdure/perdure/client/deals"
)

var errKilled = errors.New("killed")

// kindOf reads which message a client's encoded bytes are; 0 for those of miners.
func (w *world) kindOf(raw []byte) chain.Kind {
	m, err := chain.DecodeSigned(raw)
	w.must(err)
	me, err := chain.AddressOfKey(clienttest.Key(clienttest.ClientKey))
	w.must(err)
	if m.Message.From != me {
		return 0
	}
	return m.Message.Kind
}

// TestPutKilled stops a Put at each place where a process can end, each time
// with another answer of the chain to what was sent, and gives it again: there
// is one bid a piece in the end, and every copy is active.
func TestPutKilled(t *testing.T) {
	t.Parallel()
	const kind = chain.KindPlaceBid
	for name, tc := range map[string]struct {
		// admitted lets the message through although the sender hears of a failure.
		admitted bool
		// after is what happens until the client is back.
		after func(w *world)
	}{
		"before the node saw it":                  {after: func(*world) {}},
		"after the node saw it":                   {admitted: true, after: func(w *world) { w.chain.Advance(1) }},
		"landed, no receipt kept":                 {admitted: true, after: func(w *world) { w.chain.Advance(1); w.chain.ForgetReceipts() }},
		"matched, no receipt kept":                {admitted: true, after: func(w *world) { w.chain.Advance(8); w.chain.ForgetReceipts() }},
		"dropped by the node":                     {admitted: true, after: func(w *world) { w.chain.DropPending() }},
		"its nonce went to another message":       {after: func(w *world) { w.spendNonce() }},
		"dropped, its nonce went to another":      {admitted: true, after: func(w *world) { w.chain.DropPending(); w.spendNonce() }},
		"expired while away":                      {after: func(w *world) { w.chain.Advance(3100) }},
		"landed before another message, no trace": {admitted: true, after: func(w *world) { w.chain.Advance(1); w.spendNonce(); w.chain.ForgetReceipts() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			path, data := w.file(1_300_000)
			w.chain.Pause(true)
			killed := false
			w.chain.OnSubmit = func(raw []byte) error {
				if w.kindOf(raw) != kind || killed {
					return nil
				}
				killed = true
				if tc.admitted {
					w.must(w.chain.Submit(context.Background(), raw))
				}
				return errKilled
			}
			o := client.PutOptions{PieceSize: 1 << 20}
			if _, err := w.client().Put(w.ctx, path, o); !errors.Is(err, errKilled) {
				t.Fatalf("first put: %v", err)
			}
			tc.after(w)
			w.chain.Pause(false)
			put, err := w.client().Put(w.ctx, path, o)
			w.must(err)
			w.once(put, data)
		})
	}
}

// spendNonce lands another message of the client's key.
func (w *world) spendNonce() {
	w.t.Helper()
	s, err := wallet.NewSender(w.chain, clienttest.Key(clienttest.ClientKey), chain.Amount{})
	w.must(err)
	to, err := chain.AddressOfKey(clienttest.Key(7))
	w.must(err)
	hash, err := s.Post(w.ctx, &chain.Transfer{To: to, Amount: chain.Atto(1)})
	w.must(err)
	w.chain.Advance(1)
	in, err := w.chain.Await(w.ctx, hash)
	w.must(err)
	w.must(in.Err())
}

// once checks that a Put that was stopped and resumed has paid once.
func (w *world) once(put *client.PutResult, data []byte) {
	w.t.Helper()
	if !put.Resumed || !put.Complete() {
		w.t.Fatalf("resumed %v, state %s: %v", put.Resumed, put.State(), put.Problems())
	}
	if n := w.chain.Placed(clienttest.ClientKey); n != len(put.Pieces) {
		w.t.Errorf("%d bids for %d pieces", n, len(put.Pieces))
	}
	if n := len(w.chain.Deals()); uint64(n) != put.Copies*uint64(len(put.Pieces)) {
		w.t.Errorf("%d deals for %d copies of %d pieces", n, put.Copies, len(put.Pieces))
	}
	all, err := w.client().List(w.ctx)
	w.must(err)
	if len(all) != 1 {
		w.t.Errorf("%d records of one put", len(all))
	}
	spooled, err := os.ReadDir(filepath.Join(w.home, "spool"))
	w.must(err)
	if len(spooled) != 0 {
		w.t.Errorf("the spool holds %v", spooled)
	}
	root, err := client.ParseRoot(put.Root)
	w.must(err)
	var out bytes.Buffer
	_, err = w.client().Get(w.ctx, root, "", client.GetOptions{To: &out})
	w.must(err)
	if !bytes.Equal(out.Bytes(), data) {
		w.t.Error("other bytes came back")
	}
}

// TestRunGoesOn stops a Put at each stage of its waiting; Run brings it to its end.
func TestRunGoesOn(t *testing.T) {
	t.Parallel()
	for _, stage := range []deals.Stage{client.StagePriced, deals.StagePlaced, deals.StageMatched, deals.StageServed} {
		t.Run(string(stage), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			path, _ := w.file(300_000)
			ctx, cancel := context.WithCancel(w.ctx)
			o := client.PutOptions{Event: func(e client.Event) {
				if e.Stage == stage {
					cancel()
				}
			}}
			_, err := w.client().Put(ctx, path, o)
			if err == nil && stage == deals.StageServed {
				return // the seller tells of it from elsewhere: all was over by then
			}
			if err == nil {
				t.Fatal("the put was not stopped")
			}
			c := w.client()
			ctx, cancel = context.WithCancel(w.ctx)
			ran := make(chan error, 1)
			go func() { ran <- c.Run(ctx) }()
			w.settled(c)
			cancel()
			w.must(<-ran)
			if n := w.chain.Placed(clienttest.ClientKey); n > 1 {
				t.Errorf("%d bids for one piece", n)
			}
		})
	}
}

// settled waits for the client's only put, if it was recorded, to be active.
func (w *world) settled(c *client.Client) {
	w.t.Helper()
	err := w.chain.Follow(w.ctx, 1, func(*consensus.Update) error {
		all, err := c.List(w.ctx)
		if err != nil {
			return err
		}
		if len(all) == 0 || all[0].State() == "active" && all[0].Spool == "" {
			return errKilled
		}
		return nil
	})
	if !errors.Is(err, errKilled) {
		w.t.Fatal(err)
	}
}

// TestGetKilled stops a Get while it opens its channel: the channel is found
// again, and no second one is opened.
func TestGetKilled(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		admitted bool
		after    func(w *world)
	}{
		"before the node saw it":  {after: func(*world) {}},
		"after the node saw it":   {admitted: true, after: func(w *world) { w.chain.Advance(1) }},
		"landed, no receipt kept": {admitted: true, after: func(w *world) { w.chain.Advance(1); w.chain.ForgetReceipts() }},
		"its nonce was used":      {after: func(w *world) { w.spendNonce() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			path, data := w.file(700_000)
			put, err := w.client().Put(w.ctx, path, client.PutOptions{Copies: 1})
			w.must(err)
			root, err := client.ParseRoot(put.Root)
			w.must(err)
			killed := false
			w.chain.OnSubmit = func(raw []byte) error {
				if w.kindOf(raw) != chain.KindOpenChannel || killed {
					return nil
				}
				killed = true
				if tc.admitted {
					w.must(w.chain.Submit(context.Background(), raw))
				}
				return errKilled
			}
			var out bytes.Buffer
			if _, err := w.client().Get(w.ctx, root, "", client.GetOptions{To: &out}); err == nil {
				t.Fatal("the first get went through")
			}
			tc.after(w)
			got, err := w.client().Get(w.ctx, root, "", client.GetOptions{To: &out})
			w.must(err)
			if !bytes.Equal(out.Bytes(), data) {
				t.Error("other bytes came back")
			}
			if n := w.chain.Opened(); n != 1 {
				t.Errorf("%d channels opened", n)
			}
			w.books(got)
		})
	}
}

// TestPutRefusals: nothing is sent and nothing is left for what cannot be stored.
func TestPutRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, _ := w.file(1000)
	c := w.client()
	no := errors.New("too dear")
	for name, tc := range map[string]struct {
		path string
		o    client.PutOptions
		says string
	}{
		"no such file":     {w.dir + "/nothing", client.PutOptions{}, "no such file"},
		"not approved":     {path, client.PutOptions{Approve: func(*client.Quote) error { return no }}, "too dear"},
		"no money":         {path, client.PutOptions{Copies: 1, MaxPrice: chain.PDR(1_000_000)}, "not enough money"},
		"too many copies":  {path, client.PutOptions{Copies: 99}, "the network allows"},
		"too short":        {path, client.PutOptions{Duration: client.Duration{Blocks: 1}}, "duration of 1 blocks"},
		"pieces too small": {path, client.PutOptions{PieceSize: 128}, "does not fit"},
	} {
		if _, err := c.Put(w.ctx, tc.path, tc.o); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, tc.says)
		}
	}
	left, err := os.ReadDir(filepath.Join(w.home, "spool"))
	w.must(err)
	all, err := c.List(w.ctx)
	w.must(err)
	if len(left) != 0 || len(all) != 0 || w.balance() != clienttest.ClientMoney {
		t.Errorf("refusals left %v, %d records, %s", left, len(all), w.balance())
	}
}

// TestForget cancels what stands in the book and gets the money back.
func TestForget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, _ := w.file(1000)
	c := w.client()
	put, err := c.Put(w.ctx, path, client.PutOptions{Copies: 3, MaxPrice: chain.Atto(1), NoWait: true})
	w.must(err)
	locked := w.balance()
	w.must(c.Forget(w.ctx, put.Root))
	if back := w.balance(); !locked.Less(back) {
		t.Errorf("balance %s while it stood, %s after", locked, back)
	}
	if all, err := c.List(w.ctx); err != nil || len(all) != 0 {
		t.Errorf("%d records left (%v)", len(all), err)
	}
	if err := c.Forget(w.ctx, put.Root); err == nil {
		t.Error("forgotten twice")
	}
}

// TestVoid: a bid that nobody takes ends as void, with the reason.
func TestVoid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, _ := w.file(1000)
	put, err := w.client().Put(w.ctx, path, client.PutOptions{Copies: 2, Event: func(e client.Event) {
		if e.Stage == deals.StageActive {
			go w.chain.Advance(3100) // past the bid's expiry: the second copy finds no miner
		}
	}})
	w.must(err)
	if put.Complete() || put.State() != "partial" || len(put.Problems()) != 1 || !strings.Contains(put.Problems()[0], "expired") {
		t.Errorf("state %s: %q", put.State(), put.Problems())
	}
}

// prunedChain keeps Updates from a height on.
type prunedChain struct {
	*clienttest.Chain
	oldest chain.Height
}

// Follow implements deals.Chain.
func (c prunedChain) Follow(ctx context.Context, from chain.Height, each func(*consensus.Update) error) error {
	if from < c.oldest {
		return &rpc.PrunedError{Oldest: c.oldest}
	}
	return c.Chain.Follow(ctx, from, each)
}

// TestAwayTooLong comes back when the chain keeps no Updates of the time away.
func TestAwayTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, data := w.file(300_000)
	put, err := w.client().Put(w.ctx, path, client.PutOptions{NoWait: true})
	w.must(err)
	if put.Complete() {
		t.Fatal("--no-wait waited")
	}
	w.chain.Pause(true)
	w.chain.Advance(20)
	w.chain.Pause(false)
	g, err := w.chain.Global(w.ctx)
	w.must(err)
	put, err = w.clientOf(prunedChain{w.chain, g.Height}).Put(w.ctx, path, client.PutOptions{})
	w.must(err)
	w.once(put, data)
}

// forgetful is a chain that has let go of all deals below a number.
type forgetful struct {
	*clienttest.Chain
	below uint64
}

// Record implements deals.Chain.
func (c forgetful) Record(ctx context.Context, k chain.Key, into chain.CBOR) (bool, error) {
	if k.Table == chain.TableDeal && binary.BigEndian.Uint64([]byte(k.ID)) < c.below {
		return false, nil
	}
	return c.Chain.Record(ctx, k, into)
}

// TestForgottenDeals comes back when the chain has let go of deals that ended
// meanwhile: the list says so, and remembers it; what is left is found.
func TestForgottenDeals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, data := w.file(1000)
	put, err := w.client().Put(w.ctx, path, client.PutOptions{Copies: 2})
	w.must(err)
	if !put.Complete() || len(put.Pieces[0].Deals) != 2 {
		t.Fatalf("stored as %+v", put.Pieces)
	}
	first := put.Pieces[0].Deals[0].ID
	for _, node := range []deals.Chain{forgetful{w.chain, first + 1}, w.chain} {
		all, err := w.clientOf(node).List(w.ctx)
		w.must(err)
		if d := all[0].Pieces[0].Deals; all[0].State() != "partial" || d[0].State != "lost" || d[0].Reason == "" || d[1].State != "active" {
			t.Errorf("%s, with deals %+v", all[0].State(), d)
		}
	}
	root, err := client.ParseRoot(put.Root)
	w.must(err)
	var out bytes.Buffer
	_, err = w.clientOf(forgetful{w.chain, first + 1}).Get(w.ctx, root, "", client.GetOptions{To: &out})
	w.must(err)
	if !bytes.Equal(out.Bytes(), data) {
		t.Error("other bytes came back")
	}
}

// TestForgottenBid: a Put that was killed after its bid was sent comes back when
// the chain has let go of deals made since. If the nonce is used it cannot tell
// whether its bid used it, and sends no other; if it is not, it goes on.
func TestForgottenBid(t *testing.T) {
	t.Parallel()
	for name, used := range map[string]bool{"used": true, "not used": false} {
		w := newWorld(t, 2)
		path, data := w.file(1000)
		w.chain.Pause(true)
		killed := false
		w.chain.OnSubmit = func(raw []byte) error {
			if w.kindOf(raw) != chain.KindPlaceBid || killed {
				return nil
			}
			killed = true
			if used {
				w.must(w.chain.Submit(context.Background(), raw))
			}
			return errKilled
		}
		if _, err := w.client().Put(w.ctx, path, client.PutOptions{Copies: 1}); !errors.Is(err, errKilled) {
			t.Fatalf("first put: %v", err)
		}
		w.chain.Advance(8)
		w.chain.ForgetReceipts()
		w.chain.Pause(false)
		g, err := w.chain.Global(w.ctx)
		w.must(err)
		put, err := w.clientOf(forgetful{w.chain, g.NextDeal}).Put(w.ctx, path, client.PutOptions{Copies: 1})
		switch {
		case !used:
			w.must(err)
			w.once(put, data)
		case err == nil || !strings.Contains(err.Error(), "forgotten"):
			t.Errorf("%s: the bid is sent again: %v", name, err)
		case w.chain.Placed(clienttest.ClientKey) != 1:
			t.Errorf("%s: %d bids", name, w.chain.Placed(clienttest.ClientKey))
		}
	}
}
