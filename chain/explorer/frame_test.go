package explorer

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer/access"
)

// asked sends a request with headers to a handler.
func asked(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	h.ServeHTTP(w, r)
	return w
}

// TestTags asks again with the tag of the answer before: nothing comes as long
// as the chain stands still, and the new answer once it has gone on.
func TestTags(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	h := api.Handler()
	for _, path := range []string{"/v1/blocks", "/v1/deals/1", "/v1/market/book", "/v1/miners/t01000"} {
		first := asked(h, "GET", path)
		tag := first.Header().Get("ETag")
		if !strings.HasPrefix(tag, `W/"`) || first.Header().Get("Cache-Control") != "no-cache" {
			t.Fatalf("%s: headers %v", path, first.Header())
		}
		for _, have := range []string{tag, strings.TrimPrefix(tag, "W/"), `"x", ` + tag, "*"} {
			if w := asked(h, "GET", path, "If-None-Match", have); w.Code != 304 || w.Body.Len() != 0 || w.Header().Get("ETag") != tag {
				t.Errorf("%s with %s: %d, %d bytes, tag %s", path, have, w.Code, w.Body.Len(), w.Header().Get("ETag"))
			}
		}
		if w := asked(h, "GET", path); !bytes.Equal(w.Body.Bytes(), first.Body.Bytes()) {
			t.Errorf("%s: another answer while the chain stands still", path)
		}
	}
	tag := asked(h, "GET", "/v1/blocks").Header().Get("ETag")
	n.block()
	w := asked(h, "GET", "/v1/blocks", "If-None-Match", tag)
	if w.Code != 200 || w.Header().Get("ETag") == tag {
		t.Errorf("after a block: %d, tag %s was %s", w.Code, w.Header().Get("ETag"), tag)
	}
	n.mu.Lock()
	n.syncing = true
	n.mu.Unlock()
	if s := asked(h, "GET", "/v1/deals/1", "If-None-Match", w.Header().Get("ETag")); s.Code != 200 || !strings.Contains(s.Body.String(), `"syncing":true`) {
		t.Errorf("while the node syncs: %d %s", s.Code, s.Body)
	}
}

// TestFinal checks which answers may be kept for ever.
func TestFinal(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	h := api.Handler()
	hash := chain.HashBytes(n.blocks[1][0]).String()
	for path, final := range map[string]bool{"/v1/blocks/2/messages": true, "/v1/blocks/2/events": true, "/v1/messages/" + hash: true,
		"/v1/blocks/latest": false, "/v1/blocks/latest/events": false, "/v1/blocks": false, "/v1/deals/1": false, "/v1/status": false} {
		w := asked(h, "GET", path)
		if got := w.Header().Get("Cache-Control") == keepFinal; got != final || w.Code != 200 {
			t.Errorf("%s: %d, Cache-Control %q", path, w.Code, w.Header().Get("Cache-Control"))
		}
		if !final {
			continue
		}
		n.block()
		after := asked(h, "GET", path)
		if !bytes.Equal(after.Body.Bytes(), w.Body.Bytes()) || after.Header().Get("ETag") != w.Header().Get("ETag") {
			t.Errorf("%s was to be the same for ever:\n%s\n%s", path, w.Body, after.Body)
		}
		if again := asked(h, "GET", path, "If-None-Match", w.Header().Get("ETag")); again.Code != 304 {
			t.Errorf("%s again: %d", path, again.Code)
		}
	}
}

// TestEncodings reads an answer as readers take it.
func TestEncodings(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	h := api.Handler()
	plain := asked(h, "GET", "/v1/params")
	for accept, want := range map[string]string{"": "", "identity": "", "gzip": "gzip", "zstd": "zstd", "gzip, zstd": "zstd", "br, GZIP": "gzip",
		"gzip;q=0": "", "gzip;q=1, zstd;q=0.5": "gzip", "*": "zstd", "zstd;q=0, *": "gzip", "*;q=0": "", "gzip;q=x": "", "gzip;q=2": ""} {
		for range 2 { // made, and kept
			w := asked(h, "GET", "/v1/params", "Accept-Encoding", accept)
			if got := w.Header().Get("Content-Encoding"); got != want || w.Header().Get("Vary") != "Accept-Encoding" {
				t.Errorf("%q: encoding %q, want %q; headers %v", accept, got, want, w.Header())
				continue
			}
			unpack(t, w)
			body := w.Body.Bytes()
			if !bytes.Equal(body, plain.Body.Bytes()) {
				t.Errorf("%q: another body", accept)
			}
		}
	}
	for path, accept := range map[string]string{"/v1/blocks/2/votes": "application/json", "/v1/market/asks": "text/csv"} { // a list has forms
		if w := asked(h, "GET", path, "Accept", accept); w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), accept) || !slices.Contains(w.Header().Values("Vary"), "Accept") {
			t.Errorf("%s as %s: %d, headers %v", path, accept, w.Code, w.Header())
		}
	}
	if w := asked(h, "GET", "/health/livez", "Accept-Encoding", "gzip"); w.Header().Get("Content-Encoding") != "" {
		t.Error("a short answer is compressed")
	}
	if w := asked(h, "HEAD", "/v1/params"); w.Body.Len() != 0 || w.Header().Get("Content-Length") != plain.Header().Get("Content-Length") {
		t.Errorf("HEAD: %d bytes, headers %v", w.Body.Len(), w.Header())
	}
}

