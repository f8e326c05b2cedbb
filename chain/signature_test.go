package chain

import (
	"bytes"
	"testing"
)

func TestSignature(t *testing.T) {
	key := bytes.Repeat([]byte{7}, PrivateKeySize)
	signer, err := AddressOfKey(key)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("one block, one proof")
	sig, err := Sign(key, message)
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifySignature(&sig, signer, message); err != nil {
		t.Fatalf("own signature: %v", err)
	}
	if VerifySignature(&sig, signer, []byte("another message")) == nil {
		t.Error("signature of another message passes")
	}
	for i := range sig.Data {
		for bit := range 8 {
			bad := sig
			bad.Data = bytes.Clone(sig.Data)
			bad.Data[i] ^= 1 << bit
			if VerifySignature(&bad, signer, message) == nil {
				t.Fatalf("signature passes with bit %d of byte %d flipped", bit, i)
			}
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, 32), bytes.Repeat([]byte{255}, 32), key[:31]} {
		if _, err := AddressOfKey(bad); err == nil {
			t.Errorf("key %x accepted", bad)
		}
	}
}
