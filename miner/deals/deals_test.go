package deals

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/db"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/miner/minertest"
	"github.com/perdure/perdure/miner/sector"
	"github.com/perdure/perdure/porep/piece"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fetches gives what the client would send for a deal.
type fetches map[uint64]func(path string) error

func (f fetches) Fetch(_ context.Context, d *chain.Deal, path string) error {
	if f[d.ID] == nil {
		return miner.ErrNoClient
	}
	return f[d.ID](path)
}

func sends(data []byte) func(string) error {
	return func(path string) error { return os.WriteFile(path, data, 0o644) }
}

type rig struct {
	*testing.T
	chain   *minertest.Chain
	fs      vfs.FS
	disk    *disk.Disk
	records *db.DB
	fetch   fetches
	deals   *Deals
	seen    chain.Height
}

func newRig(t *testing.T, change ...func(*consensus.Params)) *rig {
	r := &rig{T: t, chain: minertest.New(t, func(p *consensus.Params) {
		for _, f := range change {
			f(p)
		}
	}), fs: vfs.NewMem(), fetch: fetches{}}
	var err error
	if r.disk, err = disk.New(t.TempDir(), r.chain.Miner, 0); err != nil {
		t.Fatal(err)
	}
	r.chain.MustSend(1, &chain.PlaceAsk{Terms: chain.AskTerms{
		Miner: r.chain.Miner, Price: chain.Atto(1000), Capacity: 64 << 10, MinPiece: 128, MaxPiece: 2048,
		MinDuration: 60, MaxDuration: 10_000, Expiry: r.chain.Height() + 5000}})
	r.start()
	t.Cleanup(func() { r.records.Close() })
	return r
}

func (r *rig) start() {
	r.Helper()
	var err error
	if r.records, err = db.OpenFS("records", r.fs); err != nil {
		r.Fatal(err)
	}
	r.deals = New(Config{Miner: r.chain.Miner, SectorSize: 2048, PackDelay: 3, Retry: 1, Log: slog.New(slog.DiscardHandler)},
		r.records, r.chain, r.chain, r.fetch, r.disk)
}

func (r *rig) restart() {
	r.Helper()
	if err := r.records.Close(); err != nil {
		r.Fatal(err)
	}
	r.start()
}

