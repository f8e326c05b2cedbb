package consensus

import (
	"fmt"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// bookAfter is the book that a follower keeps by applying an update to the one
// before and the records before.
func bookAfter(book *orderbook.Book, before map[chain.Key][]byte, u *Update) *orderbook.Book {
	if book == nil {
		book = new(orderbook.Book)
	}
	d := book.Draft()
	order := func(raw []byte) *chain.Order {
		o := new(chain.Order)
		if err := chain.Decode(raw, o); err != nil {
			panic(err)
		}
		return o
	}
	for _, c := range u.Changes {
		if c.Table != chain.TableOrder {
			continue
		}
		if raw := before[c.Key()]; raw != nil {
			d.Remove(order(raw))
		}
		if c.Value == nil {
			continue
		}
		if err := d.Set(order(c.Value)); err != nil {
			panic(err)
		}
	}
	after := d.Book()
	if made := u.Book(); made != nil && !made.Equal(after) {
		panic(fmt.Sprintf("height %d: Apply hands over another book than its changes make", u.Height))
	}
	return after
}

// checkBook compares the book that was carried along with one rebuilt from the state.
func checkBook(n *network) {
	n.t.Helper()
	rebuilt, err := orderbook.Rebuild(func(yield func(*chain.Order, error) bool) {
		each(n, chain.TableOrder, func(_ chain.Key, o *chain.Order) { yield(o, nil) })
	})
	must(n.t, err)
	if !rebuilt.Equal(n.view.book) {
		n.t.Fatalf("height %d: the book carried along differs from the one rebuilt from the state", n.height)
	}
}

// checkInvariants audits the state, and what is carried along beside it.
func (n *network) checkInvariants() {
	n.t.Helper()
	if g := n.global(); g.Height != n.height {
		n.t.Fatalf("global record says height %d, the chain is at %d", g.Height, n.height)
	}
	checkBook(n)
	must(n.t, Audit(n.params, n.view))
	n.checkBorder()
}

// ForEach implements Records.
func (v *mapView) ForEach(t chain.Table, visit func(id string, record []byte) error) error {
	for _, k := range v.keys(t) {
		if err := visit(k.ID, v.records[k]); err != nil {
			return err
		}
	}
	return nil
}

// sum adds amounts.
type sum struct{ total chain.Amount }

func (s *sum) add(t testing.TB, amounts ...chain.Amount) {
	t.Helper()
	for _, a := range amounts {
		var err error
		s.total, err = s.total.Add(a)
		must(t, err)
	}
}

// each decodes every record of a table, in order.
func each[T any, P interface {
	*T
	chain.CBOR
}](n *network, t chain.Table, visit func(chain.Key, P)) {
	n.t.Helper()
	for _, k := range n.view.keys(t) {
		v := P(new(T))
		n.record(k, v)
		visit(k, v)
	}
}
