package index

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// town is a world whose blocks do all that figures count, and a recount of it:
// every block's Update, and all records as each block left them.
type town struct {
	*world
	now     uint64
	records map[chain.Key]chain.CBOR
	updates []*consensus.Update
	tips    map[chain.Height]chain.Amount
	levels  map[chain.Height]Levels
	blocksF map[chain.Height]Flows
	earned  map[string]map[uint64]*Earned // by address, by hour
	rich    map[string][]Balance
}

const proposer = 7 // client that every block rewards

func newTown(t *testing.T, seed, retention uint64) *town {
	w := newWorld(t, retention)
	w.r = rand.New(rand.NewPCG(seed, 0))
	return &town{world: w, now: 1_700_000_000, records: map[chain.Key]chain.CBOR{}, tips: map[chain.Height]chain.Amount{}, levels: map[chain.Height]Levels{},
		blocksF: map[chain.Height]Flows{}, earned: map[string]map[uint64]*Earned{}, rich: map[string][]Balance{}}
}

func (w *town) pick(n uint64) uint64 { return w.r.Uint64N(n) }

func (w *town) amount() chain.Amount { return chain.Atto(w.pick(1000)) }

// formOf is the present form of a record, or a new one.
func formOf[T any](w *town, k chain.Key) T {
	if v, ok := any(w.records[k]).(*T); ok {
		return *v
	}
	var zero T
	return zero
}

// step makes one block.
func (w *town) step() {
	w.now += 1 + w.pick(40)
	if w.pick(10) == 0 {
		w.now += w.pick(30 * Hour)
	}
	h := w.store.View().Height() + 1
	u := &consensus.Update{Version: consensus.UpdateVersion, Height: h, Time: w.now}
	changed := map[chain.Key]chain.CBOR{}
	w.accounts(u, changed)
	w.sectors(u, changed)
	w.dealings(u, changed)
	w.rewards(u)
	changed[chain.GlobalKey()] = &chain.Global{RuleVersion: 1, Height: h, Time: w.now, Power: w.pick(1 << 40), BaseFee: w.amount(),
		Supply: chain.Supply{Minted: w.amount(), Burned: w.amount()}, Issuance: chain.Issuance{Unissued: w.amount()}}
	w.sends(u)
	w.commit(u, changed)
}

func (w *town) accounts(u *consensus.Update, changed map[chain.Key]chain.CBOR) {
	for range w.pick(4) {
		a := clientOf(w.t, w.pick(12))
		changed[chain.AccountKey(a)] = &chain.Account{Balance: w.amount()}
	}
	if id := chain.FirstMinerID + w.pick(5); w.pick(3) == 0 {
		m := formOf[chain.Miner](w, chain.MinerKey(id))
		m.ID, m.Power, m.Balance = id, w.pick(3)<<11, w.amount()
		m.Keys = chain.Keys{Owner: clientOf(w.t, 0), Worker: clientOf(w.t, 1), Beneficiary: clientOf(w.t, 0)}
		changed[chain.MinerKey(id)] = &m
	}
}

