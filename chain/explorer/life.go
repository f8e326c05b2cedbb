package explorer

import (
	"math"
	"slices"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
)

// Happening is an event with the block and the place in it.
type Happening struct {
	Height      chain.Height `json:"height"`
	Time        string       `json:"time"`
	Index       uint32       `json:"index"`                 // among the events of the block, the derived ones behind the chain's own
	MessageHash string       `json:"messageHash,omitempty"` // of the message that caused it; absent: the block itself
	*Event
}

func (a *API) lifeRoutes() []route {
	life := func(path string, of func(*query) (index.Subject, error)) route {
		return route{path: path, query: ordered(), indexed: true, handle: func(q *query) (any, error) {
			subject, err := of(q)
			if err != nil {
				return nil, err
			}
			return q.happenings(subject)
		}}
	}
	return []route{
		{path: "/v1/events", query: ordered("kind"), handle: a.events, indexed: true},
		life("/v1/accounts/{address}/events", (*query).ofAccount),
		life("/v1/miners/{miner}/events", (*query).ofMiner),
		life("/v1/sectors/{miner}/{number}/events", (*query).ofSector),
		life("/v1/deals/{deal}/events", (*query).ofDeal),
		life("/v1/orders/{order}/events", (*query).ofOrder),
		life("/v1/channels/{channel}/events", (*query).ofChannel),
		{path: "/v1/sectors/{miner}/{number}/proofs", query: ordered(), handle: a.sectorProofs, indexed: true},
		{path: "/v1/deals/{deal}/proofs", query: ordered(), handle: a.dealProofs, indexed: true},
		{path: "/v1/deals/{deal}/payments", query: ordered(), handle: a.payments, indexed: true},
	}
}

func (q *query) ofAccount() (s index.Subject, err error) {
	who, err := parseAddress("address", q.r.PathValue("address"))
	if err != nil {
		return s, err
	}
	if id, err := chain.MinerIDOf(who); err == nil {
		return s, badRequest("that is a miner: see /v1/miners/%s/events", q.minerText(id))
	}
	return index.OfAccount(who), nil
}

func (q *query) ofMiner() (s index.Subject, err error) {
	m, err := q.loadMiner()
	if err != nil {
		return s, err
	}
	return index.OfMiner(m.ID), nil
}

func (q *query) ofSector() (s index.Subject, err error) {
	_, sector, err := q.loadSector()
	if err != nil {
		return s, err
	}
	return index.OfSector(sector.Miner, sector.Number), nil
}

func (q *query) ofDeal() (s index.Subject, err error) {
	_, d, err := q.loadDeal()
	if err != nil {
		return s, err
	}
	return index.OfDeal(d.ID), nil
}

func (q *query) ofOrder() (s index.Subject, err error) {
	_, o, err := q.loadOrder()
	if err != nil {
		return s, err
	}
	return index.OfOrder(o.ID), nil
}

func (q *query) ofChannel() (s index.Subject, err error) {
	_, c, err := q.loadChannel()
	if err != nil {
		return s, err
	}
	return index.OfChannel(c.ID), nil
}

// events lists those of a kind, or all.
func (a *API) events(q *query) (any, error) {
	if !q.given("kind") {
		return q.happened((*index.Snapshot).AllEvents)
	}
	kind, ok := index.KindOf(q.values.Get("kind"))
	switch {
	case !ok:
		return nil, badRequest("kind %q: there is no such kind of events", clip(q.values.Get("kind")))
	case kind == consensus.EventSectorProven:
		return nil, badRequest("there is one of these for each sector of each proof: see /v1/sectors/{miner}/{number}/proofs")
	}
	return q.happenings(index.OfKind(kind))
}

// EventKinds are the kinds of events that a list of them can be narrowed to.
var EventKinds = sync.OnceValue(func() []string {
	return slices.DeleteFunc(index.Kinds(), func(name string) bool { return name == consensus.EventSectorProven.String() })
})

