package client_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/clienttest"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/link"
)

// renewals are what the chain says about the renewal of each deal.
func (w *world) renewals() (out []uint64) {
	for _, d := range w.chain.Deals() {
		n := uint64(0)
		if d.Renew != nil {
			n = d.Renew.Count
		}
		out = append(out, n)
	}
	return out
}

// TestRenewAndRemove sets the renewal of copies on chain, stops it again, and says
// which deals go on all the same.
func TestRenewAndRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, _ := w.file(300_000)
	c := w.client()
	put, err := c.Put(w.ctx, path, client.PutOptions{})
	w.must(err)
	r, err := c.Renew(w.ctx, put.Root, client.RenewOptions{Count: 3})
	w.must(err)
	if len(r.Set) != 2 || len(r.Bids) != 0 || w.renewals()[0] != 3 || w.renewals()[1] != 3 {
		t.Fatalf("set %v, bids %d, on chain %v", r.Set, len(r.Bids), w.renewals())
	}
	gone, err := c.Remove(w.ctx, put.Root)
	w.must(err)
	if len(gone.Stopped) != 2 || len(gone.Stay) != 2 || gone.Stay[0].End == 0 || w.renewals()[0] != 0 || w.renewals()[1] != 0 {
		t.Errorf("%+v, on chain %v", gone, w.renewals())
	}
	if _, err := c.Renew(w.ctx, put.Root, client.RenewOptions{}); err == nil {
		t.Error("renewed what this home forgot")
	}
}

// TestRenewLate places a bid with the holders once it is too late to set the renewal: they
// have the piece, and nothing is sent.
func TestRenewLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	paths, contents := w.files(2)
	c := w.client()
	many, err := c.PutMany(w.ctx, paths, client.PutOptions{Duration: client.Duration{Blocks: 400}})
	w.must(err)
	w.chain.Advance(250)
	root := many.Objects[0].Root
	r, err := c.Renew(w.ctx, root, client.RenewOptions{})
	w.must(err)
	if len(r.Set) != 0 || len(r.Bids) != 1 || r.Others != 1 || r.Bids[0].Copies != 2 || len(r.Bids[0].Allow) != 2 {
		t.Fatalf("%+v", r)
	}
	if n := w.chain.Placed(clienttest.ClientKey); n != 2 {
		t.Errorf("%d bids", n)
	}
	all, err := c.List(w.ctx)
	w.must(err)
	if len(all) != 6 { // the piece and its two contents, twice
		t.Errorf("%d records", len(all))
	}
	w.fetched(many.Objects[1], contents[1])
}

// TestRemoveShared: what is in a piece with others goes, the piece stays for them.
func TestRemoveShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	paths, contents := w.files(2)
	c := w.client()
	r, err := c.PutMany(w.ctx, paths, client.PutOptions{Renew: 2})
	w.must(err)
	gone, err := c.Remove(w.ctx, r.Objects[0].Root)
	w.must(err)
	if gone.Others != 1 || len(gone.Stopped) != 0 || len(gone.Stay) != 2 || w.renewals()[0] != 2 {
		t.Errorf("first: %+v", gone)
	}
	w.fetched(r.Objects[1], contents[1])
	gone, err = c.Remove(w.ctx, r.Objects[1].Root)
	w.must(err)
	if gone.Others != 0 || len(gone.Stopped) != 2 || w.renewals()[0] != 0 {
		t.Errorf("second: %+v, on chain %v", gone, w.renewals())
	}
	if all, err := c.List(w.ctx); err != nil || len(all) != 0 {
		t.Errorf("%d records left (%v)", len(all), err)
	}
}