// sectors begin, become active and faulty, recover and end.
func (w *town) sectors(u *consensus.Update, changed map[chain.Key]chain.CBOR) {
	id, n := chain.FirstMinerID+w.pick(5), w.pick(20)
	k := chain.SectorKey(id, n)
	s := formOf[chain.Sector](w, k)
	e := consensus.Event{Miner: id, Sector: n, Amount: w.amount()}
	switch {
	case s.State == 0:
		s = chain.Sector{Miner: id, Number: n, State: chain.SectorPreCommitted}
		e.Kind = consensus.EventSectorCommitted
	case s.State == chain.SectorPreCommitted && w.pick(4) == 0:
		s.State, e.Kind, e.Reason = chain.SectorDropped, consensus.EventSectorEnded, "not proven in time"
	case s.State == chain.SectorPreCommitted:
		s.State, e.Kind = chain.SectorActive, consensus.EventSectorActive
	case s.State == chain.SectorActive && w.pick(3) == 0:
		s.State, e.Kind, e.Reason, e.Amount = chain.SectorExpired, consensus.EventSectorEnded, "expired", chain.Amount{}
	case s.State == chain.SectorActive:
		s.State, e.Kind, e.Reason = chain.SectorFaulty, consensus.EventSectorFaulty, "missed"
	case s.State == chain.SectorFaulty && w.pick(2) == 0:
		s.State, e.Kind = chain.SectorActive, consensus.EventSectorRecovered
	case s.State == chain.SectorFaulty && w.pick(2) == 0:
		s.State, e.Kind, e.Reason = chain.SectorLost, consensus.EventSectorEnded, "lost"
	case s.State == chain.SectorFaulty:
		s.State, e.Kind, e.Reason = chain.SectorTerminated, consensus.EventSectorEnded, "terminated"
	default:
		changed[k] = nil
		return
	}
	changed[k] = &s
	u.Events = append(u.Events, e)
	if w.pick(5) == 0 {
		u.Events = append(u.Events, consensus.Event{Kind: consensus.EventSectorsFined, Miner: id, Index: 3, Amount: w.amount()})
	}
}

// dealings let orders, deals and channels come and go.
func (w *town) dealings(u *consensus.Update, changed map[chain.Key]chain.CBOR) {
	n := 1 + w.pick(30)
	k := chain.DealKey(n)
	d := formOf[chain.Deal](w, k)
	switch {
	case d.State == 0:
		d = chain.Deal{ID: n, Miner: chain.FirstMinerID + w.pick(5), Client: clientOf(w.t, w.pick(4)), PieceCID: rootOf(n), PayloadRoot: rootOf(n + 1),
			PaddedSize: 128 << w.pick(10), Duration: 1, Price: chain.Atto(1), State: chain.DealMatched}
		if w.pick(5) == 0 {
			d.State = chain.DealVoid
		}
		u.Events = append(u.Events, consensus.Event{Kind: consensus.EventDealMatched, Deal: n, Miner: d.Miner, From: d.Client.Bytes()})
	case d.State < chain.DealActive:
		d.State++
	case d.State == chain.DealActive:
		d.State = []chain.DealState{chain.DealCompleted, chain.DealLost}[w.pick(2)]
		u.Events = append(u.Events, consensus.Event{Kind: consensus.EventDealPaid, Deal: n, Miner: d.Miner, Amount: w.amount()})
	}
	if before := formOf[chain.Deal](w, k); w.records[k] != nil && before.Ended() {
		changed[k] = nil
	} else {
		changed[k] = &d
	}
	for table, v := range map[chain.Key]chain.CBOR{
		chain.OrderKey(n):   &chain.Order{ID: n, Owner: clientOf(w.t, 0), State: chain.OrderWaiting, Ask: &chain.AskTerms{Miner: chain.FirstMinerID}},
		chain.ChannelKey(n): &chain.Channel{ID: n, Payer: clientOf(w.t, 0), Payee: clientOf(w.t, 1)},
	} {
		if w.records[table] != nil {
			v = nil
		}
		changed[table] = v
	}
}

func (w *town) rewards(u *consensus.Update) {
	if w.pick(4) > 0 {
		u.Events = append(u.Events, consensus.Event{Kind: consensus.EventBlockReward, To: clientOf(w.t, proposer).Bytes(), Amount: chain.Atto(1 + w.pick(50))})
	}
	id := chain.FirstMinerID + w.pick(5)
	switch w.pick(4) {
	case 0:
		for range 1 + w.pick(3) {
			u.Events = append(u.Events, consensus.Event{Kind: consensus.EventSectorProven, Message: 2, Miner: id})
		}
		u.Events = append(u.Events, consensus.Event{Kind: consensus.EventPowerReward, Message: 2, Miner: id, Index: w.pick(3), Amount: w.amount()})
	case 1:
		u.Events = append(u.Events, consensus.Event{Kind: consensus.EventReceiptsPublished, Miner: id, Index: w.pick(1 << 20)})
	case 2:
		u.Events = append(u.Events, consensus.Event{Kind: consensus.EventEquivocation, Miner: id, Index: 1, Amount: w.amount()})
	}
}

