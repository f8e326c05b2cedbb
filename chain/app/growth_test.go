package app

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/post"
)

// proofBytes is the size of a window proof of so many sectors, the mean over
// draws: a header, and for each sector its two roots and the challenged leaves,
// with the siblings of each group of nodes on their paths once.
func proofBytes(t *testing.T, seal abi.RegisteredSealProof, sectors, challenges int) int {
	t.Helper()
	const draws, header, node = 200, 2, 32
	window, err := post.WindowProof(seal)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := post.TreeOf(window)
	if err != nil {
		t.Fatal(err)
	}
	arities, err := tree.Shape.Arities(tree.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	nodes := 0
	for i := range draws {
		at := post.Leaves(sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))), 1, tree.Nodes, challenges)
		nodes += len(at)
		for _, arity := range arities {
			groups := map[uint64]bool{}
			for j := range at {
				at[j] /= uint64(arity)
				groups[at[j]] = true
			}
			nodes += len(groups) * (arity - 1)
		}
	}
	size := header + sectors*node*(2*draws+nodes)/draws
	if most, err := post.MaxProofSize(window, sectors, challenges); err != nil || size > most {
		t.Fatalf("a proof of %d bytes, no valid one is longer than %d (%v)", size, most, err)
	}
	return size
}

// recorded remembers the sizes of the blocks that are read through it.
type recorded struct {
	under proof.Blocks
	sizes map[cid.Cid]int
}

func (r *recorded) Block(c cid.Cid) ([]byte, error) {
	b, err := r.under.Block(c)
	r.sizes[c] = len(b)
	return b, err
}

// tree is the sizes of all blocks of the newest state.
func (e *engine) tree() map[cid.Cid]int {
	e.t.Helper()
	store := e.members[0].store
	r := &recorded{store, map[cid.Cid]int{}}
	top, err := proof.LinkOfAppHash(store.View().AppHash())
	if err != nil {
		e.t.Fatal(err)
	}
	root, err := proof.ReadRoot(r, top)
	for table := chain.Table(0); table < chain.TableEnd && err == nil; table++ {
		err = proof.ForEach(r, root, table, func(string, []byte) error { return nil })
	}
	if err != nil {
		e.t.Fatal(err)
	}
	return r.sizes
}

// growth is what blocks add, in bytes.
type growth struct{ messages, updates, nodes, state float64 }

func (g growth) minus(o growth, times float64) growth {
	return growth{g.messages - times*o.messages, g.updates - times*o.updates, g.nodes - times*o.nodes, g.state - times*o.state}
}

// grow makes blocks and adds up what they write: messages into the chain,
// Updates and new nodes of the tree into the state's database until they are out of
// retention, and by how much the newest state is larger.
func (e *engine) grow(blocks uint64, before func()) (g growth) {
	e.t.Helper()
	old := e.tree()
	for range blocks {
		before()
		e.block()
		for _, tx := range e.blocks[len(e.blocks)-1] {
			g.messages += float64(len(tx))
		}
		raw, err := e.members[0].store.Update(chain.Height(e.height))
		if err != nil {
			e.t.Fatal(err)
		}
		g.updates += float64(len(raw))
		now := e.tree()
		for c, size := range now {
			if _, known := old[c]; !known {
				g.nodes += float64(size)
			}
			g.state += float64(size)
		}
		for _, size := range old {
			g.state -= float64(size)
		}
		old = now
	}
	return g
}

// TestGrowth proves 96 sectors window after window and prints what that adds to
// the chain and to the state for each sector. What it adds for good is nothing.
func TestGrowth(t *testing.T) {
	const sectors, periods = 3 * chain.PartitionSectors, 3
	for _, c := range []struct {
		name string
		seal abi.RegisteredSealProof
	}{{"2 KiB", abi.RegisteredSealProof_StackedDrg2KiBV1_1}, {"8 MiB", abi.RegisteredSealProof_StackedDrg8MiBV1_1}} {
		e := newEngine(t, 1)
		e.verify = texts{}
		e.members[0].app.memo.verify = e.verify
		e.block()
		empty := e.grow(20, func() {}).minus(growth{}, 0)
		empty = growth{empty.messages / 20, empty.updates / 20, empty.nodes / 20, empty.state / 20}
		begin := len64(e.tree())
		e.seal(c.seal, sectors, 50_000)
		standing := (len64(e.tree()) - begin - empty.state*float64(e.height-21)) / sectors
		size := proofBytes(t, c.seal, chain.PartitionSectors, int(e.params.WindowChallenges))
		text := append([]byte("ok"), make([]byte, size-2)...)
		proofs := 0
		prove := func() {
			if due := e.opening(); due != nil {
				due.Proof = text
				e.submit(e.sign(minerAccount, chain.Message{MaxFee: chain.PDR(1)}, due))
				proofs++
			}
		}
		for range e.params.SeedDelay + e.params.ProveDue { // until nothing waits of how the sectors came to be
			prove()
			e.block()
		}
		proofs = 0
		blocks := periods * e.params.Period()
		g := e.grow(blocks, prove).minus(empty, float64(blocks))
		windows := float64(proofs * chain.PartitionSectors)
		if want := periods * 3; proofs != want {
			t.Fatalf("%s: %d proofs in %d periods, want %d", c.name, proofs, periods, want)
		}
		perProof := func(x float64) float64 { return x / windows }
		t.Logf("%s, a sector and window: chain %.0f B (its share of a proof of %d B: %.0f, of the rest of the message: %.0f); "+
			"until out of retention: Update %.0f B, new nodes %.0f B; for good %.1f B", c.name, perProof(g.messages), size,
			float64(size)/chain.PartitionSectors, perProof(g.messages)-float64(size)/chain.PartitionSectors, perProof(g.updates), perProof(g.nodes), perProof(g.state))
		t.Logf("%s, a sector: %.0f B of state once, for records and nodes; an empty block: chain %.0f B of messages, Update %.0f B, new nodes %.0f B, for good %.1f B",
			c.name, standing, empty.messages, empty.updates, empty.nodes, empty.state)
		if lasting := perProof(g.state); lasting > 2 {
			t.Errorf("%s: each proven sector and window leaves %.1f bytes in the state for good", c.name, lasting)
		}
	}
	t.Log(perDay(t, "testnet, 8 MiB", consensus.Testnet(), abi.RegisteredSealProof_StackedDrg8MiBV1_1))
	t.Log(perDay(t, "mainnet, 32 GiB", consensus.Mainnet(), abi.RegisteredSealProof_StackedDrg32GiBV1_1))
}

