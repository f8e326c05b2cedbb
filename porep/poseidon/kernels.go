package poseidon

import (
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Kernel is one way to compute hashes; all give the same results.
type Kernel struct {
	// Name says what of the processor it uses.
	Name string
	// Lanes is how many hashes are computed in step.
	Lanes int

	row     func(h *Hasher, children, parents [][32]byte) (int, error)
	columns func(h *Hasher, rows [][][32]byte, out [][32]byte) (int, error)
}

// Kernels returns the kernels that this processor can run, first the one that every method of Hasher
// but Sum uses.
func Kernels() []Kernel {
	kernels := []Kernel{{"portable", 1, (*Hasher).eachGroup, (*Hasher).eachColumn}}
	if hasEight {
		kernels = append([]Kernel{{"avx512-ifma", lanes, (*Hasher).eightGroups, (*Hasher).eightColumns}}, kernels...)
	}
	return kernels
}

// HashRow is [Hasher.HashRow] by this kernel.
func (k Kernel) HashRow(h *Hasher, children, parents [][32]byte) error {
	return h.hashRow(k.row, children, parents)
}

// HashColumns is [Hasher.HashColumns] by this kernel.
func (k Kernel) HashColumns(h *Hasher, rows [][][32]byte, out [][32]byte) error {
	return h.hashColumns(k.columns, rows, out)
}

// HashRow writes the parents of consecutive groups of as many children as the arity, which must be
// all children. Parents may be the front of children. An error names the first group of which a child
// is no field element; parents before it may have been written.
func (h *Hasher) HashRow(children, parents [][32]byte) error {
	if h.eight != nil {
		return h.hashRow((*Hasher).eightGroups, children, parents)
	}
	return h.hashRow((*Hasher).eachGroup, children, parents)
}

// HashColumns writes to out[i] the hash of the nodes i of all rows, which must be as many as the
// arity and each as long as out. Out may be one of the rows. An error names the first column of which
// a node is no field element; those before it may have been written.
func (h *Hasher) HashColumns(rows [][][32]byte, out [][32]byte) error {
	if h.eight != nil {
		return h.hashColumns((*Hasher).eightColumns, rows, out)
	}
	return h.hashColumns((*Hasher).eachColumn, rows, out)
}

func (h *Hasher) hashRow(hash func(*Hasher, [][32]byte, [][32]byte) (int, error), children, parents [][32]byte) error {
	if len(children) != h.arity*len(parents) {
		return fmt.Errorf("poseidon: %d nodes for %d parents of arity %d", len(children), len(parents), h.arity)
	}
	if group, err := hash(h, children, parents); err != nil {
		return fmt.Errorf("group %d: %w", group, err)
	}
	return nil
}

func (h *Hasher) hashColumns(hash func(*Hasher, [][][32]byte, [][32]byte) (int, error), rows [][][32]byte, out [][32]byte) error {
	if len(rows) != h.arity {
		return fmt.Errorf("poseidon: %d rows for arity %d", len(rows), h.arity)
	}
	for i := range rows {
		if len(rows[i]) != len(out) {
			return fmt.Errorf("poseidon: row %d: %d nodes for %d columns", i, len(rows[i]), len(out))
		}
	}
	if column, err := hash(h, rows, out); err != nil {
		return fmt.Errorf("column %d: %w", column, err)
	}
	return nil
}

// eachGroup hashes one group after the other. With an error comes the group.
func (h *Hasher) eachGroup(children, parents [][32]byte) (int, error) {
	for i := range parents {
		var err error
		if parents[i], err = h.hashGroup(children[i*h.arity:][:h.arity]); err != nil {
			return i, err
		}
	}
	return 0, nil
}

// eachColumn hashes one column after the other. With an error comes the column.
func (h *Hasher) eachColumn(rows [][][32]byte, out [][32]byte) (int, error) {
	for i := range out {
		column := gather(rows, i)
		var err error
		if out[i], err = h.hashGroup(column[:h.arity]); err != nil {
			return i, err
		}
	}
	return 0, nil
}

// gather returns the nodes i of all rows.
func gather(rows [][][32]byte, i int) (column [maxArity][32]byte) {
	for j := range rows {
		column[j] = rows[j][i]
	}
	return column
}

// hashGroup hashes as many nodes as the arity in the arithmetic of the library.
func (h *Hasher) hashGroup(children [][32]byte) ([32]byte, error) {
	var state [maxWidth]fr.Element
	state[0] = h.tag
	for i := range children {
		var err error
		if state[i+1], err = ElementFromNode(children[i]); err != nil {
			return [32]byte{}, fmt.Errorf("poseidon: node %d: %w", i, err)
		}
	}
	h.scaled.permute(&state)
	return NodeFromElement(&state[1]), nil
}

// lanes is how many hashes the machine code computes in step, and how many elements of one hash a
// vector of it holds.
const lanes = 8

// alone is how many groups at most are faster one by one, with the elements of each in the lanes, than
// in step, where fewer than eight take as long as eight.
func (h *Hasher) alone() int { return max(1, h.arity/4) }

// hashAlone hashes as many nodes as the arity in machine code.
func (h *Hasher) hashAlone(children [][32]byte) (out [32]byte, err error) {
	if !h.hashOne(&children[0], &out) {
		return out, check(children)
	}
	return out, nil
}

// eightGroups hashes eight groups at a time, the last of them fewer. With an error comes the group.
func (h *Hasher) eightGroups(children, parents [][32]byte) (int, error) {
	var in [maxArity]*[32]byte
	for first := 0; first < len(parents); first += lanes {
		out := parents[first:min(first+lanes, len(parents))]
		groups := children[first*h.arity:][:len(out)*h.arity]
		if len(out) <= h.alone() {
			for i := range out {
				var err error
				if out[i], err = h.hashAlone(groups[i*h.arity:][:h.arity]); err != nil {
					return first + i, err
				}
			}
			continue
		}
		for i := range h.arity {
			in[i] = &groups[i]
		}
		if h.hashEight(&in, h.arity, out) {
			continue
		}
		for i := range out {
			if err := check(groups[i*h.arity:][:h.arity]); err != nil {
				return first + i, err
			}
		}
	}
	return 0, nil
}

// eightColumns hashes eight columns at a time, the last of them fewer. With an error comes the
// column.
func (h *Hasher) eightColumns(rows [][][32]byte, out [][32]byte) (int, error) {
	var in [maxArity]*[32]byte
	for first := 0; first < len(out); first += lanes {
		part := out[first:min(first+lanes, len(out))]
		for i := range rows {
			in[i] = &rows[i][first:][:len(part)][0]
		}
		if h.hashEight(&in, 1, part) {
			continue
		}
		for i := range part {
			column := gather(rows, first+i)
			if err := check(column[:h.arity]); err != nil {
				return first + i, err
			}
		}
	}
	return 0, nil
}

// check returns an error for the first node that is no field element.
func check(nodes [][32]byte) error {
	for i := range nodes {
		if _, err := ElementFromNode(nodes[i]); err != nil {
			return fmt.Errorf("poseidon: node %d: %w", i, err)
		}
	}
	return nil
}
