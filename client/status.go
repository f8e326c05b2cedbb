package client

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/client/files"
)

// ObjectStatus is a record and how what it is of stands.
type ObjectStatus struct {
	Object   *files.Object
	Holds    []*files.Object // of a piece that several contents share: those known here, oldest first
	Copies   []CopyStatus    // each copy of each piece
	Next     string          // what happens next, and by when
	Warnings []string        // what will go wrong unless something is done
}

// Status is List with how each object stands. Without a node that is missing.
func (c *Client) Status(ctx context.Context) ([]ObjectStatus, error) {
	all, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]ObjectStatus, len(all))
	shared := map[uint64][]*files.Object{}
	for _, o := range all {
		if o.In != 0 {
			shared[o.In] = append(shared[o.In], o)
		}
	}
	for i, o := range all {
		out[i].Object, out[i].Holds = o, shared[o.Number]
	}
	if c.cfg.Chain == nil {
		return out, nil
	}
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return out, nil
	}
	g, err := c.cfg.Chain.Global(ctx)
	if err != nil {
		return out, nil
	}
	delays, err := c.cfg.Directory.Delays(ctx)
	if err != nil {
		c.log.Warn("read how long deals take", "err", err)
	}
	now := clock{g.Height, p, median(delays)}
	for i, o := range all {
		if o.ChainID == p.ChainID {
			out[i].Copies, out[i].Next, out[i].Warnings = now.copies(o), next(o, g.Height, p), Warnings(o, g.Height, p.BlockMillis)
		}
	}
	return out, nil
}

// warnEvery is how often Run looks for what will go wrong.
const warnEvery = 10 * time.Minute

// warn logs what will go wrong with any object unless something is done, each once,
// until ctx ends.
func (c *Client) warn(ctx context.Context) error {
	said := map[string]bool{}
	for {
		all, err := c.Status(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("look at what is stored", "err", err)
		}
		for _, o := range all {
			for _, text := range o.Warnings {
				if key := o.Object.Root + timeless(text); !said[key] {
					said[key] = true
					c.log.Warn(text, "root", o.Object.Root, "name", o.Object.Name)
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(warnEvery):
		}
	}
}

// timeless is a warning without how much time there is left.
func timeless(warning string) string {
	for _, before := range []string{" within ", " in "} {
		warning, _, _ = strings.Cut(warning, before)
	}
	return warning
}

// next says what the slowest copy waits for, and how long that takes at most; of an
// object that is stored, when the first copy ends.
func next(o *files.Object, height chain.Height, p *consensus.Params) string {
	if o.Waiting {
		return "waits for perdure put --flush"
	}
	var end, fetch, prove chain.Height
	for i := range o.Pieces {
		for j := range o.Pieces[i].Deals {
			switch d := &o.Pieces[i].Deals[j]; {
			case d.State == chain.DealMatched.String():
				fetch = max(fetch, d.FetchBy)
			case d.State == chain.DealAccepted.String():
				prove = max(prove, d.ActivateBy)
			case d.Active() && (end == 0 || d.End < end):
				end = d.End
			}
		}
	}
	within := func(what string, by chain.Height) string {
		return fmt.Sprintf("%s by height %d, in %s at most", what, by, Span(uint64(by-min(by, height)), p.BlockMillis))
	}
	switch {
	case o.State() == "placing":
		return "its bids are being placed"
	case fetch > 0:
		return within("fetched", fetch)
	case prove > 0:
		return within("proven", prove)
	case o.State() == "open":
		return "waits for miners"
	case end > height && o.Renew == nil:
		return fmt.Sprintf("ends at height %d, in %s", end, Span(uint64(end-height), p.BlockMillis))
	case end > height:
		return fmt.Sprintf("renewed before height %d, in %s", end, Span(uint64(end-height), p.BlockMillis))
	}
	return ""
}
