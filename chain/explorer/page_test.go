package explorer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/explorer/compat"
	"github.com/perdure/perdure/chain/explorer/page"
)

// pages mounts the page over an API, as a node does.
func pages(t testing.TB, s page.Source, api *explorer.API) http.Handler {
	t.Helper()
	h, err := page.New(s, api.Handler())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", api.Handler())
	mux.Handle("/health/", api.Handler())
	mux.Handle("/", h)
	return mux
}

// fetch asks as a browser does.
func fetch(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// sheet is what a test looks at of a page.
type sheet struct {
	links, files []string
	text         string
}

// void are the elements without an end.
var void = []string{"meta", "link", "img", "input"}

// inspect reads a page strictly: elements are balanced, IDs unique, and nothing
// in it could run or be loaded but the page's own files.
func inspect(t *testing.T, path, body string) *sheet {
	t.Helper()
	out := &sheet{}
	var open []string
	ids, refs := map[string]bool{}, []string{}
	counts := map[string]int{}
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		tok := z.Token()
		switch kind {
		case html.TextToken:
			out.text += tok.Data
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				t.Fatalf("%s: </%s> inside %v", path, tok.Data, open)
			}
			open = open[:len(open)-1]
		case html.StartTagToken, html.SelfClosingTagToken:
			counts[tok.Data]++
			if kind == html.StartTagToken && !slices.Contains(void, tok.Data) {
				open = append(open, tok.Data)
			}
			refs = append(refs, out.attributes(t, path, tok, ids)...)
		}
	}
	if z.Err() != io.EOF || len(open) != 0 {
		t.Errorf("%s: ends with %v inside %v", path, z.Err(), open)
	}
	for _, r := range refs {
		if !ids[r] {
			t.Errorf("%s: nothing has the ID %q", path, r)
		}
	}
	for name, want := range map[string]int{"html": 1, "h1": 1, "main": 1, "header": 1, "footer": 1, "nav": 1, "caption": counts["table"]} {
		if counts[name] != want {
			t.Errorf("%s: %d of <%s>, want %d", path, counts[name], name, want)
		}
	}
	if counts["style"]+counts["iframe"]+counts["object"]+counts["base"]+counts["embed"] > 0 {
		t.Errorf("%s has an element that a page never has: %v", path, counts)
	}
	return out
}

// attributes checks those of one element and returns the IDs that it refers to.
func (s *sheet) attributes(t *testing.T, path string, tok html.Token, ids map[string]bool) (refs []string) {
	t.Helper()
	has := map[string]string{}
	for _, a := range tok.Attr {
		has[a.Key] = a.Val
		if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
			t.Errorf("%s: <%s %s=%q>", path, tok.Data, a.Key, a.Val)
		}
		switch a.Key {
		case "id":
			if ids[a.Val] {
				t.Errorf("%s: two elements have the ID %q", path, a.Val)
			}
			ids[a.Val] = true
		case "for", "aria-labelledby":
			refs = append(refs, strings.Fields(a.Val)...)
		case "href", "src", "action":
			if !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") || strings.HasPrefix(a.Val, "//") {
				t.Errorf("%s: <%s> leads to %q", path, tok.Data, a.Val)
			}
		}
	}
	switch tok.Data {
	case "a":
		if strings.HasPrefix(has["href"], "#") {
			return append(refs, has["href"][1:])
		}
		s.links = append(s.links, has["href"])
	case "script", "img":
		s.files = append(s.files, has["src"])
	case "link":
		s.files = append(s.files, has["href"])
	case "th":
		if has["scope"] == "" {
			t.Errorf("%s: a <th> without scope", path)
		}
	}
	return refs
}

