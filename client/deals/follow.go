package deals

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/client/files"
)

// idle is how often it is looked whether there is something new to attend to.
const idle = time.Second

// noteEvery is after how many blocks without news an object's record is
// written all the same, so that a restart need not read them again.
const noteEvery = 100

var (
	errSettled = errors.New("settled")
	errReload  = errors.New("the records changed")
)

// AttendTo follows one object, whose bids have landed, dials its miners, and
// returns it once it is settled: every copy active or void.
func (m *Market) AttendTo(ctx context.Context, number uint64) (*files.Object, error) {
	a := &attendant{m: m, only: number}
	if err := a.run(ctx); err != nil {
		return nil, err
	}
	return m.cfg.Records.Object(ctx, number)
}

// Attend does so for all objects of the home, old and new, until ctx ends.
func (m *Market) Attend(ctx context.Context) error {
	a := &attendant{m: m}
	return a.run(ctx)
}

// attendant follows the chain for the objects that are not settled.
type attendant struct {
	m     *Market
	only  uint64 // 0: all objects
	stamp int64  // of the records, when objects was read

	mu      sync.Mutex
	objects map[uint64]*files.Object
}

// run follows, and dials beside it.
func (a *attendant) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	d := newDialer(a)
	var wg sync.WaitGroup
	wg.Go(func() { d.run(ctx) })
	defer wg.Wait()
	defer cancel()
	for {
		open, err := a.load(ctx)
		if err != nil {
			return err
		}
		switch {
		case open == 0 && a.only != 0:
			return nil
		case open == 0:
			if err := a.wait(ctx); err != nil {
				return err
			}
			continue
		}
		if err := a.follow(ctx); err != nil {
			return err
		}
	}
}

// load reads the objects that there is work on, and clears up after the others.
func (a *attendant) load(ctx context.Context) (open int, err error) {
	a.stamp = a.m.cfg.Records.Stamp()
	all, err := a.m.cfg.Records.Objects(ctx)
	if err != nil {
		return 0, err
	}
	a.mu.Lock()
	a.objects = map[uint64]*files.Object{}
	for _, o := range all {
		if o.Own() && o.Landed() && !o.Settled() && (a.only == 0 || a.only == o.Number) {
			a.objects[o.Number] = o
		}
	}
	open = len(a.objects)
	a.mu.Unlock()
	for _, o := range all {
		if o.Own() && o.Landed() && o.Settled() && o.Spool != "" && (a.only == 0 || a.only == o.Number) {
			if err := a.m.cfg.Records.RemoveSpool(ctx, o.Number); err != nil {
				return open, err
			}
		}
	}
	return open, nil
}

// wait returns when the records change.
func (a *attendant) wait(ctx context.Context) error {
	tick := time.NewTicker(idle)
	defer tick.Stop()
	for a.m.cfg.Records.Stamp() == a.stamp {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// follow takes Updates in until the objects have to be read anew.
func (a *attendant) follow(ctx context.Context) error {
	from := chain.Height(0)
	for i, o := range a.list() {
		if i == 0 || o.Seen+1 < from {
			from = o.Seen + 1
		}
	}
	err := a.m.cfg.Chain.Follow(ctx, from, func(u *consensus.Update) error {
		settled, err := a.take(ctx, u)
		switch {
		case err != nil:
			return err
		case settled:
			return errSettled
		case a.m.cfg.Records.Stamp() != a.stamp:
			return errReload
		}
		return nil
	})
	var pruned *rpc.PrunedError
	switch {
	case errors.Is(err, errSettled), errors.Is(err, errReload):
		return nil
	case errors.As(err, &pruned):
		a.m.log.Warn("was away for longer than the chain keeps Updates: reading the records again", "oldest", pruned.Oldest)
		return a.resync(ctx)
	case err != nil:
		return fmt.Errorf("follow the chain: %w", err)
	}
	return nil
}

// list returns the objects by number.
func (a *attendant) list() []*files.Object {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]*files.Object, 0, len(a.objects))
	for _, o := range a.objects {
		out = append(out, o)
	}
	return out
}

// news is what one Update says about deals and orders.
type news struct {
	height chain.Height
	deals  []*chain.Deal
	gone   map[uint64]bool   // orders out of the book
	forgot map[uint64]bool   // deals that the chain has no record of any more
	why    map[uint64]string // reasons by order
	ended  map[uint64]string // reasons by deal
}

// read picks out of an Update what concerns bids.
func read(u *consensus.Update) (*news, error) {
	n := &news{height: u.Height, gone: map[uint64]bool{}, why: map[uint64]string{}, ended: map[uint64]string{}}
	for i := range u.Events {
		switch e := &u.Events[i]; e.Kind {
		case consensus.EventOrderCancelled:
			n.gone[e.Order], n.why[e.Order] = true, e.Reason
		case consensus.EventOrderFilled:
			n.gone[e.Order] = true
		case consensus.EventDealEnded:
			n.ended[e.Deal] = e.Reason
		}
	}
	for i := range u.Changes {
		c := &u.Changes[i]
		if c.Table != chain.TableDeal || c.Value == nil {
			continue
		}
		d := new(chain.Deal)
		if err := chain.Decode(c.Value, d); err != nil {
			return nil, fmt.Errorf("update %d: deal: %w", u.Height, err)
		}
		n.deals = append(n.deals, d)
	}
	return n, nil
}

// take brings the records up to an Update and reports whether an object is
// settled by it.
func (a *attendant) take(ctx context.Context, u *consensus.Update) (settled bool, err error) {
	n, err := read(u)
	if err != nil {
		return false, err
	}
	for _, o := range a.list() {
		if u.Height <= o.Seen {
			continue
		}
		if !n.touches(o) && u.Height-o.Seen < noteEvery {
			continue
		}
		done, err := a.apply(ctx, o.Number, n)
		if err != nil {
			return settled, err
		}
		settled = settled || done
	}
	return settled, nil
}

