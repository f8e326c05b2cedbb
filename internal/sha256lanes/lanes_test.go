package sha256lanes

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// naiveLabel hashes the message of a label as it is defined.
func naiveLabel(replicaID [NodeSize]byte, layer, node uint32, parents [][NodeSize]byte) [NodeSize]byte {
	message := binary.BigEndian.AppendUint32(replicaID[:], layer)
	message = binary.BigEndian.AppendUint64(message, uint64(node))
	message = append(message, make([]byte, 20)...)
	for i := 0; node > 0 && i < labelParents; i++ {
		message = append(message, parents[i%len(parents)][:]...)
	}
	label := sha256.Sum256(message)
	label[31] &= 0x3f
	return label
}

// TestLabels labels two layers of some sectors in step, in runs of random length.
func TestLabels(t *testing.T) {
	const nodes = 300
	random := rand.NewChaCha8([32]byte{2})
	draw := func(n int) uint32 { return uint32(random.Uint64() % uint64(n)) }
	for lanes := range 20 {
		previous, sectors := make([][][NodeSize]byte, lanes), make([]Lane, lanes)
		for i := range sectors {
			random.Read(sectors[i].ReplicaID[:])
		}
		for layer := uint32(1); layer <= 2; layer++ {
			for i := range sectors {
				previous[i], sectors[i].Current = sectors[i].Current, make([][NodeSize]byte, nodes)
			}
			for first := uint32(0); first < nodes; {
				run := Run{Layer: layer, First: first, Parents: make([][Parents]uint32, min(1+draw(40), nodes-first))}
				for i := range run.Parents {
					for j := range run.Parents[i] {
						switch node := first + uint32(i); {
						case j >= BaseParents:
							run.Parents[i][j] = draw(nodes)
						case j == 0 && node > 0:
							run.Parents[i][j] = node - 1
						case node > 0:
							run.Parents[i][j] = draw(int(node))
						}
					}
				}
				for i := range sectors {
					sectors[i].Expander = nil
					for _, parents := range run.Parents {
						for _, p := range parents[BaseParents:] {
							if layer > 1 {
								sectors[i].Expander = append(sectors[i].Expander, previous[i][p])
							}
						}
					}
				}
				Labels(&run, sectors)
				for i := range sectors {
					checkRun(t, &run, &sectors[i])
				}
				first += uint32(len(run.Parents))
			}
		}
	}
}

func checkRun(t *testing.T, run *Run, lane *Lane) {
	t.Helper()
	for i, parents := range run.Parents {
		node := run.First + uint32(i)
		var labels [][NodeSize]byte
		for _, p := range parents[:BaseParents] {
			labels = append(labels, lane.Current[p])
		}
		if run.Layer > 1 {
			labels = append(labels, lane.Expander[i*ExpanderParents:][:ExpanderParents]...)
		}
		if want := naiveLabel(lane.ReplicaID, run.Layer, node, labels); lane.Current[node] != want {
			t.Fatalf("layer %d, node %d: %x, want %x", run.Layer, node, lane.Current[node], want)
		}
	}
}
