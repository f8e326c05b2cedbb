package buyer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/ipfs/boxo/ipld/unixfs/pb"
	"github.com/ipfs/go-cid"
	dagpb "github.com/ipld/go-codec-dagpb"
	"github.com/ipld/go-ipld-prime/fluent/qp"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	mh "github.com/multiformats/go-multihash"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/ipld/go-ipld-prime/datamodel"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
	"github.com/perdure/perdure/retrieval/ledger"
	"github.com/perdure/perdure/retrieval/seller"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	chainID     = "perdure-test"
	settleDelay = 40
	leaf        = 262_144
)

// file is a payload: its blocks in their order and its bytes.
type file struct {
	root   cid.Cid
	order  []cid.Cid
	blocks map[cid.Cid][]byte
	bytes  []byte
}

func cidOf(codec uint64, data []byte) cid.Cid {
	sum := sha256.Sum256(data)
	hash, err := mh.Encode(sum[:], mh.SHA2_256)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(codec, hash)
}

// makeFile is a UnixFS file of size random bytes: one raw leaf, or a root over
// raw leaves of 262,144 bytes.
func makeFile(t testing.TB, size int, seed uint64) *file {
	t.Helper()
	f := &file{blocks: map[cid.Cid][]byte{}, bytes: make([]byte, size)}
	src := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = src.Read(f.bytes)
	add := func(codec uint64, data []byte) cid.Cid {
		c := cidOf(codec, data)
		f.order = append(f.order, c)
		f.blocks[c] = data
		return c
	}
	if size <= leaf {
		f.root = add(cid.Raw, f.bytes)
		return f
	}
	var leaves []cid.Cid
	meta := &pb.Data{Type: pb.Data_File.Enum(), Filesize: proto.Uint64(uint64(size))}
	for rest := f.bytes; len(rest) > 0; {
		n := min(leaf, len(rest))
		leaves = append(leaves, add(cid.Raw, rest[:n]))
		meta.Blocksizes = append(meta.Blocksizes, uint64(n))
		rest = rest[n:]
	}
	raw, err := proto.Marshal(meta)
	if err != nil {
		t.Fatal(err)
	}
	node, err := qp.BuildMap(dagpb.Type.PBNode, 2, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "Links", qp.List(int64(len(leaves)), func(l datamodel.ListAssembler) {
			for i, c := range leaves {
				qp.ListEntry(l, qp.Map(3, func(m datamodel.MapAssembler) {
					qp.MapEntry(m, "Hash", qp.Link(cidlink.Link{Cid: c}))
					qp.MapEntry(m, "Name", qp.String(""))
					qp.MapEntry(m, "Tsize", qp.Int(int64(meta.Blocksizes[i])))
				}))
			}
		}))
		qp.MapEntry(m, "Data", qp.Bytes(raw))
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := dagpb.Encode(node, &out); err != nil {
		t.Fatal(err)
	}
	f.root = add(cid.DagProtobuf, out.Bytes())
	f.order = slices.Insert(f.order[:len(f.order)-1], 0, f.root)
	return f
}

