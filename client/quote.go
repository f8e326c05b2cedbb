package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/segment"
)

// Quote is what storing would take. Market is nil when no node could be asked.
type Quote struct {
	Name        string  // of the content; empty for a stream, or several
	Root        cid.Cid // undefined for several contents
	Size        uint64  // of the content in bytes
	SHA256      [32]byte
	PayloadSize uint64 // of all archives in bytes
	Pieces      []pack.Piece
	Objects     uint64 // that share the piece; 0: it is of one content
	Copies      uint64
	Duration    uint64   // blocks; 0: not known without a node
	Contents    []*Quote // of several contents, what each comes to without the market; one that shares a piece has none of its own
	Market      *deals.Quote
	Miners      []Standing // whose asks Market takes
	Problem     error      // why Market is nil
}

func newQuote(p *pack.Packed, plan *plan) *Quote {
	return &Quote{Name: p.Name, Root: p.Root, Size: p.Size, SHA256: p.SHA256, PayloadSize: p.PayloadSize, Pieces: p.Pieces,
		Copies: plan.copies, Duration: plan.duration}
}

// Names that stand for those that are not known yet: fees follow from how long they are.
var (
	somePiece = piece.UnsealedCID([32]byte{})
	someRoot  = car.LeafCID([32]byte{})
)

// terms are those of the bids for a payload's pieces.
func (p *plan) terms(s *deals.Situation, packed *pack.Packed) []chain.BidTerms {
	out := make([]chain.BidTerms, len(packed.Pieces))
	for i := range packed.Pieces {
		one := &packed.Pieces[i]
		out[i] = chain.BidTerms{
			PieceCID: one.CID, PaddedSize: one.PaddedSize, PayloadRoot: packed.Root, Part: uint64(one.Part), Parts: uint64(one.Parts),
			Duration: p.duration, MaxPrice: p.limit, Copies: p.copies, ClientPeer: make([]byte, 38), Regions: p.regions,
			Expiry: deals.Expiry(s.Params, s.Global.Height),
		}
		if !one.CID.Defined() {
			out[i].PieceCID = somePiece
		}
		if !packed.Root.Defined() {
			out[i].PayloadRoot = someRoot
		}
		if p.renew > 0 { // as many bytes as it may have: the fee follows them
			out[i].Renew = &chain.Renewal{Count: p.renew, MaxPrice: cmp.Or(p.renewal, chain.MaxAmount()), Duration: p.duration}
		}
	}
	return out
}

// Quote says what a Put would store and cost now, sends nothing and writes nothing. It
// reads all of the content, to know its root. Without a node that answers, prices
// are missing, which is no error.
func (c *Client) Quote(ctx context.Context, path string, o PutOptions) (*Quote, error) {
	e, err := c.estimate(ctx, &o)
	if err != nil {
		return nil, fmt.Errorf("quote %q: %w", path, err)
	}
	packed, err := e.pack(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("quote %q: %w", path, err)
	}
	q := newQuote(packed, e.plan)
	if err := e.price(ctx, q, []*pack.Packed{packed}); err != nil {
		return nil, fmt.Errorf("quote %q: %w", path, err)
	}
	return q, nil
}

// QuoteMany says what a PutMany would store and cost now, as Quote does. Pieces that
// small contents share have no CID in it.
func (c *Client) QuoteMany(ctx context.Context, paths []string, o PutOptions) (*Quote, error) {
	q, err := c.quoteMany(ctx, paths, o, false)
	if err != nil {
		return nil, fmt.Errorf("quote %d paths: %w", len(paths), err)
	}
	return q, nil
}

// QuoteBatch says what a Flush would store and cost if these paths were added to the
// batch: they, and what waits on the same terms.
func (c *Client) QuoteBatch(ctx context.Context, paths []string, o PutOptions) (*Quote, error) {
	q, err := c.quoteMany(ctx, paths, o, true)
	if err != nil {
		return nil, fmt.Errorf("quote batch: %w", err)
	}
	return q, nil
}

// estimate is a quote on its way.
type estimate struct {
	client  *Client
	options *PutOptions
	s       *deals.Situation // nil without a node
	problem error            // why
	plan    *plan
}

