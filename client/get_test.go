package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/clienttest"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// leafSize is the bytes of a leaf.
const leafSize = 262_144

// stored puts something and returns its root.
func (w *world) stored(c *client.Client, path string, o client.PutOptions) cid.Cid {
	w.t.Helper()
	put, err := c.Put(w.ctx, path, o)
	w.must(err)
	root, err := client.ParseRoot(put.Root)
	w.must(err)
	return root
}

// directory makes one of three files, one of them large, and returns its bytes.
func (w *world) directory() (path string, large []byte) {
	w.t.Helper()
	path = filepath.Join(w.dir, "tree")
	w.must(os.MkdirAll(filepath.Join(path, "sub"), 0o755))
	original, large := w.file(1_300_000)
	w.must(os.Rename(original, filepath.Join(path, "sub", "large")))
	w.must(os.WriteFile(filepath.Join(path, "sub", "small"), []byte("small\n"), 0o644))
	w.must(os.WriteFile(filepath.Join(path, "top"), bytes.Repeat([]byte("top\n"), 1000), 0o644))
	w.must(os.Symlink("sub/small", filepath.Join(path, "link")))
	return path, large
}

// TestGetParts fetches parts of a public directory: only the blocks that they
// need come and are paid.
func TestGetParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, large := w.directory()
	c := w.client()
	root := w.stored(c, path, client.PutOptions{Public: true, PieceSize: 1 << 20})
	for name, tc := range map[string]struct {
		path   []string
		of     *client.Range
		want   []byte
		leaves int
	}{
		"file":               {path: []string{"sub", "large"}, want: large, leaves: 5},
		"small file":         {path: []string{"sub", "small"}, want: []byte("small\n")},
		"range":              {[]string{"sub", "large"}, &client.Range{Offset: 300_000, Length: 10}, large[300_000:300_010], 1},
		"over a border":      {[]string{"sub", "large"}, &client.Range{Offset: leafSize - 1, Length: 2}, large[leafSize-1 : leafSize+1], 2},
		"from an offset on":  {[]string{"sub", "large"}, &client.Range{Offset: 1_299_999}, large[1_299_999:], 1},
		"the last ones":      {[]string{"sub", "large"}, &client.Range{Offset: -10}, large[1_299_990:], 1},
		"beyond the end":     {[]string{"sub", "large"}, &client.Range{Offset: 1_299_999, Length: 5}, large[1_299_999:], 1},
		"more than there is": {[]string{"sub", "small"}, &client.Range{Offset: -100}, []byte("small\n"), 0},
	} {
		dest := filepath.Join(w.dir, "part of "+name)
		got, err := c.Get(w.ctx, root, dest, client.GetOptions{Path: tc.path, Range: tc.of})
		w.must(err)
		back, err := os.ReadFile(dest)
		w.must(err)
		if !bytes.Equal(back, tc.want) || got.SHA256 != sha256.Sum256(tc.want) || got.Size != uint64(len(tc.want)) {
			t.Errorf("%s: other bytes came back", name)
		}
		// Beside the leaves come the nodes on the way, a few hundred bytes each.
		if most := uint64(min(tc.leaves*leafSize, len(large)) + 2_000); got.Bytes > most || got.PaidChunks != got.Chunks {
			t.Errorf("%s: %d bytes in %d chunks, at most %d are needed", name, got.Bytes, got.Chunks, most)
		}
	}
	got, err := c.Get(w.ctx, root, filepath.Join(w.dir, "sub"), client.GetOptions{Path: []string{"sub"}})
	w.must(err)
	back, err := os.ReadFile(filepath.Join(w.dir, "sub", "large"))
	if err != nil || !bytes.Equal(back, large) || got.Kind != pack.KindDirectory {
		t.Errorf("the directory below: a %s, %v", got.Kind, err)
	}
	for name, o := range map[string]client.GetOptions{
		"no such name":         {Path: []string{"sub", "no"}},
		"below a file":         {Path: []string{"top", "x"}},
		"a link":               {Path: []string{"link"}},
		"range of a directory": {Path: []string{"sub"}, Range: &client.Range{Length: 1}},
		"behind the end":       {Path: []string{"top"}, Range: &client.Range{Offset: 4000}},
		"CAR of a range":       {Path: []string{"top"}, Range: &client.Range{Length: 1}, CAR: true},
		"nothing for nothing":  {FreeOnly: true},
	} {
		if _, err := c.Get(w.ctx, root, filepath.Join(w.dir, "no"), o); err == nil {
			t.Errorf("%s: fetched", name)
		}
	}
	left, err := filepath.Glob(filepath.Join(w.dir, "*.part*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	w.spent(c)
}

// spent checks that the records of the transfers say what the channels were charged.
func (w *world) spent(c *client.Client) {
	w.t.Helper()
	transfers, err := c.Transfers(w.ctx)
	w.must(err)
	var paid chain.Amount
	for _, tr := range transfers {
		if paid, err = paid.Add(tr.Paid); err != nil || tr.Ended.IsZero() {
			w.t.Errorf("transfer %+v: %v", tr, err)
		}
		var sum chain.Amount
		for _, s := range tr.Sellers {
			if sum, err = sum.Add(s.Paid); err != nil || s.Miner == "" {
				w.t.Errorf("seller %+v: %v", s, err)
			}
		}
		if sum != tr.Paid {
			w.t.Errorf("transfer %d: %s paid, its sellers got %s", tr.Number, tr.Paid, sum)
		}
	}
	f, err := c.Funds(w.ctx)
	w.must(err)
	var promised chain.Amount
	for _, ch := range f.Channels {
		if promised, err = promised.Add(ch.Promised); err == nil {
			promised, err = promised.Add(ch.Redeemed)
		}
		w.must(err)
	}
	if promised != paid {
		w.t.Errorf("%s on record, %s were paid", paid, promised)
	}
}

// TestGetPrivateRange fetches a range of encrypted content: its header, its end,
// and the leaves that hold the range.
func TestGetPrivateRange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, data := w.file(3_000_000)
	c := w.client()
	root := w.stored(c, path, client.PutOptions{Copies: 1})
	var out bytes.Buffer
	got, err := c.Get(w.ctx, root, "", client.GetOptions{To: &out, Range: &client.Range{Offset: 1_500_000, Length: 1000}})
	w.must(err)
	if !bytes.Equal(out.Bytes(), data[1_500_000:1_501_000]) {
		t.Error("other bytes came back")
	}
	if got.Bytes > 3*leafSize+2_000 {
		t.Errorf("%d bytes came for 1000", got.Bytes)
	}
	w.spent(c)
}

