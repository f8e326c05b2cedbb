package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/clienttest"
	"github.com/perdure/perdure/client/files"
)

// files writes small files of different sizes and returns their paths and contents.
func (w *world) files(n int) (paths []string, contents [][]byte) {
	w.t.Helper()
	for i := range n {
		data := bytes.Repeat(fmt.Appendf(nil, "file %d ", i), 100*(i+1))
		path := filepath.Join(w.dir, fmt.Sprintf("small-%d", i))
		w.must(os.WriteFile(path, data, 0o644))
		paths, contents = append(paths, path), append(contents, data)
	}
	return paths, contents
}

// fetched checks that a root gives these bytes, from a miner, for pay.
func (w *world) fetched(o *files.Object, data []byte) *client.GetResult {
	w.t.Helper()
	root, err := client.ParseRoot(o.Root)
	w.must(err)
	var out bytes.Buffer
	got, err := w.client().Get(w.ctx, root, "", client.GetOptions{To: &out})
	w.must(err)
	if !bytes.Equal(out.Bytes(), data) {
		w.t.Errorf("%s: other bytes came back", o.Name)
	}
	return got
}

// TestPutMany stores small files in one piece and a large one beside it, and fetches
// each by its root; what one of the small ones costs does not grow with the piece.
func TestPutMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	paths, contents := w.files(12)
	big, bigData := w.file(3_000_000)
	paths, contents = append(paths, big), append(contents, bigData)
	quotes := 0
	r, err := w.client().PutMany(w.ctx, paths, client.PutOptions{Approve: func(q *client.Quote) error {
		quotes++
		if q.Market.Missing != 0 || q.Objects != 0 && q.Objects != 12 {
			t.Errorf("quote for %d objects, %d copies missing", q.Objects, q.Market.Missing)
		}
		return nil
	}})
	w.must(err)
	if !r.Complete() || len(r.Objects) != 13 || len(r.Stored) != 2 || quotes != 2 {
		t.Fatalf("%d objects in %d pieces, %d quotes", len(r.Objects), len(r.Stored), quotes)
	}
	if n := w.chain.Placed(clienttest.ClientKey); n != 2 {
		t.Errorf("%d bids", n)
	}
	for i, o := range r.Objects {
		if o.Name != filepath.Base(paths[i]) || o.State() != "active" || (o.In == 0) != (i == 12) {
			t.Fatalf("object %d: %s, %s, in %d", i, o.Name, o.State(), o.In)
		}
	}
	for _, i := range []int{0, 5, 11} {
		if got := w.fetched(r.Objects[i], contents[i]); got.Chunks != 1 || got.Paid != clienttest.ChunkPrice {
			t.Errorf("%s: %d chunks for %s", r.Objects[i].Name, got.Chunks, got.Paid)
		}
	}
	w.fetched(r.Objects[12], bigData)
	left, err := os.ReadDir(filepath.Join(w.home, "spool"))
	w.must(err)
	if len(left) != 0 {
		t.Errorf("the spool holds %v", left)
	}
}

// TestBatch lets files wait over several clients, and stores them with one bid.
func TestBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	paths, contents := w.files(3)
	for range 2 { // the second time all of them wait already
		for _, path := range paths {
			o, err := w.client().AddToBatch(w.ctx, path, client.PutOptions{})
			w.must(err)
			if o.State() != "waiting" {
				t.Fatalf("%s is %s", path, o.State())
			}
		}
	}
	big, _ := w.file(3_000_000)
	if _, err := w.client().AddToBatch(w.ctx, big, client.PutOptions{}); err == nil {
		t.Error("a large file waits to share a piece")
	}
	c := w.client()
	for b, want := range map[client.Batch]bool{{}: false, {Bytes: 1}: true, {Age: 1}: true} {
		if due, err := c.Due(w.ctx, b); err != nil || due != want {
			t.Errorf("%+v: due %v (%v)", b, due, err)
		}
	}
	if n := w.chain.Placed(clienttest.ClientKey); n != 0 {
		t.Fatalf("%d bids before the flush", n)
	}
	r, err := c.Flush(w.ctx, client.PutOptions{})
	w.must(err)
	w.onePiece(r, contents)
	if due, err := c.Due(w.ctx, client.Batch{Bytes: 1}); err != nil || due {
		t.Errorf("due after the flush (%v)", err)
	}
	if r, err := c.Flush(w.ctx, client.PutOptions{}); err != nil || len(r.Stored) != 0 {
		t.Errorf("flushed twice: %+v, %v", r, err)
	}
}

