package seller

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// Access says who may fetch something.
type Access uint8

// The kinds of access. A deal's grant is above all of them.
const (
	Closed Access = iota // nobody
	Free                 // everybody, for nothing
	Paid                 // whoever pays
)

// String returns the kind as one word.
func (a Access) String() string {
	switch a {
	case Closed:
		return "closed"
	case Free:
		return "free"
	case Paid:
		return "paid"
	}
	return "unknown"
}

// Item is what somebody asks for.
type Item struct {
	Peer  string  // who asks: a binary peer ID; empty where nobody knows, as over HTTP
	Piece cid.Cid // the piece it is in; undefined if that was not looked up
	Root  cid.Cid // the root of the payload
}

// Terms are what an item costs.
type Terms struct {
	Access Access
	// Price is attoPDR a chunk, Payee who is paid: where Access is Paid. Where it is
	// Free, Payee is who is paid for unsealing; nil: that is free, too.
	Price chain.Amount
	Payee *chain.Address
	// FreeChunks is how many chunks the peer gets for nothing each FreePeriod.
	FreeChunks uint64
}

// Prices says what things cost. It is asked once for each session, and by an
// HTTP gateway for each request: one answer for all who serve.
type Prices interface {
	Terms(ctx context.Context, item Item) (Terms, error)
}

// Terms makes fixed terms Prices that are the same for everything.
func (t Terms) Terms(context.Context, Item) (Terms, error) { return t, nil }

// check refuses terms that cannot be kept.
func (t *Terms) check(c *Config) error {
	switch {
	case t.Access != Paid:
		return nil
	case t.Price.IsZero():
		return errors.New("seller's terms: paid, but the price is 0")
	case t.Payee == nil:
		return errors.New("seller's terms: a price needs a payee")
	case c.Chain == nil || c.Ledger == nil:
		return errors.New("seller's terms: a price needs a chain and a ledger")
	}
	return nil
}
