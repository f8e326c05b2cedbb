package gateway

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"
)

// Union is several Sources as one: what any of them gives out is given out.
type Union []Source

// Ready implements Source.
func (u Union) Ready() error {
	for _, s := range u {
		if err := s.Ready(); err != nil {
			return err
		}
	}
	return nil
}

// Status implements Source by the best of all.
func (u Union) Status(ctx context.Context, root cid.Cid) (Status, error) {
	var best Status
	for _, s := range u {
		status, err := s.Status(ctx, root)
		if err != nil {
			return best, err
		}
		if better(status.State, best.State) {
			best = status
		}
	}
	return best, nil
}

// first returns what the first source gives that has it.
func first[T any](u Union, get func(Source) (T, error)) (T, error) {
	for _, s := range u {
		got, err := get(s)
		if !errors.Is(err, ErrNotFound) {
			return got, err
		}
	}
	var none T
	return none, ErrNotFound
}

// Block implements Source.
func (u Union) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	return first(u, func(s Source) ([]byte, error) { return s.Block(ctx, c) })
}

// BlockSize implements Source.
func (u Union) BlockSize(ctx context.Context, c cid.Cid) (int, error) {
	return first(u, func(s Source) (int, error) { return s.BlockSize(ctx, c) })
}

// Piece implements Source.
func (u Union) Piece(ctx context.Context, c cid.Cid) (Piece, error) {
	return first(u, func(s Source) (Piece, error) { return s.Piece(ctx, c) })
}

// Providers implements Source by all of them.
func (u Union) Providers(ctx context.Context, root cid.Cid) ([]Provider, error) {
	var out []Provider
	for _, s := range u {
		found, err := s.Providers(ctx, root)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}
