package consensus

import (
	"math/bits"

	"github.com/perdure/perdure/chain"
)

// Issuance mints new money for what keeps the chain: proven storage and blocks.
//
// Of U, the money that is still to be issued, a block issues
//
//	E = floor(U x ln2 / (IssuanceHalfLife x 2^32))    with ln2 = 2977044472, which is ln 2 x 2^32
//
// so that U decays exponentially: U(h) = U(0) x (1-r)^h with r = ln 2 / IssuanceHalfLife.
// Rounding makes U larger than that by less than 1/r attoPDR at every height,
// since each block leaves less than one attoPDR too much and later ones issue
// of it; after IssuanceHalfLife blocks U is half of what it was, within
// 1/(4 x IssuanceHalfLife) of it. No table, no fraction, one multiplication a block.
//
// ProposerShare percent of E go to the block's proposer. The rest belongs to
// proven power: each proven byte earns
//
//	i = floor(rest x 2^32 / max(power, IssuanceFullPower))    in attoPDR / 2^32
//
// which is added to an index. A partition remembers the index of its last
// accepted proof and which sectors that proof covered; the next accepted proof
// mints (index - remembered) x size for those of them that were never faulty in
// between. So a proof costs O(1), faulty power earns nothing, a sector begins to
// earn with its first window proof, and what a fault forfeits is never minted:
// nobody gains by another's fault. Below IssuanceFullPower what is left of the
// rest stays unissued, so that the first miners of a small network do not get
// everything.

// ln2 is ln 2 x 2^32, to the nearest integer.
const ln2 = 2_977_044_472

// indexUnit is the parts of an attoPDR in which Issuance.Index counts.
const indexUnit = 1 << 32

// Emission is what a block issues at most, in all, while unissued is left.
func (p *Params) Emission(unissued chain.Amount) (chain.Amount, error) {
	return unissued.MulDiv(ln2, p.IssuanceHalfLife<<32)
}

// issue mints the proposer's part of a block's emission and books the part of
// proven power, as it was before the block. Without a proposer that can be paid,
// or without power, that part stays unissued.
func (s *state) issue(proposer chain.Address) error {
	emission, err := s.params.Emission(s.global.Issuance.Unissued)
	if err != nil || emission.IsZero() {
		return err
	}
	share, err := emission.MulDiv(s.params.ProposerShare, 100)
	if err != nil {
		return err
	}
	rest, err := emission.Sub(share)
	if err != nil {
		return err
	}
	if err := s.accrue(rest); err != nil {
		return err
	}
	return s.rewardProposer(proposer, share)
}

// rewardProposer mints a block's share for its proposer.
func (s *state) rewardProposer(proposer chain.Address, share chain.Amount) error {
	if proposer == (chain.Address{}) || share.IsZero() {
		return nil
	}
	var err error
	if s.global.Issuance.Unissued, err = s.global.Issuance.Unissued.Sub(share); err != nil {
		return err
	}
	if err := s.mint(proposer, share); err != nil {
		return err
	}
	s.emit(Event{Kind: EventBlockReward, To: proposer.Bytes(), Amount: share})
	return nil
}

// accrue adds what each proven byte earns of a block to the index and takes what
// all of them may release of it, rounded up, from the unissued money.
func (s *state) accrue(rest chain.Amount) error {
	i, power := &s.global.Issuance, s.global.Power
	perByte, err := rest.MulDiv(indexUnit, max(power, s.params.IssuanceFullPower))
	if err != nil {
		return err
	}
	due, err := perByte.MulDivCeil(power, indexUnit) // at most rest: power <= the divisor above
	if err != nil {
		return err
	}
	if i.Index, err = i.Index.Add(perByte); err != nil {
		return err
	}
	i.Unissued, err = i.Unissued.Sub(due)
	return err
}

// releaseReward mints what a partition's sectors have earned from its last
// accepted proof to this one, which covers proven. It looks at part.Faulty as
// the window left it, before recoveries, after skipped sectors became faulty.
// The caller stores part.
func (s *state) releaseReward(at place, part *chain.Partition, proven uint64) error {
	earning := part.Earning & part.Live &^ part.Faulty
	since := part.RewardIndex
	part.Earning, part.RewardIndex = proven, s.global.Issuance.Index
	if earning == 0 {
		return nil
	}
	m, err := s.miner(at.miner)
	if err != nil {
		return err
	}
	size, err := sectorSize(m.SealProof)
	if err != nil {
		return err
	}
	perByte, err := part.RewardIndex.Sub(since)
	if err != nil {
		return err
	}
	reward, err := perByte.MulDiv(uint64(bits.OnesCount64(earning))*size, indexUnit)
	if err != nil || reward.IsZero() {
		return err
	}
	miner, err := chain.MinerAddress(at.miner)
	if err != nil {
		return err
	}
	s.emit(Event{Kind: EventPowerReward, Miner: at.miner, Index: at.deadline, Amount: reward})
	return s.mint(miner, reward)
}
