package chain

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// nouns are all that travel or are stored.
func nouns() []CBOR {
	all := []CBOR{new(Message), new(SignedMessage), new(Voucher), new(SignedVoucher), new(Account), new(Miner), new(Sector),
		new(Partition), new(Order), new(Deal), new(Channel), new(Beacon), new(QueueHead), new(QueueItem), new(Empty), new(Global), new(Copies),
		new(VoteSet), new(VoteKey), new(Candidate), new(Proposal), new(Receipt), new(SignedReceipt), new(Served)}
	for k := range Kind(256) {
		if b, ok := NewBody(k); ok {
			all = append(all, b)
		}
	}
	return all
}

func nameOf(v any) string { return reflect.TypeOf(v).Elem().Name() }

// filler gives every field of a noun a value of its own, the same in each run.
type filler struct{ next uint64 }

func (f *filler) number() uint64 {
	f.next++
	return f.next * f.next * f.next // of one to five bytes
}

func (f *filler) fill(v reflect.Value) {
	switch v.Interface().(type) {
	case Address:
		a, err := AddressOfKey(bytes.Repeat([]byte{byte(f.number()) | 1}, PrivateKeySize))
		if err != nil {
			panic(err)
		}
		v.Set(reflect.ValueOf(a))
		return
	case cid.Cid:
		h, err := multihash.Sum([]byte{byte(f.number())}, multihash.SHA2_256, -1)
		if err != nil {
			panic(err)
		}
		v.Set(reflect.ValueOf(cid.NewCidV1(cid.Raw, h)))
		return
	case Amount:
		v.Set(reflect.ValueOf(Amount{hi: f.number() % 3, lo: f.number() << 40}))
		return
	case crypto.Signature:
		v.Set(reflect.ValueOf(crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: bytes.Repeat([]byte{7}, 65)}))
		return
	case abi.RegisteredSealProof:
		v.Set(reflect.ValueOf(abi.RegisteredSealProof_StackedDrg32GiBV1_1))
		return
	}
	f.fillKind(v)
}

func (f *filler) fillKind(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("text-%d", f.number()))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(f.number() & 0xff)
	case reflect.Uint64:
		v.SetUint(f.number())
	default:
		panic("golden values know no " + v.Type().String())
	}
}

func sample(v CBOR) CBOR {
	new(filler).fill(reflect.ValueOf(v).Elem())
	if m, ok := v.(*Order); ok {
		m.Ask = nil // a bid; the ask's terms stand in PlaceAsk
	}
	return v
}

// TestGoldenEncodings: the encoding of every noun is frozen. A change here is
// a fork: it needs a new version, not -update.
func TestGoldenEncodings(t *testing.T) {
	path := filepath.Join("testdata", "encodings.golden")
	if *update {
		var b strings.Builder
		for _, v := range nouns() {
			raw, err := Encode(sample(v))
			if err != nil {
				t.Fatalf("%s: %v", nameOf(v), err)
			}
			fmt.Fprintf(&b, "%s %x\n", nameOf(v), raw)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden := readGolden(t, path)
	for _, v := range nouns() {
		want, ok := golden[nameOf(v)]
		if !ok {
			t.Errorf("%s has no golden encoding", nameOf(v))
			continue
		}
		delete(golden, nameOf(v))
		checkGolden(t, v, want)
	}
	for name := range golden {
		t.Errorf("golden encoding of %s, which does not exist", name)
	}
}

func readGolden(t *testing.T, path string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = raw
	}
	return out
}

// checkGolden compares both directions, and that nothing but the one encoding decodes.
func checkGolden(t *testing.T, empty CBOR, want []byte) {
	t.Helper()
	name := nameOf(empty)
	fresh := func() CBOR { return reflect.New(reflect.TypeOf(empty).Elem()).Interface().(CBOR) }
	filled := sample(fresh())
	got, err := Encode(filled)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s encodes as %x (%v)", name, got, err)
	}
	back := fresh()
	if err := Decode(want, back); err != nil || !reflect.DeepEqual(back, filled) {
		t.Errorf("%s decodes as %+v (%v)", name, back, err)
	}
	if err := Decode(append(slices.Clone(want), 0), fresh()); err == nil {
		t.Errorf("%s: a trailing byte is accepted", name)
	}
	for n := 0; n < len(want); n += 1 + len(want)/50 {
		if err := Decode(want[:n], fresh()); err == nil {
			t.Errorf("%s: its first %d bytes decode", name, n)
		}
	}
}

