package consensus

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/perdure/perdure/chain"
)

var updateGolden = flag.Bool("update", false, "rewrite the golden encodings")

func testUpdate() *Update {
	return &Update{Version: UpdateVersion, Height: 300, Time: 1_700_000_000, Proposer: []byte{1, 2, 3},
		Changes: []Change{{Table: chain.TableDeal, ID: []byte{0, 0, 0, 0, 0, 0, 0, 9}, Value: []byte{0x81, 1}},
			{Table: chain.TableReplay, ID: []byte("gone")}},
		Events: []Event{{Kind: EventDealPaid, Message: 1, Miner: 1000, Sector: 2, Order: 3, Deal: 9, Channel: 4, Index: 5,
			From: []byte{1}, To: []byte{2}, Amount: chain.PDR(7), Reason: "because"}},
		Receipts: []Receipt{{Hash: [32]byte{7}, Code: uint64(CodeFailed), Error: "no", Kind: chain.KindTransfer, ID: 8,
			Fee: chain.Atto(500), Units: 600}}}
}

// TestGoldenUpdate freezes the encoding and the hash of an Update.
func TestGoldenUpdate(t *testing.T) {
	u := testUpdate()
	raw, err := chain.Encode(u)
	must(t, err)
	hash, err := u.Hash()
	must(t, err)
	got := fmt.Sprintf("update %x\nhash %x\n", raw, hash)
	path := filepath.Join("testdata", "encodings.golden")
	if *updateGolden {
		must(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	back := new(Update)
	must(t, chain.Decode(raw, back))
	if !reflect.DeepEqual(u, back) {
		t.Errorf("%s reads back as %+v", hex.EncodeToString(raw), back)
	}
}

// TestUpdateHash: every field but the texts for people counts.
func TestUpdateHash(t *testing.T) {
	want, err := testUpdate().Hash()
	must(t, err)
	for name, c := range map[string]struct {
		change func(*Update)
		same   bool
	}{
		"error text":  {func(u *Update) { u.Receipts[0].Error = "a clearer sentence" }, true},
		"reason":      {func(u *Update) { u.Events[0].Reason = "a clearer sentence" }, true},
		"code":        {func(u *Update) { u.Receipts[0].Code++ }, false},
		"fee":         {func(u *Update) { u.Receipts[0].Fee = chain.Atto(1) }, false},
		"event":       {func(u *Update) { u.Events[0].Deal++ }, false},
		"value":       {func(u *Update) { u.Changes[0].Value[1]++ }, false},
		"deleted":     {func(u *Update) { u.Changes = u.Changes[:1] }, false},
		"height":      {func(u *Update) { u.Height++ }, false},
		"no receipts": {func(u *Update) { u.Receipts = nil }, false},
	} {
		u := testUpdate()
		c.change(u)
		got, err := u.Hash()
		must(t, err)
		if (got == want) != c.same {
			t.Errorf("%s: hash %x, before %x", name, got, want)
		}
	}
	u := testUpdate()
	if _, err := u.Hash(); err != nil || u.Receipts[0].Error != "no" || u.Events[0].Reason != "because" {
		t.Error("hashing changed the update")
	}
}

func FuzzDecodeUpdate(f *testing.F) {
	raw, err := chain.Encode(testUpdate())
	must(f, err)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		u := new(Update)
		if chain.Decode(b, u) != nil {
			return
		}
		if _, err := u.Hash(); err != nil {
			t.Fatalf("decoded, but has no hash: %v", err)
		}
	})
}
