package poseidon

import (
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Kernel is one way to compute hashes; all give the same results.
type Kernel struct {
	// Name says what of the processor it uses.
	Name string
	// Lanes is how many hashes it computes in step.
	Lanes int
}

// eightLanes is how many hashes the kernel in machine code computes in step.
const eightLanes = 8

var (
	portable = Kernel{"portable", 1}
	eight    = Kernel{"avx512-ifma", eightLanes}
)

// Kernels returns the kernels that this processor can run, first the one that every method of Hasher
// but Sum uses.
func Kernels() []Kernel {
	if hasEight {
		return []Kernel{eight, portable}
	}
	return []Kernel{portable}
}

// HashRow writes the parents of consecutive groups of as many children as the arity, which must be
// all children. Parents may be the front of children. An error names the first group of which a child
// is no field element; parents before it may have been written.
func (h *Hasher) HashRow(children, parents [][32]byte) error {
	return h.kernel.HashRow(h, children, parents)
}

// Columns writes to out[i] the hash of the nodes i of all rows, which must be as many as the arity
// and each as long as out. Out may be one of the rows. An error names the first column of which a
// node is no field element; those before it may have been written.
func (h *Hasher) Columns(out [][32]byte, rows [][][32]byte) error {
	return h.kernel.Columns(h, out, rows)
}

// HashRow is [Hasher.HashRow] by this kernel.
func (k Kernel) HashRow(h *Hasher, children, parents [][32]byte) error {
	if len(children) != h.arity*len(parents) {
		return fmt.Errorf("poseidon: %d nodes for %d parents of arity %d", len(children), len(parents), h.arity)
	}
	if len(parents) == 0 {
		return nil
	}
	var in groups
	for i := range h.arity {
		in[i] = children[i:]
	}
	if group, node, ok := k.run(h, &in, h.arity, parents); !ok {
		return fmt.Errorf("poseidon: group %d: node %d: %w", group, node, ErrNotElement)
	}
	return nil
}

// Columns is [Hasher.Columns] by this kernel.
func (k Kernel) Columns(h *Hasher, out [][32]byte, rows [][][32]byte) error {
	if len(rows) != h.arity {
		return fmt.Errorf("poseidon: %d rows for arity %d", len(rows), h.arity)
	}
	var in groups
	for i := range rows {
		if len(rows[i]) != len(out) {
			return fmt.Errorf("poseidon: row %d: %d nodes for %d columns", i, len(rows[i]), len(out))
		}
		in[i] = rows[i]
	}
	if column, row, ok := k.run(h, &in, 1, out); !ok {
		return fmt.Errorf("poseidon: column %d: row %d: %w", column, row, ErrNotElement)
	}
	return nil
}

// groups are nodes to hash: node i of group g is groups[i][g*step], for a step that goes with them.
type groups [maxArity][][32]byte

// run hashes as many groups as out has room for. If a node is no field element, it returns the first.
// The last groups, fewer than lanes, cost as much as lanes of them, which is less than hashing even
// one by the portable kernel.
func (k Kernel) run(h *Hasher, in *groups, step int, out [][32]byte) (group, node int, ok bool) {
	for first := 0; first < len(out); first += k.Lanes {
		var part groups
		hashes := out[first:min(first+k.Lanes, len(out))]
		for i := range h.arity {
			part[i] = in[i][first*step : (first+len(hashes)-1)*step+1]
		}
		if !k.hash(h, &part, step, hashes) {
			group, node = h.refused(&part, step, len(hashes))
			return first + group, node, false
		}
	}
	return 0, 0, true
}

// hash hashes at most as many groups as the kernel has lanes. It returns false, and has written
// nothing, if a node is no field element.
func (k Kernel) hash(h *Hasher, in *groups, step int, out [][32]byte) bool {
	if k.Lanes == eightLanes {
		return h.hashEight(in, step, out)
	}
	return h.hashOne(in, out)
}

// hashOne is the portable kernel.
func (h *Hasher) hashOne(in *groups, out [][32]byte) bool {
	var state [maxWidth]fr.Element
	state[0] = h.tag
	for i := range h.arity {
		var err error
		if state[i+1], err = ElementFromNode(in[i][0]); err != nil {
			return false
		}
	}
	h.permute(&state)
	out[0] = NodeFromElement(&state[1])
	return true
}

// refused finds the first node of the first group that has one that is no field element.
func (h *Hasher) refused(in *groups, step, count int) (group, node int) {
	for group = range count {
		for node = range h.arity {
			if _, err := ElementFromNode(in[node][group*step]); err != nil {
				return group, node
			}
		}
	}
	panic("poseidon: the kernel refuses field elements")
}