// touches reports whether the news are about the object.
func (n *news) touches(o *files.Object) bool {
	for i := range o.Pieces {
		b := &o.Pieces[i].Bid
		if n.gone[b.Order] && b.State == files.BidStands {
			return true
		}
		for _, d := range n.deals {
			if d.Bid == b.Order {
				return true
			}
		}
	}
	return false
}

// apply notes the news in an object's record, and tells about them.
func (a *attendant) apply(ctx context.Context, number uint64, n *news) (settled bool, err error) {
	var events []Event
	o, err := a.m.cfg.Records.Update(ctx, number, func(o *files.Object) error {
		events = events[:0]
		if n.height <= o.Seen { // another process was faster
			return nil
		}
		for i := range o.Pieces {
			events = append(events, n.note(o, &o.Pieces[i])...)
		}
		o.Seen = n.height
		return nil
	})
	if err != nil {
		return false, err
	}
	a.stamp = a.m.cfg.Records.Stamp()
	a.mu.Lock()
	a.objects[number] = o
	a.mu.Unlock()
	for _, e := range events {
		a.m.log.Info("copy "+string(e.Stage), e.logged()...)
		a.m.cfg.Event(e)
	}
	return o.Settled(), nil
}

// logged is what the log says of an event.
func (e *Event) logged() []any {
	out := []any{"deal", e.Deal, "miner", chain.FormatMiner(e.Miner, chain.Testnet)}
	if e.Reason != "" {
		out = append(out, "reason", e.Reason)
	}
	return out
}

// note brings one piece up to date.
func (n *news) note(o *files.Object, p *files.Piece) []Event {
	var out []Event
	for _, d := range n.deals {
		if p.Bid.Order == 0 || d.Bid != p.Bid.Order {
			continue
		}
		before := stageOf(p, d.ID)
		p.Note(d, n.ended[d.ID])
		for _, s := range between(before, d) {
			e := Event{Stage: s, Object: o.Number, Part: p.Part, Order: d.Bid, Deal: d.ID, Miner: d.Miner, Height: n.height, Amount: d.Total}
			if s == StageVoid {
				e.Reason = n.ended[d.ID]
			}
			out = append(out, e)
		}
	}
	for i := range p.Deals {
		d := &p.Deals[i]
		before := stageNamed(d.State)
		if n.forgot[d.ID] {
			d.Gone(n.height)
		}
		if now := stageNamed(d.State); now != before {
			out = append(out, Event{Stage: now, Object: o.Number, Part: p.Part, Order: p.Bid.Order, Deal: d.ID, Miner: d.Miner,
				Height: n.height, Amount: d.Total, Reason: d.Reason})
		}
	}
	if n.gone[p.Bid.Order] && p.Bid.State == files.BidStands {
		p.Bid.State, p.Bid.Reason = files.BidOver, n.why[p.Bid.Order]
		for range o.Copies - min(o.Copies, p.Matched()) {
			out = append(out, Event{Stage: StageVoid, Object: o.Number, Part: p.Part, Order: p.Bid.Order, Height: n.height,
				Reason: "no miner: the bid is " + p.Bid.Reason})
		}
	}
	return out
}

// stageOf is the stage of a deal in the record, empty if it is not there.
func stageOf(p *files.Piece, id uint64) Stage {
	for i := range p.Deals {
		if d := &p.Deals[i]; d.ID == id {
			return stageNamed(d.State)
		}
	}
	return ""
}

func stageNamed(state string) Stage {
	switch state {
	case chain.DealMatched.String():
		return StageMatched
	case chain.DealAccepted.String():
		return StageAccepted
	case chain.DealActive.String(), chain.DealCompleted.String():
		return StageActive
	}
	return StageVoid
}

// between are the stages that a deal entered after the one before.
func between(before Stage, d *chain.Deal) []Stage {
	now := stageNamed(d.State.String())
	if now == before {
		return nil
	}
	if now == StageVoid {
		return []Stage{StageVoid}
	}
	var out []Stage
	passed := before == ""
	for _, s := range []Stage{StageMatched, StageAccepted, StageActive} {
		if passed {
			out = append(out, s)
		}
		if s == now {
			break
		}
		passed = passed || s == before
	}
	return out
}

// resync reads from the chain's records what Updates would have told.
func (a *attendant) resync(ctx context.Context) error {
	g, err := a.m.cfg.Chain.Global(ctx)
	if err != nil {
		return err
	}
	for _, o := range a.list() {
		n := &news{height: g.Height, gone: map[uint64]bool{}, forgot: map[uint64]bool{}, why: map[uint64]string{}, ended: map[uint64]string{}}
		first := g.NextDeal
		for i := range o.Pieces {
			b := &o.Pieces[i].Bid
			if b.Sent != nil {
				first = min(first, b.Sent.Deals)
			}
			ok, err := a.m.cfg.Chain.Record(ctx, chain.OrderKey(b.Order), new(chain.Order))
			if err != nil {
				return err
			}
			if !ok {
				n.gone[b.Order], n.why[b.Order] = true, "over"
			}
		}
		for id := first; id < g.NextDeal; id++ {
			d := new(chain.Deal)
			ok, err := a.m.cfg.Chain.Record(ctx, chain.DealKey(id), d)
			if err != nil {
				return err
			}
			if ok {
				n.deals = append(n.deals, d)
			} else {
				n.forgot[id] = true
			}
		}
		if _, err := a.apply(ctx, o.Number, n); err != nil {
			return err
		}
	}
	return nil
}