// TestPages starts at the home page and follows every link there is. Each
// leads to a page, each kind of page is met, and each is light enough.
func TestPages(t *testing.T) {
	api := explorer.Populated(t)
	h := pages(t, api, api)
	met := map[string]bool{}
	queue := []string{"/", "/orders?state=all", "/channel/1", "/channel/2", "/block/2/messages", "/block/2/events", "/search", "/sectors?miner=t01000",
		"/deals?state=active", "/market?interval=1m", "/orders?side=bid&state=all", "/search?q=2", "/events?kind=dealMatched&sortDesc=false",
		"/events?sector=t01000/7", "/events?channel=1&minHeight=1", "/blocks?maxHeight=5&sortDesc=false"}
	for seen := map[string]bool{}; len(queue) > 0; queue = queue[1:] {
		path := queue[0]
		if seen[path] {
			continue
		}
		seen[path] = true
		if strings.HasPrefix(path, "/v1/") {
			if w := fetch(h, path); w.Code != http.StatusOK {
				t.Errorf("%s: %d", path, w.Code)
			}
			continue
		}
		w := fetch(h, path)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
			continue
		}
		if p := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(p, "default-src 'none'; script-src 'self'; style-src 'self';") || strings.Contains(p, "unsafe") {
			t.Errorf("%s: policy %q", path, p)
		}
		s := inspect(t, path, w.Body.String())
		queue = append(queue, s.links...)
		met[kindOf(path)] = true
		if n := weigh(t, h, path, s.files); n > 60<<10 {
			t.Errorf("%s weighs %d bytes compressed with all its files, want at most %d", path, n, 60<<10)
		}
		if t.Failed() {
			return
		}
	}
	for _, kind := range []string{"", "blocks", "block", "block/messages", "block/events", "events", "messages", "message", "account", "account/balances", "accounts", "miners", "miner", "sectors", "sector",
		"deals", "deal", "orders", "order", "market", "channels", "channel", "validators", "validator", "network", "network/series", "faults", "supply", "params", "status", "search"} {
		if !met[kind] {
			t.Errorf("no link led to a page of kind %q; met %v", kind, met)
		}
	}
}

// TestPageTopics checks that pages which renew themselves follow topics that the
// node streams, and that a list does so at its beginning alone.
func TestPageTopics(t *testing.T) {
	api := explorer.Populated(t)
	h := pages(t, api, api)
	for path, want := range map[string]string{"/": "block", "/blocks": "block", "/messages": "message", "/market": "book,trades",
		"/deal/1": "deal:1,sector:t01000/7", "/miner/t01000": "miner:t01000", "/sector/t01000/8": "sector:t01000/8", "/params": "", "/block/2": ""} {
		_, rest, live := strings.Cut(fetch(h, path).Body.String(), `data-topics="`)
		topics, _, _ := strings.Cut(rest, `"`)
		if topics != want || live != (want != "") {
			t.Errorf("%s follows %q, want %q", path, topics, want)
		}
		if !live {
			continue
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/v1/events/stream?topics="+url.QueryEscape(topics), nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s follows %q: %d %s", path, topics, w.Code, w.Body)
		}
	}
	older := regexp.MustCompile(`href="(/blocks\?cursor=[^"]*)"`).FindStringSubmatch(fetch(h, "/blocks").Body.String())
	if older == nil || strings.Contains(fetch(h, older[1]).Body.String(), "data-topics") {
		t.Errorf("a list renews itself past its beginning: %v", older)
	}
}

// kindOf is a page's path without the name of the thing.
func kindOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) == 3 && (parts[0] == "block" || parts[0] == "account"):
		return parts[0] + "/" + parts[2]
	case len(parts) == 2 && parts[0] == "network":
		return "network/series"
	}
	return parts[0]
}

// weigh is the bytes that a page and its files take on the wire.
func weigh(t *testing.T, h http.Handler, path string, files []string) int {
	t.Helper()
	n := 0
	for _, p := range append([]string{path}, files...) {
		w := fetch(h, p, "Accept-Encoding", "gzip")
		if w.Code != http.StatusOK || w.Body.Len() >= 1024 && w.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: %d, encoded as %q", p, w.Code, w.Header().Get("Content-Encoding"))
		}
		n += w.Body.Len()
	}
	return n
}

