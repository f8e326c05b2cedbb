package consensus

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

func beaconKeys(t testing.TB, name string) (secret, key []byte) {
	t.Helper()
	secret, err := BeaconSecret(seed("beacon", name))
	must(t, err)
	key, err = BeaconPublicKey(secret)
	must(t, err)
	return secret, key
}

// TestBLSKnownAnswers signs what Ethereum's consensus tests sign, under their tag.
func TestBLSKnownAnswers(t *testing.T) {
	const dst = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
	for _, c := range []struct{ secret, message, signature string }{
		{"263dbd792f5b1be47ed85f8938c0f29586af0d3ac7b977f21c278fe1462040e3",
			"5656565656565656565656565656565656565656565656565656565656565656",
			"882730e5d03f6b42c3abc26d3372625034e1d871b65a8a6b900a56dae22da98abbe1b68f85e49fe7652a55ec3d0591c2" +
				"0767677e33e5cbb1207315c41a9ac03be39c2e7668edc043d6cb1d9fd93033caa8a1c5b0e84bedaeb6c64972503a43eb"},
		{"47b8192d77bf871b62e87859d653922725724a5c031afeabc60bcef5ff665138",
			"0000000000000000000000000000000000000000000000000000000000000000",
			"b23c46be3a001c63ca711f87a005c200cc550b9429d5f4eb38d74322144f1b63926da3388979e5321012fb1a0526bcd1" +
				"00b5ef5fe72628ce4cd5e904aeaa3279527843fae5ca9ca675f4f51ed8f83bbf7155da9ecc9663100a885d5dc6df96d9"},
	} {
		secret, err := hex.DecodeString(c.secret)
		must(t, err)
		message, err := hex.DecodeString(c.message)
		must(t, err)
		got, err := signBLS(secret, message, dst)
		must(t, err)
		if hex.EncodeToString(got) != c.signature {
			t.Errorf("signature of %s: %x", c.message[:8], got)
		}
	}
}

func TestBeaconSignatures(t *testing.T) {
	secret, key := beaconKeys(t, "a")
	_, other := beaconKeys(t, "b")
	message := []byte("a message")
	sig, err := SignBeacon(secret, message)
	must(t, err)
	must(t, VerifyBeacon(key, message, sig))
	proof, err := ProveBeaconKey(secret)
	must(t, err)
	must(t, VerifyBeaconKey(key, proof))
	overKey, err := SignBeacon(secret, key)
	must(t, err)
	for name, err := range map[string]error{
		"another message":          VerifyBeacon(key, []byte("a messagf"), sig),
		"another key":              VerifyBeacon(other, message, sig),
		"possession as signature":  VerifyBeacon(key, key, proof),
		"signature as possession":  VerifyBeaconKey(key, overKey),
		"possession of another":    VerifyBeaconKey(other, proof),
		"short signature":          VerifyBeacon(key, message, sig[:95]),
		"long signature":           VerifyBeacon(key, message, append(bytes.Clone(sig), 0)),
		"no signature":             VerifyBeacon(key, message, nil),
		"no key":                   VerifyBeacon(nil, message, sig),
		"signature at infinity":    VerifyBeacon(key, message, append([]byte{0xc0}, make([]byte, 95)...)),
		"key at infinity":          VerifyBeacon(append([]byte{0xc0}, make([]byte, 47)...), message, sig),
		"both at infinity":         VerifyBeacon(append([]byte{0xc0}, make([]byte, 47)...), message, append([]byte{0xc0}, make([]byte, 95)...)),
		"uncompressed flag":        VerifyBeacon(append([]byte{key[0] & 0x1f}, key[1:]...), message, sig),
		"key outside its subgroup": VerifyBeacon(offSubgroup(t), message, sig),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := VerifyBeaconKey(offSubgroup(t), proof); !errors.Is(err, ErrBeaconKey) {
		t.Errorf("key outside its subgroup: %v", err)
	}
}

// offSubgroup is a point of the curve, well encoded, that is not in G1.
func offSubgroup(t *testing.T) []byte {
	t.Helper()
	for x := uint64(1); x < 100; x++ {
		var p bls.G1Affine
		p.X.SetUint64(x)
		var y, four fp.Element
		four.SetUint64(4)
		y.Square(&p.X).Mul(&y, &p.X).Add(&y, &four)
		if p.Y.Sqrt(&y) != nil && p.IsOnCurve() && !p.IsInSubGroup() {
			b := p.Bytes()
			return b[:]
		}
	}
	t.Fatal("found no point outside of the subgroup")
	return nil
}

// TestBeaconBitFlips: no change of one bit of a signature or key passes.
func TestBeaconBitFlips(t *testing.T) {
	secret, key := beaconKeys(t, "a")
	message := []byte("a message")
	sig, err := SignBeacon(secret, message)
	must(t, err)
	for i := 0; i < len(sig)*8; i += 13 {
		bad := bytes.Clone(sig)
		bad[i/8] ^= 1 << (i % 8)
		if VerifyBeacon(key, message, bad) == nil {
			t.Errorf("signature with bit %d flipped passes", i)
		}
	}
	for i := 0; i < len(key)*8; i += 13 {
		bad := bytes.Clone(key)
		bad[i/8] ^= 1 << (i % 8)
		if VerifyBeacon(bad, message, sig) == nil {
			t.Errorf("key with bit %d flipped passes", i)
		}
	}
}

func TestBeaconSecrets(t *testing.T) {
	order := fr.Modulus().Bytes()
	for name, secret := range map[string][]byte{
		"zero": make([]byte, 32), "the order": order, "short": make([]byte, 31),
		"beyond the order": bytes.Repeat([]byte{0xff}, 32),
	} {
		if _, err := SignBeacon(secret, nil); !errors.Is(err, ErrBeaconSecret) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := BeaconPublicKey(secret); !errors.Is(err, ErrBeaconSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, random := range map[string][]byte{"short": make([]byte, 31), "zero": make([]byte, 48)} {
		if _, err := BeaconSecret(random); !errors.Is(err, ErrBeaconSecret) {
			t.Errorf("secret from %s random bytes: %v", name, err)
		}
	}
}

func BenchmarkVerifyBeacon(b *testing.B) {
	secret, key := beaconKeys(b, "a")
	sig, err := SignBeacon(secret, []byte("message"))
	must(b, err)
	for b.Loop() {
		must(b, VerifyBeacon(key, []byte("message"), sig))
	}
}
