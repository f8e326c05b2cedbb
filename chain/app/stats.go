package app

import (
	"sync/atomic"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// counters are what happened since the application started.
type counters struct {
	messages, failed, proofs, skips atomic.Uint64
	refused, rejected, leftOut      atomic.Uint64
}

func (c *counters) block(u *consensus.Update) {
	for _, r := range u.Receipts {
		c.messages.Add(1)
		if r.Code != uint64(consensus.CodeOK) {
			c.failed.Add(1)
		} else if r.Kind == chain.KindSubmitWindowProof {
			c.proofs.Add(1)
		}
	}
	for i := range u.Events {
		if u.Events[i].Kind == consensus.EventBeaconSkipped {
			c.skips.Add(1)
		}
	}
}

// Stats are figures for metrics. All but the first three count from the start
// of the process.
type Stats struct {
	Height       chain.Height
	Pending      int    // messages that wait
	PendingBytes uint64 // their size
	Messages     uint64 // messages in blocks
	Failed       uint64 // of which without success
	Proofs       uint64 // accepted window proofs
	Skips        uint64 // heights without a contribution to the beacon
	Refused      uint64 // messages refused by the mempool
	Rejected     uint64 // proposals rejected

	// Window proofs that the next block may have, and, summed over all blocks,
	// those that a block did not have although they had waited for a block
	// before it. A full lane leaves proofs out, and so does a bad proposer.
	ProofsOpen    int
	ProofsLeftOut uint64
}

// Stats returns the present figures.
func (a *App) Stats() Stats {
	s := Stats{Messages: a.counters.messages.Load(), Failed: a.counters.failed.Load(),
		Proofs: a.counters.proofs.Load(), Skips: a.counters.skips.Load(),
		Refused: a.counters.refused.Load(), Rejected: a.counters.rejected.Load(),
		ProofsLeftOut: a.counters.leftOut.Load()}
	if v := a.store.View(); v != nil {
		s.Height = v.Height()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Pending, s.PendingBytes, s.ProofsOpen = a.pool.Len(), a.pool.Bytes(), a.pool.Proofs()
	return s
}
