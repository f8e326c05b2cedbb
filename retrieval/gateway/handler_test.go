package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval"
)

// shelf is a Source of a test: one archive's blocks, with a state that the test sets.
type shelf struct {
	*Store
	status    map[cid.Cid]Status
	providers []Provider
	broken    error
	notReady  error
	read      atomic.Int32
}

func (s *shelf) Ready() error { return s.notReady }

func (s *shelf) Status(ctx context.Context, c cid.Cid) (Status, error) {
	if st, ok := s.status[c]; ok || s.broken != nil {
		return st, s.broken
	}
	return s.Store.Status(ctx, c)
}

func (s *shelf) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	s.read.Add(1)
	return s.Store.Block(ctx, c)
}

func (s *shelf) Providers(context.Context, cid.Cid) ([]Provider, error) { return s.providers, s.broken }

func serve(t testing.TB, cfg Config) *httptest.Server {
	t.Helper()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

type response struct {
	*http.Response
	body string
}

func request(t testing.TB, base, method, path string, headers ...string) response {
	t.Helper()
	req, err := http.NewRequest(method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp, string(raw)}
}

// TestStates: what is not free is refused by the first CID of a path, whatever
// form is asked for, before a block of it is read.
func TestStates(t *testing.T) {
	raw, cids := archiveOf(t, "free", "sold", "over", "sealed")
	s := &shelf{Store: storeOf(t, Terms{}, raw), status: map[cid.Cid]Status{
		cids[1]: {State: Priced, Terms: Terms{ChainID: "perdure-test", Price: chain.Atto(42), Payee: "t1payee", Peer: []string{"/p2p/12D3KooWPeer"}}},
		cids[2]: {State: Ended},
		cids[3]: {State: Waiting, Retry: 1500 * time.Millisecond},
	}}
	base := serve(t, Config{Source: s}).URL
	_, missing := archiveOf(t, "nowhere")
	for _, c := range []struct {
		c      cid.Cid
		status int
		header string
		value  string
	}{
		{cids[0], 200, "Content-Length", "4"},
		{cids[1], 402, "Cache-Control", "no-store"},
		{cids[2], 410, "Cache-Control", "no-store"},
		{cids[3], 503, "Retry-After", "2"},
		{missing[0], 404, "", ""},
	} {
		for _, query := range []string{"", "?format=raw", "?format=car", "/some/path"} {
			if c.status == 200 && query == "?format=car" || c.status == 200 && query == "/some/path" {
				continue
			}
			if c.status == 404 && query == "?format=car" {
				continue // IPFS gateways stream an archive up to where a path ends, here at once
			}
			for _, method := range []string{"GET", "HEAD"} {
				s.read.Store(0)
				got := request(t, base, method, "/ipfs/"+c.c.String()+query)
				if got.StatusCode != c.status || c.header != "" && got.Header.Get(c.header) != c.value {
					t.Errorf("%s %s%s: %s, %s %q; want %d, %q", method, c.c, query, got.Status, c.header, got.Header.Get(c.header), c.status, c.value)
				}
				if refused := c.status == 402 || c.status == 410 || c.status == 503; refused && s.read.Load() > 0 {
					t.Errorf("%s %s%s: %d blocks were read", method, c.c, query, s.read.Load())
				}
				if got.Header.Get("Access-Control-Allow-Origin") != "*" {
					t.Errorf("%s %s%s: other origins may not read the answer", method, c.c, query)
				}
			}
		}
	}
	sold := request(t, base, "GET", "/ipfs/"+cids[1].String())
	var p offer
	if err := json.Unmarshal([]byte(sold.body), &p); err != nil {
		t.Fatalf("402 says %s, %v", sold.body, err)
	}
	if p.Terms.Price != chain.Atto(42) || p.Terms.Payee != "t1payee" || p.Terms.Peer[0] != "/p2p/12D3KooWPeer" ||
		p.Terms.Protocol != retrieval.Protocol || p.Terms.Fetch != "perdure get "+cids[1].String() ||
		len(p.Accepts) != 1 || p.Accepts[0].PayTo != "t1payee" || p.Accepts[0].MaxAmountRequired != "42" || p.Accepts[0].Network != "perdure-test" {
		t.Errorf("402 says %s", sold.body)
	}
}

// TestFreeAll: a price is nothing to a gateway that gives everything.
func TestFreeAll(t *testing.T) {
	raw, cids := archiveOf(t, "sold")
	s := storeOf(t, Terms{Price: chain.Atto(1)}, raw)
	if got := request(t, serve(t, Config{Source: s}).URL, "GET", "/ipfs/"+cids[0].String()); got.StatusCode != 402 {
		t.Errorf("sold: %s", got.Status)
	}
	free := OpenStore(s.dir, true)
	defer free.Close()
	base := serve(t, Config{Source: free}).URL
	if got := request(t, base, "GET", "/ipfs/"+cids[0].String()); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("before it is indexed: %s", got.Status)
	}
	if err := free.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := request(t, base, "GET", "/ipfs/"+cids[0].String()); got.StatusCode != 200 || got.body != "sold" {
		t.Errorf("free for all: %s %q", got.Status, got.body)
	}
}

