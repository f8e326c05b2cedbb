package client_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
)

// TestQuoteMany compares a quote for several paths with what putting them then bids for.
func TestQuoteMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	paths, _ := w.files(12)
	big, _ := w.file(3_000_000)
	paths = append(paths, big)
	q, err := w.client().QuoteMany(w.ctx, paths, client.PutOptions{Public: true})
	w.must(err)
	if len(q.Contents) != 13 || len(q.Pieces) != 2 || q.Market.Missing != 0 || len(q.Market.Copies) != 4 {
		t.Fatalf("%d contents in %d pieces, market %+v", len(q.Contents), len(q.Pieces), q.Market)
	}
	locked := chain.Amount{}
	r, err := w.client().PutMany(w.ctx, paths, client.PutOptions{Public: true, NoWait: true, Approve: func(q *client.Quote) (err error) {
		locked, err = locked.Add(q.Market.Price)
		return err
	}})
	w.must(err)
	if locked != q.Market.Price {
		t.Errorf("quoted %s, the pieces cost %s", q.Market.Price, locked)
	}
	for i, o := range r.Objects {
		if c := q.Contents[i]; c.Root.String() != o.Root || c.Name != o.Name || c.Size != o.Size || (c.Pieces == nil) != (o.In != 0) {
			t.Errorf("content %d: quoted %+v, put %+v", i, c, o)
		}
	}
	sizes := map[uint64]bool{}
	for _, stored := range r.Stored {
		sizes[stored.Pieces[0].PaddedSize] = true
	}
	for i := range q.Pieces {
		if !sizes[q.Pieces[i].PaddedSize] {
			t.Errorf("quoted a piece of %d bytes, put %v", q.Pieces[i].PaddedSize, sizes)
		}
	}
}

// TestQuoteBatch: what waits on the same terms is in the quote, what does not is not.
func TestQuoteBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	paths, _ := w.files(4)
	for i, o := range []client.PutOptions{{}, {}, {Copies: 1}} {
		_, err := w.client().AddToBatch(w.ctx, paths[i], o)
		w.must(err)
	}
	q, err := w.client().QuoteBatch(w.ctx, paths[3:], client.PutOptions{})
	w.must(err)
	if len(q.Contents) != 3 || len(q.Pieces) != 1 || q.Contents[0].Name != "small-0" || q.Contents[2].Name != "small-3" || q.Market.Missing != 0 {
		t.Errorf("%d contents in %d pieces: %+v", len(q.Contents), len(q.Pieces), q.Market)
	}
	big, _ := w.file(3_000_000)
	if _, err := w.client().QuoteBatch(w.ctx, []string{big}, client.PutOptions{}); err == nil {
		t.Error("a large file is quoted for the batch, which does not take it")
	}
}

// TestQuoteWritesNothing: a quote leaves nothing in the home, nor among temporary files.
func TestQuoteWritesNothing(t *testing.T) {
	w := newWorld(t, 2)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	path, _ := w.file(5_000_000)
	paths, _ := w.files(2)
	c := w.client()
	before := names(t, w.home)
	for _, public := range []bool{true, false} {
		_, err := c.Quote(w.ctx, path, client.PutOptions{Public: public, Event: func(client.Event) {
			if now := names(t, temp); len(now) > 0 {
				t.Errorf("temporary files: %v", now)
			}
		}})
		w.must(err)
		_, err = c.QuoteMany(w.ctx, paths, client.PutOptions{Public: public})
		w.must(err)
		_, err = c.Quote(w.ctx, filepath.Dir(path), client.PutOptions{Public: public})
		w.must(err)
	}
	if after := names(t, w.home); len(after) != len(before) {
		t.Errorf("the home holds %v, before %v", after, before)
	}
}

// names are the files below a directory, without those of the records' database.
func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "records" {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRegions: only miners that claim a region are bid for, as quoted.
func TestRegions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, _ := w.file(10_000)
	o := client.PutOptions{Regions: []string{"us", "eu", "eu"}, MaxPrice: chain.PDR(1), NoWait: true}
	q, err := w.client().Quote(w.ctx, path, o)
	w.must(err)
	if q.Market.Missing != 2 { // the miners claim none
		t.Errorf("%d copies missing", q.Market.Missing)
	}
	put, err := w.client().Put(w.ctx, path, o)
	w.must(err)
	var order chain.Order
	ok, err := w.chain.Record(w.ctx, chain.OrderKey(put.Pieces[0].Bid.Order), &order)
	w.must(err)
	if !ok || len(order.Bid.Regions) != 2 || order.Bid.Regions[0] != "eu" || order.Bid.Regions[1] != "us" {
		t.Errorf("bid %+v", order.Bid)
	}
	all, err := w.client().Status(w.ctx)
	w.must(err)
	copies := all[0].Copies
	if len(copies) != 2 || copies[0].State != "bid" || copies[0].Deadline != order.Bid.Expiry || copies[0].Left == 0 || copies[0].Miner != "" {
		t.Errorf("copies %+v", copies)
	}
	if _, err := w.client().Quote(w.ctx, path, client.PutOptions{Regions: []string{"Europe"}}); err == nil {
		t.Error("a region that nobody can claim is quoted for")
	}
}

// TestCopies: a copy that is stored lasts to the end of its term, and the next quote
// expects what it took.
func TestCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, _ := w.file(10_000)
	put, err := w.client().Put(w.ctx, path, client.PutOptions{})
	w.must(err)
	all, err := w.client().Status(w.ctx)
	w.must(err)
	for i, c := range all[0].Copies {
		d := put.Pieces[0].Deals[i]
		if c.State != "active" || c.Deal != d.ID || c.Deadline != d.End || c.Left == 0 || c.Expected != 0 || c.Miner == "" {
			t.Errorf("copy %+v of deal %+v", c, d)
		}
	}
	q, err := w.client().Quote(w.ctx, path, client.PutOptions{})
	w.must(err)
	p, err := w.chain.Params(w.ctx)
	w.must(err)
	least := min(put.Pieces[0].Deals[0].ActiveAt-put.Pieces[0].Deals[0].Matched, put.Pieces[0].Deals[1].ActiveAt-put.Pieces[0].Deals[1].Matched)
	if q.Market.Deals != 2 || q.Market.Expected < p.MatchDelay+uint64(least) {
		t.Errorf("%d blocks expected, by %d deals", q.Market.Expected, q.Market.Deals)
	}
}
