package index

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// script is a chain of one block after the other, which a test writes by hand.
type script struct {
	*world
	x *Index
}

func newScript(t *testing.T) *script {
	s := &script{newWorld(t, 1000), open(t, vfs.NewMem(), "index-test")}
	t.Cleanup(func() { must(t, s.x.Close()) })
	return s
}

// commit commits a block with these events, in which records became what is
// given, nil for deleted.
func (s *script) commit(events []consensus.Event, records map[chain.Key]chain.CBOR) {
	s.t.Helper()
	u := s.update(s.store.View().Height() + 1)
	u.Events = events
	for k, v := range records {
		var raw []byte
		if v != nil {
			raw = s.encode(v)
		}
		writes(u, k, raw)
	}
	slices.SortFunc(u.Changes, func(a, b consensus.Change) int {
		if a.Key().Less(b.Key()) {
			return -1
		}
		return 1
	})
	_, err := s.store.Stage(u)
	must(s.t, err)
	must(s.t, s.store.Commit())
	follow(s.t, s.x, s.source())
}

// told are the events of a subject, the oldest first, as "height kind amount".
func (s *script) told(of Subject) (out []string) {
	s.t.Helper()
	look(s.t, s.x, func(snap *Snapshot) {
		for p := (Page{Limit: 2, Upward: true}); ; {
			next, err := snap.Events(of, p, func(e *Event) (bool, error) {
				line := fmt.Sprintf("%d %s", e.Height, KindName(e.Kind))
				if !e.Amount.IsZero() {
					line += " " + e.Amount.String()
				}
				out = append(out, line)
				return true, nil
			})
			must(s.t, err)
			if next == nil {
				return
			}
			p.After = next
		}
	})
	return out
}

func (s *script) want(what string, of Subject, lines ...string) {
	s.t.Helper()
	if got := s.told(of); !slices.Equal(got, lines) {
		s.t.Errorf("%s:\n got %q\nwant %q", what, got, lines)
	}
}

