package light

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	cmtlight "github.com/cometbft/cometbft/light"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state/proof"
)

// Shown is what a bundle shows.
type Shown struct {
	ChainID string
	Key     chain.Key
	Record  []byte       // canonical encoding; nil: there is no such record
	Height  chain.Height // of the state; its app hash is in the header after it
	AppHash []byte
	Header  Trust     // the header after it, which is now as good as the trusted one
	Time    time.Time // of that header
	root    *proof.Root
}

// Root is the root record of the state.
func (s *Shown) Root() *proof.Root { return s.root }

// Check verifies a bundle offline against a header that the user trusts, at a
// time. The trusted header is the bundle's last, or its first with a way from
// there to the last: then it must not be older than the network's trust period.
func Check(b *proof.Bundle, trusted Trust, now time.Time) (*Shown, error) {
	headers, err := decodeHeaders(b)
	if err != nil {
		return nil, err
	}
	first, last := headers[0], headers[len(headers)-1]
	switch at := int64(trusted.Height); {
	case at == last.Height:
		if err := checkHash(last, trusted); err != nil {
			return nil, err
		}
		if err := checkVotes(last); err != nil {
			return nil, err
		}
	case at == first.Height:
		if err := checkHash(first, trusted); err != nil {
			return nil, err
		}
		if err := checkWay(b, headers, now); err != nil {
			return nil, err
		}
	case len(headers) == 1:
		return nil, fmt.Errorf("the proof stands under the header of height %d and has no way to it from the trusted one of height %d; "+
			"make one with perdure state proof --trust %s", last.Height, trusted.Height, trusted)
	default:
		return nil, fmt.Errorf("the proof leads from the header of height %d to that of %d, trusted is that of %d",
			first.Height, last.Height, trusted.Height)
	}
	return show(b, last)
}

// checkVotes verifies that two thirds of a header's own validators voted for it.
func checkVotes(h *types.LightBlock) error {
	if err := h.ValidatorSet.VerifyCommitLight(h.ChainID, h.Commit.BlockID, h.Height, h.Commit); err != nil {
		return &Lie{What: fmt.Sprintf("header of height %d", h.Height), Expected: "the votes of two thirds of its validators", Found: err.Error()}
	}
	return nil
}

// show reads what a bundle proves under its last header, which is verified.
func show(b *proof.Bundle, header *types.LightBlock) (*Shown, error) {
	root, record, err := proof.Open(b.Path, header.AppHash, b.Key())
	if err != nil {
		return nil, &Lie{What: fmt.Sprintf("record %s at height %d", chain.FormatPath(b.Key(), chain.Testnet), header.Height-1),
			Expected: fmt.Sprintf("a path from app hash %x", []byte(header.AppHash)), Found: err.Error()}
	}
	return &Shown{ChainID: header.ChainID, Key: b.Key(), Record: record, Height: chain.Height(header.Height - 1), AppHash: header.AppHash,
		Header: Trust{chain.Height(header.Height), header.Hash()}, Time: header.Time, root: root}, nil
}

// ShowUnder reads what a bundle shows under an app hash that the user trusts,
// whatever its headers say.
func ShowUnder(b *proof.Bundle, appHash []byte) (record []byte, err error) {
	return proof.Verify(b.Path, appHash, b.Key())
}

// checkWay verifies that each header of a bundle vouches for the next.
func checkWay(b *proof.Bundle, headers []*types.LightBlock, now time.Time) error {
	period, err := periodUnder(headers[0], b.Root, b.Params)
	if err != nil {
		return err
	}
	for i, to := range headers[1:] {
		if err := step(headers[i], to, period, now); err != nil {
			return stepError(headers[i], to, period, err)
		}
	}
	return nil
}

// periodUnder reads the trust period from the parameters below a header.
func periodUnder(header *types.LightBlock, root, params []byte) (time.Duration, error) {
	p, err := paramsUnder(header, root, params)
	if err != nil {
		return 0, err
	}
	return Period(p), nil
}

