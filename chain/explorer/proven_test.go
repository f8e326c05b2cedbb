package explorer

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/rpc/light"
	"github.com/perdure/perdure/chain/state/proof"
)

// provenPaths are an answer of each kind that can be proven, by the path of its record.
func provenPaths(n *network) map[string]string {
	account := func(name string) string { return chain.FormatAddress(addressOf(n.t, name), n.params.Network) }
	return map[string]string{"account/" + account("client"): "/v1/accounts/" + account("client"), "account/" + account("nobody"): "/v1/accounts/" + account("nobody"),
		"miner/t01000": "/v1/miners/t01000", "sector/t01000/7": "/v1/sectors/t01000/7", "sector/t01000/8": "/v1/sectors/t01000/8",
		"deal/1": "/v1/deals/1", "order/1": "/v1/orders/1", "order/5": "/v1/orders/5", "order/6": "/v1/orders/6",
		"channel/1": "/v1/channels/1", "channel/3": "/v1/channels/3", "global": "/v1/supply", "params": "/v1/params"}
}

// prepared is a populated chain whose records have all that they can have.
func prepared(t testing.TB) *network {
	t.Helper()
	n := newNetwork(t)
	n.populate()
	bid := n.bid(1)
	bid.Terms.Allow, bid.Terms.Regions = []chain.MinerID{testMiner}, []string{"eu"}
	bid.Terms.Renew = &chain.Renewal{Count: 2, MaxPrice: chain.PDR(2), Duration: 100}
	ask := n.ask(3)
	ask.Terms.Region, ask.Terms.RetrievalPrice, ask.Terms.Refresh = "eu", chain.Atto(77), 3
	owner := addressOf(t, "owner")
	n.all(n.message("client", 0, bid), n.message("worker", 0, ask), n.message("client", 1, &chain.OpenChannel{Payee: owner, Amount: chain.PDR(4)}))
	n.all(n.message("client", 0, &chain.SettleChannel{Channel: 3}),
		n.message("owner", 0, &chain.UpdateMiner{Miner: testMiner, Keys: &chain.Keys{Owner: owner, Worker: owner, Beneficiary: owner}}))
	n.block()
	return n
}

