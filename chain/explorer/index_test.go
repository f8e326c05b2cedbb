package explorer

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain/explorer/access"
)

// TestIndexJobs has a node check and rebuild its index: only who has the token
// may, one job at a time, and lists answer all the while.
func TestIndexJobs(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	home := t.TempDir()
	tokens, err := access.Open(home)
	must(t, err)
	admin, err := access.AdminToken(home)
	must(t, err)
	api, _ := serve(t, n, func(c *Config) { c.Tokens = tokens })
	order := func(path, token string) (int, string) {
		r := httptest.NewRequest(http.MethodPost, path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		api.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	detail := func() (d IndexDetail) {
		t.Helper()
		code, body := get(t, api.Handler(), "/v1/index")
		if code != http.StatusOK {
			t.Fatalf("/v1/index: %d %s", code, body)
		}
		must(t, json.Unmarshal([]byte(body), &d))
		return d
	}
	for path, code := range map[string]int{"/v1/index/check": 401, "/v1/index/rebuild": 401} {
		if got, body := order(path, ""); got != code {
			t.Errorf("POST %s without a token: %d %s", path, got, body)
		}
	}
	if code, body := order("/v1/index/rebuild?force=maybe", admin); code != 400 {
		t.Errorf("force=maybe: %d %s", code, body)
	}
	for i, path := range []string{"/v1/index/check", "/v1/index/rebuild?force=true", "/v1/index/check"} {
		if code, body := order(path, admin); code != http.StatusAccepted || !strings.Contains(body, `"jobs":`) {
			t.Fatalf("POST %s: %d %s", path, code, body)
		}
		for detail().Jobs == uint64(i) {
			if code, body := get(t, api.Handler(), "/v1/deals"); code != http.StatusOK {
				t.Fatalf("deals during %s: %d %s", path, code, body)
			}
			runtime.Gosched()
		}
		d := detail()
		if !d.Last.OK || d.Index.Check == nil || !d.Index.Check.OK || d.Report == nil || d.Report.Blocks == 0 || !d.Report.Compared {
			t.Fatalf("after %s: %+v %+v %+v", path, d.Last, d.Index.Check, d.Report)
		}
	}
	code, body := get(t, api.Handler(), "/v1/status")
	if code != http.StatusOK || !strings.Contains(body, `"check":{"height":`) {
		t.Errorf("status: %d %s", code, body)
	}
}

// TestIndexOff serves an API whose index is switched off: what the state alone
// can tell is told, lists say why they are not.
func TestIndexOff(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, err := New(Config{Backend: n})
	must(t, err)
	for path, want := range map[string]int{"/v1/status": 200, "/v1/index": 200, "/health/readyz": 200, "/v1/deals/1": 200, "/v1/sectors/t01000/7": 200,
		"/v1/miners/t01000": 200, "/v1/orders/1": 200, "/v1/market/book": 200, "/v1/deals": 503, "/v1/blocks": 503, "/v1/blocks/latest": 503, "/v1/orders": 503} {
		code, body := get(t, api.Handler(), path)
		if code != want || want == 503 && !strings.Contains(body, "the index is off") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if s := api.Index().Status(); !s.Off {
		t.Errorf("status: %+v", s)
	}
	must(t, api.Close())
}