// happenings lists the events of a subject.
func (q *query) happenings(of index.Subject) (any, error) {
	return q.happened(func(s *index.Snapshot, p index.Page, each func(*index.Event) (bool, error)) ([]byte, error) {
		return s.Events(of, p, each)
	})
}

func (q *query) happened(read func(*index.Snapshot, index.Page, func(*index.Event) (bool, error)) ([]byte, error)) (any, error) {
	happening := q.happening()
	return history(q, 12, read, func(e *index.Event) (chain.Height, *Happening) { return e.Height, happening(e) })
}

// happening returns what tells of the events of a list.
func (q *query) happening() func(*index.Event) *Happening {
	times := q.times()
	var last index.Place
	hash := "" // of the message in last; one often has several events
	return func(e *index.Event) *Happening {
		out := &Happening{Height: e.Height, Time: times(e.Height), Index: e.Index, Event: q.eventOf(&e.Event)}
		if e.Event.Message == 0 {
			return out
		}
		if at := (index.Place{Height: e.Height, Index: uint32(e.Event.Message - 1)}); at != last {
			last, hash = at, q.messageHash(at)
		}
		out.MessageHash = hash
		return out
	}
}

// messageHash is the hash of the message in a place; empty if the index has none there.
func (q *query) messageHash(at index.Place) string {
	m, err := q.snap.MessageAt(at)
	if m == nil || err != nil {
		return "" // its row goes with the block's, so this is a broken index: check tells
	}
	return chain.Hash(m.Receipt.Hash).String()
}

// times returns what tells when blocks were; rows of a list that are of one
// block follow each other.
func (q *query) times() func(chain.Height) string {
	var last *index.Block
	return func(h chain.Height) string {
		if last == nil || last.Height != h {
			b, err := q.snap.Block(h)
			if b == nil || err != nil {
				return "" // the list's own rows go with the block's, so this is a broken index: check tells
			}
			last = b
		}
		return clock(last.Time)
	}
}

// WindowProof is what became of a sector in one of its windows.
type WindowProof struct {
	Height    chain.Height `json:"height"` // block that accepted the proof, or closed the window without one
	Time      string       `json:"time"`
	State     string       `json:"state"`  // proven, faulty: a proof left the sector out, missed: no proof came
	Closes    chain.Height `json:"closes"` // last height of the window
	Deadline  uint64       `json:"deadline"`
	Partition uint64       `json:"partition"`
	Message   string       `json:"message,omitempty"` // hash of the one with the proof
}

func (a *API) sectorProofs(q *query) (any, error) {
	r, s, err := q.loadSector()
	if err != nil {
		return nil, err
	}
	through := chain.Height(math.MaxInt64)
	if r.Ended != 0 {
		through = r.Ended
	}
	return q.proofs(s, s.Activated, through)
}

// dealProofs lists those of the deal's sector during its term.
func (a *API) dealProofs(q *query) (any, error) {
	r, d, err := q.loadDeal()
	if err != nil {
		return nil, err
	}
	if d.Activated == 0 {
		return q.proofs(new(chain.Sector), 0, 0)
	}
	through := d.End
	if r.Ended != 0 {
		through = min(through, r.Ended)
	}
	s := new(chain.Sector)
	if _, err := q.recall(chain.SectorKey(d.Miner, d.Sector), s); err != nil {
		return nil, err
	}
	return q.proofs(s, d.Activated, through)
}

// proofs lists what became of a sector's windows from a height through another.
// One that was never active has none.
func (q *query) proofs(s *chain.Sector, from, through chain.Height) (any, error) {
	times := q.times()
	slot := uint64(1) << (s.Slot & 63)
	read := func(x *index.Snapshot, p index.Page, each func(*index.Window) (bool, error)) ([]byte, error) {
		if s.Activated == 0 {
			return nil, nil
		}
		return x.WindowsOf(s.Miner, s.Deadline, s.Partition, from, through, p, func(w *index.Window) (bool, error) {
			if (w.Covered|w.Failed)&slot == 0 {
				return false, nil // the sector was not to be proven yet
			}
			return each(w)
		})
	}
	return history(q, 8, read, func(w *index.Window) (chain.Height, *WindowProof) {
		return w.Height, q.windowProofOf(w, slot, times(w.Height))
	})
}

