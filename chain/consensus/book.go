package consensus

import (
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// rebooked is an order that enters the book, leaves it, or changes in it.
type rebooked struct{ was, is *chain.Order } // nil: not in the book

// rebook notes what a change of an order means for the book; one that waits is
// in none. The records are the book's from then on.
func (s *state) rebook(was, is *chain.Order) { s.booked = append(s.booked, rebooked{was, is}) }

// settleBook makes the noted changes, all of them in one go.
func (s *state) settleBook() error {
	if len(s.booked) == 0 {
		return nil
	}
	d := s.book.Draft()
	for _, c := range s.booked {
		if c.was != nil {
			d.Remove(c.was)
		}
		if c.is == nil {
			continue
		}
		if err := d.Set(c.is); err != nil {
			return fmt.Errorf("order book: %w", err)
		}
	}
	s.book, s.booked = d.Book(), nil
	return nil
}

// Book is the order book after the block of an Update that Apply has made, so
// that nobody needs to work it out again; nil of one that was decoded.
func (u *Update) Book() *orderbook.Book { return u.book }
