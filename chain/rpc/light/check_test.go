package light

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state/proof"
)

// gather fetches the proof of the account, as a file.
func gather(t *testing.T, s *sim, b rpc.Backend, trusted Trust) (*proof.Bundle, error) {
	t.Helper()
	node := rpc.New(serve(t, b))
	t.Cleanup(func() { node.Close() })
	out, _, err := Gather(t.Context(), node, chain.AccountKey(client(t)), trusted, s.after(int64(s.tip())))
	return out, err
}

// TestFile proves a record and carries the proof as a file: under a trusted
// header of its own, from one nearby, and across many changes of votes.
func TestFile(t *testing.T) {
	for name, c := range map[string]struct {
		voters  func(int64) []string
		trusted int64
		headers int // least and most that the file may hold
		most    int
	}{
		"own header":                {always("a", "b"), 0, 1, 1},
		"same votes":                {always("a", "b"), 3, 2, 2},
		"adjacent":                  {always("a", "b"), 39, 2, 2},
		"genesis, all votes change": {moving, 1, 10, 30},
	} {
		s := newSim(t, 40, c.voters)
		trusted := Trust{}
		if c.trusted != 0 {
			trusted = s.trust(c.trusted)
		}
		b, err := gather(t, s, s, trusted)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := len(b.Headers); n < c.headers || n > c.most {
			t.Errorf("%s: %d headers, want %d to %d", name, n, c.headers, c.most)
		}
		raw, err := chain.Encode(b)
		must(t, err)
		read, err := proof.DecodeBundle(raw)
		must(t, err)
		for _, trust := range []Trust{trusted, s.trust(40)} {
			if trust.IsZero() {
				continue
			}
			shown, err := Check(read, trust, s.after(40))
			if err != nil {
				t.Fatalf("%s: trust in %d: %v", name, trust.Height, err)
			}
			var acc chain.Account
			must(t, chain.Decode(shown.Record, &acc))
			if shown.Height != 39 || acc.Nonce != 39 || shown.Header.String() != s.trust(40).String() || shown.ChainID != "light-test" {
				t.Errorf("%s: shown is %+v", name, shown)
			}
		}
		t.Logf("%s: %d headers, %d bytes", name, len(b.Headers), len(raw))
	}
}

// TestFileLies changes files: each change is found and named.
func TestFileLies(t *testing.T) {
	s := newSim(t, 40, moving)
	good, err := gather(t, s, s, s.trust(5))
	must(t, err)
	header := func(h int64, appHash []byte, voters []string) proof.Header {
		raw, err := encodeHeader(s.sign(h, appHash, voters))
		must(t, err)
		return proof.Header{Light: raw}
	}
	ours := s.headers[40].AppHash
	other, err := s.store.At(20)
	must(t, err)
	for want, change := range map[string]func(b *proof.Bundle, trust *Trust, now *time.Time){
		"header of height 5 is not true: expected hash 00": func(_ *proof.Bundle, trust *Trust, _ *time.Time) { trust.Hash = make([]byte, 32) },
		"trusted is that of 7":                             func(_ *proof.Bundle, trust *Trust, _ *time.Time) { *trust = s.trust(7) },
		"older than the trust period of 10m0s":             func(_ *proof.Bundle, _ *Trust, now *time.Time) { *now = s.after(5 + 1001) },
		"from the future":                                  func(_ *proof.Bundle, _ *Trust, now *time.Time) { *now = s.after(5) },
		"vouch for, found expected old header next validators": func(b *proof.Bundle, _ *Trust, _ *time.Time) {
			b.Headers = slices.Concat(b.Headers[:1], []proof.Header{header(6, ours, []string{"x", "y", "z"})}, b.Headers[2:])
		},
		"vouch for, found cant trust new val set": func(b *proof.Bundle, _ *Trust, _ *time.Time) {
			b.Headers = []proof.Header{b.Headers[0], b.Headers[len(b.Headers)-1]}
		},
		"state root of height 4 is not true: expected app": func(b *proof.Bundle, _ *Trust, _ *time.Time) { b.Root = []byte("other") },
		"parameters is not true: expected bafy":            func(b *proof.Bundle, _ *Trust, _ *time.Time) { b.Params = []byte("other") },
		"not a header with its votes":                      func(b *proof.Bundle, _ *Trust, _ *time.Time) { b.Headers[1].Light = b.Headers[1].Light[:100] },
		"follows height 40":                                func(b *proof.Bundle, _ *Trust, _ *time.Time) { b.Headers = append(b.Headers, b.Headers[0]) },
		"expected a path from app hash":                    func(b *proof.Bundle, _ *Trust, _ *time.Time) { b.Path, _ = other.Proof(b.Key()) },
		"sector/t01000/3 at height 39 is not true: expected": func(b *proof.Bundle, _ *Trust, _ *time.Time) {
			k := chain.SectorKey(1000, 3)
			b.Table, b.ID = k.Table, []byte(k.ID)
			b.Path = b.Path[:len(b.Path)-2]
		},
		"record account/": func(b *proof.Bundle, _ *Trust, _ *time.Time) { b.Path[len(b.Path)-3]++ },
	} {
		raw, err := chain.Encode(good)
		must(t, err)
		b := new(proof.Bundle)
		must(t, chain.Decode(raw, b))
		trust, now := s.trust(5), s.after(40)
		change(b, &trust, &now)
		if shown, err := Check(b, trust, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, have %v, %+v", want, err, shown)
		}
	}
	single, err := gather(t, s, s, Trust{})
	must(t, err)
	if _, err := Check(single, s.trust(5), s.after(40)); err == nil || !strings.Contains(err.Error(), "--trust 5:") {
		t.Errorf("trust in a header that the file does not have: %v", err)
	}
	unsigned := s.sign(40, ours, s.voters(40))
	unsigned.Commit.Signatures[0].Signature[3]++
	raw, err := encodeHeader(unsigned)
	must(t, err)
	single.Headers[0].Light = raw
	if _, err := Check(single, s.trust(40), s.after(40)); err == nil || !strings.Contains(err.Error(), "expected the votes of two thirds") {
		t.Errorf("a trusted header without its votes: %v", err)
	}
	if record, err := ShowUnder(single, ours); err != nil || len(record) == 0 {
		t.Errorf("under the app hash: %x, %v", record, err)
	}
	if _, err := ShowUnder(single, other.AppHash()); !errors.Is(err, proof.ErrMalformed) {
		t.Errorf("under another app hash: %v", err)
	}
}

