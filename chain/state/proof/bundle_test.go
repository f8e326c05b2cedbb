package proof_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state/proof"
)

// bundled is a bundle of so many headers for a sector.
func bundled(t testing.TB, headers int) *proof.Bundle {
	t.Helper()
	v, _ := tree(t)
	k := chain.SectorKey(1002, 2)
	path, err := v.Proof(k)
	if err != nil {
		t.Fatal(err)
	}
	b := &proof.Bundle{Version: proof.BundleVersion, Table: k.Table, ID: []byte(k.ID), Path: path}
	for i := range headers {
		b.Headers = append(b.Headers, proof.Header{Light: []byte{byte(i)}})
	}
	if headers > 1 {
		b.Root, b.Params = []byte("root"), []byte("params")
	}
	return b
}

func TestBundle(t *testing.T) {
	for headers := 1; headers <= 3; headers++ {
		b := bundled(t, headers)
		raw, err := chain.Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := proof.DecodeBundle(raw)
		if err != nil || got.Key() != chain.SectorKey(1002, 2) || len(got.Headers) != headers || !bytes.Equal(got.Path, b.Path) {
			t.Errorf("%d headers come back as %+v, %v", headers, got, err)
		}
		for _, cut := range []int{0, 1, len(raw) / 2, len(raw) - 1} {
			if _, err := proof.DecodeBundle(raw[:cut]); !errors.Is(err, proof.ErrBundle) {
				t.Errorf("a bundle cut at %d: %v", cut, err)
			}
		}
		if _, err := proof.DecodeBundle(append(slices.Clone(raw), 0)); !errors.Is(err, proof.ErrBundle) {
			t.Errorf("a bundle with a byte more: %v", err)
		}
	}
	for want, change := range map[string]func(*proof.Bundle){
		"it is of version 2": func(b *proof.Bundle) { b.Version = 2 },
		"no header":          func(b *proof.Bundle) { b.Headers, b.Root, b.Params = nil, nil, nil },
		"0 of parameters":    func(b *proof.Bundle) { b.Params = nil },
		"no key of 1 bytes":  func(b *proof.Bundle) { b.ID = []byte{1} },
		"no table 99":        func(b *proof.Bundle) { b.Table = 99 },
	} {
		b := bundled(t, 2)
		change(b)
		raw, err := chain.Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proof.DecodeBundle(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, have %v", want, err)
		}
	}
}

// TestOtherRoot: a proof under another app hash than the trusted one is told
// apart from garbage, and says both.
func TestOtherRoot(t *testing.T) {
	b := bundled(t, 1)
	v, _ := tree(t)
	other := slices.Clone(v.AppHash())
	other[10]++
	_, err := proof.Verify(b.Path, other, b.Key())
	for _, want := range []string{"stands under app hash " + hex.EncodeToString(v.AppHash()), "expected " + hex.EncodeToString(other)} {
		if !errors.Is(err, proof.ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, have %v", want, err)
		}
	}
	if _, err := proof.Verify([]byte("short"), other, b.Key()); !errors.Is(err, proof.ErrMalformed) {
		t.Errorf("garbage: %v", err)
	}
}

// FuzzBundle reads bundles: what decodes encodes back to the same bytes.
func FuzzBundle(f *testing.F) {
	for headers := 1; headers <= 2; headers++ {
		raw, err := chain.Encode(bundled(f, headers))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := proof.DecodeBundle(raw)
		if err != nil {
			return
		}
		if again, err := chain.Encode(b); err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("%x encodes back as %x, %v", raw, again, err)
		}
	})
}
