package consensus

import (
	"slices"

	"github.com/perdure/perdure/chain"
)

// Miners that may vote are kept as a heap by proven power, so that a change of
// power costs a few records and a border reads as many as there are validators,
// however many miners there are.

// powerChanged notes that a miner's power, keys or standing have changed: at
// the end of the block its place among the candidates follows. Noting a miner
// that did not change does nothing.
func (s *state) powerChanged(m *chain.Miner) {
	if n := len(s.moved); n == 0 || s.moved[n-1] != m.ID {
		s.moved = append(s.moved, m.ID)
	}
}

// rankCandidates puts the miners that powerChanged noted into their places.
func (s *state) rankCandidates() error {
	slices.Sort(s.moved)
	for _, id := range slices.Compact(s.moved) {
		m, err := s.miner(id)
		if err != nil {
			return err
		}
		s.rank(m)
	}
	s.moved = nil
	return s.broken
}

// mayVote reports whether votes can be given to a miner for its power.
func (s *state) mayVote(m *chain.Miner) bool {
	return len(m.Keys.ConsensusKey) != 0 && m.Guilty == 0 && s.global.Height >= m.VoteFrom && m.Power >= s.params.VoteUnit
}

func (s *state) rank(m *chain.Miner) {
	var c chain.Candidate
	known, may := s.load(chain.CandidacyKey(m.ID), &c), s.mayVote(m)
	switch {
	case may && !known:
		s.global.Candidates++
		s.settleCandidate(chain.Candidate{Miner: m.ID, Power: m.Power, Place: s.global.Candidates})
	case may && c.Power != m.Power:
		c.Power = m.Power
		s.settleCandidate(c)
	case known && !may:
		s.dropCandidate(&c)
	}
}

// dropCandidate fills the place of one that may not vote any more with the last.
func (s *state) dropCandidate(c *chain.Candidate) {
	s.remove(chain.CandidacyKey(c.Miner))
	last := s.candidate(s.global.Candidates)
	s.remove(chain.CandidateKey(s.global.Candidates))
	s.global.Candidates--
	if last.Miner != c.Miner {
		last.Place = c.Place
		s.settleCandidate(last)
	}
}

// settleCandidate stores a candidate after moving it from its place up or down
// to where the heap is in order.
func (s *state) settleCandidate(c chain.Candidate) {
	for c.Place > 1 {
		above := s.candidate(c.Place / 2)
		if !outranks(&c, &above) {
			break
		}
		c.Place, above.Place = above.Place, c.Place
		s.storeCandidate(&above)
	}
	for 2*c.Place <= s.global.Candidates {
		below := s.candidate(2 * c.Place)
		if 2*c.Place < s.global.Candidates {
			if other := s.candidate(2*c.Place + 1); outranks(&other, &below) {
				below = other
			}
		}
		if !outranks(&below, &c) {
			break
		}
		c.Place, below.Place = below.Place, c.Place
		s.storeCandidate(&below)
	}
	s.storeCandidate(&c)
}

func (s *state) candidate(place uint64) (c chain.Candidate) {
	if !s.load(chain.CandidateKey(place), &c) {
		_ = s.missing("candidate at place %d of %d", place, s.global.Candidates)
	}
	return c
}

func (s *state) storeCandidate(c *chain.Candidate) {
	s.store(chain.CandidateKey(c.Place), c)
	s.store(chain.CandidacyKey(c.Miner), c)
}

// outranks orders candidates: more power first, of equal power the lower ID.
func outranks(a, b *chain.Candidate) bool {
	if a.Power != b.Power {
		return a.Power > b.Power
	}
	return a.Miner < b.Miner
}

// topCandidates lists the candidates with the most power, best first, at most n.
func (s *state) topCandidates(n uint64) []chain.Candidate {
	var out, next []chain.Candidate // next: those whose parents are out
	open := func(place uint64) {
		if place <= s.global.Candidates {
			next = append(next, s.candidate(place))
		}
	}
	for open(1); len(next) > 0 && uint64(len(out)) < n && s.broken == nil; {
		best := 0
		for i := range next {
			if outranks(&next[i], &next[best]) {
				best = i
			}
		}
		c := next[best]
		next[best] = next[len(next)-1]
		next = next[:len(next)-1]
		out = append(out, c)
		open(2 * c.Place)
		open(2*c.Place + 1)
	}
	return out
}
