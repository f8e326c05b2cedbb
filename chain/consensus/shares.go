package consensus

import (
	"slices"

	"github.com/perdure/perdure/chain"
)

// What proven storage asks for, before a border's bound on changes:
//
//   - a candidate asks for floor(proven bytes / VoteUnit) votes; the best
//     MaxValidators count;
//   - the votes of one owner's miners are at most a quarter of all. Owners are
//     known by address: that two of them are two people is a claim;
//   - if the storage validators' votes, capped so among themselves, are worth
//     GenesisThreshold bytes, they are the set. Fewer than four owners never are;
//   - else the genesis validators stay, with the votes that genesis gave them or,
//     if that is more, as many as make GenesisShare percent of all.

// ownerShare is the inverse of the most that one owner may hold of all votes.
const ownerShare = 4

// voter is a storage validator that asks for votes.
type voter struct {
	chain.Validator
	owner chain.Address
}

// wantedVoters returns the set that proven storage asks for, best first after
// the genesis validators.
func (s *state) wantedVoters() ([]chain.Validator, error) {
	storage, err := s.storageVoters()
	if err != nil {
		return nil, err
	}
	alone := capOwners(storage, ownerShare, 1, 0)
	unit := s.params.VoteUnit
	if sumVotes(alone) >= (s.params.GenesisThreshold+unit-1)/unit {
		return alone, nil
	}
	genesis := s.voteSet(chain.VotersKey(0))
	storage = storage[:min(uint64(len(storage)), s.params.MaxValidators-uint64(len(genesis)))]
	return s.genesisShares(genesis, storage), nil
}

// genesisShares is the set in which the genesis validators stay.
func (s *state) genesisShares(genesis []chain.Validator, storage []voter) []chain.Validator {
	base, share := sumVotes(genesis), s.params.GenesisShare
	beside := capOwners(storage, ownerShare, 1, base)
	if base == 0 || base*(100-share) >= sumVotes(beside)*share {
		return append(genesis, beside...)
	}
	// The genesis validators hold share % of the total T: T = storage x 100 / (100 - share).
	beside = capOwners(storage, ownerShare*(100-share), 100, 0)
	votes := mulDiv(sumVotes(beside), share, 100-share) + 1
	for i := range genesis {
		genesis[i].Power = mulDiv(genesis[i].Power, votes, base) + 1
	}
	return append(genesis, beside...)
}

// storageVoters lists the candidates that count, best first.
func (s *state) storageVoters() ([]voter, error) {
	var out []voter
	for _, c := range s.topCandidates(s.params.MaxValidators) {
		m, err := s.miner(c.Miner)
		if err != nil {
			return nil, err
		}
		reward, err := chain.MinerAddress(m.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, voter{owner: m.Keys.Owner, Validator: chain.Validator{PubKey: m.Keys.ConsensusKey,
			BeaconKey: m.Keys.BeaconKey, Power: min(m.Power/s.params.VoteUnit, maxMemberVotes), Reward: reward, Miner: m.ID}})
	}
	return out, s.broken
}

// capOwners lowers the votes of owners that have too many to the greatest c with
//
//	c x a <= (all votes, so lowered) x b + d
//
// and leaves out who then has none. An owner's votes are lowered in proportion.
// a is more than b and at most 400, b at most 100, d at most maxMemberVotes.
func capOwners(voters []voter, a, b, d uint64) []chain.Validator {
	total, left := map[chain.Address]uint64{}, map[chain.Address]uint64{}
	for i := range voters {
		total[voters[i].owner] += voters[i].Power
	}
	c := ownerCap(total, a, b, d)
	part := func(v *voter) uint64 { return mulDiv(v.Power, min(c, total[v.owner]), max(1, total[v.owner])) }
	for i := range voters {
		v := &voters[i]
		if _, seen := left[v.owner]; !seen {
			left[v.owner] = min(c, total[v.owner])
		}
		left[v.owner] -= part(v)
	}
	var out []chain.Validator
	for i := range voters {
		v := voters[i].Validator
		v.Power = part(&voters[i])
		if owner := voters[i].owner; left[owner] > 0 { // what rounding down has left
			v.Power++
			left[owner]--
		}
		if v.Power != 0 {
			out = append(out, v)
		}
	}
	return out
}

// ownerCap finds c. With the k owners of the most votes lowered to c and R the
// votes of the others, c x a <= (k x c + R) x b + d is c <= (R x b + d) / (a - k x b).
// The first k for which no other has more than c is right; there is one while
// a > k x b, since for the last such k the quotient is at least R.
func ownerCap(total map[chain.Address]uint64, a, b, d uint64) uint64 {
	var sizes []uint64
	var rest uint64
	//perdure:unordered sorted below
	for _, n := range total {
		sizes = append(sizes, n)
		rest += n
	}
	slices.Sort(sizes)
	slices.Reverse(sizes)
	for k := 0; ; k++ {
		c := (rest*b + d) / (a - uint64(k)*b)
		if k == len(sizes) || c >= sizes[k] {
			return c
		}
		rest -= sizes[k]
	}
}
