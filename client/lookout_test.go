package client

import (
	"context"
	"strconv"
	"testing"

	"github.com/filecoin-project/go-address"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/porep/piece"
)

// bookDirectory lists the asks of a book that is larger than anybody reads.
type bookDirectory struct {
	Directory
	book  *orderbook.Book
	asked int
}

// Asks implements Directory; cursors are how many asks were listed.
func (d *bookDirectory) Asks(_ context.Context, w *orderbook.Wanted, cursor string) (out []*chain.Order, next string, err error) {
	d.asked++
	skip, _ := strconv.Atoi(cursor)
	f := d.book.Offers(w, chain.Place{}, skip+asksPage, 1<<30)
	if f.More {
		next = strconv.Itoa(skip + asksPage)
	}
	return f.Orders[min(skip, len(f.Orders)):], next, nil
}

// Bids implements Directory.
func (d *bookDirectory) Bids(_ context.Context, price chain.Amount, fresh bool) ([]*chain.Order, error) {
	return d.book.Wishes(price, fresh, chain.Place{}, bidsMost).Orders, nil
}

// bookOf is a book of n asks of one owner and behind them some of others.
func bookOf(t *testing.T, n, others uint64) *orderbook.Book {
	t.Helper()
	d := new(orderbook.Book).Draft()
	for i := range n + others {
		number := uint64(1)
		if i >= n {
			number += i
		}
		owner, err := address.NewIDAddress(number)
		if err != nil {
			t.Fatal(err)
		}
		err = d.Set(&chain.Order{ID: i + 1, Owner: owner, Placed: 1, Free: 1 << 30, Locked: chain.PDR(100), State: chain.OrderResting, Ask: &chain.AskTerms{
			Miner: 1000 + i, Price: chain.Atto(10 + i), Capacity: 1 << 30, MinPiece: 128, MaxPiece: 8 << 20, MinDuration: 60, MaxDuration: 5000, Expiry: 1000}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return d.Book()
}

// TestLookout: a quote reads as much of a book as it needs, the cheapest asks first, and
// says how much that was.
func TestLookout(t *testing.T) {
	for _, c := range []struct {
		name           string
		asks, others   uint64
		pages, seen    int
		missing, price uint64
		more           bool
	}{
		{"small", 3, 1, 1, 4, 0, 10 + 13, false},
		{"two owners on the first page", 50, 500, 1, 100, 0, 10 + 60, true},
		{"the second owner on the third", 250, 100, 3, 300, 0, 10 + 260, true},
		{"one owner in the whole book", 450, 0, 5, 450, 1, 10, false},
		{"one owner as far as anybody looks", 2500, 10, 20, 2000, 1, 10, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &bookDirectory{book: bookOf(t, c.asks, c.others)}
			cl := &Client{cfg: Config{Directory: d}}
			me, err := address.NewIDAddress(9999)
			if err != nil {
				t.Fatal(err)
			}
			s := &deals.Situation{Params: consensus.Devnet(), Owner: me, Account: &chain.Account{},
				Global: &chain.Global{Height: 10, NextOrder: 10_000, BaseFee: chain.Atto(100)}}
			p := &plan{copies: 2, duration: 1024}
			q, err := cl.price(t.Context(), s, p.terms(s, &pack.Packed{Root: someRoot,
				Pieces: []pack.Piece{{Info: piece.Info{CID: somePiece, PaddedSize: 1 << 20}, Parts: 1}}}))
			if err != nil {
				t.Fatal(err)
			}
			if d.asked != c.pages || q.Asks != c.seen || q.More != c.more || q.Missing != c.missing || q.Price != chain.Atto(c.price) {
				t.Errorf("%d pages, %d asks seen, more %v, %d missing, price %s", d.asked, q.Asks, q.More, q.Missing, q.Price)
			}
		})
	}
}
