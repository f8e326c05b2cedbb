package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/buyer"
)

// witness signs receipts for miners, with the key that pays. It implements
// buyer.Witness.
type witness struct {
	c    *Client
	from *sources
}

// Height implements buyer.Witness.
func (w witness) Height(ctx context.Context) (chain.Height, error) { return channels{w.c}.Height(ctx) }

// Sign implements buyer.Witness. The deal is one that the client knows of by itself,
// not one that the seller names.
func (w witness) Sign(ctx context.Context, b buyer.Brought) (*chain.SignedReceipt, error) {
	if ok, err := w.is(ctx, b.Peer, b.Miner); err != nil || !ok {
		return nil, err
	}
	p, err := w.c.cfg.Chain.Params(ctx)
	if err != nil {
		return nil, err
	}
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, err
	}
	r := &chain.SignedReceipt{Receipt: chain.Receipt{Version: chain.MessageVersion, ChainID: p.ChainID, Miner: b.Miner,
		Deal: w.from.deals[copyOf{b.Miner, b.Piece}], Buyer: w.c.cfg.Sender.Address(), Nonce: binary.BigEndian.Uint64(nonce[:]),
		Bytes: b.Bytes, From: b.From, To: b.To}}
	text, err := r.Receipt.SignBytes()
	if err != nil {
		return nil, err
	}
	r.Signature, err = w.c.cfg.Sender.Sign(text)
	return r, err
}

// is reports whether a peer is a miner's, as the chain has it.
func (w witness) is(ctx context.Context, peer string, id chain.MinerID) (bool, error) {
	if known, ok := w.from.miners[peer]; ok {
		return known == id, nil
	}
	var m chain.Miner
	ok, err := w.c.cfg.Chain.Record(ctx, chain.MinerKey(id), &m)
	return ok && string(m.Peer.ID) == peer, err
}

// copyOf names a miner's copy of a piece.
type copyOf struct {
	miner chain.MinerID
	piece cid.Cid
}
