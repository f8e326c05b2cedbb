package deals

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
)

// overlaid is the test's chain with other records in place of some.
type overlaid struct {
	miner.Chain
	records map[chain.Key]chain.CBOR
}

// Record implements miner.Chain.
func (o overlaid) Record(ctx context.Context, k chain.Key, into chain.CBOR) (bool, error) {
	v, ok := o.records[k]
	if !ok {
		return o.Chain.Record(ctx, k, into)
	}
	raw, err := chain.Encode(v)
	if err != nil {
		return false, err
	}
	return true, chain.Decode(raw, into)
}

// stall sells what it is told to, and remembers what it was asked.
type stall struct {
	data   []byte
	price  chain.Amount
	asked  []chain.Peer
	most   chain.Amount
	blamed int
}

// Buy implements miner.Buyer.
func (s *stall) Buy(_ context.Context, _ *chain.Deal, peers []chain.Peer, most chain.Amount, path string) (miner.Purchase, error) {
	s.asked, s.most = peers, most
	if most.Less(s.price) {
		return miner.Purchase{}, miner.ErrNoSeller
	}
	return miner.Purchase{Spent: s.price, Blame: func() { s.blamed++ }}, os.WriteFile(path, s.data, 0o644)
}

// TestRepair lets a miner buy the piece of a repair: from those that hold it,
// for no more than the allowance and its own deposit. Another piece is paid and
// dropped, its seller is blamed, and what it cost is not there for the next.
func TestRepair(t *testing.T) {
	r := newRig(t)
	id := r.bid(data(500))
	var on chain.Deal
	r.chain.Read(chain.DealKey(id), &on)
	on.Succeeds = &chain.Succession{Bid: on.Bid, Fetch: chain.Atto(1000)}
	shop := &stall{data: data(501), price: chain.Atto(700)}
	peer := func(name string) *chain.Miner {
		w := r.chain.Worker
		return &chain.Miner{Keys: chain.Keys{Owner: w, Worker: w, Beneficiary: w}, Peer: chain.Peer{ID: []byte(name)}}
	}
	world := overlaid{r.chain, map[chain.Key]chain.CBOR{chain.MinerKey(2000): peer("holder"), chain.MinerKey(2001): peer("fetching"),
		chain.MinerKey(2002): peer("")}}
	r.deals.chain, r.deals.cfg.Buyer = world, shop
	if err := r.deals.note(&on); err != nil {
		t.Fatal(err)
	}
	if err := r.deals.fetch(t.Context(), r.want(id, miner.DealFetching)); !errors.Is(err, miner.ErrNoSeller) {
		t.Fatalf("nobody holds it: %v", err)
	}

	world.records[chain.CopiesKey(on.Bid)] = &chain.Copies{Holders: []chain.Holder{{Deal: 7, Miner: 2000, Owner: r.chain.Client, Holds: true},
		{Deal: 8, Miner: 2001, Owner: r.chain.Client}, {Deal: 9, Miner: 2002, Owner: r.chain.Client, Holds: true},
		{Deal: id, Miner: r.chain.Miner, Owner: r.chain.Worker, Holds: true}}}
	most, err := on.MinerDeposit.Add(chain.Atto(1000))
	if err != nil || on.MinerDeposit.IsZero() {
		t.Fatalf("deposit of %s, %v", on.MinerDeposit, err)
	}
	if err := r.deals.fetch(t.Context(), r.want(id, miner.DealFetching)); err == nil {
		t.Fatal("another piece was taken")
	}
	rec := r.want(id, miner.DealFetching)
	if len(shop.asked) != 1 || string(shop.asked[0].ID) != "holder" || shop.most != most || shop.blamed != 1 {
		t.Errorf("asked %q for at most %s, blamed %d times; want the holder, %s, once", shop.asked, shop.most, shop.blamed, most)
	}
	if rec.Wasted != shop.price || rec.Problem == "" {
		t.Errorf("record %+v, want %s wasted and why", rec, shop.price)
	}
	if _, err := os.Stat(r.disk.Piece(on.PieceCID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the wrong piece is still there: %v", err)
	}

	shop.data = data(500)
	if err := r.deals.fetch(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	r.want(id, miner.DealFetched)
	if left, err := most.Sub(shop.price); err != nil || shop.most != left {
		t.Errorf("pays at most %s after %s of %s are gone", shop.most, shop.price, most)
	}
}
