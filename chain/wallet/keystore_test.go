package wallet

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/perdure/perdure/chain"
)

// testWork keeps scrypt cheap where nothing is secret.
const testWork = 4

func TestKeystore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := Open(dir, "correct horse").WithWork(testWork)
	if _, err := k.Default(); !errors.Is(err, ErrNoKey) {
		t.Fatalf("default of an empty wallet: %v", err)
	}
	a, err := k.New()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Default(); err != nil || got != a {
		t.Fatalf("default = %v, %v; want %v", got, err, a)
	}
	key, err := Open(dir, "correct horse").Key(a)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := chain.AddressOfKey(key); got != a {
		t.Fatalf("key of %v opens as %v", a, got)
	}
	wrong := Open(dir, "wrong").WithWork(testWork)
	if _, err := wrong.Key(a); !errors.Is(err, ErrPassphrase) {
		t.Errorf("key under a wrong passphrase: %v", err)
	}
	if _, err := wrong.New(); !errors.Is(err, ErrPassphrase) {
		t.Errorf("new key under another passphrase: %v", err)
	}
	raw, err := os.ReadFile(k.path(a))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, key) {
		t.Error("key stands in its file in the clear")
	}
	if err := os.WriteFile(k.path(a), raw[:len(raw)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Key(a); err == nil {
		t.Error("torn key file opens")
	}
	b, err := k.New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Default(); err == nil {
		t.Error("two keys, yet one is the default")
	}
	if all, err := k.List(); err != nil || len(all) != 2 || all[0] != a && all[1] != a || all[0] != b && all[1] != b {
		t.Errorf("list = %v, %v", all, err)
	}
}

func TestKeyText(t *testing.T) {
	key := bytes.Repeat([]byte{9}, chain.PrivateKeySize)
	text, err := FormatKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{text, "\n" + text + " ", `{"Type":"secp256k1","PrivateKey":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk="}`,
		"0909090909090909090909090909090909090909090909090909090909090909"} {
		got, err := ParseKey(s)
		if err != nil || !bytes.Equal(got, key) {
			t.Errorf("ParseKey(%q) = %x, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "zz", "7b7d", `{"Type":"bls","PrivateKey":"AA=="}`, text[:40]} {
		if _, err := ParseKey(s); err == nil {
			t.Errorf("ParseKey(%q) passes", s)
		}
	}
}
