package chain

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
)

// TestReceiptsRoot compares roots with the known answers of RFC 6962's tree
// (Certificate Transparency's reference leaves) and checks every path.
func TestReceiptsRoot(t *testing.T) {
	var leaves [][]byte
	for _, text := range []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, b)
	}
	want := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	for n, text := range want {
		root := ReceiptsRoot(leaves[:n])
		if got := hex.EncodeToString(root[:]); got != text {
			t.Errorf("root of %d is %s, want %s", n, got, text)
		}
		for i := range n {
			checkPaths(t, leaves[:n], i, root)
		}
	}
}

func checkPaths(t *testing.T, leaves [][]byte, i int, root [32]byte) {
	t.Helper()
	n := uint64(len(leaves))
	path := ReceiptPath(leaves, i)
	if err := CheckReceiptPath(root, n, uint64(i), leaves[i], path); err != nil {
		t.Errorf("leaf %d: %v", i, err)
	}
	bad := map[string]error{
		"another leaf":    CheckReceiptPath(root, n, uint64(i), []byte("x"), path),
		"another root":    CheckReceiptPath([32]byte{}, n, uint64(i), leaves[i], path),
		"beyond the last": CheckReceiptPath(root, n, n, leaves[i], path),
		"one hash more":   CheckReceiptPath(root, n, uint64(i), leaves[i], append(bytesOf(path), [32]byte{})),
	}
	for j := range n {
		if j != uint64(i) {
			bad[fmt.Sprintf("as leaf %d", j)] = CheckReceiptPath(root, n, j, leaves[i], path)
		}
	}
	for what, err := range bad {
		if !errors.Is(err, ErrReceiptPath) {
			t.Errorf("leaf %d of %d, %s: %v", i, n, what, err)
		}
	}
}

func bytesOf(path [][32]byte) [][32]byte { return append([][32]byte(nil), path...) }

func TestReceiptCheck(t *testing.T) {
	key := bytes.Repeat([]byte{1}, PrivateKeySize)
	buyer, err := AddressOfKey(key)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := AddressOfKey(bytes.Repeat([]byte{2}, PrivateKeySize))
	if err != nil {
		t.Fatal(err)
	}
	sign := func(change func(*Receipt)) *SignedReceipt {
		s := &SignedReceipt{Receipt: Receipt{Version: MessageVersion, ChainID: "here", Miner: 1000, Buyer: buyer, Bytes: 5, From: 2, To: 3}}
		if change != nil {
			change(&s.Receipt)
		}
		text, err := s.Receipt.SignBytes()
		if err != nil {
			t.Fatal(err)
		}
		if s.Signature, err = Sign(key, text); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := sign(nil).Check("here"); err != nil {
		t.Error(err)
	}
	other := sign(nil)
	other.Receipt.Bytes++
	bad := map[string]*SignedReceipt{
		"changed after it was signed": other,
		"of a later version":          sign(func(r *Receipt) { r.Version++ }),
		"of another chain":            sign(func(r *Receipt) { r.ChainID = "there" }),
		"for nothing":                 sign(func(r *Receipt) { r.Bytes = 0 }),
		"for too much":                sign(func(r *Receipt) { r.Bytes = MaxReceiptBytes + 1 }),
		"backwards":                   sign(func(r *Receipt) { r.From = r.To + 1 }),
		"by another":                  sign(func(r *Receipt) { r.Buyer = stranger }),
	}
	for what, s := range bad {
		if s.Check("here") == nil {
			t.Errorf("a receipt %s is taken", what)
		}
	}
}
