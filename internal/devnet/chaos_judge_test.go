package devnet

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/chain/state"
)

// loss is a sector that the chain took from its miner.
type loss struct {
	at     chain.Height
	miner  chain.MinerID
	sector uint64
}

// judge holds every height of a network against the rules: it applies the
// recorded blocks to a state of its own, compares that with what each node
// has, and audits it.
type judge struct {
	t      *testing.T
	nodes  []*Node
	params *consensus.Params
	own    *state.Store
	hashes [][]byte       // app hash by height
	seen   []chain.Height // by node: compared up to here

	lost     []loss
	copies   map[uint64]bool // lost deals that are neither repaired nor refunded
	repaired int
	refunded int
	events   map[consensus.EventKind]int
}

func newJudge(t *testing.T, w *World) *judge {
	t.Helper()
	_, g, err := node.LoadGenesis(w.home(0))
	if err != nil {
		t.Fatal(err)
	}
	own, err := state.Open(state.Config{Dir: t.TempDir(), Params: w.Params})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Close(); err != nil {
			t.Error(err)
		}
	})
	u, err := consensus.GenesisUpdate(g)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := own.Genesis(u)
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{t: t, nodes: w.Nodes, params: w.Params, own: own, hashes: [][]byte{hash}, seen: make([]chain.Height, len(w.Nodes)),
		events: map[consensus.EventKind]int{}, copies: map[uint64]bool{}}
	var all []int
	for i := range w.Nodes {
		all = append(all, i)
	}
	j.height(w.Height(), all)
	return j
}

// height judges everything up to a height, which the live nodes have reached.
func (j *judge) height(h chain.Height, live []int) {
	j.t.Helper()
	for next := chain.Height(len(j.hashes)); next <= h; next++ {
		j.apply(next, j.nodes[live[0]])
	}
	if err := consensus.Audit(j.params, j.own.View()); err != nil {
		j.t.Fatal(err)
	}
	for _, i := range live {
		for ; j.seen[i] < h; j.seen[i]++ {
			j.compare(i, j.seen[i]+1)
		}
	}
}

// apply makes the state of a height from the block that a node recorded.
func (j *judge) apply(h chain.Height, from *Node) {
	j.t.Helper()
	b, err := from.Block(h)
	if err != nil {
		j.t.Fatal(err)
	}
	u, _, err := consensus.Apply(j.params, j.own.View(), consensus.Direct{}, b)
	if err != nil {
		j.t.Fatalf("apply recorded block %d: %v", h, err)
	}
	hash, err := j.own.Stage(u)
	if err == nil {
		err = j.own.Commit()
	}
	if err != nil {
		j.t.Fatal(err)
	}
	j.hashes = append(j.hashes, hash)
	for i := range u.Events {
		j.take(h, &u.Events[i])
	}
}

// compare holds a node's state of a height against the judge's.
func (j *judge) compare(i int, h chain.Height) {
	j.t.Helper()
	tree, err := j.nodes[i].Store().At(h)
	if err != nil {
		j.t.Fatalf("node %d: %v", i, err)
	}
	if !bytes.Equal(tree.AppHash(), j.hashes[h]) {
		j.t.Fatalf("height %d: node %d has app hash %x, the recorded block gives %x", h, i, tree.AppHash(), j.hashes[h])
	}
}

// take follows what happens to sectors and copies.
func (j *judge) take(h chain.Height, e *consensus.Event) {
	j.t.Helper()
	j.events[e.Kind]++
	switch {
	case e.Kind == consensus.EventSectorFaulty:
		j.t.Logf("height %d: sector %d of miner %d is faulty (%s)", h, e.Sector, e.Miner, e.Reason)
	case e.Kind == consensus.EventSectorRecovered:
		j.t.Logf("height %d: sector %d of miner %d has recovered", h, e.Sector, e.Miner)
	case e.Kind == consensus.EventSectorEnded && e.Reason == "lost":
		j.t.Logf("height %d: sector %d of miner %d is lost, %s of its pledge burned", h, e.Sector, e.Miner, e.Amount.Human())
		j.lost = append(j.lost, loss{h, e.Miner, e.Sector})
	case e.Kind == consensus.EventDealEnded && e.Reason == "lost":
		j.t.Logf("height %d: the copy of deal %d is lost", h, e.Deal)
		j.copies[e.Deal] = true
	case e.Kind == consensus.EventEquivocation:
		j.t.Errorf("height %d: miner %d is slashed, and nobody signs twice here", h, e.Miner)
	case e.Kind == consensus.EventRepairEnded:
		if !j.copies[e.Deal] {
			j.t.Errorf("height %d: deal %d is repaired or refunded (%s), and was not lost", h, e.Deal, e.Reason)
		}
		delete(j.copies, e.Deal)
		switch {
		case e.Index != 0:
			j.t.Logf("height %d: deal %d repairs deal %d", h, e.Index, e.Deal)
			j.repaired++
		case e.Amount.IsZero():
			j.t.Errorf("height %d: lost deal %d is not repaired (%s), and its client gets nothing", h, e.Deal, e.Reason)
		default:
			j.t.Logf("height %d: the client of deal %d gets %s back (%s)", h, e.Deal, e.Amount.Human(), e.Reason)
			j.refunded++
		}
	}
}

// String says what happened.
func (j *judge) String() string {
	n := j.events
	return fmt.Sprintf("%d sectors active, %d proofs, %d faults, %d recoveries, %d sectors lost; %d deals active, %d ended; "+
		"%d copies repaired, %d refunded; %d changes of votes; %d beacons skipped",
		n[consensus.EventSectorActive], n[consensus.EventSectorProven], n[consensus.EventSectorFaulty], n[consensus.EventSectorRecovered],
		len(j.lost), n[consensus.EventDealActive], n[consensus.EventDealEnded], j.repaired, j.refunded, n[consensus.EventVotesChanged],
		n[consensus.EventBeaconSkipped])
}