// both serves the API and the raw endpoints of a network under one address.
func both(t testing.TB, n *network) *httptest.Server {
	t.Helper()
	api, _ := serve(t, n)
	mux := http.NewServeMux()
	mux.Handle("/v1/raw/", n.raw())
	mux.Handle("/", api.Handler())
	s := httptest.NewServer(mux)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func fetch(t testing.TB, s *httptest.Server, path string) string {
	t.Helper()
	c := rpc.New(s.URL)
	defer c.Close()
	raw, err := c.Text(t.Context(), path, 1<<24)
	must(t, err)
	return string(raw)
}

// shownBy verifies the proof of an answer under a trusted header.
func shownBy(answer string, trust light.Trust) (*Shown, error) {
	p, err := ProofOf([]byte(answer))
	if err != nil {
		return nil, err
	}
	b, err := proof.DecodeBundle(p.Bundle)
	if err != nil {
		return nil, err
	}
	s, err := light.Check(b, trust, time.Unix(1_700_001_000, 0))
	if err != nil {
		return nil, err
	}
	return &Shown{Key: s.Key, Record: s.Record, Height: s.Height, Root: s.Root()}, nil
}

// TestProven asks each answer with its proof: what it says without one, at the
// height before, is what the record says.
func TestProven(t *testing.T) {
	n := prepared(t)
	s := both(t, n)
	before := map[string]string{}
	for name, path := range provenPaths(n) {
		before[name] = fetch(t, s, path)
	}
	tip := n.store.View().Height()
	n.block()
	trust := n.trust(tip + 1)
	for name, path := range provenPaths(n) {
		answer := fetch(t, s, path+"?proof=true")
		shown, err := shownBy(answer, trust)
		must(t, err)
		found, err := Compare([]byte(answer), shown)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := ProofOf([]byte(answer))
		must(t, err)
		if !slices.Equal(found.Proven, p.Fields) || shown.Height != tip || chain.FormatPath(shown.Key, n.params.Network) != strings.Replace(name, "params", "global", 1) {
			t.Errorf("%s: proven are %v at height %d of %v, the answer says %v", name, found.Proven, shown.Height, shown.Key, p.Fields)
		}
		for _, field := range found.Unproven {
			if !slices.Contains(p.Unproven, field) {
				t.Errorf("%s: field %s is not proven, and the answer does not say so", name, field)
			}
		}
		plain, proven := map[string]any{}, map[string]any{}
		must(t, json.Unmarshal([]byte(before[name]), &plain))
		must(t, json.Unmarshal([]byte(answer), &proven))
		delete(proven, "proof")
		for _, field := range []string{"served", "rank", "powerShare", "sectorsByState", "rewards24h", "rewards7d", "rewards30d", "rewardsTotal", "asks", "nextDeadline"} {
			delete(plain, field) // of a miner: no part of its record
		}
		if !alike(plain, proven) {
			t.Errorf("%s: with its proof the answer is\n%v\nwithout it was\n%v", name, proven, plain)
		}
	}
}

// TestEveryFieldCounts changes each field of each answer: each change is found.
func TestEveryFieldCounts(t *testing.T) {
	n := prepared(t)
	s := both(t, n)
	trust := n.trust(n.store.View().Height())
	for name, path := range provenPaths(n) {
		answer := fetch(t, s, path+"?proof=true")
		shown, err := shownBy(answer, trust)
		must(t, err)
		p, err := ProofOf([]byte(answer))
		must(t, err)
		for _, field := range p.Fields {
			changed, err := numbers([]byte(answer))
			must(t, err)
			inside, last := changed, field
			if outer, inner, nested := strings.Cut(field, "."); nested {
				o, there := changed[outer].(map[string]any)
				if !there {
					o = map[string]any{}
					changed[outer] = o
				}
				inside, last = o, inner
			}
			inside[last] = otherThan(inside[last])
			raw, err := json.Marshal(changed)
			must(t, err)
			_, err = Compare(raw, shown)
			if bad, ok := err.(*Mismatch); !ok || bad.Field != field {
				t.Errorf("%s with another %s: %v", name, field, err)
			}
		}
	}
}

// TestDisguised has answers say that they are of another kind, so that nothing
// proves what was asked for, and say things twice.
func TestDisguised(t *testing.T) {
	n := prepared(t)
	s := both(t, n)
	trust := n.trust(n.store.View().Height())
	records := map[string]string{"deal": "/v1/state/deal/0000000000000001?proof=true", "nothing": "/v1/state/deal/0000000000000009?proof=true",
		"params": "/v1/params?proof=true", "supply": "/v1/supply?proof=true"}
	for _, c := range []struct{ kind, insert, want string }{
		{"deal", `"total":"1"`, "total: an answer about a record does not have it"},
		{"deal", `"bid":{"maxPrice":"1"}`, "bid: an answer about a record does not have it"},
		{"nothing", `"value":{"total":"1"}`, "value: expected"},
		{"nothing", `"exists":true`, "stands twice"},
		{"params", `"minted":"1"`, "minted: an answer about a params does not have it, one about a supply does"},
		{"supply", `"balance":"1"`, "balance: an answer about a supply does not have it"},
		{"supply", `"minted":"1"`, "stands twice"},
		{"supply", `"circulating":{"a":[{"b":1},{"b":1}],"b":1}`, ""},
		{"supply", `"more":{"a":[{"b":1,"b":1}]}`, "stands twice"},
	} {
		answer := fetch(t, s, records[c.kind])
		shown, err := shownBy(answer, trust)
		must(t, err)
		if c.want == "" {
			answer = regexp.MustCompile(`"circulating":"[0-9]+",`).ReplaceAllString(answer, "")
		}
		_, err = Compare([]byte("{"+c.insert+","+answer[1:]), shown)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: %v, want %q", c.kind, c.insert, err, c.want)
		}
	}
}

// otherThan is a value of the same kind that says something else.
func otherThan(v any) any {
	switch v := v.(type) {
	case json.Number:
		if strings.HasPrefix(v.String(), "7") {
			return json.Number("3")
		}
		return json.Number("7")
	case string:
		return v + "7"
	case bool:
		return !v
	case []any:
		return append(v, "7")
	case map[string]any:
		return map[string]any{"none": "7"}
	}
	return "7"
}

// TestProvenAt asks for a height, for what is not there, and for what cannot be.
func TestProvenAt(t *testing.T) {
	n := prepared(t)
	api, _ := serve(t, n)
	tip := n.store.View().Height()
	d := decode[DealDetail](t, api.Handler(), "/v1/deals/1?proof=true&height=60")
	if d.Height != 60 || d.Proof == nil {
		t.Errorf("deal at height 60: %+v", d)
	}
	for path, want := range map[string]int{"/v1/deals/9?proof=true": 404, "/v1/orders/2?proof=true": 404, "/v1/deals/1?height=60": 400,
		"/v1/deals/1?proof=yes": 400, "/v1/deals/1?proof=true&height=x": 400, "/v1/deals/1?proof=true&height=99999": 404,
		"/v1/deals/1?proof=true&height=" + jsonOf(t, tip): 404, "/v1/supply?proof=true&height=60": 200, "/v1/params?proof=true&height=60": 200,
		"/v1/accounts/t01000?proof=true": 400, "/v1/channels/2?proof=true": 404} {
		if code, body := get(t, api.Handler(), path); code != want {
			t.Errorf("%s: %d, want %d: %s", path, code, want, body)
		}
	}
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	must(t, err)
	return string(raw)
}