// sends puts three messages into a block: one that is refused, one that
// succeeds and one that fails; the last two pay fees.
func (w *town) sends(u *consensus.Update) {
	var raw [][]byte
	var tips chain.Amount
	for i, code := range []consensus.Code{consensus.CodeBadSignature, consensus.CodeOK, consensus.CodeFailed} {
		tip := w.amount()
		m := chain.SignedMessage{Message: chain.Message{Version: 1, From: clientOf(w.t, w.pick(4)), Nonce: uint64(u.Height)*10 + uint64(i), Kind: chain.KindTransfer,
			Tip: tip, Body: w.encode(&chain.Transfer{To: clientOf(w.t, 0), Amount: chain.Atto(1)})}}
		m.Signature.Type, m.Signature.Data = 1, make([]byte, 65)
		raw = append(raw, w.encode(&m))
		r := consensus.Receipt{Hash: chain.HashBytes(raw[i]), Code: uint64(code), Kind: chain.KindTransfer}
		if effect(&r) {
			increase(&tips, tip)
			r.Fee = tip
			increase(&r.Fee, w.amount())
		}
		u.Receipts = append(u.Receipts, r)
	}
	w.tips[u.Height] = tips
	w.mu.Lock()
	w.blocks[u.Height] = raw
	w.mu.Unlock()
}

func (w *town) commit(u *consensus.Update, changed map[chain.Key]chain.CBOR) {
	for k, v := range changed {
		c := consensus.Change{Table: k.Table, ID: []byte(k.ID)}
		if v != nil {
			c.Value = w.encode(v)
		} else if w.records[k] == nil {
			continue
		}
		u.Changes = append(u.Changes, c)
	}
	slices.SortFunc(u.Changes, func(a, b consensus.Change) int {
		if a.Key().Less(b.Key()) {
			return -1
		}
		return 1
	})
	w.recount(u, changed)
	w.updates = append(w.updates, u)
	_, err := w.store.Stage(u)
	must(w.t, err)
	must(w.t, w.store.Commit())
}

// recount counts anew what the block did and left.
func (w *town) recount(u *consensus.Update, changed map[chain.Key]chain.CBOR) {
	f := Flows{Blocks: 1, Messages: 3, Failed: 2}
	for _, r := range u.Receipts {
		increase(&f.Fees, r.Fee)
	}
	w.recountEvents(u, &f)
	for _, k := range slices.SortedFunc(maps.Keys(changed), func(a, b chain.Key) int { return cmp.Compare(a.ID, b.ID) }) {
		was, is := w.records[k], changed[k]
		w.recountChange(u, &f, k, was, is)
		if w.records[k] = is; is == nil {
			delete(w.records, k)
		}
	}
	w.blocksF[u.Height] = f
	var l Levels
	for _, v := range w.records {
		switch v := v.(type) {
		case *chain.Global:
			l.Power, l.BaseFee, l.Supply, l.Unissued = v.Power, v.BaseFee, v.Supply, v.Issuance.Unissued
		case *chain.Account:
			l.Accounts++
		case *chain.Miner:
			l.Miners++
		case *chain.Sector:
			if n := l.sectors(v.State); n != nil {
				*n++
			}
		case *chain.Deal:
			if n := l.deals(v.State); n != nil {
				*n++
			}
			if v.State == chain.DealActive {
				l.Stored += v.PaddedSize
			}
		case *chain.Order:
			l.Orders++
		case *chain.Channel:
			l.Channels++
		}
	}
	w.levels[u.Height] = l
}

// hour is what an address earned in the block's hour so far.
func (w *town) hour(u *consensus.Update, address []byte) *Earned {
	if w.earned[string(address)] == nil {
		w.earned[string(address)] = map[uint64]*Earned{}
	}
	of := w.earned[string(address)]
	at := begin(Hour, u.Time)
	if of[at] == nil {
		of[at] = new(Earned)
	}
	return of[at]
}

