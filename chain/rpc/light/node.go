package light

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	cmtlight "github.com/cometbft/cometbft/light"
	"github.com/cometbft/cometbft/light/provider"
	"github.com/cometbft/cometbft/light/store"
	lightdb "github.com/cometbft/cometbft/light/store/db"
	"github.com/cometbft/cometbft/types"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state/proof"
)

// Options are what New needs: Node and Witnesses, and Trust unless File has a
// header already.
type Options struct {
	Node      string   // URL of the node that is read from
	Witnesses []string // URLs of other nodes, whose headers are compared
	Trust     Trust    // header that the user trusts; zero: what File remembers
	File      string   // remembers the newest verified header; empty: nothing does

	MaxAge time.Duration    // of the newest header; 0: 20 block times and two minutes
	Drift  time.Duration    // of others' clocks; 0: ClockDrift
	Now    func() time.Time // nil: time.Now
}

// Node is a node whose answers are verified. It may be used from many
// goroutines. It asks nothing before it is used.
type Node struct {
	opts Options
	node *rpc.Client
	rest []*rpc.Client

	turn    chan struct{} // held by who verifies a header
	client  *cmtlight.Client
	headers store.Store // that client has verified
	primary *source
	sources []*source  // all that client asks, that of the node first
	know    remembered // header and parameters: the newest verified
	link    cid.Cid    // of the parameters
	saved   time.Time  // time of the header in the file
}

// New returns a verifying client of a node.
func New(o Options) (*Node, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Drift == 0 {
		o.Drift = ClockDrift
	}
	n := &Node{opts: o, node: rpc.New(o.Node), turn: make(chan struct{}, 1)}
	if len(o.Witnesses) == 0 {
		return nil, errors.New("light client: no witness: name at least one other node with --witness")
	}
	for _, url := range o.Witnesses {
		w := rpc.New(url)
		if w.Base() == n.node.Base() || slices.ContainsFunc(n.rest, func(c *rpc.Client) bool { return c.Base() == w.Base() }) {
			return nil, fmt.Errorf("light client: witness %s is named already: a node cannot vouch for itself", url)
		}
		n.rest = append(n.rest, w)
	}
	return n, nil
}

// Base is the node's URL.
func (n *Node) Base() string { return n.node.Base() }

// Close remembers the newest verified header and lets go of connections.
func (n *Node) Close() error {
	n.node.Close()
	for _, w := range n.rest {
		w.Close()
	}
	n.turn <- struct{}{}
	defer func() { <-n.turn }()
	return n.save()
}