func (c *Client) estimate(ctx context.Context, o *PutOptions) (e *estimate, err error) {
	if o.Event == nil {
		o.Event = func(Event) {}
	}
	e = &estimate{client: c, options: o}
	e.s, e.problem = c.offlineSituation(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	e.plan, err = c.plan(ctx, o, e.s)
	return e, err
}

func (e *estimate) pack(ctx context.Context, path string) (*pack.Packed, error) {
	how := e.plan.pack("", e.options.Event)
	how.Plan = true
	return e.options.pack(ctx, path, how)
}

// price fills in the market of a quote over all that is bid for.
func (e *estimate) price(ctx context.Context, q *Quote, stored []*pack.Packed) (err error) {
	if e.s == nil {
		q.Problem = e.problem
		return nil
	}
	var terms []chain.BidTerms
	for _, p := range stored {
		terms = append(terms, e.plan.terms(e.s, p)...)
	}
	if q.Market, err = e.client.price(ctx, e.s, terms); err != nil {
		return err
	}
	q.Miners, err = e.client.standings(ctx, q.Market, e.s.Params.Network)
	return err
}

func (c *Client) quoteMany(ctx context.Context, paths []string, o PutOptions, batch bool) (*Quote, error) {
	e, err := c.estimate(ctx, &o)
	if err != nil {
		return nil, err
	}
	q := &Quote{Copies: e.plan.copies, Duration: e.plan.duration}
	var stored []*pack.Packed
	var small []segment.Payload
	if batch {
		if small, err = e.waiting(ctx, q); err != nil {
			return nil, err
		}
	}
	for _, path := range paths {
		packed, err := e.pack(ctx, path)
		if err != nil {
			return nil, err
		}
		content := newQuote(packed, e.plan)
		switch {
		case e.plan.small(packed):
			small, content.Pieces = append(small, packed.Payload()), nil
		case batch:
			return nil, fmt.Errorf("%q: %w", path, e.plan.tooLarge(packed))
		default:
			stored = append(stored, packed)
		}
		q.Contents = append(q.Contents, content)
	}
	shared, err := e.together(small)
	if err != nil {
		return nil, err
	}
	stored = append(stored, shared...)
	for _, p := range stored {
		q.Pieces = append(q.Pieces, p.Pieces...)
		q.PayloadSize += p.PayloadSize
	}
	for _, content := range q.Contents {
		q.Size += content.Size
	}
	return q, e.price(ctx, q, stored)
}

// waiting are the contents that wait in the batch on the same terms; the quote names them.
func (e *estimate) waiting(ctx context.Context, q *Quote) (out []segment.Payload, err error) {
	if e.s == nil {
		return nil, nil
	}
	waiting, err := e.client.waiting(ctx)
	if err != nil {
		return nil, err
	}
	mine := termsOf(e.plan.object(e.s, &pack.Packed{}, e.options.MaxPrice))
	for _, o := range waiting {
		if termsOf(o) != mine {
			continue
		}
		p, err := e.client.records.Payload(o)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
		q.Contents = append(q.Contents, &Quote{Name: o.Name, Root: p.Index.Root(), Size: o.Size, SHA256: [32]byte(o.SHA256), PayloadSize: o.PayloadSize})
	}
	return out, nil
}

// together lays small contents out in pieces, as putting them does.
func (e *estimate) together(small []segment.Payload) ([]*pack.Packed, error) {
	if len(small) == 0 {
		return nil, nil
	}
	plan, err := segment.NewPlan(small, e.plan.size)
	if errors.Is(err, segment.ErrTooLarge) && len(small) > 1 {
		half := len(small) / 2
		left, err := e.together(small[:half])
		if err != nil {
			return nil, err
		}
		right, err := e.together(small[half:])
		return slices.Concat(left, right), err
	}
	if err != nil {
		return nil, err
	}
	info := piece.Info{PaddedSize: plan.Padded, PayloadSize: piece.MaxPayload(plan.Padded)}
	return []*pack.Packed{{PayloadSize: info.PayloadSize, Pieces: []pack.Piece{{Info: info, Parts: 1}}}}, nil
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
