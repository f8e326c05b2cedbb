package node

import (
	"math/rand/v2"
	"testing"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain/consensus"
)

// TestWindowsOutlastProposers lets the engine choose proposers among vote sets of
// many shapes, as large as each network allows, in which validators with less than
// a third of the votes leave a miner's proofs out of their blocks. However they
// share those votes, no run of their blocks takes three quarters of a window.
func TestWindowsOutlastProposers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, p := range []*consensus.Params{consensus.Devnet(), consensus.Testnet(), consensus.Mainnet()} {
		longest := 0
		for range 40 {
			longest = max(longest, longestRun(t, r, int(p.MaxValidators)))
		}
		if t.Logf("%s: at most %d of the %d blocks of a window in a row", p.Name, longest, p.Window); 4*uint64(longest) >= 3*p.Window {
			t.Errorf("%s: a third of the votes proposes %d blocks in a row, a window has %d", p.Name, longest, p.Window)
		}
	}
}

// longestRun is the longest run of proposers of a coalition with just under a
// third of the votes of a set of most validators.
func longestRun(t *testing.T, r *rand.Rand, most int) int {
	t.Helper()
	members := 1 + r.IntN(most-4)
	var all []*types.Validator
	bad := map[string]bool{}
	share := func(n int, votes int64, even bool) {
		left := votes
		for i := range n {
			power := left / int64(n-i)
			if !even && i < n-1 {
				power = 1 + r.Int64N(max(1, 2*power-1))
			}
			power = max(1, min(power, left-int64(n-i-1)))
			left -= power
			seed := make([]byte, 32)
			for j := range seed {
				seed[j] = byte(r.Uint32())
			}
			v := types.NewValidator(cmted25519.GenPrivKeyFromSecret(seed).PubKey(), power)
			bad[string(v.Address)] = votes == coalitionVotes
			all = append(all, v)
		}
	}
	even := r.IntN(2) == 0
	share(members, coalitionVotes, even)
	share(most-members, 2*coalitionVotes+1, even)
	set := types.NewValidatorSet(all)
	longest, run := 0, 0
	for range 20 * most {
		if run++; !bad[string(set.GetProposer().Address)] {
			run = 0
		}
		longest = max(longest, run)
		set.IncrementProposerPriority(1)
	}
	return longest
}

// coalitionVotes is just under a third of 3 x coalitionVotes + 1.
const coalitionVotes = 100_000