// take waits for the turn to verify, with a client that is ready.
func (n *Node) take(ctx context.Context) error {
	select {
	case n.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if n.client != nil {
		return nil
	}
	if err := n.start(ctx); err != nil {
		<-n.turn
		return fmt.Errorf("light client: %w", err)
	}
	return nil
}

func (n *Node) release() { <-n.turn }

// start makes CometBFT's light client from what is remembered, or from the
// header that the user trusts.
func (n *Node) start(ctx context.Context) error {
	if n.opts.File != "" {
		r, err := load(n.opts.File)
		if err != nil {
			return err
		}
		if r != nil && (n.opts.Trust.IsZero() || n.opts.Trust.String() == r.trust.String()) {
			return n.resume(r)
		}
	}
	if n.opts.Trust.IsZero() {
		return errors.New("no header is trusted yet: give one with --trust HEIGHT:HASH")
	}
	return n.begin(ctx)
}

// resume goes on from a remembered header.
func (n *Node) resume(r *remembered) error {
	headers := lightdb.New(dbm.NewMemDB(), "")
	if err := headers.SaveLightBlock(r.header); err != nil {
		return err
	}
	primary, witnesses := n.ask(r.header.ChainID)
	c, err := cmtlight.NewClientFromTrustedStore(r.header.ChainID, Period(r.params), primary, witnesses, headers, n.options()...)
	if err != nil {
		return err
	}
	n.headers = headers
	return n.started(c, primary, r)
}

// retrust goes on with another trust period, after the parameters changed. The
// caller has the turn.
func (n *Node) retrust(period time.Duration) error {
	chainID := n.client.ChainID()
	primary, witnesses := n.ask(chainID)
	c, err := cmtlight.NewClientFromTrustedStore(chainID, period, primary, witnesses, n.headers, n.options()...)
	if err != nil {
		return err
	}
	n.client, n.primary = c, primary
	return nil
}

// begin starts from the header that the user trusts.
func (n *Node) begin(ctx context.Context) error {
	first, err := fetchHeader(ctx, n.node, int64(n.opts.Trust.Height))
	if err == nil {
		err = checkHash(first, n.opts.Trust)
	}
	if err != nil {
		return n.lies(err)
	}
	root, raw, err := fetchParams(ctx, n.node, first)
	if err != nil {
		return err
	}
	params, err := paramsUnder(first, root, raw)
	if err != nil {
		return n.lies(err)
	}
	primary, witnesses := n.ask(first.ChainID)
	primary.offer(first)
	trust := cmtlight.TrustOptions{Period: Period(params), Height: first.Height, Hash: n.opts.Trust.Hash}
	var headers store.Store = lightdb.New(dbm.NewMemDB(), "")
	c, err := cmtlight.NewClient(ctx, first.ChainID, trust, primary, witnesses, headers, n.options()...)
	if err != nil {
		return n.explain(first, err)
	}
	n.headers = headers
	return n.started(c, primary, &remembered{trust: n.opts.Trust, header: first, params: params})
}

func (n *Node) started(c *cmtlight.Client, primary *source, r *remembered) error {
	raw, err := chain.Encode(r.params)
	if err != nil {
		return fmt.Errorf("encode parameters: %w", err)
	}
	n.client, n.primary, n.know, n.link = c, primary, *r, proof.LinkOf(raw)
	return nil
}

// ask makes the sources of a light client anew.
func (n *Node) ask(chainID string) (*source, []provider.Provider) {
	n.sources = []*source{{node: n.node, chainID: chainID}}
	var witnesses []provider.Provider
	for _, w := range n.rest {
		s := &source{node: w, chainID: chainID}
		n.sources, witnesses = append(n.sources, s), append(witnesses, s)
	}
	return n.sources[0], witnesses
}

func (n *Node) options() []cmtlight.Option {
	return []cmtlight.Option{cmtlight.MaxClockDrift(n.opts.Drift), cmtlight.MaxBlockLag(n.opts.Drift)}
}

// maxAge is how old the newest header may be.
func (n *Node) maxAge(p *consensus.Params) time.Duration {
	if n.opts.MaxAge != 0 {
		return n.opts.MaxAge
	}
	return 20*time.Duration(p.BlockMillis)*time.Millisecond + 2*time.Minute
}

// saveEvery is how much newer a header is than the remembered one when it is
// written down.
const saveEvery = time.Minute

// verify makes sure that a header, which came from the node, is the chain's.
// The caller has the turn.
func (n *Node) verify(ctx context.Context, h *types.LightBlock) error {
	if h.ChainID != n.client.ChainID() {
		return &Lie{n.Base(), "header", "chain " + n.client.ChainID(), "chain " + h.ChainID}
	}
	n.primary.offer(h)
	for _, s := range n.sources {
		s.forget()
	}
	found, err := n.client.VerifyLightBlockAtHeight(ctx, h.Height, n.opts.Now())
	if err != nil {
		return n.explain(h, err)
	}
	if !bytes.Equal(found.Hash(), h.Hash()) {
		return &Lie{n.Base(), fmt.Sprintf("header of height %d", h.Height), "hash " + hashText(found.Hash()), "hash " + hashText(h.Hash())}
	}
	if h.Height <= n.know.header.Height {
		return nil
	}
	n.know.header = h
	if h.Time.Sub(n.saved) < saveEvery {
		return nil
	}
	return n.save()
}

// save writes down the newest verified header.
func (n *Node) save() error {
	if n.client == nil || n.opts.File == "" {
		return nil
	}
	n.saved = n.know.header.Time
	return n.know.save(n.opts.File)
}

// explain says what the light client's error means for a header of the node.
func (n *Node) explain(h *types.LightBlock, err error) error {
	what := fmt.Sprintf("header of height %d", h.Height)
	var expired cmtlight.ErrOldHeaderExpired
	var conflict cmtlight.ErrConflictingHeaders
	var order cmtlight.ErrProposerPrioritiesDiverge
	var invalid cmtlight.ErrInvalidHeader
	var bad provider.ErrBadLightBlock
	var unproven cmtlight.ErrVerificationFailed
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("verify %s: %w", what, err)
	case errors.As(err, &expired):
		return fmt.Errorf("the newest header that is trusted was so until %s: trust a newer one with --trust HEIGHT:HASH",
			expired.At.UTC().Format(time.RFC3339))
	case errors.Is(err, cmtlight.ErrLightClientAttack):
		return &Lie{n.Base(), what, "the same at each witness", "another one, with votes of the same validators: somebody attacks; the evidence is reported"}
	case errors.As(err, &conflict):
		return &Lie{n.Base(), what, "hash " + hashText(conflict.Block.Hash()) + " as a witness has it", "hash " + hashText(h.Hash())}
	case errors.As(err, &order):
		return &Lie{n.Base(), "proposers' order at height " + fmt.Sprint(h.Height), hashText(order.WitnessHash), hashText(order.PrimaryHash)}
	case errors.As(err, &invalid), errors.As(err, &bad), errors.As(err, &unproven):
		return &Lie{n.Base(), what, "one that validators vouch for", err.Error()}
	case errors.Is(err, cmtlight.ErrNoWitnesses):
		return fmt.Errorf("verify %s: every witness (%s) failed or showed what no validators vouch for", what, n.witnesses())
	case errors.Is(err, cmtlight.ErrFailedHeaderCrossReferencing), errors.Is(err, provider.ErrNoResponse),
		errors.Is(err, provider.ErrHeightTooHigh), errors.Is(err, provider.ErrLightBlockNotFound):
		return n.unshown(fmt.Sprintf("verify %s: no witness has it", what))
	case n.troubled(): // votes have changed since the newest that is trusted
		return n.unshown(fmt.Sprintf("verify %s: a header before it is missing", what))
	}
	return fmt.Errorf("verify %s: %w", what, err)
}

