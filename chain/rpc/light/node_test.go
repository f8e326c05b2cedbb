package light

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/chain/wallet"
)

// reader returns a verifying client of a backend with an honest witness. Its
// clock stands half a second after the chain's newest block.
func reader(t *testing.T, s *sim, b rpc.Backend, change ...func(*Options)) *Node {
	t.Helper()
	o := Options{Node: serve(t, b), Witnesses: []string{serve(t, s)}, Trust: s.trust(1), Drift: time.Millisecond,
		Now: func() time.Time { return s.after(int64(s.tip())) }}
	for _, f := range change {
		f(&o)
	}
	n, err := New(o)
	must(t, err)
	t.Cleanup(func() { n.Close() })
	return n
}

// TestHonest reads everything from an honest node, while all votes change
// twice over.
func TestHonest(t *testing.T) {
	s := newSim(t, 10, moving)
	n, ctx := reader(t, s, s), t.Context()
	for range 20 {
		g, err := n.Global(ctx)
		must(t, err)
		acc, err := n.Account(ctx, client(t))
		must(t, err)
		if want := s.tip() - 1; g.Height != want || acc.Nonce != uint64(want) {
			t.Fatalf("height %d, nonce %d; want %d", g.Height, acc.Nonce, want)
		}
		s.block()
	}
	if ok, err := n.Record(ctx, chain.DealKey(1), new(chain.Deal)); ok || err != nil {
		t.Errorf("a deal that there is not: %v, %v", ok, err)
	}
	if p, err := n.Params(ctx); err != nil || p.ChainID != "light-test" {
		t.Errorf("params: %+v, %v", p, err)
	}
	r := receipt(17)
	if in, err := n.Await(ctx, r.Hash); err != nil || in.Height != 17 || in.Receipt != r {
		t.Errorf("receipt: %+v, %v", in, err)
	}
	next, stop := chain.Height(2), errors.New("stop")
	err := n.Follow(ctx, next, func(u *consensus.Update) error {
		if u.Height != next || u.Receipts[0] != receipt(next) {
			t.Fatalf("update %d, want %d", u.Height, next)
		}
		if next++; next == s.tip() {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Errorf("follow ended before %d: %v", next, err)
	}
}

// stale makes a node repeat its first proof for ever.
func stale() func(*proof.Bundle) {
	var first *proof.Bundle
	return func(b *proof.Bundle) {
		if first == nil {
			again := *b
			first = &again
		}
		*b = *first
	}
}

// TestLies asks nodes that lie, each in its own way: each lie is found and named.
func TestLies(t *testing.T) {
	account := func(ctx context.Context, n *Node) error { _, err := n.Account(ctx, client(t)); return err }
	update := func(ctx context.Context, n *Node) error { _, err := n.Update(ctx, 6); return err }
	await := func(ctx context.Context, n *Node) error { _, err := n.Await(ctx, receipt(6).Hash); return err }
	for _, c := range []struct {
		name, want string
		lie        func(s *sim, l *liar)
		ask        func(context.Context, *Node) error
	}{
		{"another record", "expected record account/", func(_ *sim, l *liar) { l.prove = func(b *proof.Bundle) { b.ID[4]++ } }, account},
		{"changed record", "expected a path from app hash", func(_ *sim, l *liar) { l.prove = func(b *proof.Bundle) { b.Path[len(b.Path)-1]++ } }, account},
		{"no record", "expected a path from app hash", func(_ *sim, l *liar) { l.prove = func(b *proof.Bundle) { b.Path = b.Path[:len(b.Path)-200] } }, account},
		{"record of an older state", "expected a path from app hash", func(s *sim, l *liar) {
			l.prove = func(b *proof.Bundle) { old, _ := s.Prove(context.Background(), b.Key(), 3); b.Path = old.Path }
		}, account},
		{"older state than before", "newest state is not true: expected height 9 or later, which was shown before, found height 4", func(s *sim, l *liar) {
			asked := 0
			l.prove = func(b *proof.Bundle) {
				if asked++; asked > 1 {
					old, _ := s.Prove(context.Background(), b.Key(), 4)
					*b = *old
				}
			}
		}, func(ctx context.Context, n *Node) error { return errors.Join(account(ctx, n), account(ctx, n)) }},
		{"state that does not go on", "a header that is not older than 2m20s", func(s *sim, l *liar) {
			l.prove = stale()
		}, func(ctx context.Context, n *Node) error {
			must(t, account(ctx, n))
			n.opts.Now = func() time.Time { return began.Add(time.Hour / 10) }
			return account(ctx, n)
		}},
		{"changed header", "not a header with its votes", func(s *sim, l *liar) {
			l.prove = func(b *proof.Bundle) { b.Headers[0].Light[120]++ }
		}, account},
		{"header of strangers", "header of height 10 is not true: expected one that validators vouch for", func(s *sim, l *liar) {
			l.prove = func(b *proof.Bundle) {
				b.Headers[0].Light, _ = encodeHeader(s.sign(10, s.headers[9].AppHash, []string{"x", "y", "z"}))
			}
		}, account},
		{"header of another chain", "expected chain light-test, found chain other", func(s *sim, l *liar) {
			l.prove = func(b *proof.Bundle) {
				s.params.ChainID = "other"
				b.Headers[0].Light, _ = encodeHeader(s.sign(10, s.headers[9].AppHash, s.voters(10)))
				s.params.ChainID = "light-test"
			}
		}, account},
		{"forged update", "update of height 6 is not true: expected hash", func(_ *sim, l *liar) {
			l.update = func(u *consensus.Update) { u.Changes[1].Value[3]++ }
		}, update},
		{"forged receipt in an update", "update of height 6 is not true: expected hash", func(_ *sim, l *liar) {
			l.update = func(u *consensus.Update) { u.Receipts[0].Code = 1 }
		}, update},
		{"update under another's proof", "expected a proof of height 6, found height 5", func(s *sim, l *liar) {
			l.prove = func(b *proof.Bundle) {
				old, _ := s.Prove(context.Background(), b.Key(), 5)
				*b = *old
			}
		}, update},
		{"wrong receipt", "expected Transfer of", func(_ *sim, l *liar) { l.await = func(in *wallet.Inclusion) { in.Receipt.Code = 1 } }, await},
		{"receipt of another block", "expected none in that block", func(_ *sim, l *liar) { l.await = func(in *wallet.Inclusion) { in.Height = 5 } }, await},
		{"wrong parameters", "expected bafy", func(_ *sim, l *liar) { l.block = func(raw []byte) []byte { return append(raw, 1) } },
			func(ctx context.Context, n *Node) error { _, err := n.Params(ctx); return err }},
		{"wrong trusted header", "header of height 1 is not true: expected hash", func(s *sim, l *liar) {
			l.header = func(h chain.Height, _ []byte) []byte {
				out, _ := encodeHeader(s.sign(int64(h), make([]byte, 36), s.voters(int64(h))))
				return out
			}
		}, account},
	} {
		s := newSim(t, 10, moving)
		l := &liar{Backend: s}
		c.lie(s, l)
		err := c.ask(t.Context(), reader(t, s, l))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, have %v", c.name, c.want, err)
		}
	}
}

// TestFeedLies puts a forged header into the middle of a feed: those before and
// after it that link are delivered or not, but never it.
func TestFeedLies(t *testing.T) {
	s := newSim(t, 30, moving)
	l := &liar{Backend: s}
	l.prove = func(b *proof.Bundle) {
		if h, err := decodeHeader(b.Headers[0].Light); err == nil && h.Height == 15 {
			b.Headers[0].Light, _ = encodeHeader(s.sign(15, h.AppHash, []string{"x", "y"}))
		}
	}
	n := reader(t, s, l)
	err := n.Follow(t.Context(), 2, func(u *consensus.Update) error {
		if u.Height >= 14 {
			t.Errorf("update %d is delivered", u.Height)
		}
		return nil
	})
	var lie *Lie
	if !errors.As(err, &lie) || !strings.Contains(lie.What, "header of height 15") || lie.From != n.Base() {
		t.Errorf("follow ended with %v", err)
	}
}

// TestAttack signs two headers of one height with the real validators' keys: the
// witness shows the other one, and gets the evidence.
func TestAttack(t *testing.T) {
	s := newSim(t, 10, always("a", "b", "c", "d"))
	forged := s.sign(10, s.headers[5].AppHash, s.voters(10))
	raw, err := encodeHeader(forged)
	must(t, err)
	old, err := s.Prove(t.Context(), chain.AccountKey(client(t)), 4)
	must(t, err)
	l := &liar{Backend: s, prove: func(b *proof.Bundle) { b.Headers[0].Light, b.Path = raw, old.Path },
		header: func(h chain.Height, truth []byte) []byte {
			if h == 10 {
				return raw
			}
			return truth
		}}
	_, err = reader(t, s, l).Account(t.Context(), client(t))
	if err == nil || !strings.Contains(err.Error(), "somebody attacks") {
		t.Errorf("the account is read: %v", err)
	}
	if len(s.report) != 2 { // to the witness against the node, and the other way round
		t.Errorf("%d pieces of evidence are reported, want two", len(s.report))
	}
}

// TestWitnesses goes without, with silent and with lying witnesses.
func TestWitnesses(t *testing.T) {
	s := newSim(t, 10, always("a", "b"))
	if _, err := New(Options{Node: "http://127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "no witness") {
		t.Errorf("without a witness: %v", err)
	}
	if _, err := New(Options{Node: "http://127.0.0.1:1", Witnesses: []string{"http://127.0.0.1:1/"}}); err == nil || !strings.Contains(err.Error(), "cannot vouch for itself") {
		t.Errorf("its own witness: %v", err)
	}
	silent := func(o *Options) { o.Witnesses = []string{"http://127.0.0.1:1"} }
	_, err := reader(t, s, s, silent).Account(t.Context(), client(t))
	away := "verify header of height 10: no witness has it: ask node http://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused (name another witness with --witness)"
	if err == nil || err.Error() != away {
		t.Errorf("a witness that does not answer: %v, want %s", err, away)
	}
	behind := newSim(t, 7, always("a", "b"))
	_, err = reader(t, s, s, func(o *Options) { o.Witnesses = append(o.Witnesses[:0], serve(t, behind), "http://127.0.0.1:1") }).Account(t.Context(), client(t))
	if err == nil || !regexp.MustCompile(`^verify header of height 10: no witness has it: node http://\S+ has no header of height 10 yet; ask node http://127.0.0.1:1: .* \(name another witness with --witness\)$`).MatchString(err.Error()) {
		t.Errorf("a witness that is behind and one that does not answer: %v", err)
	}
	forger := &liar{Backend: s, header: func(h chain.Height, truth []byte) []byte {
		raw, _ := encodeHeader(s.sign(int64(h), make([]byte, 36), []string{"x"}))
		return raw
	}}
	lying := func(o *Options) { o.Witnesses = []string{serve(t, forger)} }
	if _, err := reader(t, s, s, lying).Account(t.Context(), client(t)); err == nil || !strings.Contains(err.Error(), "as a witness has it") {
		t.Errorf("a witness that lies: %v", err)
	}
	both := func(o *Options) { o.Witnesses = append(o.Witnesses, "http://127.0.0.1:1") }
	if _, err := reader(t, s, s, both).Account(t.Context(), client(t)); err != nil {
		t.Errorf("one witness of two answers: %v", err)
	}
}

// TestMissingBetween: votes have changed so much since the trusted header that one
// between is needed, which the node does not show.
func TestMissingBetween(t *testing.T) {
	s := newSim(t, 40, moving)
	for want, l := range map[string]*silent{
		`node URL: .* \(see whether it runs, or read from another node with --node\)`:                                                         {Backend: s, err: errors.New("x")},
		`node URL has no header of height \d+ yet \(see whether it runs, or read from another node with --node\)`:                             {Backend: s, err: rpc.ErrNotFound},
		`node URL has no header of height \d+ any more: what is older than height 39 is no longer kept \(trust a newer header with --trust\)`: {Backend: s, err: &rpc.PrunedError{Oldest: 39}},
	} {
		n := reader(t, s, l)
		_, err := n.Account(t.Context(), client(t))
		want = `^verify header of height 40: a header before it is missing: ` + strings.ReplaceAll(want, "URL", regexp.QuoteMeta(n.Base())) + `$`
		if err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("%v\nwant %s", err, want)
		}
		var again *later
		if pruned := l.err != nil && strings.Contains(want, "any more"); errors.As(err, &again) == pruned {
			t.Errorf("%v: may be well at the next try: %v", err, !pruned)
		}
	}
}

// TestStoppedBetween: a reader that is stopped while it asks for a header between does
// not call the node a liar.
func TestStoppedBetween(t *testing.T) {
	s := newSim(t, 40, moving)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := reader(t, s, &silent{Backend: s, err: errors.New("x"), asked: cancel}).Account(ctx, client(t))
	var lie *Lie
	if !errors.Is(err, context.Canceled) || errors.As(err, &lie) {
		t.Errorf("stopped: %v", err)
	}
}

// TestRemembered goes on from what an earlier run has verified, without trust
// in anything new, until that is too old.
func TestRemembered(t *testing.T) {
	s := newSim(t, 10, moving)
	file := filepath.Join(t.TempDir(), "home", "light.json")
	in := func(o *Options) { o.File = file }
	untrusting := func(o *Options) { o.Trust = Trust{} }
	if _, err := reader(t, s, s, in, untrusting).Global(t.Context()); err == nil || !strings.Contains(err.Error(), "give one with --trust") {
		t.Errorf("without trust: %v", err)
	}
	n := reader(t, s, s, in)
	_, err := n.Global(t.Context())
	must(t, err)
	must(t, n.Close())
	for range 10 {
		s.block()
	}
	pruned := &liar{Backend: s, header: func(h chain.Height, truth []byte) []byte {
		if h < 10 {
			t.Errorf("header %d is asked for", h)
		}
		return truth
	}}
	n = reader(t, s, pruned, in, untrusting)
	g, err := n.Global(t.Context())
	if err != nil || g.Height != 19 {
		t.Errorf("the second run reads height %+v, %v", g, err)
	}
	must(t, n.Close())
	s.block()
	late := func(o *Options) { o.Now = func() time.Time { return s.after(2000) }; o.MaxAge = time.Hour }
	if _, err := reader(t, s, s, in, untrusting, late).Global(t.Context()); err == nil || !strings.Contains(err.Error(), "trust a newer one with --trust") {
		t.Errorf("after the trust period: %v", err)
	}
	other := func(o *Options) { o.Trust = s.trust(15) }
	n = reader(t, s, s, in, other)
	_, err = n.Global(t.Context())
	must(t, err)
	must(t, n.Close())
	if raw, err := os.ReadFile(file); err != nil || !strings.Contains(string(raw), s.trust(15).String()) {
		t.Errorf("the file does not remember the new trust: %s, %v", raw, err)
	}
	must(t, os.WriteFile(file, []byte(`{"version":9}`), 0o600))
	if _, err := reader(t, s, s, in).Global(t.Context()); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("a file of another version: %v", err)
	}
}