// TestPageSays checks what some pages say of the populated chain.
func TestPageSays(t *testing.T) {
	api := explorer.Populated(t)
	h := pages(t, api, api)
	for path, want := range map[string][]string{
		"/":                        {"The network now", "explorer-test", "Newest blocks", "which can be sealed again within a window", "No new block for"},
		"/deal/1":                  {"#1", "active", "t01000", "Paid through", "Term of the deal"},
		"/miner/t01000":            {"Windows by proving period and deadline", "Rewards in 24 h", "2 KiB", "100 % of the network", "/ip4/127.0.0.1/tcp/4001"},
		"/sector/t01000/8":         {"pre committed", "No pieces: capacity without data."},
		"/market":                  {"Depth of the order book", "Asks, the lowest first", "Figures of the price chart"},
		"/order/3":                 {"Bid", "cancelled"},
		"/channel/1":               {"open", "Lanes"},
		"/params":                  {"blockMillis", "500 ms", "orderDeposit", "0.001 PDR", "No proposals.", "60 blocks, ≈ 30 s", "target time between blocks, milliseconds", "units of checking one signature"},
		"/supply":                  {"Minted", "Where the money is"},
		"/validators":              {"100 %", "genesis"},
		"/channels":                {"#2", "collected"},
		"/sectors":                 {"t01000", "pre committed"},
		"/orders?state=all":        {"Orders", "expired"},
		"/events?kind=dealMatched": {"Deal matched", "deal #1"},
		"/events?deal=1":           {"Deal 1", "Deal active"},
		"/deals?state=void":        {"No deals."},
		"/deals?sortField=end":     {"#1"},
		"/miner/t01000?":           {"Which end next", "Which expire next"},
		"/sectors?sortField=expiration&miner=t01000": {"active"},
		"/messages?address=":                         {"Messages", "All as CSV"},
	} {
		w := fetch(h, path)
		s := inspect(t, path, w.Body.String())
		for _, text := range want {
			if w.Code != http.StatusOK || !strings.Contains(s.text, text) {
				t.Errorf("%s: %d, does not say %q:\n%s", path, w.Code, text, s.text)
			}
		}
	}
}

// TestPageLong shows the beginning and the end of what is too long for a page, says
// that there is more, and links it.
func TestPageLong(t *testing.T) {
	api, busy := explorer.Busy(t, 300, 101)
	h := pages(t, api, api)
	for path, want := range map[string]struct{ says, href string }{
		"/channel/1":       {"Further events of the channel are left out here", "/events?"},
		"/message/" + busy: {"These are the first", "/block/"},
	} {
		w := fetch(h, path)
		s := inspect(t, path, w.Body.String())
		if w.Code != http.StatusOK || !strings.Contains(s.text, want.says) || !slices.ContainsFunc(s.links, func(href string) bool { return strings.HasPrefix(href, want.href) }) {
			t.Errorf("%s: %d, does not say %q and link %s:\n%s", path, w.Code, want.says, want.href, s.text)
		}
	}
	life := inspect(t, "/channel/1", fetch(h, "/channel/1").Body.String())
	i := slices.IndexFunc(life.links, func(href string) bool { return strings.Contains(href, "cursor=") })
	if i < 0 {
		t.Fatalf("no link to the rest among %q", life.links)
	}
	rest := fetch(h, life.links[i])
	if s := inspect(t, life.links[i], rest.Body.String()); rest.Code != http.StatusOK || !strings.Contains(s.text, "200 attoPDR") || strings.Contains(s.text, "198 attoPDR") {
		t.Errorf("the rest: %d\n%s", rest.Code, s.text)
	}
	for _, run := range []string{"198 times since", "50 times since"} { // after opening and redemption, and at the end
		if !strings.Contains(life.text, run) {
			t.Errorf("the life has no run of %s:\n%s", run, life.text)
		}
	}
	if short, _ := explorer.Busy(t, 248, 1); strings.Contains(fetch(pages(t, short, short), "/channel/1").Body.String(), "left out") {
		t.Error("a life that is shown whole says that there is more")
	}
}