// TestGatherLies fetches from nodes that lie: nothing is written.
func TestGatherLies(t *testing.T) {
	s := newSim(t, 20, moving)
	for want, l := range map[string]*liar{
		"expected record account/": {prove: func(b *proof.Bundle) { b.ID[5]++ }},
		"expected one header": {prove: func(b *proof.Bundle) {
			b.Headers = append(b.Headers, b.Headers[0])
			b.Root, b.Params = []byte{1}, []byte{1}
		}},
		"expected a header": {prove: func(b *proof.Bundle) { b.Headers[0].Light = []byte("header") }},
		"expected height 3": {header: func(h chain.Height, raw []byte) []byte { out, _ := s.Header(context.Background(), h+1); return out }},
		"expected hash": {header: func(h chain.Height, raw []byte) []byte {
			out, _ := encodeHeader(s.sign(int64(h), make([]byte, 36), s.voters(int64(h))))
			return out
		}},
		"expected bafy": {block: func(raw []byte) []byte { return append(raw, 0) }},
	} {
		l.Backend = s
		if b, err := gather(t, s, l, s.trust(3)); err == nil || b != nil && len(b.Headers) == 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, have %v", want, err)
		}
	}
	if _, err := gather(t, s, s, Trust{Height: 99, Hash: make([]byte, 32)}); err == nil || !strings.Contains(err.Error(), "is newer than the newest") {
		t.Errorf("trust in the future: %v", err)
	}
}

func TestParseTrust(t *testing.T) {
	want := Trust{12, bytes.Repeat([]byte{0xab}, 32)}
	if got, err := ParseTrust(want.String()); err != nil || got.Height != 12 || !bytes.Equal(got.Hash, want.Hash) {
		t.Errorf("%s is read as %+v, %v", want, got, err)
	}
	for _, bad := range []string{"", "12", "12:", "0:" + hashText(want.Hash), "-1:" + hashText(want.Hash), "12:" + hashText(want.Hash[1:]), "12:xy"} {
		if got, err := ParseTrust(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

// FuzzHeader reads headers: none may panic, and what is read is encoded again
// to what means the same.
func FuzzHeader(f *testing.F) {
	s := newSim(f, 3, always("a", "b"))
	for h := int64(1); h <= 3; h++ {
		raw, err := encodeHeader(s.headers[h])
		must(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := decodeHeader(raw)
		if err != nil {
			return
		}
		again, err := encodeHeader(h)
		must(t, err)
		same, err := decodeHeader(again)
		if err != nil || !bytes.Equal(same.Hash(), h.Hash()) {
			t.Fatalf("header %X encodes to another one: %v", h.Hash(), err)
		}
		_ = checkVotes(h)
		_ = step(s.headers[1], h, time.Hour, s.after(3))
	})
}

// FuzzCheck feeds files: none may panic, and none but a true one may show anything.
func FuzzCheck(f *testing.F) {
	s := newSim(f, 12, moving)
	k := chain.AccountKey(client(f))
	b, err := s.Prove(f.Context(), k, 11)
	must(f, err)
	raw, err := chain.Encode(b)
	must(f, err)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := proof.DecodeBundle(raw)
		if err != nil {
			return
		}
		shown, err := Check(b, s.trust(12), s.after(12))
		if err != nil {
			return
		}
		tree, err := s.store.At(11)
		must(t, err)
		want, err := tree.Record(shown.Key)
		if err != nil || !bytes.Equal(shown.Record, want) {
			t.Fatalf("%x is shown for %+v, the state has %x (%v)", shown.Record, shown.Key, want, err)
		}
	})
}