// TestGetFromPrivateDirectory takes one file of a private directory, and no more of
// the directory than comes before it.
func TestGetFromPrivateDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, large := w.directory()
	c := w.client()
	w.must(os.WriteFile(filepath.Join(path, "a-first"), []byte("first\n"), 0o644))
	root := w.stored(c, path, client.PutOptions{Copies: 1})
	for name, want := range map[string][]byte{"a-first": []byte("first\n"), "sub/large": large, "sub/small": []byte("small\n")} {
		dest := filepath.Join(w.dir, "out "+filepath.Base(name))
		_, err := c.Get(w.ctx, root, dest, client.GetOptions{Path: strings.Split(name, "/")})
		w.must(err)
		if back, err := os.ReadFile(dest); err != nil || !bytes.Equal(back, want) {
			t.Errorf("%s: other bytes came back (%v)", name, err)
		}
	}
	var out bytes.Buffer
	_, err := c.Get(w.ctx, root, "", client.GetOptions{To: &out, Path: []string{"sub", "large"}, Range: &client.Range{Offset: 5, Length: 7}})
	if err != nil || !bytes.Equal(out.Bytes(), large[5:12]) {
		t.Errorf("a range of a file in it: %q, %v", out.Bytes(), err)
	}
	for _, p := range [][]string{{"no"}, {"sub"}, {"link"}} {
		if _, err := c.Get(w.ctx, root, "", client.GetOptions{To: io.Discard, Path: p}); err == nil {
			t.Errorf("%v: fetched", p)
		}
	}
	w.spent(c)
}

// firstByte is a writer that tells of its first byte.
type firstByte struct {
	bytes.Buffer
	once sync.Once
	told chan struct{}
}

func (f *firstByte) Write(p []byte) (int, error) {
	f.once.Do(func() { close(f.told) })
	return f.Buffer.Write(p)
}

