package consensus

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
)

// shrinking sends failures of the harness to rapid, which then looks for the shortest history.
type shrinking struct {
	testing.TB
	rt *rapid.T
}

func (s shrinking) Helper()                           {}
func (s shrinking) Fatal(args ...any)                 { s.rt.Fatal(args...) }
func (s shrinking) Fatalf(format string, args ...any) { s.rt.Fatalf(format, args...) }

// covered is what a sector's events say: up to where accepted proofs cover it,
// and whether it has power.
type covered struct {
	through chain.Height
	active  bool
	failed  chain.Height // last became faulty
}

// history is a random life of one miner's sectors.
type history struct {
	*network
	rt    *rapid.T
	ahead uint64
	next  uint64 // sector number
	model map[uint64]*covered
	pay   map[uint64]*earned // by deal; deal n+1 is in sector n
}

// TestSectorHistories sends random messages, right and wrong ones, and after
// each block compares power, masks, counts and money (the harness does) and what
// proofs cover with what the events said.
func TestSectorHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := testParams()
		p.Window, p.ChallengeLookback, p.FaultCutoff, p.FaultMaxAge = 4, 1, 4, 2
		p.SeedDelay, p.ProveDue, p.TicketAge, p.MinSectorLife = 3, 8, 20, 4
		p.QueueItems = rapid.SampledFrom([]uint64{1000, 1000, 2}).Draw(rt, "queue items")
		h := &history{network: minerNetwork(shrinking{t, rt}, p, fakeVerifier{}, 2<<10), rt: rt,
			model: map[uint64]*covered{}, pay: map[uint64]*earned{}}
		h.fundDeals()
		for range rapid.IntRange(10, 60).Draw(rt, "blocks") {
			h.step()
		}
	})
}

func (h *history) step() {
	h.ahead = 0
	var messages [][]byte
	if rapid.Bool().Draw(h.rt, "prove all") {
		messages = h.proofs()
	}
	for range rapid.IntRange(0, 3).Draw(h.rt, "messages") {
		messages = append(messages, h.draw())
	}
	u, _ := h.block(messages...)
	h.followPay(u)
	h.follow(u)
	h.compare()
	h.comparePay()
}

func (h *history) draw() []byte {
	proof := []byte(rapid.SampledFrom([]string{"ok", "ok", "ok", "wrong"}).Draw(h.rt, "proof"))
	var body chain.Body
	switch rapid.IntRange(0, 7).Draw(h.rt, "kind") {
	case 0:
		body = h.drawPreCommit()
	case 1, 2:
		body = &chain.ProveCommit{Miner: chain.FirstMinerID, Number: h.numbers(chain.SectorPreCommitted, 1)[0], Proof: proof}
	case 3:
		m := h.miner()
		open, _ := h.params.Schedule().At(uint64(m.PeriodStart), uint64(h.height+1))
		return h.message("worker", 0, &chain.SubmitWindowProof{Miner: m.ID, Period: open.Period, Deadline: open.Index,
			Skipped: rapid.Uint64Range(0, 15).Draw(h.rt, "skipped"), Proof: proof})
	case 4:
		body = &chain.DeclareFaults{Miner: chain.FirstMinerID, Sectors: h.numbers(chain.SectorActive, 2)}
	case 5:
		body = &chain.SettleDeals{Deals: []uint64{h.numbers(chain.SectorActive, 1)[0] + 1}}
	default:
		body = &chain.DeclareRecoveries{Miner: chain.FirstMinerID, Sectors: h.numbers(chain.SectorFaulty, 2)}
	}
	h.ahead++
	return h.message("worker", h.ahead-1, body)
}

// numbers draws sectors, mostly in the state that a message is about.
func (h *history) numbers(state chain.SectorState, most int) []uint64 {
	var fit []uint64
	for n := range h.next {
		if h.sector(n).State == state {
			fit = append(fit, n)
		}
	}
	one := rapid.Uint64Range(0, h.next)
	if len(fit) > 0 && rapid.IntRange(0, 9).Draw(h.rt, "stray") > 0 {
		one = rapid.SampledFrom(fit)
	}
	return rapid.SliceOfN(one, 1, most).Draw(h.rt, state.String())
}