// unpack makes an answer that came compressed what it is.
func unpack(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	var from io.Reader
	switch w.Header().Get("Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(w.Body)
		must(t, err)
		from = z
	case "zstd":
		z, err := zstd.NewReader(w.Body, zstd.WithDecoderConcurrency(1))
		must(t, err)
		defer z.Close()
		from = z
	default:
		return
	}
	body, err := io.ReadAll(from)
	must(t, err)
	w.Body = bytes.NewBuffer(body)
}

// TestInert asks for everything, and with markup in every parameter: no answer
// holds a letter that could begin an element, whatever strangers wrote.
func TestInert(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	tag := `"><script>alert(1)</script>&`
	n.block(n.message("client", 0, &chain.Transfer{To: addressOf(t, "owner"), Amount: chain.PDR(1)}), []byte(tag))
	api, _ := serve(t, n)
	all := paths(n)
	for path := range badPaths {
		all = append(all, path)
	}
	for _, r := range api.routes() {
		at := strings.NewReplacer("{$}", "", "{", "", "}", "").Replace(r.path)
		all = append(all, at+"/"+url.PathEscape(tag))
		for _, name := range r.query {
			all = append(all, at+"?"+name+"="+url.QueryEscape(tag))
		}
	}
	all = append(all, "/v1/search?q="+url.QueryEscape(tag), "/v1/"+url.PathEscape(tag), "/v1/deals?"+url.QueryEscape(tag)+"=1")
	echoed := 0
	for _, path := range all {
		w := asked(api.Handler(), "GET", path, headerRequestID, tag)
		if !strings.Contains(w.Header().Get("Content-Type"), "json") || strings.Contains(w.Header().Get("Content-Type"), "ndjson") {
			continue
		}
		if bytes.ContainsAny(w.Body.Bytes(), "<>&") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %.300s", path, w.Body)
		}
		if strings.Contains(w.Body.String(), `\u003cscript`) {
			echoed++
		}
	}
	if echoed < 10 {
		t.Errorf("only %d answers repeat what was asked: the test shows nothing", echoed)
	}
}

