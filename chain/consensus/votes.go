package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
)

// maxMemberVotes bounds the votes of one miner, and of all genesis validators
// at genesis, so that no sum or product overflows: 256 of them times 400 stay
// below 2^63, and a whole set below CometBFT's bound of 2^60.
const maxMemberVotes = 1 << 46

// engineDelay is how many heights after the block that hands them over
// CometBFT lets changes of the vote set act.
const engineDelay = 2

// voteDelay is how many heights after its border a vote set acts. It is longer
// than engineDelay so that the beacon values that draw among its members are
// made at least 3 heights after the powers that made it (see Draws).
const voteDelay = 4

// ConsensusAddress is what CometBFT calls a validator: the first 20 bytes of
// SHA-256 of its ed25519 key.
func ConsensusAddress(key []byte) []byte {
	sum := sha256.Sum256(key)
	return sum[:20]
}

// Voters reads the vote set of a height from a view that knows it: that of the
// view's own height and of the two after it.
func Voters(v interface {
	Record(chain.Key) ([]byte, error)
}, h chain.Height) ([]chain.Validator, error) {
	var g chain.Global
	var set chain.VoteSet
	err := readRecord(v, chain.GlobalKey(), &g)
	if err == nil && (h < g.Height || h > g.Height+engineDelay) {
		err = fmt.Errorf("the state of height %d does not know them", g.Height)
	}
	if err == nil {
		err = readRecord(v, g.VotersAt(h), &set)
	}
	if err != nil {
		return nil, fmt.Errorf("read votes of height %d: %w", h, err)
	}
	return set.Validators, nil
}

