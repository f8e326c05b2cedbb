package state

import (
	"fmt"
	"iter"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/chain/state/proof"
)

// rebuild makes the order book of a tree from its orders.
func rebuild(t *Tree) (*orderbook.Book, error) { return orderbook.Rebuild(t.orders()) }

// orders goes through the order records of a tree.
func (t *Tree) orders() iter.Seq2[*chain.Order, error] {
	return func(yield func(*chain.Order, error) bool) {
		stopped := fmt.Errorf("stopped")
		err := t.ForEach(chain.TableOrder, func(id string, record []byte) error {
			o := new(chain.Order)
			if err := chain.Decode(record, o); err != nil {
				return fmt.Errorf("decode order %d: %w", proof.Number(id), err)
			}
			if !yield(o, nil) {
				return stopped
			}
			return nil
		})
		if err != nil && err != stopped {
			yield(nil, err)
		}
	}
}

// bookAfter returns the book after an Update over a state, nil before genesis:
// the one that Apply has made, or else what follows from the changes.
func bookAfter(tip *View, u *consensus.Update) (*orderbook.Book, error) {
	if b := u.Book(); b != nil {
		return b, nil
	}
	book := new(orderbook.Book)
	if tip != nil {
		book = tip.book
	}
	d := book.Draft()
	for i := range u.Changes {
		c := &u.Changes[i]
		if c.Table != chain.TableOrder {
			continue
		}
		if err := rebook(d, tip, c); err != nil {
			return nil, fmt.Errorf("order %d into the book: %w", proof.Number(string(c.ID)), err)
		}
	}
	return d.Book(), nil
}

// rebook puts a changed order into the place of its older form in a book.
func rebook(d *orderbook.Draft, tip *View, c *consensus.Change) error {
	decode := func(raw []byte) (*chain.Order, error) {
		o := new(chain.Order)
		return o, chain.Decode(raw, o)
	}
	if tip != nil {
		raw, err := tip.Record(c.Key())
		if err != nil {
			return err
		}
		if raw != nil {
			was, err := decode(raw)
			if err != nil {
				return err
			}
			d.Remove(was)
		}
	}
	if c.Value == nil {
		return nil
	}
	is, err := decode(c.Value)
	if err != nil {
		return err
	}
	return d.Set(is)
}
