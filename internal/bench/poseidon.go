package bench

import (
	"context"
	"fmt"
	"runtime"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/perdure/perdure/porep/poseidon"
)

// multiplications are what a hash of an arity may take at most, and what we aim for, in the time of
// one multiplication of field elements.
var multiplications = map[int][2]float64{2: {520, 400}, 8: {1700, 1300}, 11: {2500, 2000}}

// Poseidon measures hashes one by one and in rows, on one core, beside a multiplication in the
// field by gnark-crypto.
func Poseidon(ctx context.Context, cfg Config) ([]Row, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var rows []Row
	for _, arity := range []int{2, 8, 11} {
		cfg.Log("Poseidon of arity %d", arity)
		times, err := together(ctx, cfg.Rounds, rowTask(arity), singleTask(arity), multiplication())
		if err != nil {
			return nil, err
		}
		for i, form := range []string{"in rows", "one by one"} {
			compared := figure(times[2])
			rows = append(rows,
				Row{Name: fmt.Sprintf("arity %d, %s", arity, form), Unit: "ns/hash", Figure: figure(times[i]),
					Reference: "fr.Element Mul", Compared: &compared},
				Row{Name: fmt.Sprintf("arity %d, %s (at most %.0f, aim %.0f)", arity, form, multiplications[arity][0], multiplications[arity][1]),
					Unit: "multiplications/hash", Figure: figure(quotients(times[i], times[2]))})
		}
	}
	return rows, nil
}

// rowTask hashes rows of a tree.
func rowTask(arity int) task {
	const parents = 64
	children, out := randomNodes(parents*arity), make([][32]byte, parents)
	return batches(parents, func() error { return poseidon.Tree{}.HashRow(arity, children, out) })
}

// singleTask hashes one group of children at a time.
func singleTask(arity int) task {
	children := randomNodes(arity)
	return each(func() error {
		_, err := poseidon.Hash(children)
		return err
	})
}

// multiplication multiplies field elements, each with the product before.
func multiplication() task {
	var x, y fr.Element
	x.SetUint64(3).Inverse(&x)
	y.SetUint64(5).Inverse(&y)
	return batches(1000, func() error {
		for range 1000 {
			x.Mul(&x, &y)
		}
		return nil
	})
}