func (w *town) recountEvents(u *consensus.Update, f *Flows) {
	proofs := map[uint64]bool{}
	for _, e := range u.Events {
		miner := func() *Earned { return w.hour(u, minerBytes(e.Miner)) }
		switch e.Kind {
		case consensus.EventBlockReward:
			f.Tips = w.tips[u.Height]
			increase(&f.BlockRewards, e.Amount)
			to := w.hour(u, e.To)
			to.Blocks++
			increase(&to.BlockRewards, e.Amount)
			increase(&to.Tips, w.tips[u.Height])
		case consensus.EventPowerReward:
			increase(&f.PowerRewards, e.Amount)
			increase(&miner().PowerRewards, e.Amount)
		case consensus.EventDealPaid:
			increase(&f.DealPay, e.Amount)
			increase(&miner().DealPay, e.Amount)
		case consensus.EventReceiptsPublished:
			f.Served += e.Index
			miner().Served += e.Index
		case consensus.EventSectorProven:
			if !proofs[e.Message] {
				f.Proofs++
				miner().Proofs++
			}
			proofs[e.Message] = true
		case consensus.EventSectorRecovered:
			f.Recovered++
			miner().Recovered++
		case consensus.EventSectorFaulty:
			f.Faults++
			miner().Faults++
			fallthrough
		case consensus.EventSectorsFined, consensus.EventSectorEnded, consensus.EventEquivocation:
			increase(&f.Fines, e.Amount)
			increase(&miner().Fines, e.Amount)
		}
	}
}

func (w *town) recountChange(u *consensus.Update, f *Flows, k chain.Key, was, is chain.CBOR) {
	switch k.Table {
	case chain.TableAccount:
		a, b := formOf[chain.Account](w, k), chain.Account{}
		if is != nil {
			b = *is.(*chain.Account)
		}
		w.moved([]byte(k.ID), u, a.Balance, b.Balance)
	case chain.TableMiner:
		a, b := formOf[chain.Miner](w, k), *is.(*chain.Miner)
		w.moved(minerBytes(b.ID), u, a.Balance, b.Balance)
	case chain.TableSector:
		if is == nil || is.(*chain.Sector).State == formOf[chain.Sector](w, k).State {
			return
		}
		s := is.(*chain.Sector)
		for state, n := range map[chain.SectorState]func(*Earned) *uint64{
			chain.SectorExpired: func(e *Earned) *uint64 { return &e.Expired }, chain.SectorDropped: func(e *Earned) *uint64 { return &e.Dropped },
			chain.SectorLost: func(e *Earned) *uint64 { return &e.Lost }, chain.SectorTerminated: func(e *Earned) *uint64 { return &e.Terminated },
		} {
			if s.State == state {
				*n(w.hour(u, minerBytes(s.Miner)))++
			}
		}
	case chain.TableDeal:
		if is == nil {
			return
		}
		d, before := is.(*chain.Deal), formOf[chain.Deal](w, k)
		if was == nil && d.State == chain.DealMatched {
			f.Matched++
		}
		if d.State == chain.DealActive && before.State != chain.DealActive {
			f.Activated++
		}
		if was != nil && d.Ended() && !before.Ended() {
			f.Ended++
		}
	}
}

func (w *town) moved(address []byte, u *consensus.Update, before, after chain.Amount) {
	if before != after {
		w.rich[string(address)] = append([]Balance{{u.Height, u.Time, before, after}}, w.rich[string(address)]...)
	}
}

func (w *town) source() Source {
	return Source{Store: w.store, Messages: func(_ context.Context, h chain.Height) ([][]byte, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.blocks[h], nil
	}}
}

// points are the recounted points of one resolution, of blocks from a height on.
func (w *town) points(resolution uint64, from chain.Height) map[uint64]Point {
	out := map[uint64]Point{}
	for _, u := range w.updates {
		if u.Height < from {
			continue
		}
		p, f := out[begin(resolution, u.Time)], w.blocksF[u.Height]
		p.Flows.Add(&f)
		p.Height, p.Levels = u.Height, w.levels[u.Height]
		out[begin(resolution, u.Time)] = p
	}
	return out
}

