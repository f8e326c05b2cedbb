package consensus

import (
	"encoding/binary"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// bookAfter is the book that a follower keeps by applying an update.
func bookAfter(before *mapView, u *Update, after *mapView) *orderbook.Book {
	book := new(orderbook.Book)
	if before.book != nil {
		book = before.book
	}
	for _, c := range u.Changes {
		if c.Table != chain.TableOrder {
			continue
		}
		if c.Value == nil {
			book = book.Remove(binary.BigEndian.Uint64(c.ID))
			continue
		}
		o := new(chain.Order)
		err := chain.Decode(c.Value, o)
		if err == nil {
			book, err = book.Set(o)
		}
		if err != nil {
			panic(err)
		}
	}
	return book
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

// checkInvariants recounts everything that sums up, from the records alone.
func (n *network) checkInvariants() {
	n.t.Helper()
	g := n.global()
	if g.Height != n.height {
		n.t.Fatalf("global record says height %d, the chain is at %d", g.Height, n.height)
	}
	must(n.t, g.Supply.Check())
	var free, locked sum
	countAccounts(n, &free)
	countMiners(n, &free, &locked)
	countMarket(n, &locked)
	checkBook(n)
	n.checkMarket()
	n.checkSectors()
	each(n, chain.TableChannel, func(_ chain.Key, c *chain.Channel) { locked.add(n.t, c.Balance) })
	if free.total != g.Supply.Accounts || locked.total != g.Supply.Locked {
		n.t.Fatalf("height %d: records hold %s free and %s locked, the supply says %s and %s",
			n.height, free.total, locked.total, g.Supply.Accounts, g.Supply.Locked)
	}
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

func countAccounts(n *network, free *sum) {
	n.t.Helper()
	each(n, chain.TableAccount, func(_ chain.Key, a *chain.Account) { free.add(n.t, a.Balance) })
}

// countMiners sums miners' money and checks it, and their power, against their sectors.
func countMiners(n *network, free, locked *sum) {
	n.t.Helper()
	type held struct{ pledge, deposits sum }
	sectors := map[chain.MinerID]*held{}
	each(n, chain.TableSector, func(_ chain.Key, s *chain.Sector) {
		if sectors[s.Miner] == nil {
			sectors[s.Miner] = new(held)
		}
		sectors[s.Miner].pledge.add(n.t, s.Pledge)
		sectors[s.Miner].deposits.add(n.t, s.Deposit)
	})
	var power uint64
	each(n, chain.TableMiner, func(_ chain.Key, m *chain.Miner) {
		free.add(n.t, m.Balance)
		locked.add(n.t, m.Pledge, m.Deposits)
		power += m.Power
		h := sectors[m.ID]
		if h == nil {
			h = new(held)
		}
		if h.pledge.total != m.Pledge || h.deposits.total != m.Deposits {
			n.t.Fatalf("height %d: miner %d records pledge %s and deposits %s, its sectors %s and %s", n.height, m.ID,
				m.Pledge, m.Deposits, h.pledge.total, h.deposits.total)
		}
	})
	if power != n.global().Power {
		n.t.Fatalf("height %d: miners have power %d, the global record says %d", n.height, power, n.global().Power)
	}
}

func countMarket(n *network, locked *sum) {
	n.t.Helper()
	each(n, chain.TableOrder, func(_ chain.Key, o *chain.Order) { locked.add(n.t, o.Locked, o.Deposit) })
	each(n, chain.TableDeal, func(_ chain.Key, d *chain.Deal) {
		locked.add(n.t, d.Unspent, d.Collateral, d.ClientDeposit, d.MinerDeposit)
	})
}
