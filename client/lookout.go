package client

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/client/deals"
)

const (
	asksMost  = 2000 // that a quote looks at, whatever the book holds
	looksMost = 40   // pages that it reads of each size of pieces
	planLooks = 3    // pages that show which pieces are taken
)

// lookout reads as much of the order book as a quote needs.
type lookout struct {
	directory Directory
	lists     []*askList // one for each size of pieces
	seen      map[uint64]bool
	ahead     map[uint64]*chain.Order
	floor     *chain.Amount // of asks that are not in the book yet, the lowest price for which bids were read
}

// askList is a list that is being read.
type askList struct {
	wanted orderbook.Wanted
	cursor string
	over   bool
}

func (c *Client) lookout(wanted ...orderbook.Wanted) *lookout {
	l := &lookout{directory: c.cfg.Directory, seen: map[uint64]bool{}, ahead: map[uint64]*chain.Order{}}
	for _, w := range wanted {
		l.lists = append(l.lists, &askList{wanted: w})
	}
	return l
}

// look reads on, a page of each list, into the situation.
func (l *lookout) look(ctx context.Context, s *deals.Situation) error {
	s.More = false
	for _, list := range l.lists {
		if list.over {
			continue
		}
		asks, next, err := l.directory.Asks(ctx, &list.wanted, list.cursor)
		if err != nil {
			return fmt.Errorf("read order book: %w", err)
		}
		list.cursor, list.over = next, next == ""
		for _, o := range asks {
			if !l.seen[o.ID] && o.Ask != nil {
				l.seen[o.ID] = true
				s.Asks = append(s.Asks, o)
			}
		}
		s.More = s.More || !list.over
	}
	return nil
}

// lookAhead reads the bids that come before a new one: those that still search at all
// prices that the asks have, and those that wait for asks of which the first are not in
// the book yet.
func (l *lookout) lookAhead(ctx context.Context, s *deals.Situation) error {
	if len(s.Asks) == 0 {
		return nil
	}
	price := func(a *chain.Order) chain.Amount { return a.Ask.Price }
	lowest := func(asks []*chain.Order) chain.Amount {
		return price(slices.MinFunc(asks, func(a, b *chain.Order) int { return price(a).Cmp(price(b)) }))
	}
	if len(l.ahead) == 0 {
		if err := l.bids(ctx, lowest(s.Asks), true); err != nil {
			return err
		}
	}
	unsettled := slices.DeleteFunc(slices.Clone(s.Asks), func(o *chain.Order) bool { return o.State == chain.OrderResting })
	if len(unsettled) > 0 {
		if floor := lowest(unsettled); l.floor == nil || floor.Less(*l.floor) {
			l.floor = &floor
			if err := l.bids(ctx, floor, false); err != nil {
				return err
			}
		}
	}
	s.Ahead = slices.SortedFunc(func(yield func(*chain.Order) bool) {
		for _, o := range l.ahead {
			if !yield(o) {
				return
			}
		}
	}, func(a, b *chain.Order) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}

func (l *lookout) bids(ctx context.Context, price chain.Amount, fresh bool) error {
	bids, err := l.directory.Bids(ctx, price, fresh)
	if err != nil {
		return fmt.Errorf("read order book: %w", err)
	}
	for _, o := range bids {
		if o.Bid != nil {
			l.ahead[o.ID] = o
		}
	}
	return nil
}

// price prices bids by as much of the book as it takes to find asks for all copies.
func (c *Client) price(ctx context.Context, s *deals.Situation, terms []chain.BidTerms) (*deals.Quote, error) {
	var wanted []orderbook.Wanted
	for i := range terms {
		t := &terms[i]
		if !slices.ContainsFunc(wanted, func(w orderbook.Wanted) bool { return w.Size == t.PaddedSize }) {
			wanted = append(wanted, orderbook.Wanted{Size: t.PaddedSize, Duration: t.Duration, Collateral: t.MinCollateral, MaxPrice: t.MaxPrice, Regions: t.Regions})
		}
	}
	now := *s
	now.Asks, now.Ahead = nil, nil
	if d, ok := c.cfg.Directory.(nodeDirectory); ok {
		now.Proven = d.records != nil
	}
	l := c.lookout(wanted...)
	for range looksMost {
		if err := l.look(ctx, &now); err != nil {
			return nil, err
		}
		if err := l.lookAhead(ctx, &now); err != nil {
			return nil, err
		}
		q, err := now.Price(terms)
		if err != nil || q.Missing == 0 || !now.More || len(now.Asks) >= asksMost {
			return q, err
		}
	}
	return now.Price(terms)
}

// pieceSize is the largest size of pieces that miners take at about the lowest price.
func (c *Client) pieceSize(ctx context.Context, s *deals.Situation, copies uint64, w orderbook.Wanted) (uint64, error) {
	now := *s
	now.Asks = nil
	l := c.lookout(w)
	for range planLooks {
		if err := l.look(ctx, &now); err != nil {
			return 0, err
		}
		if !now.More {
			break
		}
	}
	return now.PieceSize(copies), nil
}
