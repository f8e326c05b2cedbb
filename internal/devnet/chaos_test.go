package devnet

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/miner/daemon"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/p2p"
)

const (
	chaosMiners = 7               // each votes through a node of its own
	chaosNodes  = 1 + chaosMiners // the first makes the chain until they take over
	chaosTerm   = 4_000           // blocks that files are stored: beyond the end
	// chaosSettle is for how many blocks more at most what was harmed may wait to be
	// lost, and what was lost for its repair.
	chaosSettle = 600
)

// chaosParams are devnet's with short periods, so that a sector that stays
// faulty is lost soon. Proven time forgives as much: here every miner is stopped
// again and again, and none of them shall be lost for it.
func chaosParams() *consensus.Params {
	p := consensus.Devnet()
	p.BlockMillis = 200
	p.Window, p.FaultMaxAge, p.FaultForgive = 10, 2, 1
	p.FetchBy, p.ActivateBy, p.ProveDue, p.RepairBy = 100, 250, 100, 300
	p.VoteEpoch, p.GenesisThreshold = 10, 8<<10
	return p
}

// setting reads a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// stored is a file that a client put.
type stored struct {
	path    string
	content []byte
	one     sync.Mutex
	done    chan struct{}     // closed when put has ended
	result  *client.PutResult // nil if it failed
}

// chaos is a network that a plan is carried out on.
type chaos struct {
	*World
	t      *testing.T
	ctx    context.Context
	client *client.Client
	judge  *judge

	keys   [][]byte               // consensus keys by node
	node   []int                  // by miner: the node that it follows
	away   map[int]bool           // nodes that are stopped or cut off
	dead   map[chain.MinerID]bool // miners that were killed for good
	harmed map[[2]uint64]bool     // miner and sector that were damaged
	liars  map[int]*p2p.Host      // in the places of miners
	bg     sync.WaitGroup         // clients at work

	mu      sync.Mutex
	tip     *state.Tree // newest state seen, and the API of a node that has it
	url     string
	files   map[int]*stored
	fetched int
	lies    int
	stood   int     // times that the chain stood still
	errs    []error // of what goes on beside the chain
}

// TestE2EChaos carries out a plan drawn from PERDURE_CHAOS_SEED for
// PERDURE_CHAOS_BLOCKS blocks: nodes are stopped and cut off, miners stopped,
// killed, damaged and replaced by liars, clients lie. At each height all nodes
// have one state, in which everything adds up; the recorded blocks give the
// same states again; no miner with a working disk loses a sector; and every
// copy that is lost is repaired or refunded.
func TestE2EChaos(t *testing.T) {
	endToEnd(t)
	seed, blocks := setting(t, "PERDURE_CHAOS_SEED", 1), setting(t, "PERDURE_CHAOS_BLOCKS", 100)
	t.Logf("seed %d, %d blocks", seed, blocks)
	c := newChaos(t)
	c.fill()
	first := c.Height() + 1
	plan := planChaos(seed, first, int(blocks), chaosNodes, chaosMiners)
	for end := first + chain.Height(blocks); c.Height() < end || len(plan) > 0; {
		for len(plan) > 0 && plan[0].at <= c.Height()+1 {
			t.Log(plan[0])
			if err := c.act(plan[0]); err != nil {
				t.Fatalf("%v: %v", plan[0], err)
			}
			plan = plan[1:]
		}
		c.block()
	}
	c.settle()
	c.conclude()
}

func newChaos(t *testing.T) *chaos {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	o := WorldOptions{Options: Options{Dir: dirOf(t), Params: chaosParams(), Followers: chaosMiners, Gated: true, Wired: true, EngineLog: "none",
		Pace: node.Pace{Commit: time.Millisecond, Propose: time.Second, Hasty: true}}, Miners: chaosMiners, Voting: true, SectorSize: 2 << 10}
	if os.Getenv("PERDURE_E2E_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	w, err := StartWorld(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &chaos{World: w, t: t, ctx: ctx, away: map[int]bool{}, dead: map[chain.MinerID]bool{}, harmed: map[[2]uint64]bool{},
		liars: map[int]*p2p.Host{}, files: map[int]*stored{}}
	for i := range w.Nodes {
		id, err := node.LoadIdentity(w.home(i))
		if err != nil {
			t.Fatal(err)
		}
		c.keys = append(c.keys, id.ConsensusKey)
	}
	for i := range w.Miners {
		c.node = append(c.node, w.nodeOf(i))
	}
	c.makeAlike()
	c.judge = newJudge(t, w)
	c.openClient(t)
	c.look()
	return c
}

