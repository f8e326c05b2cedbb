package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// TestTariff reads what things cost from a config file.
func TestTariff(t *testing.T) {
	const friend = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
	const root, other = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
	const wish = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
	wishes := &dealRecords{}
	payee, err := chain.AddressOfKey([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	id, err := p2p.ParsePeerID(friend)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(t *testing.T, text, peer, of string) seller.Terms {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := LoadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		prices, err := newTariff(&cfg.Retrieval, &cfg.Public, wishes, payee)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cid.Decode(of)
		if err != nil {
			t.Fatal(err)
		}
		terms, err := prices.Terms(context.Background(), seller.Item{Peer: peer, Root: c})
		if err != nil {
			t.Fatal(err)
		}
		return terms
	}
	public := &miner.Deal{State: miner.DealActive}
	public.Deal.PayloadRoot, public.Deal.Public = cid.MustParse(wish), true
	wishes.deals = append(wishes.deals, public)
	paid := func(price, chunks uint64) seller.Terms {
		return seller.Terms{Access: seller.Paid, Price: chain.Atto(price), FreeChunks: chunks}
	}
	nothing := seller.Terms{Access: seller.Free}
	for name, tc := range map[string]struct {
		config, peer, root string
		want               seller.Terms
	}{
		"price":               {"[retrieval]\nprice = \"7\"\nfree_chunks = 3", "stranger", root, paid(7, 3)},
		"price 0":             {"[retrieval]\nprice = \"0\"", "stranger", root, nothing},
		"everything free":     {"[public]\nfree = [\"all\"]\n[retrieval]\nprice = \"7\"", "stranger", root, nothing},
		"one root free":       {"[public]\nfree = [\"" + root + "\"]\n[retrieval]\nprice = \"7\"", "stranger", root, nothing},
		"as its client wants": {"[public]\nfree = [\"public\"]\n[retrieval]\nprice = \"7\"", "stranger", wish, nothing},
		"wishes not granted":  {"[retrieval]\nprice = \"7\"", "stranger", wish, paid(7, 0)},
		"another root":        {"[public]\nfree = [\"" + root + "\"]\n[retrieval]\nprice = \"7\"", "stranger", other, paid(7, 0)},
		"allowance":           {"[retrieval]\nprice = \"7\"\n[[retrieval.buyers]]\npeer = \"" + friend + "\"\nfree_chunks = 99", id, root, paid(7, 99)},
		"stranger's":          {"[retrieval]\nprice = \"7\"\n[[retrieval.buyers]]\npeer = \"" + friend + "\"\nfree_chunks = 99", "stranger", root, paid(7, 0)},
		"discount":            {"[retrieval]\nprice = \"7\"\n[[retrieval.buyers]]\npeer = \"" + friend + "\"\nprice = \"2\"", id, root, paid(2, 0)},
		"for a friend":        {"[retrieval]\nprice = \"7\"\n[[retrieval.buyers]]\npeer = \"" + friend + "\"\nprice = \"0\"", id, root, nothing},
		"nobody known":        {"[retrieval]\nprice = \"7\"\n[[retrieval.buyers]]\npeer = \"" + friend + "\"\nprice = \"0\"", "", root, paid(7, 0)},
		"unless not given":    {"", "stranger", root, paid(1_000_000_000_000, 0)},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			got := ask(t, tc.config, tc.peer, tc.root)
			if got.Access == seller.Paid && (got.Payee == nil || *got.Payee != payee) {
				t.Errorf("pays %v", got.Payee)
			}
			if got.Payee = nil; got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
	for says, cfg := range map[string]RetrievalConfig{
		"bound of -1":        {PeerSessions: -1},
		"buyer 1 has no":     {Buyers: []BuyerConfig{{}}},
		"retrieval.buyers: ": {Buyers: []BuyerConfig{{Peer: "x"}}},
	} {
		err := cfg.checkLimits()
		if err == nil {
			_, err = newTariff(&cfg, &PublicConfig{}, nil, payee)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
