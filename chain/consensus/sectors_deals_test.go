package consensus

import (
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep/piece"
)

// acceptedDeal puts a deal without money into the state, as it is after AcceptData.
func (n *network) acceptedDeal(d chain.Deal) {
	n.t.Helper()
	b, err := chain.Encode(&d)
	must(n.t, err)
	n.view.records[chain.DealKey(d.ID)] = b
	for i, v := range []chain.CBOR{&chain.QueueHead{Count: 1}, &chain.QueueItem{ID: d.ID}} { // one that is over is due to go
		k := chain.QueueKey(chain.QueueDealForget, 1<<20, uint64(i))
		if delete(n.view.records, k); d.Ended() {
			n.view.records[k], err = chain.Encode(v)
			must(n.t, err)
		}
	}
}

func (n *network) deal(id uint64) (d chain.Deal) {
	n.t.Helper()
	n.record(chain.DealKey(id), &d)
	return d
}

func pieceCID(name string) cid.Cid { return piece.UnsealedCID([32]byte(seed("piece", name))) }

// plainDeal is an accepted deal of the test's miner about the piece "a" of 1 KiB.
func (n *network) plainDeal(id uint64) chain.Deal {
	a := addressOf(n.t, "worker")
	return chain.Deal{ID: id, State: chain.DealAccepted, Client: a, Miner: chain.FirstMinerID, PieceCID: pieceCID("a"),
		PayloadRoot: pieceCID("root"), PaddedSize: 1 << 10, Parts: 1, Duration: 500, Matched: 1, ActivateBy: 300}
}

// TestDealsInPreCommits tries every deal that a sector must not hold, and that
// what it holds is bound until it is dropped.
func TestDealsInPreCommits(t *testing.T) {
	p := testParams()
	p.ProveDue, p.SeedDelay = 20, 5
	n := minerNetwork(t, p, fakeVerifier{}, 2<<10)
	cases := []struct {
		name, refusal string
		change        func(*chain.Deal)
	}{
		{"another miner's", "is another miner's", func(d *chain.Deal) { d.Miner++ }},
		{"not accepted yet", "is matched, not accepted", func(d *chain.Deal) { d.State = chain.DealMatched }},
		{"void", "is void, not accepted", func(d *chain.Deal) { d.State = chain.DealVoid }},
		{"active", "is active, not accepted", func(d *chain.Deal) { d.State = chain.DealActive }},
		{"in a sector", "is in a sector already", func(d *chain.Deal) { d.Committed = true }},
		{"another piece", "is about another piece", func(d *chain.Deal) { d.PieceCID = pieceCID("b") }},
		{"another size", "is about another piece", func(d *chain.Deal) { d.PaddedSize = 512 }},
		{"too late", "must be active before the sector can be proven", func(d *chain.Deal) { d.ActivateBy = n.height + 6 }},
		{"cut short", "cuts deal 1 short, which may begin at", func(d *chain.Deal) { d.Duration = 1_000 }},
		{"of endless duration", "cuts deal 1 short, which may begin at", func(d *chain.Deal) { d.Duration = 1<<64 - 1 }},
	}
	for _, c := range cases {
		d := n.plainDeal(1)
		c.change(&d)
		n.acceptedDeal(d)
		_, results := n.block(n.preCommitDeals(7, n.height+26+900, 1))
		if results[0].Code != CodeFailed || !strings.Contains(results[0].Error, c.refusal) {
			t.Errorf("%s: %s %s", c.name, results[0].Code, results[0].Error)
		}
		if after := n.deal(1); after.Committed != d.Committed || after.Sector != d.Sector {
			t.Errorf("%s: the refused message changed the deal: %+v", c.name, after)
		}
	}
	n.acceptedDeal(n.plainDeal(1))
	_, results := n.block(n.preCommitDeals(7, n.height+26+900, 1, 1))
	if results[0].Code != CodeFailed {
		t.Error("one deal twice in one sector was taken")
	}
}

// TestDroppedPreCommitFreesDeals binds a deal, lets the pre-commit lapse and
// puts the deal into another sector, which is activated and ends after it.
func TestDroppedPreCommitFreesDeals(t *testing.T) {
	p := testParams()
	p.ProveDue, p.SeedDelay = 20, 5
	n := minerNetwork(t, p, fakeVerifier{}, 2<<10)
	n.acceptedDeal(n.plainDeal(1))
	least := n.height + 1 + 25 + 500 // proven at the last moment, the deal ends here
	_, results := n.block(n.preCommitDeals(7, least-1, 1))
	if results[0].Code != CodeFailed {
		t.Fatalf("an expiration one block too early was taken")
	}
	n.mustAll(n.preCommitDeals(7, least+1, 1))
	if d := n.deal(1); !d.Committed || d.Sector != 7 {
		t.Fatalf("deal after the pre-commit: %+v", d)
	}
	if _, results = n.block(n.preCommitDeals(8, least+100, 1)); results[0].Code != CodeFailed {
		t.Fatal("a bound deal was taken again")
	}
	n.advance(24)
	if d := n.deal(1); d.Committed || n.sector(7).State != chain.SectorDropped {
		t.Fatalf("deal after the drop: %+v, sector %s", d, n.sector(7).State)
	}
	n.mustAll(n.preCommitDeals(8, n.height+1+25+500, 1))
	n.advance(5)
	n.mustAll(n.commitMessages(8, 1)...)
	sec, m := n.sector(8), n.miner()
	if want, _ := piece.CommD([]piece.Piece{{CommP: [32]byte(seed("piece", "a")), PaddedSize: 1 << 10}}, 2<<10); sec.CommD != want {
		t.Fatalf("CommD %x, the piece gives %x", sec.CommD, want)
	}
	end := sec.Activated + 500
	s, err := newState(n.params, n.view, n.verify)
	must(t, err)
	if last := s.lastWindow(&m, sec.Deadline, sec.Expiration); last < s.lastWindow(&m, sec.Deadline, end) || sec.Expiration < end {
		t.Fatalf("sector ends at %d, expiration %d, deal at %d", last, sec.Expiration, end)
	}
}

// preCommitDeals is a pre-commit of one sector with deals about piece "a" of 1 KiB.
func (n *network) preCommitDeals(number uint64, expires chain.Height, deals ...uint64) []byte {
	n.t.Helper()
	c := chain.PreCommit{Number: number, TicketHeight: n.height, Expiration: expires}
	for _, d := range deals {
		c.Pieces = append(c.Pieces, chain.SectorPiece{PieceCID: pieceCID("a"), PaddedSize: 1 << 10, Deal: d})
	}
	return n.message("worker", 0, &chain.PreCommitSectors{Miner: chain.FirstMinerID, Sectors: []chain.PreCommit{c}})
}
