package retrieval

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
)

func rawCID(data []byte) cid.Cid {
	sum := sha256.Sum256(data)
	hash, err := mh.Encode(sum[:], mh.SHA2_256)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(cid.Raw, hash)
}

// samples has one message of each kind, by its name.
func samples(t testing.TB) map[string]Message {
	payee, err := chain.AddressOfKey(bytes.Repeat([]byte{9}, chain.PrivateKeySize))
	if err != nil {
		t.Fatal(err)
	}
	c := rawCID([]byte("piece"))
	anchor := sha256.Sum256([]byte("anchor"))
	voucher := chain.Voucher{Version: chain.MessageVersion, ChainID: "perdure-devnet", Channel: 7, Lane: 1, Nonce: 3,
		Amount: chain.Atto(500), Anchor: anchor, TickPrice: chain.Atto(100), MaxTicks: 64, ChunkSize: ChunkSize, ExpiresAt: 900}
	return map[string]Message{
		"ask":       &Ask{Version: Version, ChainID: "perdure-devnet", Piece: &c},
		"ask-root":  &Ask{Version: Version, ChainID: "perdure-devnet", Root: &c, Part: 2, Deal: 8},
		"ask-part":  &Ask{Version: Version, ChainID: "perdure-devnet", Piece: &c, Segment: &c},
		"offer":     &Offer{Version: Version, Session: 5, Piece: c, Root: c, Form: FormFlat, Blocks: 3, Bytes: 300_000, Archive: 300_200, Chunks: 2, ChunkSize: ChunkSize, Price: chain.Atto(100), Payee: &payee, Free: 1, Credit: 4, ExpireAfter: 120, Miner: 1000, Unseal: 3},
		"offer-nil": &Offer{Version: Version, Session: 6, Piece: c, Root: c, ChunkSize: ChunkSize, Credit: 4},
		"pay":       &Pay{Voucher: chain.SignedVoucher{Voucher: voucher, Signature: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)}}, Tick: anchor},
		"standing":  &Standing{Channel: 7, Lane: 1, Nonce: 3, Ticks: 12, Tick: anchor},
		"want":      &Want{ID: 1, Runs: []Run{{CID: &c, Count: 1}, {First: 4, Count: 2}, {First: 9}}},
		"chunk":     &Chunk{Want: 1, Blocks: []Block{{rawCID([]byte("a")), []byte("a")}, {rawCID(nil), []byte{}}}},
		"end":       &End{Want: 1, Blocks: 2, Reason: Complete},
		"tick":      &Tick{Ticks: 2, Tick: anchor},
		"cancel":    &Cancel{Want: 1},
		"bye":       &Bye{},
		"bye-for":   &Bye{Receipt: &chain.SignedReceipt{Receipt: chain.Receipt{Version: chain.MessageVersion, ChainID: "perdure-devnet", Miner: 1000, Deal: 8, Buyer: payee, Nonce: 77, Bytes: 300_000, From: 90, To: 92}, Signature: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)}}},
		"wait":      &Wait{Seconds: 40},
		"error":     Errorf(CodeUnpaid, "4 chunks unpaid"),
	}
}

// TestGolden pins the bytes of every message: testdata/messages.txt is read by
// whoever writes another implementation.
func TestGolden(t *testing.T) {
	all := samples(t)
	datadriven.RunTest(t, "testdata/messages.txt", func(t *testing.T, d *datadriven.TestData) string {
		frame, err := Encode(all[d.Cmd])
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(frame)
		if err != nil {
			t.Fatalf("%s: %v", d.Cmd, err)
		}
		back, err := Encode(again)
		if err != nil || !bytes.Equal(back, frame) {
			t.Fatalf("%s: %x became %x (%v)", d.Cmd, frame, back, err)
		}
		delete(all, d.Cmd)
		return hex.EncodeToString(frame) + "\n"
	})
	for name := range all {
		t.Errorf("no golden bytes of %q", name)
	}
}