func TestHealth(t *testing.T) {
	s := &shelf{Store: storeOf(t, Terms{}), notReady: errLoading}
	base := serve(t, Config{Source: s}).URL
	if got := request(t, base, "GET", "/health/livez"); got.StatusCode != 200 {
		t.Errorf("livez: %s", got.Status)
	}
	if got := request(t, base, "GET", "/health/readyz"); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("readyz before: %s", got.Status)
	}
	s.notReady = nil
	if got := request(t, base, "GET", "/health/readyz"); got.StatusCode != 200 {
		t.Errorf("readyz after: %s", got.Status)
	}
}

// TestPiece: both CIDs of a piece give its bytes, whole and in ranges, to be kept for ever.
func TestPiece(t *testing.T) {
	raw, _ := archiveOf(t, "some", "blocks", "of a piece")
	s := &shelf{Store: storeOf(t, Terms{}, raw), status: map[cid.Cid]Status{}}
	base := serve(t, Config{Source: s}).URL
	in := s.Imported()[0]
	for _, c := range []string{in.Piece, in.PieceV2} {
		for _, r := range []struct {
			headers       []string
			status        int
			body, content string
		}{
			{nil, 200, string(raw), ""},
			{[]string{"Range: bytes=1-4"}, 206, string(raw[1:5]), "bytes 1-4/"},
			{[]string{"Range: bytes=-3"}, 206, string(raw[len(raw)-3:]), "bytes "},
			{[]string{"Range: bytes=5000-"}, 416, "", "bytes */"},
			{[]string{`If-None-Match: "` + c + `"`}, 304, "", ""},
			{[]string{`If-None-Match: "else"`}, 200, string(raw), ""},
		} {
			for _, method := range []string{"GET", "HEAD"} {
				got := request(t, base, method, "/piece/"+c, r.headers...)
				body := r.body
				if method == "HEAD" {
					body = ""
				}
				if got.StatusCode != r.status || r.status < 300 && got.body != body || !strings.HasPrefix(got.Header.Get("Content-Range"), r.content) {
					t.Errorf("%s %s %v: %s, %d bytes, range %q", method, c, r.headers, got.Status, len(got.body), got.Header.Get("Content-Range"))
				}
				if r.status != 416 && (got.Header.Get("Etag") != `"`+c+`"` || got.Header.Get("Cache-Control") != "public, max-age=31536000, immutable") {
					t.Errorf("%s %s %v: tag %q, %q", method, c, r.headers, got.Header.Get("Etag"), got.Header.Get("Cache-Control"))
				}
			}
		}
	}
	one, err := cid.Decode(in.Piece)
	if err != nil {
		t.Fatal(err)
	}
	smaller, err := piece.Info{CID: one, PaddedSize: in.PaddedSize, PayloadSize: in.Size - 1}.CIDv2()
	if err != nil {
		t.Fatal(err)
	}
	other, err := piece.Commit(strings.NewReader("another piece"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/piece/" + smaller.String(): 404, "/piece/" + other.CID.String(): 404, "/piece/x": 400, "/piece/" + in.Roots[0]: 400, "/piece/": 404, "/piece": 404,
	} {
		if got := request(t, base, "GET", path); got.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, got.Status, want)
		}
	}
	if got := request(t, base, "POST", "/piece/"+in.Piece); got.StatusCode != 405 || got.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %s", got.Status)
	}
	for state, want := range map[State]int{Priced: 402, Ended: 410, Waiting: 503} {
		s.status[one] = Status{State: state}
		if got := request(t, base, "GET", "/piece/"+in.PieceV2); got.StatusCode != want {
			t.Errorf("state %d: %s, want %d", state, got.Status, want)
		}
	}
	delete(s.status, one)
	s.broken = errors.New("open /secret/path: no")
	if got := request(t, base, "GET", "/piece/"+in.Piece); got.StatusCode != 500 || strings.Contains(got.body, "secret") {
		t.Errorf("with a broken disk: %s %s", got.Status, got.body)
	}
}

