package client_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/clienttest"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/p2p"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // tests wait for blocks most of the time
		panic(err)
	}
	goleak.VerifyTestMain(m,
		// The QUIC transport of libp2p keeps these for the life of the process.
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
		goleak.IgnoreAnyFunction("github.com/libp2p/go-libp2p/p2p/transport/quicreuse.(*reuse).gc"))
}

// world is a chain with miners, and a client's home.
type world struct {
	t      *testing.T
	ctx    context.Context
	chain  *clienttest.Chain
	miners []*clienttest.Miner
	dir    string
	home   string
}

// newWorld starts a chain with some miners, the first the cheapest.
func newWorld(t *testing.T, miners int) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	var prices []chain.Amount
	for n := range miners {
		prices = append(prices, chain.Atto(uint64(1_000_000_000*(n+1))))
	}
	n := clienttest.NewNetwork(t, prices...)
	w := &world{t: t, ctx: ctx, chain: n.Chain, miners: n.Miners, dir: t.TempDir()}
	w.home = filepath.Join(w.dir, "home")
	return w
}

// client opens the home as a process of its own would.
func (w *world) client() *client.Client { return w.clientOf(w.chain) }

// clientOf does so with another node.
func (w *world) clientOf(node deals.Chain) *client.Client {
	w.t.Helper()
	sender, err := wallet.NewSender(node, clienttest.Key(clienttest.ClientKey), chain.Amount{})
	w.must(err)
	c, err := client.New(client.Config{Home: w.home, Chain: node, Directory: w.chain, Sender: sender, Host: w.host(),
		Buyer: buyer.Config{StallTimeout: time.Minute}})
	w.must(err)
	w.t.Cleanup(func() { w.must(c.Close()) })
	return c
}

// host is the home's place on the network, until the test ends.
func (w *world) host() *p2p.Host {
	w.t.Helper()
	identity, err := p2p.LoadIdentity(filepath.Join(w.home, "identity"))
	w.must(err)
	host, err := p2p.New(p2p.Config{Identity: identity})
	w.must(err)
	w.t.Cleanup(func() { w.must(host.Close()) })
	return host
}

// sender sends as the client.
func (w *world) sender() *wallet.Sender {
	w.t.Helper()
	sender, err := wallet.NewSender(w.chain, clienttest.Key(clienttest.ClientKey), chain.Amount{})
	w.must(err)
	return sender
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// file writes random bytes to a file.
func (w *world) file(size int) (path string, data []byte) {
	w.t.Helper()
	data = make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(data)
	path = filepath.Join(w.dir, "original")
	w.must(os.WriteFile(path, data, 0o644))
	return path, data
}

// balance is what the client's account holds.
func (w *world) balance() chain.Amount {
	w.t.Helper()
	a, err := chain.AddressOfKey(clienttest.Key(clienttest.ClientKey))
	w.must(err)
	acc, err := w.chain.Account(w.ctx, a)
	w.must(err)
	return acc.Balance
}

func TestPutAndGet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	path, data := w.file(1_300_000)
	c := w.client()
	var stages []string
	put, err := c.Put(w.ctx, path, client.PutOptions{Copies: 2, PieceSize: 1 << 20, Event: func(e client.Event) {
		if e.Stage != client.StagePacking {
			stages = append(stages, string(e.Stage))
		}
	}})
	w.must(err)
	if !put.Complete() || put.Resumed || len(put.Pieces) != 2 || put.Spool != "" {
		t.Fatalf("state %s, %d pieces, spool %q: %v", put.State(), len(put.Pieces), put.Spool, put.Problems())
	}
	count := map[string]int{}
	for _, s := range stages {
		count[s]++
	}
	for stage, want := range map[string]int{"packed": 1, "priced": 1, "placed": 2, "matched": 4, "served": 4, "accepted": 4, "active": 4, "void": 0} {
		if count[stage] != want {
			t.Errorf("%d events %q, want %d (%v)", count[stage], stage, want, stages)
		}
	}
	for i := range put.Pieces {
		if a, b := put.Pieces[i].Deals[0], put.Pieces[i].Deals[1]; a.Miner == b.Miner || a.Miner == w.miners[2].ID || b.Miner == w.miners[2].ID {
			t.Errorf("piece %d is with miners %d and %d: want the two cheapest", i, a.Miner, b.Miner)
		}
	}
	root, err := client.ParseRoot(put.Root)
	w.must(err)
	dest := filepath.Join(w.dir, "fetched")
	got, err := c.Get(w.ctx, root, dest, client.GetOptions{})
	w.must(err)
	back, err := os.ReadFile(dest)
	w.must(err)
	if !bytes.Equal(back, data) || got.SHA256 != [32]byte(put.SHA256) || got.Size != put.Size {
		t.Fatal("other bytes came back")
	}
	w.books(got)
}

