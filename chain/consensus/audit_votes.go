package consensus

import (
	"encoding/binary"
	"math/big"
	"slices"

	"github.com/perdure/perdure/chain"
)

// checkVotes compares the vote sets with what miners' records say of them, the
// candidates with who may vote, and bound pledge with what is due to be freed.
func (a *audit) checkVotes() error {
	sets := map[chain.Height][]chain.Validator{}
	err := eachRecord(a, chain.TableVoters, func(id string, set *chain.VoteSet) error {
		sets[chain.Height(binary.BigEndian.Uint64([]byte(id)))] = set.Validators
		return nil
	})
	if err != nil {
		return err
	}
	from := a.global.VotersFrom
	if len(from) == 0 || from[0] > max(a.global.Height, 1) || !slices.IsSorted(from) || len(sets) != len(from)+1 {
		a.wrong("vote sets begin at %v, there are %d records", from, len(sets))
		return nil
	}
	for _, h := range from {
		if set := sets[h]; sumVotes(set) == 0 || uint64(len(set)) > a.params.MaxValidators {
			a.wrong("from height %d on %d validators have %d votes", h, len(set), sumVotes(set))
		}
	}
	newest := sets[from[len(from)-1]]
	for _, m := range a.miners {
		if m.Voting != votesIn(newest, m.ID) || m.Voting && m.Guilty != 0 && len(newest) > 1 {
			a.wrong("miner %d, voting %v, guilty %d, is in the newest vote set: %v", m.ID, m.Voting, m.Guilty, votesIn(newest, m.ID))
		}
	}
	if err := a.checkCandidates(); err != nil {
		return err
	}
	return a.checkBound()
}

// checkCandidates checks that the heap holds who may vote, in its order, and
// that both records of each agree.
func (a *audit) checkCandidates() error {
	heap, own := map[uint64]chain.Candidate{}, map[chain.MinerID]chain.Candidate{}
	err := eachRecord(a, chain.TableCandidate, func(id string, c *chain.Candidate) error {
		if n := binary.BigEndian.Uint64([]byte(id[8:])); id[7] == 0 {
			heap[n] = *c
		} else {
			own[n] = *c
		}
		return nil
	})
	if err != nil {
		return err
	}
	may := uint64(0)
	s := &state{params: a.params, global: a.global}
	for _, m := range a.miners {
		c, is := own[m.ID]
		if is != s.mayVote(m) || is && (c.Power != m.Power || c.Miner != m.ID || heap[c.Place] != c) {
			a.wrong("miner %d of power %d: candidate %v with %+v, at its place %+v", m.ID, m.Power, is, c, heap[c.Place])
		}
		if above := heap[c.Place/2]; is && c.Place > 1 && outranks(&c, &above) {
			a.wrong("candidate %+v stands below %+v", c, above)
		}
		if is {
			may++
		}
	}
	if n := a.global.Candidates; may != n || uint64(len(heap)) != n || uint64(len(own)) != n {
		a.wrong("%d miners may vote, the global record says %d, the heap holds %d and %d", may, n, len(heap), len(own))
	}
	return nil
}

// checkBound compares miners' bound pledge with what is queued to be freed.
func (a *audit) checkBound() error {
	due := map[chain.MinerID]*big.Int{}
	err := a.records.ForEach(chain.TableQueue, func(id string, record []byte) error {
		if q, _, index := chain.ParseQueueID(id); index == 0 || q != chain.QueuePledgeFree {
			return nil
		}
		var item chain.QueueItem
		if err := chain.Decode(record, &item); err != nil {
			return err
		}
		if due[item.Owner] == nil {
			due[item.Owner] = new(big.Int)
		}
		due[item.Owner].Add(due[item.Owner], new(big.Int).SetBytes(item.Key))
		return nil
	})
	for _, m := range a.miners {
		want := new(big.Int)
		if due[m.ID] != nil {
			want = due[m.ID]
		}
		if want.Cmp(m.Bound.Big()) != 0 {
			a.wrong("miner %d has %s bound, %s is due to be freed", m.ID, m.Bound, want)
		}
	}
	return err
}
