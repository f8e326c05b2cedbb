// Package wallet keeps keys encrypted at rest and turns message bodies into
// signed messages on the chain: it chooses nonce and fee, submits, and waits
// for the receipt.
package wallet

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/internal/lifecycle"
)

// Errors about keys.
var (
	ErrNoKey      = errors.New("no such key in this wallet") // the keystore does not hold it
	ErrPassphrase = errors.New("wrong passphrase")           // it was encrypted with another one
)

const (
	keyExt = ".age"
	// DefaultWork is the scrypt work factor (log2 of iterations) that new keys
	// are encrypted with: about a second to open.
	DefaultWork = 18
	// maxKeyFile bounds a key file in bytes.
	maxKeyFile = 4096
)

// Keystore is a directory with one age file a key, named by its address and
// encrypted with the wallet's passphrase.
type Keystore struct {
	dir        string
	passphrase string
	work       int
}

// Open returns the keystore in dir, which is made when the first key is.
func Open(dir, passphrase string) *Keystore {
	return &Keystore{dir: dir, passphrase: passphrase, work: DefaultWork}
}

// WithWork returns the keystore with another scrypt work factor for the keys
// it writes. Only networks without value should lower it.
func (k *Keystore) WithWork(log2 int) *Keystore {
	c := *k
	c.work = log2
	return &c
}

// New makes a key and returns its address.
func (k *Keystore) New() (chain.Address, error) {
	for {
		key := make([]byte, chain.PrivateKeySize)
		if _, err := rand.Read(key); err != nil {
			return chain.Address{}, fmt.Errorf("draw key: %w", err)
		}
		if _, err := chain.AddressOfKey(key); err == nil { // all but one in 2^128
			return k.Import(key)
		}
	}
}

// Import stores a private key and returns its address. A key that is already
// there is left as it is. A wallet has one passphrase: with another than that of
// the keys that are there it fails with [ErrPassphrase].
func (k *Keystore) Import(key []byte) (chain.Address, error) {
	a, err := chain.AddressOfKey(key)
	if err != nil {
		return a, err
	}
	if _, err := os.Stat(k.path(a)); err == nil {
		return a, nil
	}
	if err := k.fits(); err != nil {
		return a, err
	}
	sealed, err := k.encrypt(key)
	if err != nil {
		return a, fmt.Errorf("encrypt key: %w", err)
	}
	return a, lifecycle.WriteFile(k.path(a), sealed, 0o600)
}

// fits fails if the passphrase is not that of the first key that is there.
func (k *Keystore) fits() error {
	all, err := k.List()
	if err != nil || len(all) == 0 {
		return err
	}
	if _, err := k.Key(all[0]); errors.Is(err, ErrPassphrase) {
		return fmt.Errorf("the wallet has another passphrase: %w", err)
	}
	return nil // a key that is damaged keeps nobody from making another
}

// Key returns the private key of an address.
func (k *Keystore) Key(a chain.Address) ([]byte, error) {
	f, err := os.Open(k.path(a))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("key of %s: %w", shown(a), ErrNoKey)
	}
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	defer f.Close()
	id, err := age.NewScryptIdentity(k.passphrase)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	r, err := age.Decrypt(io.LimitReader(f, maxKeyFile), id)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		err = ErrPassphrase // the only identity that was tried
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt key of %s: %w", shown(a), err)
	}
	key, err := io.ReadAll(io.LimitReader(r, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("decrypt key of %s: %w", shown(a), err)
	}
	if got, err := chain.AddressOfKey(key); err != nil || got != a {
		return nil, fmt.Errorf("key file of %s holds another key", shown(a))
	}
	return key, nil
}

// List returns the addresses in order of their text.
func (k *Keystore) List() ([]chain.Address, error) {
	entries, err := os.ReadDir(k.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	var out []chain.Address
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), keyExt)
		if !ok {
			continue
		}
		if a, err := chain.ParseAddress(name); err == nil {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b chain.Address) int { return strings.Compare(a.String(), b.String()) })
	return out, nil
}

// Default returns the only key, or an error that says what to do.
func (k *Keystore) Default() (chain.Address, error) {
	all, err := k.List()
	if err != nil {
		return chain.Address{}, err
	}
	switch len(all) {
	case 0:
		return chain.Address{}, fmt.Errorf("%w: make one with `perdure wallet new`", ErrNoKey)
	case 1:
		return all[0], nil
	}
	return chain.Address{}, errors.New("several keys in this wallet: choose one with --from")
}

// Choose reads an address; empty text means the only key's.
func (k *Keystore) Choose(text string) (chain.Address, error) {
	if text == "" {
		return k.Default()
	}
	return chain.ParseAddress(text)
}

// shown is an address in the form of test networks, as commands write it that
// do not know theirs.
func shown(a chain.Address) string { return chain.FormatAddress(a, chain.Testnet) }

func (k *Keystore) path(a chain.Address) string {
	return filepath.Join(k.dir, chain.FormatAddress(a, chain.Mainnet)+keyExt)
}

func (k *Keystore) encrypt(key []byte) ([]byte, error) {
	to, err := age.NewScryptRecipient(k.passphrase)
	if err != nil {
		return nil, err
	}
	to.SetWorkFactor(k.work)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(key); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil { // writes the last segment
		return nil, err
	}
	return out.Bytes(), nil
}

// keyInfo is the JSON form of a key that Filecoin wallets exchange.
type keyInfo struct {
	Type       string
	PrivateKey []byte
}

// FormatKey writes a private key as Filecoin wallets export it: hexadecimal of
// {"Type":"secp256k1","PrivateKey":"<base64>"}.
func FormatKey(key []byte) (string, error) {
	b, err := json.Marshal(keyInfo{Type: "secp256k1", PrivateKey: key})
	return hex.EncodeToString(b), err
}

// ParseKey reads FormatKey's form, the JSON itself, or 64 hexadecimal digits.
func ParseKey(s string) ([]byte, error) {
	text := []byte(strings.TrimSpace(s))
	if raw, err := hex.DecodeString(string(text)); err == nil {
		if len(raw) == chain.PrivateKeySize {
			return raw, nil
		}
		text = raw
	}
	var info keyInfo
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&info); err != nil {
		return nil, fmt.Errorf("private key: want hexadecimal or key-info JSON: %w", err)
	}
	if info.Type != "secp256k1" || len(info.PrivateKey) != chain.PrivateKeySize {
		return nil, fmt.Errorf("private key: type %q of %d bytes, want secp256k1 of %d", info.Type, len(info.PrivateKey), chain.PrivateKeySize)
	}
	return info.PrivateKey, nil
}
