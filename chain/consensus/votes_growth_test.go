package consensus

import (
	"fmt"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep"
)

// town is a chain whose miners vote with what they store.
type town struct {
	*network
	keepers []*keeper
}

// keeper is a miner that proves its sectors unless its disk is broken.
type keeper struct {
	name   string
	id     chain.MinerID
	broken bool
}

// townParams are devnet's with a threshold of eight of the smallest sectors.
func townParams() *Params {
	p := testParams()
	p.GenesisThreshold = 8 * (2 << 10)
	return p
}

// newTown starts a chain of genesis validators and miners, each with an owner,
// keys that vote, and sectors of 2 KiB as counts says.
func newTown(t *testing.T, p *Params, validators []string, counts ...uint64) *town {
	t.Helper()
	var accounts []named
	for i := range counts {
		accounts = append(accounts, named{fmt.Sprint("m", i), chain.PDR(10_000)})
	}
	w := &town{network: newNetwork(t, p, fakeVerifier{}, accounts, validators...)}
	proof, err := porep.ProofOfSize(2 << 10)
	must(t, err)
	var create, commit [][]byte
	for i := range counts {
		k := &keeper{name: fmt.Sprint("m", i), id: chain.FirstMinerID + uint64(i)}
		w.keepers = append(w.keepers, k)
		owner := addressOf(t, k.name)
		keys := votingKeys(t, chain.Keys{Owner: owner, Worker: owner, Beneficiary: owner}, k.name)
		create = append(create, w.message(k.name, 0, &chain.CreateMiner{SealProof: proof, Fund: chain.PDR(100), Keys: keys}))
	}
	w.mustAll(create...)
	for i, k := range w.keepers {
		b := &chain.PreCommitSectors{Miner: k.id}
		for n := range counts[i] {
			b.Sectors = append(b.Sectors, chain.PreCommit{Number: n, TicketHeight: w.height, Expiration: w.params.LeastExpiration(w.height+1) + 600})
		}
		commit = append(commit, w.message(k.name, 0, b))
	}
	w.mustAll(commit...)
	w.advance(int(p.SeedDelay))
	commit = nil
	for i, k := range w.keepers {
		for n := range counts[i] {
			commit = append(commit, w.message(k.name, n, &chain.ProveCommit{Miner: k.id, Number: n, Proof: []byte("ok")}))
		}
	}
	w.mustAll(commit...)
	return w
}

// proofs are what the miners with working disks send for the next block: window
// proofs, and recoveries of what is faulty.
func (w *town) proofs() (out [][]byte) {
	w.t.Helper()
	for _, k := range w.keepers {
		var m chain.Miner
		if w.record(chain.MinerKey(k.id), &m); k.broken || m.Sectors == 0 {
			continue
		}
		if open, ok := w.params.Schedule().At(uint64(m.PeriodStart), uint64(w.height)+1); ok {
			for i := range m.Partitions[open.Index] {
				var part chain.Partition
				w.record(chain.PartitionKey(m.ID, open.Index, i), &part)
				if part.Provable() != 0 && part.ProvenPeriods <= open.Period {
					out = append(out, w.message(k.name, 0, &chain.SubmitWindowProof{Miner: m.ID, Period: open.Period,
						Deadline: open.Index, Partition: i, Proof: []byte("ok")}))
				}
			}
		}
		if b := w.recoveries(&m); len(b.Sectors) != 0 {
			out = append(out, w.message(k.name, 0, b))
		}
	}
	return out
}

// recoveries are a miner's faulty sectors that can be declared now.
func (w *town) recoveries(m *chain.Miner) *chain.DeclareRecoveries {
	b := &chain.DeclareRecoveries{Miner: m.ID}
	each(w.network, chain.TableSector, func(_ chain.Key, sec *chain.Sector) {
		var part chain.Partition
		w.record(placeOf(sec).key(), &part)
		next, _ := w.params.Schedule().Next(uint64(m.PeriodStart), sec.Deadline, uint64(w.height)+1)
		open, ok := w.params.Schedule().At(uint64(m.PeriodStart), uint64(w.height)+1)
		if sec.Miner == m.ID && sec.State == chain.SectorFaulty && part.Recovering&slotBit(sec) == 0 &&
			uint64(w.height)+1 < next.Cutoff && !(ok && open.Index == sec.Deadline) {
			b.Sectors = append(b.Sectors, sec.Number)
		}
	})
	return b
}

