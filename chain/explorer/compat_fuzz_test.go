package explorer_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/explorer/compat"
)

// FuzzCompat asks for any path with any query in the other explorers' forms:
// there is an answer, in JSON, and it is never that the node has failed.
func FuzzCompat(f *testing.F) {
	h := compat.New(explorer.Populated(f), engine{50})
	for _, path := range []string{"/api/v2/blocks?cursor=AAAA", "/api/v2/blocks/latest/transactions", "/api/v2/transactions/0x00", "/api/v2/addresses/t01000/transactions",
		"/api/v2/search?q=t01000", "/cosmos/base/tendermint/v1beta1/blocks/9", "/cosmos/staking/v1beta1/validators/t01000",
		"/cosmos/tx/v1beta1/txs?query=tx.height>=2 AND message.sender='t01000'&page=2&limit=3", "/cosmos/bank/v1beta1/balances/t01000/by_denom?denom=x",
		"/api?module=account&action=txlist&address=t01000&startblock=2&endblock=9&page=2&offset=3&sort=asc", "/api?module=account&action=balancemulti&address=t01000,,x"} {
		path, query, _ := strings.Cut(path, "?")
		f.Add(path, query)
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/" + strings.TrimPrefix(path, "/"), RawQuery: query}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch {
		case w.Code >= 500 && w.Code != http.StatusNotImplemented:
			t.Fatalf("%s?%s: %d %s", path, query, w.Code, w.Body)
		case w.Code/100 == 3 || w.Header().Get("Content-Type") == "application/yaml": // the router cleans paths
		case !json.Valid(w.Body.Bytes()):
			t.Fatalf("%s?%s: %d, and no JSON: %s", path, query, w.Code, w.Body)
		}
	})
}
