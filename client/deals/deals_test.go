package deals

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client/clienttest"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/seller"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// nowhere is a host without a network.
type nowhere struct{}

func (nowhere) ID() string                                { return "the client" }
func (nowhere) Connect(context.Context, chain.Peer) error { return errors.New("no network") }
func (nowhere) Connected(string) bool                     { return false }

func sender(t *testing.T, c *clienttest.Chain, n byte) *wallet.Sender {
	s, err := wallet.NewSender(c, clienttest.Key(n), chain.Amount{})
	must(t, err)
	return s
}

// land sends a message and makes the block that it is in.
func land(t *testing.T, c *clienttest.Chain, s *wallet.Sender, body chain.Body) uint64 {
	t.Helper()
	hash, err := s.Post(t.Context(), body)
	must(t, err)
	c.Advance(1)
	in, err := c.Await(t.Context(), hash)
	must(t, err)
	must(t, in.Err())
	return in.Receipt.ID
}

func pieceCID(n byte) cid.Cid { return piece.UnsealedCID([32]byte{n}) }

// TestGranted: a piece goes to the miner of its deal, as long as it waits for it, and
// to nobody else.
func TestGranted(t *testing.T) {
	c := clienttest.NewChain(t)
	c.Advance(1)
	me, miner, other := sender(t, c, clienttest.ClientKey), sender(t, c, 2), sender(t, c, 3)
	ids := map[*wallet.Sender]chain.MinerID{}
	for s, peer := range map[*wallet.Sender]string{miner: "the miner", other: "another"} {
		a := s.Address()
		ids[s] = land(t, c, s, &chain.CreateMiner{Keys: chain.Keys{Owner: a, Worker: a, Beneficiary: a},
			Peer: chain.Peer{ID: []byte(peer)}, SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, Fund: chain.PDR(100)})
	}
	p, err := c.Params(t.Context())
	must(t, err)
	land(t, c, miner, &chain.PlaceAsk{Terms: chain.AskTerms{Miner: ids[miner], Price: chain.Atto(1), Capacity: 4096, MinPiece: 128,
		MaxPiece: 2048, MinDuration: p.MinDuration, MaxDuration: 1000, Expiry: 500}})
	root, err := cid.Decode("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
	must(t, err)
	land(t, c, me, &chain.PlaceBid{Terms: chain.BidTerms{PieceCID: pieceCID(1), PaddedSize: 256, PayloadRoot: root, Parts: 1, Duration: 100,
		MaxPrice: chain.Atto(5), Copies: 1, ClientPeer: []byte(nowhere{}.ID()), Expiry: 400}})
	c.Advance(6)
	if n := len(c.Deals()); n != 1 {
		t.Fatalf("%d deals", n)
	}
	records, err := files.Open(t.TempDir())
	must(t, err)
	g := grants{New(Config{Chain: c, Sender: me, Host: nowhere{}, Records: records})}
	check := func(peer string, deal uint64, piece byte, want error) {
		t.Helper()
		if err := g.Granted(t.Context(), peer, deal, pieceCID(piece)); !errors.Is(err, want) {
			t.Errorf("peer %q, deal %d, piece %d: %v, want %v", peer, deal, piece, err, want)
		}
	}
	check("the miner", 1, 1, nil)
	check("another", 1, 1, errOther)
	check("the miner", 1, 2, errOther)
	check("the miner", 2, 1, errNoDeal)
	stranger := grants{New(Config{Chain: c, Sender: other, Host: nowhere{}, Records: records})}
	if err := stranger.Granted(t.Context(), "the miner", 1, pieceCID(1)); !errors.Is(err, errNoDeal) {
		t.Errorf("served for another client's deal: %v", err)
	}
	land(t, c, miner, &chain.AcceptData{Miner: ids[miner], Deals: []uint64{1}})
	check("the miner", 1, 1, errOver)
	if _, _, err := (source{records}).Open(t.Context(), seller.Content{Piece: pieceCID(1)}); !errors.Is(err, seller.ErrNotFound) {
		t.Errorf("a piece that is not here: %v", err)
	}
}

// ask is an ask in the book as a quote sees it.
func ask(id uint64, price uint64, maxPiece uint64) *chain.Order {
	owner, err := chain.AddressOfKey(clienttest.Key(byte(id)))
	if err != nil {
		panic(err)
	}
	return &chain.Order{ID: id, Owner: owner, Placed: 1, Free: 1 << 30, Locked: chain.PDR(100), Ask: &chain.AskTerms{
		Miner: 1000 + id, Price: chain.Atto(price), Capacity: 1 << 30, MinPiece: 128, MaxPiece: maxPiece, MinDuration: 60, MaxDuration: 5000, Expiry: 1000}}
}

func situation(asks ...*chain.Order) *Situation {
	me, err := chain.AddressOfKey(clienttest.Key(99))
	if err != nil {
		panic(err)
	}
	return &Situation{Params: consensus.Devnet(), Owner: me, Account: &chain.Account{}, Asks: asks,
		Global: &chain.Global{Height: 10, NextOrder: 100, BaseFee: chain.Atto(100)}}
}

func terms(copies uint64, limit uint64) []chain.BidTerms {
	return []chain.BidTerms{{PieceCID: pieceCID(1), PaddedSize: 1 << 20, PayloadRoot: cid.NewCidV1(cid.Raw, pieceCID(1).Hash()),
		Parts: 1, Duration: 1024, MaxPrice: chain.Atto(limit), Copies: copies, Expiry: 50}}
}

// TestPrice: 1 MiB for 1,024 blocks at P attoPDR per GiB and block costs P.
func TestPrice(t *testing.T) {
	book := []*chain.Order{ask(1, 30, 8<<20), ask(2, 10, 8<<20), ask(3, 20, 8<<20), ask(4, 1, 512<<10)}
	for _, c := range []struct {
		copies, limit          uint64
		price, missing, allows uint64
	}{
		{1, 0, 10, 0, 13}, // 10 and a quarter, rounded up
		{2, 0, 30, 0, 25},
		{3, 0, 60, 0, 38},
		{4, 0, 60, 1, 38},
		{3, 20, 30, 1, 20},
		{1, 5, 0, 1, 5},
	} {
		q, err := situation(book...).Price(terms(c.copies, c.limit))
		must(t, err)
		if q.Price != chain.Atto(c.price) || q.Missing != c.missing || q.MaxPrice != chain.Atto(c.allows) || uint64(len(q.Copies)) != c.copies-c.missing {
			t.Errorf("%d copies up to %d: price %s, %d missing, allows %s", c.copies, c.limit, q.Price, q.Missing, q.MaxPrice)
		}
		deposit, err := situation().Params.NoShowFloor.Mul(c.copies)
		must(t, err)
		deposit, err = deposit.Add(situation().Params.OrderDeposit)
		must(t, err)
		total, err := chain.Sum(q.Price, q.Fees, q.Deposits)
		must(t, err)
		if q.Deposits != deposit || q.Total != total || q.Fees.IsZero() {
			t.Errorf("%d copies: deposits %s, fees %s, total %s", c.copies, q.Deposits, q.Fees, q.Total)
		}
	}
	dear := situation(book...)
	dear.Account = &chain.Account{NoShows: 2, NoShowAt: 10}
	q, err := dear.Price(terms(1, 0))
	must(t, err)
	noShow, err := dear.Params.NoShowFloor.Mul(3)
	must(t, err)
	if want, _ := noShow.Add(dear.Params.OrderDeposit); q.Deposits != want {
		t.Errorf("deposits after two no-shows %s, want %s", q.Deposits, want)
	}
}

// TestCompare: 1 MiB for 1,024 blocks at 10 attoPDR per GiB and block is, per GiB and 30
// days of half-second blocks, 10 x 5,184,000; three renewals cost at most three terms.
func TestCompare(t *testing.T) {
	of := terms(1, 0)
	of[0].Renew = &chain.Renewal{Count: 3, MaxPrice: chain.MaxAmount(), Duration: 1024}
	q, err := situation(ask(1, 10, 8<<20)).Price(of)
	must(t, err)
	p := situation().Params
	if q.GiBMonth != chain.Atto(51_840_000) || q.Renewals != chain.Atto(3*13) || q.Earliest == 0 || q.Latest != p.MatchDelay+p.ActivateBy {
		t.Errorf("%s a GiB and month, renewals %s, %d to %d blocks", q.GiBMonth, q.Renewals, q.Earliest, q.Latest)
	}
	if q, err = situation().Price(of); err != nil || !q.GiBMonth.IsZero() {
		t.Errorf("without asks: %s (%v)", q.GiBMonth, err)
	}
}

// TestPieceSize: pieces are as large as enough owners take at about the lowest price.
func TestPieceSize(t *testing.T) {
	for _, c := range []struct {
		asks []*chain.Order // by price
		want map[uint64]uint64
	}{
		{nil, map[uint64]uint64{1: 0}},
		{[]*chain.Order{ask(1, 1, 8<<20), ask(2, 1, 2<<20), ask(3, 1, 1000)}, map[uint64]uint64{1: 8 << 20, 2: 2 << 20, 3: 512, 4: 0}},
		// a dear ask with large pieces changes nothing, one that is a little dearer does
		{[]*chain.Order{ask(1, 10, 1<<20), ask(2, 10, 1<<20), ask(3, 13, 8<<20)}, map[uint64]uint64{1: 1 << 20, 2: 1 << 20, 3: 1 << 20}},
		{[]*chain.Order{ask(1, 10, 1<<20), ask(3, 12, 8<<20), ask(4, 13, 8<<20)}, map[uint64]uint64{1: 8 << 20, 2: 8 << 20}},
	} {
		s := situation(c.asks...)
		for copies, want := range c.want {
			if want == 0 {
				want = s.Params.MaxPiece()
			}
			if got := s.PieceSize(copies); got != want {
				t.Errorf("%d asks, %d copies: pieces of %d, want %d", len(c.asks), copies, got, want)
			}
		}
	}
	twice := ask(2, 1, 8<<20)
	twice.Owner = ask(1, 1, 0).Owner
	if got := situation(ask(1, 1, 8<<20), twice, ask(3, 1, 1<<20)).PieceSize(2); got != 1<<20 {
		t.Errorf("two asks of one owner count twice: pieces of %d", got)
	}
}

// another is a bid of somebody else.
func another(id, price uint64, state chain.OrderState) *chain.Order {
	owner, err := chain.AddressOfKey(clienttest.Key(98))
	if err != nil {
		panic(err)
	}
	return &chain.Order{ID: id, Owner: owner, Placed: 5, State: state, Copies: 1, Bid: &chain.BidTerms{PaddedSize: 1 << 20, Duration: 1024,
		MaxPrice: chain.Atto(price), Copies: 1, Expiry: 1000}}
}

// TestAhead: who is ahead in the book gets the cheaper ask. One at rest has seen the asks
// at rest, and waits for those that are new.
func TestAhead(t *testing.T) {
	full := func(state chain.OrderState) *chain.Order { // room for one piece
		o := ask(1, 10, 1<<20)
		o.Free, o.State = 1<<20, state
		return o
	}
	for name, c := range map[string]struct {
		cheap *chain.Order
		ahead []*chain.Order
		want  uint64
	}{
		"nobody":                     {full(chain.OrderResting), nil, 10},
		"one that searches":          {full(chain.OrderResting), []*chain.Order{another(50, 15, chain.OrderSearching)}, 20},
		"one that waits":             {full(chain.OrderResting), []*chain.Order{another(50, 15, chain.OrderWaiting)}, 20},
		"one that pays too little":   {full(chain.OrderResting), []*chain.Order{another(50, 9, chain.OrderSearching)}, 10},
		"one at rest":                {full(chain.OrderResting), []*chain.Order{another(50, 15, chain.OrderResting)}, 10},
		"one at rest, the ask new":   {full(chain.OrderWaiting), []*chain.Order{another(50, 15, chain.OrderResting)}, 20},
		"one placed since":           {full(chain.OrderResting), []*chain.Order{another(100, 15, chain.OrderWaiting)}, 20},
		"one that nobody could fund": {full(chain.OrderResting), []*chain.Order{{ID: 50, Bid: &chain.BidTerms{PaddedSize: 1 << 20, MaxPrice: chain.MaxAmount(), Duration: 1 << 60}, Copies: 1 << 60}}, 10},
	} {
		s := situation(c.cheap, ask(2, 20, 8<<20))
		s.Asks[1].State = chain.OrderResting
		s.Ahead = c.ahead
		q, err := s.Price(terms(1, 0))
		must(t, err)
		if q.Price != chain.Atto(c.want) || q.Missing != 0 || q.Ahead != len(c.ahead) {
			t.Errorf("%s: price %s, %d missing, %d ahead", name, q.Price, q.Missing, q.Ahead)
		}
	}
}

// TestExpected: how long storing takes is what it took lately.
func TestExpected(t *testing.T) {
	s := situation(ask(1, 10, 8<<20))
	q, err := s.Price(terms(1, 0))
	must(t, err)
	if q.Expected != q.Earliest || q.Deals != 0 {
		t.Errorf("without deals %d blocks of %d deals", q.Expected, q.Deals)
	}
	s.Delays = []uint64{500, 100, 90}
	if q, err = s.Price(terms(1, 0)); err != nil || q.Expected != s.Params.MatchDelay+100 || q.Deals != 3 {
		t.Errorf("%d blocks of %d deals (%v)", q.Expected, q.Deals, err)
	}
}

// TestOtherKey: bids are placed by the key that they were recorded with.
func TestOtherKey(t *testing.T) {
	c := clienttest.NewChain(t)
	records, err := files.Open(filepath.Join(t.TempDir(), "h"))
	must(t, err)
	m := New(Config{Chain: c, Sender: sender(t, c, 2), Host: nowhere{}, Records: records})
	o := &files.Object{Root: "x", ChainID: "clienttest", Client: "t1other", Pieces: make([]files.Piece, 1)}
	if _, err := m.Place(t.Context(), o); !errors.Is(err, errPayer) {
		t.Errorf("placed with another key: %v", err)
	}
	o.ChainID = "elsewhere"
	if _, err := m.Place(t.Context(), o); err == nil {
		t.Error("placed on another chain")
	}
}

// TestTermsRenew: what a record says about renewals is in every bid of it.
func TestTermsRenew(t *testing.T) {
	o := &files.Object{Root: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", Copies: 2, Duration: 100, MaxPrice: chain.Atto(5),
		Renew: &files.Renew{Count: 3, MaxPrice: chain.Atto(6)}, Pieces: []files.Piece{{CID: pieceCID(1).String()}, {CID: pieceCID(2).String(), Part: 1}}}
	terms, err := Terms(o, "peer")
	must(t, err)
	for _, b := range terms {
		if b.Renew == nil || *b.Renew != (chain.Renewal{Count: 3, MaxPrice: chain.Atto(6), Duration: 100}) {
			t.Errorf("part %d renews %+v", b.Part, b.Renew)
		}
	}
	o.Renew = nil
	if terms, err = Terms(o, "peer"); err != nil || terms[0].Renew != nil {
		t.Errorf("renews %+v without being asked: %v", terms[0].Renew, err)
	}
}

// TestFollowsRepairs: the deal of a repair is news about the object whose copy
// was lost, and nobody dials its miner, which buys the piece from another.
func TestFollowsRepairs(t *testing.T) {
	o := &files.Object{Number: 1, Copies: 2, Spool: "here", Pieces: []files.Piece{{Bid: files.Bid{State: files.BidOver, Order: 7}}}}
	lost := &chain.Deal{ID: 1, Bid: 7, Miner: 1000, State: chain.DealLost}
	matched := &chain.Deal{ID: 3, Bid: 7, Miner: 1002, State: chain.DealMatched, Succeeds: &chain.Succession{Deal: 1, Bid: 7}}
	n := &news{height: 9, deals: []*chain.Deal{lost, matched}, ended: map[uint64]string{1: "lost"}}
	if !n.touches(o) {
		t.Fatal("the news are not about the object")
	}
	var stages []Stage
	for _, e := range n.note(o, &o.Pieces[0]) {
		stages = append(stages, e.Stage)
	}
	if !slices.Equal(stages, []Stage{StageVoid, StageMatched}) || o.Pieces[0].Deals[1].Succeeds != 1 {
		t.Errorf("stages %v, deals %+v", stages, o.Pieces[0].Deals)
	}
	a := &attendant{objects: map[uint64]*files.Object{1: o}}
	if ids := newDialer(a).wanted(); len(ids) != 0 {
		t.Errorf("miners %v are dialled for a repair", ids)
	}
}
