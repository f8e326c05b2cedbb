package rpc

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
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

func FuzzReadUpdate(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0x80})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		raw, err := readUpdate(strings.NewReader(string(b)))
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
