package consensus

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
)

// newestVoters are the members of the vote set that was decided last.
func (n *network) newestVoters() []chain.Validator {
	n.t.Helper()
	g := n.global()
	return n.voteSet(g.VotersFrom[len(g.VotersFrom)-1])
}

// voteSet are the members of the set that begins at a height; 0: the genesis validators.
func (n *network) voteSet(from chain.Height) []chain.Validator {
	n.t.Helper()
	var set chain.VoteSet
	if !n.record(chain.VotersKey(from), &set) {
		n.t.Fatalf("height %d: no vote set from %d on", n.height, from)
	}
	return set.Validators
}

// showVotes prints the vote sets that are known, a line each.
func (s *script) showVotes() string {
	var out strings.Builder
	for _, from := range s.global().VotersFrom {
		fmt.Fprintf(&out, "from %d:", from)
		for _, v := range s.voteSet(from) {
			name := s.rename(chain.FormatAddress(v.Reward, s.params.Network))
			fmt.Fprintf(&out, " %s=%d", name, v.Power)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// checkBorder holds the newest vote set against the one before the last block:
// without evidence a border changes less than a third, or one vote.
func (n *network) checkBorder() {
	n.t.Helper()
	given, taken := changedVotes(n.newest, n.newestVoters())
	if !n.guilty && n.height > 0 && 3*max(given, taken) >= sumVotes(n.newest) && max(given, taken) > 1 {
		n.t.Fatalf("height %d: %d votes given and %d taken of %d at one border", n.height, given, taken, sumVotes(n.newest))
	}
}

func changedVotes(before, after []chain.Validator) (given, taken uint64) {
	was := map[string]uint64{}
	for _, v := range before {
		was[string(v.PubKey)] = v.Power
	}
	for _, v := range after {
		w := was[string(v.PubKey)]
		given += max(w, v.Power) - w
		taken += w - min(w, v.Power)
		delete(was, string(v.PubKey))
	}
	for _, w := range was {
		taken += w
	}
	return given, taken
}

// drawVoters draws a vote set whose keys are a few letters.
func drawVoters(t *rapid.T, label string, most int) (set []chain.Validator) {
	for _, key := range rapid.SliceOfNDistinct(rapid.ByteRange('a', 'h'), 1, most, rapid.ID).Draw(t, label) {
		votes := rapid.OneOf(rapid.Uint64Range(1, 5), rapid.Uint64Range(1, 1000), rapid.Uint64Range(1, maxMemberVotes)).Draw(t, "votes")
		set = append(set, chain.Validator{PubKey: []byte{key}, Power: votes, Miner: uint64(key)})
	}
	return set
}

// TestStepVotes: from any set to any other, each step gives and takes less than
// a third (or one vote), never too many vote, nobody overshoots, and some steps
// later the other is reached.
func TestStepVotes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const most = 6
		set, wanted := drawVoters(rt, "set", most), drawVoters(rt, "wanted", most)
		for steps := 0; !slices.EqualFunc(byKey(set), byKey(wanted), sameVotes); steps++ {
			next := stepVotes(set, wanted, most)
			given, taken := changedVotes(set, next)
			if limit := max(1, (sumVotes(set)-1)/3); given > limit || taken > limit || given+taken == 0 {
				rt.Fatalf("%v to %v: %d given, %d taken of %d", set, next, given, taken, sumVotes(set))
			}
			if len(next) == 0 || len(next) > most {
				rt.Fatalf("%d vote", len(next))
			}
			overshoot(rt, set, next, wanted)
			if steps > 500 {
				rt.Fatalf("%v is not %v after %d steps", set, wanted, steps)
			}
			set = next
		}
	})
}

// byKey is the set in the order of its keys.
func byKey(set []chain.Validator) []chain.Validator {
	return slices.SortedFunc(slices.Values(set), func(a, b chain.Validator) int { return bytes.Compare(a.PubKey, b.PubKey) })
}

func overshoot(rt *rapid.T, before, after, wanted []chain.Validator) {
	votes := func(set []chain.Validator, key []byte) uint64 {
		for _, v := range set {
			if bytes.Equal(v.PubKey, key) {
				return v.Power
			}
		}
		return 0
	}
	for _, v := range slices.Concat(before, after) {
		was, is, to := votes(before, v.PubKey), votes(after, v.PubKey), votes(wanted, v.PubKey)
		if is < min(was, to) || is > max(was, to) {
			rt.Fatalf("%s goes from %d to %d on the way to %d", v.PubKey, was, is, to)
		}
	}
}