// TestPageProposals goes through more proposals than a page shows, the newest first.
func TestPageProposals(t *testing.T) {
	api := explorer.Proposed(t, 60)
	h := pages(t, api, api)
	path := "/params"
	for _, shows := range [][2]int{{60, 11}, {10, 1}} {
		w := fetch(h, path)
		s := inspect(t, path, w.Body.String())
		_, table, _ := strings.Cut(s.text, "newest first")
		table, _, _ = strings.Cut(table, "In force")
		var ids []string
		for _, row := range regexp.MustCompile(`(\d+)faultFee`).FindAllStringSubmatch(table, -1) {
			ids = append(ids, row[1])
		}
		var want []string
		for id := shows[0]; id >= shows[1]; id-- {
			want = append(want, strconv.Itoa(id))
		}
		if w.Code != http.StatusOK || !slices.Equal(ids, want) {
			t.Errorf("%s: %d, proposals %q, want %q", path, w.Code, ids, want)
		}
		i := slices.IndexFunc(s.links, func(href string) bool { return strings.HasPrefix(href, "/params?proposals=") })
		if more := shows[1] > 1; more != (i >= 0) {
			t.Fatalf("%s: links %q", path, s.links)
		}
		if i >= 0 {
			path = s.links[i]
		}
	}
}

// TestQueryReadOnceBeside: what the page and the routes of other tools read of a query
// costs what it takes to read it once, however many parameters they look at.
func TestQueryReadOnceBeside(t *testing.T) {
	api := explorer.Populated(t)
	long, once := explorer.LongQuery(t)
	page, other := pages(t, api, api), compat.New(api, engine{20})
	for path, h := range map[string]http.Handler{"/deals": page, "/network/power": page, "/api/v2/transactions": other, "/cosmos/tx/v1beta1/txs": other} {
		of := func(path string) float64 {
			return testing.AllocsPerRun(10, func() {
				if w := fetch(h, path); w.Code >= http.StatusInternalServerError {
					t.Fatalf("%s: %d %s", path, w.Code, w.Body)
				}
			})
		}
		if all := of(path+"?"+long) - of(path); all >= 1.8*once {
			t.Errorf("%s: %g allocations more for a query that takes %g to be read", path, all, once)
		}
	}
}

// TestPageErrors gets the API's errors as pages with the same status.
func TestPageErrors(t *testing.T) {
	api := explorer.Populated(t)
	h := pages(t, api, api)
	for path, status := range map[string]int{"/nothing": 404, "/deal/99": 404, "/deal/x": 400, "/block/999999": 404, "/miner/t01999": 404, "/message/00": 400,
		"/deals?state=odd": 400, "/blocks?cursor=AAAA": 400, "/search?q=nothing+of+that+name": 404, "/static/page.css": 404, "/block/0": 410, "/deal/a%2Fb": 400} {
		w := fetch(h, path)
		if w.Code != status || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %s, want %d as a page", path, w.Code, w.Header().Get("Content-Type"), status)
			continue
		}
		inspect(t, path, w.Body.String())
	}
	lost := fetch(h, "/deals?client=t1abc").Body.String()
	if s := inspect(t, "/deals?client=t1abc", lost); !slices.Contains(s.links, "/deals") || !strings.Contains(s.text, "To deals") || !strings.Contains(s.text, `"t1abc" is no address: it may be cut off or mistyped`) {
		t.Errorf("a mistyped address does not lead back to the list: %s", s.text)
	}
	r := httptest.NewRequest(http.MethodPost, "/deals", nil)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, allowed %q", w.Code, w.Header().Get("Allow"))
	}
}