// troubled reports whether a node did not show a header.
func (n *Node) troubled() bool {
	return slices.ContainsFunc(n.sources, func(s *source) bool { return s.trouble() != nil })
}

// unshown says which nodes did not show a header that is needed, why, and what can be
// done. It may be well at the next try, unless all of them keep it no more.
func (n *Node) unshown(doing string) error {
	var reasons, cures []string
	passing := false
	for i, s := range n.sources {
		err := s.trouble()
		if err == nil {
			continue
		}
		var pruned *rpc.PrunedError
		gone := errors.As(err, &pruned)
		passing = passing || !gone
		cure := "name another witness with --witness"
		switch {
		case i == 0 && gone:
			cure = "trust a newer header with --trust"
		case i == 0:
			cure = "see whether it runs, or read from another node with --node"
		}
		reasons = append(reasons, err.Error())
		if !slices.Contains(cures, cure) {
			cures = append(cures, cure)
		}
	}
	err := fmt.Errorf("%s: %s (%s)", doing, strings.Join(reasons, "; "), strings.Join(cures, "; "))
	if passing {
		return &later{err}
	}
	return err
}

// lies names the node in an error that is a lie.
func (n *Node) lies(err error) error { return from(n.Base(), err) }

// later marks what may be well at the next try.
type later struct{ error }

// Unwrap returns the reason.
func (l *later) Unwrap() error { return l.error }

func (n *Node) witnesses() string {
	names := make([]string, len(n.rest))
	for i, w := range n.rest {
		names[i] = w.Base()
	}
	return strings.Join(names, ", ")
}