// paramsUnder checks that the parameters are those of a header's state.
func paramsUnder(header *types.LightBlock, root, params []byte) (*consensus.Params, error) {
	if found := proof.LinkOf(root).Bytes(); !bytes.Equal(found, header.AppHash) {
		return nil, &Lie{What: fmt.Sprintf("state root of height %d", header.Height-1),
			Expected: fmt.Sprintf("app hash %x", []byte(header.AppHash)), Found: fmt.Sprintf("%x", found)}
	}
	r := new(proof.Root)
	if err := chain.Decode(root, r); err != nil {
		return nil, fmt.Errorf("decode state root of height %d: %w", header.Height-1, err)
	}
	return paramsOf(r, params)
}

// paramsOf checks that the parameters are those that a root links to.
func paramsOf(r *proof.Root, params []byte) (*consensus.Params, error) {
	if found := proof.LinkOf(params); found != r.Params {
		return nil, &Lie{What: "parameters", Expected: r.Params.String(), Found: found.String()}
	}
	p := new(consensus.Params)
	if err := chain.Decode(params, p); err != nil {
		return nil, fmt.Errorf("decode parameters %s: %w", r.Params, err)
	}
	return p, nil
}

// step verifies a header by an earlier one that is trusted.
func step(trusted, next *types.LightBlock, period time.Duration, now time.Time) error {
	return cmtlight.Verify(trusted.SignedHeader, trusted.ValidatorSet, next.SignedHeader, next.ValidatorSet,
		period, now, ClockDrift, cmtlight.DefaultTrustLevel)
}

// stepError says why a header does not follow from another.
func stepError(trusted, next *types.LightBlock, period time.Duration, err error) error {
	var expired cmtlight.ErrOldHeaderExpired
	if errors.As(err, &expired) {
		return fmt.Errorf("the trusted header of height %d is of %s, older than the trust period of %s: trust a newer one",
			trusted.Height, trusted.Time.UTC().Format(time.RFC3339), period)
	}
	return &Lie{What: fmt.Sprintf("header of height %d", next.Height),
		Expected: fmt.Sprintf("one that the validators of height %d vouch for", trusted.Height), Found: err.Error()}
}

// Gather fetches the proof of a key's record in a node's newest state, with a
// way to it from a trusted header; a zero one makes it a proof for those who
// trust the header after that state. What the node sends is checked.
func Gather(ctx context.Context, node *rpc.Client, k chain.Key, trusted Trust, now time.Time) (*proof.Bundle, *Shown, error) {
	b, err := node.Prove(ctx, k, rpc.Newest)
	if err != nil {
		return nil, nil, err
	}
	last, err := onlyHeader(b, k)
	if err != nil {
		return nil, nil, from(node.Base(), err)
	}
	if own := (Trust{chain.Height(last.Height), last.Hash()}); trusted.IsZero() {
		trusted = own
	}
	if chain.Height(last.Height) != trusted.Height {
		if err := addWay(ctx, node, b, last, trusted, now); err != nil {
			return nil, nil, from(node.Base(), err)
		}
	}
	s, err := Check(b, trusted, now)
	return b, s, from(node.Base(), err)
}

// Extend puts the way from a trusted header to a bundle's only one into it. A
// bundle that has a way, or stands under the trusted header, stays as it is. The
// headers are asked of a node, which may lie: Check tells.
func Extend(ctx context.Context, node *rpc.Client, b *proof.Bundle, trusted Trust, now time.Time) error {
	if len(b.Headers) != 1 {
		return nil
	}
	last, err := decodeHeader(b.Headers[0].Light)
	if err != nil {
		return err
	}
	if chain.Height(last.Height) == trusted.Height {
		return nil
	}
	if trusted.Height > chain.Height(last.Height) {
		return fmt.Errorf("the trusted header of height %d is newer than that of height %d, under which the proof stands", trusted.Height, last.Height)
	}
	return from(node.Base(), addWay(ctx, node, b, last, trusted, now))
}