// TestGetNowhere: what could not be written is refused before anything is paid.
func TestGetNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, _ := w.file(300_000)
	c := w.client()
	root := w.stored(c, path, client.PutOptions{})
	before := w.balance()
	for want, o := range map[string]client.GetOptions{
		"no such file or directory": {},
		"there is nothing below it": {Path: []string{"name"}},
	} {
		if _, err := c.Get(w.ctx, root, filepath.Join(w.dir, "none", "dest"), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if after := w.balance(); after != before {
		t.Errorf("the account went from %s to %s", before, after)
	}
}

// TestGetStreams holds the fetch up after its fourth chunk until the first byte
// has been written: content goes out while most of it is still to come.
func TestGetStreams(t *testing.T) {
	t.Parallel()
	for _, public := range []bool{true, false} {
		w := newWorld(t, 1)
		path, data := w.file(3_000_000)
		c := w.client()
		root := w.stored(c, path, client.PutOptions{Copies: 1, Public: public})
		out := &firstByte{told: make(chan struct{})}
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		_, err := c.Get(ctx, root, "", client.GetOptions{To: out, Progress: func(p client.Progress) {
			if p.Chunks == 4 {
				select {
				case <-out.told:
				case <-w.ctx.Done():
				}
			}
		}})
		w.must(err)
		if !bytes.Equal(out.Bytes(), data) {
			t.Error("other bytes came out")
		}
	}
}

// TestGetCAR takes the blocks in place of the content, twice the same.
func TestGetCAR(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, _ := w.directory()
	c := w.client()
	root := w.stored(c, path, client.PutOptions{Public: true})
	dest := filepath.Join(w.dir, "x.car")
	got, err := c.Get(w.ctx, root, dest, client.GetOptions{CAR: true})
	w.must(err)
	archive, err := os.ReadFile(dest)
	w.must(err)
	walk, err := dag.NewWalker(root)
	w.must(err)
	r, err := car.NewReader(bytes.NewReader(archive), car.Options{Root: root})
	w.must(err)
	w.must(walk.AcceptCAR(r, func(car.Block) error { return nil }))
	if !walk.Done() || got.Kind != client.KindCAR || got.Size != uint64(len(archive)) || got.SHA256 != sha256.Sum256(archive) {
		t.Errorf("a CAR of %d bytes, whole: %v", got.Size, walk.Done())
	}
	var again bytes.Buffer
	if _, err := c.Get(w.ctx, root, "", client.GetOptions{CAR: true, To: &again}); err != nil || !bytes.Equal(again.Bytes(), archive) {
		t.Errorf("another CAR came of the same root (%v)", err)
	}
}

// TestGetPiece takes a piece as it is stored.
func TestGetPiece(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, _ := w.file(700_000)
	c := w.client()
	put, err := c.Put(w.ctx, path, client.PutOptions{PieceSize: 512 << 10})
	w.must(err)
	for _, p := range put.Pieces {
		name, err := client.ParseRoot(p.CID)
		w.must(err)
		dest := filepath.Join(w.dir, p.CID)
		got, err := c.Get(w.ctx, name, dest, client.GetOptions{})
		w.must(err)
		f, err := os.Open(dest)
		w.must(err)
		defer f.Close()
		sum, err := piece.Commit(f)
		if err != nil || sum.CID != name || got.Size != p.PayloadSize || got.Kind != client.KindPiece {
			t.Errorf("piece %s came as %s of %d bytes (%v)", name, sum.CID, got.Size, err)
		}
	}
	small, _ := w.files(3)
	many, err := c.PutMany(w.ctx, small, client.PutOptions{})
	w.must(err)
	shared, err := client.ParseRoot(many.Objects[0].Pieces[0].CID)
	w.must(err)
	var out bytes.Buffer
	if _, err := c.Get(w.ctx, shared, "", client.GetOptions{To: &out}); err != nil {
		t.Errorf("the piece of several payloads: %v", err)
	} else if sum, err := piece.Commit(&out); err != nil || sum.CID != shared {
		t.Errorf("the piece of several payloads came as %s (%v)", sum.CID, err)
	}
	w.spent(c)
	w.funds(c, chain.Amount{}) // the shared piece is counted once
	unknown, err := client.ParseRoot("baga6ea4seaqaebji57khucsmwm5ya5tbuu5oxjzk6ehopfwzye4ixzanfjmkcka")
	w.must(err)
	if _, err := c.Get(w.ctx, unknown, "", client.GetOptions{To: io.Discard}); !errors.Is(err, client.ErrNotStored) {
		t.Errorf("a piece that nobody stores: %v", err)
	}
}

// TestGetStopped stops a Get to a file after every chunk, until it is whole: no
// chunk but those on their way is fetched twice, and the file is right.
func TestGetStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, data := w.file(2_000_000)
	c := w.client()
	root := w.stored(c, path, client.PutOptions{Copies: 1, Public: true})
	dest := filepath.Join(w.dir, "fetched")
	stops := 0
	for {
		ctx, cancel := context.WithCancel(w.ctx)
		begun := false
		_, err := w.client().Get(ctx, root, dest, client.GetOptions{Progress: func(p client.Progress) {
			if begun = p.Chunks >= 2; begun { // the first may be the root
				cancel()
			}
		}})
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) || !begun {
			t.Fatal(err)
		}
		if _, err := os.Stat(dest); !errors.Is(err, os.ErrNotExist) {
			t.Fatal("a stopped get left a file at its destination")
		}
		if stops++; stops > 20 {
			t.Fatal("it never ends")
		}
	}
	back, err := os.ReadFile(dest)
	w.must(err)
	if !bytes.Equal(back, data) {
		t.Error("other bytes came back")
	}
	transfers, err := c.Transfers(w.ctx)
	w.must(err)
	var chunks uint64
	for _, tr := range transfers {
		chunks += tr.Chunks
	}
	if all := uint64(len(data)/leafSize + 2); stops == 0 || chunks > all+4*uint64(stops) {
		t.Errorf("%d chunks of %d were fetched over %d stops", chunks, all, stops)
	}
	w.spent(c)
}