// TestScope asks for what needs a token, with and without.
func TestScope(t *testing.T) {
	home := t.TempDir()
	tokens, err := access.Open(home)
	must(t, err)
	admin, err := access.AdminToken(home)
	must(t, err)
	now := time.Now()
	read, _, err := access.Create(home, "wallet", access.Read, 0, now)
	must(t, err)
	late, _, err := access.Create(home, "late", access.Admin, time.Minute, now.Add(-time.Hour))
	must(t, err)
	api, _ := serve(t, newNetwork(t), func(c *Config) { c.Tokens, c.Limits = tokens, Limits{PerSecond: 1e-3, Burst: 30} })
	reached := 0
	h := api.Admit(Rules{Name: "work", Scope: access.Admin}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	for _, c := range []struct {
		authorization string
		code          int
	}{{"", 401}, {"Basic " + admin, 401}, {"Bearer " + late, 401}, {"Bearer " + read, 403}, {"Bearer " + admin, 200}, {"bearer  " + admin, 200}} {
		w := asked(h, "POST", "/", "Authorization", c.authorization)
		if w.Code != c.code || (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%q: %d, want %d: %s", c.authorization, w.Code, c.code, w.Body)
		}
	}
	if reached != 2 {
		t.Errorf("the handler was reached %d times", reached)
	}
	if w := asked(h, "POST", "/", "Authorization", "Bearer perdure_guess"); w.Code != 429 {
		t.Errorf("a second wrong token within the burst: %d", w.Code)
	}
	if w := asked(api.Handler(), "GET", "/v1/status", "Authorization", "Bearer "+read); w.Code != 200 {
		t.Errorf("a token where none is needed: %d", w.Code)
	}
}

// TestPolicy reads what callers may ask for, with a token and without.
func TestPolicy(t *testing.T) {
	home := t.TempDir()
	tokens, err := access.Open(home)
	must(t, err)
	secret, _, err := access.Create(home, "reader", access.Read, 0, time.Now())
	must(t, err)
	api, _ := serve(t, newNetwork(t), func(c *Config) { c.Tokens, c.Limits = tokens, Limits{PerSecond: 50, Burst: 60} })
	for token, want := range map[string]string{"": `"caller";q=50;w=1`, "Bearer " + secret: `"caller";q=500;w=1`} {
		w := asked(api.Handler(), "GET", "/v1/status", "Authorization", token)
		if got := w.Header().Get("RateLimit-Policy"); got != want || w.Code != 200 {
			t.Errorf("with token %.12q: %d, policy %s, want %s", token, w.Code, got, want)
		}
	}
}

// TestCosts checks that what is more work costs more.
func TestCosts(t *testing.T) {
	api, _ := serve(t, newNetwork(t), func(c *Config) {
		c.Limits, c.Proxies = Limits{PerSecond: 1e-3, Burst: 10}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	for i, c := range []struct{ path, left string }{{"/v1/blocks", "9"}, {"/v1/blocks?limit=100", "9"}, {"/v1/blocks?limit=200", "7"},
		{"/v1/blocks?limit=500", "4"}, {"/v1/blocks?limit=99999", "4"}, {"/v1/state/global/", "5"}, {"/nowhere", "9"}} {
		w := asked(api.Handler(), "GET", c.path, "X-Forwarded-For", "203.0.113."+string(rune('1'+i)))
		if got := w.Header().Get("RateLimit"); got != `"caller";r=`+c.left {
			t.Errorf("%s: RateLimit %s, want %s left", c.path, got, c.left)
		}
	}
	last := ""
	for range 11 {
		last = asked(api.Handler(), "GET", "/health/livez", "X-Forwarded-For", "203.0.113.99").Header().Get("Retry-After")
	}
	if last != "1000" {
		t.Errorf("Retry-After %q, want 1000", last)
	}
}

// TestStream reads a stream, one that breaks, and more than a caller may.
func TestStream(t *testing.T) {
	api, _ := serve(t, newNetwork(t), func(c *Config) { c.Limits = Limits{PerSecond: 1e6, Burst: 1e6, Streams: 1} })
	var inner http.Handler
	h := api.Admit(Rules{Name: "stream", Stream: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if w := asked(inner, "GET", "/"); w.Code != http.StatusTooManyRequests {
			t.Errorf("a second stream at once: %d", w.Code)
		}
		if _, bounded := r.Context().Deadline(); bounded {
			t.Error("a stream has a bound on its time")
		}
		api.stream(w, r, &Stream{Content: "text/csv", Name: "a.csv", Write: func(w io.Writer) error {
			_, err := io.WriteString(w, strings.Repeat("a,b\n", 1000))
			return err
		}})
	}))
	inner = h
	for accept, want := range map[string]string{"": "", "gzip": "gzip", "gzip, zstd": "zstd"} {
		for range 2 { // by a new writer, and by one that was used
			w := asked(h, "GET", "/", "Accept-Encoding", accept)
			if w.Header().Get("Content-Encoding") != want || want != "" && w.Body.Len() > 400 {
				t.Errorf("stream as %q: %d bytes, headers %v", accept, w.Body.Len(), w.Header())
			}
			unpack(t, w)
			if w.Code != 200 || w.Body.String() != strings.Repeat("a,b\n", 1000) || w.Header().Get("Content-Disposition") != `attachment; filename="a.csv"` {
				t.Errorf("stream: %d, %d bytes, headers %v", w.Code, w.Body.Len(), w.Header())
			}
		}
	}
	if w := asked(api.Admit(Rules{Stream: true}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), "GET", "/"); w.Code != 200 {
		t.Errorf("a stream after the one before ended: %d", w.Code)
	}
	s := httptest.NewServer(api.Admit(Rules{Name: "broken", Stream: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.stream(w, r, &Stream{Content: "text/csv", Write: func(w io.Writer) error {
			io.WriteString(w, "a,b\n")
			return io.ErrUnexpectedEOF
		}})
	})))
	defer s.Close()
	for _, packed := range []bool{true, false} { // the client unpacks what it asked for by itself
		client := &http.Client{Transport: &http.Transport{DisableCompression: !packed, DisableKeepAlives: true}}
		resp, err := client.Get(s.URL)
		if err != nil {
			continue // nothing of it was sent
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			t.Errorf("a broken stream ends like a whole one: %q", body)
		}
	}
}