// smallFiles is a directory of n files of ten bytes each.
func smallFiles(t testing.TB, n int) *file {
	t.Helper()
	f := &file{blocks: map[cid.Cid][]byte{}}
	raw, err := proto.Marshal(&pb.Data{Type: pb.Data_Directory.Enum()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		data := fmt.Appendf(nil, "file %05d", i)
		c := cidOf(cid.Raw, data)
		f.order, f.blocks[c] = append(f.order, c), data
	}
	node, err := qp.BuildMap(dagpb.Type.PBNode, 2, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "Links", qp.List(int64(n), func(l datamodel.ListAssembler) {
			for i, c := range f.order {
				qp.ListEntry(l, qp.Map(3, func(m datamodel.MapAssembler) {
					qp.MapEntry(m, "Hash", qp.Link(cidlink.Link{Cid: c}))
					qp.MapEntry(m, "Name", qp.String(fmt.Sprintf("%05d", i)))
					qp.MapEntry(m, "Tsize", qp.Int(10))
				}))
			}
		}))
		qp.MapEntry(m, "Data", qp.Bytes(raw))
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := dagpb.Encode(node, &out); err != nil {
		t.Fatal(err)
	}
	f.root = cidOf(cid.DagProtobuf, out.Bytes())
	f.blocks[f.root] = out.Bytes()
	f.order = slices.Insert(f.order, 0, f.root)
	return f
}

// archive is a piece; its CID is only a name here.
type archive struct {
	piece cid.Cid
	index *car.Index
	bytes []byte
}

// cut packs the blocks into archives of the given numbers of blocks.
func (f *file) cut(t testing.TB, counts ...int) []archive {
	t.Helper()
	var out []archive
	order := f.order
	for _, n := range append(counts, len(f.order)) {
		n = min(n, len(order))
		if n == 0 {
			break
		}
		var buf bytes.Buffer
		w, err := car.NewWriter(&buf, f.root)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range order[:n] {
			if err := w.Put(c, f.blocks[c]); err != nil {
				t.Fatal(err)
			}
		}
		order = order[n:]
		out = append(out, archive{cidOf(cid.Raw, buf.Bytes()), w.Index(), buf.Bytes()})
	}
	return out
}

// shelf is a seller's source.
type shelf []archive

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

func (s shelf) Find(_ context.Context, root cid.Cid, part uint64) (seller.Content, error) {
	for _, a := range s {
		if a.index.Root().Equals(root) {
			if part == 0 {
				return seller.Content{Piece: a.piece}, nil
			}
			part--
		}
	}
	return seller.Content{}, seller.ErrNotFound
}

func (s shelf) Open(_ context.Context, c seller.Content) (*car.Index, seller.Archive, error) {
	for _, a := range s {
		if a.piece.Equals(c.Piece) {
			return a.index, reader{bytes.NewReader(a.bytes)}, nil
		}
	}
	return nil, nil, seller.ErrNotFound
}

// ledgerChain is a chain of channels alone, with the real arithmetic.
type ledgerChain struct {
	mu       sync.Mutex
	height   chain.Height
	channels map[uint64]*chain.Channel
	balances map[chain.Address]chain.Amount
	payer    chain.Address
	opened   int
	topUps   int
	refuse   error // what OpenChannel gets
}

func (c *ledgerChain) Height(context.Context) (chain.Height, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.height, nil
}

func (c *ledgerChain) Channel(_ context.Context, id uint64) (*chain.Channel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.channels[id]; ch != nil {
		out := *ch
		return &out, nil
	}
	return nil, nil
}

func (c *ledgerChain) Find(_ context.Context, payee chain.Address) ([]chain.Channel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []chain.Channel
	for id := uint64(1); id <= uint64(len(c.channels)); id++ {
		if ch := c.channels[id]; ch.Payee == payee {
			out = append(out, *ch)
		}
	}
	return out, nil
}

func (c *ledgerChain) take(amount chain.Amount) (err error) {
	if c.refuse != nil {
		return c.refuse
	}
	c.balances[c.payer], err = c.balances[c.payer].Sub(amount)
	c.height++
	return err
}

func (c *ledgerChain) Open(_ context.Context, payee chain.Address, amount chain.Amount) (*chain.Channel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.take(amount); err != nil {
		return nil, err
	}
	c.opened++
	ch := &chain.Channel{ID: uint64(len(c.channels) + 1), Payer: c.payer, Payee: payee, Balance: amount, Opened: c.height}
	c.channels[ch.ID] = ch
	out := *ch
	return &out, nil
}

func (c *ledgerChain) TopUp(_ context.Context, id uint64, amount chain.Amount) (*chain.Channel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.take(amount); err != nil {
		return nil, err
	}
	c.topUps++
	next := *c.channels[id]
	next.Balance, _ = next.Balance.Add(amount)
	c.channels[id] = &next
	out := next
	return &out, nil
}

func (c *ledgerChain) Submit(_ context.Context, b chain.Body) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := b.(*chain.RedeemVoucher)
	if !ok {
		return fmt.Errorf("a %T", b)
	}
	v := &r.Voucher.Voucher
	ch := c.channels[v.Channel]
	message, err := v.SignBytes()
	if err == nil {
		err = chain.VerifySignature(&r.Voucher.Signature, ch.Payer, message)
	}
	if err != nil {
		return err
	}
	next, pay, err := payment.Redeem(ch, chainID, c.height, &payment.Claim{Voucher: *v, Ticks: r.Ticks, Tick: r.Tick})
	if err != nil {
		return err
	}
	c.channels[v.Channel] = next
	c.balances[ch.Payee], err = c.balances[ch.Payee].Add(pay)
	c.height++
	return err
}

