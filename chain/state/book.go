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

// nextBook returns the book after a block's changes; nil is the book before genesis.
func nextBook(book *orderbook.Book, changes []consensus.Change) (*orderbook.Book, error) {
	if book == nil {
		book = new(orderbook.Book)
	}
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Table != chain.TableOrder:
		case c.Value == nil:
			book = book.Remove(proof.Number(string(c.ID)))
		default:
			o := new(chain.Order)
			err := chain.Decode(c.Value, o)
			if err == nil {
				book, err = book.Set(o)
			}
			if err != nil {
				return nil, fmt.Errorf("order %d into the book: %w", proof.Number(string(c.ID)), err)
			}
		}
	}
	return book, nil
}
