package state

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/ipfs/go-cid"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state/proof"
)

// differ counts by how much the number of places of each block changes from
// one tree to another. It reads both only where they differ.
type differ struct {
	blocks proof.Blocks
	delta  map[cid.Cid]int
}

// count books one place less for old and one more for now, and reports
// whether there is anything to look into.
func (d *differ) count(old, now cid.Cid) bool {
	if old == now {
		return false
	}
	if old.Defined() {
		d.delta[old]--
	}
	if now.Defined() {
		d.delta[now]++
	}
	return true
}

// roots compares two root records; a nil one stands for no tree.
func (d *differ) roots(oldCID, nowCID cid.Cid, old, now *proof.Root) error {
	if !d.count(oldCID, nowCID) {
		return nil
	}
	none := &proof.Root{}
	if old == nil {
		old = none
	}
	if now == nil {
		now = none
	}
	d.count(old.Params, now.Params)
	for t := range old.Tables {
		table := chain.Table(t)
		var err error
		switch table.Shape() {
		case chain.ShapeBytes:
			err = d.hamt(old.Tables[t], now.Tables[t])
		case chain.ShapeDense, chain.ShapeOwned:
			err = d.amt(old.Tables[t], now.Tables[t], table.Shape() == chain.ShapeOwned)
		}
		if err != nil {
			return fmt.Errorf("compare table %s: %w", table, err)
		}
	}
	return nil
}

// hamt compares two HAMT nodes, place by place.
func (d *differ) hamt(old, now cid.Cid) error {
	if !d.count(old, now) {
		return nil
	}
	o, err := d.hamtLinks(old)
	if err != nil {
		return err
	}
	n, err := d.hamtLinks(now)
	if err != nil {
		return err
	}
	for i := range o {
		if err := d.hamt(o[i], n[i]); err != nil {
			return err
		}
	}
	return nil
}

// hamtLinks returns a node's links by place.
func (d *differ) hamtLinks(c cid.Cid) (links [proof.HAMTWidth]cid.Cid, err error) {
	if !c.Defined() {
		return links, nil
	}
	b, err := d.blocks.Block(c)
	if err != nil {
		return links, err
	}
	if links, err = proof.HAMTLinks(b); err != nil {
		return links, fmt.Errorf("decode node %s: %w", c, err)
	}
	return links, nil
}

// amtWidth is the number of places in an AMT node.
const amtWidth = 8

// amtNode is an AMT node as the differ sees it: links to nodes, or, in a leaf
// of an outer AMT of owners, links to inner AMTs.
type amtNode struct {
	links  [amtWidth]cid.Cid
	height uint64 // 0: leaf
}

// amt compares two AMTs by their roots; owned ones hold links to further AMTs.
func (d *differ) amt(old, now cid.Cid, owned bool) error {
	if !d.count(old, now) {
		return nil
	}
	o, err := d.amtRoot(old, owned)
	if err != nil {
		return err
	}
	n, err := d.amtRoot(now, owned)
	if err != nil {
		return err
	}
	return d.amtNodes(o, n, owned)
}

// amtNodes compares two nodes that cover the same numbers, or of which the
// taller one has the other's numbers under its first place. nil is no node.
func (d *differ) amtNodes(o, n *amtNode, owned bool) error {
	if o == nil && n == nil {
		return nil
	}
	var height uint64
	for _, x := range []*amtNode{o, n} {
		if x != nil {
			height = max(height, x.height)
		}
	}
	from, to := raised{o, height}, raised{n, height}
	for i := range amtWidth {
		if err := d.amtPlace(from.at(i), to.at(i), height, owned); err != nil {
			return err
		}
	}
	return nil
}

// place is what hangs at one place of a node: a link, or, under a raised node,
// a node that has no block of its own there.
type place struct {
	link cid.Cid
	node *amtNode
}

// raised is a node seen from a greater height, where all it holds is under
// the first place.
type raised struct {
	node   *amtNode
	height uint64
}

func (r raised) at(i int) place {
	switch {
	case r.node == nil:
		return place{}
	case r.node.height == r.height:
		return place{link: r.node.links[i]}
	case i == 0:
		return place{node: r.node}
	}
	return place{}
}

func (d *differ) amtPlace(o, n place, height uint64, owned bool) error {
	if o.node == nil && n.node == nil {
		if height == 0 {
			if owned {
				return d.amt(o.link, n.link, false)
			}
			return nil
		}
	}
	if !d.count(o.link, n.link) && o.node == nil && n.node == nil {
		return nil
	}
	on, err := d.amtChild(o, height, owned)
	if err != nil {
		return err
	}
	nn, err := d.amtChild(n, height, owned)
	if err != nil {
		return err
	}
	return d.amtNodes(on, nn, owned)
}

func (d *differ) amtChild(p place, height uint64, owned bool) (*amtNode, error) {
	if p.node != nil || !p.link.Defined() {
		return p.node, nil
	}
	b, err := d.blocks.Block(p.link)
	if err != nil {
		return nil, err
	}
	n, err := readAMTNode(b, height-1, owned)
	if err != nil {
		return nil, fmt.Errorf("decode node %s: %w", p.link, err)
	}
	return n, nil
}

// readAMTNode reads a node below the top.
func readAMTNode(block []byte, height uint64, owned bool) (*amtNode, error) {
	n := &amtNode{height: height}
	return n, n.read(cbg.NewCborReader(bytes.NewReader(block)), owned)
}

func (d *differ) amtRoot(c cid.Cid, owned bool) (*amtNode, error) {
	if !c.Defined() {
		return nil, nil
	}
	b, err := d.blocks.Block(c)
	if err != nil {
		return nil, err
	}
	n, err := readAMTRoot(b, owned)
	if err != nil {
		return nil, fmt.Errorf("decode AMT %s: %w", c, err)
	}
	return n, nil
}

// readAMTRoot reads the tuple [bitWidth, height, count, node].
func readAMTRoot(block []byte, owned bool) (*amtNode, error) {
	r := cbg.NewCborReader(bytes.NewReader(block))
	n := &amtNode{}
	var skip uint64
	var err error
	for _, v := range []*uint64{&skip, &skip, &n.height, &skip} { // the tuple's head, then its numbers
		if _, *v, err = r.ReadHeader(); err != nil {
			return nil, err
		}
	}
	return n, n.read(r, owned)
}

// read reads the tuple [bitmap, [link], [value]]; values are links if owned.
func (n *amtNode) read(r *cbg.CborReader, owned bool) error {
	if _, _, err := r.ReadHeader(); err != nil {
		return err
	}
	bitmap, err := cbg.ReadByteArray(r, 1)
	if err != nil {
		return err
	}
	if len(bitmap) != 1 {
		return fmt.Errorf("bitmap of %d bytes", len(bitmap))
	}
	for _, wanted := range []bool{n.height > 0, n.height == 0 && owned} {
		_, count, err := r.ReadHeader()
		if err != nil {
			return err
		}
		if !wanted {
			if count > 0 {
				return nil // values of a leaf: nothing hangs under them
			}
			continue
		}
		if count != uint64(bits.OnesCount8(bitmap[0])) {
			return fmt.Errorf("%d links for bitmap %08b", count, bitmap[0])
		}
		for i := range n.links {
			if bitmap[0]>>i&1 == 0 {
				continue
			}
			if n.links[i], err = cbg.ReadCid(r); err != nil {
				return err
			}
		}
	}
	return nil
}