func TestDecodeRefuses(t *testing.T) {
	all := samples(t)
	encode := func(m Message) []byte {
		f, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	edit := func(name string, change func(m Message)) []byte {
		m := samples(t)[name]
		change(m)
		return encode(m)
	}
	bad := map[string][]byte{
		"empty":            {},
		"kind 0":           {0},
		"kind 13":          {13},
		"cut":              encode(all["offer"])[:20],
		"trailing":         append(encode(all["tick"]), 0),
		"long control":     append([]byte{byte(KindError)}, make([]byte, MaxControl)...),
		"version":          edit("ask", func(m Message) { m.(*Ask).Version = 1 }),
		"no chain":         edit("ask", func(m Message) { m.(*Ask).ChainID = "" }),
		"piece and root":   edit("ask", func(m Message) { m.(*Ask).Root = m.(*Ask).Piece }),
		"neither":          edit("ask", func(m Message) { m.(*Ask).Piece = nil }),
		"segment alone":    edit("ask-root", func(m Message) { m.(*Ask).Segment = m.(*Ask).Root }),
		"segment by deal":  edit("ask-part", func(m Message) { m.(*Ask).Deal = 3 }),
		"form 2":           edit("offer", func(m Message) { m.(*Offer).Form = 2 }),
		"piece and part":   edit("ask", func(m Message) { m.(*Ask).Part = 1 }),
		"chunk size":       edit("offer", func(m Message) { m.(*Offer).ChunkSize = 1 }),
		"credit 0":         edit("offer", func(m Message) { m.(*Offer).Credit = 0 }),
		"credit 5":         edit("offer", func(m Message) { m.(*Offer).Credit = 5 }),
		"no payee":         edit("offer", func(m Message) { m.(*Offer).Payee = nil }),
		"unseal for 0":     edit("offer-nil", func(m Message) { m.(*Offer).Unseal = 1 }),
		"unseal too long":  edit("offer", func(m Message) { m.(*Offer).Unseal = chain.MaxTicks + 1 }),
		"receipt version":  edit("bye-for", func(m Message) { m.(*Bye).Receipt.Receipt.Version = 99 }),
		"more chunks":      edit("offer", func(m Message) { m.(*Offer).Chunks = 4 }),
		"lane 16":          edit("pay", func(m Message) { m.(*Pay).Voucher.Voucher.Lane = 16 }),
		"no ticks":         edit("pay", func(m Message) { m.(*Pay).Voucher.Voucher.MaxTicks = 0 }),
		"too many ticks":   edit("pay", func(m Message) { m.(*Pay).Voucher.Voucher.MaxTicks = chain.MaxTicks + 1 }),
		"tick beyond":      edit("pay", func(m Message) { m.(*Pay).Ticks = 65 }),
		"tick 0 no anchor": edit("pay", func(m Message) { m.(*Pay).Tick = [32]byte{} }),
		"no runs":          edit("want", func(m Message) { m.(*Want).Runs = nil }),
		"two starts":       edit("want", func(m Message) { m.(*Want).Runs[0].First = 1 }),
		"reason":           edit("end", func(m Message) { m.(*End).Reason = 4 }),
		"tick 0":           edit("tick", func(m Message) { m.(*Tick).Ticks = 0 }),
		"control text":     edit("error", func(m Message) { m.(*Error).Text = "a\x1b[2Jb" }),
		"code 0":           edit("error", func(m Message) { m.(*Error).Code = 0 }),
		"no blocks":        edit("chunk", func(m Message) { m.(*Chunk).Blocks = nil }),
		"chunk cut":        encode(all["chunk"])[:30],
		"chunk trailing":   append(encode(all["chunk"]), 0),
	}
	for name, frame := range bad {
		if m, err := Decode(frame); err == nil {
			t.Errorf("%s: decoded as %T", name, m)
		}
	}
	if f := edit("want", func(m Message) { m.(*Want).Runs = make([]Run, MaxRuns) }); f != nil {
		if _, err := Decode(f); err != nil {
			t.Errorf("most runs: %v", err)
		}
	}
}

func TestChunkLimits(t *testing.T) {
	block := func(n int) Block { d := make([]byte, n); return Block{rawCID(d), d} }
	small := make([]Block, MaxChunkBlocks+1)
	for i := range small {
		small[i] = block(0)
	}
	for _, tc := range []struct {
		name   string
		blocks []Block
		ok     bool
	}{
		{"full", []Block{block(200_000), block(62_144)}, true},
		{"one byte over", []Block{block(200_000), block(62_145)}, false},
		{"large alone", []Block{block(MaxBlock)}, true},
		{"large and empty", []Block{block(MaxBlock), block(0)}, false},
		{"empty and large", []Block{block(0), block(ChunkSize + 1)}, false},
		{"too large", []Block{block(MaxBlock + 1)}, false},
		{"most blocks", small[:MaxChunkBlocks], true},
		{"too many blocks", small, false},
	} {
		f, err := Encode(&Chunk{Blocks: tc.blocks})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(f); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// TestPacker compares Packer with the definition of a chunk, written out.
func TestPacker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.Uint32Range(0, 200), rapid.Uint32Range(0, ChunkSize+10), rapid.Just(uint32(ChunkSize))), 0, 3000).Draw(t, "sizes")
		var want uint64
		for i := 0; i < len(sizes); want++ {
			n, total := 1, uint64(sizes[i])
			for i+n < len(sizes) && n < MaxChunkBlocks && total+uint64(sizes[i+n]) <= ChunkSize {
				total += uint64(sizes[i+n])
				n++
			}
			i += n
		}
		if got := Chunks(sizes); got != want {
			t.Fatalf("%d chunks, want %d", got, want)
		}
	})
}

