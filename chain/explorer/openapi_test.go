package explorer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
)

func document(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	must(t, err)
	must(t, doc.Validate(t.Context()))
	return doc
}

// beside are the operations that the node serves beside this package.
var beside = []string{"GET /metrics", "GET " + rpc.PathParams, "GET " + rpc.PathRecords + "{table}", "GET " + rpc.PathRecords + "{table}/{key}",
	"POST " + rpc.PathMessages, "GET " + rpc.PathReceipts + "{hash}", "GET " + rpc.PathUpdates,
	"GET " + rpc.PathProofs + "{table}", "GET " + rpc.PathProofs + "{table}/{key}", "GET " + rpc.PathHeaders + "{height}",
	"GET " + rpc.PathBlocks + "{cid}", "POST " + rpc.PathEvidence}

// documented is a route's path as the document writes it: once, for a path that
// is served with and without a slash at its end.
func documented(path string) string { return strings.TrimSuffix(path, "/{$}") }

// TestOpenAPIRoutes holds routes and document against each other, both ways,
// with their parameters.
func TestOpenAPIRoutes(t *testing.T) {
	doc := document(t)
	api, _ := serve(t, newNetwork(t))
	served := map[string][]string{}
	for _, r := range api.routes() {
		names := slices.Clone(r.query)
		for _, part := range strings.Split(documented(r.path), "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok {
				names = append(names, strings.TrimSuffix(name, "}"))
			}
		}
		slices.Sort(names)
		served[documented(r.pattern())] = names
		if op := doc.Paths.Value(documented(r.path)); op != nil && (r.scope != "") != needsToken(op.GetOperation(cmp.Or(r.method, http.MethodGet))) {
			t.Errorf("%s needs a token that allows %q, the document says something else", r.pattern(), r.scope)
		}
	}
	for _, r := range api.streams() {
		served["GET "+r.path] = slices.Sorted(slices.Values(r.query))
	}
	inDoc := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			name := method + " " + path
			inDoc[name] = true
			if slices.Contains(beside, name) {
				continue
			}
			names, ok := served[name]
			if !ok {
				t.Errorf("%s is in the document, nothing serves it", name)
				continue
			}
			var want []string
			for _, p := range op.Parameters {
				want = append(want, p.Value.Name)
			}
			slices.Sort(want)
			if !slices.Equal(want, names) {
				t.Errorf("%s takes %v, the document says %v", name, names, want)
			}
			for _, f := range forms {
				content, _, _ := strings.Cut(f.content, ";")
				good := op.Responses.Value("200")
				if has := good != nil && good.Value.Content[content] != nil; has != slices.Contains(names, "format") {
					t.Errorf("%s answers as %s in the document: %v", name, content, has)
				}
			}
		}
	}
	for name := range served {
		if !inDoc[name] {
			t.Errorf("%s is served, the document does not know it", name)
		}
	}
	for _, name := range beside {
		if !inDoc[name] {
			t.Errorf("%s is served by the node, the document does not know it", name)
		}
	}
}

// needsToken reports whether an operation of the document is not for everybody.
func needsToken(op *openapi3.Operation) bool {
	return op != nil && op.Security != nil && !slices.ContainsFunc(*op.Security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 })
}

// TestOpenAPIParts finds parts of the document that nothing refers to.
func TestOpenAPIParts(t *testing.T) {
	doc := document(t)
	parts := map[string][]string{"schemas": slices.Collect(maps.Keys(doc.Components.Schemas)), "parameters": slices.Collect(maps.Keys(doc.Components.Parameters)),
		"responses": slices.Collect(maps.Keys(doc.Components.Responses)), "examples": slices.Collect(maps.Keys(doc.Components.Examples))}
	for kind, names := range parts {
		if len(names) == 0 {
			t.Errorf("the document has no %s", kind)
		}
		for _, name := range names {
			if !bytes.Contains(openAPI, []byte(`"#/components/`+kind+"/"+name+`"`)) {
				t.Errorf("nothing refers to %s of %s", name, kind)
			}
		}
	}
}

