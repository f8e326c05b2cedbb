package consensus

import (
	"crypto/ed25519"

	"github.com/perdure/perdure/chain"
)

// domainVoteKey is the domain of proofs that a consensus key's holder registers it.
const domainVoteKey = "perdure/consensus-key/1"

// VoteKeyMessage is what a consensus key signs (ed25519) so that a miner with
// this owner and worker may register it:
//
//	"perdure/consensus-key/1" || u64BE(len(chain ID)) || chain ID || owner's address bytes || worker's
//
// Nobody who sees the signature can register the key for anybody else.
func VoteKeyMessage(chainID string, owner, worker chain.Address) []byte {
	b := []byte(domainVoteKey)
	for i := 7; i >= 0; i-- {
		b = append(b, byte(len(chainID)>>(8*i)))
	}
	b = append(append(b, chainID...), owner.Bytes()...)
	return append(b, worker.Bytes()...)
}

// voteKeyDelay is the heights from registering keys to the first border that
// may give them votes: whoever chooses a beacon key cannot foresee the values
// that will draw it.
func (p *Params) voteKeyDelay() uint64 { return 2 * p.VoteEpoch }

// claimVoteKey binds a miner's consensus key to it for good. A key that is the
// miner's already needs no proof again.
func (s *state) claimVoteKey(id chain.MinerID, k *chain.Keys) error {
	if len(k.ConsensusKey) == 0 {
		return nil
	}
	key, held := chain.VoteKeyKey(ConsensusAddress(k.ConsensusKey)), chain.VoteKey{}
	known := s.load(key, &held)
	switch {
	case known && held.Miner != id:
		return refuse(CodeFailed, "consensus key is registered already: each validator needs one of its own")
	case known && held.Guilty != 0:
		return refuse(CodeFailed, "consensus key has equivocated at height %d", held.Guilty)
	case known:
		return nil
	}
	if !ed25519.Verify(k.ConsensusKey, VoteKeyMessage(s.params.ChainID, k.Owner, k.Worker), k.ConsensusProof) {
		return refuse(CodeFailed, "consensus key: its proof of possession is not for this owner and worker")
	}
	s.store(key, &chain.VoteKey{Miner: id})
	return nil
}