const peerID = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"

func TestProviders(t *testing.T) {
	raw, cids := archiveOf(t, "x")
	s := &shelf{Store: storeOf(t, Terms{}, raw), providers: []Provider{
		{Addrs: []string{"/ip4/192.0.2.1/tcp/1/p2p/" + peerID, "/ip4/192.0.2.1/udp/1/quic-v1/p2p/" + peerID}, Protocols: []string{"transport-bitswap"}},
		{Addrs: []string{"/p2p/" + peerID}, Protocols: []string{protocolRetrieve}},
		{Addrs: []string{"/no/such/address"}},
		{},
	}}
	base := serve(t, Config{Source: s}).URL
	path := "/routing/v1/providers/" + cids[0].String()
	first := `{"Addrs":["/ip4/192.0.2.1/tcp/1","/ip4/192.0.2.1/udp/1/quic-v1"],"ID":"` + peerID + `","Protocols":["transport-bitswap"],"Schema":"peer"}`
	second := `{"Addrs":[],"ID":"` + peerID + `","Protocols":["transport-perdure"],"Schema":"peer"}`
	for _, c := range []struct {
		query, accept, media, body string
		status                     int
	}{
		{"", "", typeJSON, `{"Providers":[` + first + "," + second + "]}\n", 200},
		{"", "*/*", typeJSON, `{"Providers":[` + first + "," + second + "]}\n", 200},
		{"", "application/json, application/x-ndjson", typeNDJSON, first + "\n" + second + "\n", 200},
		{"?filter-protocols=transport-bitswap", "", typeJSON, `{"Providers":[` + first + "]}\n", 200},
		{"?filter-protocols=transport-none", "", typeJSON, `{"Providers":[]}` + "\n", 200},
		{"", "text/html", "", "", 406},
	} {
		headers := []string{"Accept: " + c.accept}
		if c.accept == "" {
			headers = nil
		}
		got := request(t, base, "GET", path+c.query, headers...)
		if got.StatusCode != c.status || c.status == 200 && (got.body != c.body || got.Header.Get("Content-Type") != c.media) {
			t.Errorf("%q %q: %s %s %q", c.query, c.accept, got.Status, got.Header.Get("Content-Type"), got.body)
		}
	}
	if got := request(t, base, "GET", "/routing/v1/providers/x"); got.StatusCode != 400 {
		t.Errorf("no CID: %s", got.Status)
	}
	if got := request(t, base, "PUT", path); got.StatusCode != 405 {
		t.Errorf("PUT: %s", got.Status)
	}
}

// stuck is a source that holds its answers until it is let go.
type stuck struct {
	*shelf
	entered chan struct{}
	release chan struct{}
}

func (s stuck) Status(ctx context.Context, c cid.Cid) (Status, error) {
	s.entered <- struct{}{}
	<-s.release
	return s.shelf.Status(ctx, c)
}

// TestLimit: requests beyond the bound are refused at once with 429; health and
// those under way are answered.
func TestLimit(t *testing.T) {
	raw, cids := archiveOf(t, "x")
	s := stuck{&shelf{Store: storeOf(t, Terms{}, raw)}, make(chan struct{}), make(chan struct{})}
	base := serve(t, Config{Source: s, MaxPeerRequests: 2}).URL
	done := make(chan int, 2)
	for range 2 {
		go func() {
			resp, err := http.Get(base + "/ipfs/" + cids[0].String())
			if err != nil {
				done <- 0
				return
			}
			resp.Body.Close()
			done <- resp.StatusCode
		}()
		<-s.entered
	}
	got := request(t, base, "GET", "/ipfs/"+cids[0].String())
	if got.StatusCode != 429 || got.Header.Get("Retry-After") == "" {
		t.Errorf("the third request: %s", got.Status)
	}
	if got := request(t, base, "GET", "/health/livez"); got.StatusCode != 200 {
		t.Errorf("health meanwhile: %s", got.Status)
	}
	close(s.release)
	for range 2 {
		if code := <-done; code != 200 {
			t.Errorf("a request under way: %d", code)
		}
	}
	if client("192.0.2.1:5") != client("192.0.2.1:6") || client("[2001:db8::1]:5") != client("[2001:db8::2]:5") || client("[2001:db8:0:1::1]:5") == client("[2001:db8::1]:5") {
		t.Error("clients are told apart wrongly")
	}
}