// TestFind: a name that several contents have says of none which is meant.
func TestFind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	c := w.client()
	var roots []string
	for size := range 2 {
		path, _ := w.file(1_000 + size)
		put, err := c.Put(w.ctx, path, client.PutOptions{NoWait: true})
		w.must(err)
		roots = append(roots, put.Root)
		switch got, err := c.Find(w.ctx, "original"); {
		case size == 0 && (err != nil || got.String() != roots[0]):
			t.Errorf("found %s, %v; want %s", got, err, roots[0])
		case size == 1 && !errors.Is(err, client.ErrSeveral):
			t.Errorf("of two found %s, %v", got, err)
		}
	}
	if got, err := c.Find(w.ctx, roots[1]); err != nil || got.String() != roots[1] {
		t.Errorf("by its root found %s, %v", got, err)
	}
	if _, err := c.Find(w.ctx, "another"); !errors.Is(err, files.ErrNoRecord) {
		t.Errorf("what is not there: %v", err)
	}
}

// TestShare: a link opens private content in another home, also of a piece that is
// shared, and so does a backup of the keys.
func TestShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	paths, contents := w.files(3)
	c := w.client()
	r, err := c.PutMany(w.ctx, paths, client.PutOptions{})
	w.must(err)
	root, err := c.Find(w.ctx, "small-1")
	w.must(err)
	l, err := c.Share(w.ctx, root)
	w.must(err)
	if l.Key == "" || l.Bid == 0 || l.Name != "small-1" || l.Root.String() != r.Objects[1].Root {
		t.Fatalf("link %+v", l)
	}
	var backup bytes.Buffer
	if n, err := c.ExportKeys(w.ctx, &backup); err != nil || n != 3 {
		t.Fatalf("%d keys exported (%v)", n, err)
	}
	w.home = filepath.Join(w.dir, "another")
	parsed, err := link.Parse(l.String())
	w.must(err)
	w.must(w.client().Import(w.ctx, parsed))
	w.must(w.client().Import(w.ctx, parsed)) // changes nothing
	w.fetched(&files.Object{Root: l.Root.String(), Name: "linked"}, contents[1])
	all, err := w.client().List(w.ctx)
	w.must(err)
	if len(all) != 1 || all[0].State() != "imported" || len(all[0].Problems()) != 0 {
		t.Errorf("%d records, the first is %s", len(all), all[0].State())
	}
	w.home = filepath.Join(w.dir, "a third")
	if n, err := w.client().ImportKeys(w.ctx, strings.NewReader("# backup\n\n"+backup.String())); err != nil || n != 3 {
		t.Fatalf("%d keys imported (%v)", n, err)
	}
	w.fetched(&files.Object{Root: r.Objects[2].Root, Name: "backed up"}, contents[2])
	if _, err := w.client().ImportKeys(w.ctx, strings.NewReader("hello")); err == nil {
		t.Error("a line that is no link was read")
	}
}

// TestWarnings: a miner that is late, and a copy that ends, are told of in time.
func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		deal   files.Deal
		renew  bool
		height chain.Height
		says   string
	}{
		"fetch, time enough": {files.Deal{State: "matched", Matched: 100, FetchBy: 300}, false, 150, ""},
		"fetch, late":        {files.Deal{State: "matched", Matched: 100, FetchBy: 300}, false, 290, "within 5s"},
		"prove, late":        {files.Deal{State: "accepted", Accepted: 100, ActivateBy: 300}, false, 299, "proven within"},
		"ends":               {files.Deal{State: "active", ActiveAt: 0, End: 1000}, false, 950, "perdure renew"},
		"ends, renewed":      {files.Deal{State: "active", ActiveAt: 0, End: 1000}, true, 950, ""},
		"goes on":            {files.Deal{State: "active", ActiveAt: 0, End: 1000}, false, 500, ""},
		"over":               {files.Deal{State: "completed", End: 1000}, false, 1001, ""},
	} {
		o := &files.Object{Pieces: []files.Piece{{Deals: []files.Deal{c.deal}}}}
		if c.renew {
			o.Renew = &files.Renew{Count: 1}
		}
		got := client.Warnings(o, c.height, 500)
		if (c.says == "") != (len(got) == 0) || c.says != "" && !strings.Contains(got[0], c.says) {
			t.Errorf("%s: %q, want %q", name, got, c.says)
		}
	}
}
