package consensus

import (
	"maps"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
)

// doctor changes one record of a copy of the state.
func doctor[T any, P interface {
	*T
	chain.CBOR
}](n *network, k chain.Key, change func(P)) *mapView {
	n.t.Helper()
	v := &mapView{records: maps.Clone(n.view.records)}
	record := P(new(T))
	must(n.t, chain.Decode(v.records[k], record))
	change(record)
	b, err := chain.Encode(record)
	must(n.t, err)
	v.records[k] = b
	return v
}

// forged adds a record to a copy of the state.
func forged(n *network, k chain.Key, v chain.CBOR) *mapView {
	n.t.Helper()
	b, err := chain.Encode(v)
	must(n.t, err)
	out := &mapView{records: maps.Clone(n.view.records)}
	out.records[k] = b
	return out
}

// TestAudit changes records behind the rules' back, one at a time: each change
// is found, by what it makes disagree.
func TestAudit(t *testing.T) {
	n := newNetwork(t, testParams(), fakeVerifier{}, []named{{"alice", chain.PDR(100)}, {"bob", chain.PDR(100)}})
	proof := provingMiner(t, n)
	s := &script{network: n}
	for _, m := range []struct{ from, verb, args string }{
		{"alice", "ask", "miner=1000 price=7 capacity=4KiB collateral=5"},
		{"bob", "bid", "piece=p size=2KiB price=9"},
		{"bob", "bid", "piece=q size=1KiB price=8 copies=2"},
		{"bob", "open", "payee=alice amount=1PDR"},
	} {
		pairs := map[string]string{}
		for _, f := range strings.Fields(m.args) {
			k, v, _ := strings.Cut(f, "=")
			pairs[k] = v
		}
		_, results := n.block(n.message(m.from, 0, verbs[m.verb](s, args{t, pairs})))
		ok(t, results)
	}
	n.advance(int(n.params.MatchDelay))
	must(t, Audit(n.params, n.view))
	id, atto := proof.Miner, chain.Atto(1)
	more := func(a *chain.Amount) {
		var err error
		*a, err = a.Add(atto)
		must(t, err)
	}
	partition := chain.PartitionKey(id, proof.Deadline, proof.Partition)
	part := new(chain.Partition)
	n.record(partition, part)
	sector := chain.SectorKey(id, part.Sectors[0])
	for name, c := range map[string]struct {
		state *mapView
		says  string
	}{
		"minted":        {doctor(n, chain.GlobalKey(), func(g *chain.Global) { more(&g.Supply.Minted) }), "does not add up"},
		"balance":       {doctor(n, chain.AccountKey(addressOf(t, "alice")), func(a *chain.Account) { more(&a.Balance) }), "free"},
		"miner balance": {doctor(n, chain.MinerKey(id), func(m *chain.Miner) { more(&m.Balance) }), "free"},
		"pledge":        {doctor(n, chain.MinerKey(id), func(m *chain.Miner) { more(&m.Pledge) }), "records pledge"},
		"its sector's":  {doctor(n, sector, func(s *chain.Sector) { more(&s.Pledge) }), "records pledge"},
		"debt":          {doctor(n, chain.MinerKey(id), func(m *chain.Miner) { more(&m.Debt) }), "owes 1"},
		"power":         {doctor(n, chain.MinerKey(id), func(m *chain.Miner) { m.Power *= 2 }), "counted"},
		"all power":     {doctor(n, chain.GlobalKey(), func(g *chain.Global) { g.Power++ }), "the global record says"},
		"sector state":  {doctor(n, sector, func(s *chain.Sector) { s.State = chain.SectorLost }), "records 1 sectors"},
		"fault":         {doctor(n, sector, func(s *chain.Sector) { s.State = chain.SectorFaulty }), "faulty since 0"},
		"slot":          {doctor(n, sector, func(s *chain.Sector) { s.Slot++ }), "its sectors say"},
		"far slot":      {doctor(n, sector, func(s *chain.Sector) { s.Slot = 32 }), "slot 32"},
		"no partition":  {doctor(n, sector, func(s *chain.Sector) { s.Partition = 9 }), "not there"},
		"mask":          {doctor(n, partition, func(p *chain.Partition) { p.Live |= 2 }), "its sectors say"},
		"number":        {doctor(n, partition, func(p *chain.Partition) { p.Sectors[0]++ }), "says it is there"},
		"no close":      {doctor(n, partition, func(p *chain.Partition) { p.Closes = 0 }), "no close is queued"},
		"proof lane":    {doctor(n, chain.GlobalKey(), func(g *chain.Global) { g.ProofLoad[0]++ }), "is booked with"},
		"no lane":       {doctor(n, chain.GlobalKey(), func(g *chain.Global) { g.ProofLoad = nil }), "is booked with"},
		"bid":           {doctor(n, chain.OrderKey(3), func(o *chain.Order) { more(&o.Locked) }), "bid 3 holds"},
		"copies":        {doctor(n, chain.OrderKey(3), func(o *chain.Order) { o.Copies++ }), "bid 3 holds"},
		"ask":           {doctor(n, chain.OrderKey(1), func(o *chain.Order) { o.Free = 1 }), "ask 1 stays"},
		"unspent":       {doctor(n, chain.DealKey(1), func(d *chain.Deal) { more(&d.Unspent) }), "deal 1 holds"},
		"deposit":       {doctor(n, chain.DealKey(1), func(d *chain.Deal) { d.State = chain.DealActive }), "holds deposits"},
		"ended deal":    {doctor(n, chain.DealKey(1), func(d *chain.Deal) { d.State = chain.DealVoid }), "deal/1 is due to be let go of 0 times"},
		"ended sector":  {doctor(n, sector, func(s *chain.Sector) { s.State = chain.SectorLost }), "is due to be let go of 0 times"},
		"settled":       {doctor(n, chain.ChannelKey(1), func(c *chain.Channel) { c.SettleAt = 9 }), "channel/1 is due to be let go of 0 times"},
		"old beacon":    {forged(n, chain.BeaconKey(n.height+1), &chain.Beacon{}), "beacon values are there"},
		"over":          {doctor(n, chain.DealKey(1), func(d *chain.Deal) { d.State = chain.DealVoid }), "void deal 1 holds"},
		"holder":        {doctor(n, chain.CopiesKey(3), func(c *chain.Copies) { c.Holders[0].Miner++ }), "it is not so"},
		"holding":       {doctor(n, chain.CopiesKey(3), func(c *chain.Copies) { c.Holders[0].Holds = true }), "it is not so"},
		"no holder":     {doctor(n, chain.CopiesKey(3), func(c *chain.Copies) { c.Holders = nil }), "name orders []"},
		"repair bid":    {doctor(n, chain.OrderKey(3), func(o *chain.Order) { o.Succeeds = new(chain.Succession) }), "of the chain's own holds"},
		"channel":       {doctor(n, chain.ChannelKey(1), func(c *chain.Channel) { more(&c.Balance) }), "locked"},
		"vote set":      {doctor(n, chain.GlobalKey(), func(g *chain.Global) { g.VotersFrom = append(g.VotersFrom, 99) }), "vote sets begin"},
		"no votes":      {doctor(n, chain.VotersKey(1), func(v *chain.VoteSet) { v.Validators[0].Power = 0 }), "0 votes"},
		"voting":        {doctor(n, chain.MinerKey(id), func(m *chain.Miner) { m.Voting = true }), "newest vote set"},
		"candidates":    {doctor(n, chain.GlobalKey(), func(g *chain.Global) { g.Candidates++ }), "may vote"},
		"who may vote":  {doctor(n, chain.MinerKey(id), func(m *chain.Miner) { m.Keys.ConsensusKey = make([]byte, 32) }), "candidate false"},
		"bound":         {doctor(n, chain.MinerKey(id), func(m *chain.Miner) { more(&m.Bound) }), "due to be freed"},
		"other's":       {doctor(n, sector, func(s *chain.Sector) { s.Miner = 1234 }), "who is none"},
	} {
		if err := Audit(n.params, c.state); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the audit says %v, want %q", name, err, c.says)
		}
	}
}
