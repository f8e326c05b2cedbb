package devnet

import (
	"context"
	"log/slog"
	"os"
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
	chaosNodes  = 7
	chaosMiners = 7
	chaosTerm   = 4_000 // blocks that files are stored: beyond the end
	// chaosSettle is for how many blocks more at most what was lost may wait
	// for its repair.
	chaosSettle = 600
)

// chaosParams are devnet's with short periods, so that a sector that stays
// faulty is lost soon.
func chaosParams() *consensus.Params {
	p := consensus.Devnet()
	p.BlockMillis = 200
	p.Window, p.FaultMaxAge = 10, 2
	p.FetchBy, p.ActivateBy, p.ProveDue, p.RepairBy = 150, 400, 100, 300
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
	o := WorldOptions{Options: Options{Dir: t.TempDir(), Params: chaosParams(), Validators: chaosNodes, Gated: true, Wired: true, EngineLog: "none",
		Pace: node.Pace{Commit: time.Millisecond, Propose: time.Second, Hasty: true}}, Miners: chaosMiners, SectorSize: 2 << 10}
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
		c.node = append(c.node, i%len(w.Nodes))
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
		ask := daemon.AskConfig{Capacity: "8KiB", Price: askPrice, Collateral: askStake, Life: 60}
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
		Buyer: buyer.Config{StallTimeout: 2 * time.Second, SlowGrace: time.Second}})
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

// stands is how long a block may take at most: much longer than nodes that are
// away can hold it up.
const stands = 2 * time.Minute

// leastBlock is what a block takes at least, so that miners, who work in
// seconds, keep up with the chain.
const leastBlock = 60 * time.Millisecond

// block makes a block and judges it.
func (c *chaos) block() {
	c.t.Helper()
	begun := time.Now()
	h := c.gate.open(c.Height(), 1)
	ctx, cancel := context.WithTimeout(c.ctx, stands)
	defer cancel()
	for _, i := range c.live() {
		if err := c.reach(ctx, i, h); err != nil {
			c.t.Fatalf("the chain stands still at height %d, with nodes %v away: %v", c.Height(), c.away, err)
		}
	}
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

// enoughWithout reports whether more than two thirds of the votes, those of
// now and those to come, are with nodes other than some.
func (c *chaos) enoughWithout(gone []int) bool {
	tree, _ := c.seen()
	lost := map[string]bool{}
	for i := range c.Nodes {
		if c.away[i] {
			lost[string(c.keys[i])] = true
		}
	}
	for _, i := range gone {
		lost[string(c.keys[i])] = true
	}
	for ahead := range chain.Height(2) {
		voters, err := consensus.Voters(tree, tree.Height()+1+ahead)
		if err != nil {
			c.t.Fatal(err)
		}
		var all, left uint64
		for _, v := range voters {
			all += v.Power
			if !lost[string(v.PubKey)] {
				left += v.Power
			}
		}
		if 3*left <= 2*all {
			return false
		}
	}
	return true
}

// fill stores the first files.
func (c *chaos) fill() {
	c.t.Helper()
	for i := range chaosFiles {
		c.bg.Go(func() { c.put(i) })
	}
	idle := make(chan struct{})
	go func() { c.bg.Wait(); close(idle) }()
	for {
		select {
		case <-idle:
			c.t.Logf("height %d: %d files are stored", c.Height(), chaosFiles)
			return
		default:
			c.block()
		}
	}
}

// settle makes blocks until the clients are done and every lost copy is
// accounted for.
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
		if !busy && len(c.judge.copies) == 0 {
			return
		}
		if c.Height() >= last {
			c.t.Fatalf("%d blocks after the last deed: clients at work: %v, copies neither repaired nor refunded: %v", chaosSettle, busy, c.judge.copies)
		}
		c.block()
	}
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
	c.t.Logf("height %d: %d files stored, %d fetched, %d lies of clients; %s", c.Height(), len(c.files), c.fetched, c.lies, c.judge)
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
