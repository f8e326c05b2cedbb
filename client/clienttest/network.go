package clienttest

import (
	"context"
	"sync"
	"testing"

	"github.com/perdure/perdure/chain"
)

// Network is a chain that makes blocks, and miners at work, until the test ends.
type Network struct {
	Chain  *Chain
	Miners []*Miner
}

// NewNetwork starts a chain and a miner for each price of an ask, attoPDR per GiB
// per block. The asks are in the book when it returns.
func NewNetwork(t testing.TB, prices ...chain.Amount) *Network {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n := &Network{Chain: NewChain(t)}
	var running sync.WaitGroup
	stop := func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	run := func(what func(context.Context) error) {
		running.Go(func() {
			if err := what(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	run(n.Chain.Run)
	for i, price := range prices {
		m := NewMiner(t, n.Chain, i, price)
		n.Miners = append(n.Miners, m)
		run(m.Run)
	}
	t.Cleanup(stop) // before the miners' hosts, ledgers and directories, which they work with
	n.Chain.Advance(6)
	return n
}
