package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/chain/wallet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCut = errors.New("connection cut")

// fake is a node that cuts its feed after every third Update.
type fake struct {
	mu      sync.Mutex
	records map[chain.Key][]byte
	updates [][]byte // by height, from 1
	oldest  chain.Height
	got     [][]byte
	refusal error
}

func (f *fake) Params() *consensus.Params {
	p := consensus.Devnet()
	p.ChainID = "test-1"
	return p
}

func (f *fake) Record(k chain.Key) ([]byte, error) { return f.records[k], nil }

func (f *fake) Submit(_ context.Context, raw []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, raw)
	return f.refusal
}

func (f *fake) Await(ctx context.Context, h chain.Hash) (*wallet.Inclusion, error) {
	return &wallet.Inclusion{Height: 7, Receipt: consensus.Receipt{Hash: h, Kind: chain.KindTransfer}}, nil
}

func (f *fake) Updates(ctx context.Context, from chain.Height, each func([]byte) error) error {
	if from < f.oldest {
		return &PrunedError{Oldest: f.oldest}
	}
	for i := range 3 {
		at := int(from) + i
		if at > len(f.updates) {
			<-ctx.Done()
			return ctx.Err()
		}
		if err := each(f.updates[at-1]); err != nil {
			return err
		}
	}
	return errCut
}

// bundle is a proof under a header of no meaning.
func bundle(k chain.Key, at chain.Height) *proof.Bundle {
	return &proof.Bundle{Version: proof.BundleVersion, Headers: []proof.Header{{Light: []byte{byte(at + 1)}}},
		Table: k.Table, ID: []byte(k.ID), Path: []byte("path")}
}