// TestFigures: every figure of random chains is what a recount of the Updates
// gives, in an index that followed them and in one that was made from a state
// between; and what is too old is gone.
func TestFigures(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newTown(t, seed, 1<<40)
			x := open(t, vfs.NewMem(), "index-test")
			defer func() { must(t, x.Close()) }()
			for range 350 {
				w.step()
			}
			follow(t, x, w.source())
			w.compareFigures(t, x, 1)
			late := open(t, vfs.NewMem(), "index-test")
			defer func() { must(t, late.Close()) }()
			from := w.store.View().Height() + 1
			state, err := w.store.Export(from - 1)
			must(t, err)
			must(t, late.Scan(t.Context(), state))
			must(t, state.Close())
			for range 350 {
				w.step()
			}
			follow(t, x, w.source())
			follow(t, late, w.source())
			w.compareFigures(t, x, 1)
			w.compareFigures(t, late, from)
			w.checkFigures(t, x)
		})
	}
}

// TestFiguresBehindGap: an index that was off for longer than the store keeps
// Updates has the levels and the lists of the state that it is at, and goes on.
func TestFiguresBehindGap(t *testing.T) {
	w, fs := newTown(t, 9, 30), vfs.NewMem()
	for range 3 {
		for range 60 {
			w.step()
		}
		x := open(t, fs, "index-test")
		follow(t, x, w.source())
		report, err := x.Check(t.Context(), w.store)
		must(t, err)
		if !report.OK() {
			t.Errorf("check found %q", report.Problems)
		}
		s, err := x.Snapshot()
		must(t, err)
		w.compareRanks(t, s)
		now, err := s.Now()
		must(t, err)
		if want := w.levels[s.Height]; now.Point.Levels != want {
			t.Errorf("levels %+v, want %+v", now.Point.Levels, want)
		}
		must(t, s.Close())
		must(t, x.Close())
	}
}

// checkFigures lets the index check itself, before and after some rows are lost.
func (w *town) checkFigures(t *testing.T, x *Index) {
	t.Helper()
	report, err := x.Check(t.Context(), w.store)
	must(t, err)
	if !report.OK() {
		t.Errorf("check found %q", report.Problems)
	}
	for _, table := range []string{"B", "N", "Qr", "Qf", "qf", "F", "f\x00\x00\x0e\x10"} {
		s, err := x.Snapshot()
		must(t, err)
		var lost, value []byte
		must(t, eachRow(s.snap, bounds([]byte(table), true, nil), func(key, v []byte) error {
			lost, value = bytes.Clone(key), bytes.Clone(v)
			return nil
		}))
		must(t, s.Close())
		must(t, x.current().write(nil, func(b *pebble.Batch) error { remove(b, lost); return nil }))
		report, err := x.Check(t.Context(), nil)
		must(t, err)
		if report.OK() {
			t.Errorf("nobody misses row %x", lost)
		}
		must(t, x.current().write(nil, func(b *pebble.Batch) error { set(b, lost, value); return nil }))
	}
}

// compareFigures holds an index whose history begins at a height against the recount.
func (w *town) compareFigures(t *testing.T, x *Index, from chain.Height) {
	t.Helper()
	s, err := x.Snapshot()
	must(t, err)
	defer func() { must(t, s.Close()) }()
	w.comparePoints(t, s, from)
	w.compareEarned(t, s, from)
	w.compareLists(t, s)
}

