package node

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/store"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/wallet"
)

// TestBudget lets a keeper shorten three pretended parts: the largest goes
// first, none falls below its floor, space is given back, and parts grow again
// when there is room.
func TestBudget(t *testing.T) {
	home, c := newHome(t)
	c.Retention.Disk = "100GiB"
	n, err := New(Options{Home: home, Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	k := n.keeper
	k.budget = 1_000_000
	perHeight := map[string]uint64{"blocks": 1_000, "state": 500, "index": 300}
	garbage := map[string]uint64{} // of what was deleted and not given back
	var compacted []string
	parts := []*part{k.blocks, k.state, k.index}
	held := map[string]uint64{}
	for _, x := range parts {
		held[x.name] = 2_000
		x.most = min(x.most, 4_000)
		x.limit.Store(x.most)
		x.least = 200
		x.kept = func() uint64 { return held[x.name] }
		x.size = func() uint64 { return held[x.name]*perHeight[x.name] + garbage[x.name] }
		x.compact = func(context.Context) error {
			compacted = append(compacted, x.name)
			garbage[x.name] = 0
			return nil
		}
	}
	prune := func() {
		for _, x := range parts {
			if limit := x.limit.Load(); held[x.name] > limit {
				garbage[x.name] += (held[x.name] - limit) * perHeight[x.name]
				held[x.name] = limit
			}
		}
	}
	k.look(t.Context())
	if got := k.blocks.limit.Load(); got >= 2_000 || k.state.limit.Load() < k.state.most || k.index.limit.Load() < k.index.most {
		t.Fatalf("limits after the first look: blocks %d, state %d, index %d", got, k.state.limit.Load(), k.index.limit.Load())
	}
	for range 100 {
		prune()
		k.look(t.Context())
	}
	prune()
	if used := k.used(); used > k.budget {
		t.Errorf("%d bytes are used, the budget is %d", used, k.budget)
	}
	for _, x := range parts {
		if held[x.name] < x.least || !slices.Contains(compacted, x.name) {
			t.Errorf("%s holds %d heights, at least %d; compacted %v", x.name, held[x.name], x.least, compacted)
		}
	}
	k.budget = 10_000
	for range 100 {
		prune()
		k.look(t.Context())
	}
	for _, x := range parts {
		if prune(); held[x.name] != x.least {
			t.Errorf("%s holds %d heights under a budget below all floors, want %d", x.name, held[x.name], x.least)
		}
	}
	k.budget = 100_000_000
	for range 100 {
		k.look(t.Context())
	}
	for _, x := range parts {
		if x.limit.Load() != x.most {
			t.Errorf("%s does not grow again: %d of %d heights", x.name, x.limit.Load(), x.most)
		}
	}
}

// TestRetentionConfig refuses to keep less than followers and evidence need.
func TestRetentionConfig(t *testing.T) {
	p := consensus.Devnet()
	for name, set := range map[string]func(*Config){
		"retention.blocks": func(c *Config) { c.Retention.Blocks = 3*p.Period() - 1 },
		"retention.state":  func(c *Config) { c.Retention.State = 3*p.Period() - 1 },
		"retention.index":  func(c *Config) { c.Retention.Index = 1 },
		"retention.disk":   func(c *Config) { c.Retention.Disk = "much" },
	} {
		home, c := newHome(t)
		set(c)
		n, err := New(Options{Home: home, Config: c})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			n.Close()
		}
	}
	home, c := newHome(t)
	c.Retention.State, c.Snapshots.Interval = 3*p.Period(), 7
	n, err := New(Options{Home: home, Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if n.keeper.state.most != 3*p.Period() || n.keeper.interval != 7 || n.keeper.index.most != math.MaxUint64 {
		t.Errorf("keeper is %+v", n.keeper)
	}
	keep := n.keeper.blocks.limit.Load()
	for tip, want := range map[chain.Height]chain.Height{0: 0, chain.Height(keep): 0, chain.Height(keep) + 5: 0, chain.Height(keep) + 25: 20} {
		if got := n.keeper.retain(tip); got != want {
			t.Errorf("at height %d blocks are kept from %d, want %d", tip, got, want)
		}
	}
}

// TestKeeperFollows lets voters change how long states are kept and evidence
// counts: the running node keeps by the new parameters from then on, and so does
// one that is opened again. What the config asks for stands, above what is the least.
func TestKeeperFollows(t *testing.T) {
	home, c := newHomeIn(t, tempDir(t), func(p *consensus.Params) { p.VoteEpoch = 2 })
	c.Retention.Blocks = 1_200
	o := Options{Home: home, Config: c, Pace: Pace{Commit: time.Millisecond, Hasty: true}}
	n, stop := run(t, o)
	k := n.keeper
	if k.state.limit.Load() != 1_000 || k.blocks.limit.Load() != 1_200 {
		t.Fatalf("at genesis states %d, blocks %d", k.state.limit.Load(), k.blocks.limit.Load())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	client := rpc.New(n.API())
	sender, err := wallet.NewSender(client, secret, chain.Amount{})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, ctx, n, 1)
	propose := &chain.Propose{Effective: n.Store().View().Height() + 150} // blocks go on while it is being sent
	for _, v := range []chain.ParamValue{{Name: "stateRetention", Value: chain.Atto(1_600)}, {Name: "evidenceAge", Value: chain.Atto(800)},
		{Name: "trustPeriod", Value: chain.Atto(400)}} {
		propose.Values = append(propose.Values, v)
	}
	if _, err := sender.Send(ctx, propose); err != nil {
		t.Fatal(err)
	}
	waitFor(t, ctx, n, propose.Effective+2)
	client.Close()
	header := n.comet.BlockStore().LoadBlockMeta(int64(propose.Effective) + 1)
	for _, c := range []struct {
		at    chain.Height
		hash  []byte
		trust uint64
		fails bool
	}{{propose.Effective + 1, header.BlockID.Hash, 400, false}, {2, n.comet.BlockStore().LoadBlockMeta(2).BlockID.Hash, 600, false},
		{propose.Effective + 1, make([]byte, 32), 600, true}} {
		s := &Sync{Servers: []string{n.RPC()}, Trust: Trust{c.at, c.hash}}
		if p, err := s.inForce(ctx, n.params); (err != nil) != c.fails || p.TrustPeriod != c.trust {
			t.Errorf("at height %d headers are trusted for %d heights, want %d: %v", c.at, p.TrustPeriod, c.trust, err)
		}
	}
	engine, err := n.votes.Load()
	if err != nil {
		t.Fatal(err)
	}
	if age := engine.ConsensusParams.Evidence.MaxAgeNumBlocks; age != 800 {
		t.Errorf("the engine takes evidence for %d heights, want 800", age)
	}
	if err := stop(); err != nil { // the keeper has ended: its fields can be read
		t.Fatal(err)
	}
	check := func(how string, k *keeper) {
		t.Helper()
		if k.state.limit.Load() != 1_600 || k.blocks.limit.Load() != 1_200 || k.blocks.least != 800 || k.interval != 400 {
			t.Errorf("%s: states %d, blocks %d and %d at least, snapshots every %d", how, k.state.limit.Load(), k.blocks.limit.Load(), k.blocks.least, k.interval)
		}
	}
	check("running", k)
	if n, err = New(o); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	check("opened again", n.keeper)
}

// reach runs a node until it has committed a height, and stops it.
func reach(t testing.TB, o Options, h chain.Height) {
	t.Helper()
	n, stop := run(t, o)
	awaitIndex(t, n, h)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// awaitIndex waits until a node and its index, if it has one, are at a height.
func awaitIndex(t testing.TB, n *Node, h chain.Height) {
	t.Helper()
	awaitHeight(n, h)
	for n.index != nil {
		n.index.Wait(t.Context(), h)
		if _, at, ok := n.index.Tip(); ok && at >= h || t.Context().Err() != nil {
			return
		}
		time.Sleep(time.Millisecond) // nothing is built yet
	}
}

// TestRollback takes a block back and executes it again: the app hash is the
// same, and a second rollback of the same block changes nothing.
func TestRollback(t *testing.T) {
	home, c := newHome(t)
	if _, err := Rollback(home); err == nil {
		t.Error("a node without blocks was rolled back")
	}
	reach(t, Options{Home: home, Config: c}, 4)
	hash := func(at chain.Height) (string, chain.Height) {
		t.Helper()
		_, g, err := LoadGenesis(home)
		if err != nil {
			t.Fatal(err)
		}
		s, err := state.Open(state.Config{Dir: stateDir(home), Params: &g.Params})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if at == 0 {
			at = s.View().Height()
		}
		tree, err := s.At(at)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", tree.AppHash()), at
	}
	want, tip := hash(0)
	before, _ := hash(tip - 1)
	for range 2 {
		if h, err := Rollback(home); err != nil || h != tip-1 {
			t.Fatalf("rolled back to %d, %v; want %d", h, err, tip-1)
		}
		if got, h := hash(0); h != tip-1 || got != before {
			t.Fatalf("the state is at height %d", h)
		}
	}
	n, err := New(Options{Home: home, Config: c}) // the engine executes the block again
	if err != nil {
		t.Fatal(err)
	}
	if v := n.Store().View(); v.Height() != tip || fmt.Sprintf("%x", v.AppHash()) != want {
		t.Errorf("executed again: height %d, app hash %x, want %d, %s", v.Height(), v.AppHash(), tip, want)
	}
	if _, err := Rollback(home); err == nil {
		t.Error("a node that runs was rolled back")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	reach(t, Options{Home: home, Config: c}, tip+2)
	if again, _ := hash(tip); again != want {
		t.Errorf("height %d has another app hash after all", tip)
	}
}

// TestReset makes a home empty, but keeps what the validator has signed; a
// home with half of what it had says what to do.
func TestReset(t *testing.T) {
	home, c := newHome(t)
	reach(t, Options{Home: home, Config: c}, 2)
	signed, err := os.ReadFile(signStatePath(home))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(cometHome(home), "data", "blockstore.db")); err != nil {
		t.Fatal(err)
	}
	if n, err := New(Options{Home: home, Config: c}); err == nil || !strings.Contains(err.Error(), "perdure node reset") {
		t.Errorf("a node without blocks for its state: %v", err)
		n.Close()
	}
	if err := Reset(home); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{stateDir(home), indexDir(home), snapshotDir(home), filepath.Join(cometHome(home), "data", "state.db")} {
		if _, err := os.Stat(gone); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
	if again, err := os.ReadFile(signStatePath(home)); err != nil || string(again) != string(signed) {
		t.Errorf("what was signed is lost: %v", err)
	}
	n, err := New(Options{Home: home, Config: c})
	if err != nil {
		t.Fatal(err)
	}
	if v := n.Store().View(); v.Height() != 0 {
		t.Errorf("the node begins at height %d", v.Height())
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMendSync opens the engine's databases as a state sync leaves them that
// was interrupted before the first block.
func TestMendSync(t *testing.T) {
	home, _ := newHome(t)
	doc, _, err := LoadGenesis(home)
	if err != nil {
		t.Fatal(err)
	}
	at, err := sm.MakeGenesisState(doc)
	if err != nil {
		t.Fatal(err)
	}
	at.LastBlockHeight, at.LastValidators = 30, at.Validators
	at.LastHeightValidatorsChanged, at.LastHeightConsensusParamsChanged = 32, 31
	blocks, states := dbm.NewMemDB(), dbm.NewMemDB()
	s := sm.NewStore(states, sm.StoreOptions{})
	if err := mendSync(blocks, states); err != nil {
		t.Errorf("empty databases: %v", err)
	}
	if err := s.Bootstrap(at); err != nil {
		t.Fatal(err)
	}
	if err := mendSync(blocks, states); err == nil || !strings.Contains(err.Error(), "perdure node reset") {
		t.Errorf("without the commit of the snapshot: %v", err)
	}
	id := types.BlockID{Hash: bytes.Repeat([]byte{1}, 32), PartSetHeader: types.PartSetHeader{Total: 1, Hash: bytes.Repeat([]byte{2}, 32)}}
	commit := &types.Commit{Height: 30, BlockID: id, Signatures: []types.CommitSig{types.NewCommitSigAbsent()}}
	if err := store.NewBlockStore(blocks).SaveSeenCommit(30, commit); err != nil {
		t.Fatal(err)
	}
	if err := mendSync(blocks, states); err != nil {
		t.Fatal(err)
	}
	if h, err := s.GetOfflineStateSyncHeight(); err != nil || h != 30 {
		t.Errorf("the engine begins at %d, %v; want 30", h, err)
	}
}

// TestTrust reads trusted headers.
func TestTrust(t *testing.T) {
	hash := strings.Repeat("0A", 32)
	got, err := ParseTrust("7:" + hash)
	if err != nil || got.Height != 7 || got.String() != "7:"+hash {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "7", ":" + hash, "0:" + hash, "-1:" + hash, "7:" + hash[2:], "7:zz" + hash[2:], hash} {
		if _, err := ParseTrust(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
