package explorer

import (
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/hints"
	"github.com/perdure/perdure/porep/piece"
)

// sayings are hints as a test has them.
type sayings map[cid.Cid][]hints.Hint

// Of implements Hints.
func (s sayings) Of(root cid.Cid, limit int) []hints.Hint { return s[root][:min(limit, len(s[root]))] }

// TestClaimed lists a deal under a root that only its miner speaks of, marked as a
// claim; not under what is said of a piece that the miner has no deal over, and not
// twice under the root that the deal itself names.
func TestClaimed(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	inside := func(name string) cid.Cid {
		h, err := multihash.Encode(seed(name), multihash.SHA2_256)
		must(t, err)
		return cid.NewCidV1(cid.Raw, h)
	}
	other := piece.UnsealedCID(commitment("other piece"))
	said := sayings{
		inside("file"):      {{Miner: testMiner, Piece: pieceCID}},
		inside("elsewhere"): {{Miner: testMiner, Piece: other}, {Miner: testMiner + 1, Piece: pieceCID}},
		rootCID(t):          {{Miner: testMiner, Piece: pieceCID}},
	}
	api, _ := serve(t, n, func(c *Config) { c.Hints = said })
	for _, tc := range []struct {
		query       string
		items       int
		claimed     bool
		description string
	}{
		{"root=" + inside("file").String(), 1, true, "said by the miner"},
		{"root=" + inside("file").String() + "&state=active&miner=t01000", 1, true, "filtered"},
		{"root=" + inside("file").String() + "&miner=t01001", 0, false, "of another miner"},
		{"root=" + inside("file").String() + "&state=void", 0, false, "of another state"},
		{"root=" + inside("elsewhere").String(), 0, false, "no such deal"},
		{"root=" + inside("nobody").String(), 0, false, "nobody says so"},
		{"root=" + rootCID(t).String(), 1, false, "the deal's own root"},
		{"piece=" + pieceCID.String(), 1, false, "by piece"},
		{"piece=" + other.String(), 0, false, "by another piece"},
		{"piece=" + pieceCID.String() + "&root=" + rootCID(t).String(), 1, false, "by both"},
		{"piece=" + other.String() + "&root=" + rootCID(t).String(), 0, false, "by both that disagree"},
	} {
		l := decode[List[*Deal]](t, api.Handler(), "/v1/deals?"+tc.query)
		if len(l.Items) != tc.items || tc.items == 1 && l.Items[0].Claimed != tc.claimed {
			t.Errorf("%s: %d deals %+v, want %d, claimed %v", tc.description, len(l.Items), l.Items, tc.items, tc.claimed)
		}
	}
}

// TestServed shows what a miner says that it served beside its faults.
func TestServed(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	if m := decode[MinerDetail](t, api.Handler(), "/v1/miners/t01000"); m.Served != nil {
		t.Errorf("before a word: %+v", m.Served)
	}
	h := n.store.View().Height()
	n.all(n.message("worker", 0, &chain.PublishReceipts{Miner: testMiner, Root: [32]byte{7}, Count: 2, Bytes: 900, From: 3, To: h}))
	want := Served{Bytes: 900, Receipts: 2, Batches: 1, Through: h, Root: hexText(append([]byte{7}, make([]byte, 31)...))}
	if m := decode[MinerDetail](t, api.Handler(), "/v1/miners/t01000"); m.Served == nil || *m.Served != want {
		t.Errorf("%+v, want %+v", m.Served, want)
	}
	if l := decode[List[*Miner]](t, api.Handler(), "/v1/miners"); len(l.Items) != 1 || l.Items[0].Served == nil || *l.Items[0].Served != want {
		t.Errorf("in the list: %+v", l.Items)
	}
	decode[Record](t, api.Handler(), "/v1/state/served/00000000000003e8")
}