// books checks that the client paid what it says and the miners redeem just that.
func (w *world) books(got *client.GetResult) {
	w.t.Helper()
	due, err := clienttest.ChunkPrice.Mul(got.Chunks)
	w.must(err)
	if got.Paid != due || got.ChunkPrice != clienttest.ChunkPrice || got.PaidChunks != got.Chunks {
		w.t.Errorf("%d chunks at %s, %d paid with %s", got.Chunks, got.ChunkPrice, got.PaidChunks, got.Paid)
	}
	for _, m := range w.miners {
		w.must(m.Redeem(w.ctx))
	}
	w.chain.Advance(2)
	var redeemed chain.Amount
	channels, err := w.client().Channels(w.ctx)
	w.must(err)
	for _, ch := range channels {
		redeemed, err = redeemed.Add(ch.Redeemed)
		w.must(err)
	}
	if redeemed != got.Paid {
		w.t.Errorf("redeemed %s, paid %s", redeemed, got.Paid)
	}
}

// TestGetElsewhere loses a piece at the cheaper seller: the other one delivers.
func TestGetElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, data := w.file(300_000)
	c := w.client()
	put, err := c.Put(w.ctx, path, client.PutOptions{Public: true})
	w.must(err)
	root, err := client.ParseRoot(put.Root)
	w.must(err)
	deals := w.chain.Deals()
	w.miners[0].Lose(deals[0].PieceCID)
	var out bytes.Buffer
	got, err := c.Get(w.ctx, root, "", client.GetOptions{To: &out})
	w.must(err)
	if !bytes.Equal(out.Bytes(), data) {
		t.Fatal("other bytes came back")
	}
	w.books(got)

	w.miners[1].Lose(deals[0].PieceCID)
	if _, err := c.Get(w.ctx, root, filepath.Join(w.dir, "x"), client.GetOptions{}); !errors.Is(err, buyer.ErrNoSeller) {
		t.Errorf("with no copy left: %v", err)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "x")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a failed get left a file")
	}
}

// TestGetRefusals: what cannot end well costs nothing.
func TestGetRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, _ := w.file(1000)
	c := w.client()
	put, err := c.Put(w.ctx, path, client.PutOptions{})
	w.must(err)
	root, err := client.ParseRoot(put.Root)
	w.must(err)
	before := w.balance()
	if _, err := c.Get(w.ctx, root, w.dir, client.GetOptions{}); err == nil {
		t.Error("fetched a file over a directory")
	}
	if _, err := c.Get(w.ctx, root, filepath.Join(w.dir, "y"), client.GetOptions{MaxPrice: chain.Atto(1)}); err == nil {
		t.Error("fetched at a price above the highest")
	}
	stranger, err := client.ParseRoot("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
	w.must(err)
	if _, err := c.Get(w.ctx, stranger, filepath.Join(w.dir, "z"), client.GetOptions{}); !errors.Is(err, client.ErrNotStored) {
		t.Errorf("a payload that nobody stores: %v", err)
	}
	if after := w.balance(); after != before || w.chain.Opened() != 0 {
		t.Errorf("refusals cost %s - %s", before, after)
	}
}

