package state

import (
	"bytes"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state/proof"
)

// kind says which links a block has.
type kind byte

const (
	kindRoot   kind = iota // params, Update, tables
	kindPlain              // none
	kindUpdate             // none; it is no block of the tree
	kindHAMT               // HAMT nodes
	kindAMT                // those of the top node, which stands in it
	kindNode               // AMT nodes, or the AMTs of owners
)

// branch is a link of the tree and what it leads to.
type branch struct {
	link   cid.Cid
	kind   kind
	owned  bool   // of kindAMT and kindNode: the values are links to AMTs
	height uint64 // of kindNode: above its leaves
}

// branches returns the links of a block, in their order.
func (b branch) branches(block []byte) ([]branch, error) {
	var out []branch
	var err error
	switch b.kind {
	case kindRoot:
		out, err = rootBranches(block)
	case kindHAMT:
		var links [proof.HAMTWidth]cid.Cid
		links, err = proof.HAMTLinks(block)
		for _, l := range links {
			if l.Defined() {
				out = append(out, branch{link: l, kind: kindHAMT})
			}
		}
	case kindAMT, kindNode:
		var n *amtNode
		if b.kind == kindAMT {
			n, err = readAMTRoot(block, b.owned)
		} else {
			n, err = readAMTNode(block, b.height, b.owned)
		}
		if err == nil {
			out = n.branches(b.owned)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("decode block %s: %w", b.link, err)
	}
	return out, nil
}

// rootBranches are what hangs under a root: the parameters, the Update that
// made it without the texts for people, and the tables.
func rootBranches(block []byte) ([]branch, error) {
	r := new(proof.Root)
	if err := r.UnmarshalCBOR(bytes.NewReader(block)); err != nil {
		return nil, err
	}
	out := []branch{{link: r.Params, kind: kindPlain}, {link: proof.LinkOfDigest(r.UpdateHash), kind: kindUpdate}}
	for t, top := range r.Tables {
		if !top.Defined() {
			continue
		}
		shape := chain.Table(t).Shape()
		b := branch{link: top, kind: kindAMT, owned: shape == chain.ShapeOwned}
		if shape == chain.ShapeBytes {
			b = branch{link: top, kind: kindHAMT}
		}
		out = append(out, b)
	}
	return out, nil
}

func (n *amtNode) branches(owned bool) []branch {
	var out []branch
	for _, l := range n.links {
		switch {
		case !l.Defined():
		case n.height > 0:
			out = append(out, branch{link: l, kind: kindNode, owned: owned, height: n.height - 1})
		default:
			out = append(out, branch{link: l, kind: kindAMT})
		}
	}
	return out
}

// walk is a tree unfolded, from the root down and from left to right: what is
// still to come, the next last.
type walk []branch

// from begins a walk at a root.
func from(root cid.Cid) walk { return walk{{link: root, kind: kindRoot}} }

// step takes the block of the next branch and goes on with what hangs there.
func (w *walk) step(block []byte) error {
	last := len(*w) - 1
	below, err := (*w)[last].branches(block)
	if err != nil {
		return err
	}
	*w = (*w)[:last]
	for i := len(below) - 1; i >= 0; i-- {
		*w = append(*w, below[i])
	}
	return nil
}

// next is the branch whose block comes next; it reports false at the end.
func (w walk) next() (branch, bool) {
	if len(w) == 0 {
		return branch{}, false
	}
	return w[len(w)-1], true
}
