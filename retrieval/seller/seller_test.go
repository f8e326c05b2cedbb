package seller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/filecoin-project/go-state-types/crypto"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/ledger"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func rawCID(t testing.TB, data []byte) cid.Cid {
	c, err := cid.Prefix{Version: 1, Codec: cid.Raw, MhType: mh.SHA2_256, MhLength: -1}.Sum(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCursor checks which ordinals runs name, as the protocol's text says.
func TestCursor(t *testing.T) {
	var buf bytes.Buffer
	w, err := car.NewWriter(&buf, rawCID(t, []byte{0}))
	if err != nil {
		t.Fatal(err)
	}
	names := map[cid.Cid]string{}
	for i := range byte(6) {
		c := rawCID(t, []byte{i})
		names[c] = fmt.Sprint(i)
		if err := w.Put(c, []byte{i}); err != nil {
			t.Fatal(err)
		}
	}
	at := func(i byte) *cid.Cid { c := rawCID(t, []byte{i}); return &c }
	for _, tc := range []struct {
		runs []retrieval.Run
		want string
	}{
		{[]retrieval.Run{{}}, "0 1 2 3 4 5 complete"},
		{[]retrieval.Run{{First: 4}}, "4 5 complete"},
		{[]retrieval.Run{{First: 6}}, "complete"},
		{[]retrieval.Run{{First: 7}}, "missing"},
		{[]retrieval.Run{{First: 6, Count: 1}}, "missing"},
		{[]retrieval.Run{{First: ^uint64(0)}}, "missing"},
		{[]retrieval.Run{{First: 4, Count: 3}, {}}, "4 5 missing"},
		{[]retrieval.Run{{First: 4, Count: ^uint64(0)}}, "4 5 missing"},
		{[]retrieval.Run{{CID: at(3)}}, "3 4 5 complete"},
		{[]retrieval.Run{{CID: at(3), Count: 1}, {CID: at(1), Count: 2}, {First: 5, Count: 1}}, "3 1 2 5 complete"},
		{[]retrieval.Run{{CID: at(3), Count: 1}, {CID: at(9), Count: 1}, {First: 5, Count: 1}}, "3 missing"},
		{[]retrieval.Run{{CID: at(9)}}, "missing"},
		{[]retrieval.Run{{First: 1, Count: 1}, {First: 1, Count: 1}}, "1 1 complete"},
	} {
		c := cursor{index: w.Index(), runs: tc.runs}
		var got []string
		for {
			e, reason := c.next()
			if reason != 0 {
				got = append(got, reason.String())
				break
			}
			got = append(got, names[e.CID])
			c.step()
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%+v: %s, want %s", tc.runs, s, tc.want)
		}
	}
}

// till is a chain with one channel, and what was submitted to it.
type till struct {
	height  chain.Height
	channel *chain.Channel
	sent    []*chain.RedeemVoucher
	fail    error
	deaf    bool // takes messages and does nothing
}

func (c *till) Height(context.Context) (chain.Height, error) { return c.height, nil }

func (c *till) Channel(_ context.Context, id uint64) (*chain.Channel, error) {
	if c.channel == nil || id != c.channel.ID {
		return nil, nil
	}
	return c.channel, nil
}

func (c *till) Submit(_ context.Context, b chain.Body) error {
	if c.fail != nil {
		return c.fail
	}
	r := b.(*chain.RedeemVoucher)
	c.sent = append(c.sent, r)
	if c.deaf {
		return nil
	}
	next, _, err := payment.Redeem(c.channel, "x", c.height, &payment.Claim{Voucher: r.Voucher.Voucher, Ticks: r.Ticks, Tick: r.Tick})
	if err == nil {
		c.channel = next
	}
	return err
}

func atLeast(v uint64) func(context.Context) (chain.Amount, error) {
	return func(context.Context) (chain.Amount, error) { return chain.Atto(v), nil }
}

// TestRedeemer follows one lane through its life.
func TestRedeemer(t *testing.T) {
	l, err := ledger.Open("l", ledger.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	payer, err := chain.AddressOfKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	links, err := payment.NewTicks([32]byte{5}, 100)
	if err != nil {
		t.Fatal(err)
	}
	voucher := chain.SignedVoucher{Signature: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)},
		Voucher: chain.Voucher{Version: 1, ChainID: "x", Channel: 4, Nonce: 1, Anchor: links.Anchor(), TickPrice: chain.Atto(10),
			MaxTicks: 100, ChunkSize: retrieval.ChunkSize, ExpiresAt: 1000}}
	if err := l.SaveVoucher(payer, &voucher); err != nil {
		t.Fatal(err)
	}
	tick := func(k uint64) {
		x, err := links.Tick(k)
		if err == nil {
			err = l.SaveTick(4, 0, 1, k, x)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c := &till{height: 100, channel: &chain.Channel{ID: 4, Payer: payer, Balance: chain.Atto(1000)}}
	active := true
	r, err := NewRedeemer(RedeemConfig{ChainID: "x", Ledger: l, Chain: c, Submit: c, SettleDelay: 40, Least: atLeast(50), Most: chain.Atto(200),
		Active: func(channel, lane uint64) bool { return active && channel == 4 && lane == 0 }})
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, want int, redeemed uint64) {
		t.Helper()
		n, err := r.Check(ctx)
		if err != nil && c.fail == nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n != want || c.channel != nil && c.channel.Redeemed != chain.Atto(redeemed) {
			t.Fatalf("%s: %d sent, %s redeemed; want %d, %d", what, n, c.channel.Redeemed, want, redeemed)
		}
	}
	check("nothing earned", 0, 0)
	tick(4)
	check("a session goes on", 0, 0)
	tick(21)
	check("much in one session", 1, 210)
	check("nothing new", 0, 210)
	tick(25)
	active = false
	check("less than the least", 0, 210)
	tick(26)
	check("session over", 1, 260)
	tick(27)
	c.channel.SettleAt = 140
	check("the payer settles", 1, 270)
	c.channel.SettleAt = 0
	tick(28)
	c.height = 1000 - 91
	check("not near the end", 0, 270)
	c.height++
	check("near the end", 1, 280)
	tick(40)
	c.fail = errors.New("mempool full")
	check("not taken", 0, 280)
	c.fail, c.deaf = nil, true
	check("taken without effect", 1, 280)
	check("at once again", 0, 280)
	c.height += 10
	c.deaf = false
	check("some blocks later", 1, 400)
	tick(41)
	c.height = 1001
	check("expired", 0, 400)
	c.channel = nil
	check("collected", 0, 400)
	if h, err := l.Holding(4, 0); h != nil || err != nil {
		t.Errorf("kept %+v, %v", h, err)
	}
}

// TestManyChunksFewMessages pays a million chunks to one seller in a thousand
// sessions over one lane: what goes on chain are a few redemptions of one
// channel, by what they are worth, and nothing is lost in the end.
func TestManyChunksFewMessages(t *testing.T) {
	l, err := ledger.Open("l", ledger.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	payer, err := chain.AddressOfKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	const sessions, each, price = 1000, 1000, 10
	c := &till{height: 100, channel: &chain.Channel{ID: 4, Payer: payer, Balance: chain.Atto(sessions * each * price)}}
	r, err := NewRedeemer(RedeemConfig{ChainID: "x", Ledger: l, Chain: c, Submit: c, SettleDelay: 40, Least: atLeast(sessions * each * price / 8)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(sessions) {
		links, err := payment.NewTicks([32]byte{byte(i), byte(i >> 8)}, each)
		if err != nil {
			t.Fatal(err)
		}
		v := chain.SignedVoucher{Signature: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)},
			Voucher: chain.Voucher{Version: 1, ChainID: "x", Channel: 4, Nonce: i + 1, Amount: chain.Atto(i * each * price), Anchor: links.Anchor(),
				TickPrice: chain.Atto(price), MaxTicks: each, ChunkSize: retrieval.ChunkSize, ExpiresAt: 10_000}}
		last, err := links.Tick(each)
		if err == nil {
			err = l.SaveVoucher(payer, &v)
		}
		if err == nil {
			err = l.SaveTick(4, 0, i+1, each, last)
		}
		if err == nil {
			_, err = r.Check(ctx) // the session is over
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(c.sent) != 8 {
		t.Errorf("%d messages, want 8", len(c.sent))
	}
	own, one := onChain(t, c.sent, payer), onChain(t, c.sent[:1], payer)-onChain(t, nil, payer)
	t.Logf("%d chunks: %d bytes in %d messages of one channel; a message a chunk would be %d bytes", sessions*each, own, len(c.sent)+3, one*sessions*each)
	if own > 5_000 || one < 100 {
		t.Errorf("%d bytes on chain, a redemption has %d", own, one)
	}
	c.height = 10_000 - 1
	if _, err := r.Check(ctx); err != nil || !c.channel.Balance.IsZero() {
		t.Errorf("%s attoPDR were not redeemed: %v", c.channel.Balance, err)
	}
}

// onChain is how many bytes the messages of a channel's life have, signed: it is opened, redeemed from,
// settled and collected.
func onChain(t *testing.T, redeemed []*chain.RedeemVoucher, who chain.Address) (bytes int) {
	t.Helper()
	bodies := []chain.Body{&chain.OpenChannel{Payee: who, Amount: chain.PDR(1)}, &chain.SettleChannel{Channel: 4}, &chain.CollectChannel{Channel: 4}}
	for _, r := range redeemed {
		bodies = append(bodies, r)
	}
	for i, b := range bodies {
		body, err := chain.Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		m := chain.SignedMessage{Message: chain.Message{Version: 1, From: who, Nonce: uint64(i), MaxFee: chain.PDR(1), Kind: b.Kind(), Body: body},
			Signature: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)}}
		signed, err := chain.Encode(&m)
		if err != nil {
			t.Fatal(err)
		}
		bytes += len(signed)
	}
	return bytes
}

// TestRedeemerRun checks at heights and nudges, and ends with its context.
func TestRedeemerRun(t *testing.T) {
	l, err := ledger.Open("l", ledger.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	looked := make(chan struct{}, 1)
	c := &till{}
	r, err := NewRedeemer(RedeemConfig{Ledger: l, Chain: watched{c, looked}, Submit: c})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	heights := make(chan chain.Height)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, heights) }()
	heights <- 1
	<-looked
	r.Nudge(Report{})
	<-looked
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type watched struct {
	Chain
	looked chan struct{}
}

func (w watched) Height(ctx context.Context) (chain.Height, error) {
	w.looked <- struct{}{}
	return w.Chain.Height(ctx)
}

func TestConfig(t *testing.T) {
	payee, err := chain.AddressOfKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"empty":                {},
		"price without payee":  {ChainID: "x", Source: source{}, Prices: Terms{Access: Paid, Price: chain.Atto(1)}},
		"price without ledger": {ChainID: "x", Source: source{}, Prices: Terms{Access: Paid, Price: chain.Atto(1), Payee: &payee}},
		"paid for nothing":     {ChainID: "x", Source: source{}, Prices: Terms{Access: Paid, Payee: &payee}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, terms := range []Terms{{}, {Access: Free}} {
		if _, err := New(Config{ChainID: "x", Source: source{}, Prices: terms}); err != nil {
			t.Errorf("%s: %v", terms.Access, err)
		}
	}
}

type source struct{ Source }

// TestFreeTotal bounds what all peers together get for nothing.
func TestFreeTotal(t *testing.T) {
	s, err := New(Config{ChainID: "x", Source: source{}, FreeTotal: 12})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint64{5, 5, 2, 0} {
		if n := s.takeFree(fmt.Sprint(i), 5); n != want {
			t.Errorf("peer %d gets %d, want %d", i, n, want)
		}
	}
	s.giveFree("1", 3)
	if n := s.takeFree("4", 5); n != 3 {
		t.Errorf("given back, %d", n)
	}
}

// TestThrottle: the peers share what may be sent, and none gets more than its own
// bound, however many sessions it has.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		const chunk = 1 << 18
		th := newThrottle(16*chunk, 12*chunk)
		var sent sync.Map
		var all sync.WaitGroup
		for peer, sessions := range map[string]int{"greedy": 9, "modest": 1} {
			total := new(atomic.Int64)
			sent.Store(peer, total)
			for range sessions {
				all.Add(1)
				go func() {
					defer all.Done()
					q := th.join(peer)
					defer th.leave(peer, q)
					for th.wait(ctx, q, chunk) == nil {
						total.Add(1)
					}
				}()
			}
		}
		of := func(peer string) int64 { v, _ := sent.Load(peer); return v.(*atomic.Int64).Load() }
		time.Sleep(10*time.Second + time.Millisecond)
		if g, m := of("greedy"), of("modest"); g < 75 || g > 85 || m < 75 || m > 85 {
			t.Errorf("in ten seconds %d and %d chunks, want 80 each", g, m)
		}
		cancel()
		all.Wait()
		if len(th.peers) != 0 {
			t.Errorf("%d peers remembered", len(th.peers))
		}
		ctx, cancel = context.WithCancel(context.Background())
		q := th.join("alone")
		began := time.Now()
		for range 120 {
			if err := th.wait(ctx, q, chunk); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 9900*time.Millisecond || took > 10*time.Second {
			t.Errorf("120 chunks at 12 a second took %s", took)
		}
		cancel()
	})
}

// TestFreeAllowance bounds the peers that it remembers.
func TestFreeAllowance(t *testing.T) {
	s, err := New(Config{ChainID: "x", Source: source{}})
	if err != nil {
		t.Fatal(err)
	}
	if n := s.takeFree("a", 5); n != 5 {
		t.Errorf("first %d", n)
	}
	if n := s.takeFree("a", 5); n != 0 {
		t.Errorf("then %d", n)
	}
	s.giveFree("a", 2)
	if n := s.takeFree("a", 5); n != 2 {
		t.Errorf("given back, %d", n)
	}
	for i := range maxFreePeers + 10 {
		s.takeFree(fmt.Sprint(i), 5)
	}
	if len(s.free) > maxFreePeers {
		t.Errorf("remembers %d peers", len(s.free))
	}
}
