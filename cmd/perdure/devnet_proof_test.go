package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/perdure/perdure/chain/rpc/light"
	"github.com/perdure/perdure/internal/devnet"
)

// liar is a copy of a node's API that changes what it says.
func (s *session) liar(change func(path string, body []byte) []byte) string {
	node, err := url.Parse(s.node)
	s.must(err)
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(node)
			r.Out.Header.Set("Accept-Encoding", "identity")
		},
		ModifyResponse: func(r *http.Response) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			body = change(r.Request.URL.Path, body)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			r.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return nil
		},
	}
	server := httptest.NewServer(p)
	s.t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server.URL
}

// answers verifies answers of the API with their proofs, of an honest node and
// of ones that lie.
func (s *session) answers(w *devnet.World) {
	s.t.Helper()
	type verified struct {
		Path, Answer, Pinned, Notice string
		Verified, Unproven           []string
	}
	var made struct{ Header string }
	s.object(&made, "state", "proof", "global", "-o", filepath.Join(s.t.TempDir(), "proof"))
	var wallet struct{ Address string }
	s.object(&wallet, "wallet", "balance")
	for path, want := range map[string]string{"/v1/deals/1": "deal", "/v1/miners/t01000": "miner", "/v1/sectors/t01000/1": "sector",
		"/v1/orders/1": "order", "/v1/accounts/" + wallet.Address: "account", "/v1/supply": "supply", "/v1/params": "params", "/v1/state/deal/0000000000000001": "record"} {
		var out verified
		s.object(&out, "state", "verify", s.node+path, "--trust", made.Header)
		if out.Answer != want || len(out.Verified) < 6 || !slices.Contains(out.Verified, "height") || out.Pinned != "" {
			s.t.Errorf("%s: %+v", path, out)
		}
	}
	var first, second verified
	s.object(&first, "state", "verify", s.node+"/v1/deals/1")
	s.object(&second, "state", "verify", s.node+"/v1/deals/1", "deal/1")
	if first.Pinned == "" || first.Notice == "" || second.Pinned != first.Pinned || second.Notice != "" {
		s.t.Errorf("at first use: %+v, then %+v", first, second)
	}
	s.lies(made.Header)
}

// lies asks nodes that lie, and reads what they said from a file.
func (s *session) lies(header string) {
	amount := func(field string) func(string, []byte) []byte {
		return func(path string, body []byte) []byte {
			if strings.HasPrefix(path, "/v1/raw/") {
				return body
			}
			return bytes.Replace(body, []byte(`"`+field+`":"`), []byte(`"`+field+`":"1`), 1)
		}
	}
	one := s.liar(amount("total"))
	answer, err := http.Get(one + "/v1/deals/1?proof=true")
	s.must(err)
	said, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	s.must(err)
	file := filepath.Join(s.t.TempDir(), "deal.json")
	s.must(os.WriteFile(file, said, 0o600))
	other := s.liar(func(path string, body []byte) []byte {
		if path != "/v1/deals/1" {
			return body
		}
		return bytes.ReplaceAll(body, []byte(`"id":1,`), []byte(`"id":2,`))
	})
	disguised := s.liar(func(path string, body []byte) []byte {
		from := map[string]string{"/v1/supply": "/v1/params", "/v1/deals/1": "/v1/state/deal/0000000000000001"}[path]
		if from == "" {
			return body
		}
		answer, err := http.Get(s.node + from + "?proof=true")
		s.must(err)
		defer answer.Body.Close()
		other, err := io.ReadAll(answer.Body)
		s.must(err)
		return other
	})
	trusted, err := light.ParseTrust(header)
	s.must(err)
	before := strconv.FormatUint(uint64(trusted.Height-2), 10) // said is of no such height
	later := s.liar(func(path string, body []byte) []byte {
		if path != "/v1/deals/1" {
			return body
		}
		return bytes.Replace(said, []byte(`"total":"1`), []byte(`"total":"`), 1)
	})
	for _, c := range []struct {
		want string
		code int
		args []string
	}{
		{"kind of the answer is not true: expected supply, found params", exitFailed, []string{disguised + "/v1/supply", "--trust", header}},
		{"kind of the answer is not true: expected deal, found record", exitFailed, []string{disguised + "/v1/deals/1", "--trust", header}},
		{"height is not true: expected " + before, exitFailed, []string{later + "/v1/deals/1?height=" + before, "--trust", header}},
		{"total of deal/1 at height", exitFailed, []string{one + "/v1/deals/1", "--trust", header}},
		{"total of deal/1 at height", exitFailed, []string{one + "/v1/deals/1"}},
		{"total of deal/1 at height", exitFailed, []string{file, "deal/1", "--trust", header}},
		{"balance of miner/t01000", exitFailed, []string{s.liar(amount("balance")) + "/v1/miners/t01000", "--trust", header}},
		{"minted of global", exitFailed, []string{s.liar(amount("minted")) + "/v1/supply", "--trust", header}},
		{"id of deal/1", exitFailed, []string{other + "/v1/deals/1", "--trust", header}},
		{"found one of deal/1", exitFailed, []string{file, "deal/2", "--trust", header}},
		{"want the URL of an answer below /v1", exitFailed, []string{s.node + "/deal/1", "--trust", header}},
		{"no such path", exitFailed, []string{s.node + "/v1/nothing", "--trust", header}},
		{"give one of what you trust", exitUsage, []string{file, "--trust", header, "--app-hash", "00"}},
	} {
		if _, problems, code := s.try(append([]string{"state", "verify"}, c.args...)...); code != c.code || !strings.Contains(problems, c.want) {
			s.t.Errorf("verify %q: exit code %d, %q, want %d, %q", c.args, code, problems, c.code, c.want)
		}
	}
}