// TestOwnerCap compares the cap with the slow way to find it.
func TestOwnerCap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		total := map[chain.Address]uint64{}
		sizes := rapid.SliceOfN(rapid.Uint64Range(1, 60), 0, 7).Draw(rt, "votes")
		for i, n := range sizes {
			total[addressOf(t, fmt.Sprint("owner", i))] = n
		}
		share := rapid.Uint64Range(0, 50).Draw(rt, "share")
		a, b, d := uint64(ownerShare), uint64(1), rapid.Uint64Range(0, 100).Draw(rt, "beside")
		if share != 0 {
			a, b, d = ownerShare*(100-share), 100, 0
		}
		fits := func(c uint64) bool {
			var all uint64
			for _, n := range sizes {
				all += min(n, c)
			}
			return c*a <= all*b+d
		}
		c := ownerCap(total, a, b, d)
		if !fits(min(c, 60)) || c < 60 && fits(c+1) {
			rt.Fatalf("cap %d of %v, share %d, %d beside", c, sizes, share, d)
		}
	})
}

// TestShares: in every set that storage asks for, no owner has more than a
// quarter, and while the genesis validators stay they have their share.
func TestShares(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &state{params: testParams()}
		genesis := []chain.Validator{{PubKey: []byte("g1"), Power: rapid.Uint64Range(1, 1000).Draw(rt, "g1")},
			{PubKey: []byte("g2"), Power: rapid.Uint64Range(1, maxMemberVotes-1000).Draw(rt, "g2")}}
		var storage []voter
		for i := range rapid.IntRange(0, 10).Draw(rt, "miners") {
			owner := addressOf(t, fmt.Sprint("owner", rapid.IntRange(0, i).Draw(rt, "owner")))
			storage = append(storage, voter{owner: owner, Validator: chain.Validator{PubKey: []byte{byte(i)}, Miner: chain.MinerID(1000 + i),
				Power: rapid.OneOf(rapid.Uint64Range(1, 20), rapid.Uint64Range(1, maxMemberVotes)).Draw(rt, "votes")}})
		}
		owners := map[chain.MinerID]chain.Address{}
		for _, v := range storage {
			owners[v.Miner] = v.owner
		}
		for name, set := range map[string][]chain.Validator{"alone": capOwners(storage, ownerShare, 1, 0),
			"beside genesis": s.genesisShares(slices.Clone(genesis), storage)} {
			held, all := map[chain.Address]uint64{}, sumVotes(set)
			for _, v := range set {
				if v.Miner != 0 {
					held[owners[v.Miner]] += v.Power
				}
			}
			for owner, votes := range held {
				if 4*votes > all {
					rt.Fatalf("%s: %s has %d of %d votes", name, owner, votes, all)
				}
			}
			if own := sumVotes(set[:min(2, len(set))]); name == "beside genesis" && own*100 < all*s.params.GenesisShare {
				rt.Fatalf("the genesis validators have %d of %d votes", own, all)
			}
		}
	})
}

// TestCandidates changes powers at random and compares the best with a sorted list.
func TestCandidates(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &state{params: testParams(), view: new(mapView), block: map[chain.Key][]byte{}}
		power := map[chain.MinerID]uint64{}
		for range rapid.IntRange(1, 60).Draw(rt, "changes") {
			id := rapid.Uint64Range(1000, 1015).Draw(rt, "miner")
			power[id] = rapid.Uint64Range(0, 5).Draw(rt, "sectors") * (2 << 10)
			m := &chain.Miner{ID: id, Power: power[id], Keys: chain.Keys{ConsensusKey: []byte{1}}}
			for _, a := range []*chain.Address{&m.Keys.Owner, &m.Keys.Worker, &m.Keys.Beneficiary} {
				*a = addressOf(t, "a")
			}
			s.store(chain.MinerKey(id), m)
			s.powerChanged(m)
			if rapid.Bool().Draw(rt, "rank now") {
				must(t, s.rankCandidates())
			}
		}
		must(t, s.rankCandidates())
		var want []chain.MinerID
		for id, p := range power {
			if p != 0 {
				want = append(want, id)
			}
		}
		slices.SortFunc(want, func(a, b chain.MinerID) int {
			if outranks(&chain.Candidate{Miner: a, Power: power[a]}, &chain.Candidate{Miner: b, Power: power[b]}) {
				return -1
			}
			return 1
		})
		n := rapid.IntRange(0, 20).Draw(rt, "n")
		var got []chain.MinerID
		for _, c := range s.topCandidates(uint64(n)) {
			got = append(got, c.Miner)
		}
		if want = want[:min(n, len(want))]; !slices.Equal(got, want) || s.broken != nil {
			rt.Fatalf("best are %v, want %v (%v)", got, want, s.broken)
		}
	})
}
