package light

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/internal/lifecycle"
)

// Pins is the file of the headers that are trusted because they were seen first,
// one a chain, with the newest one of each chain that was verified since. Whoever
// lied at the first use can go on to lie; whoever did not cannot begin to.
type Pins struct{ File string }

// Pinned says under which trust a proof was checked.
type Pinned struct {
	Trust Trust // the first header of the chain that was ever seen
	First bool  // this one: nobody vouches for it
}

// pinsFile is what Pins writes.
type pinsFile struct {
	Version int                `json:"version"`
	Chains  map[string]trusted `json:"chains"` // by chain ID
}

// Check verifies a bundle with one header against what is pinned of its chain.
// Headers on the way are asked of the node, which may lie. The first bundle of a
// chain is believed, and pinned, if its validators signed it.
func (p Pins) Check(ctx context.Context, node *rpc.Client, b *proof.Bundle, now time.Time) (*Shown, *Pinned, error) {
	headers, err := decodeHeaders(b)
	if err != nil {
		return nil, nil, err
	}
	last := headers[len(headers)-1]
	known, err := p.load(last.ChainID)
	if err != nil {
		return nil, nil, err
	}
	if known == nil {
		s, err := p.first(ctx, node, b, last)
		if err != nil {
			return nil, nil, from(node.Base(), err)
		}
		return s, &Pinned{s.Header, true}, nil
	}
	s, err := p.further(ctx, node, b, known, last, now)
	if err != nil {
		return nil, nil, from(node.Base(), err)
	}
	return s, &Pinned{Trust: known.trust}, nil
}

// first pins the header of a chain of which nothing is known.
func (p Pins) first(ctx context.Context, node *rpc.Client, b *proof.Bundle, last *types.LightBlock) (*Shown, error) {
	if err := checkVotes(last); err != nil {
		return nil, err
	}
	s, err := show(b, last)
	if err != nil {
		return nil, err
	}
	return s, p.remember(ctx, node, &remembered{trust: s.Header, header: last}, s)
}

// further verifies a header by those that are known.
func (p Pins) further(ctx context.Context, node *rpc.Client, b *proof.Bundle, known *remembered, last *types.LightBlock, now time.Time) (*Shown, error) {
	switch {
	case last.Height < int64(known.trust.Height):
		return nil, fmt.Errorf("the proof stands under the header of height %d, older than that of height %d, which was trusted at first use (%s): "+
			"trust an older one with --trust HEIGHT:HASH", last.Height, known.trust.Height, p.File)
	case last.Height == known.header.Height:
		if err := checkHash(last, Trust{chain.Height(last.Height), known.header.Hash()}); err != nil {
			return nil, err
		}
		if err := checkVotes(last); err != nil {
			return nil, err
		}
		return show(b, last)
	case last.Height < known.header.Height:
		if err := Extend(ctx, node, b, known.trust, now); err != nil {
			return nil, err
		}
		return Check(b, known.trust, now)
	}
	if _, err := way(ctx, node, known.header, last, Period(known.params), now); err != nil {
		return nil, fmt.Errorf("from the header of %s: %w", p.File, err)
	}
	s, err := show(b, last)
	if err != nil {
		return nil, err
	}
	return s, p.remember(ctx, node, &remembered{trust: known.trust, header: last}, s)
}

// remember writes down a header with the parameters below it.
func (p Pins) remember(ctx context.Context, node *rpc.Client, r *remembered, s *Shown) error {
	raw, err := node.Block(ctx, s.root.Params)
	if err != nil {
		return fmt.Errorf("read the parameters of height %d: %w", s.Height, err)
	}
	if r.params, err = paramsOf(s.root, raw); err != nil {
		return err
	}
	entry, err := r.entry()
	if err != nil {
		return err
	}
	all, err := p.read()
	if err != nil {
		return err
	}
	all.Chains[r.header.ChainID] = *entry
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return lifecycle.WriteFile(p.File, append(text, '\n'), 0o600)
}

// load returns what is known of a chain; nil: nothing.
func (p Pins) load(chainID string) (*remembered, error) {
	all, err := p.read()
	if err != nil {
		return nil, err
	}
	t, known := all.Chains[chainID]
	if !known {
		return nil, nil
	}
	r, err := t.remembered()
	if err != nil {
		return nil, fmt.Errorf("pinned header of %s in %s: %w (remove it to trust anew)", chainID, p.File, err)
	}
	return r, nil
}

func (p Pins) read() (*pinsFile, error) {
	out := &pinsFile{Version: trustedVersion, Chains: map[string]trusted{}}
	raw, err := os.ReadFile(p.File)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, out)
	}
	if err != nil {
		return nil, fmt.Errorf("read pinned headers %s: %w (remove the file to trust anew)", p.File, err)
	}
	if out.Version != trustedVersion {
		return nil, fmt.Errorf("read pinned headers %s: version %d, want %d (remove the file to trust anew)", p.File, out.Version, trustedVersion)
	}
	return out, nil
}