// onlyHeader reads the header of a bundle as nodes make them, for the key that
// was asked for.
func onlyHeader(b *proof.Bundle, k chain.Key) (*types.LightBlock, error) {
	if len(b.Headers) != 1 {
		return nil, &Lie{What: "proof", Expected: "one header", Found: fmt.Sprintf("%d", len(b.Headers))}
	}
	if b.Key() != k {
		return nil, &Lie{What: "proof", Expected: "record " + chain.FormatPath(k, chain.Testnet),
			Found: chain.FormatPath(b.Key(), chain.Testnet)}
	}
	header, err := decodeHeader(b.Headers[0].Light)
	if err != nil {
		return nil, &Lie{What: "proof", Expected: "a header", Found: err.Error()}
	}
	return header, nil
}

// fetchHeader reads a header of a node.
func fetchHeader(ctx context.Context, node *rpc.Client, h int64) (*types.LightBlock, error) {
	raw, err := node.Header(ctx, chain.Height(h))
	if err != nil {
		return nil, err
	}
	header, err := decodeHeader(raw)
	if err != nil {
		return nil, err
	}
	if h != 0 && header.Height != h {
		return nil, &Lie{What: "header", Expected: fmt.Sprintf("height %d", h), Found: fmt.Sprintf("height %d", header.Height)}
	}
	return header, nil
}

// fetchParams reads the parameters below a header, with the root on the way.
func fetchParams(ctx context.Context, node *rpc.Client, header *types.LightBlock) (root, params []byte, err error) {
	top, err := proof.LinkOfAppHash(header.AppHash)
	if err != nil {
		return nil, nil, err
	}
	if root, err = node.Block(ctx, top); err != nil {
		return nil, nil, fmt.Errorf("read the parameters of height %d (trust a newer header if the node has none): %w", header.Height-1, err)
	}
	r := new(proof.Root)
	if err := chain.Decode(root, r); err != nil {
		return nil, nil, fmt.Errorf("decode state root: %w", err)
	}
	params, err = node.Block(ctx, r.Params)
	return root, params, err
}

// addWay puts the way from a trusted header to the last one into a bundle.
func addWay(ctx context.Context, node *rpc.Client, b *proof.Bundle, last *types.LightBlock, trusted Trust, now time.Time) error {
	if trusted.Height > chain.Height(last.Height) {
		return fmt.Errorf("the trusted header of height %d is newer than the newest of %s, of height %d", trusted.Height, node.Base(), last.Height)
	}
	first, err := fetchHeader(ctx, node, int64(trusted.Height))
	if err != nil {
		return err
	}
	if err := checkHash(first, trusted); err != nil {
		return err
	}
	if b.Root, b.Params, err = fetchParams(ctx, node, first); err != nil {
		return err
	}
	period, err := periodUnder(first, b.Root, b.Params)
	if err != nil {
		return err
	}
	way, err := way(ctx, node, first, last, period, now)
	if err != nil {
		return err
	}
	b.Headers = make([]proof.Header, len(way))
	for i, header := range way {
		if b.Headers[i].Light, err = encodeHeader(header); err != nil {
			return err
		}
	}
	return nil
}

// way finds headers from a trusted one to another of which each vouches for the
// next: where too many validators changed, it looks half-way.
func way(ctx context.Context, node *rpc.Client, trusted, last *types.LightBlock, period time.Duration, now time.Time) ([]*types.LightBlock, error) {
	out, ahead := []*types.LightBlock{trusted}, []*types.LightBlock{last}
	for len(ahead) > 0 {
		here, next := out[len(out)-1], ahead[len(ahead)-1]
		err := step(here, next, period, now)
		var far cmtlight.ErrNewValSetCantBeTrusted
		switch {
		case err == nil:
			out, ahead = append(out, next), ahead[:len(ahead)-1]
		case len(out)+len(ahead) >= proof.MaxHeaders:
			return nil, fmt.Errorf("more than %d headers lie between height %d and %d: trust a newer header", proof.MaxHeaders, trusted.Height, last.Height)
		case errors.As(err, &far):
			between, err := fetchHeader(ctx, node, here.Height+(next.Height-here.Height)/2)
			if err != nil {
				return nil, err
			}
			ahead = append(ahead, between)
		default:
			return nil, stepError(here, next, period, err)
		}
	}
	return out, nil
}