// TestNothingStays lets the sectors of a miner expire and prints what the state holds
// of them while their records stay, and after: nothing but the miner itself. Beacon
// values are as many as rules read all along.
func TestNothingStays(t *testing.T) {
	const sectors = 3 * chain.PartitionSectors
	e := newEngine(t, 1, func(p *consensus.Params) { // as little as bounds allow
		p.StateRetention, p.EvidenceAge, p.TrustPeriod, p.Unbonding, p.RepairBy = 3*p.Period(), 40, 20, 40, 30
		p.TicketAge, p.ProveDue, p.EndedRetention = 50, 40, p.StateRetention+1
	})
	e.verify = texts{}
	e.members[0].app.memo.verify = e.verify
	settle := func(blocks uint64) float64 {
		for range blocks {
			e.block()
		}
		return len64(e.tree())
	}
	begin := settle(e.params.BeaconKept() + 10)
	life := e.params.SeedDelay + e.params.ProveDue + e.params.MinSectorLife + 10
	e.seal(abi.RegisteredSealProof_StackedDrg2KiBV1_1, sectors, life)
	active := len64(e.tree())
	ended := settle(life + 2*e.params.Period())
	gone := settle(e.params.EndedRetention)
	t.Logf("a sector: %.0f B of state when it becomes active, %.0f B for EndedRetention blocks after its end, %.1f B then",
		(active-begin)/sectors, (ended-begin)/sectors, (gone-begin)/sectors)
	var miner chain.Miner
	e.record(chain.MinerKey(chain.FirstMinerID), &miner)
	raw, err := chain.Encode(&miner)
	if err != nil {
		t.Fatal(err)
	}
	if left, most := gone-begin, float64(len(raw)+500); left > most { // nodes of its table, its consensus key, its account
		t.Errorf("%.0f B stay of a miner and its %d ended sectors, want at most %.0f", left, sectors, most)
	}
	for _, table := range []chain.Table{chain.TableSector, chain.TablePartition, chain.TableQueue, chain.TableReplay} {
		err := e.members[0].store.View().ForEach(table, func(id string, _ []byte) error { return fmt.Errorf("record %x is left", id) })
		if err != nil {
			t.Errorf("table %s: %v", table, err)
		}
	}
}

// perDay says what a sector's proofs take on the chain a day.
func perDay(t *testing.T, name string, p *consensus.Params, seal abi.RegisteredSealProof) string {
	t.Helper()
	size := proofBytes(t, seal, chain.PartitionSectors, int(p.WindowChallenges))
	one := float64(size) / chain.PartitionSectors
	day := float64(24*time.Hour) / float64(time.Duration(p.Period()*p.BlockMillis)*time.Millisecond)
	return fmt.Sprintf("%s: a proof of %d sectors has %d B, %.0f B a sector and window; %.2f windows a day, %.0f B a sector and day",
		name, chain.PartitionSectors, size, one, day, one*day)
}

func len64(tree map[cid.Cid]int) (sum float64) {
	for _, size := range tree {
		sum += float64(size)
	}
	return sum
}

// seal brings a miner with so many active sectors onto the chain, for a life of
// so many blocks.
func (e *engine) seal(seal abi.RegisteredSealProof, sectors, life uint64) {
	e.t.Helper()
	owner := addressOf(e.t, minerAccount)
	nonce := uint64(0)
	send := func(b chain.Body) {
		e.submit(e.sign(minerAccount, chain.Message{Nonce: nonce, MaxFee: chain.PDR(1)}, b))
		nonce++
	}
	send(&chain.CreateMiner{SealProof: seal, Fund: chain.PDR(500), Keys: chain.Keys{Owner: owner, Worker: owner, Beneficiary: owner}})
	e.empty()
	for from := uint64(0); from < sectors; from += chain.PartitionSectors {
		pre := &chain.PreCommitSectors{Miner: chain.FirstMinerID}
		for i := from; i < from+chain.PartitionSectors; i++ {
			pre.Sectors = append(pre.Sectors, chain.PreCommit{Number: i, CommR: sha256.Sum256([]byte{byte(i)}), TicketHeight: chain.Height(e.height),
				Expiration: chain.Height(uint64(e.height) + life)})
		}
		send(pre)
	}
	e.empty()
	for range e.params.SeedDelay + 1 {
		e.block()
	}
	for i := range sectors {
		send(&chain.ProveCommit{Miner: chain.FirstMinerID, Number: i, Proof: []byte("ok")})
	}
	e.empty()
	var m chain.Miner
	e.record(chain.MinerKey(chain.FirstMinerID), &m)
	if m.Sectors != sectors {
		e.t.Fatalf("the miner has %d active sectors, want %d", m.Sectors, sectors)
	}
}
