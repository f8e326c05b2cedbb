package vanilla

import (
	"fmt"

	"github.com/perdure/perdure/post"
)

// Verify checks the proof of a statement that gives proof type, sector number, CommR, randomness
// and number of challenges as for [post.VerifySector]; CommC and CommRLast are those of the proof.
// The proof type is that of version V1_1 (ids 10 to 14); a proof made as V1 has the same challenges
// if its sector was the first of its partition, and no others.
//
// Beyond what [post.VerifySector] asks, all that the proof says about itself must be true: sector
// number, CommR, the roots of the openings and the places on their paths. If it is not, the error
// is ErrClaim.
func (w *Window) Verify(in post.SectorInput) error {
	tree, err := post.TreeOf(in.ProofType)
	if err != nil {
		return fmt.Errorf("verify vanilla proof: %w", err)
	}
	return w.VerifyIn(tree, in)
}

// VerifyIn is Verify for sectors of any tree, whatever the proof type of the statement.
func (w *Window) VerifyIn(tree post.Tree, in post.SectorInput) error {
	in.CommC, in.CommRLast = w.CommC, w.CommRLast
	if err := tree.VerifySector(in, w.Parts()); err != nil {
		return fmt.Errorf("verify vanilla proof: %w", err)
	}
	if err := w.claims(tree, in); err != nil {
		return fmt.Errorf("verify vanilla proof: %w", err)
	}
	return nil
}

// Parts returns the openings in the form that [post.VerifySector] takes.
func (w *Window) Parts() []post.Opening {
	openings := make([]post.Opening, len(w.Openings))
	for i, o := range w.Openings {
		openings[i].Leaf = o.Leaf
		for _, path := range o.Paths {
			for _, level := range path {
				openings[i].Path = append(openings[i].Path, level.Siblings)
			}
		}
	}
	return openings
}

// claims checks what a proof that holds says and a verifier needs no word of.
func (w *Window) claims(tree post.Tree, in post.SectorInput) error {
	if w.Sector != in.SectorNumber {
		return fmt.Errorf("sector %d, want %d: %w", w.Sector, in.SectorNumber, ErrClaim)
	}
	if w.CommR != in.CommR {
		return fmt.Errorf("CommR %x, want %x: %w", w.CommR, in.CommR, ErrClaim)
	}
	paths := 1
	for _, arity := range []int{tree.Shape.Sub, tree.Shape.Top} {
		paths += min(arity, 1)
	}
	leaves := post.Leaves(in.Randomness, in.SectorNumber, tree.Nodes, len(w.Openings))
	for i, o := range w.Openings {
		if o.Root != w.CommRLast {
			return fmt.Errorf("opening %d: root %x, want %x: %w", i, o.Root, w.CommRLast, ErrClaim)
		}
		if len(o.Paths) != paths || (paths > 1 && len(o.Paths[1]) != 1) || (paths > 2 && len(o.Paths[2]) != 1) {
			return fmt.Errorf("opening %d: the levels are not cut into base, sub and top: %w", i, ErrClaim)
		}
		if leaf := o.index(); leaf != leaves[i] {
			return fmt.Errorf("opening %d: places of leaf %d, want leaf %d: %w", i, leaf, leaves[i], ErrClaim)
		}
	}
	return nil
}

// index is the leaf that the places on the paths of an opening lead to.
func (o *Opening) index() uint64 {
	index, width := uint64(0), uint64(1)
	for _, path := range o.Paths {
		for _, level := range path {
			index += level.Place * width
			width *= uint64(len(level.Siblings)) + 1
		}
	}
	return index
}