// TestGetResumed stops a Get on its way; the next one fetches the rest alone.
func TestGetResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, data := w.file(3_000_000)
	c := w.client()
	put, err := c.Put(w.ctx, path, client.PutOptions{Copies: 1})
	w.must(err)
	root, err := client.ParseRoot(put.Root)
	w.must(err)
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	dest := filepath.Join(w.dir, "fetched")
	_, err = c.Get(ctx, root, dest, client.GetOptions{Progress: func(p client.Progress) {
		if p.Chunks == 4 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped get: %v", err)
	}
	if _, err := os.Stat(dest); !errors.Is(err, os.ErrNotExist) {
		t.Error("a stopped get left a file at its destination")
	}
	got, err := w.client().Get(w.ctx, root, dest, client.GetOptions{})
	w.must(err)
	back, err := os.ReadFile(dest)
	w.must(err)
	if !bytes.Equal(back, data) {
		t.Error("other bytes came back")
	}
	if all := uint64(len(data)/262_144 + 1); got.Chunks == 0 || got.Chunks+4 > all+1 {
		t.Errorf("%d chunks fetched after 4 of %d", got.Chunks, all)
	}
	left, err := os.ReadDir(filepath.Join(w.home, "fetch"))
	w.must(err)
	for _, f := range left {
		if filepath.Ext(f.Name()) != ".lock" {
			t.Errorf("left behind: %s", f.Name())
		}
	}
}

// TestQuote compares a quote with what the same Put then locks and pays.
func TestQuote(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, _ := w.file(1_300_000)
	c := w.client()
	o := client.PutOptions{Public: true, PieceSize: 1 << 20, Copies: 2}
	q, err := c.Quote(w.ctx, path, o)
	w.must(err)
	if q.Market == nil || q.Market.Missing != 0 || len(q.Market.Copies) != 4 {
		t.Fatalf("quote %+v (%v)", q.Market, q.Problem)
	}
	put, err := c.Put(w.ctx, path, o)
	w.must(err)
	if put.Root != q.Root.String() || put.Duration != q.Duration {
		t.Errorf("quoted %s for %d blocks, stored %s for %d", q.Root, q.Duration, put.Root, put.Duration)
	}
	due, err := q.Market.Price.Add(q.Market.Fees)
	w.must(err)
	paid, err := clienttest.ClientMoney.Sub(w.balance())
	w.must(err)
	off, err := due.Sub(paid.Min(due))
	w.must(err)
	if due.Less(paid) || q.Market.Fees.Less(off) { // the base fee falls from block to block
		t.Errorf("quoted %s, it cost %s", due, paid)
	}
	o.Copies = 3
	if q, err = c.Quote(w.ctx, path, o); err != nil || q.Market.Missing != 2 {
		t.Errorf("3 copies of 2 pieces on 2 miners: %d missing (%v)", q.Market.Missing, err)
	}
}

// TestOffline: without a node content is packed, and nothing is priced.
func TestOffline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := client.Open(client.Options{Home: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q, err := c.Quote(t.Context(), path, client.PutOptions{Public: true})
	if err != nil || q.Market != nil || !errors.Is(q.Problem, client.ErrNoNode) || q.Root.String() != "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am" {
		t.Errorf("%+v, %v", q, err)
	}
	if _, err := c.Put(t.Context(), path, client.PutOptions{}); !errors.Is(err, client.ErrNoNode) {
		t.Errorf("put: %v", err)
	}
	if all, err := c.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("list: %v, %v", all, err)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]client.Duration{
		"600b": {Blocks: 600}, "30m": {Time: 30 * time.Minute}, "7d": {Time: 168 * time.Hour}, "2w": {Time: 336 * time.Hour}, "1h30m": {Time: 90 * time.Minute},
	} {
		if got, err := client.ParseDuration(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "b", "0b", "-5b", "7", "d", "0d", "-1h", "99999999d", "1.5d", "soon"} {
		if got, err := client.ParseDuration(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
	p := consensus.Devnet() // periods of 60 blocks of half a second
	for d, want := range map[client.Duration]uint64{
		{}: 1200, {Blocks: 61}: 61, {Time: time.Second}: 60, {Time: 30 * time.Second}: 60, {Time: 31 * time.Second}: 120,
	} {
		if got, err := d.In(p); got != want || err != nil {
			t.Errorf("%v is %d blocks (%v), want %d", d, got, err, want)
		}
	}
}