func (w *town) comparePoints(t *testing.T, s *Snapshot, from chain.Height) {
	t.Helper()
	kept := map[uint64]uint64{Minute: begin(Hour, w.now) - DefaultRetention().Minutes}
	for _, resolution := range []uint64{Minute, Hour, Day} {
		want, seen := w.points(resolution, from), 0
		must(t, s.Points(resolution, 0, w.now+1, func(start uint64, p *Point) error {
			seen++
			if *p != want[start] {
				t.Errorf("%d s from %d: %+v, want %+v", resolution, start, *p, want[start])
			}
			if start+2*Day < kept[resolution] {
				t.Errorf("the point of minute %d is still kept at %d", start, w.now)
			}
			return nil
		}))
		missing := 0
		for start := range want {
			if start >= kept[resolution] {
				missing++
			}
		}
		if seen < missing || missing < 5 {
			t.Errorf("%d s: %d points, want %d", resolution, seen, missing)
		}
	}
	since := begin(Hour, w.now-3*Day)
	var want Flows
	for start, p := range w.points(Hour, from) {
		if start >= since {
			want.Add(&p.Flows)
		}
	}
	sum, err := s.Sum(w.now - 3*Day)
	must(t, err)
	if sum.Flows != want {
		t.Errorf("sum of three days %+v, want %+v", sum.Flows, want)
	}
}

func (w *town) compareEarned(t *testing.T, s *Snapshot, from chain.Height) {
	t.Helper()
	begun := w.updates[from-1].Time
	for name, hours := range w.earned {
		address := []byte(name)
		l, err := s.Ledger(address)
		must(t, err)
		days := map[uint64]Earned{}
		var month Earned
		for start, e := range hours {
			day := days[begin(Day, start)]
			day.Add(e)
			days[begin(Day, start)] = day
			if start >= begin(Hour, w.now-30*Day) {
				month.Add(e)
			}
		}
		if from == 1 {
			got, err := s.EarnedSince(address, l, w.now-30*Day)
			must(t, err)
			if got != month {
				t.Errorf("%x earned %+v in 30 days, want %+v", address, got, month)
			}
		}
		must(t, s.Rewards(address, Hour, 0, w.now+1, func(start uint64, e *Earned) error {
			if want := hours[start]; start > begun && (want == nil || *e != *want) {
				t.Errorf("%x earned %+v in hour %d, want %+v", address, *e, start, want)
			}
			if start < begin(Day, l.Time)-min(begin(Day, l.Time), hoursKept) {
				t.Errorf("what %x earned in hour %d is still kept at %d", address, start, l.Time)
			}
			return nil
		}))
		n := 0
		must(t, s.Rewards(address, Day, begin(Day, begun)+Day, w.now+1, func(start uint64, e *Earned) error {
			n++
			if *e != days[start] {
				t.Errorf("%x earned %+v on day %d, want %+v", address, *e, start, days[start])
			}
			return nil
		}))
		for start := range days {
			if start < begin(Day, begun)+Day {
				n++
			}
		}
		if from == 1 && n != len(days) {
			t.Errorf("%x: %d days, want %d", address, n, len(days))
		}
	}
}

func (w *town) compareLists(t *testing.T, s *Snapshot) {
	t.Helper()
	w.compareRanks(t, s)
	for name, all := range w.rich {
		var got []Balance
		_, err := s.Balances([]byte(name), Page{Limit: 10_000}, func(b *Balance) (bool, error) { got = append(got, *b); return true, nil })
		must(t, err)
		want := slices.DeleteFunc(slices.Clone(all), func(b Balance) bool { return b.Height < s.First })
		if !slices.Equal(got, want) {
			t.Errorf("balances of %x: %v, want %v", name, got, want)
		}
	}
	w.compareHistories(t, s)
}