func readRecord(v interface {
	Record(chain.Key) ([]byte, error)
}, k chain.Key, into chain.CBOR) error {
	raw, err := v.Record(k)
	if err == nil && raw == nil {
		err = errors.New("no record")
	}
	if err == nil {
		err = chain.Decode(raw, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", k.Table, err)
	}
	return nil
}

// voters returns who votes at height h: from the height before the block's to
// the last that is decided.
func (s *state) voters(h chain.Height) []chain.Validator {
	return s.voteSet(s.global.VotersAt(h))
}

func (s *state) voteSet(k chain.Key) []chain.Validator {
	var set chain.VoteSet
	if !s.load(k, &set) {
		_ = s.missing("vote set %x", k.ID)
	}
	return set.Validators
}

// updateVotes follows the block's changes of power and, at a border of vote
// epochs, moves the vote set towards what proven storage asks for.
func (s *state) updateVotes() error {
	s.forgetVoters()
	if err := s.rankCandidates(); err != nil {
		return err
	}
	if uint64(s.global.Height)%s.params.VoteEpoch != 0 {
		return nil
	}
	newest := s.voters(maxSpan)
	wanted, err := s.wantedVoters()
	if err != nil || len(wanted) == 0 { // nobody is left who could take over: the set stays
		return err
	}
	next := stepVotes(newest, wanted, s.params.MaxValidators)
	return s.scheduleVoters(newest, next, s.global.Height+voteDelay)
}

// forgetVoters lets go of the sets that no rule reads any more: the next block
// draws among those who vote at this height.
func (s *state) forgetVoters() {
	from := s.global.VotersFrom
	for len(from) > 1 && from[1] <= s.global.Height {
		s.remove(chain.VotersKey(from[0]))
		from = from[1:]
	}
	s.global.VotersFrom = from
}

// scheduleVoters makes next the newest vote set from a height on.
func (s *state) scheduleVoters(newest, next []chain.Validator, from chain.Height) error {
	if slices.EqualFunc(newest, next, sameVotes) {
		return nil
	}
	s.store(chain.VotersKey(from), &chain.VoteSet{Validators: next})
	if n := len(s.global.VotersFrom); s.global.VotersFrom[n-1] != from {
		s.global.VotersFrom = append(slices.Clone(s.global.VotersFrom), from)
	}
	s.emit(Event{Kind: EventVotesChanged, Index: uint64(from), Reason: fmt.Sprintf("%d validators", len(next))})
	return s.markVoters(newest, next, from)
}

func sameVotes(a, b chain.Validator) bool {
	return a.Power == b.Power && bytes.Equal(a.PubKey, b.PubKey) && bytes.Equal(a.BeaconKey, b.BeaconKey)
}

// markVoters notes in the records of miners that they come into the newest set
// or leave it; from is the first height at which they have left.
func (s *state) markVoters(before, after []chain.Validator, from chain.Height) error {
	for i := range before {
		if m := before[i].Miner; m != 0 && !votesIn(after, m) {
			err := s.changeMiner(m, func(m *chain.Miner) error {
				m.Voting, m.VotedUntil = false, from-1
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	for i := range after {
		if m := after[i].Miner; m != 0 && !votesIn(before, m) {
			err := s.changeMiner(m, func(m *chain.Miner) error {
				m.Voting = true
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func votesIn(set []chain.Validator, m chain.MinerID) bool {
	return slices.ContainsFunc(set, func(v chain.Validator) bool { return v.Miner == m })
}

func sumVotes(set []chain.Validator) (total uint64) {
	for i := range set {
		total += set[i].Power
	}
	return total
}

// stepVotes moves a vote set towards wanted as far as one border may: given and
// taken votes each sum up to less than a third of all (or to one vote, if there
// are so few), so that light clients can skip from one set to the next. All
// changes go the same part of their way. No more than most members may be in
// the set, beside those that have not left yet.
func stepVotes(from, wanted []chain.Validator, most uint64) []chain.Validator {
	moves := voteMoves(from, wanted, most)
	var given, taken uint64
	for i := range moves {
		given += moves[i].given()
		taken += moves[i].taken()
	}
	limit, way := max(1, (sumVotes(from)-1)/3), max(given, taken)
	if way > limit {
		part(moves, (*voteMove).given, limit, way, func(m *voteMove, n uint64) { m.wanted = m.validator.Power + n })
		part(moves, (*voteMove).taken, limit, way, func(m *voteMove, n uint64) { m.wanted = m.validator.Power - n })
	}
	var out []chain.Validator
	for i := range moves {
		v := moves[i].validator
		if v.Power = moves[i].wanted; v.Power != 0 {
			out = append(out, v)
		}
	}
	return out
}

// voteMove is a member on its way from the votes that it has to those wanted for it.
type voteMove struct {
	validator chain.Validator // with the votes that it has
	wanted    uint64
}

func (m *voteMove) given() uint64 { return max(m.wanted, m.validator.Power) - m.validator.Power }
func (m *voteMove) taken() uint64 { return m.validator.Power - min(m.wanted, m.validator.Power) }

// voteMoves pairs two sets by key: members in their order, then newcomers, best
// first, as long as there are places.
func voteMoves(from, wanted []chain.Validator, most uint64) []voteMove {
	target := map[string]*chain.Validator{}
	for i := range wanted {
		target[string(wanted[i].PubKey)] = &wanted[i]
	}
	var moves []voteMove
	member := map[string]bool{}
	for _, v := range from {
		member[string(v.PubKey)] = true
		m := voteMove{validator: v}
		if t := target[string(v.PubKey)]; t != nil {
			m.wanted, m.validator.BeaconKey = t.Power, t.BeaconKey
		}
		moves = append(moves, m)
	}
	for _, v := range wanted {
		if !member[string(v.PubKey)] && uint64(len(moves)) < most {
			m := voteMove{validator: v, wanted: v.Power}
			m.validator.Power = 0
			moves = append(moves, m)
		}
	}
	return moves
}

// part lets every move go limit/way of its way, rounded down; what rounding
// leaves of their sum goes to the first that have a vote left to go.
func part(moves []voteMove, size func(*voteMove) uint64, limit, way uint64, set func(*voteMove, uint64)) {
	sizes, parts := make([]uint64, len(moves)), make([]uint64, len(moves))
	var sum, done uint64
	for i := range moves {
		sizes[i] = size(&moves[i])
		parts[i] = mulDiv(sizes[i], limit, way)
		sum += sizes[i]
		done += parts[i]
	}
	left := mulDiv(sum, limit, way) - done
	for i := range moves {
		if sizes[i] == 0 {
			continue
		}
		if left > 0 && parts[i] < sizes[i] {
			parts[i]++
			left--
		}
		set(&moves[i], parts[i])
	}
}

// mulDiv is floor(a x b / c) for a result below 2^64.
func mulDiv(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	q, _ := bits.Div64(hi, lo, c)
	return q
}
