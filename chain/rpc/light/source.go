package light

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cometbft/cometbft/light/provider"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain/rpc"
)

// source gives CometBFT's light client the headers of one node.
type source struct {
	node    *rpc.Client
	chainID string

	mu      sync.Mutex
	offered *types.LightBlock // a header of the node that came with a proof
	failed  *failure          // nil: it had what it was last asked for
}

// failure is why a node did not show a header.
type failure struct {
	height int64 // 0: its newest
	err    error
}

var _ provider.Provider = (*source)(nil)

// ChainID implements provider.Provider.
func (s *source) ChainID() string { return s.chainID }

// String is the node's URL.
func (s *source) String() string { return s.node.Base() }

// offer keeps a header of this node for when it is asked for, so that it is not
// fetched again.
func (s *source) offer(h *types.LightBlock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered = h
}

// note takes down how it went to ask for a header. That a node has its newest one
// says nothing of the one that it had not.
func (s *source) note(height int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.failed = &failure{height, err}
	case height != 0:
		s.failed = nil
	}
}

// forget begins anew with taking down how it goes.
func (s *source) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = nil
}

// trouble says, with the node's URL, why it did not show a header; nil if it did.
func (s *source) trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		return nil
	}
	var pruned *rpc.PrunedError
	var silence *rpc.SilentError
	switch err := s.failed.err; {
	case errors.As(err, &pruned):
		return fmt.Errorf("node %s has no header of height %d any more: %w", s.node.Base(), s.failed.height, pruned)
	case errors.Is(err, rpc.ErrNotFound):
		return fmt.Errorf("node %s has no header of height %d yet", s.node.Base(), s.failed.height)
	case errors.As(err, &silence):
		return fmt.Errorf("node %s did not answer within %s", silence.Node, silence.After)
	default:
		return err
	}
}

// LightBlock implements provider.Provider.
func (s *source) LightBlock(ctx context.Context, height int64) (*types.LightBlock, error) {
	s.mu.Lock()
	offered := s.offered
	s.mu.Unlock()
	if offered != nil && offered.Height == height {
		return offered, nil
	}
	h, err := fetchHeader(ctx, s.node, height)
	s.note(height, err)
	var pruned *rpc.PrunedError
	var lie *Lie
	switch {
	case err == nil && h.ChainID != s.chainID:
		return nil, provider.ErrBadLightBlock{Reason: fmt.Errorf("expected a header of chain %q, found one of %q", s.chainID, h.ChainID)}
	case err == nil:
		return h, nil
	case ctx.Err() != nil: // the light client compares these, it does not unwrap
		return nil, ctx.Err()
	case errors.As(err, &pruned):
		return nil, provider.ErrLightBlockNotFound
	case errors.Is(err, rpc.ErrNotFound):
		return nil, provider.ErrHeightTooHigh
	case errors.As(err, &lie), errors.Is(err, errHeader):
		return nil, provider.ErrBadLightBlock{Reason: err}
	}
	return nil, provider.ErrNoResponse
}

// ReportEvidence implements provider.Provider.
func (s *source) ReportEvidence(ctx context.Context, e types.Evidence) error {
	p, err := types.EvidenceToProto(e)
	if err != nil {
		return fmt.Errorf("encode evidence: %w", err)
	}
	raw, err := p.Marshal()
	if err != nil {
		return fmt.Errorf("encode evidence: %w", err)
	}
	return s.node.Report(ctx, raw)
}
