package consensus

import (
	"math/big"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
)

// The domains of everything that is drawn from the beacon. Each use has its
// own, so that no draw says anything about another.
const (
	domainGenesis     = "perdure/beacon/genesis/1"
	domainBeacon      = "perdure/beacon/1"
	domainSkip        = "skip"
	domainContributor = "perdure/beacon/contributor/1"
	domainTicket      = "perdure/seal-ticket/1"
	domainSeed        = "perdure/seal-seed/1"
	domainWindow      = "perdure/window/1"
)

// DrawGap is the least number of heights between the last block that can change
// what a draw is about and the block whose beacon value draws: a coalition that
// is drawn as contributor twice in a row knows a value two heights before it is made.
const DrawGap = 3

// draw is SHA-256(domain || parts || numbers, each u64BE).
func draw(domain string, parts [][]byte, numbers ...uint64) [32]byte {
	b := []byte(domain)
	for _, p := range parts {
		b = append(b, p...)
	}
	for _, n := range numbers {
		for i := 7; i >= 0; i-- {
			b = append(b, byte(n>>(8*i)))
		}
	}
	return sha256.Sum256(b)
}

// GenesisBeacon is B(0): SHA-256("perdure/beacon/genesis/1" || chain ID).
func GenesisBeacon(chainID string) [32]byte {
	return draw(domainGenesis, [][]byte{[]byte(chainID)})
}

// BeaconMessage is what the contributor for height h signs:
// "perdure/beacon/1" || chain ID || u64BE(h) || base, base being
// B(h-2) (see [BeaconBase]).
func BeaconMessage(chainID string, h chain.Height, base [32]byte) []byte {
	b := append([]byte(domainBeacon), chainID...)
	for i := 7; i >= 0; i-- {
		b = append(b, byte(h>>(8*i)))
	}
	return append(b, base[:]...)
}

// BeaconBase is the height whose value draws the contributor for height h and
// is signed by it: h-2. The first heights use genesis.
func BeaconBase(h chain.Height) chain.Height { return h - min(h, 2) }

// NextBeacon is B(h) of an accepted contribution: SHA-256(B(h-1) || signature).
func NextBeacon(previous [32]byte, signature []byte) [32]byte {
	return draw("", [][]byte{previous[:], signature})
}

// SkippedBeacon is B(h) of a height without one: SHA-256("skip" || B(h-1) || u64BE(h)).
func SkippedBeacon(previous [32]byte, h chain.Height) [32]byte {
	return draw(domainSkip, [][]byte{previous[:]}, uint64(h))
}

// Contributor returns the index of the validator that contributes to height
// h, drawn by votes from base = B(h-2) among those with a beacon key. It
// reports false if there is none, and for height 1, before which nobody votes.
//
// The draw is SHA-256("perdure/beacon/contributor/1" || base || u64BE(h)) as a
// big-endian number, modulo the sum of votes: its bias is below 2^-190.
func Contributor(validators []chain.Validator, h chain.Height, base [32]byte) (int, bool) {
	total := new(big.Int)
	for i := range validators {
		total.Add(total, contributorVotes(&validators[i]))
	}
	if h < 2 || total.Sign() == 0 {
		return 0, false
	}
	digest := draw(domainContributor, [][]byte{base[:]}, uint64(h))
	left := new(big.Int).SetBytes(digest[:])
	left.Mod(left, total)
	for i := range validators {
		votes := contributorVotes(&validators[i])
		if left.Cmp(votes) < 0 {
			return i, true
		}
		left.Sub(left, votes)
	}
	return 0, false
}

func contributorVotes(v *chain.Validator) *big.Int {
	if len(v.BeaconKey) == 0 {
		return new(big.Int)
	}
	return new(big.Int).SetUint64(v.Power)
}

// SealTicket is the ticket of a miner's sectors from the beacon value of the
// ticket height: SHA-256("perdure/seal-ticket/1" || B || u64BE(miner)).
func SealTicket(beacon [32]byte, miner chain.MinerID) [32]byte {
	return draw(domainTicket, [][]byte{beacon[:]}, miner)
}

// SealSeed seeds the PoRep challenges of a sector from the beacon value of its
// seed height: SHA-256("perdure/seal-seed/1" || B || u64BE(miner) || u64BE(number)).
func SealSeed(beacon [32]byte, miner chain.MinerID, number uint64) [32]byte {
	return draw(domainSeed, [][]byte{beacon[:]}, miner, number)
}

// WindowRandomness gives the challenges of a miner's deadline from the beacon
// value ChallengeLookback blocks before it opens:
// SHA-256("perdure/window/1" || B || u64BE(miner) || u64BE(deadline)).
func WindowRandomness(beacon [32]byte, miner chain.MinerID, deadline uint64) [32]byte {
	return draw(domainWindow, [][]byte{beacon[:]}, miner, deadline)
}

// OrderTie breaks ties between orders of one price and height:
// SHA-256(B(Matchable) || owner's address bytes).
func OrderTie(beacon [32]byte, owner chain.Address) [32]byte {
	return draw("", [][]byte{beacon[:], owner.Bytes()})
}

// Draw is one use of the beacon: what is drawn, and from when to when nobody
// can act on the outcome.
type Draw struct {
	Name   string
	Domain string // of the hash; empty: none
	Input  string // the last block that can change what the draw is about
	Beacon string // the height whose value draws
	Gap    uint64 // heights between them, at least; 0: nothing is gained by knowing the value
}

// Draws lists every use of the beacon under these parameters. SPEC.md shows it;
// [Params.Validate] keeps each gap at DrawGap or more.
func (p *Params) Draws() []Draw {
	return []Draw{
		{"contributor to h", domainContributor, "border that decides the votes of h-1, at the latest h-1-voteDelay", "h-2", voteDelay - 1},
		{"seal ticket", domainTicket, "none: a miner may take any of the last TicketAge", "ticketHeight", 0},
		{"seal seed", domainSeed, "pre-commit", "pre-commit + SeedDelay", p.SeedDelay},
		{"window challenges", domainWindow, "last block whose sectors, declarations and recoveries count for the window, FaultCutoff + 1 before it opens",
			"opening - ChallengeLookback", p.FaultCutoff + 1 - p.ChallengeLookback},
		{"tie between orders", "", "order placed", "order placed + MatchDelay", p.MatchDelay},
	}
}