// signer signs with a key.
type signer []byte

func (k signer) SignVoucher(_ context.Context, v *chain.Voucher) (chain.Signature, error) {
	message, err := v.SignBytes()
	if err != nil {
		return chain.Signature{}, err
	}
	return chain.Sign(k, message)
}

// world is one buyer, some sellers and the chain between them.
type world struct {
	t      testing.TB
	chain  *ledgerChain
	key    signer
	ledger *ledger.Ledger
	buyer  *buyer.Buyer
	config buyer.Config

	mu      sync.Mutex
	sellers map[string]*shop
	serving sync.WaitGroup
	// wrap, if set, comes between a buyer and the seller it dials.
	wrap func(peer string, s io.ReadWriteCloser) io.ReadWriteCloser
}

// shop is a seller with what belongs to it.
type shop struct {
	*seller.Seller
	config   seller.Config
	peer     chain.Peer
	payee    chain.Address
	ledger   *ledger.Ledger
	redeemer *seller.Redeemer
	dials    int
	reports  []seller.Report
}

func address(t testing.TB, key []byte) chain.Address {
	a, err := chain.AddressOfKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func openLedger(t testing.TB, fs vfs.FS) *ledger.Ledger {
	l, err := ledger.Open("ledger", ledger.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// openLedgerAt opens a ledger on the disk.
func openLedgerAt(t testing.TB, dir string) *ledger.Ledger {
	l, err := ledger.Open(dir, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, key: bytes.Repeat([]byte{1}, 32), sellers: map[string]*shop{}}
	w.chain = &ledgerChain{height: 100, channels: map[uint64]*chain.Channel{}, balances: map[chain.Address]chain.Amount{}}
	w.chain.payer = address(t, w.key)
	w.chain.balances[w.chain.payer] = chain.PDR(1000)
	w.ledger = openLedger(t, vfs.NewMem())
	w.config = buyer.Config{ChainID: chainID, Dialer: w, Channels: w.chain, Signer: w.key, Ledger: w.ledger,
		StallTimeout: time.Minute, RetryDelay: time.Millisecond, LeaveTimeout: time.Minute}
	w.remake()
	t.Cleanup(w.serving.Wait)
	return w
}

// remake makes a buyer anew from the config, as a restart does.
func (w *world) remake() {
	b, err := buyer.New(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.buyer = b
}

// open sets up a seller of the archives.
func (w *world) open(name byte, price uint64, change func(*seller.Config), shelf ...archive) *shop {
	w.t.Helper()
	key := bytes.Repeat([]byte{name}, 32)
	s := &shop{payee: address(w.t, key), peer: chain.Peer{ID: []byte{0, 1, name}}, ledger: openLedger(w.t, vfs.NewMem())}
	s.config = seller.Config{ChainID: chainID, Source: w.shelfOf(shelf), Chain: w.chain, Ledger: s.ledger, SettleDelay: settleDelay,
		Prices: seller.Terms{Access: seller.Free}, IdleTimeout: time.Minute, PayTimeout: time.Minute, Patience: time.Millisecond}
	if price > 0 {
		s.config.Prices = seller.Terms{Access: seller.Paid, Payee: &s.payee, Price: chain.Atto(price)}
	}
	s.config.Ended = func(r seller.Report) {
		w.mu.Lock()
		defer w.mu.Unlock()
		s.reports = append(s.reports, r)
	}
	if change != nil {
		change(&s.config)
	}
	w.reopen(s)
	w.t.Cleanup(w.serving.Wait) // before the ledgers are closed
	w.sellers[string(s.peer.ID)] = s
	return s
}

// free gives each peer some chunks for nothing.
func free(p seller.Prices, chunks uint64) seller.Prices {
	t := p.(seller.Terms)
	t.FreeChunks = chunks
	return t
}

func (w *world) shelfOf(a []archive) seller.Source { return shelf(a) }

// reopen makes the seller anew from its config, as a restart does.
func (w *world) reopen(s *shop) {
	var err error
	if s.Seller, err = seller.New(s.config); err != nil {
		w.t.Fatal(err)
	}
	if s.config.Ledger == nil {
		return
	}
	s.redeemer, err = seller.NewRedeemer(seller.RedeemConfig{ChainID: chainID, Ledger: s.config.Ledger, Chain: w.chain, Submit: w.chain,
		Active: s.Active, SettleDelay: settleDelay})
	if err != nil {
		w.t.Fatal(err)
	}
}

// Open implements buyer.Dialer: a pipe in memory.
func (w *world) Open(ctx context.Context, p chain.Peer) (io.ReadWriteCloser, error) {
	w.mu.Lock()
	s, wrap := w.sellers[string(p.ID)], w.wrap
	if s == nil {
		w.mu.Unlock()
		return nil, errors.New("no such peer")
	}
	s.dials++
	serve := s.Seller
	w.mu.Unlock()
	near, far := net.Pipe()
	w.serving.Add(1)
	go func() {
		defer w.serving.Done()
		_ = serve.Serve(context.Background(), far, "the buyer")
	}()
	var stream io.ReadWriteCloser = near
	if wrap != nil {
		stream = wrap(string(p.ID), stream)
	}
	return stream, nil
}

// basket collects blocks.
type basket struct {
	order  []cid.Cid
	blocks map[cid.Cid][]byte
}

func (b *basket) Put(_ context.Context, c cid.Cid, data []byte) error {
	if b.blocks == nil {
		b.blocks = map[cid.Cid][]byte{}
	}
	b.order = append(b.order, c)
	b.blocks[c] = bytes.Clone(data)
	return nil
}

func (b *basket) get(_ context.Context, c cid.Cid) ([]byte, error) {
	data, ok := b.blocks[c]
	if !ok {
		return nil, errors.New("not fetched")
	}
	return data, nil
}

// holds checks that the blocks give the file.
func (b *basket) holds(t testing.TB, f *file) {
	t.Helper()
	r, err := dag.OpenFile(context.Background(), b.get, f.root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, f.bytes) {
		t.Fatalf("read back %d bytes of %d: %v", len(got), len(f.bytes), err)
	}
	if !slices.Equal(b.order, f.order) {
		t.Fatalf("blocks came in another order, or twice: %d of %d", len(b.order), len(f.order))
	}
}

// request fetches the file, whose parts are all with the same shops.
func (w *world) request(f *file, parts []archive, sink buyer.Sink, shops ...*shop) buyer.Request {
	r := buyer.Request{Root: f.root, Sink: sink, MaxPrice: chain.Atto(1_000_000)}
	for _, a := range parts {
		p := buyer.Part{Piece: a.piece}
		for _, s := range shops {
			p.Sellers = append(p.Sellers, s.peer)
		}
		r.Parts = append(r.Parts, p)
	}
	return r
}

// redeem lets a shop's redeemer work, and returns what the shop then has on chain.
func (w *world) redeem(s *shop) chain.Amount {
	w.t.Helper()
	w.serving.Wait()
	if _, err := s.redeemer.Check(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	w.chain.mu.Lock()
	defer w.chain.mu.Unlock()
	return w.chain.balances[s.payee]
}

// balanced checks both sides: what the buyer paid to a shop is what the shop
// earned, on its books and, once redeemed, on chain; and no money was made or lost.
func (w *world) balanced(st buyer.Stats, price uint64, s *shop) {
	w.t.Helper()
	earned := w.redeem(s)
	want, err := chain.Atto(price).Mul(st.Paid)
	if err != nil {
		w.t.Fatal(err)
	}
	if st.Spent != want || earned != want {
		w.t.Fatalf("%d chunks at %d: buyer paid %s, seller earned %s", st.Paid, price, st.Spent, earned)
	}
	if got := s.Stats(); got.Earned != want || got.Paid != st.Paid {
		w.t.Fatalf("seller's books say %d chunks and %s, want %d and %s", got.Paid, got.Earned, st.Paid, want)
	}
	w.conserved()
}

// conserved checks that money is where it was or in channels.
func (w *world) conserved() {
	w.t.Helper()
	w.chain.mu.Lock()
	defer w.chain.mu.Unlock()
	var all []chain.Amount
	for _, b := range w.chain.balances {
		all = append(all, b)
	}
	for _, c := range w.chain.channels {
		all = append(all, c.Balance)
	}
	if sum, err := chain.Sum(all...); err != nil || sum != chain.PDR(1000) {
		w.t.Fatalf("money in the world: %s (%v)", sum, err)
	}
}
