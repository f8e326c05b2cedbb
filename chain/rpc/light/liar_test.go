package light

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/chain/wallet"
)

// liar is a node's backend with lies put in; nil ones leave the truth.
type liar struct {
	rpc.Backend
	prove  func(b *proof.Bundle)
	header func(h chain.Height, raw []byte) []byte
	block  func(raw []byte) []byte
	update func(u *consensus.Update)
	await  func(in *wallet.Inclusion)
}

func (l *liar) Prove(ctx context.Context, k chain.Key, at chain.Height) (*proof.Bundle, error) {
	b, err := l.Backend.Prove(ctx, k, at)
	if err == nil && l.prove != nil {
		l.prove(b)
	}
	return b, err
}

func (l *liar) Header(ctx context.Context, h chain.Height) ([]byte, error) {
	raw, err := l.Backend.Header(ctx, h)
	if err == nil && l.header != nil {
		raw = l.header(h, raw)
	}
	return raw, err
}

func (l *liar) StateBlock(c cid.Cid) ([]byte, error) {
	raw, err := l.Backend.StateBlock(c)
	if err == nil && l.block != nil {
		raw = l.block(raw)
	}
	return raw, err
}

func (l *liar) Updates(ctx context.Context, from chain.Height, each func([]byte) error) error {
	return l.Backend.Updates(ctx, from, func(raw []byte) error {
		if l.update != nil {
			u := new(consensus.Update)
			if err := chain.Decode(raw, u); err != nil {
				return err
			}
			l.update(u)
			var err error
			if raw, err = chain.Encode(u); err != nil {
				return err
			}
		}
		return each(raw)
	})
}

func (l *liar) Await(ctx context.Context, hash chain.Hash) (*wallet.Inclusion, error) {
	in, err := l.Backend.Await(ctx, hash)
	if err == nil && l.await != nil {
		l.await(in)
	}
	return in, err
}

// silent is a node's backend that does not show the headers after the first.
type silent struct {
	rpc.Backend
	err   error
	asked func() // for such a header; may be nil
}

func (s *silent) Header(ctx context.Context, h chain.Height) ([]byte, error) {
	if h > 1 {
		if s.asked != nil {
			s.asked()
		}
		return nil, s.err
	}
	return s.Backend.Header(ctx, h)
}
