package devnet

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/chain/wallet"
)

// short are devnet's parameters with periods of nine blocks, so that a hundred
// blocks are more than any node keeps. Block time is long: a header may be
// trusted for as long as the heights that are kept would take.
func short() *consensus.Params {
	p := consensus.Devnet()
	p.Deadlines, p.Window = 3, 6
	p.ChallengeLookback, p.FaultCutoff = 3, 6
	p.StateRetention, p.VoteEpoch = 60, 20
	p.EvidenceAge, p.TrustPeriod, p.Unbonding = 60, 40, 60
	p.BlockMillis = 10_000
	return p
}

// newcomer makes the home of a node that votes nothing, beside a network's.
func newcomer(t *testing.T, n *Network, name string) (home string, c node.Config) {
	t.Helper()
	home = filepath.Join(n.dir, name)
	if _, err := node.Init(home); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(n.home(0), "genesis.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := node.SaveGenesis(home, doc); err != nil {
		t.Fatal(err)
	}
	c = node.DefaultConfig()
	c.Moniker, c.LocalPeers, c.API, c.RPC, c.P2P = name, true, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	for _, d := range n.Nodes {
		c.Peers = append(c.Peers, d.Peer())
	}
	return home, c
}

// join adds a node to a network; Close stops it with the others.
func (n *Network) join(t *testing.T, o node.Options) *Node {
	t.Helper()
	running, err := node.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &Node{Node: running, home: o.Home, end: cancel, done: make(chan error, 1)}
	go func() { d.done <- running.Run(ctx) }()
	n.Nodes = append(n.Nodes, d)
	return d
}

