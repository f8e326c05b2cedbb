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

// TestSignBytesIn: what is copied out of an encoding is what encoding gives.
func TestSignBytesIn(t *testing.T) {
	from, err := AddressOfKey(bytes.Repeat([]byte{1}, PrivateKeySize))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 23, 24, 255, 256, 70_000} {
		m := SignedMessage{Message: Message{Version: MessageVersion, From: from, Nonce: 7, MaxFee: PDR(1),
			Kind: KindTransfer, Body: bytes.Repeat([]byte{1}, size)}}

		if m.Signature, err = Sign(bytes.Repeat([]byte{1}, PrivateKeySize), []byte("anything")); err != nil {
			t.Fatal(err)
		}
		raw, err := Encode(&m)
		if err != nil {
			t.Fatal(err)
		}
		want, err := m.Message.SignBytes("chain")
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.SignBytesIn(raw, "chain")
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("body of %d bytes: %x, %v, want %x", size, got, err, want)
		}
		if _, err := m.SignBytesIn(raw[:3], "chain"); err == nil {
			t.Error("three bytes hold a message")
		}
	}
}
