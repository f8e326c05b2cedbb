package chain

import (
	"encoding/base32"
	"errors"
	"fmt"
	"hash"
	"strconv"

	"github.com/filecoin-project/go-address"
	"golang.org/x/crypto/blake2b"
)

// Address is a Filecoin-form address. Accounts are secp256k1 addresses
// (protocol 1); miners are ID addresses (protocol 0).
type Address = address.Address

// MinerID is the number in a miner's ID address: 1000 in t01000.
type MinerID = uint64

// FirstMinerID is the ID of the first miner a chain creates.
const FirstMinerID MinerID = 1000

// Network tells how addresses are written. It changes no bytes: one key has
// one address on every network.
type Network byte

// The two forms of address text.
const (
	Mainnet Network = 'f'
	Testnet Network = 't'
)

// MarshalText writes "f" or "t".
func (n Network) MarshalText() ([]byte, error) { return []byte{byte(n)}, nil }

// UnmarshalText reads "f" or "t".
func (n *Network) UnmarshalText(b []byte) error {
	if string(b) != string(rune(Mainnet)) && string(b) != string(rune(Testnet)) {
		return fmt.Errorf("network %q: want \"f\" or \"t\"", b)
	}
	*n = Network(b[0])
	return nil
}

// ErrNotMiner is returned for an address that does not name a miner.
var ErrNotMiner = errors.New("not a miner address (want the form t01000)")

// MinerAddress returns the ID address of a miner.
func MinerAddress(id MinerID) (Address, error) { return address.NewIDAddress(id) }

// MinerIDOf returns the miner that an ID address names.
func MinerIDOf(a Address) (MinerID, error) {
	if a.Protocol() != address.ID {
		return 0, ErrNotMiner
	}
	return address.IDFromAddress(a)
}

// KeyAddress returns the address of a secp256k1 public key (65 bytes, uncompressed).
func KeyAddress(publicKey []byte) (Address, error) {
	return address.NewSecp256k1Address(publicKey)
}

// IsKeyAddress reports whether a can own an account and sign.
func IsKeyAddress(a Address) bool { return a.Protocol() == address.SECP256K1 }

// ParseAddress reads the text form of either network.
func ParseAddress(s string) (Address, error) {
	a, err := address.NewFromString(s)
	if err != nil {
		return Address{}, fmt.Errorf("address %q: %w", s, err)
	}
	return a, nil
}

// ParseMiner reads a miner's ID address: "t01000" or "f01000".
func ParseMiner(s string) (MinerID, error) {
	a, err := ParseAddress(s)
	if err != nil {
		return 0, err
	}
	id, err := MinerIDOf(a)
	if err != nil {
		return 0, fmt.Errorf("address %q: %w", s, err)
	}
	return id, nil
}

// FormatAddress writes a for the given network; the undefined address is empty.
func FormatAddress(a Address, n Network) string { return new(AddressWriter).Format(a, n) }

// AddressWriter writes addresses one after the other with one hash for all of their
// checksums, where go-address makes one for each. The zero value is ready.
type AddressWriter struct {
	sum       hash.Hash // nil before the first address
	raw, text []byte
}

// Format is FormatAddress.
func (w *AddressWriter) Format(a Address, n Network) string {
	if a == address.Undef {
		return ""
	}
	p := a.Protocol()
	if p != address.SECP256K1 && p != address.Actor && p != address.BLS {
		return string(rune(n)) + a.String()[1:]
	}
	w.raw = w.checksum(append(w.raw[:0], a.Bytes()...))
	w.text = addressText.AppendEncode(append(w.text[:0], byte(n), '0'+p), w.raw[1:])
	return string(w.text)
}

// checksum appends the checksum of an address to its bytes.
func (w *AddressWriter) checksum(raw []byte) []byte {
	if w.sum == nil {
		sum, err := blake2b.New(address.ChecksumHashLength, nil)
		if err != nil {
			panic(err) // the length is one
		}
		w.sum = sum
	}
	w.sum.Reset()
	w.sum.Write(raw) // a hash takes all
	return w.sum.Sum(raw)
}

// addressText writes what follows the protocol of an address.
var addressText = address.AddressEncoding.WithPadding(base32.NoPadding)

// FormatMiner writes a miner's ID address for the given network.
func FormatMiner(id MinerID, n Network) string {
	var text [2 + 20]byte
	return string(strconv.AppendUint(append(text[:0], byte(n), '0'), id, 10))
}
