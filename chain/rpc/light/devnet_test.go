package light

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/internal/devnet"
)

func TestMain(m *testing.M) {
	code := m.Run()
	// CometBFT never ends these: its cache of seen messages, its log's files.
	// Others end when their sleep is over, hence more than one look.
	left := error(nil)
	for range 5 {
		left = goleak.Find(
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/internal/guard.NewWithInterval[...].func2"),
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/state/txindex.(*IndexerService).OnStart.func1"), // stopped while it lags behind
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/p2p.(*Switch).reconnectToPeer"),                 // sleeps for long first
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/blocksync.(*BlockPool).makeRequestersRoutine"),  // for seconds
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/consensus.(*timeoutTicker).timeoutRoutine"),     // started while the node stops
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

// network is a real one of two validators, whose first node is asked through a
// backend that may lie and whose second is the witness.
type network struct {
	*devnet.Network
	t     *testing.T
	ctx   context.Context
	trust Trust
}

func startNetwork(t *testing.T, change ...func(*consensus.Params)) *network {
	t.Helper()
	p := consensus.Devnet()
	p.ChainID = "light-net"
	for _, f := range change {
		f(p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	dir, err := os.MkdirTemp("", "light-net-*")
	must(t, err)
	t.Cleanup(func() { must(t, devnet.Remove(dir)) })
	d, err := devnet.Start(devnet.Options{Dir: dir, Validators: 2, Gated: true, EngineLog: "none", Params: p})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	n := &network{Network: d, t: t, ctx: ctx}
	must(t, d.Advance(ctx, 2))
	raw, err := d.Nodes[0].Header(ctx, 1)
	must(t, err)
	first, err := decodeHeader(raw)
	must(t, err)
	n.trust = Trust{1, first.Hash()}
	return n
}

// through is a verifying client of the first node through a backend over it.
func (n *network) through(l *liar) *Node {
	n.t.Helper()
	l.Backend = n.Nodes[0].Node
	c, err := New(Options{Node: serve(n.t, l), Witnesses: []string{n.Nodes[1].API()}, Trust: n.trust})
	must(n.t, err)
	n.t.Cleanup(func() { must(n.t, c.Close()) })
	return c
}

// TestRealNode sends money through an honest node and reads everything back,
// then asks the same node through a proxy that lies.
func TestRealNode(t *testing.T) {
	n := startNetwork(t)
	honest := n.through(&liar{})
	sender, err := wallet.NewSender(honest, n.Faucet(), chain.Amount{})
	must(t, err)
	to, err := chain.AddressOfKey([]byte("a private key of thirty-two byte"))
	must(t, err)
	var sent *wallet.Inclusion
	must(t, n.During(n.ctx, func(ctx context.Context) error {
		for range 2 { // the second relies on the nonce that the first has left
			if sent, err = sender.Send(ctx, &chain.Transfer{To: to, Amount: chain.PDR(3)}); err != nil {
				return err
			}
		}
		return nil
	}))
	acc, err := honest.Account(n.ctx, to)
	if err != nil || acc.Balance != chain.PDR(6) {
		t.Fatalf("account is %+v, %v", acc, err)
	}
	n.followed(honest, chain.Hash(sent.Receipt.Hash))
	p, err := honest.Params(n.ctx)
	if err != nil || p.ChainID != n.Params.ChainID {
		t.Errorf("params are %+v, %v", p, err)
	}
	n.lies(to, sent)
}

// followed finds a message's receipt in the feed of Updates.
func (n *network) followed(c *Node, message chain.Hash) {
	n.t.Helper()
	found := errors.New("found")
	next := chain.Height(1)
	err := c.Follow(n.ctx, next, func(u *consensus.Update) error {
		if u.Height != next {
			n.t.Fatalf("update %d, want %d", u.Height, next)
		}
		next++
		for i := range u.Receipts {
			if u.Receipts[i].Hash == [32]byte(message) {
				return found
			}
		}
		return nil
	})
	if !errors.Is(err, found) {
		n.t.Errorf("the message is not in the feed: %v", err)
	}
}

func (n *network) lies(who chain.Address, sent *wallet.Inclusion) {
	account := func(c *Node) error { _, err := c.Account(n.ctx, who); return err }
	again := func(c *Node) error {
		must(n.t, account(c))
		must(n.t, n.Advance(n.ctx, 1))
		_, err := c.Update(n.ctx, n.Height()-1)
		must(n.t, err)
		return account(c)
	}
	for _, c := range []struct {
		name, want string
		lie        liar
		ask        func(*Node) error
	}{
		{"wrong record", "expected a path from app hash", liar{prove: func(b *proof.Bundle) { b.Path[len(b.Path)-1]++ }}, account},
		{"stale record", "which was shown before", liar{prove: staleAccount()}, again},
		{"wrong header", "not a header with its votes", liar{prove: func(b *proof.Bundle) { b.Headers[0].Light[60]++ }}, account},
		{"forged update", "expected hash", liar{update: func(u *consensus.Update) { u.Proposer[0]++ }},
			func(c *Node) error { _, err := c.Update(n.ctx, sent.Height); return err }},
		{"wrong receipt", "expected Transfer of", liar{await: func(in *wallet.Inclusion) { in.Receipt.Code = uint64(consensus.CodeFailed) }},
			func(c *Node) error { _, err := c.Await(n.ctx, sent.Receipt.Hash); return err }},
		{"forged receipt and update", "expected hash", liar{
			await:  func(in *wallet.Inclusion) { in.Receipt.Fee = chain.Atto(0) },
			update: func(u *consensus.Update) { u.Receipts = nil }},
			func(c *Node) error { _, err := c.Await(n.ctx, sent.Receipt.Hash); return err }},
		{"wrong parameters", "expected bafy", liar{block: func(raw []byte) []byte { return raw[1:] }},
			func(c *Node) error { _, err := c.Params(n.ctx); return err }},
	} {
		client := n.through(&c.lie)
		if err := c.ask(client); err == nil || !strings.Contains(err.Error(), c.want) {
			n.t.Errorf("%s: want %q, have %v", c.name, c.want, err)
		}
	}
}

// TestRightAfter sends a message with a key that another process has just used: the
// node knows it, what is proven does not show it yet.
func TestRightAfter(t *testing.T) {
	n := startNetwork(t)
	plain := rpc.New(n.Nodes[0].API())
	defer plain.Close()
	before, err := wallet.NewSender(plain, n.Faucet(), chain.Amount{})
	must(t, err)
	to, err := chain.AddressOfKey([]byte("a private key of thirty-two byte"))
	must(t, err)
	honest := n.through(&liar{})
	must(t, n.During(n.ctx, func(ctx context.Context) error {
		for range 4 {
			if _, err := before.Send(ctx, &chain.Transfer{To: to, Amount: chain.PDR(1)}); err != nil {
				return err
			}
			after, err := wallet.NewSender(honest, n.Faucet(), chain.Amount{})
			if err != nil {
				return err
			}
			if _, err := after.Send(ctx, &chain.Transfer{To: to, Amount: chain.PDR(1)}); err != nil {
				return err
			}
		}
		return nil
	}))
	acc, err := plain.Account(n.ctx, to)
	if err != nil || acc.Balance != chain.PDR(8) {
		t.Errorf("account is %+v, %v", acc, err)
	}
}

// TestTrustPeriodFollows lets voters shorten the trust period: a light client that
// runs, one that goes on from its file, and a proof from a header after the change
// take the new one; what was proven before keeps to its own.
func TestTrustPeriodFollows(t *testing.T) {
	n := startNetwork(t, func(p *consensus.Params) { p.VoteEpoch = 2 })
	file := filepath.Join(t.TempDir(), "light.json")
	shift := time.Duration(0) // of the clients' clocks
	now := func() time.Time { return time.Now().Add(shift) }
	open := func() *Node {
		c, err := New(Options{Node: n.Nodes[0].API(), Witnesses: []string{n.Nodes[1].API()}, Trust: n.trust, File: file,
			MaxAge: time.Hour, Now: now})
		must(t, err)
		return c
	}
	c := open()
	sender, err := wallet.NewSender(c, n.Faucet(), chain.Amount{})
	must(t, err)
	period := time.Duration(n.Params.TrustPeriod*n.Params.BlockMillis) * time.Millisecond
	at := n.Height() + 100 // blocks go on while it is being sent
	propose := &chain.Propose{Effective: at, Values: []chain.ParamValue{{Name: "trustPeriod", Value: chain.Atto(n.Params.TrustPeriod / 3)}}}
	must(t, n.During(n.ctx, func(ctx context.Context) error {
		_, err := sender.Send(ctx, propose)
		return err
	}))
	if p, err := c.Params(n.ctx); err != nil || Period(p) != period {
		t.Fatalf("before the change: %+v, %v", p, err)
	}
	must(t, n.Advance(n.ctx, uint64(at-n.Height())+2))
	_, err = c.Global(n.ctx)
	must(t, err)
	p, err := c.Params(n.ctx)
	if must(t, err); Period(p) != period/3 {
		t.Errorf("after the change the trust period is %s, want %s", Period(p), period/3)
	}
	shift = period / 2
	must(t, n.Advance(n.ctx, 1))
	const expired = "a newer one with --trust"
	if _, err := c.Global(n.ctx); err == nil || !strings.Contains(err.Error(), expired) {
		t.Errorf("a running client trusts for longer: %v", err)
	}
	must(t, c.Close())
	c = open()
	if _, err := c.Global(n.ctx); err == nil || !strings.Contains(err.Error(), expired) {
		t.Errorf("a client that goes on from its file trusts for longer: %v", err)
	}
	must(t, c.Close())
	node := rpc.New(n.Nodes[0].API())
	defer node.Close()
	who, err := chain.AddressOfKey(n.Faucet())
	must(t, err)
	after, err := n.Nodes[0].Header(n.ctx, at+1)
	must(t, err)
	header, err := decodeHeader(after)
	must(t, err)
	for trusted, fails := range map[*Trust]bool{&n.trust: false, {at + 1, header.Hash()}: true} {
		b, _, err := Gather(n.ctx, node, chain.AccountKey(who), *trusted, time.Now())
		must(t, err)
		if _, err := Check(b, *trusted, now()); (err != nil) != fails {
			t.Errorf("a proof from the header of height %d, half a period of before later: %v", trusted.Height, err)
		}
	}
}

// staleAccount makes a node repeat its first proof of an account for ever.
func staleAccount() func(*proof.Bundle) {
	repeat := stale()
	return func(b *proof.Bundle) {
		if b.Table == chain.TableAccount {
			repeat(b)
		}
	}
}

// TestRealFile proves an account of a real node as a file.
func TestRealFile(t *testing.T) {
	n := startNetwork(t)
	must(t, n.Advance(n.ctx, 3))
	who, err := chain.AddressOfKey(n.Faucet())
	must(t, err)
	node := rpc.New(n.Nodes[0].API())
	defer node.Close()
	for _, trusted := range []Trust{{}, n.trust} {
		b, shown, err := Gather(n.ctx, node, chain.AccountKey(who), trusted, time.Now())
		must(t, err)
		var acc chain.Account
		must(t, chain.Decode(shown.Record, &acc))
		if shown.Height < 4 || acc.Balance.IsZero() {
			t.Errorf("shown is %+v, account %+v", shown, acc)
		}
		raw, err := chain.Encode(b)
		must(t, err)
		t.Logf("%d headers, %d bytes, path %d", len(b.Headers), len(raw), len(b.Path))
	}
}
