package devnet

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/wallet"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// CometBFT never ends these: its cache of seen messages, its log's files.
		goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/internal/guard.NewWithInterval[...].func2"),
		goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.OpenAutoFile.func1"),
		goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.(*AutoFile).closeFileRoutine"),
		// Ends a second after its database.
		goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

func start(t *testing.T, o Options) *Network {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
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
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
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