// compareRanks holds the lists by balance and by power against all records.
func (w *town) compareRanks(t *testing.T, s *Snapshot) {
	t.Helper()
	type rich struct {
		address string
		balance chain.Amount
	}
	type rank struct{ id, power uint64 }
	var wantRich, gotRich []rich
	var wantRank, gotRank []rank
	pre := map[uint64]uint64{}
	for k, v := range w.records {
		switch v := v.(type) {
		case *chain.Account:
			if !v.Balance.IsZero() {
				wantRich = append(wantRich, rich{k.ID, v.Balance})
			}
		case *chain.Miner:
			wantRank = append(wantRank, rank{v.ID, v.Power})
		case *chain.Sector:
			if v.State == chain.SectorPreCommitted {
				pre[v.Miner]++
			}
		}
	}
	slices.SortFunc(wantRich, func(a, b rich) int { return cmp.Or(b.balance.Cmp(a.balance), cmp.Compare(b.address, a.address)) })
	slices.SortFunc(wantRank, func(a, b rank) int { return cmp.Or(cmp.Compare(b.power, a.power), cmp.Compare(a.id, b.id)) })
	_, err := s.Rich(Page{Limit: 1000}, func(a []byte, b chain.Amount) (bool, error) {
		gotRich = append(gotRich, rich{string(a), b})
		return true, nil
	})
	must(t, err)
	_, err = s.Ranking(Page{Limit: 1000}, func(id chain.MinerID, power uint64) (bool, error) {
		gotRank = append(gotRank, rank{id, power})
		return true, nil
	})
	must(t, err)
	var up []rank
	_, err = s.Ranking(Page{Limit: 1000, Upward: true}, func(id chain.MinerID, power uint64) (bool, error) {
		up = append(up, rank{id, power})
		return true, nil
	})
	must(t, err)
	if slices.Reverse(up); !slices.Equal(up, gotRank) {
		t.Errorf("ranking upward %v, downward %v", up, gotRank)
	}
	if !slices.Equal(gotRich, wantRich) || !slices.Equal(gotRank, wantRank) || len(gotRich) < 5 {
		t.Errorf("rich %v, want %v; ranking %v, want %v", gotRich, wantRich, gotRank, wantRank)
	}
	for id := chain.FirstMinerID; id < chain.FirstMinerID+5; id++ {
		l, err := s.Ledger(minerBytes(id))
		must(t, err)
		if l.PreCommitted != pre[id] {
			t.Errorf("miner %d has %d sectors pre-committed, want %d", id, l.PreCommitted, pre[id])
		}
	}
}

func (w *town) compareHistories(t *testing.T, s *Snapshot) {
	t.Helper()
	want := map[History][]Entry{}
	for i := len(w.updates) - 1; i >= 0; i-- {
		u := w.updates[i]
		if u.Height < s.First {
			break
		}
		n := map[History]uint64{}
		lines := map[History][]Entry{}
		add := func(h History, e consensus.Event, tips chain.Amount) {
			lines[h] = append([]Entry{{u.Height, n[h], u.Time, tips, e}}, lines[h]...)
			n[h]++
		}
		for _, first := range []bool{true, false} {
			for _, e := range u.Events {
				switch {
				case e.Kind == consensus.EventBlockReward && first:
					add(RewardHistory, e, w.tips[u.Height])
				case e.Kind == consensus.EventPowerReward && !first:
					add(RewardHistory, e, chain.Amount{})
				case first:
				case e.Kind == consensus.EventSectorEnded && e.Reason != "expired", e.Kind == consensus.EventSectorFaulty,
					e.Kind == consensus.EventSectorRecovered, e.Kind == consensus.EventSectorsFined, e.Kind == consensus.EventEquivocation:
					add(FaultHistory, e, chain.Amount{})
				}
			}
		}
		for h, l := range lines {
			want[h] = append(want[h], l...)
		}
	}
	for _, h := range []History{RewardHistory, FaultHistory} {
		var got []Entry
		of := map[string]int{}
		_, err := s.History(h, nil, Page{Limit: 10_000}, func(e *Entry) (bool, error) { got = append(got, *e); return true, nil })
		must(t, err)
		if !reflect.DeepEqual(got, want[h]) || len(got) < 50 {
			t.Errorf("history %c: %d entries, want %d, not the same", h, len(got), len(want[h]))
		}
		for i := range got {
			of[string(got[i].whose())]++
		}
		for address, n := range of {
			seen := 0
			_, err := s.History(h, []byte(address), Page{Limit: 10_000}, func(e *Entry) (bool, error) { seen++; return string(e.whose()) == address, nil })
			must(t, err)
			if seen != n {
				t.Errorf("history %c about %x: %d entries, want %d", h, address, seen, n)
			}
		}
	}
}
