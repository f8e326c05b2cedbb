package chain

// Validator is a member of a vote set.
type Validator struct {
	PubKey    []byte  `cborgen:"maxlen=32"` // ed25519
	BeaconKey []byte  `cborgen:"maxlen=48"` // BLS12-381 G1, compressed; empty: never contributes
	Power     uint64  // votes
	Reward    Address // receives tips, is charged for skips; a storage validator's is its miner
	Miner     MinerID // 0: a genesis validator
}

// VoteSet is who votes from a height on, until the next set begins. Draws go
// through it in its order: members keep their places, newcomers follow.
type VoteSet struct {
	Validators []Validator `cborgen:"maxlen=256"`
}

// VoteKey says whose a consensus key is. The record stays for good: a key that
// was registered once is never anybody else's, and evidence finds its owner
// after the miner has changed to another.
type VoteKey struct {
	Miner  MinerID // 0: a genesis validator's
	Guilty Height  // block that brought evidence of equivocation by it; 0: none
}

// Candidate is a miner that votes may be given to, by its proven power. Those
// of all such miners are a binary heap with the most power at place 1; of equal
// power the lower ID is above.
type Candidate struct {
	Miner MinerID
	Power uint64 // proven bytes
	Place uint64 // in the heap, from 1
}

// VotersKey is the key of the vote set that votes from height h on; 0 is the
// record of the genesis validators with the votes that genesis gave them.
func VotersKey(h Height) Key { return dense(TableVoters, uint64(h)) }

// VoteKeyKey is the key of a consensus key's owner, by its consensus address.
func VoteKeyKey(address []byte) Key { return Key{TableVoteKey, string(address)} }

// CandidateKey is the key of the candidate at a place of the heap.
func CandidateKey(place uint64) Key { return owned(TableCandidate, 0, place) }

// CandidacyKey is the key of a miner's own candidate record.
func CandidacyKey(m MinerID) Key { return owned(TableCandidate, 1, m) }

// VotersAt returns the key of the set that votes at height h, which must lie
// in what VotersFrom covers: from Height to Height+2.
func (g *Global) VotersAt(h Height) Key {
	var from Height
	for _, f := range g.VotersFrom {
		if f <= h {
			from = f
		}
	}
	return VotersKey(from)
}