// TestDealHistory follows the money of deals to their ends: what no event of the
// chain tells is derived, and stands with whoever it is about.
func TestDealHistory(t *testing.T) {
	s := newScript(t)
	const miner = chain.FirstMinerID
	client, owner := clientOf(t, 0), clientOf(t, 1)
	deal := func(id uint64, state chain.DealState, unspent, collateral, client_, miner_ uint64) *chain.Deal {
		return &chain.Deal{ID: id, State: state, Client: client, Miner: miner, PayloadRoot: rootOf(0), PieceCID: rootOf(1),
			Unspent: chain.Atto(unspent), Collateral: chain.Atto(collateral), ClientDeposit: chain.Atto(client_), MinerDeposit: chain.Atto(miner_)}
	}
	ask := &chain.Order{ID: 5, Owner: owner, State: chain.OrderWaiting, Locked: chain.Atto(40), Deposit: chain.Atto(2), Ask: &chain.AskTerms{Miner: miner}}
	s.commit([]consensus.Event{{Kind: consensus.EventOrderPlaced, Order: 5, From: owner.Bytes(), Miner: miner, Amount: chain.Atto(40)}},
		map[chain.Key]chain.CBOR{chain.OrderKey(5): ask})
	s.commit([]consensus.Event{
		{Kind: consensus.EventDealMatched, Deal: 1, Order: 4, Index: 5, Miner: miner, From: client.Bytes(), Amount: chain.Atto(100)},
		{Kind: consensus.EventDealMatched, Deal: 2, Order: 4, Index: 5, Miner: miner, From: client.Bytes(), Amount: chain.Atto(100)},
		{Kind: consensus.EventDealMatched, Deal: 3, Order: 4, Index: 5, Miner: miner, From: client.Bytes(), Amount: chain.Atto(100)},
	}, map[chain.Key]chain.CBOR{chain.DealKey(1): deal(1, chain.DealMatched, 100, 50, 7, 9), chain.DealKey(2): deal(2, chain.DealMatched, 100, 50, 7, 9),
		chain.DealKey(3): deal(3, chain.DealMatched, 100, 50, 7, 9)})
	s.commit([]consensus.Event{{Kind: consensus.EventDealAccepted, Deal: 1, Miner: miner}, {Kind: consensus.EventDealAccepted, Deal: 3, Miner: miner},
		{Kind: consensus.EventDealEnded, Deal: 2, Miner: miner, Reason: "void: not fetched in time"},
		{Kind: consensus.EventOrderCancelled, Order: 5, Amount: chain.Atto(40), Reason: "cancelled"}},
		map[chain.Key]chain.CBOR{chain.DealKey(1): deal(1, chain.DealAccepted, 100, 50, 0, 9), chain.DealKey(2): deal(2, chain.DealVoid, 0, 0, 0, 0),
			chain.DealKey(3): deal(3, chain.DealAccepted, 100, 50, 0, 9), chain.OrderKey(5): nil})
	s.commit([]consensus.Event{{Kind: consensus.EventDealActive, Deal: 1, Miner: miner, Sector: 8}},
		map[chain.Key]chain.CBOR{chain.DealKey(1): deal(1, chain.DealActive, 100, 50, 0, 0), chain.DealKey(3): deal(3, chain.DealActive, 100, 50, 0, 0)})
	s.commit([]consensus.Event{{Kind: consensus.EventDealPaid, Deal: 1, Miner: miner, Amount: chain.Atto(60)},
		{Kind: consensus.EventDealEnded, Deal: 1, Miner: miner, Reason: "completed"},
		{Kind: consensus.EventDealPaid, Deal: 3, Miner: miner, Amount: chain.Atto(30)},
		{Kind: consensus.EventDealEnded, Deal: 3, Miner: miner, Reason: "lost"},
		{Kind: consensus.EventRepairOrdered, Order: 6, Deal: 3, Index: 4, From: client.Bytes(), Amount: chain.Atto(108)}},
		map[chain.Key]chain.CBOR{chain.DealKey(1): deal(1, chain.DealCompleted, 0, 0, 0, 0), chain.DealKey(3): deal(3, chain.DealLost, 0, 0, 0, 0)})
	one := []string{"2 dealMatched 100", "3 dealAccepted", "3 dealDepositReturned 7", "4 dealActive", "4 minerDepositReturned 9",
		"5 dealPaid 60", "5 dealEnded", "5 dealRefunded 40", "5 collateralReturned 50"}
	s.want("a deal that is completed", OfDeal(1), one...)
	s.want("a deal that nobody fetched", OfDeal(2), "2 dealMatched 100", "3 dealEnded", "3 clientDepositBurned 7", "3 dealBurned 9",
		"3 dealRefunded 100", "3 collateralReturned 50")
	s.want("a deal that is lost", OfDeal(3), "2 dealMatched 100", "3 dealAccepted", "3 dealDepositReturned 7", "4 minerDepositReturned 9",
		"5 dealPaid 30", "5 dealEnded", "5 repairOrdered 108", "5 dealBurned 12")
	s.want("the sector of a deal", OfSector(miner, 8), "4 dealActive")
	s.want("an ask that is cancelled", OfOrder(5), "1 orderPlaced 40", "2 dealMatched 100", "2 dealMatched 100", "2 dealMatched 100",
		"3 orderCancelled 40", "3 orderDepositBurned 2")
	s.want("who placed it", OfAccount(owner), "1 orderPlaced 40", "3 orderCancelled 40", "3 orderDepositBurned 2")
	s.want("a kind", OfKind(DealRefunded), "3 dealRefunded 100", "5 dealRefunded 40")
	for _, of := range []Subject{OfAccount(client), OfMiner(miner)} {
		told := s.told(of)
		for _, line := range one {
			if !slices.Contains(told, line) {
				t.Errorf("%x: %q is missing in %q", of.prefix, line, told)
			}
		}
	}
	if r := record(t, s.x, chain.DealKey(3)); r.Ended != 5 || r.Reason != "lost" || r.Gone != 0 {
		t.Errorf("the lost deal: %+v", r)
	}
	look(t, s.x, func(snap *Snapshot) {
		b, err := snap.Block(5)
		if err != nil || b.Events != 5 || b.Derived != 3 {
			t.Errorf("block 5: %+v, %v", b, err)
		}
	})
}

