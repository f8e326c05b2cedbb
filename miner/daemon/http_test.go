package daemon

import (
	"context"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/retrieval/gateway"
	"github.com/perdure/perdure/retrieval/seller"
)

// dealRecords are a miner's records of a test: deals alone.
type dealRecords struct {
	miner.Records
	deals []*miner.Deal
}

func (r *dealRecords) Changes() uint64 { return 1 }

func (r *dealRecords) Deals() ([]*miner.Deal, error) { return r.deals, nil }

// TestHoldings: each state of a deal is what clients are told of its piece.
func TestHoldings(t *testing.T) {
	r := &dealRecords{}
	for i, state := range []miner.DealState{miner.DealFetching, miner.DealFetched, miner.DealAccepted, miner.DealPacked, miner.DealActive, miner.DealEnded, miner.DealDiscarded} {
		d := &miner.Deal{ID: uint64(i), State: state}
		d.Deal.Public = state == miner.DealPacked
		r.deals = append(r.deals, d)
	}
	got, err := holdings(t.Context(), r, func(_ context.Context, d *chain.Deal) (gateway.Status, error) {
		if d.Public {
			return gateway.Status{State: gateway.Free}, nil
		}
		return gateway.Status{State: gateway.Priced, Terms: gateway.Terms{Price: chain.Atto(3)}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []gateway.State{gateway.Waiting, gateway.Priced, gateway.Priced, gateway.Free, gateway.Priced, gateway.Ended}
	if len(got) != len(want) {
		t.Fatalf("%d holdings, want %d", len(got), len(want))
	}
	for i, h := range got {
		if h.Status.State != want[i] || (h.Status.State == gateway.Priced) != (h.Status.Terms.Price == chain.Atto(3)) {
			t.Errorf("deal %d: %+v, want state %d", i, h.Status, want[i])
		}
	}
}

func TestPublicConfig(t *testing.T) {
	root := cid.MustParse("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
	wish := cid.MustParse("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
	wished := &miner.Deal{State: miner.DealActive}
	wished.Deal.Public, wished.Deal.PayloadRoot = true, wish
	for _, c := range []struct {
		free         []string
		root, wished bool
	}{{nil, false, false}, {[]string{"public"}, false, true}, {[]string{root.String()}, true, false}, {[]string{"all"}, true, true}} {
		g, err := newGifts(c.free, &dealRecords{deals: []*miner.Deal{wished}})
		if err != nil {
			t.Fatal(err)
		}
		for of, want := range map[cid.Cid]bool{root: c.root, wish: c.wished} {
			if got, err := g.has(seller.Item{Root: of}); err != nil || got != want {
				t.Errorf("free = %q: %s is free: %v, %v", c.free, of, got, err)
			}
		}
	}
	if _, err := newGifts([]string{"everything"}, nil); err == nil {
		t.Error("a root that is none is taken")
	}
	if cfg := DefaultConfig().Public; cfg.HTTP != "" || cfg.Bitswap || cfg.DHT {
		t.Errorf("something is public by default: %+v", cfg)
	}
}