// run makes blocks, with proofs, until cond holds.
func (w *town) run(what string, most int, cond func() bool) {
	w.t.Helper()
	for range most {
		if cond() {
			return
		}
		w.block(w.proofs()...)
	}
	w.t.Fatalf("height %d: no %s within %d blocks; votes %v", w.height, what, most, votesOf(w.newestVoters()))
}

// votesOf lists votes by the number of their miners, 0 for genesis validators together.
func votesOf(set []chain.Validator) map[chain.MinerID]uint64 {
	out := map[chain.MinerID]uint64{}
	for _, v := range set {
		out[v.Miner] += v.Power
	}
	return out
}

// TestVotesGrowAndFallBack grows a chain from its genesis validators to miners
// who vote alone, breaks all their disks and lets the votes go back, repairs
// them and lets the miners vote again. What each border may change, that nobody
// but voters contribute, and that somebody always votes is checked in each block.
func TestVotesGrowAndFallBack(t *testing.T) {
	p := townParams()
	p.FaultMaxAge = 100
	w := newTown(t, p, []string{"g1", "g2"}, 1, 1, 2, 2, 2, 3)
	alone := map[chain.MinerID]uint64{1000: 1, 1001: 1, 1002: 2, 1003: 2, 1004: 2, 1005: 2} // the last is capped at a quarter of 8+3
	want := func(votes map[chain.MinerID]uint64) func() bool {
		return func() bool { return fmt.Sprint(votesOf(w.newestVoters())) == fmt.Sprint(votes) }
	}
	first := w.height
	if !want(map[chain.MinerID]uint64{0: 20})() {
		t.Fatalf("votes at genesis are %v", votesOf(w.newestVoters()))
	}
	w.run("votes of miners alone", 400, want(alone))
	if from := chain.Height(2*p.VoteEpoch) + 1; w.height < from {
		t.Errorf("miners voted at height %d, their keys act at %d", w.height, from)
	}
	t.Logf("from genesis validators to miners alone in %d blocks", w.height-first)
	for _, k := range w.keepers {
		k.broken = true
	}
	first = w.height
	w.run("votes of genesis validators alone", 600, want(map[chain.MinerID]uint64{0: 20}))
	if g := w.global(); g.Power != 0 || g.Candidates != 0 {
		t.Errorf("power %d and %d candidates are left", g.Power, g.Candidates)
	}
	t.Logf("and back in %d blocks", w.height-first)
	for _, k := range w.keepers {
		k.broken = false
	}
	w.run("miners alone again", 600, want(alone))
}

// TestPledgeStaysBound: pledge of a miner that votes, or voted until lately,
// stays locked when its sectors end; that of one that never voted is free.
func TestPledgeStaysBound(t *testing.T) {
	p := townParams()
	p.Unbonding, p.EvidenceAge, p.TrustPeriod = 120, 100, 60
	w := newTown(t, p, []string{"g1"}, 1, 1, 1, 1)
	w.keepers[3].broken = true // never proven, so never with votes for long
	pledged := w.minerOf(w.keepers[0].id).Pledge
	w.run("votes", 200, func() bool { return w.minerOf(1000).Voting })
	var end chain.Height
	w.run("end of the sector", 5000, func() bool { end = w.height; return w.minerOf(1000).Sectors == 0 })
	m := w.minerOf(1000)
	if m.Bound != pledged || !m.Pledge.IsZero() || !m.Voting {
		t.Fatalf("a voting miner's sector ended at %d: %s bound, %s pledged, voting %v", end, m.Bound, m.Pledge, m.Voting)
	}
	free := m.Balance
	w.run("no votes", 100, func() bool { return !w.minerOf(1000).Voting })
	w.advanceTo(end + 120 - 1)
	if m = w.minerOf(1000); m.Bound != pledged || m.Balance != free {
		t.Fatalf("height %d: %s bound of a pledge that ended at %d", w.height, m.Bound, end)
	}
	w.block()
	want, err := free.Add(pledged)
	must(t, err)
	if m = w.minerOf(1000); !m.Bound.IsZero() || m.Balance != want {
		t.Fatalf("height %d: %s bound still, balance %s, want %s", w.height, m.Bound, m.Balance, want)
	}
}

func (n *network) minerOf(id chain.MinerID) *chain.Miner {
	n.t.Helper()
	m := new(chain.Miner)
	if !n.record(chain.MinerKey(id), m) {
		n.t.Fatalf("no miner %d", id)
	}
	return m
}

