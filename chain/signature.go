package chain

import (
	"errors"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/filecoin-project/go-state-types/crypto"
	"golang.org/x/crypto/blake2b"
)

// Signature is a go-state-types signature: its type and bytes.
type Signature = crypto.Signature

// PrivateKeySize is the size of a secp256k1 private key in bytes.
const PrivateKeySize = secp256k1.PrivKeyBytesLen

// signatureSize is r || s || recovery id, 65 bytes, as Filecoin writes it.
const signatureSize = 65

// compactMagic is what decred adds to the recovery id of an uncompressed key.
const compactMagic = 27

// privateKey reads a key and refuses zero and values beyond the curve's order.
func privateKey(key []byte) (*secp256k1.PrivateKey, error) {
	var d secp256k1.ModNScalar
	if len(key) != PrivateKeySize || d.SetByteSlice(key) || d.IsZero() {
		return nil, errors.New("not a secp256k1 private key")
	}
	return secp256k1.NewPrivateKey(&d), nil
}

// AddressOfKey returns the address of a secp256k1 private key.
func AddressOfKey(key []byte) (Address, error) {
	k, err := privateKey(key)
	if err != nil {
		return Address{}, err
	}
	return KeyAddress(k.PubKey().SerializeUncompressed())
}

// Sign signs the BLAKE2b-256 digest of message with a secp256k1 private key,
// deterministically (RFC 6979).
func Sign(key, message []byte) (crypto.Signature, error) {
	k, err := privateKey(key)
	if err != nil {
		return crypto.Signature{}, err
	}
	digest := blake2b.Sum256(message)
	compact := ecdsa.SignCompact(k, digest[:], false)
	data := append(compact[1:], compact[0]-compactMagic)
	return crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: data}, nil
}

// VerifySignature checks that signer signed message. A signature with a high
// s is refused, so that each message has one form.
func VerifySignature(sig *crypto.Signature, signer Address, message []byte) error {
	if sig.Type != crypto.SigTypeSecp256k1 || len(sig.Data) != signatureSize || sig.Data[64] > 3 {
		return errors.New("not a secp256k1 signature of 65 bytes")
	}
	var s secp256k1.ModNScalar
	if s.SetByteSlice(sig.Data[32:64]) || s.IsOverHalfOrder() {
		return errors.New("signature is not in its low form")
	}
	digest := blake2b.Sum256(message)
	compact := append([]byte{sig.Data[64] + compactMagic}, sig.Data[:64]...)
	pub, _, err := ecdsa.RecoverCompact(compact, digest[:])
	if err != nil {
		return fmt.Errorf("recover signer: %w", err)
	}
	got, err := KeyAddress(pub.SerializeUncompressed())
	if err != nil {
		return err
	}
	if got != signer {
		return errors.New("signed by another key")
	}
	return nil
}