// TestGetOutlivesVouchers lets the voucher that pays expire in the middle of a
// stream: the seller breaks off, and another session goes on from there.
func TestGetOutlivesVouchers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, data := w.file(24_000_000)
	c := w.client()
	root := w.stored(c, path, client.PutOptions{Copies: 1, Public: true})
	var once sync.Once
	var out bytes.Buffer
	_, err := c.Get(w.ctx, root, "", client.GetOptions{To: &out, Progress: func(p client.Progress) {
		if p.Chunks == 75 {
			once.Do(func() { w.chain.Advance(2_100) })
		}
	}})
	w.must(err)
	if !bytes.Equal(out.Bytes(), data) {
		t.Error("other bytes came out")
	}
	w.spent(c)
}

// TestGetFailed keeps on record what a fetch that failed has cost.
func TestGetFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, _ := w.file(1_300_000)
	c := w.client()
	root := w.stored(c, path, client.PutOptions{Copies: 1, Public: true})
	_, err := c.Get(w.ctx, root, "", client.GetOptions{To: io.Discard, Budget: chain.Atto(3 * 1_000_000_000_000)})
	if !errors.Is(err, buyer.ErrBudget) {
		t.Fatalf("beyond its budget: %v", err)
	}
	transfers, err := c.Transfers(w.ctx)
	w.must(err)
	if tr := transfers[0]; tr.Error == "" || tr.Paid.IsZero() || tr.Chunks == 0 || !strings.Contains(tr.Error, "budget") {
		t.Errorf("on record: %+v", tr)
	}
	w.spent(c)
}

