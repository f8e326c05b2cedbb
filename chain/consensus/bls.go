package consensus

import (
	"errors"
	"math/big"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Sizes of the beacon's BLS12-381 keys and signatures in bytes, compressed.
const (
	BeaconSecretSize    = 32 // scalar, big-endian, in [1, r)
	BeaconKeySize       = 48 // G1
	BeaconSignatureSize = 96 // G2
)

// The domain separation tags of hash-to-curve (RFC 9380, the suite
// BLS12381G2_XMD:SHA-256_SSWU_RO). A proof of possession has its own, so that
// neither kind can be shown as the other.
const (
	beaconDST     = "PERDURE-BEACON-V1-BLS12381G2_XMD:SHA-256_SSWU_RO"
	possessionDST = "PERDURE-POSSESSION-V1-BLS12381G2_XMD:SHA-256_SSWU_RO"
)

// Errors of beacon keys and signatures.
var (
	ErrBeaconSecret    = errors.New("not a BLS12-381 secret of 32 bytes below the group's order")
	ErrBeaconKey       = errors.New("not a BLS12-381 public key of 48 bytes in G1")
	ErrBeaconSignature = errors.New("BLS signature does not verify")
)

// BeaconSecret makes a secret from 32 or more random bytes, reduced modulo the
// group's order; 48 bytes make the bias negligible.
func BeaconSecret(random []byte) ([]byte, error) {
	if len(random) < BeaconSecretSize {
		return nil, ErrBeaconSecret
	}
	var k fr.Element
	if k.SetBytes(random).IsZero() {
		return nil, ErrBeaconSecret
	}
	b := k.Bytes()
	return b[:], nil
}

func beaconScalar(secret []byte) (*big.Int, error) {
	k := new(big.Int).SetBytes(secret)
	if len(secret) != BeaconSecretSize || k.Sign() == 0 || k.Cmp(fr.Modulus()) >= 0 {
		return nil, ErrBeaconSecret
	}
	return k, nil
}

// BeaconPublicKey returns the public key of a secret: secret x G1, 48 bytes.
func BeaconPublicKey(secret []byte) ([]byte, error) {
	k, err := beaconScalar(secret)
	if err != nil {
		return nil, err
	}
	var p bls.G1Affine
	p.ScalarMultiplicationBase(k)
	b := p.Bytes()
	return b[:], nil
}

// SignBeacon signs a beacon message: secret x H(message) in G2, 96 bytes.
// There is one signature for each key and message.
func SignBeacon(secret, message []byte) ([]byte, error) {
	return signBLS(secret, message, beaconDST)
}

// ProveBeaconKey proves that whoever registers a public key has its secret: the
// signature over the public key itself, under a domain of its own.
func ProveBeaconKey(secret []byte) ([]byte, error) {
	key, err := BeaconPublicKey(secret)
	if err != nil {
		return nil, err
	}
	return signBLS(secret, key, possessionDST)
}

func signBLS(secret, message []byte, dst string) ([]byte, error) {
	k, err := beaconScalar(secret)
	if err != nil {
		return nil, err
	}
	h, err := bls.HashToG2(message, []byte(dst))
	if err != nil {
		return nil, err
	}
	var sig bls.G2Affine
	b := sig.ScalarMultiplication(&h, k).Bytes()
	return b[:], nil
}

// VerifyBeacon checks a signature by SignBeacon. Points outside of their
// groups and the point at infinity are refused.
func VerifyBeacon(key, message, signature []byte) error {
	return verifyBLS(key, message, signature, beaconDST)
}

// VerifyBeaconKey checks a proof by ProveBeaconKey.
func VerifyBeaconKey(key, proof []byte) error {
	return verifyBLS(key, key, proof, possessionDST)
}

// verifyBLS checks e(-G1, signature) x e(key, H(message)) = 1.
func verifyBLS(key, message, signature []byte, dst string) error {
	var p bls.G1Affine
	if len(key) != BeaconKeySize {
		return ErrBeaconKey
	}
	if n, err := p.SetBytes(key); err != nil || n != len(key) || p.IsInfinity() {
		return ErrBeaconKey
	}
	var s bls.G2Affine
	if len(signature) != BeaconSignatureSize {
		return ErrBeaconSignature
	}
	if n, err := s.SetBytes(signature); err != nil || n != len(signature) || s.IsInfinity() {
		return ErrBeaconSignature
	}
	h, err := bls.HashToG2(message, []byte(dst))
	if err != nil {
		return err
	}
	_, _, g1, _ := bls.Generators()
	g1.Neg(&g1)
	ok, err := bls.PairingCheck([]bls.G1Affine{g1, p}, []bls.G2Affine{s, h})
	if err != nil || !ok {
		return ErrBeaconSignature
	}
	return nil
}