func TestWindow(t *testing.T) {
	var got []string
	for _, w := range []struct{ paid, most, owed uint64 }{
		{0, 4, 0}, {1, 4, 0}, {2, 4, 0}, {3, 4, 0}, {9, 4, 0}, {^uint64(0), 4, 0}, {9, 9, 0}, {9, 2, 0}, {0, 4, 3}, {5, 4, 3}, {5, 4, 4}, {5, 4, 9},
	} {
		got = append(got, fmt.Sprint(Window(w.paid, w.most, w.owed)))
	}
	if s := strings.Join(got, " "); s != "2 3 4 4 4 4 4 2 1 1 0 0" {
		t.Errorf("windows %s", s)
	}
}

func TestCheckVoucher(t *testing.T) {
	all := samples(t)
	offer := all["offer"].(*Offer)
	voucher := all["pay"].(*Pay).Voucher.Voucher
	channel := chain.Channel{ID: 7, Payee: *offer.Payee}
	check := func(change func(v *chain.Voucher, c *chain.Channel, o *Offer)) error {
		v, c, o := voucher, channel, *offer
		change(&v, &c, &o)
		return CheckVoucher(&v, &c, &o, "perdure-devnet")
	}
	if err := check(func(*chain.Voucher, *chain.Channel, *Offer) {}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(v *chain.Voucher, c *chain.Channel, o *Offer){
		"chain":   func(v *chain.Voucher, _ *chain.Channel, _ *Offer) { v.ChainID = "other" },
		"channel": func(v *chain.Voucher, _ *chain.Channel, _ *Offer) { v.Channel = 8 },
		"payee":   func(_ *chain.Voucher, c *chain.Channel, _ *Offer) { c.Payee = chain.Address{} },
		"free":    func(_ *chain.Voucher, _ *chain.Channel, o *Offer) { o.Payee = nil },
		"settled": func(_ *chain.Voucher, c *chain.Channel, _ *Offer) { c.SettleAt = 1 },
		"chunk":   func(v *chain.Voucher, _ *chain.Channel, _ *Offer) { v.ChunkSize++ },
		"price":   func(v *chain.Voucher, _ *chain.Channel, _ *Offer) { v.TickPrice = chain.Atto(99) },
		"expiry":  func(v *chain.Voucher, _ *chain.Channel, _ *Offer) { v.ExpiresAt = 120 },
	} {
		if err := check(change); CodeOf(err) != CodeVoucher {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	long := Errorf(CodeInternal, "%s\n\x00%s", "\xff", strings.Repeat("ä", 300))
	if err := long.Validate(); err != nil || len(long.Text) > MaxText {
		t.Errorf("%d bytes: %v", len(long.Text), err)
	}
	if e := ToWire(fmt.Errorf("open /secret/path: %w", os.ErrPermission)); strings.Contains(e.Text, "secret") || e.Code != CodeInternal {
		t.Errorf("told the peer %q", e)
	}
}

// FuzzDecode holds that whatever decodes has exactly one encoding and keeps
// the limits.
func FuzzDecode(f *testing.F) {
	for _, m := range samples(f) {
		frame, err := Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := Decode(frame)
		if err != nil {
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatalf("decoded and yet invalid: %v", err)
		}
		again, err := Encode(m)
		if err != nil {
			t.Fatalf("encode what was decoded: %v", err)
		}
		if !bytes.Equal(again, frame) {
			t.Fatalf("%x decodes to what is encoded as %x", frame, again)
		}
	})
}