// makeAlike lets all miners offer a little space at one price, again and again,
// so that copies end up with all of them.
func (c *chaos) makeAlike() {
	c.t.Helper()
	for _, m := range c.Miners {
		ask := daemon.AskConfig{Capacity: "2KiB", Price: askPrice, Collateral: askStake, Life: 60}
		if _, err := daemon.ChangeAsk(c.ctx, m.Home, ask); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *chaos) openClient(t *testing.T) {
	t.Helper()
	key, err := Keystore(c.Wallet).Key(c.Client)
	if err != nil {
		t.Fatal(err)
	}
	c.client, err = client.Open(client.Options{Home: c.Wallet, Node: c.Nodes[0].API(), Key: key, Log: c.log,
		Buyer: buyer.Config{StallTimeout: 2 * time.Second, SlowGrace: time.Second, RememberFor: 5 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.client.Close(); err != nil {
			t.Error(err)
		}
	})
}

// note remembers what failed beside the chain, unless it was called off.
func (c *chaos) note(err error) {
	if err == nil || c.ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

// seen is the newest state, and the API of a node that has it.
func (c *chaos) seen() (*state.Tree, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tip, c.url
}

// live are the nodes that are not away.
func (c *chaos) live() []int {
	var out []int
	for i := range c.Nodes {
		if !c.away[i] {
			out = append(out, i)
		}
	}
	return out
}

// look takes note of the newest state.
func (c *chaos) look() {
	c.t.Helper()
	n := c.Nodes[c.live()[0]]
	tree, err := n.Store().At(n.Store().View().Height())
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tip, c.url = tree, n.API()
}

// patience is for how long a block is waited for before somebody looks why it
// does not come, stands how long it may take after that.
const (
	chaosPatience = 20 * time.Second
	stands        = 2 * time.Minute
)

// leastBlock is what a block takes at least, so that miners, who work in
// seconds, keep up with the chain.
const leastBlock = 60 * time.Millisecond

// block makes a block and judges it.
func (c *chaos) block() {
	c.t.Helper()
	begun := time.Now()
	h := c.gate.open(c.Height(), 1)
	if err := c.await(h, chaosPatience); err != nil {
		c.standstill(h)
		if err := c.await(h, stands); err != nil {
			c.t.Fatalf("the chain stands still at height %d: %v", c.Height(), err)
		}
	}
	ctx, cancel := context.WithTimeout(c.ctx, stands)
	defer cancel()
	c.look()
	c.judge.height(h, c.live())
	c.caughtUp(ctx, h)
	time.Sleep(leastBlock - time.Since(begun))
}

// caughtUp returns when every miner whose node is there has taken in a block.
func (c *chaos) caughtUp(ctx context.Context, h chain.Height) {
	c.t.Helper()
	for i, m := range c.Miners {
		if !m.Running() {
			continue
		}
		if err := m.ended(); err != nil {
			c.t.Fatal(err)
		}
		for !c.away[c.node[i]] && m.height() != 0 && m.height() < h { // at 0 it waits for blocks itself
			if ctx.Err() != nil {
				c.t.Fatalf("miner %d is at height %d of %d", m.ID, m.height(), h)
			}
			time.Sleep(glance)
		}
	}
}

// await returns when all live nodes have a height.
func (c *chaos) await(h chain.Height, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	for _, i := range c.live() {
		if err := c.reach(ctx, i, h); err != nil {
			return err
		}
	}
	return nil
}

// standstill is what operators do when no block comes: they bring back the
// nodes that are away. That may only be needed when a third of the votes or
// more is away, as faults of others since have made it.
func (c *chaos) standstill(h chain.Height) {
	c.t.Helper()
	tree, _ := c.seen()
	voters, err := consensus.Voters(tree, h)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(c.away) > 0 && c.enough(voters, nil) {
		c.t.Fatalf("no block comes after height %d, although enough votes are there: nodes %v are away", c.Height(), c.away)
	}
	c.t.Logf("height %d: no block comes, with nodes %v away: they come back", c.Height(), c.away)
	c.stood++
	c.Cut()
	for i := range c.Nodes {
		if err := c.bringBack(i); err != nil {
			c.t.Fatal(err)
		}
	}
}

// enoughWithout reports whether more than two thirds of the votes, those of
// now and those to come, are with nodes other than some.
func (c *chaos) enoughWithout(gone []int) bool {
	tree, _ := c.seen()
	g, err := tree.Global()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, from := range g.VotersFrom {
		raw, err := tree.Record(chain.VotersKey(from))
		set := new(chain.VoteSet)
		if err == nil {
			err = chain.Decode(raw, set)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		if !c.enough(set.Validators, gone) {
			return false
		}
	}
	return true
}

// enough reports whether more than two thirds of a set's votes are with nodes
// that are neither away nor gone.
func (c *chaos) enough(voters []chain.Validator, gone []int) bool {
	lost := map[string]bool{}
	for i := range c.Nodes {
		if c.away[i] || slices.Contains(gone, i) {
			lost[string(c.keys[i])] = true
		}
	}
	var all, left uint64
	for _, v := range voters {
		all += v.Power
		if !lost[string(v.PubKey)] {
			left += v.Power
		}
	}
	return 3*left > 2*all
}

// fill stores files until every miner has a sector, and makes blocks until the
// miners are the validators.
func (c *chaos) fill() {
	c.t.Helper()
	for i := range chaosFiles {
		c.bg.Go(func() { c.put(i) })
	}
	more := 1_000 // numbers that the plan does not use
	for c.Height() < 1_000 {
		sectors, votes := c.stand()
		if votes == chaosMiners {
			c.t.Logf("height %d: all %d miners vote, and nobody else", c.Height(), votes)
			return
		}
		if sectors < chaosMiners && c.Height()%15 == 0 {
			number := more
			c.bg.Go(func() { c.put(number) })
			more++
		}
		c.block()
	}
	c.t.Fatal("after 1,000 blocks the miners are not the validators")
}

// stand counts the miners with power, and the storage validators if there are
// no others.
func (c *chaos) stand() (sectors, votes int) {
	c.t.Helper()
	tree, _ := c.seen()
	each(c.t, tree, chain.TableMiner, func(m *chain.Miner) {
		if m.Power > 0 {
			sectors++
		}
	})
	voters, err := consensus.Voters(tree, tree.Height())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, v := range voters {
		if v.Miner == 0 {
			return sectors, 0
		}
	}
	return sectors, len(voters)
}

// settle makes blocks until the clients are done, every sector whose disk the plan
// took is lost or over, and every lost copy is accounted for.
func (c *chaos) settle() {
	c.t.Helper()
	idle := make(chan struct{})
	go func() { c.bg.Wait(); close(idle) }()
	for last := c.Height() + chaosSettle; ; {
		busy := true
		select {
		case <-idle:
			busy = false
		default:
		}
		doomed := c.doomed()
		if !busy && doomed == 0 && len(c.judge.copies) == 0 {
			return
		}
		if c.Height() >= last {
			c.t.Fatalf("%d blocks after the last deed: clients at work: %v, sectors without a disk that live on: %d, copies neither repaired nor refunded: %v",
				chaosSettle, busy, doomed, c.judge.copies)
		}
		c.block()
	}
}

// doomed counts the live sectors whose disk the plan took.
func (c *chaos) doomed() (n int) {
	c.t.Helper()
	tree, _ := c.seen()
	each(c.t, tree, chain.TableSector, func(s *chain.Sector) {
		if s.Live() && (c.dead[s.Miner] || c.harmed[[2]uint64{s.Miner, s.Number}]) {
			n++
		}
	})
	return n
}

// conclude checks what must hold in the end, and says what happened.
func (c *chaos) conclude() {
	c.t.Helper()
	for _, err := range c.errs {
		c.t.Error(err)
	}
	for _, l := range c.judge.lost {
		if !c.dead[l.miner] && !c.harmed[[2]uint64{l.miner, l.sector}] {
			c.t.Errorf("height %d: sector %d of miner %d is lost, and its disk works", l.at, l.sector, l.miner)
		}
	}
	if len(c.judge.lost) == 0 || c.judge.repaired == 0 || c.lies == 0 || c.fetched == 0 {
		c.t.Errorf("%d sectors lost, %d copies repaired, %d lies of clients, %d files fetched: the plan did little",
			len(c.judge.lost), c.judge.repaired, c.lies, c.fetched)
	}
	c.t.Logf("heights 1 to %d: the recorded blocks, applied again, give the app hashes of every node; supply and locked money recounted at each",
		len(c.judge.hashes)-1)
	c.t.Logf("height %d: %d files stored, %d fetched, %d lies of clients; stood still %d times; %s",
		c.Height(), len(c.files), c.fetched, c.lies, c.stood, c.judge)
}

// scan decodes every record of a table.
func scan[T any, P interface {
	*T
	chain.CBOR
}](tree *state.Tree, table chain.Table, visit func(*T)) error {
	return tree.ForEach(table, func(_ string, raw []byte) error {
		v := new(T)
		if err := chain.Decode(raw, P(v)); err != nil {
			return err
		}
		visit(v)
		return nil
	})
}