func (h *history) drawPreCommit() chain.Body {
	b := &chain.PreCommitSectors{Miner: chain.FirstMinerID}
	for range rapid.IntRange(1, 4).Draw(h.rt, "batch") {
		c := chain.PreCommit{Number: h.next, TicketHeight: h.height,
			Expiration: h.params.LeastExpiration(h.height+1) + chain.Height(rapid.IntRange(-1, 60).Draw(h.rt, "life"))}
		if d := h.deal(h.next + 1); d.ID != 0 {
			c.Pieces = []chain.SectorPiece{{PieceCID: d.PieceCID, PaddedSize: d.PaddedSize, Deal: d.ID}}
			c.Expiration = max(c.Expiration, h.params.ProveBy(h.height+1)+chain.Height(d.Duration))
		}
		b.Sectors = append(b.Sectors, c)
		h.next++
	}
	return b
}

// follow applies events to the model.
func (h *history) follow(u *Update) {
	for _, e := range u.Events {
		switch e.Kind {
		case EventSectorActive:
			h.model[e.Sector] = &covered{through: u.Height, active: true}
			h.checkPlace(e.Sector)
		case EventSectorProven:
			h.model[e.Sector].through = u.Height
		case EventSectorRecovered:
			if h.model[e.Sector].failed == u.Height {
				h.t.Fatalf("height %d: sector %d became faulty and recovered in one block", u.Height, e.Sector)
			}
			*h.model[e.Sector] = covered{through: u.Height, active: true}
		case EventSectorFaulty:
			h.model[e.Sector].active, h.model[e.Sector].failed = false, u.Height
		case EventSectorEnded:
			h.checkEnd(&e)
			delete(h.model, e.Sector)
		}
	}
}

// compare checks that pay may be released for exactly the heights that proofs
// cover, and that no power outlives a missed window.
func (h *history) compare() {
	s, err := newState(h.params, h.view, h.verify)
	must(h.t, err)
	for number, want := range h.model {
		sec := h.sector(number)
		if active := sec.State == chain.SectorActive; active != want.active || s.provenThrough(&sec) != want.through {
			h.t.Fatalf("height %d: sector %d is %s, proven through %d; events say active %v, %d",
				h.height, number, sec.State, s.provenThrough(&sec), want.active, want.through)
		}
		longest := chain.Height(h.params.Period() + h.params.Window)
		if h.params.QueueItems == 1000 && want.active && h.height-want.through > longest {
			h.t.Fatalf("height %d: sector %d has power, last shown to be there at %d", h.height, number, want.through)
		}
		age := chain.Height((h.params.FaultMaxAge + 3) * h.params.Period()) // earlier faults are in FaultSince
		if h.params.QueueItems == 1000 && !want.active && h.height-sec.FaultSince > age {
			h.t.Fatalf("height %d: sector %d is faulty since %d and not lost", h.height, number, sec.FaultSince)
		}
	}
}

// checkPlace checks that the first window of a new sector is known to nobody:
// it opens after the cut-off, and so after the beacon that challenges it.
func (h *history) checkPlace(number uint64) {
	sec, m := h.sector(number), h.miner()
	open, ok := h.params.Schedule().At(uint64(m.PeriodStart), uint64(h.height))
	next, _ := h.params.Schedule().Next(uint64(m.PeriodStart), sec.Deadline, uint64(h.height))
	if ok && open.Index == sec.Deadline || uint64(h.height) >= next.Cutoff || uint64(h.height) >= next.Challenge {
		h.t.Fatalf("height %d: sector %d was put into deadline %d, which opens at %d", h.height, number, sec.Deadline, next.Open)
	}
}

// checkEnd checks that a sector with power was proven for all of its term.
func (h *history) checkEnd(e *Event) {
	c, sec := h.model[e.Sector], h.sector(e.Sector)
	if e.Reason == "expired" && c.active && c.through < sec.Expiration && h.params.QueueItems == 1000 {
		h.t.Fatalf("height %d: sector %d ended, proven through %d of a term to %d", h.height, e.Sector, c.through, sec.Expiration)
	}
}