// TestEquivocation: evidence takes a miner's votes at once and for good, whatever
// else it stores, and a share of its pledge, once.
func TestEquivocation(t *testing.T) {
	p := townParams()
	w := newTown(t, p, []string{"g1", "g2"}, 2, 2, 2, 2, 2)
	w.run("votes of miners alone", 400, func() bool { return len(w.newestVoters()) == 5 })
	w.run("every set to be the newest", 10, func() bool { return len(w.global().VotersFrom) == 1 })
	bad := w.keepers[1]
	before, offence := w.minerOf(bad.id), w.height
	evidence := Evidence{Address: proposerOf(bad.name), Height: offence}
	u, _ := w.blockWith(&Block{Beacon: w.contribution(beaconGiven), Evidence: []Evidence{evidence, evidence}})
	slash, err := before.Pledge.MulDivCeil(p.SlashShare, 100)
	must(t, err)
	convicted := slices.DeleteFunc(slices.Clone(u.Events), func(e Event) bool { return e.Kind != EventEquivocation })
	if len(convicted) != 1 || convicted[0].Amount != slash || convicted[0].Miner != bad.id {
		t.Fatalf("events %+v, want one of %s", u.Events, slash)
	}
	left, err := before.Balance.Sub(slash)
	must(t, err)
	after := w.minerOf(bad.id)
	if after.Balance != left || after.Voting || after.VotedUntil != w.height+1 || after.Guilty != w.height {
		t.Fatalf("miner is %+v, was %+v", after, before)
	}
	if !votesIn(w.voters(w.height+1), bad.id) || votesIn(w.voters(w.height+2), bad.id) {
		t.Fatalf("votes two heights later: %v", votesOf(w.voters(w.height+2)))
	}
	u, _ = w.blockWith(&Block{Beacon: w.contribution(beaconGiven), Evidence: []Evidence{evidence}})
	if slices.ContainsFunc(u.Events, func(e Event) bool { return e.Kind == EventEquivocation }) {
		t.Fatal("the same offence was punished twice")
	}
	w.run("another vote epoch", 100, func() bool { return w.height > offence+2*chain.Height(p.VoteEpoch) })
	if m := w.minerOf(bad.id); m.Power == 0 || votesIn(w.newestVoters(), bad.id) {
		t.Fatalf("with power %d it votes: %v", m.Power, votesOf(w.newestVoters()))
	}
	keys := votingKeys(t, chain.Keys{Owner: addressOf(t, bad.name), Worker: addressOf(t, bad.name), Beneficiary: addressOf(t, bad.name)}, bad.name)
	_, results := w.block(w.message(bad.name, 0, &chain.UpdateMiner{Miner: bad.id, Keys: &keys}))
	if results[0].Code != CodeFailed {
		t.Fatal("a guilty key was registered again")
	}
}

// TestLastVoterStays: evidence against the only validator, and too old evidence,
// leave the set as it is.
func TestLastVoterStays(t *testing.T) {
	n := newNetwork(t, townParams(), fakeVerifier{}, nil)
	n.advance(5)
	guilty := Evidence{Address: proposerOf("val"), Height: 3}
	n.blockWith(&Block{Beacon: n.contribution(beaconGiven), Evidence: []Evidence{guilty}})
	n.advance(30)
	if set := n.newestVoters(); len(set) != 1 || len(n.voteSet(0)) != 0 {
		t.Fatalf("voters %v, genesis validators %v", set, n.voteSet(0))
	}
	p := townParams()
	p.EvidenceAge, p.TrustPeriod = 40, 20
	n = newNetwork(t, p, fakeVerifier{}, nil, "g1", "g2")
	n.advance(50)
	u, _ := n.blockWith(&Block{Beacon: n.contribution(beaconGiven), Evidence: []Evidence{
		{Address: proposerOf("g1"), Height: 10}, {Address: proposerOf("nobody"), Height: 50}, {Address: nil, Height: 50}}})
	if len(u.Events) != 0 || len(n.newestVoters()) != 2 {
		t.Fatalf("evidence that is too old, or about nobody: %v", u.Events)
	}
	n.blockWith(&Block{Beacon: n.contribution(beaconGiven), Evidence: []Evidence{{Address: proposerOf("g1"), Height: 12}}})
	n.advance(3)
	if set := n.voters(n.height); len(set) != 1 || n.rewardOf("g2") != set[0].Reward {
		t.Fatalf("voters %v", set)
	}
}

func (n *network) rewardOf(name string) chain.Address { return addressOf(n.t, name) }
