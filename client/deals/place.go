package deals

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client/files"
)

// Terms are those of the bids for an object's pieces; Expiry is set when a bid is signed.
func Terms(o *files.Object, peer string) ([]chain.BidTerms, error) {
	root, err := o.RootCID()
	if err != nil {
		return nil, err
	}
	out := make([]chain.BidTerms, len(o.Pieces))
	for i := range o.Pieces {
		p := &o.Pieces[i]
		piece, err := cid.Decode(p.CID)
		if err != nil {
			return nil, fmt.Errorf("record %d: piece: %w", o.Number, err)
		}
		out[i] = chain.BidTerms{
			PieceCID: piece, PaddedSize: p.PaddedSize, PayloadRoot: root, Part: p.Part, Parts: uint64(len(o.Pieces)),
			Duration: o.Duration, MaxPrice: o.MaxPrice, Copies: o.Copies, ClientPeer: []byte(peer),
			Allow: o.Allow, Regions: o.Regions, Public: o.IsPublic(),
		}
		if r := o.Renew; r != nil {
			out[i].Renew = &chain.Renewal{Count: r.Count, MaxPrice: r.MaxPrice, Duration: o.Duration}
		}
	}
	return out, nil
}

// Expiry is the last height at which a bid placed now may match: as long as a
// miner has to fetch a piece.
func Expiry(p *consensus.Params, now chain.Height) chain.Height {
	return now + chain.Height(p.MatchDelay+min(p.FetchBy, p.MaxOrderLife-p.MatchDelay-1))
}

// errPayer is wrapped when the present key is not the one that an object is paid with.
var errPayer = errors.New("it is paid by another key; choose it with --from")

// Place brings all bids of an object onto the chain and returns it as it is
// then. The caller holds the object's spool. A bid that was sent before is
// found again, not sent twice.
func (m *Market) Place(ctx context.Context, o *files.Object) (*files.Object, error) {
	p, err := m.cfg.Chain.Params(ctx)
	if err != nil {
		return o, fmt.Errorf("place bids: %w", err)
	}
	mine := chain.FormatAddress(m.cfg.Sender.Address(), p.Network)
	switch {
	case o.ChainID != p.ChainID:
		return o, fmt.Errorf("place bids for %s: it was put on chain %q, the node is on %q", o.Root, o.ChainID, p.ChainID)
	case o.Client != mine:
		return o, fmt.Errorf("place bids for %s: %s: %w", o.Root, o.Client, errPayer)
	}
	for !o.Landed() {
		if o, err = m.placeOnce(ctx, p, o); err != nil {
			return o, fmt.Errorf("place bids for %s: %w", o.Root, err)
		}
	}
	return o, nil
}

// placeOnce looks after the bids that may have been sent, then sends the others
// together and waits for them.
func (m *Market) placeOnce(ctx context.Context, p *consensus.Params, o *files.Object) (*files.Object, error) {
	var err error
	for i := range o.Pieces {
		if b := &o.Pieces[i].Bid; b.State == files.BidNone && b.Sent != nil {
			if o, err = m.resolve(ctx, p, o, i); err != nil {
				return o, err
			}
		}
	}
	terms, err := Terms(o, m.cfg.Host.ID())
	if err != nil {
		return o, err
	}
	for i := range o.Pieces {
		if b := &o.Pieces[i].Bid; b.State == files.BidNone && b.Sent == nil {
			if o, err = m.post(ctx, p, o, i, terms[i]); err != nil {
				return o, err
			}
		}
	}
	for i := range o.Pieces {
		if o.Pieces[i].Bid.State == files.BidNone {
			in, err := Await(ctx, m.cfg.Chain, p, o.Pieces[i].Bid.Sent.Raw)
			switch {
			case ctx.Err() != nil:
				return o, ctx.Err()
			case err != nil:
				return o, nil // it will be looked after
			}
			if o, err = m.landed(ctx, o, i, in); err != nil {
				return o, err
			}
		}
	}
	return o, nil
}

// setBid changes the record of a bid.
func (m *Market) setBid(ctx context.Context, o *files.Object, i int, change func(*files.Bid)) (*files.Object, error) {
	return m.cfg.Records.Update(ctx, o.Number, func(o *files.Object) error {
		change(&o.Pieces[i].Bid)
		return nil
	})
}