func (q *query) windowProofOf(w *index.Window, slot uint64, time string) *WindowProof {
	out := &WindowProof{Height: w.Height, Time: time, State: "proven", Closes: w.Closes, Deadline: w.Deadline, Partition: w.Partition}
	switch {
	case w.Missed():
		out.State = "missed"
	case w.Failed&slot != 0:
		out.State = "faulty"
	}
	if w.Message > 0 {
		out.Message = q.messageHash(index.Place{Height: w.Height, Index: uint32(w.Message - 1)})
	}
	return out
}

// Payments is a page of what became of a deal's money, and where it stands.
type Payments struct {
	List[*Happening]
	Total   chain.Amount `json:"total"`   // for the whole term
	Unspent chain.Amount `json:"unspent"` // of it, still locked
	Accrued chain.Amount `json:"accrued"` // of that, earned by accepted proofs and not paid yet: it is paid when somebody asks, at a fault, or at the end
}

// moves are the kinds of events that move a deal's money.
var moves = map[consensus.EventKind]bool{consensus.EventDealMatched: true, consensus.EventDealPaid: true, consensus.EventFetchRepaid: true,
	consensus.EventRepairOrdered: true, consensus.EventRepairEnded: true, consensus.EventRenewalOrdered: true, consensus.EventRenewalEnded: true,
	index.DealDepositBack: true, index.MinerDepositBack: true, index.DealRefunded: true, index.CollateralBack: true, index.DealBurned: true, index.ClientBurned: true}

func (a *API) payments(q *query) (any, error) {
	_, d, err := q.loadDeal()
	if err != nil {
		return nil, err
	}
	accrued, err := q.accrued(d)
	if err != nil {
		return nil, err
	}
	l, err := q.happened(func(s *index.Snapshot, p index.Page, each func(*index.Event) (bool, error)) ([]byte, error) {
		return s.Events(index.OfDeal(d.ID), p, func(e *index.Event) (bool, error) { // a deal's events are few
			if !moves[e.Kind] {
				return false, nil
			}
			return each(e)
		})
	})
	if err != nil {
		return nil, err
	}
	if page, ok := l.(*List[*Happening]); ok {
		return &Payments{*page, d.Total, d.Unspent, accrued}, nil
	}
	return l, nil // it is read as a whole
}

// accrued is what a deal would pay if it were settled now: chain/consensus,
// settleDeal.
func (q *query) accrued(d *chain.Deal) (chain.Amount, error) {
	var none chain.Amount
	if d.State != chain.DealActive {
		return none, nil
	}
	var s chain.Sector
	if r, err := q.recall(chain.SectorKey(d.Miner, d.Sector), &s); r == nil || err != nil {
		return none, err
	}
	through := s.PaidThrough
	if s.State == chain.SectorActive {
		var part chain.Partition
		if _, err := q.recall(chain.PartitionKey(s.Miner, s.Deadline, s.Partition), &part); err != nil {
			return none, err
		}
		if part.Earning&(1<<(s.Slot&63)) != 0 {
			through = max(through, part.ProvenThrough)
		}
	}
	settled, faulty := d.PaidThrough, d.FaultBlocks
	if gap := min(s.PaidThrough, d.End); gap > settled {
		faulty += uint64(gap - settled)
		settled = gap
	}
	settled = max(settled, min(through, d.End))
	earned, err := d.Total.MulDiv(uint64(settled-d.Activated)-faulty, d.Duration)
	if err != nil {
		return none, err
	}
	left, err := d.Total.Sub(earned)
	if err != nil {
		return none, err
	}
	return d.Unspent.Sub(left)
}
