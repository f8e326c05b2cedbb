package explorer

import (
	"encoding/hex"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
)

// Vote is what a validator did about a block.
type Vote struct {
	Address string `json:"address"` // consensus address, hexadecimal
	Votes   uint64 `json:"votes"`
	Miner   string `json:"miner,omitempty"` // absent: a genesis validator
	Vote    string `json:"vote"`            // for, nil (it voted, for no block) or absent
}

// BlockVotes is who voted on a block, as the next one brought it.
type BlockVotes struct {
	Block    chain.Height `json:"block"`
	Round    uint64       `json:"round"`    // that decided, from 0
	VotesFor uint64       `json:"votesFor"` // of Votes
	Votes    uint64       `json:"votes"`    // of all
	Items    []*Vote      `json:"items"`    // in the order of the vote set
	AsOf
}

// votes answers with the votes on the block that the path names.
func (a *API) votes(q *query) (any, error) {
	b, err := q.indexedBlock()
	if err != nil {
		return nil, err
	}
	v, err := q.snap.Votes(b.Height)
	if err != nil {
		return nil, err
	}
	if v == nil && q.r.PathValue("height") == latest && b.Height > q.snap.First {
		if b, err = blockAt(q.snap, b.Height-1); err == nil { // the newest that was voted on
			v, err = q.snap.Votes(b.Height)
		}
		if err != nil {
			return nil, err
		}
	}
	_, set, err := q.snap.Voters(b.Height)
	if err != nil {
		return nil, err
	}
	if v == nil || set == nil {
		return nil, notFound("the votes on block %d are not known: the next block brings them", b.Height)
	}
	q.settle(b.Height, b.Time)
	out := &BlockVotes{Block: b.Height, Round: v.Round, Items: []*Vote{}, AsOf: q.asOf()}
	for i := range set.Validators {
		of, did := &set.Validators[i], v.Of(i)
		out.Items = append(out.Items, &Vote{hexText(consensus.ConsensusAddress(of.PubKey)), of.Power, q.minerOrNone(of.Miner), did.String()})
		out.Votes += of.Power
		if did == index.VoteFor {
			out.VotesFor += of.Power
		}
	}
	return entire(q, out, out.Items)
}

// minerOrNone writes a miner; 0, that of a genesis validator, is empty.
func (n names) minerOrNone(id chain.MinerID) string {
	if id == 0 {
		return ""
	}
	return n.minerText(id)
}

// uptimeBlocks is over how many blocks votes are counted for a validator.
const uptimeBlocks = 100

// Uptime says how a validator voted on the last blocks.
type Uptime struct {
	Blocks uint64       `json:"blocks"`           // of the last 100 whose votes are known, those that it could vote on
	For    uint64       `json:"for"`              // of them it voted for
	Last   chain.Height `json:"last,omitempty"`   // that it voted for
	Missed []uint64     `json:"missed,omitempty"` // heights that it did not vote for, the newest first
}

// ValidatorDetail is a validator and what it did of late.
type ValidatorDetail struct {
	*Validator
	Voting  bool           `json:"voting"`  // it is in the vote set of the next block
	Share   float64        `json:"share"`   // of its votes in all votes
	Since   chain.Height   `json:"since"`   // first height of the vote set that this is from
	Uptime  Uptime         `json:"uptime"`  // as far as the index knows
	Rewards *RewardWindows `json:"rewards"` // of its reward address
	AsOf
}

// validator answers with the validator of a consensus address: as it is in the
// vote set of the next block or, if it votes no more, in the last kept set that it was in.
func (a *API) validator(q *query) (any, error) {
	address, err := hex.DecodeString(q.r.PathValue("address"))
	if err != nil || len(address) != 20 {
		return nil, badRequest("address %q: want a consensus address, 40 hexadecimal digits", clip(q.r.PathValue("address")))
	}
	return q.fromIndex(func(s *index.Snapshot, at AsOf) (any, error) {
		from, set, place, err := findValidator(s, address)
		if err != nil {
			return nil, err
		}
		if place < 0 {
			return nil, notFound("no vote set that is kept has a validator %x", address)
		}
		v := &set.Validators[place]
		out := &ValidatorDetail{Validator: q.validatorOf(v), Share: shareOf(v.Power, votesOf(set)), Since: from, AsOf: at}
		_, next, err := s.Voters(s.Height + 1)
		if err != nil {
			return nil, err
		}
		out.Voting = next != nil && placeOf(next, address) >= 0
		if out.Uptime, err = uptime(s, address); err != nil {
			return nil, err
		}
		out.Rewards, err = q.rewardWindows(s, v.Reward.Bytes())
		return out, err
	})
}

func votesOf(set *chain.VoteSet) (sum uint64) {
	for i := range set.Validators {
		sum += set.Validators[i].Power
	}
	return sum
}

// placeOf is the place of a consensus address in a vote set, or -1.
func placeOf(set *chain.VoteSet, address []byte) int {
	for i := range set.Validators {
		if string(consensus.ConsensusAddress(set.Validators[i].PubKey)) == string(address) {
			return i
		}
	}
	return -1
}

// findValidator finds the newest vote set, of those that vote by the next block,
// that has a validator; its place is -1 if none has.
func findValidator(s *index.Snapshot, address []byte) (from chain.Height, set *chain.VoteSet, place int, err error) {
	for h := s.Height + 1; ; h = from - 1 {
		if from, set, err = s.Voters(h); err != nil || set == nil {
			return 0, nil, -1, err
		}
		if place = placeOf(set, address); place >= 0 || from <= 1 {
			return from, set, place, nil
		}
	}
}

// uptime counts a validator's votes on the last blocks.
func uptime(s *index.Snapshot, address []byte) (out Uptime, err error) {
	var of chain.Height
	place := -1
	_, err = s.AllVotes(index.Page{Limit: uptimeBlocks}, func(v *index.Votes) (bool, error) {
		if of != v.Set {
			_, set, err := s.Voters(v.Height)
			if err != nil || set == nil {
				return false, err
			}
			of, place = v.Set, placeOf(set, address)
		}
		if place < 0 {
			return true, nil
		}
		out.Blocks++
		if v.Of(place) != index.VoteFor {
			out.Missed = append(out.Missed, uint64(v.Height))
			return true, nil
		}
		out.For++
		out.Last = max(out.Last, v.Height)
		return true, nil
	})
	return out, err
}
