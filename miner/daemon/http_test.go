package daemon

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/retrieval/gateway"
)

// dealRecords are a miner's records of a test: deals alone.
type dealRecords struct {
	miner.Records
	deals []*miner.Deal
}

func (r *dealRecords) Deals() ([]*miner.Deal, error) { return r.deals, nil }

// TestHoldings: each state of a deal is what clients are told of its piece.
func TestHoldings(t *testing.T) {
	r := &dealRecords{}
	for i, state := range []miner.DealState{miner.DealFetching, miner.DealFetched, miner.DealAccepted, miner.DealPacked, miner.DealActive, miner.DealEnded, miner.DealDiscarded} {
		d := &miner.Deal{ID: uint64(i), State: state}
		d.Deal.Public = state == miner.DealPacked
		r.deals = append(r.deals, d)
	}
	got, err := holdings(r, func(d *chain.Deal) gateway.Terms {
		if d.Public {
			return gateway.Terms{}
		}
		return gateway.Terms{Price: chain.Atto(3)}
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
	deal := &chain.Deal{PayloadRoot: root}
	wish := &chain.Deal{PayloadRoot: root, Public: true}
	for _, c := range []struct {
		free       []string
		deal, wish bool
	}{{nil, false, false}, {[]string{"public"}, false, true}, {[]string{root.String()}, true, true}, {[]string{"all"}, true, true}} {
		g, err := parseGifts(c.free)
		if err != nil || g.has(deal) != c.deal || g.has(wish) != c.wish {
			t.Errorf("free = %q: %+v, %v", c.free, g, err)
		}
	}
	if _, err := parseGifts([]string{"everything"}); err == nil {
		t.Error("a root that is none is taken")
	}
	if cfg := DefaultConfig().Public; cfg.HTTP != "" || cfg.Bitswap || cfg.DHT {
		t.Errorf("something is public by default: %+v", cfg)
	}
}