// TestUnknownPaths asks for what is nowhere: browsers get a page that leads home,
// programs a problem as JSON, and what comes in between is told that it depends.
func TestUnknownPaths(t *testing.T) {
	api := explorer.Populated(t)
	h := pages(t, api, api)
	const browser, asHTML, asProblem = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8", "application/problem+json"
	for _, path := range []string{"/nosuch", "/no/such/path", "/deal/", "/deals/1", "/static/", "/favicon.ico", "/%3Cscript%3E", "/nosuch?q=1&api=x"} {
		for accept, content := range map[string]string{browser: asHTML, "application/xhtml+xml": asHTML, "": asProblem, "*/*": asProblem, "application/json": asProblem, "text/csv": asProblem} {
			answers := map[string]*httptest.ResponseRecorder{}
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				r := httptest.NewRequest(method, path, nil)
				r.Header.Set("Accept", accept)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != content || !slices.Contains(w.Header().Values("Vary"), "Accept") {
					t.Errorf("%s %s as %q: %d %v, want 404 as %s", method, path, accept, w.Code, w.Header(), content)
				}
				answers[method] = w
			}
			body := answers[http.MethodGet].Body
			if n := answers[http.MethodHead].Body.Len(); n != 0 {
				t.Errorf("HEAD %s as %q: %d bytes", path, accept, n)
			}
			if content == asHTML {
				s := inspect(t, path, body.String())
				if !slices.Contains(s.links, "/") || !strings.Contains(s.text, "There is no page at this address") || !strings.Contains(s.text, "Perdure") {
					t.Errorf("%s: links %q, says\n%s", path, s.links, s.text)
				}
				continue
			}
			var p explorer.Problem
			if err := json.Unmarshal(body.Bytes(), &p); err != nil || p.Status != http.StatusNotFound || p.Title != "Not Found" || p.Type != "about:blank" {
				t.Errorf("%s as %q: %v\n%s", path, accept, err, body)
			}
		}
	}
}

// TestPageGenesis opens each page of a chain without a block.
func TestPageGenesis(t *testing.T) {
	api := explorer.Fresh(t)
	h := pages(t, api, api)
	for _, path := range []string{"/", "/blocks", "/messages", "/events", "/miners", "/sectors", "/deals", "/orders", "/market", "/channels", "/validators", "/network", "/network/price", "/faults", "/accounts", "/supply", "/params", "/status"} {
		if w := fetch(h, path); w.Code != http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		} else {
			inspect(t, path, w.Body.String())
		}
	}
}

// TestPageSearch is sent to the page of each kind of thing.
func TestPageSearch(t *testing.T) {
	api := explorer.Populated(t)
	h := pages(t, api, api)
	v, err := api.Call(t.Context(), "/v1/messages?limit=500")
	if err != nil {
		t.Fatal(err)
	}
	m := v.(*explorer.List[*explorer.Message]).Items
	first := m[len(m)-1]
	d, err := api.Call(t.Context(), "/v1/deals/1")
	if err != nil {
		t.Fatal(err)
	}
	root := d.(*explorer.DealDetail).PayloadRoot
	for q, want := range map[string]string{"5": "/block/5", "deal 1": "/deal/1", "Order #2": "/order/2", "channel 2": "/channel/2", "1,000": "/miner/t01000",
		" t01000 ": "/miner/t01000", "t01000/7": "/sector/t01000/7", first.Hash: "/message/" + first.Hash, "0x" + first.Hash: "/message/" + first.Hash,
		first.From: "/account/" + first.From, root: "/deals?root=" + root, "t010": "/miner/t01000", first.Hash[:10]: "/message/" + first.Hash} {
		w := fetch(h, "/search?q="+url.QueryEscape(q))
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("%q: %d %q, want %q", q, w.Code, w.Header().Get("Location"), want)
		}
	}
	w := fetch(h, "/search?q=1")
	s := inspect(t, "/search?q=1", w.Body.String())
	for _, want := range []string{"/block/1", "/deal/1", "/order/1", "/channel/1"} {
		if !slices.Contains(s.links, want) {
			t.Errorf("a search for 1 does not offer %s", want)
		}
	}
	if w := fetch(h, "/account/t01000"); w.Header().Get("Location") != "/miner/t01000" {
		t.Errorf("a miner's address as an account leads to %q", w.Header().Get("Location"))
	}
}

