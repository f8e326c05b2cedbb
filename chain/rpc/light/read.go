package light

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/chain/wallet"
)

var _ wallet.Node = (*Node)(nil)

// Show returns the proven record of a key in the newest state whose app hash
// stands in a header. It never goes back behind what it has shown before.
func (n *Node) Show(ctx context.Context, k chain.Key) (*Shown, error) {
	known, err := n.known(ctx)
	if err != nil {
		return nil, err
	}
	b, err := n.node.Prove(ctx, k, rpc.Newest)
	if err != nil {
		return nil, err
	}
	header, err := onlyHeader(b, k)
	if err != nil {
		return nil, n.lies(err)
	}
	if err := n.fresh(header, known); err != nil {
		return nil, err
	}
	return n.shown(ctx, b, header)
}

// known is the newest that is verified.
func (n *Node) known(ctx context.Context) (remembered, error) {
	if err := n.take(ctx); err != nil {
		return remembered{}, err
	}
	defer n.release()
	return n.know, nil
}

// fresh refuses a header that cannot be the newest, given what was known when
// the node was asked.
func (n *Node) fresh(h *types.LightBlock, known remembered) error {
	if newest := known.header.Height; h.Height < newest {
		return &Lie{n.Base(), "newest state", fmt.Sprintf("height %d or later, which was shown before", newest-1), fmt.Sprintf("height %d", h.Height-1)}
	}
	age, most := n.opts.Now().Sub(h.Time), n.maxAge(known.params)
	if age > most {
		return &Lie{n.Base(), "newest state", "a header that is not older than " + most.String(),
			fmt.Sprintf("height %d of %s, %s old: the node is behind, or the chain stands", h.Height, h.Time.UTC().Format(time.RFC3339), age.Round(time.Second))}
	}
	return nil
}

// shown verifies the header of a bundle and reads it, and keeps up with the
// network's parameters.
func (n *Node) shown(ctx context.Context, b *proof.Bundle, header *types.LightBlock) (*Shown, error) {
	if err := n.take(ctx); err != nil {
		return nil, err
	}
	defer n.release()
	if err := n.verify(ctx, header); err != nil {
		return nil, err
	}
	s, err := show(b, header)
	if err != nil {
		return nil, n.lies(err)
	}
	n.know.current = true
	if header.Height < n.know.header.Height || s.root.Params == n.link {
		return s, nil
	}
	raw, err := n.node.Block(ctx, s.root.Params)
	if err != nil {
		return nil, fmt.Errorf("read new parameters: %w", err)
	}
	p, err := paramsOf(s.root, raw)
	if err != nil {
		return nil, n.lies(err)
	}
	if Period(p) != Period(n.know.params) {
		if err := n.retrust(Period(p)); err != nil {
			return nil, fmt.Errorf("take over the trust period: %w", err)
		}
	}
	n.know.params, n.link = p, s.root.Params
	return s, nil
}

// Record implements deals.Chain: it reads the newest record of a key and
// reports whether there is one. Both are proven.
func (n *Node) Record(ctx context.Context, k chain.Key, into chain.CBOR) (bool, error) {
	s, err := n.Show(ctx, k)
	if err != nil || s.Record == nil {
		return false, err
	}
	return true, chain.Decode(s.Record, into)
}

// Global implements wallet.Node.
func (n *Node) Global(ctx context.Context) (*chain.Global, error) {
	g := new(chain.Global)
	ok, err := n.Record(ctx, chain.GlobalKey(), g)
	if err == nil && !ok {
		err = errors.New("the node has no state yet")
	}
	return g, err
}

// Account implements wallet.Node.
func (n *Node) Account(ctx context.Context, a chain.Address) (*chain.Account, error) {
	acc := new(chain.Account)
	_, err := n.Record(ctx, chain.AccountKey(a), acc)
	return acc, err
}

// Params implements wallet.Node: the parameters in force below the newest header
// that was verified.
func (n *Node) Params(ctx context.Context) (*consensus.Params, error) {
	known, err := n.known(ctx)
	if err != nil {
		return nil, err
	}
	if !known.current {
		if _, err := n.Show(ctx, chain.GlobalKey()); err != nil {
			return nil, err
		}
		if known, err = n.known(ctx); err != nil {
			return nil, err
		}
	}
	return known.params, nil
}

// Submit implements wallet.Node. A node may take a message and not pass it on.
func (n *Node) Submit(ctx context.Context, raw []byte) error { return n.node.Submit(ctx, raw) }

// JSON reads an answer of the node's explorer API, of which nothing is proven:
// a hint where to look.
func (n *Node) JSON(ctx context.Context, path string, v any) error { return n.node.JSON(ctx, path, v) }

// Await implements wallet.Node: the receipt stands in the Update of its block,
// which is proven. That a message has left the mempool is the node's word alone.
func (n *Node) Await(ctx context.Context, hash chain.Hash) (*wallet.Inclusion, error) {
	said, err := n.node.Await(ctx, hash)
	if err != nil {
		return said, err
	}
	u, err := n.Update(ctx, said.Height)
	if err != nil {
		return nil, fmt.Errorf("prove receipt of %s: %w", hash, err)
	}
	var found *consensus.Receipt
	for i := range u.Receipts {
		r := &u.Receipts[i]
		if r.Hash != [32]byte(hash) {
			continue
		}
		if found = r; sameReceipt(r, &said.Receipt) {
			return &wallet.Inclusion{Height: said.Height, Receipt: *r}, nil
		}
	}
	lie := &Lie{From: n.Base(), What: fmt.Sprintf("receipt of %s in block %d", hash, said.Height),
		Expected: "none in that block", Found: receiptText(&said.Receipt)}
	if found != nil {
		lie.Expected = receiptText(found)
	}
	return nil, lie
}

// sameReceipt compares receipts but for the text for people.
func sameReceipt(a, b *consensus.Receipt) bool {
	bare := *b
	bare.Error = a.Error
	return *a == bare
}

func receiptText(r *consensus.Receipt) string {
	return fmt.Sprintf("%s of %s with code %d, fee %s, id %d", r.Kind, chain.Hash(r.Hash), r.Code, r.Fee, r.ID)
}
