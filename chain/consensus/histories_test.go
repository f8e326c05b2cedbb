package consensus

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
)

// workers are the miners' workers, from miner 1000 on.
var workers = []string{"alice", "bob", "erin"}

// market is a random life of a whole small network: three miners, two clients
// and everything they may send, right or wrong.
type market struct {
	*script
	rt     *rapid.T
	number uint64 // of the last sector made for a deal
	seen   map[EventKind]int
}

// marketParams has spans so short that in a few dozen blocks every deadline
// and queue has its turn.
func marketParams(rt *rapid.T) *Params {
	p := testParams()
	p.Window, p.ChallengeLookback, p.FaultCutoff = 4, 1, 4
	p.FaultMaxAge = rapid.SampledFrom([]uint64{1, 2}).Draw(rt, "fault max age")
	p.RepairBy = rapid.SampledFrom([]uint64{5, 40}).Draw(rt, "repair by")
	p.SeedDelay, p.ProveDue, p.TicketAge, p.MinSectorLife, p.MaxSectorLife = 3, 6, 20, 4, 60
	p.FetchBy, p.ActivateBy, p.MatchDelay, p.MaxOrderLife, p.MinDuration = 5, 15, 3, 30, 3
	p.SettleDelay, p.KeyDelay, p.NoShowForget = 3, 3, 10
	p.EvidenceAge, p.TrustPeriod, p.Unbonding, p.StateRetention, p.EndedRetention = 40, 20, 40, 40, 41
	p.QueueItems = rapid.SampledFrom([]uint64{1000, 1000, 3}).Draw(rt, "queue items")
	p.MatchVisits = rapid.SampledFrom([]uint64{64, 2}).Draw(rt, "match visits")
	return p
}

// TestMarketHistories sends random messages of every kind. After each block the
// harness recounts money, power, deals and the book; in the end everything runs
// out, and then no money may be left locked.
func TestMarketHistories(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() == checks.DefValue { // each history is hundreds of blocks
		must(t, flag.Set("rapid.checks", "15"))
		defer func() { must(t, flag.Set("rapid.checks", checks.DefValue)) }()
	}
	seen := map[EventKind]int{}
	history := func(rt *rapid.T) {
		tb := shrinking{t, rt}
		names := []named{{"alice", chain.PDR(1000)}, {"bob", chain.PDR(1000)}, {"erin", chain.PDR(1000)}, {"carol", chain.PDR(1000)}, {"dave", chain.PDR(100)}}
		m := &market{rt: rt, number: 100, seen: seen, script: &script{memory: map[string]any{"names": names}}}
		m.network = newNetwork(tb, marketParams(rt), fakeVerifier{}, names)
		m.send("alice: create-miner fund=300PDR", "bob: create-miner fund=300PDR", "erin: create-miner fund=300PDR", "carol: open payee=alice amount=20PDR")
		m.send(m.sharedPiece()...)
		for range rapid.IntRange(25, 60).Draw(rt, "blocks") {
			m.step()
		}
		m.windDown()
	}
	var missing []EventKind
	for range 5 { // one time in ten chance leaves a kind out
		rapid.Check(t, history)
		missing = slices.DeleteFunc([]EventKind{EventSectorActive, EventSectorProven, EventSectorFaulty, EventSectorRecovered, EventSectorEnded,
			EventDealMatched, EventDealAccepted, EventDealActive, EventDealPaid, EventDealEnded, EventOrderCancelled, EventVoucherRedeemed,
			EventMinerUpdated, EventRepairOrdered, EventRepairEnded}, func(k EventKind) bool { return seen[k] > 0 })
		if len(missing) == 0 {
			break
		}
	}
	if len(missing) > 0 {
		t.Errorf("no history came to %v: they prove little", missing)
	}
	t.Log(seen)
}

// sharedPiece are a bid for two copies and asks of all miners for its piece, so
// that there is something to lose and somebody to repair it.
func (m *market) sharedPiece() []string {
	lines := []string{"carol: bid piece=shared size=1KiB price=2000000PDR duration=40 copies=2 expiry=+10 renew=1 renewprice=2000000PDR renewfor=20"}
	for i, w := range workers {
		lines = append(lines, fmt.Sprintf("%s: ask miner=%d price=1000000PDR capacity=4KiB collateral=1000000PDR shortest=1 longest=40 expiry=+30", w, 1000+i))
	}
	return lines
}

// send makes one block of script lines.
func (m *market) send(lines ...string) *Update {
	m.t.Helper()
	ahead := map[string]uint64{}
	var messages [][]byte
	for _, l := range lines {
		messages = append(messages, m.message(l, ahead))
	}
	u, _ := m.block(messages...)
	return u
}

