package explorer

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestSearch looks for each kind of thing by its name and by the beginning of
// it, and goes where the answer points.
func TestSearch(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	engine := hexText(hashes{n}.HashOf(7))
	api, _ := serve(t, n)
	h := api.Handler()
	hash := chain.HashBytes(n.blocks[1][0]).String()
	client := chain.FormatAddress(addressOf(t, "client"), n.params.Network)
	root := rootCID(t)
	validator := hexText(consensus.ConsensusAddress(seed("val")))
	for text, want := range map[string]string{
		"7":                               "block 7",
		"1":                               "block 1, deal 1, order 1, channel 1",
		"#1":                              "block 1, deal 1, order 1, channel 1",
		"deal 1":                          "deal 1",
		"Order #2":                        "order 2",
		"channel 9":                       "",
		"deal/1":                          "deal 1",
		"/deal/1":                         "deal 1",
		"bid 2":                           "order 2",
		"block #1":                        "block 1",
		"message 1":                       "",
		"deal":                            "",
		"deal ":                           "",
		"t01000 7":                        "",
		"sector t01000/7":                 "sector t01000/7",
		"sector/t01000/7":                 "sector t01000/7",
		"sector 7":                        "",
		"account " + client:               "account " + client,
		"Address: " + client[:12]:         "account " + client + "~",
		"miner " + client:                 "",
		"tx 0x" + hash:                    "message " + hash,
		"message " + hash[:9]:             "message " + hash + "~",
		"block " + engine:                 "block 7",
		"validator " + validator[:8]:      "validator " + validator + "~",
		"ipfs://" + root.String():         "payload " + root.String(),
		"/ipfs/" + root.String() + "/a/b": "payload " + root.String(),
		"ipfs/" + cid.NewCidV0(root.Hash()).String(): "payload " + root.String(),
		"piece " + root.String():                     "",
		"1,000":                                      "miner t01000",
		"miner 1000":                                 "miner t01000",
		"t01000":                                     "miner t01000",
		"T01000/7":                                   "sector t01000/7",
		"t01000/9":                                   "",
		"t01":                                        "miner t01000~",
		"t0100":                                      "miner t01000~",
		"t02":                                        "",
		"t01844674407370955261":                      "", // ten times that is 994 in 64 bits
		hash:                                         "message " + hash,
		"0x" + hash[:9]:                              "message " + hash + "~",
		hash[:3]:                                     "",
		engine:                                       "block 7",
		client:                                       "account " + client,
		client[:12]:                                  "account " + client + "~",
		"f" + client[1:11]:                           "account " + client + "~",
		client[:3]:                                   "",
		root.String():                                "payload " + root.String(),
		cid.NewCidV0(root.Hash()).String():           "payload " + root.String(),
		root.String()[:15]:                           "payload " + root.String() + "~",
		pieceCID.String():                            "piece " + pieceCID.String(),
		pieceCID.String()[:40]:                       "piece " + pieceCID.String() + "~",
		"nothing":                                    "",
		"<script>":                                   "",
		"-1":                                         "",
		"18446744073709551616":                       "",
	} {
		for _, path := range []string{"/v1/search?q=", "/v1/search/suggest?q="} {
			s := decode[Search](t, h, path+url.QueryEscape(text))
			var got []string
			for _, f := range s.Items {
				name := f.Type + " " + f.ID
				if !f.Exact {
					name += "~"
				}
				got = append(got, name)
				if code, body := get(t, h, f.Path); code != 200 {
					t.Errorf("%q leads to %s: %d %s", text, f.Path, code, body)
				}
			}
			if strings.Join(got, ", ") != want {
				t.Errorf("%q: %q, want %q", text, strings.Join(got, ", "), want)
			}
		}
	}
	for _, path := range []string{"/v1/search", "/v1/search?q=", "/v1/search?q=+", "/v1/search?q=" + strings.Repeat("a", maxSearch+1), "/v1/search?q=a&limit=99"} {
		if code, _ := get(t, h, path); code != 400 {
			t.Errorf("%s: %d", path, code)
		}
	}
	if s := decode[Search](t, h, "/v1/search?q=1&limit=2"); len(s.Items) != 2 {
		t.Errorf("limit of 2: %d items", len(s.Items))
	}
}

// TestSearchMany makes more messages than a search shows, and finds each by its
// first letters.
func TestSearchMany(t *testing.T) {
	n := newNetwork(t)
	for range 3 {
		var all [][]byte
		for i := range uint64(40) {
			all = append(all, n.message("client", i, &chain.Transfer{To: addressOf(t, "owner"), Amount: chain.Atto(1)}))
		}
		n.all(all...)
	}
	api, _ := serve(t, n)
	for _, messages := range n.blocks {
		for _, raw := range messages {
			hash := chain.HashBytes(raw).String()
			s := decode[Search](t, api.Handler(), "/v1/search/suggest?q="+hash[:5])
			if !slices.ContainsFunc(s.Items, func(f Found) bool { return f.ID == hash }) {
				t.Errorf("%s is not found by %s: %+v", hash, hash[:5], s.Items)
			}
		}
	}
}

// FuzzSearch searches for anything: no answer is the node's fault, and what is
// found is there.
func FuzzSearch(f *testing.F) {
	n := newNetwork(f)
	n.populate()
	api, _ := serve(f, n)
	for _, s := range []string{"1", "deal 1", "sector/t01000/7", "ipfs://b", "deal::", "t01000/7", "t01", rootCID(f).String()[:20], pieceCID.String(), chain.HashBytes(n.blocks[1][0]).String()[:8], "t1aaaa", "baaaaaaaa", "ffff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := api.Call(t.Context(), "/v1/search?q="+url.QueryEscape(text))
		if err != nil {
			if p := err.(*Problem); p.Status != 400 && p.Status != 414 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		for _, found := range v.(*Search).Items {
			if _, err := api.Call(t.Context(), found.Path); err != nil {
				t.Errorf("%q leads to %s: %v", text, found.Path, err)
			}
		}
	})
}
