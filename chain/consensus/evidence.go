package consensus

import (
	"bytes"
	"math/big"
	"slices"

	"github.com/perdure/perdure/chain"
)

// Evidence says that a validator equivocated: it signed two votes of one height
// and round, or blocks to deceive light clients. The engine has checked it.
type Evidence struct {
	Address []byte       // consensus address
	Height  chain.Height // of the offence
}

// applyEvidence punishes those whom the block's evidence names. Evidence that is
// too old, about nobody, or about a key that is found guilty already does nothing.
func (s *state) applyEvidence(b *Block) error {
	for i := range b.Evidence {
		e := &b.Evidence[i]
		var key chain.VoteKey
		if e.Height+chain.Height(s.params.EvidenceAge) < b.Height || !s.load(chain.VoteKeyKey(e.Address), &key) || key.Guilty != 0 {
			continue
		}
		key.Guilty = b.Height
		s.store(chain.VoteKeyKey(e.Address), &key)
		if err := s.convict(key.Miner, e); err != nil {
			return err
		}
	}
	return s.broken
}

// convict slashes a miner, once however often it equivocated, and takes the
// votes of miner or genesis validator for good.
func (s *state) convict(id chain.MinerID, e *Evidence) error {
	var burned chain.Amount
	theirs := func(v chain.Validator) bool { return bytes.Equal(ConsensusAddress(v.PubKey), e.Address) }
	if id == 0 {
		genesis := s.voteSet(chain.VotersKey(0))
		s.store(chain.VotersKey(0), &chain.VoteSet{Validators: without(genesis, theirs)})
	} else {
		m, err := s.miner(id)
		if err != nil || m.Guilty != 0 {
			return err
		}
		m.Guilty = s.global.Height
		s.store(chain.MinerKey(id), m)
		s.powerChanged(m)
		if burned, err = s.slash(m); err != nil {
			return err
		}
		theirs = func(v chain.Validator) bool { return v.Miner == id }
	}
	s.emit(Event{Kind: EventEquivocation, Miner: id, From: e.Address, Amount: burned, Index: uint64(e.Height)})
	return s.expel(theirs)
}

// slash takes SlashShare percent of what a miner has pledged: from its balance,
// then, as a debt, from whatever it is paid or gets back. Nobody gets any of it:
// the engine's evidence names no reporter, and a proposer could be the offender.
func (s *state) slash(m *chain.Miner) (chain.Amount, error) {
	pledged, err := m.Pledge.Add(m.Bound)
	if err != nil {
		return pledged, err
	}
	amount, err := pledged.MulDivCeil(s.params.SlashShare, 100)
	if err != nil {
		return amount, err
	}
	_, err = s.penalize(m.ID, amount)
	return amount, err
}

// expel takes members out of every vote set that is not handed to the engine
// yet, without a bound. Where nobody else would be left the set stays.
func (s *state) expel(theirs func(chain.Validator) bool) error {
	at := s.global.Height + engineDelay
	newest, sets := s.voters(maxSpan), []chain.Height{at}
	last := s.voters(at)
	for _, from := range s.global.VotersFrom {
		if from > at {
			sets = append(sets, from)
		}
	}
	s.global.VotersFrom = slices.DeleteFunc(slices.Clone(s.global.VotersFrom), func(h chain.Height) bool { return h >= at })
	for _, from := range sets {
		set := last
		if from != at {
			set = s.voteSet(chain.VotersKey(from))
		}
		if left := without(set, theirs); len(left) > 0 {
			last = left
		}
		s.store(chain.VotersKey(from), &chain.VoteSet{Validators: last})
		s.global.VotersFrom = append(s.global.VotersFrom, from)
	}
	return s.markVoters(newest, last, at)
}

func without(set []chain.Validator, theirs func(chain.Validator) bool) []chain.Validator {
	return slices.DeleteFunc(slices.Clone(set), theirs)
}

// releasePledge frees the pledge of a sector that has ended. If its miner votes,
// or voted so lately that evidence or a light client's trust may still go back
// to it, the money stays locked until that is over. The caller's record holds
// it no more.
func (s *state) releasePledge(id chain.MinerID, amount chain.Amount) error {
	m, err := s.miner(id)
	if err != nil {
		return err
	}
	free := m.VotedUntil + chain.Height(s.params.Unbonding)
	if m.Voting {
		free = s.global.Height + chain.Height(s.params.Unbonding)
	}
	if m.VotedUntil == 0 && !m.Voting || free <= s.global.Height {
		return s.unlockTo(id, amount)
	}
	if m.Bound, err = m.Bound.Add(amount); err != nil {
		return err
	}
	s.store(chain.MinerKey(id), m)
	s.enqueue(chain.QueuePledgeFree, free, chain.QueueItem{Owner: id, Key: amount.Big().Bytes()})
	return nil
}

// freePledge is due when pledge is bound no longer.
func (s *state) freePledge(item *chain.QueueItem) error {
	amount, err := chain.AmountFromBig(new(big.Int).SetBytes(item.Key))
	if err != nil {
		return err
	}
	err = s.changeMiner(item.Owner, func(m *chain.Miner) (err error) {
		m.Bound, err = m.Bound.Sub(amount)
		return err
	})
	if err != nil {
		return err
	}
	return s.unlockTo(item.Owner, amount)
}

func (s *state) unlockTo(id chain.MinerID, amount chain.Amount) error {
	to, err := chain.MinerAddress(id)
	if err != nil {
		return err
	}
	return s.unlock(to, amount)
}