func (m *market) step() {
	m.t.Helper()
	var lines []string
	for miner, worker := range workers {
		if m.mostly() {
			lines = append(lines, m.duties(worker, uint64(1000+miner))...)
		}
	}
	for range rapid.IntRange(0, 3).Draw(m.rt, "messages") {
		lines = append(lines, m.line())
	}
	for _, e := range m.send(lines...).Events {
		m.seen[e.Kind]++
	}
}

func (m *market) mostly() bool { return rapid.IntRange(0, 4).Draw(m.rt, "mostly") > 0 }

// duties is what a miner has to send now: accept what was matched, seal what was
// accepted, prove what was sealed.
func (m *market) duties(worker string, id chain.MinerID) []string {
	m.t.Helper()
	var out []string
	each(m.network, chain.TableDeal, func(_ chain.Key, d *chain.Deal) {
		switch {
		case d.Miner != id:
		case d.State == chain.DealMatched && m.mostly():
			out = append(out, fmt.Sprintf("%s: accept miner=%d deals=%d", worker, id, d.ID))
		case d.State == chain.DealAccepted && !d.Committed && m.mostly():
			m.number++
			expires := max(d.ActivateBy+chain.Height(d.Duration), m.params.LeastExpiration(m.height+1))
			out = append(out, fmt.Sprintf("%s: precommit miner=%d sectors=%d expires=%d pieces=%d:%d", worker, id, m.number,
				expires, d.PaddedSize, d.ID))
		}
	})
	each(m.network, chain.TableSector, func(_ chain.Key, sec *chain.Sector) {
		if sec.Miner == id && sec.State == chain.SectorPreCommitted && m.mostly() {
			out = append(out, fmt.Sprintf("%s: prove miner=%d sector=%d", worker, id, sec.Number))
		}
		if sec.Miner == id && sec.State == chain.SectorFaulty && m.mostly() {
			out = append(out, fmt.Sprintf("%s: declare-recoveries miner=%d sectors=%d", worker, id, sec.Number))
		}
	})
	each(m.network, chain.TableChannel, func(_ chain.Key, c *chain.Channel) {
		if m.nameOf(c.Payee) == worker && !m.mostly() {
			out = append(out, m.redeem(c))
		}
	})
	if m.mostly() {
		out = append(out, fmt.Sprintf("%s: window-proof miner=%d proof=%s", worker, id, m.of("ok", "ok", "ok", "no")))
	}
	return out
}

func (m *market) of(names ...string) string { return rapid.SampledFrom(names).Draw(m.rt, "choice") }

// recent draws an ID near the newest, so that most exist.
func (m *market) recent(next uint64) uint64 {
	return next - min(next, rapid.Uint64Range(0, 6).Draw(m.rt, "back"))
}

// line draws one message.
func (m *market) line() string {
	g := m.global()
	miner := rapid.IntRange(0, 2).Draw(m.rt, "miner")
	worker, id := workers[miner], 1000+miner
	client := m.of("carol", "dave")
	number := rapid.IntRange(1, 12).Draw(m.rt, "number")
	price := m.of("0", "1000000PDR", "2000000PDR", "3000000PDR")
	size := m.of("128", "256", "1KiB", "2KiB")
	switch rapid.IntRange(0, 18).Draw(m.rt, "kind") { // numbers that come twice are drawn more often
	case 0, 1:
		return fmt.Sprintf("%s: bid piece=p%d size=%s price=%s duration=%d copies=%d collateral=%s expiry=+%d%s", client, number, size,
			price, number*2, 1+number%3, m.of("0", "1000000PDR"), 2+number, m.of("", " renew=1 renewprice=2000000PDR renewfor=9"))
	case 2, 3:
		return fmt.Sprintf("%s: ask miner=%d price=%s capacity=%dKiB collateral=%s shortest=1 longest=25 expiry=+%d refresh=%s", worker, id,
			price, number, m.of("0", "1000000PDR", "2000000PDR"), 2+number, m.of("0", "0", "1"))
	case 4:
		return fmt.Sprintf("%s: cancel order=%d", m.of(worker, client), m.recent(g.NextOrder))
	case 5, 6:
		return fmt.Sprintf("%s: accept miner=%d deals=%d", worker, id, m.recent(g.NextDeal))
	case 7:
		return fmt.Sprintf("%s: precommit miner=%d sectors=%d,%d expires=%d", worker, id, number, number+20, m.height+20+chain.Height(number))
	case 8:
		return m.precommitDeal(worker, id, number, m.recent(g.NextDeal))
	case 9, 10:
		return m.channelLine(client, g.NextChannel)
	case 11, 12:
		return fmt.Sprintf("%s: prove miner=%d sector=%d proof=%s", worker, id, number+20*(number%2), m.of("ok", "ok", "no"))
	case 13:
		return fmt.Sprintf("%s: %s miner=%d sectors=%d", worker, m.of("declare-faults", "declare-recoveries"), id, number)
	case 17:
		return fmt.Sprintf("%s: %s miner=%d sectors=%d expires=+%d", worker, m.of("terminate", "extend", "extend"), id, m.some(number), 20+number)
	case 14:
		return fmt.Sprintf("%s: settle deals=%d,%d", client, m.recent(g.NextDeal), m.recent(g.NextDeal))
	case 15, 16:
		return fmt.Sprintf("%s: update-miner miner=%d %s", m.of(worker, client), id, m.of("withdraw=5PDR", "peer=x", "worker="+worker))
	}
	return fmt.Sprintf("%s: transfer to=%s amount=%s tip=%s", m.of(client, worker), m.of("t01000", "t01001", "alice", "dave"),
		m.of("1", "3PDR", "900PDR"), m.of("0", "0.1PDR"))
}

