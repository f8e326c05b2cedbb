package poseidon

import (
	"slices"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// sparseForm returns the matrices that other implementations multiply by in partial rounds, from the
// last to the first in use: as factor splits them, and the matrix of the round before the first of
// them. Nothing here uses them, but files of them, with round constants as compress makes them, are
// known.
//
// M = diag(1, m)·S with S different from the identity only in its first row and column. diag(1, m)
// leaves the first element alone, so it commutes with the S-box of a partial round and joins the
// previous round's matrix, which is split in its turn.
func sparseForm(mds matrix, partial int) (sparse []fr.Element, before matrix) {
	before = mds
	split := make([][]fr.Element, partial)
	for r := partial - 1; r >= 0; r-- {
		split[r], before = factor(before, mds)
	}
	return slices.Concat(split...), before
}

// factor splits m into diag(1, m')·S. It returns S as its first column and the tail of its first
// row, and the matrix of the round before: mds·diag(1, m').
func factor(m, mds matrix) (sparse []fr.Element, before matrix) {
	t := len(m)
	inner := make(matrix, t-1)
	tail := make([]fr.Element, t-1)
	for i := range inner {
		inner[i] = slices.Clone(m[i+1][1:])
		tail[i] = m[i+1][0]
	}
	sparse = append(sparse, m[0][0])
	sparse = append(sparse, inner.solve(tail)...)
	sparse = append(sparse, m[0][1:]...)

	before = make(matrix, t)
	for i := range before {
		before[i] = append(before[i], mds[i][0])
		before[i] = append(before[i], inner.left(mds[i][1:])...)
	}
	return sparse, before
}
