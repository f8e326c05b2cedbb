package consensus

import (
	"math"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestTimeChangesNothing: whatever time a block says, back, ahead or none, it
// does the same; only the time itself is noted for readers. So clocks that are
// wrong cannot part two nodes.
func TestTimeChangesNothing(t *testing.T) {
	n := newNetwork(t, testParams(), fakeVerifier{}, []named{{"alice", chain.PDR(100)}})
	proof := provingMiner(t, n)
	b := &Block{Height: n.height + 1, Time: 1_700_000_000, Proposer: proposerOf(n.vals[0]), Beacon: n.contribution(beaconGiven),
		Messages: [][]byte{n.message("alice", 0, &chain.Transfer{To: addressOf(t, "bob"), Amount: chain.PDR(1)}), n.message("alice", 0, proof)}}
	apply := func(time uint64) *Update {
		at := *b
		at.Time = time
		u, results, err := Apply(n.params, n.view, n.verify, &at)
		must(t, err)
		ok(t, results)
		if u.Time != time {
			t.Errorf("the update says %d, the block %d", u.Time, time)
		}
		u.Time = 0
		for i := range u.Changes {
			if c := &u.Changes[i]; c.Table == chain.TableGlobal {
				var g chain.Global
				must(t, chain.Decode(c.Value, &g))
				g.Time = 0
				c.Value, err = chain.Encode(&g)
				must(t, err)
			}
		}
		return u
	}
	want := apply(b.Time)
	if !slices.ContainsFunc(want.Events, func(e Event) bool { return e.Kind == EventSectorProven }) {
		t.Fatal("the block proves nothing")
	}
	for _, time := range []uint64{0, 1, b.Time - 1_000_000, b.Time + 1_000_000, math.MaxInt64} {
		sameUpdate(t, want, apply(time))
	}
}