// some is the number of a sector, mostly of one that was made for a deal.
func (m *market) some(number int) uint64 {
	if m.number > 100 && m.mostly() {
		return m.recent(m.number + 1)
	}
	return uint64(number)
}

// precommitDeal puts a deal into a sector in which it fits, mostly.
func (m *market) precommitDeal(worker string, id, number int, deal uint64) string {
	var d chain.Deal
	size := "2KiB"
	if m.record(chain.DealKey(deal), &d) {
		size = fmt.Sprint(d.PaddedSize)
	}
	expires := m.params.LeastExpiration(m.height+1) + chain.Height(number*3)
	return fmt.Sprintf("%s: precommit miner=%d sectors=%d expires=%d pieces=%s:%d", worker, id, number, expires, size, deal)
}

// channelLine does something with a channel, mostly as those may who share it.
func (m *market) channelLine(payer string, next uint64) string {
	var c chain.Channel
	payee := m.of("alice", "bob")
	if m.record(chain.ChannelKey(m.recent(next)), &c) && m.mostly() {
		payer, payee = m.nameOf(c.Payer), m.nameOf(c.Payee)
	}
	switch rapid.IntRange(0, 5).Draw(m.rt, "channel") {
	case 0, 1:
		return fmt.Sprintf("%s: open payee=%s amount=5PDR", payer, payee)
	case 2:
		return fmt.Sprintf("%s: top-up channel=%d amount=1PDR", payer, c.ID)
	case 3:
		return fmt.Sprintf("%s: settle-channel channel=%d", payer, c.ID)
	}
	return fmt.Sprintf("%s: collect-channel channel=%d", payer, c.ID)
}

// redeem shows a voucher of either lane, in or out of turn.
func (m *market) redeem(c *chain.Channel) string {
	k := rapid.IntRange(0, 20).Draw(m.rt, "ticks")
	return fmt.Sprintf("%s: redeem channel=%d payer=%s lane=%d vnonce=%d price=0.2PDR ticks=20 k=%d", m.nameOf(c.Payee), c.ID,
		m.nameOf(c.Payer), k%2, 1+k%3, k)
}

func (m *market) nameOf(a chain.Address) string {
	return m.rename(chain.FormatAddress(a, m.params.Network))
}

// windDown lets everything end: no order, sector or deal outlives its term, and
// channels are settled by their payers. Then nothing of them is left in the state.
func (m *market) windDown() {
	m.t.Helper()
	p := m.params
	for _, e := range m.advance(int(p.MaxSectorLife + p.MaxOrderLife + (p.FaultMaxAge+3)*p.Period())) {
		m.seen[e.Kind]++
	}
	var lines []string
	each(m.network, chain.TableChannel, func(_ chain.Key, c *chain.Channel) {
		lines = append(lines, fmt.Sprintf("%s: settle-channel channel=%d", m.nameOf(c.Payer), c.ID))
	})
	m.send(lines...)
	m.advance(int(p.SettleDelay + 2*p.EndedRetention))
	if g := m.global(); !g.Supply.Locked.IsZero() || g.Power != 0 {
		m.t.Fatalf("height %d: all is over, but %s attoPDR are locked and power is %d", m.height, g.Supply.Locked, g.Power)
	}
	for _, t := range []chain.Table{chain.TableOrder, chain.TableSector, chain.TablePartition, chain.TableDeal, chain.TableCopies,
		chain.TableChannel, chain.TableReplay, chain.TableQueue} {
		if left := m.view.keys(t); len(left) != 0 {
			m.t.Fatalf("height %d: %d records of table %s are left", m.height, len(left), t)
		}
	}
}