// onePiece checks that all contents are in one piece that was bid for once.
func (w *world) onePiece(r *client.ManyResult, contents [][]byte) {
	w.t.Helper()
	if !r.Complete() || len(r.Stored) != 1 {
		w.t.Fatalf("%d pieces, complete %v", len(r.Stored), r.Complete())
	}
	if n := w.chain.Placed(clienttest.ClientKey); n != 1 {
		w.t.Errorf("%d bids", n)
	}
	if n := len(w.chain.Deals()); n != 2 {
		w.t.Errorf("%d deals for two copies", n)
	}
	all, err := w.client().List(w.ctx)
	w.must(err)
	members := 0
	for _, o := range all {
		if o.Kind == files.KindBatch {
			continue
		}
		w.fetched(o, contents[members])
		members++
	}
	if members != len(contents) || len(all) != members+1 {
		w.t.Errorf("%d records, %d of contents", len(all), members)
	}
	stands, err := w.client().Status(w.ctx)
	w.must(err)
	for _, s := range stands {
		if want := s.Object.Kind == files.KindBatch; want != (len(s.Holds) == members) || !want && s.Holds != nil {
			w.t.Errorf("the %s %q holds %d contents", s.Object.Kind, s.Object.Name, len(s.Holds))
		}
	}
	spooled, err := os.ReadDir(filepath.Join(w.home, "spool"))
	w.must(err)
	if len(spooled) != 0 {
		w.t.Errorf("the spool holds %v", spooled)
	}
}

// TestManyKilled stops a PutMany and a Flush where a process can end, and gives them
// again: there is one bid in the end.
func TestManyKilled(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		batch    bool
		admitted bool
		after    func(w *world)
	}{
		"many, before the node saw it":     {after: func(*world) {}},
		"many, landed":                     {admitted: true, after: func(w *world) { w.chain.Advance(1) }},
		"many, matched, no receipt kept":   {admitted: true, after: func(w *world) { w.chain.Advance(8); w.chain.ForgetReceipts() }},
		"batch, before the node saw it":    {batch: true, after: func(*world) {}},
		"batch, landed, no receipt kept":   {batch: true, admitted: true, after: func(w *world) { w.chain.Advance(1); w.chain.ForgetReceipts() }},
		"batch, its nonce went to another": {batch: true, after: func(w *world) { w.spendNonce() }},
		"batch, dropped by the node":       {batch: true, admitted: true, after: func(w *world) { w.chain.DropPending() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			paths, contents := w.files(4)
			store := func(c *client.Client) (*client.ManyResult, error) {
				return c.PutMany(w.ctx, paths, client.PutOptions{})
			}
			if tc.batch {
				for _, path := range paths {
					_, err := w.client().AddToBatch(w.ctx, path, client.PutOptions{})
					w.must(err)
				}
				store = func(c *client.Client) (*client.ManyResult, error) { return c.Flush(w.ctx, client.PutOptions{}) }
			}
			w.chain.Pause(true)
			killed := false
			w.chain.OnSubmit = func(raw []byte) error {
				if w.kindOf(raw) != chain.KindPlaceBid || killed {
					return nil
				}
				killed = true
				if tc.admitted {
					w.must(w.chain.Submit(context.Background(), raw))
				}
				return errKilled
			}
			if _, err := store(w.client()); !errors.Is(err, errKilled) {
				t.Fatalf("first: %v", err)
			}
			tc.after(w)
			w.chain.Pause(false)
			r, err := store(w.client())
			w.must(err)
			w.onePiece(r, contents)
		})
	}
}