// TestWindows proves and misses the windows of a partition.
func TestWindows(t *testing.T) {
	s := newScript(t)
	const miner = chain.FirstMinerID
	key := chain.PartitionKey(miner, 0, 3)
	p := chain.Partition{Sectors: []uint64{10, 11, 12}, Live: 7, Closes: 4}
	put := func(events ...consensus.Event) { s.commit(events, map[chain.Key]chain.CBOR{key: &p}) }
	put()
	p.ProvenThrough, p.Earning, p.Faulty = 2, 5, 2
	put(consensus.Event{Kind: consensus.EventSectorProven, Message: 0, Miner: miner, Sector: 10},
		consensus.Event{Kind: consensus.EventSectorProven, Message: 9, Miner: miner, Sector: 10},
		consensus.Event{Kind: consensus.EventSectorProven, Message: 9, Miner: miner, Sector: 12})
	p.Recovering = 2
	put()
	p.Closes = 8
	put() // block 4: the window closes, proven
	for range 3 {
		put()
	}
	p.Closes, p.Recovering, p.Faulty = 12, 0, 7
	put() // block 8: nobody proved it
	p.Closes = 16
	for s.store.View().Height() < 11 {
		s.commit(nil, nil)
	}
	put() // block 12: nothing was due
	want := []Window{{Miner: miner, Partition: 3, Height: 8, Closes: 8, Failed: 7},
		{Miner: miner, Partition: 3, Height: 2, Closes: 4, Covered: 5, Failed: 2, Message: 9}}
	look(t, s.x, func(snap *Snapshot) {
		for name, c := range map[string]struct {
			from, through chain.Height
			want          []Window
		}{"all": {0, 100, want}, "late": {3, 100, want[:1]}, "early": {1, 7, want[1:]}, "none": {3, 7, nil}} {
			var got []Window
			_, err := snap.WindowsOf(miner, 0, 3, c.from, c.through, Page{Limit: 9}, func(w *Window) (bool, error) {
				got = append(got, *w)
				return true, nil
			})
			must(t, err)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s:\n got %+v\nwant %+v", name, got, c.want)
			}
		}
	})
	s.want("a sector", OfSector(miner, 11), "3 recoveryDeclared")
	s.want("the miner", OfMiner(miner), "3 recoveryDeclared", "8 windowMissed 3")
}

// TestSectorHistory locks and returns what stands for a sector.
func TestSectorHistory(t *testing.T) {
	s := newScript(t)
	const miner = chain.FirstMinerID
	key := chain.SectorKey(miner, 0)
	sector := chain.Sector{Miner: miner, State: chain.SectorPreCommitted, Deposit: chain.Atto(5)}
	put := func(events ...consensus.Event) { s.commit(events, map[chain.Key]chain.CBOR{key: &sector}) }
	put(consensus.Event{Kind: consensus.EventSectorCommitted, Miner: miner})
	sector.State, sector.Deposit, sector.Pledge = chain.SectorActive, chain.Amount{}, chain.Atto(90)
	put(consensus.Event{Kind: consensus.EventSectorActive, Miner: miner, Index: 2})
	sector.State, sector.Pledge = chain.SectorTerminated, chain.Amount{}
	put(consensus.Event{Kind: consensus.EventSectorEnded, Miner: miner, Amount: chain.Atto(20), Reason: "terminated"})
	s.want("sector 0", OfSector(miner, 0), "1 sectorCommitted", "1 depositLocked 5", "2 sectorActive", "2 pledgeLocked 90",
		"3 sectorEnded 20", "3 pledgeReturned 70")
	if r := record(t, s.x, key); r.Ended != 3 || r.Reason != "terminated" {
		t.Errorf("record: %+v", r)
	}
}

// TestKinds lists the events of a kind, of which a block has many, by pages that
// end within a block, both ways.
func TestKinds(t *testing.T) {
	s := newScript(t)
	from, to := clientOf(t, 0).Bytes(), clientOf(t, 1).Bytes()
	var want []string
	for h := range uint64(3) {
		var events []consensus.Event
		for i := range uint64(7) {
			events = append(events, consensus.Event{Kind: consensus.EventTransfer, From: from, To: to, Amount: chain.Atto(10*h + i + 1)},
				consensus.Event{Kind: consensus.EventBlockReward, To: to, Amount: chain.Atto(1)})
			want = append(want, fmt.Sprintf("%d transfer %d", h+1, 10*h+i+1))
		}
		s.commit(events, nil)
	}
	s.want("transfers", OfKind(consensus.EventTransfer), want...)
	look(t, s.x, func(snap *Snapshot) {
		var down []string
		for p := (Page{Limit: 4}); ; {
			next, err := snap.Events(OfKind(consensus.EventTransfer), p, func(e *Event) (bool, error) {
				down = append(down, fmt.Sprintf("%d transfer %s", e.Height, e.Amount))
				return true, nil
			})
			must(t, err)
			if next == nil {
				break
			}
			p.After = next
		}
		slices.Reverse(down)
		if !slices.Equal(down, want) {
			t.Errorf("downward: %q", down)
		}
	})
	if r, err := s.x.Check(t.Context(), s.store); err != nil || !r.OK() {
		t.Errorf("check: %+v, %v", r, err)
	}
}