// header asks a node's JSON-RPC for the hash of a block, as an operator would.
func header(t *testing.T, rpc string, h chain.Height) node.Trust {
	t.Helper()
	r, err := http.Get(fmt.Sprintf("%s/commit?height=%d", rpc, h))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var answer struct {
		Result struct {
			SignedHeader struct {
				Commit struct {
					BlockID struct {
						Hash string `json:"hash"`
					} `json:"block_id"`
				} `json:"commit"`
			} `json:"signed_header"`
		} `json:"result"`
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	hash, err := hex.DecodeString(answer.Result.SignedHeader.Commit.BlockID.Hash)
	if err != nil || len(hash) != 32 {
		t.Fatalf("header of height %d has hash %x, %v", h, hash, err)
	}
	return node.Trust{Height: h, Hash: hash}
}

// TestJoin lets a network of two forget its first blocks. A node that wants
// them all is told what to do; one that starts from a snapshot agrees with the
// others on every height from there on, knows where its history starts, and
// can be stopped and started again.
func TestJoin(t *testing.T) {
	n, ctx := start(t, Options{Validators: 2, Gated: true, Params: short()}), limited(t)
	c := n.Client(0)
	defer c.Close()
	sender, err := wallet.NewSender(c, n.Faucet(), chain.Amount{})
	if err != nil {
		t.Fatal(err)
	}
	for range 7 {
		if _, err := sender.Post(ctx, &chain.Transfer{To: sender.Address(), Amount: chain.Atto(1)}); err != nil {
			t.Fatal(err)
		}
		if err := n.Advance(ctx, 14); err != nil {
			t.Fatal(err)
		}
	}
	tip := n.Height()
	if oldest := n.Nodes[0].Store().Oldest(); oldest != tip-60 {
		t.Fatalf("states are kept from height %d to %d", oldest, tip)
	}
	if _, err := n.Nodes[0].Block(20); err == nil {
		t.Fatal("block 20 is kept")
	}

	home, config := newcomer(t, n, "late")
	late, err := node.New(node.Options{Home: home, Config: &config, Pace: n.opts.Pace, Patience: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var behind *node.BehindError
	if err := errors.Join(late.Run(ctx), late.Close()); !errors.As(err, &behind) || behind.Height != 0 || behind.Oldest <= 20 {
		t.Fatalf("a node that is too late stops with %v", err)
	}
	if err := node.Reset(home); err != nil {
		t.Fatal(err)
	}

	d := n.join(t, node.Options{Home: home, Config: &config, Pace: n.opts.Pace, Sync: &node.Sync{
		Servers: []string{n.Nodes[0].RPC(), n.Nodes[1].RPC()}, Trust: header(t, n.Nodes[0].RPC(), tip-1)}})
	if err := n.Reach(ctx, tip); err != nil {
		t.Fatal(err)
	}
	if err := n.Advance(ctx, 5); err != nil {
		t.Fatal(err)
	}
	from := d.Store().Oldest()
	if from%15 != 0 || from+15 < tip-1 {
		t.Errorf("the snapshot is of height %d, the tip was %d", from, tip)
	}
	compare := func() {
		t.Helper()
		sameStates(t, n.Nodes[0], d, from, tip+5)
	}
	compare()
	if got := history(t, d); got != from+1 {
		t.Errorf("history starts at %d, the snapshot is of %d", got, from)
	}
	if err := n.Stop(2); err != nil {
		t.Fatal(err)
	}
	if d.Node, err = node.New(node.Options{Home: home, Config: &config, Pace: n.opts.Pace}); err != nil {
		t.Fatal(err)
	}
	again, cancel := context.WithCancel(context.Background())
	d.end, d.done = cancel, make(chan error, 1)
	go func(run *node.Node) { d.done <- run.Run(again) }(d.Node)
	compare()
	if err := n.Advance(ctx, 3); err != nil {
		t.Fatal(err)
	}
}

// history asks a node's API at which height its history starts, once it is
// built.
func history(t *testing.T, d *Node) chain.Height {
	t.Helper()
	for {
		r, err := http.Get(d.API() + "/v1/status")
		if err != nil {
			t.Fatal(err)
		}
		var status struct {
			Index struct {
				Ready bool         `json:"ready"`
				First chain.Height `json:"first"`
			} `json:"index"`
		}
		err = errors.Join(json.NewDecoder(r.Body).Decode(&status), r.Body.Close())
		if err != nil {
			t.Fatal(err)
		}
		http.DefaultClient.CloseIdleConnections()
		if status.Index.Ready {
			return status.Index.First
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestStoppedTooLong stops a node for longer than anybody keeps blocks. Started
// again it ends with an error that says from where to where it lacks them, and
// what to do; done so, it has the others' states.
func TestStoppedTooLong(t *testing.T) {
	const away = 2 // a follower
	n, ctx := start(t, Options{Validators: 2, Followers: 1, Gated: true, Params: short()}), limited(t)
	advance := func(blocks uint64) {
		t.Helper()
		if err := n.Advance(ctx, blocks); err != nil {
			t.Fatal(err)
		}
	}
	advance(12)
	stood := n.Nodes[away].Store().View().Height()
	if err := n.Stop(away); err != nil {
		t.Fatal(err)
	}
	for range 7 {
		advance(14)
	}
	tip := n.Height()
	home := n.home(away)
	config, err := node.LoadConfig(home)
	if err != nil {
		t.Fatal(err)
	}
	config.Peers = n.peers[away]
	again, err := node.New(node.Options{Home: home, Config: &config, Pace: n.opts.Pace, Patience: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var behind *node.BehindError
	if err := errors.Join(again.Run(ctx), again.Close()); !errors.As(err, &behind) || behind.Height != stood || behind.Oldest <= stood+1 ||
		!strings.Contains(err.Error(), "perdure node reset") {
		t.Fatalf("a node that stopped at %d of %d ends with %v", stood, tip, err)
	}
	if err := node.Reset(home); err != nil {
		t.Fatal(err)
	}
	d := n.join(t, node.Options{Home: home, Config: &config, Pace: n.opts.Pace, Sync: &node.Sync{
		Servers: []string{n.Nodes[0].RPC(), n.Nodes[1].RPC()}, Trust: header(t, n.Nodes[0].RPC(), tip-1)}})
	if err := n.Reach(ctx, tip); err != nil {
		t.Fatal(err)
	}
	advance(3)
	sameStates(t, n.Nodes[0], d, d.Store().Oldest(), tip+3)
}

// sameStates compares the app hashes of two nodes from one height to another.
func sameStates(t *testing.T, one, other *Node, from, to chain.Height) {
	t.Helper()
	for h := from; h <= to; h++ {
		a, err := one.Store().At(h)
		if err != nil {
			t.Fatal(err)
		}
		b, err := other.Store().At(h)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.AppHash(), b.AppHash()) {
			t.Fatalf("height %d: two nodes have different app hashes", h)
		}
	}
}
