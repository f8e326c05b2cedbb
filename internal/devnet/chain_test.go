package devnet

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/wallet"
)

func TestMain(m *testing.M) {
	code := m.Run()
	// These never end: CometBFT's cache of seen messages, its log's files, a library's counters.
	// Others end when their sleep is over, hence more than one look.
	left := error(nil)
	for range 5 {
		left = goleak.Find(
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/internal/guard.NewWithInterval[...].func2"),
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/state/txindex.(*IndexerService).OnStart.func1"), // stopped while it lags behind
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/p2p.(*Switch).reconnectToPeer"),                 // sleeps for long first
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/blocksync.(*BlockPool).makeRequestersRoutine"),  // for seconds
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/consensus.(*timeoutTicker).timeoutRoutine"),     // started while the node stops
			goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"),                                // of the client of delegated routing
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.OpenAutoFile.func1"),
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.(*AutoFile).closeFileRoutine"))
		if left == nil {
			break
		}
	}
	if code == 0 && left != nil {
		fmt.Fprintln(os.Stderr, left)
		code = 1
	}
	os.Exit(code)
}

// dirOf is a directory for a network, which goes with the test.
func dirOf(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "devnet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func start(t *testing.T, o Options) *Network {
	t.Helper()
	if o.Dir == "" {
		o.Dir = dirOf(t)
	}
	n, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// limited is the test's context with a deadline far beyond what it needs.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestGated drives one validator block by block through its HTTP API.
func TestGated(t *testing.T) {
	n, ctx := start(t, Options{Gated: true}), limited(t)
	c := n.Client(0)
	defer c.Close()
	if err := n.Advance(ctx, 2); err != nil {
		t.Fatal(err)
	}
	sender, err := wallet.NewSender(c, n.Faucet(), chain.Amount{})
	if err != nil {
		t.Fatal(err)
	}
	to, err := chain.AddressOfKey([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	hash, err := sender.Post(ctx, &chain.Transfer{To: to, Amount: chain.PDR(3)})
	if err != nil {
		t.Fatal(err)
	}
	if n.Height() != 2 {
		t.Fatalf("height %d, want 2: the gate is shut", n.Height())
	}
	if err := n.Advance(ctx, 1); err != nil {
		t.Fatal(err)
	}
	in, err := c.Await(ctx, hash)
	if err != nil || in.Height != 3 || in.Err() != nil {
		t.Fatalf("transfer at %+v, %v", in, err)
	}
	if a, err := c.Account(ctx, to); err != nil || a.Balance != chain.PDR(3) {
		t.Errorf("recipient has %+v, %v", a, err)
	}
	next := chain.Height(1)
	stop := context.Canceled
	err = c.Follow(ctx, 1, func(u *consensus.Update) error {
		if u.Height != next {
			t.Errorf("update %d, want %d", u.Height, next)
		}
		if next++; next > 3 {
			return stop
		}
		return nil
	})
	if err == nil || next != 4 {
		t.Errorf("followed up to %d: %v", next-1, err)
	}
}

// TestFour lets four validators make blocks at their own pace: a transfer sent
// to one is read from another, all have the same app hashes, the beacon does
// not skip, and one that is stopped and started again catches up.
func TestFour(t *testing.T) {
	p := consensus.Devnet()
	p.BlockMillis = 500 // votes that come later than that are not in the block, nor is what makes the beacon
	n, ctx := start(t, Options{Validators: 4, Params: p}), limited(t)
	if err := n.Reach(ctx, 3); err != nil {
		t.Fatal(err)
	}
	c, other := n.Client(0), n.Client(3)
	defer c.Close()
	defer other.Close()
	sender, err := wallet.NewSender(c, n.Faucet(), chain.Atto(10))
	if err != nil {
		t.Fatal(err)
	}
	to, err := chain.AddressOfKey([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	send := func() *wallet.Inclusion {
		t.Helper()
		in, err := sender.Send(ctx, &chain.Transfer{To: to, Amount: chain.PDR(1)})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	in := send()
	if err := n.Reach(ctx, in.Height); err != nil {
		t.Fatal(err)
	}
	if a, err := other.Account(ctx, to); err != nil || a.Balance != chain.PDR(1) {
		t.Fatalf("another node says %+v, %v", a, err)
	}
	if err := n.Stop(1); err != nil {
		t.Fatal(err)
	}
	in = send()
	if err := n.Restart(1); err != nil {
		t.Fatal(err)
	}
	if err := n.Reach(ctx, in.Height+5); err != nil {
		t.Fatal(err)
	}
	sameHashes(t, n, in.Height+5)
	skips := 0
	for h := chain.Height(2); h <= in.Height+5; h++ {
		var b chain.Beacon
		if ok, err := c.Record(ctx, chain.BeaconKey(h), &b); err != nil || !ok {
			t.Fatalf("beacon of height %d: %v, %v", h, ok, err)
		}
		if b.Skipped {
			skips++
		}
	}
	if skips > int(in.Height+5)/2 {
		t.Errorf("%d of %d beacons are skipped", skips, in.Height+5)
	}
	t.Logf("%d of %d beacons are skipped", skips, in.Height+5)
}

// sameHashes compares the app hashes of all nodes up to a height.
func sameHashes(t *testing.T, n *Network, upTo chain.Height) {
	t.Helper()
	for h := chain.Height(1); h <= upTo; h++ {
		var first []byte
		for i, d := range n.Nodes {
			tree, err := d.Store().At(h)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = tree.AppHash()
			}
			if string(first) != string(tree.AppHash()) {
				t.Fatalf("height %d: node %d has another app hash", h, i)
			}
		}
	}
}

// TestAgain closes a network and starts it again from its directory.
func TestAgain(t *testing.T) {
	dir, ctx := dirOf(t), limited(t)
	n, err := Start(Options{Dir: dir, Validators: 2, Gated: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Advance(ctx, 3); err != nil {
		t.Fatal(err)
	}
	name, faucet := n.Params.ChainID, string(n.Faucet())
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = start(t, Options{Dir: dir, Gated: true})
	if len(n.Nodes) != 2 || n.Params.ChainID != name || string(n.Faucet()) != faucet {
		t.Fatalf("another network: %d nodes of %s", len(n.Nodes), n.Params.ChainID)
	}
	before := n.Height()
	if before < 3 {
		t.Fatalf("height %d after a restart, was 3", before)
	}
	if err := n.Advance(ctx, 2); err != nil {
		t.Fatal(err)
	}
	sameHashes(t, n, before+2)
}
