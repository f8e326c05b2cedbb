package explorer

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
)

// Populated serves a chain with one of everything, for tests that stand
// outside of the package because they import what imports it.
func Populated(t testing.TB, change ...func(*Config)) *API {
	t.Helper()
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n, change...)
	return api
}

// Forgotten serves a chain whose deal 1 and sector t01000/8 have left the state.
func Forgotten(t testing.TB) *API {
	t.Helper()
	_, api := forgotten(t)
	return api
}

// Fresh serves a chain at genesis.
func Fresh(t testing.TB) *API {
	t.Helper()
	api, _ := serve(t, newNetwork(t))
	return api
}

// Busy serves a chain in which much happened to one thing: a channel was topped
// up so often, and a message extended so many sectors. It returns the message's hash.
func Busy(t testing.TB, topUps, sectors int) (*API, string) {
	t.Helper()
	n := newNetwork(t)
	n.populate()
	n.several("client", topUps, func(i int) chain.Body { return &chain.TopUpChannel{Channel: 1, Amount: chain.Atto(uint64(i) + 1)} })
	var numbers []uint64
	for i := range sectors {
		numbers = append(numbers, 1000+uint64(i))
	}
	h := n.store.View().Height()
	n.several("worker", sectors, func(i int) chain.Body {
		return &chain.PreCommitSectors{Miner: testMiner, Sectors: []chain.PreCommit{{Number: numbers[i], CommR: commitment("commr"), TicketHeight: h, Expiration: n.params.LeastExpiration(h+1) + 1000}}}
	})
	for range n.params.SeedDelay {
		n.block()
	}
	n.several("worker", sectors, func(i int) chain.Body {
		return &chain.ProveCommit{Miner: testMiner, Number: numbers[i], Proof: []byte("ok")}
	})
	extend := n.message("worker", 0, &chain.ExtendSectors{Miner: testMiner, Sectors: numbers, Expiration: n.params.LeastExpiration(n.store.View().Height()) + 2000})
	n.all(extend)
	api, _ := serve(t, n)
	return api, chain.HashBytes(extend).String()
}

// Proposed serves a chain with so many proposals.
func Proposed(t testing.TB, count int) *API {
	t.Helper()
	n := newNetwork(t)
	n.block()
	n.several("val", count, func(i int) chain.Body { return n.change(i) })
	api, _ := serve(t, n)
	return api
}

// LongQuery is a query of very many parameters, and the
// allocations that it takes to read it once.
func LongQuery(t testing.TB) (query string, allocations float64) {
	t.Helper()
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "&%d=1", i)
	}
	query = b.String()[1:]
	return query, testing.AllocsPerRun(10, func() {
		if _, err := url.ParseQuery(query); err != nil {
			t.Fatal(err)
		}
	})
}

// several makes blocks of messages of one sender, as many a block as fit.
func (n *network) several(from string, count int, body func(i int) chain.Body) {
	n.t.Helper()
	const most = 60
	for i := 0; i < count; i += most {
		var all [][]byte
		for k := i; k < min(i+most, count); k++ {
			all = append(all, n.message(from, uint64(k-i), body(k)))
		}
		n.all(all...)
	}
}