// checkAnswer holds a JSON answer against the document.
func checkAnswer(t testing.TB, doc *openapi3.T, op *openapi3.Operation, code, content, body string) {
	t.Helper()
	r := op.Responses.Value(code)
	if r == nil {
		r = op.Responses.Default()
	}
	media := r.Value.Content.Get(content)
	if media == nil {
		t.Errorf("answer %s of type %q is not in the document", code, content)
		return
	}
	if !strings.Contains(content, "json") {
		return
	}
	var v any
	d := json.NewDecoder(strings.NewReader(body))
	must(t, d.Decode(&v))
	if err := doc.ValidateSchemaJSON(media.Schema.Value, v, openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("answer does not fit its schema: %v\n%s", err, body)
	}
}

// operation is the document's operation of a request.
func operation(t testing.TB, api *API, doc *openapi3.T, method, path string) *openapi3.Operation {
	t.Helper()
	_, pattern := api.mux().Handler(httptest.NewRequest(method, path, nil))
	of, route, _ := strings.Cut(pattern, " ")
	item := doc.Paths.Value(documented(route))
	if item == nil || item.GetOperation(of) == nil {
		t.Fatalf("%s %s: no operation in the document for %q", method, path, pattern)
	}
	return item.GetOperation(of)
}

// TestOpenAPIAnswers holds real answers of a populated chain, good and bad,
// against their schemas, and checks that every operation was asked.
func TestOpenAPIAnswers(t *testing.T) {
	doc := document(t)
	n := newNetwork(t)
	n.populate()
	api, s := serve(t, n)
	asked := map[*openapi3.Operation]bool{}
	check := func(method, path, content, body string, want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
		must(t, err)
		req.Header.Set("Content-Type", content)
		resp, err := s.Client().Do(req)
		must(t, err)
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		must(t, err)
		if resp.StatusCode != want {
			t.Errorf("%s %s: %s, want %d\n%s", method, path, resp.Status, want, answer)
		}
		op := operation(t, api, doc, method, path)
		asked[op] = true
		code, _, _ := strings.Cut(resp.Status, " ")
		checkAnswer(t, doc, op, code, resp.Header.Get("Content-Type"), string(answer))
	}
	for _, path := range paths(n) {
		check(http.MethodGet, path, "", "", http.StatusOK)
	}
	for path, code := range badPaths {
		check(http.MethodGet, path, "", "", code)
	}
	check(http.MethodPost, "/v1/messages", contentJSON, `{"hex":"0102"}`, http.StatusAccepted)
	check(http.MethodPost, "/v1/messages", "application/cbor", "raw", http.StatusAccepted)
	check(http.MethodPost, "/v1/messages", "text/plain", "raw", http.StatusUnsupportedMediaType)
	n.refuse = &consensus.Refusal{Code: consensus.CodeBadNonce, Text: "nonce 1, the account's next is 2"}
	check(http.MethodPost, "/v1/messages", "application/cbor", "raw", http.StatusUnprocessableEntity)
	check(http.MethodPost, "/v1/index/check", "", "", http.StatusUnauthorized)
	check(http.MethodPost, "/v1/index/rebuild", "", "", http.StatusUnauthorized)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			streamed := slices.ContainsFunc(api.streams(), func(s stream) bool { return s.path == path }) // TestLive reads them
			if !asked[op] && !streamed && !slices.Contains(beside, method+" "+path) {
				t.Errorf("no answer of %s %s was checked", method, path)
			}
		}
	}
}