// post signs, keeps and sends one bid.
func (m *Market) post(ctx context.Context, p *consensus.Params, o *files.Object, i int, t chain.BidTerms) (*files.Object, error) {
	g, err := m.cfg.Chain.Global(ctx)
	if err != nil {
		return o, err
	}
	t.Expiry = Expiry(p, g.Height)
	_, err = m.cfg.Sender.PostKept(ctx, &chain.PlaceBid{Terms: t}, func(raw []byte, nonce uint64) error {
		sent := &files.Sent{Raw: raw, Nonce: nonce, Since: g.NextOrder, Deals: g.NextDeal, At: g.Height}
		o, err = m.setBid(ctx, o, i, func(b *files.Bid) { b.Sent = sent })
		return err
	})
	var refusal *consensus.Refusal
	if errors.As(err, &refusal) {
		// The node did not take it, and the next message has its nonce.
		again, failed := m.setBid(ctx, o, i, func(b *files.Bid) { b.Sent = nil })
		return again, errors.Join(err, failed)
	}
	return o, err
}

// landed notes what became of a bid whose message is in a block.
func (m *Market) landed(ctx context.Context, o *files.Object, i int, in *wallet.Inclusion) (*files.Object, error) {
	if err := in.Err(); err != nil {
		m.cfg.Event(Event{Stage: StageVoid, Object: o.Number, Part: o.Pieces[i].Part, Height: in.Height, Reason: err.Error()})
		return m.setBid(ctx, o, i, func(b *files.Bid) { b.State, b.Reason = files.BidFailed, err.Error() })
	}
	return m.stands(ctx, o, i, in.Receipt.ID, in.Height)
}

func (m *Market) stands(ctx context.Context, o *files.Object, i int, order uint64, at chain.Height) (*files.Object, error) {
	m.log.Info("bid placed", "order", order, "piece", o.Pieces[i].CID)
	m.cfg.Event(Event{Stage: StagePlaced, Object: o.Number, Part: o.Pieces[i].Part, Order: order, Height: at})
	return m.setBid(ctx, o, i, func(b *files.Bid) { b.State, b.Order = files.BidStands, order })
}

// resolve finds out what became of a bid that may have been sent. It ends with
// the bid landed, or with a record that says that it can never land.
func (m *Market) resolve(ctx context.Context, p *consensus.Params, o *files.Object, i int) (*files.Object, error) {
	fate, err := Trace(ctx, m.cfg.Chain, p, m.cfg.Sender.Address(), o.Pieces[i].Bid.Sent, func() (uint64, chain.Height, error) {
		return m.findOrder(ctx, o, i)
	})
	switch {
	case err != nil:
		return o, fmt.Errorf("bid for piece %d: %w", i+1, err)
	case fate.Inclusion != nil:
		return m.landed(ctx, o, i, fate.Inclusion)
	case fate.ID != 0:
		return m.stands(ctx, o, i, fate.ID, fate.At)
	}
	return m.setBid(ctx, o, i, func(b *files.Bid) { b.Sent = nil })
}

// findOrder looks for the order that a bid became among all that were placed
// since it was signed; if it was filled meanwhile, among the deals. If some of
// these are forgotten by now its own may be among them: nobody pays twice on a guess.
func (m *Market) findOrder(ctx context.Context, o *files.Object, i int) (order uint64, at chain.Height, err error) {
	g, err := m.cfg.Chain.Global(ctx)
	if err != nil {
		return 0, 0, err
	}
	others, err := m.knownOrders(ctx)
	if err != nil {
		return 0, 0, err
	}
	s, want := o.Pieces[i].Bid.Sent, &o.Pieces[i]
	mine := m.cfg.Sender.Address()
	for id := s.Since; id < g.NextOrder; id++ {
		var r chain.Order
		ok, err := m.cfg.Chain.Record(ctx, chain.OrderKey(id), &r)
		if err != nil {
			return 0, 0, err
		}
		if ok && r.Owner == mine && r.Bid != nil && !others[id] && r.Bid.PieceCID.String() == want.CID && r.Bid.Part == want.Part {
			return id, r.Placed, nil
		}
	}
	var forgotten error
	for id := s.Deals; id < g.NextDeal; id++ {
		var d chain.Deal
		ok, err := m.cfg.Chain.Record(ctx, chain.DealKey(id), &d)
		if err != nil {
			return 0, 0, err
		}
		if !ok {
			forgotten = fmt.Errorf("deal %d: %w: forget what is to be stored and put it again if no miner stores it", id, errForgotten)
		}
		if ok && d.Client == mine && d.Bid >= s.Since && !others[d.Bid] && d.PieceCID.String() == want.CID && d.Part == want.Part {
			return d.Bid, d.Matched, nil
		}
	}
	return 0, 0, forgotten
}

// knownOrders are the orders that records of this home name.
func (m *Market) knownOrders(ctx context.Context) (map[uint64]bool, error) {
	all, err := m.cfg.Records.Objects(ctx)
	out := map[uint64]bool{}
	for _, o := range all {
		for i := range o.Pieces {
			if id := o.Pieces[i].Bid.Order; id != 0 {
				out[id] = true
			}
		}
	}
	return out, err
}