// TestBeside: what shares the gateway's port shares its bounds, and one client
// leaves room for another.
func TestBeside(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	h, err := New(Config{Source: storeOf(t, Terms{}), Beside: map[string]http.Handler{
		"/v1/x/": Limit(3, 2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			entered <- struct{}{}
			<-release
			io.WriteString(w, r.URL.Path)
		})),
		"/v1/y": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if _, ok := w.(*patient); !ok {
				t.Error("its readers may take nothing for ever")
			}
		})}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path, from string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", path, nil)
		r.RemoteAddr = from
		h.ServeHTTP(w, r)
		return w
	}
	answers := make(chan *httptest.ResponseRecorder, 3)
	under := func(from string) {
		go func() { answers <- ask("/v1/x/1", from) }()
		<-entered
	}
	under("192.0.2.1:1")
	under("192.0.2.1:2")
	if w := ask("/v1/x/1", "192.0.2.1:3"); w.Code != 429 {
		t.Errorf("the third request of one client: %d", w.Code)
	}
	under("192.0.2.2:1")
	if w := ask("/v1/x/1", "192.0.2.3:1"); w.Code != 429 {
		t.Errorf("the fourth request of all: %d", w.Code)
	}
	if w := ask("/v1/y", "192.0.2.1:3"); w.Code != 200 {
		t.Errorf("something else meanwhile: %d", w.Code)
	}
	close(release)
	for range 3 {
		if w := <-answers; w.Code != 200 || w.Body.String() != "/v1/x/1" {
			t.Errorf("a request under way: %d %q", w.Code, w.Body)
		}
	}
}

// TestNoNames: names are refused without asking anybody.
func TestNoNames(t *testing.T) {
	base := serve(t, Config{Source: storeOf(t, Terms{})}).URL
	for _, path := range []string{"/ipns/example.com", "/ipns/k51qzi5uqu5dhjjqhpcuvdnskq4mz84a2xg1rpqzi6s5460q2612egkfjsk42x"} {
		if got := request(t, base, "GET", path); got.StatusCode != 501 {
			t.Errorf("%s: %s %s", path, got.Status, got.body)
		}
	}
	if got := request(t, base, "GET", "/", "Host: example.com"); got.StatusCode != 404 {
		t.Errorf("another host: %s", got.Status)
	}
}

// TestServe: the server ends with its context, whatever is under way.
func TestServe(t *testing.T) {
	raw, cids := archiveOf(t, "x")
	h, err := New(Config{Source: storeOf(t, Terms{}, raw)})
	if err != nil {
		t.Fatal(err)
	}
	l := httptest.NewUnstartedServer(nil).Listener
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, h) }()
	if got := request(t, "http://"+l.Addr().String(), "GET", "/ipfs/"+cids[0].String()); got.body != "x" {
		t.Errorf("%s %q", got.Status, got.body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// FuzzRequest: no path, query or header makes the gateway fail.
func FuzzRequest(f *testing.F) {
	raw, cids := archiveOf(f, "one", "two")
	store := storeOf(f, Terms{}, raw)
	h, err := New(Config{Source: store, Subdomains: []string{"localhost"}})
	if err != nil {
		f.Fatal(err)
	}
	root := cids[0].String()
	f.Add("/ipfs/"+root, "format=car&entity-bytes=0:*", "application/vnd.ipld.car; dups=y", "bytes=0-1", "localhost")
	f.Add("/piece/"+store.Imported()[0].PieceV2, "", "*/*", "bytes=-1", root+".ipfs.localhost")
	f.Add("/routing/v1/providers/"+root, "filter-addrs=!tcp", "application/x-ndjson", "", "127.0.0.1")
	f.Fuzz(func(t *testing.T, path, query, accept, ranges, host string) {
		req := httptest.NewRequest("GET", "/", nil)
		req.URL.Path, req.URL.RawQuery, req.Host = "/"+strings.TrimPrefix(path, "/"), query, host
		req.RequestURI = req.URL.RequestURI()
		req.Header.Set("Accept", accept)
		req.Header.Set("Range", ranges)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code == http.StatusInternalServerError && !bytes.Contains(w.Body.Bytes(), []byte("failed to resolve")) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
