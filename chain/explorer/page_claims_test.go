package explorer_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/perdure/perdure/chain/explorer"
)

// claimed is what a page says of the answer that its script verifies.
type claimed struct {
	claim  map[string]string // attributes of the claim
	fields map[string][]string
	script bool
}

func claimsOf(body string) *claimed {
	out := &claimed{fields: map[string][]string{}}
	z := html.NewTokenizer(strings.NewReader(body))
	for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
		if kind != html.StartTagToken {
			continue
		}
		tok, has := z.Token(), map[string]string{}
		for _, a := range tok.Attr {
			has[a.Key] = a.Val
		}
		switch {
		case tok.Data == "script" && strings.HasPrefix(has["src"], "/static/verify-"):
			out.script = true
		case has["id"] == "claim":
			out.claim = has
		case has["data-f"] != "":
			exact := has["value"] + has["datetime"] + has["data-v"]
			if exact == "" {
				z.Next()
				exact = z.Token().Data
			}
			out.fields[has["data-f"]] = append(out.fields[has["data-f"]], exact)
		}
	}
	return out
}

// exactly is a value of an answer as a page has it exactly.
func exactly(v any) string {
	if list, ok := v.([]any); ok {
		return strings.Trim(fmt.Sprint(list), "[]")
	}
	return fmt.Sprint(v)
}

// TestPageClaims holds each value that a page marks as a field of an answer
// against that answer, and the claim against the answer's proof.
func TestPageClaims(t *testing.T) {
	api := explorer.Populated(t)
	h := pages(t, api, api)
	v, err := api.Call(t.Context(), "/v1/deals/1")
	if err != nil {
		t.Fatal(err)
	}
	over := func(h http.Handler, path string, want bool) {
		t.Helper()
		body := fetch(h, path).Body.String()
		if page := claimsOf(body); (page.claim == nil) != want || page.script == want || strings.Contains(body, "its record has left the state") != want {
			t.Errorf("%s: over %t, claim %v", path, want, page.claim)
		}
	}
	for path, want := range map[string]bool{"/order/1": false, "/order/3": true, "/channel/1": false, "/channel/2": true, "/deal/1": false, "/sector/t01000/8": false} {
		over(h, path, want)
	}
	late := explorer.Forgotten(t)
	then := pages(t, late, late)
	for _, path := range []string{"/deal/1", "/sector/t01000/8"} {
		over(then, path, true)
	}
	for path, least := range map[string]int{"/deal/1": 22, "/order/1": 16, "/miner/t01000": 13, "/sector/t01000/7": 12, "/channel/1": 6,
		"/account/" + v.(*explorer.DealDetail).Client: 3, "/supply": 6, "/params": 70} {
		w := fetch(h, path)
		page := claimsOf(w.Body.String())
		if w.Code != http.StatusOK || page.claim == nil || !page.script || len(page.fields) < least {
			t.Errorf("%s: %d with claim %v and %d fields, want %d at least", path, w.Code, page.claim, len(page.fields), least)
			continue
		}
		answer := asked(t, api, page.claim["data-path"])
		proof := asked(t, api, page.claim["data-path"]+"?proof=true")["proof"].(map[string]any)
		if fmt.Sprint(answer["height"]) != page.claim["value"] || proof["answer"] != page.claim["data-kind"] || proof["key"] != page.claim["data-key"] ||
			asked(t, api, "/v1/node/id")["chainId"] != page.claim["data-chain"] {
			t.Errorf("%s claims %v, the answer is of height %v with the proof of %v %v", path, page.claim, answer["height"], proof["answer"], proof["key"])
		}
		known, _ := proof["fields"].([]any)
		more, _ := proof["unproven"].([]any)
		for field, all := range page.fields {
			if !slices.Contains(append(slices.Clone(known), more...), any(field)) {
				t.Errorf("%s marks %s, which the proof does not speak of", path, field)
			}
			value := any(answer)
			for name := range strings.SplitSeq(field, ".") {
				inner, _ := value.(map[string]any)
				value = inner[name]
			}
			for _, exact := range all {
				if exact != exactly(value) {
					t.Errorf("%s says that %s is %q, the answer says %q", path, field, exact, exactly(value))
				}
			}
		}
	}
}

func asked(t *testing.T, api *explorer.API, path string) map[string]any {
	t.Helper()
	v, err := api.Call(t.Context(), path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	out := map[string]any{}
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}