// TestPageDelivery checks compression, what a browser may keep, and HEAD.
func TestPageDelivery(t *testing.T) {
	api := explorer.Populated(t)
	h := pages(t, api, api)
	plain, zipped := fetch(h, "/params"), fetch(h, "/params", "Accept-Encoding", "br, gzip;q=0.5")
	z, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	if unzipped, err := io.ReadAll(z); err != nil || !bytes.Equal(unzipped, plain.Body.Bytes()) {
		t.Errorf("compressed and plain page differ (%v)", err)
	}
	tag := plain.Header().Get("ETag")
	if w := fetch(h, "/params", "If-None-Match", tag); tag == "" || w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("a page that the reader has: %d with %d bytes, tag %q", w.Code, w.Body.Len(), tag)
	}
	if w := fetch(h, "/params", "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("a reader that refuses gzip gets it")
	}
	for _, f := range inspect(t, "/params", plain.Body.String()).files {
		w := fetch(h, f)
		if w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", f, w.Header())
		}
	}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/blocks", nil)); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
}

// TestPageLimits counts pages and answers of the API as requests of one caller.
func TestPageLimits(t *testing.T) {
	api := explorer.Populated(t, func(c *explorer.Config) { c.Limits = explorer.Limits{PerSecond: 1e-3, Burst: 2} })
	h := pages(t, api, api)
	for i, path := range []string{"/status", "/v1/status", "/deal/1", "/static/none"} {
		w := fetch(h, path)
		if (i < 2) != (w.Code == http.StatusOK) || i >= 2 && w.Code != http.StatusTooManyRequests {
			t.Errorf("request %d: %d", i+1, w.Code)
		}
		if i == 2 {
			inspect(t, path, w.Body.String())
		}
	}
}

// mistaken is an API that answers one path with what nobody expects.
type mistaken struct{ *explorer.API }

// Call implements page.Source.
func (m mistaken) Call(ctx context.Context, path string) (any, error) {
	if path == "/v1/supply" {
		return "money", nil
	}
	return m.API.Call(ctx, path)
}

// TestPageMistake makes a page panic and gets a page that says so.
func TestPageMistake(t *testing.T) {
	api := explorer.Populated(t)
	h := pages(t, mistaken{api}, api)
	w := fetch(h, "/supply")
	if s := inspect(t, "/supply", w.Body.String()); w.Code != http.StatusInternalServerError || !strings.Contains(s.text, w.Header().Get("X-Request-Id")) || strings.Contains(s.text, "money") {
		t.Errorf("%d, request %s:\n%s", w.Code, w.Header().Get("X-Request-Id"), s.text)
	}
}

// TestCall asks in the process what callers outside ask by HTTP.
func TestCall(t *testing.T) {
	api := explorer.Populated(t)
	for path, status := range map[string]int{"/v1/deals/1": 0, "/v1/deals?state=odd": 400, "/v1/deals/99": 404, "/v1/nothing": 404, "/v1/deals/../status": 404, "%": 400, "": 404} {
		v, err := api.Call(t.Context(), path)
		var p *explorer.Problem
		if status == 0 && (err != nil || v.(*explorer.DealDetail).ID != 1) || status != 0 && (!errors.As(err, &p) || p.Status != status) {
			t.Errorf("%q: %v, %v; want status %d", path, v, err, status)
		}
	}
}

// lagging is an API of a node that catches up with its peers.
type lagging struct{ *explorer.API }

// Call implements page.Source.
func (l lagging) Call(ctx context.Context, path string) (any, error) {
	v, err := l.API.Call(ctx, path)
	if id, ok := v.(*explorer.Identity); ok {
		behind := *id
		behind.Syncing = true
		return &behind, err
	}
	return v, err
}

// TestPageSyncing: each page of a node that is behind says so, others do not.
func TestPageSyncing(t *testing.T) {
	api := explorer.Populated(t)
	for source, want := range map[page.Source]bool{lagging{api}: true, api: false} {
		h := pages(t, source, api)
		for _, path := range []string{"/", "/deal/1", "/status", "/nothing"} {
			if s := inspect(t, path, fetch(h, path).Body.String()); strings.Contains(s.text, "catching up") != want {
				t.Errorf("%s says that the node is catching up: %t, want %t", path, !want, want)
			}
		}
	}
}

// hostile is an API all of whose texts try to become markup.
type hostile struct{ *explorer.API }

const attack = `"'></data></td><script>alert(1)</script><img src=x onerror=alert(2)>javascript:alert(3)`

