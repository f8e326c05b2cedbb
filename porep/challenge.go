package porep

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// MaxPartChallenges is the largest number of challenges of one proof: a sector
// that answers more sends its proof in parts.
const MaxPartChallenges = 18

// Challenges returns the nodes that challenges first to first+count-1 of a
// sector name, drawn from the seed. They are numbered through all parts, lie in
// 1..nodes-1 and may repeat. It fails if a number does not fit 32 bits or the
// sector has fewer than two nodes.
func Challenges(replicaID, seed [32]byte, nodes uint64, first, count int) ([]uint64, error) {
	if first < 0 || count < 0 || uint64(first)+uint64(count) > math.MaxUint32 {
		return nil, fmt.Errorf("draw challenges: %d challenges from %d: out of range", count, first)
	}
	if nodes < 2 {
		return nil, fmt.Errorf("draw challenges: a sector of %d nodes has none to name", nodes)
	}
	var in [32 + 32 + 4]byte
	copy(in[:], replicaID[:])
	copy(in[32:], seed[:])
	out := make([]uint64, count)
	for i := range out {
		binary.LittleEndian.PutUint32(in[64:], uint32(first+i))
		digest := sha256.Sum256(in[:])
		x := load(&digest)
		var rest uint64
		for limb := len(x) - 1; limb >= 0; limb-- {
			rest = bits.Rem64(rest, x[limb], nodes-1)
		}
		out[i] = rest + 1
	}
	return out, nil
}