// TestNotCanonical: other encodings of the same value are refused.
func TestNotCanonical(t *testing.T) {
	good, err := Encode(&TopUpChannel{Channel: 1, Amount: Atto(5)})
	if err != nil || hex.EncodeToString(good) != "82014105" {
		t.Fatalf("%x, %v", good, err)
	}
	for name, text := range map[string]string{
		"long integer":         "8218014105",
		"leading zero":         "820142" + "0005",
		"long array header":    "9802014105",
		"null amount":          "8201f6",
		"indefinite array":     "9f014105ff",
		"17 bytes of amount":   "820151" + strings.Repeat("01", 17),
		"text instead":         "82016105",
		"one field short":      "8101",
		"one field more":       "8301410500",
		"negative number":      "82204105",
		"tagged":               "c482014105",
		"length as four bytes": "82015a0000000105",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := Decode(b, new(TopUpChannel)); err == nil {
			t.Errorf("%s: %s is accepted", name, text)
		}
	}
}

// TestGoldenSignature freezes sign-bytes, digest and signature of one message:
// what a wallet in another language has to reproduce.
func TestGoldenSignature(t *testing.T) {
	key := bytes.Repeat([]byte{1}, PrivateKeySize)
	from, err := AddressOfKey(key)
	if err != nil {
		t.Fatal(err)
	}
	body, err := Encode(&Transfer{To: from, Amount: PDR(1)})
	if err != nil {
		t.Fatal(err)
	}
	m := Message{Version: MessageVersion, From: from, Nonce: 2, MaxFee: PDR(3), Tip: Atto(4), Kind: KindTransfer, Body: body}
	sb, err := m.SignBytes("perdure-golden")
	if err != nil {
		t.Fatal(err)
	}
	sig, err := Sign(key, sb)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Encode(&SignedMessage{Message: m, Signature: sig})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("from %s\nsignBytes %x\nsignature %x\nencoded %x\nhash %s\n",
		FormatAddress(from, Testnet), sb, sig.Data, raw, HashBytes(raw))
	path := filepath.Join("testdata", "signature.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	other, err := m.SignBytes("perdure-golde")
	if err != nil {
		t.Fatal(err)
	}
	if VerifySignature(&sig, from, other) == nil {
		t.Error("a signature for one chain holds on another")
	}
}

// FuzzDecodeSigned: whatever decodes encodes to the same bytes, and its body too.
func FuzzDecodeSigned(f *testing.F) {
	for _, v := range nouns() {
		b, ok := v.(Body)
		if !ok {
			continue
		}
		body, err := Encode(sample(b))
		if err != nil {
			f.Fatal(err)
		}
		m := sample(new(SignedMessage)).(*SignedMessage)
		m.Message.Version, m.Message.Kind, m.Message.Body = MessageVersion, b.Kind(), body
		raw, err := Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := DecodeSigned(raw)
		if err != nil {
			return
		}
		if again, err := Encode(m); err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("message encodes to other bytes (%v)", err)
		}
		if _, err := m.Message.SignBytes("x"); err != nil {
			t.Fatalf("decoded, but has no sign-bytes: %v", err)
		}
		body, err := m.Message.DecodeBody()
		if err != nil {
			return
		}
		if again, err := Encode(body); err != nil || !bytes.Equal(again, m.Message.Body) {
			t.Fatalf("body encodes to other bytes (%v)", err)
		}
	})
}