// Call implements page.Source.
func (h hostile) Call(ctx context.Context, path string) (any, error) {
	v, err := h.API.Call(ctx, path)
	if p, ok := v.(*explorer.Parameters); ok {
		own := *p.Params
		v = &explorer.Parameters{Params: &own, SectorSizes: p.SectorSizes, AsOf: p.AsOf}
	}
	if err != nil {
		return nil, err
	}
	poison(reflect.ValueOf(v))
	return v, nil
}

// poison replaces every text in an answer.
func poison(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				poison(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(k))
			poison(e)
			v.SetMapIndex(k, e)
		}
	case reflect.Interface:
		switch x := v.Interface().(type) {
		case string:
			v.Set(reflect.ValueOf(attack))
		case []string:
			for i := range x {
				x[i] = attack
			}
		default:
			poison(v.Elem())
		}
	case reflect.String:
		v.SetString(attack)
	}
}

// TestPageInert shows an API all of whose texts are attacks. Every page stays
// the page that it is: inspect finds no element or attribute beside its own.
func TestPageInert(t *testing.T) {
	api := explorer.Populated(t)
	good, evil := pages(t, api, api), pages(t, hostile{api}, api)
	v, err := api.Call(t.Context(), "/v1/blocks/2")
	if err != nil {
		t.Fatal(err)
	}
	sent, proposer := v.(*explorer.BlockDetail).MessageList[0], v.(*explorer.BlockDetail).Proposer
	for _, path := range []string{"/", "/blocks", "/block/2", "/block/2/messages", "/block/2/events", "/messages", "/events", "/events?deal=1", "/message/" + sent.Hash, "/account/" + sent.From,
		"/miners", "/miner/t01000", "/sectors?miner=t01000", "/sector/t01000/7", "/deals", "/deal/1", "/orders?state=all", "/order/1", "/order/2", "/market",
		"/channels?address=" + sent.From, "/channel/1", "/validators", "/validator/" + proposer, "/network", "/network/power", "/faults", "/accounts", "/account/" + sent.From + "/balances", "/supply", "/params", "/status"} {
		w := fetch(evil, path)
		if w.Code != http.StatusOK {
			if path == "/account/"+sent.From || path == "/miner/t01000" {
				continue // its lists are asked for by the name that the API gave
			}
			t.Fatalf("%s: %d", path, w.Code)
		}
		s, plain := inspect(t, path, w.Body.String()), inspect(t, path, fetch(good, path).Body.String())
		if !slices.Equal(s.files, plain.files) {
			t.Errorf("%s loads %v, want %v", path, s.files, plain.files)
		}
		for _, bad := range []string{"<script>alert", "<img src=x"} {
			if strings.Contains(w.Body.String(), bad) {
				t.Errorf("%s holds %s", path, bad)
			}
		}
	}
	for _, q := range []string{attack, `<script>alert(1)</script>`, "javascript:alert(1)"} {
		for _, path := range []string{"/search?q=", "/deals?miner=", "/sectors?miner=", "/account/", "/nothing/"} {
			path += url.QueryEscape(q)
			inspect(t, path, fetch(good, path).Body.String())
		}
	}
}

// FuzzPage asks for any path with any query: no answer is the node's fault.
func FuzzPage(f *testing.F) {
	api := explorer.Populated(f)
	h := pages(f, api, api)
	for _, s := range []string{"/", "/events?sector=../x&kind=%00", "/block/latest", "/block/..%2f1", "/deal/1?cursor=x", "/search?q=%00", "/sectors?miner=..&state=%ff", "/market?interval=1h&cursor=A",
		"/static/..", "/miner/t01000?deadline=9", "/search?q=deal+18446744073709551616", "/account/%2e%2e", "//", "/search?q=0x" + strings.Repeat("a", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI("/" + strings.TrimPrefix(path, "/"))
		if err != nil || u.Host != "" {
			t.Skip()
		}
		r := (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"Accept": {"text/html"}}, RemoteAddr: "127.0.0.1:1"}).WithContext(t.Context())
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code >= http.StatusInternalServerError {
			t.Fatalf("%s: %d\n%s", path, w.Code, w.Body)
		}
	})
}
