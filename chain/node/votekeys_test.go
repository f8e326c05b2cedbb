package node

import (
	"crypto/ed25519"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestVoteKeys: a node proves its keys for one owner and worker of one chain.
func TestVoteKeys(t *testing.T) {
	home := t.TempDir()
	if _, err := Init(home); err != nil {
		t.Fatal(err)
	}
	var who [2]chain.Address
	for i := range who {
		key := make([]byte, chain.PrivateKeySize)
		key[0] = byte(i + 1)
		var err error
		if who[i], err = chain.AddressOfKey(key); err != nil {
			t.Fatal(err)
		}
	}
	k := &chain.Keys{Owner: who[0], Worker: who[1], Beneficiary: who[0]}
	if err := VoteKeys(home, "try-1", k); err != nil {
		t.Fatal(err)
	}
	if err := consensus.VerifyBeaconKey(k.BeaconKey, k.BeaconProof); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		chain         string
		owner, worker chain.Address
		valid         bool
	}{{"try-1", who[0], who[1], true}, {"try-2", who[0], who[1], false}, {"try-1", who[1], who[0], false}, {"try-1", who[1], who[1], false}} {
		if ed25519.Verify(k.ConsensusKey, consensus.VoteKeyMessage(c.chain, c.owner, c.worker), k.ConsensusProof) != c.valid {
			t.Errorf("the proof is good for chain %s, owner %s, worker %s: want %v", c.chain, c.owner, c.worker, c.valid)
		}
	}
}