func TestParseRange(t *testing.T) {
	for text, want := range map[string]client.Range{"0-99": {Length: 100}, "5-5": {Offset: 5, Length: 1}, "7-": {Offset: 7}, "-3": {Offset: -3}} {
		if got, err := client.ParseRange(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-", "-0", "5-4", "a-b", "1-2-3", "--1", "5"} {
		if got, err := client.ParseRange(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

// hidden is a directory that knows of no deals.
type hidden struct{ *clienttest.Chain }

// DealsOf implements client.Directory.
func (hidden) DealsOf(context.Context, string) (deals, claimed []uint64, err error) {
	return nil, nil, nil
}

// DealsOfPiece implements client.Directory.
func (hidden) DealsOfPiece(context.Context, string) ([]uint64, error) { return nil, nil }

// finder names peers.
type finder []chain.Peer

// FindProviders implements client.Finder.
func (f finder) FindProviders(context.Context, cid.Cid, int) ([]chain.Peer, error) { return f, nil }

// rolls is a node that lists where miners are.
type rolls []chain.Peer

// JSON implements p2p.Explorer.
func (r rolls) JSON(_ context.Context, _ string, v any) error {
	var items []any
	for _, p := range r {
		items = append(items, map[string]any{"peer": map[string]any{"id": p2p.FormatPeer(string(p.ID)), "addrs": p2p.FormatAddrs(p)}})
	}
	raw, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// TestFinders fetches what neither the chain nor the records know, from peers that
// a Finder names: one that has it, and one that has not. The hash table is one, of
// which the client knows only a miner that is in it.
func TestFinders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, data := w.file(700_000)
	root := w.stored(w.client(), path, client.PutOptions{Public: true, Copies: 1})
	with := func(finders func(*p2p.Host) []client.Finder) *client.Client {
		identity, err := p2p.LoadIdentity(filepath.Join(t.TempDir(), "identity"))
		w.must(err)
		host, err := p2p.New(p2p.Config{Identity: identity})
		w.must(err)
		t.Cleanup(func() { w.must(host.Close()) })
		sender, err := wallet.NewSender(w.chain, clienttest.Key(clienttest.ClientKey), chain.Amount{})
		w.must(err)
		c, err := client.New(client.Config{Home: t.TempDir(), Chain: w.chain, Directory: hidden{w.chain}, Sender: sender, Host: host, Finders: finders(host)})
		w.must(err)
		return c
	}
	stranger := func(finders ...client.Finder) *client.Client {
		return with(func(*p2p.Host) []client.Finder { return finders })
	}
	if _, err := stranger().Get(w.ctx, root, "", client.GetOptions{To: io.Discard}); !errors.Is(err, client.ErrNotStored) {
		t.Errorf("without a finder: %v", err)
	}
	var out bytes.Buffer
	c := stranger(finder{}, finder{w.miners[1].Host.Self(), w.miners[0].Host.Self()})
	if _, err := c.Get(w.ctx, root, "", client.GetOptions{To: &out}); err != nil || !bytes.Equal(out.Bytes(), data) {
		t.Errorf("by a finder: %v", err)
	}

	hub, has := w.miners[1].Host, w.miners[0].Host
	w.must(hub.JoinDHT(w.ctx, p2p.DHTConfig{Server: true}))
	w.must(has.JoinDHT(w.ctx, p2p.DHTConfig{Peers: []chain.Peer{hub.Self()}}))
	w.must(has.MeetDHT(w.ctx, []chain.Peer{hub.Self()}))
	w.must(has.Announce(w.ctx, root))
	c = with(func(host *p2p.Host) []client.Finder {
		return []client.Finder{&p2p.Table{Host: host, Node: rolls{hub.Self()}}}
	})
	out.Reset()
	if _, err := c.Get(w.ctx, root, "", client.GetOptions{To: &out}); err != nil || !bytes.Equal(out.Bytes(), data) {
		t.Errorf("by the hash table: %v", err)
	}
}

// TestGetFree takes what is given away: without a key, and without a channel where
// there is one.
func TestGetFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, data := w.file(700_000)
	c := w.client()
	root := w.stored(c, path, client.PutOptions{Public: true})
	if _, err := c.Get(w.ctx, root, "", client.GetOptions{To: io.Discard, FreeOnly: true}); !errors.Is(err, buyer.ErrNoSeller) {
		t.Errorf("where all of them ask a price: %v", err)
	}
	shop, err := seller.New(seller.Config{ChainID: "clienttest", Source: w.miners[1], Prices: seller.Terms{Access: seller.Free}})
	w.must(err)
	w.miners[1].Host.Serve(shop.Handle)
	identity, err := p2p.LoadIdentity(filepath.Join(t.TempDir(), "identity"))
	w.must(err)
	host, err := p2p.New(p2p.Config{Identity: identity})
	w.must(err)
	t.Cleanup(func() { w.must(host.Close()) })
	guest, err := client.New(client.Config{Home: t.TempDir(), Chain: w.chain, Directory: w.chain, Host: host})
	w.must(err)
	for _, c := range []*client.Client{c, guest} {
		var out bytes.Buffer
		got, err := c.Get(w.ctx, root, "", client.GetOptions{To: &out, FreeOnly: true})
		w.must(err)
		if !bytes.Equal(out.Bytes(), data) || !got.Paid.IsZero() || w.chain.Opened() != 0 {
			t.Errorf("%d bytes for %s", out.Len(), got.Paid)
		}
	}
	if _, err := guest.Get(w.ctx, root, "", client.GetOptions{To: io.Discard}); !errors.Is(err, client.ErrNoKey) {
		t.Errorf("a guest that may pay: %v", err)
	}
}
