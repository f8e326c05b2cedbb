package consensus

import (
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestStaleItems uses the number of a sector again while queues still hold items
// of the one before: they find a sector that is not due.
func TestStaleItems(t *testing.T) {
	n := minerNetwork(t, testParams(), fakeVerifier{}, 2<<10)
	for i, q := range []chain.Queue{chain.QueuePreCommitEnd, chain.QueueSectorExpire} {
		for _, after := range []chain.Height{3, 30} { // while it is pre-committed, and active
			due := n.height + after
			for at, v := range []chain.CBOR{&chain.QueueHead{Count: 1}, &chain.QueueItem{Owner: chain.FirstMinerID, ID: uint64(i)}} {
				b, err := chain.Encode(v)
				must(t, err)
				n.view.records[chain.QueueKey(q, due, uint64(at))] = b
			}
		}
	}
	commit := &chain.PreCommitSectors{Miner: chain.FirstMinerID}
	for i := range uint64(2) {
		commit.Sectors = append(commit.Sectors, chain.PreCommit{Number: i, TicketHeight: n.height, Expiration: n.params.LeastExpiration(n.height + 1)})
	}
	n.mustAll(n.message("worker", 0, commit))
	n.advance(int(n.params.SeedDelay) + 1)
	want := func(state chain.SectorState) {
		t.Helper()
		for i := range uint64(2) {
			if s := n.sector(i); s.State != state {
				t.Errorf("height %d: sector %d is %s, want %s", n.height, i, s.State, state)
			}
		}
	}
	want(chain.SectorPreCommitted)
	n.mustAll(n.message("worker", 0, &chain.ProveCommit{Miner: chain.FirstMinerID, Number: 0, Proof: []byte("ok")}),
		n.message("worker", 1, &chain.ProveCommit{Miner: chain.FirstMinerID, Number: 1, Proof: []byte("ok")}))
	n.advance(40)
	want(chain.SectorActive)
}

// TestForgetWaits keeps the record of an ended sector while a deal names it that is
// not over: its queue may be far behind.
func TestForgetWaits(t *testing.T) {
	n := minerNetwork(t, testParams(), fakeVerifier{}, 2<<10)
	s, err := newState(n.params, n.view, n.verify)
	must(t, err)
	key, item := chain.SectorKey(chain.FirstMinerID, 7), chain.QueueItem{Owner: chain.FirstMinerID, ID: 7}
	d := n.plainDeal(1)
	d.Committed, d.Sector = true, 7
	due := s.global.Height + chain.Height(n.params.EndedRetention)
	for _, c := range []struct {
		sector  chain.SectorState
		deal    chain.DealState
		stays   bool
		waiting uint64
	}{
		{chain.SectorActive, chain.DealActive, true, 0}, // another one of that number
		{chain.SectorExpired, chain.DealActive, true, 1},
		{chain.SectorLost, chain.DealAccepted, true, 2},
		{chain.SectorLost, chain.DealLost, false, 2},
		{chain.SectorDropped, chain.DealVoid, false, 2},
	} {
		d.State = c.deal
		s.store(chain.DealKey(d.ID), &d)
		s.store(key, &chain.Sector{Miner: chain.FirstMinerID, Number: 7, State: c.sector, Pieces: []chain.SectorPiece{{PieceCID: d.PieceCID, PaddedSize: d.PaddedSize, Deal: d.ID}}})
		must(t, s.forgetSector(&item))
		var head chain.QueueHead
		s.load(chain.QueueKey(chain.QueueSectorForget, due, 0), &head)
		if s.has(key) != c.stays || head.Count != c.waiting {
			t.Errorf("%s sector with a %s deal: there %v, waits %d times; want %v, %d", c.sector, c.deal, s.has(key), head.Count, c.stays, c.waiting)
		}
	}
	must(t, s.broken)
}

// TestEndedBound: records stay for longer than anything that may ask for them.
func TestEndedBound(t *testing.T) {
	for name, change := range map[string]func(*Params) *uint64{
		"updates":     func(p *Params) *uint64 { return &p.StateRetention },
		"bound":       func(p *Params) *uint64 { return &p.Unbonding },
		"repairs":     func(p *Params) *uint64 { return &p.RepairBy },
		"tickets":     func(p *Params) *uint64 { return &p.TicketAge },
		"pre-commits": func(p *Params) *uint64 { return &p.ProveDue },
	} {
		for _, p := range []*Params{Devnet(), Testnet(), Mainnet()} {
			p.ChainID = "test"
			must(t, p.Validate())
			*change(p) = p.EndedRetention
			if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "endedRetention is") {
				t.Errorf("%s: %s last as long as ended records: %v", p.Name, name, err)
			}
		}
	}
}