// badPaths are requests that are refused, and how.
var badPaths = map[string]int{
	"/v1/miners?sortField=power&owner=t1w7lxbrrsncl2vnf7ygpsjyc2erbe62znp3fzl7q": 400, "/v1/miners?sortField=pledge": 400,
	"/v1/deals?sortField=end&state=active": 400, "/v1/deals?sortField=end&maxHeight=9": 400, "/v1/deals?sortField=price": 400, "/v1/sectors?sortField=expiration&state=active": 400,
	"/v1/deals?sortField=end&miner=t01000&client=t1w7lxbrrsncl2vnf7ygpsjyc2erbe62znp3fzl7q": 400, "/v1/miners/t01000/sectors?sortField=size": 400,
	"/v1/status?x=1":                                  400,
	"/v1/blocks?limit=0":                              400,
	"/v1/blocks?limit=501":                            400,
	"/v1/blocks?limit=1&limit=2":                      400,
	"/v1/blocks?cursor=AAAA":                          400,
	"/v1/blocks?cursor=%00":                           400,
	"/v1/blocks?%zz":                                  400,
	"/v1/blocks/0":                                    410,
	"/v1/blocks/9999":                                 404,
	"/v1/blocks/-1":                                   400,
	"/v1/blocks/99999999999999999999":                 400,
	"/v1/messages/00":                                 400,
	"/v1/messages/" + strings.Repeat("0", 64):         404,
	"/v1/messages?address=nobody":                     400,
	"/v1/accounts/t01000":                             400,
	"/v1/accounts/t1abc":                              400,
	"/v1/accounts/t2tjw2oyxzmgp7ksj3s7g4gg2f2vxxfpoy": 400,
	"/v1/miners/t01001":                               404,
	"/v1/miners/1000":                                 400,
	"/v1/miners/t018446744073709551615":               400,
	"/v1/miners/t01000/sectors?state=lively":          400,
	"/v1/miners/t01000/deadlines?deadline=3":          400,
	"/v1/sectors/t01000/9":                            404,
	"/v1/sectors/t01000/x":                            400,
	"/v1/deals?root=x":                                400,
	"/v1/deals?state=good":                            400,
	"/v1/deals/2":                                     404,
	"/v1/deals/2/events":                              404,
	"/v1/sectors/t01000/9/proofs":                     404,
	"/v1/orders/99/events":                            404,
	"/v1/channels/x/events":                           400,
	"/v1/accounts/t01000/events":                      400,
	"/v1/miners/t01009/events":                        404,
	"/v1/events?kind=odd":                             400,
	"/v1/events?kind=sectorProven":                    400,
	"/v1/orders/9":                                    404,
	"/v1/orders?side=both":                            400,
	"/v1/market/book?depth=501":                       400,
	"/v1/market/asks?pieceSize=-1":                    400,
	"/v1/market/asks?maxPrice=dear":                   400,
	"/v1/market/asks?region=eu,":                      400,
	"/v1/market/asks?cursor=AAAA":                     400,
	"/v1/market/bids?state=old":                       400,
	"/v1/channels/9":                                  404,
	"/v1/state/nothing/00":                            400,
	"/v1/state/deal/00":                               400,
	"/v1/state/deal/0000000000000001?height=9999":     404,
	"/v1/state/deal/0000000000000001?proof=yes":       400,
}

// TestPruned asks for what the state no longer keeps.
func TestPruned(t *testing.T) {
	n := newNetwork(t, func(p *consensus.Params) { p.StateRetention = 3 * p.Period() })
	for n.store.Oldest() < 5 {
		n.block()
	}
	api, _ := serve(t, n)
	code, body := get(t, api.Handler(), "/v1/state/global/?height=2")
	var p Problem
	must(t, json.Unmarshal([]byte(body), &p))
	if code != http.StatusGone || p.Oldest != n.store.Oldest() {
		t.Errorf("pruned height: %d %s", code, body)
	}
	first, _, _ := api.Index().Tip()
	code, body = get(t, api.Handler(), "/v1/blocks/1")
	must(t, json.Unmarshal([]byte(body), &p))
	if code != http.StatusGone || p.Oldest != first || first != n.store.Oldest()+1 {
		t.Errorf("block before the index: %d %s (history from %d)", code, body, first)
	}
}

// TestParameterNotes: the document says of each parameter what it is.
func TestParameterNotes(t *testing.T) {
	notes := ParameterNotes()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[consensus.Params]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if notes[name] == "" {
			t.Errorf("nothing is said of %s", name)
		}
	}
}
