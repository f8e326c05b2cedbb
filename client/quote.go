package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/client/pack"
)

// Quote is what storing would take. Market is nil when no node could be asked.
type Quote struct {
	Root        cid.Cid
	Size        uint64 // of the content in bytes
	SHA256      [32]byte
	PayloadSize uint64 // of all archives in bytes
	Pieces      []pack.Piece
	Objects     uint64 // that share the piece; 0: it is of one content
	Copies      uint64
	Duration    uint64 // blocks; 0: not known without a node
	Market      *deals.Quote
	Miners      []Standing // whose asks Market takes
	Problem     error      // why Market is nil
}

func newQuote(p *pack.Packed, plan *plan) *Quote {
	return &Quote{Root: p.Root, Size: p.Size, SHA256: p.SHA256, PayloadSize: p.PayloadSize, Pieces: p.Pieces,
		Copies: plan.copies, Duration: plan.duration}
}

// price fills in Market.
func (q *Quote) price(s *deals.Situation, packed *pack.Packed, plan *plan) (err error) {
	terms := make([]chain.BidTerms, len(packed.Pieces))
	for i := range packed.Pieces {
		p := &packed.Pieces[i]
		terms[i] = chain.BidTerms{
			PieceCID: p.CID, PaddedSize: p.PaddedSize, PayloadRoot: packed.Root, Part: uint64(p.Part), Parts: uint64(p.Parts),
			Duration: plan.duration, MaxPrice: plan.limit, Copies: plan.copies, ClientPeer: make([]byte, 38),
			Expiry: deals.Expiry(s.Params, s.Global.Height),
		}
		if plan.renew > 0 { // as many bytes as it may have: the fee follows them
			terms[i].Renew = &chain.Renewal{Count: plan.renew, MaxPrice: cmp.Or(plan.renewal, chain.MaxAmount()), Duration: plan.duration}
		}
	}
	q.Market, err = s.Price(terms)
	return err
}

// Quote says what a Put would store and cost now, and sends nothing. It reads
// all of the content, to know its root. Without a node that answers, prices
// are missing, which is no error.
func (c *Client) Quote(ctx context.Context, path string, o PutOptions) (*Quote, error) {
	if o.Event == nil {
		o.Event = func(Event) {}
	}
	s, unreachable := c.offlineSituation(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	plan, err := o.plan(s)
	if err != nil {
		return nil, fmt.Errorf("quote %q: %w", path, err)
	}
	spool, err := c.records.NewSpool()
	if err != nil {
		return nil, fmt.Errorf("quote %q: %w", path, err)
	}
	how := plan.pack(spool.Dir(), o.Event)
	how.Plan = true
	packed, err := pack.Pack(ctx, path, how)
	if err := errors.Join(err, spool.Remove()); err != nil {
		return nil, fmt.Errorf("quote %q: %w", path, err)
	}
	q := newQuote(packed, plan)
	if s == nil {
		q.Problem = unreachable
		return q, nil
	}
	if err := q.price(s, packed, plan); err != nil {
		return nil, fmt.Errorf("quote %q: %w", path, err)
	}
	if q.Miners, err = c.standings(ctx, q.Market, s.Params.Network); err != nil {
		return nil, fmt.Errorf("quote %q: %w", path, err)
	}
	return q, nil
}

// offlineSituation is situation, or nil and why the node does not answer.
func (c *Client) offlineSituation(ctx context.Context) (*deals.Situation, error) {
	if c.cfg.Chain == nil {
		return nil, ErrNoNode
	}
	s, err := c.situation(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}
