package light

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
)

// batch is how many Updates are verified together at most: the last by votes
// and witnesses, those before it by the hashes that link their headers.
const batch = 64

// proven is an Update on its way to be verified.
type proven struct {
	update *consensus.Update
	bundle *proof.Bundle
	header *types.LightBlock
}

// errRead ends a feed that has given all it was opened for.
var errRead = errors.New("read")

// Update returns the proven Update of a height. It waits for the header after it.
func (n *Node) Update(ctx context.Context, h chain.Height) (*consensus.Update, error) {
	var found *consensus.Update
	err := n.follow(ctx, h, 1, func(u *consensus.Update) error {
		found = u
		return errRead
	})
	if errors.Is(err, errRead) {
		return found, nil
	}
	return nil, err
}

// retry is the pause after a header that no witness had.
const retry = time.Second

// Follow implements deals.Chain: it calls each with every Update from a height
// on, proven, in order and without gap, until ctx ends or each fails.
func (n *Node) Follow(ctx context.Context, from chain.Height, each func(*consensus.Update) error) error {
	return n.follow(ctx, from, batch, each)
}

func (n *Node) follow(ctx context.Context, from chain.Height, most int, each func(*consensus.Update) error) error {
	for {
		var failed error
		var ready []proven
		err := n.node.FollowProven(ctx, from, func(u *consensus.Update, b *proof.Bundle, more bool) error {
			header, err := onlyHeader(b, chain.GlobalKey())
			if err != nil {
				return n.lies(err)
			}
			ready = append(ready, proven{u, b, header})
			if more && len(ready) < most {
				return nil
			}
			if err := n.verifyUpdates(ctx, ready); err != nil {
				return err
			}
			for _, p := range ready {
				if failed = each(p.update); failed != nil {
					return failed
				}
				from++
			}
			ready = ready[:0]
			return nil
		})
		var wait *later
		if failed != nil || ctx.Err() != nil || !errors.As(err, &wait) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retry):
		}
	}
}

// verifyUpdates verifies Updates of heights that follow each other.
func (n *Node) verifyUpdates(ctx context.Context, all []proven) error {
	last := all[len(all)-1]
	s, err := n.shown(ctx, last.bundle, last.header)
	if err != nil {
		return err
	}
	for i := len(all) - 1; ; i-- {
		p := all[i]
		if i < len(all)-1 {
			if err := linked(p.header, all[i+1].header); err != nil {
				return n.lies(err)
			}
			if s, err = show(p.bundle, p.header); err != nil {
				return n.lies(err)
			}
		}
		if err := checkUpdate(p.update, s); err != nil {
			return n.lies(err)
		}
		if i == 0 {
			return nil
		}
	}
}

// linked checks a header by the hash of it in the next one, which is verified.
func linked(h, next *types.LightBlock) error {
	if found := h.Hash(); h.Height+1 != next.Height || !bytes.Equal(found, next.LastBlockID.Hash) {
		return &Lie{What: fmt.Sprintf("header of height %d", h.Height), Expected: "hash " + hashText(next.LastBlockID.Hash), Found: "hash " + hashText(found)}
	}
	return nil
}

// checkUpdate checks that a state was made by an Update.
func checkUpdate(u *consensus.Update, s *Shown) error {
	what := fmt.Sprintf("update of height %d", u.Height)
	if u.Height != s.Height {
		return &Lie{What: what, Expected: fmt.Sprintf("a proof of height %d", u.Height), Found: fmt.Sprintf("height %d", s.Height)}
	}
	hash, err := u.Hash()
	if err != nil {
		return fmt.Errorf("hash %s: %w", what, err)
	}
	if hash != s.root.UpdateHash {
		return &Lie{What: what, Expected: fmt.Sprintf("hash %x", s.root.UpdateHash), Found: fmt.Sprintf("hash %x", hash)}
	}
	return nil
}