// bid places a bid for data and returns its deal once it is matched.
func (r *rig) bid(data []byte) uint64 {
	r.Helper()
	info, err := piece.Commit(bytes.NewReader(data))
	if err != nil {
		r.Fatal(err)
	}
	sum, err := mh.Sum(data, mh.SHA2_256, -1)
	if err != nil {
		r.Fatal(err)
	}
	r.chain.AsClient(&chain.PlaceBid{Terms: chain.BidTerms{
		PieceCID: info.CID, PaddedSize: info.PaddedSize, PayloadRoot: cid.NewCidV1(cid.Raw, sum), Parts: 1,
		Duration: 200, MaxPrice: chain.Atto(2000), Copies: 1, Expiry: r.chain.Height() + 100, ClientPeer: []byte("client")}})
	before, err := r.chain.Global(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	r.chain.Advance(5)
	after, err := r.chain.Global(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	if after.NextDeal != before.NextDeal+1 {
		r.Fatalf("%d deals are matched five blocks after the bid, want one", after.NextDeal-before.NextDeal)
	}
	r.follow()
	return before.NextDeal
}

// follow takes in the Updates that came.
func (r *rig) follow() {
	r.Helper()
	for _, u := range r.chain.Updates(r.seen + 1) {
		if err := r.deals.Apply(u); err != nil {
			r.Fatal(err)
		}
		r.seen = u.Height
	}
}

// pass works on the deals until what was started is done, and follows.
func (r *rig) pass() {
	r.Helper()
	if err := r.deals.pass(r.Context()); err != nil {
		r.Fatal(err)
	}
	r.deals.wg.Wait()
	r.follow()
}

func (r *rig) want(id uint64, state miner.DealState) *miner.Deal {
	r.Helper()
	rec, err := r.deals.find(id)
	if err != nil {
		r.Fatal(err)
	}
	if rec.State != state {
		r.Fatalf("deal %d is %s (%s), want %s", id, rec.State, rec.Problem, state)
	}
	return rec
}

func data(n int) []byte { return []byte(strings.Repeat(fmt.Sprintf("piece of %d bytes ", n), n)[:n]) }

// TestToSector takes deals from the match into sectors, with a restart at each step.
func TestToSector(t *testing.T) {
	r := newRig(t)
	small, large := r.bid(data(100)), r.bid(data(900))
	r.pass()
	r.want(small, miner.DealFetching) // no client yet
	r.fetch[small], r.fetch[large] = sends(data(100)), sends(data(900))
	r.restart()
	r.pass()
	r.want(small, miner.DealFetched)
	r.restart()
	r.pass() // accepts both in one message
	r.want(small, miner.DealAccepted)
	r.want(large, miner.DealAccepted)
	r.restart()
	r.pass()
	r.want(small, miner.DealAccepted) // waits for company
	r.chain.Advance(3)
	r.pass()
	a, b := r.want(small, miner.DealPacked), r.want(large, miner.DealPacked)
	if a.Sector != b.Sector || r.chain.Sent[chain.KindAcceptData] != 1 {
		t.Errorf("in sectors %d and %d by %d messages", a.Sector, b.Sector, r.chain.Sent[chain.KindAcceptData])
	}
	s, err := r.records.Sector(a.Sector)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Pieces) != 2 || s.Pieces[0].Deal != large || s.Pieces[0].PaddedSize != 1024 || s.Pieces[1].PaddedSize != 128 {
		t.Errorf("pieces %+v, want the larger first", s.Pieces)
	}
	if s.Expiration < a.Deal.ActivateBy+chain.Height(a.Deal.Duration) {
		t.Errorf("sector expires at %d, before deal %d may end", s.Expiration, small)
	}
	all, err := r.records.Sectors()
	if err != nil || len(all) != 1 {
		t.Errorf("%d sectors, %v; want one", len(all), err)
	}
}

// TestWrongPiece drops what the client did not bid for and names both.
func TestWrongPiece(t *testing.T) {
	r := newRig(t)
	id := r.bid(data(500))
	r.fetch[id] = sends(data(501))
	r.pass()
	rec := r.want(id, miner.DealDiscarded)
	wrong, err := piece.Commit(bytes.NewReader(data(501)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(rec.Problem, rec.Deal.PieceCID.String()) || !strings.Contains(rec.Problem, wrong.CID.String()) {
		t.Errorf("problem %q does not name both pieces", rec.Problem)
	}
	if _, err := os.Stat(r.disk.Piece(rec.Deal.PieceCID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the wrong piece is still there: %v", err)
	}
	r.chain.Advance(250)
	r.follow()
	var on chain.Deal
	r.chain.Read(chain.DealKey(id), &on)
	if on.State != chain.DealVoid {
		t.Errorf("the deal is %s, want void", on.State)
	}
	r.want(id, miner.DealEnded)
}

// TestVoidAfterFetch lets go of a piece whose deal went void.
func TestVoidAfterFetch(t *testing.T) {
	r := newRig(t)
	id := r.bid(data(300))
	r.fetch[id] = sends(data(300))
	if err := r.deals.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.deals.wg.Wait()
	rec := r.want(id, miner.DealFetched)
	r.chain.Advance(250)
	r.pass()
	r.want(id, miner.DealEnded)
	r.pass()
	if _, err := os.Stat(r.disk.Piece(rec.Deal.PieceCID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the piece of a void deal is still there: %v", err)
	}
}

// TestUnpack gives up a sector one of whose deals went void before it was on
// chain, and packs the others again.
func TestUnpack(t *testing.T) {
	r := newRig(t)
	first := r.bid(data(100))
	r.fetch[first] = sends(data(100))
	for range 3 {
		r.pass()
	}
	r.chain.Advance(400)
	second := r.bid(data(900))
	r.fetch[second] = sends(data(900))
	for range 3 {
		r.pass()
	}
	old := r.want(first, miner.DealPacked).Sector
	r.chain.Advance(5)
	r.pass()
	if n := r.want(second, miner.DealPacked).Sector; n == old {
		t.Fatalf("both deals are in sector %d", n)
	}
	// Put them together by hand, as if the second had come in time.
	rec := r.want(second, miner.DealPacked)
	rec.Sector = old
	if err := r.records.PutDeal(rec); err != nil {
		t.Fatal(err)
	}
	r.chain.Advance(250) // the first is not active in time
	r.follow()
	r.want(first, miner.DealEnded)
	r.want(second, miner.DealAccepted)
	s, err := r.records.Sector(old)
	if err != nil || s.State != sector.Ended || s.Problem == "" {
		t.Errorf("sector %+v, %v; want it given up with a reason", s, err)
	}
	r.pass()
	if n := r.want(second, miner.DealPacked).Sector; n == old {
		t.Errorf("packed into the given-up sector again")
	}
}

// TestForgotten drops the record of a deal when the chain does; one that ended
// while nobody looked is noted as ended first.
func TestForgotten(t *testing.T) {
	r := newRig(t, func(p *consensus.Params) { // as little as bounds allow
		p.StateRetention, p.EvidenceAge, p.TrustPeriod, p.Unbonding, p.RepairBy, p.TicketAge = 3*p.Period(), 40, 20, 40, 30, 100
		p.EndedRetention = p.SeedDelay + p.ProveDue + 1
	})
	r.follow()
	void := r.bid(data(300))
	advance := func() {
		for range 3 { // Updates are kept for 180 heights
			r.chain.Advance(90)
			r.follow()
		}
	}
	advance()
	r.want(void, miner.DealEnded)
	advance()
	if all, err := r.records.Deals(); len(all) != 0 || err != nil {
		t.Errorf("%d records are left, %v", len(all), err)
	}
	unseen := r.bid(data(300))
	r.fetch[unseen] = sends(data(300))
	for range 3 {
		r.pass()
	}
	old := r.want(unseen, miner.DealAccepted)
	gone := &consensus.Update{Height: r.chain.Height(), Changes: []consensus.Change{{Table: chain.TableDeal, ID: []byte(chain.DealKey(unseen).ID)},
		{Table: chain.TableDeal, ID: []byte(chain.DealKey(unseen + 7).ID)}}}
	if err := r.deals.Apply(gone); err != nil {
		t.Fatal(err)
	}
	r.want(unseen, miner.DealEnded)
	r.pass()
	if _, err := os.Stat(r.disk.Piece(old.Deal.PieceCID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its piece is still there: %v", err)
	}
	if err := r.deals.Apply(gone); err != nil {
		t.Fatal(err)
	}
	if all, err := r.records.Deals(); len(all) != 0 || err != nil {
		t.Errorf("%d records are left, %v", len(all), err)
	}
}