func (f *fake) Prove(ctx context.Context, k chain.Key, at chain.Height) (*proof.Bundle, error) {
	switch tip := chain.Height(len(f.updates)); {
	case at == Newest:
		at = tip - 1
	case at < f.oldest:
		return nil, &PrunedError{Oldest: f.oldest}
	case at >= tip:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return bundle(k, at), nil
}

func (f *fake) Header(_ context.Context, h chain.Height) ([]byte, error) {
	if h > 9 {
		return nil, fmt.Errorf("header %d: %w", h, ErrNotFound)
	}
	return []byte{byte(h)}, nil
}

func (f *fake) StateBlock(c cid.Cid) ([]byte, error) {
	if c == proof.LinkOf([]byte("lie")) {
		return []byte("truth"), nil
	}
	for _, b := range f.records {
		if proof.LinkOf(b) == c {
			return b, nil
		}
	}
	return nil, ErrNotFound
}

func (f *fake) Report(raw []byte) error {
	f.got = append(f.got, raw)
	return f.refusal
}

func serve(t *testing.T, f *fake) *Client {
	t.Helper()
	s := httptest.NewServer(Handler(f))
	c := New(s.URL + "/")
	t.Cleanup(func() { c.Close(); s.Close() })
	return c
}

func encode(t *testing.T, v chain.CBOR) []byte {
	t.Helper()
	b, err := chain.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRead(t *testing.T) {
	who, _ := chain.AddressOfKey([]byte(strings.Repeat("k", chain.PrivateKeySize)))
	f := &fake{records: map[chain.Key][]byte{
		chain.GlobalKey():     encode(t, &chain.Global{Height: 41}),
		chain.AccountKey(who): encode(t, &chain.Account{Nonce: 3, Balance: chain.PDR(2)}),
	}}
	c, ctx := serve(t, f), t.Context()
	p, err := c.Params(ctx)
	if err != nil || p.ChainID != "test-1" || p.Window != consensus.Devnet().Window {
		t.Fatalf("params = %+v, %v", p, err)
	}
	if g, err := c.Global(ctx); err != nil || g.Height != 41 {
		t.Errorf("global = %+v, %v", g, err)
	}
	if a, err := c.Account(ctx, who); err != nil || a.Nonce != 3 || a.Balance != chain.PDR(2) {
		t.Errorf("account = %+v, %v", a, err)
	}
	if ok, err := c.Record(ctx, chain.DealKey(9), new(chain.Deal)); ok || err != nil {
		t.Errorf("missing record: %v, %v", ok, err)
	}
	if ok, err := c.Record(ctx, chain.AccountKey(who), new(chain.Deal)); ok || err == nil {
		t.Errorf("account read as a deal: %v, %v", ok, err)
	}
	if _, err := New("http://127.0.0.1:1").Global(ctx); err == nil {
		t.Error("a node that is not there answers")
	}
}

func TestSubmit(t *testing.T) {
	f := &fake{}
	c, ctx := serve(t, f), t.Context()
	if err := c.Submit(ctx, []byte("raw")); err != nil || string(f.got[0]) != "raw" {
		t.Fatalf("submit: %v, node got %q", err, f.got)
	}
	f.refusal = &consensus.Refusal{Code: consensus.CodeBadNonce, Text: "nonce 1, the account's next is 2"}
	err := c.Submit(ctx, []byte("raw"))
	if consensus.CodeOf(err) != consensus.CodeBadNonce || err.Error() != "nonce 1, the account's next is 2" {
		t.Errorf("refusal comes as %v (%v)", err, consensus.CodeOf(err))
	}
	if err := c.Submit(ctx, make([]byte, chain.MaxEncodedMessage+1)); err == nil {
		t.Error("a message over the limit is taken")
	}
	h := chain.HashBytes([]byte("raw"))
	in, err := c.Await(ctx, h)
	if err != nil || in.Height != 7 || in.Receipt.Hash != h || in.Err() != nil {
		t.Errorf("await = %+v, %v", in, err)
	}
}

func TestFollow(t *testing.T) {
	f := &fake{oldest: 2}
	for h := chain.Height(1); h <= 8; h++ {
		f.updates = append(f.updates, encode(t, &consensus.Update{Version: consensus.UpdateVersion, Height: h}))
	}
	c := serve(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next := chain.Height(2)
	err := c.Follow(ctx, 2, func(u *consensus.Update) error {
		if u.Height != next {
			t.Fatalf("update %d, want %d", u.Height, next)
		}
		if next++; next == 9 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || next != 9 {
		t.Errorf("follow ended at %d: %v", next, err)
	}
	var pruned *PrunedError
	if err := c.Follow(t.Context(), 1, nil); !errors.As(err, &pruned) || pruned.Oldest != 2 {
		t.Errorf("follow from before what is kept: %v", err)
	}
	stop := errors.New("stop")
	if err := c.Follow(t.Context(), 2, func(*consensus.Update) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a reader's error comes as %v", err)
	}
}

// TestTrouble takes the node away in the middle of a feed, and gives it back when
// the client has said so.
func TestTrouble(t *testing.T) {
	f := &fake{}
	for h := chain.Height(1); h <= 5; h++ {
		f.updates = append(f.updates, encode(t, &consensus.Update{Version: consensus.UpdateVersion, Height: h}))
	}
	var away atomic.Bool
	feed := Handler(f)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		feed.ServeHTTP(w, r)
	}))
	defer s.Close()
	c := New(s.URL)
	defer c.Close()
	var told []string
	c.OnTrouble(func(err error) {
		told = append(told, fmt.Sprint(err))
		away.Store(false)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := c.Follow(ctx, 1, func(u *consensus.Update) error {
		switch u.Height {
		case 3: // the last before the feed is cut
			away.Store(true)
		case 5:
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if len(told) != 2 || !strings.Contains(told[0], "502") || told[1] != "<nil>" {
		t.Errorf("told %q, want the status 502, then that it goes on", told)
	}
}

// TestFollowProven reads the feed with proofs, through cuts.
func TestFollowProven(t *testing.T) {
	f := &fake{oldest: 1}
	for h := chain.Height(1); h <= 8; h++ {
		f.updates = append(f.updates, encode(t, &consensus.Update{Version: consensus.UpdateVersion, Height: h}))
	}
	c := serve(t, f)
	next, stop := chain.Height(1), errors.New("stop")
	err := c.FollowProven(t.Context(), 1, func(u *consensus.Update, b *proof.Bundle, _ bool) error {
		if u.Height != next || b.Key() != chain.GlobalKey() || b.Headers[0].Light[0] != byte(next+1) {
			t.Fatalf("update %d with %+v, want %d", u.Height, b, next)
		}
		if next++; next == 8 { // the last has no header after it yet
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Errorf("follow ended at %d: %v", next, err)
	}
}

// TestProofs reads what proves: proofs, headers, blocks.
func TestProofs(t *testing.T) {
	record := encode(t, &chain.Beacon{Skipped: true})
	f := &fake{oldest: 2, updates: make([][]byte, 8), records: map[chain.Key][]byte{chain.DealKey(7): record}}
	c, ctx := serve(t, f), t.Context()
	for at, want := range map[chain.Height]byte{Newest: 8, 3: 4} {
		b, err := c.Prove(ctx, chain.DealKey(7), at)
		if err != nil || b.Key() != chain.DealKey(7) || b.Headers[0].Light[0] != want || string(b.Path) != "path" {
			t.Errorf("proof at %d is %+v, %v", at, b, err)
		}
	}
	var pruned *PrunedError
	if _, err := c.Prove(ctx, chain.DealKey(7), 1); !errors.As(err, &pruned) || pruned.Oldest != 2 {
		t.Errorf("proof of what is pruned: %v", err)
	}
	if _, err := c.Prove(ctx, chain.Key{Table: chain.TableDeal, ID: "short"}, 3); err == nil || !strings.Contains(err.Error(), "no key of 5 bytes") {
		t.Errorf("proof of a key of no shape: %v", err)
	}
	if raw, err := c.Header(ctx, 5); err != nil || len(raw) != 1 || raw[0] != 5 {
		t.Errorf("header is %x, %v", raw, err)
	}
	if _, err := c.Header(ctx, 10); !errors.Is(err, ErrNotFound) {
		t.Errorf("header of the future: %v", err)
	}
	if raw, err := c.Block(ctx, proof.LinkOf(record)); err != nil || string(raw) != string(record) {
		t.Errorf("block is %x, %v", raw, err)
	}
	if _, err := c.Block(ctx, proof.LinkOf([]byte("other"))); !errors.Is(err, ErrNotFound) {
		t.Errorf("block that is not there: %v", err)
	}
	if _, err := c.Block(ctx, proof.LinkOf([]byte("lie"))); err == nil || !strings.Contains(err.Error(), "expected bafy") {
		t.Errorf("another block than was asked for: %v", err)
	}
	if err := c.Report(ctx, []byte("evidence")); err != nil || string(f.got[0]) != "evidence" {
		t.Errorf("evidence: %v, node got %q", err, f.got)
	}
}

func FuzzReadUpdate(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0x80})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		raw, err := readFrame(strings.NewReader(string(b)), maxUpdate)
		if err != nil {
			return
		}
		u := new(consensus.Update)
		if chain.Decode(raw, u) == nil {
			if again, err := chain.Encode(u); err != nil || string(again) != string(raw) {
				t.Fatalf("update decodes from another encoding than its own: %v", err)
			}
		}
	})
}

// TestAnyOrigin: any web page may read what there is to verify with, and none
// may send.
func TestAnyOrigin(t *testing.T) {
	h := Handler(&fake{updates: make([][]byte, 8)})
	for _, c := range []struct{ method, path, want string }{{"GET", PathHeaders + "5", "*"}, {"GET", PathBlocks + "none", "*"}, {"POST", PathMessages, ""}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader("")))
		if have := w.Header().Get("Access-Control-Allow-Origin"); have != c.want {
			t.Errorf("%s %s allows the origin %q, want %q", c.method, c.path, have, c.want)
		}
	}
}

// TestLost asks for what there is not, and in a way that is not allowed: these are
// problems like every other error.
func TestLost(t *testing.T) {
	h := Handler(&fake{})
	for request, want := range map[string]int{"GET /v1/raw/nothing": 404, "GET /v1/raw/": 404, "GET /v1/raw/records/": 404, "DELETE /v1/raw/params": 405,
		"GET /v1/raw/messages": 405, "GET /v1/raw/receipts/00": 400} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		w.Header().Set("X-Request-Id", "some")
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != want || w.Code != want || p.Type != "about:blank" || p.Title == "" || p.Detail == "" || p.Instance != "some" {
			t.Errorf("%s: %d %s", request, w.Code, w.Body)
		}
		if w.Header().Get("Content-Type") != contentProblem || w.Header().Get("Cache-Control") != "no-store" || (w.Header().Get("Allow") != "") != (want == 405) {
			t.Errorf("%s: headers %v", request, w.Header())
		}
	}
}
