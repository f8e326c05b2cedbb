package explorer

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/explorer/export"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/state/proof"
)

func decode[T any](t testing.TB, h http.Handler, path string) *T {
	t.Helper()
	code, body := get(t, h, path)
	if code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, code, body)
	}
	v := new(T)
	must(t, json.Unmarshal([]byte(body), v))
	return v
}

// TestStory checks what the populated chain is said to hold.
func TestStory(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	h := api.Handler()
	client := chain.FormatAddress(addressOf(t, "client"), n.params.Network)

	status := decode[Status](t, h, "/v1/status")
	if status.Height != n.store.View().Height() || status.Deals != 1 || status.Miners != 1 || status.PowerBytes != 2048 ||
		status.ChainID != "explorer-test" || !status.Index.Ready || status.Index.First != 1 || status.Notice != smallSectors {
		t.Errorf("status %+v", status)
	}
	deals := decode[List[*Deal]](t, h, "/v1/deals?root="+rootCID(t).String())
	if len(deals.Items) != 1 || deals.Items[0].State != "active" || deals.Items[0].Miner != "t01000" || *deals.Items[0].Sector != 7 {
		t.Errorf("deals by root %+v", deals.Items)
	}
	for path, want := range map[string]int{"/v1/deals?state=void": 0, "/v1/deals?miner=t01001": 0, "/v1/deals?client=" + client: 1,
		"/v1/orders": 1, "/v1/orders?state=all": 4, "/v1/orders?state=all&side=bid": 3, "/v1/orders?side=bid": 0,
		"/v1/channels?address=" + client: 2, "/v1/miners/t01000/sectors": 2, "/v1/miners/t01000/sectors?state=active": 1,
		"/v1/miners": 1, "/v1/market/trades": 1} {
		if l := decode[List[json.RawMessage]](t, h, path); len(l.Items) != want || l.Next != "" {
			t.Errorf("%s: %d items, want %d, next %q", path, len(l.Items), want, l.Next)
		}
	}
	for id, state := range map[int]string{1: "resting", 2: "filled", 3: "cancelled", 4: "expired"} {
		if o := decode[OrderDetail](t, h, fmt.Sprintf("/v1/orders/%d", id)); o.State != state || (o.Ended == 0) != (id == 1) {
			t.Errorf("order %d is %s, ended %d; want %s", id, o.State, o.Ended, state)
		} else if o.Bid != nil && (o.Bid.CopiesLeft == 0) != (state == "filled") {
			t.Errorf("order %d is %s and has %d copies left", id, o.State, o.Bid.CopiesLeft)
		}
	}
	if c := decode[ChannelDetail](t, h, "/v1/channels/1"); c.State != "open" || c.Redeemed != chain.Atto(21) || c.Lanes[0].Ticks != 3 {
		t.Errorf("channel 1 %+v", c.Channel)
	}
	if c := decode[ChannelDetail](t, h, "/v1/channels/2"); c.State != "collected" || !c.Balance.IsZero() {
		t.Errorf("channel 2 %+v", c.Channel)
	}
	story := decode[List[*Message]](t, h, "/v1/messages?address=t01000&limit=500")
	var kinds []string
	for _, m := range story.Items {
		kinds = append(kinds, m.Kind)
	}
	if want := []string{"SubmitWindowProof", "PreCommitSectors", "ProveCommit", "PreCommitSectors", "AcceptData", "PlaceAsk", "CreateMiner"}; !slices.Equal(kinds, want) {
		t.Errorf("messages of the miner: %v, want %v", kinds, want)
	}
}

// TestMessage checks a message's content, receipt and events.
func TestMessage(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	m := decode[MessageDetail](t, api.Handler(), "/v1/messages/"+chain.HashBytes(n.blocks[1][0]).String())
	keys, _ := m.Body["keys"].(map[string]any)
	peer, _ := m.Body["peer"].(map[string]any)
	if m.Kind != "CreateMiner" || m.ID != uint64(testMiner) || m.Height != 1 || len(m.Events) != 1 || m.Events[0].Kind != "minerCreated" ||
		keys["owner"] != m.From || fmt.Sprint(peer["addrs"]) != "[/ip4/127.0.0.1/tcp/4001]" {
		t.Errorf("message %+v", m)
	}
	last := n.store.View().Height() - 1
	l := decode[List[*Message]](t, api.Handler(), fmt.Sprintf("/v1/blocks/%d/messages", last))
	var codes []string
	for _, m := range l.Items {
		codes = append(codes, m.Code)
	}
	if want := []string{"failed", "badNonce", "malformed"}; !slices.Equal(codes, want) {
		t.Errorf("codes of block %d: %v, want %v", last, codes, want)
	}
	b := decode[BlockDetail](t, api.Handler(), "/v1/blocks/latest")
	if b.Height != last+1 || b.Messages != 0 || b.AppHash != hex.EncodeToString(n.store.View().AppHash()) {
		t.Errorf("latest block %+v", b)
	}
}

// TestBlockHash finds a block, and what is below it, by the hash that it says.
func TestBlockHash(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	h := api.Handler()
	b := decode[BlockDetail](t, h, "/v1/blocks/2")
	if b.Hash != hexText(hashes{n}.HashOf(2)) {
		t.Errorf("hash %q", b.Hash)
	}
	for _, below := range []string{"", "/messages", "/events", "/votes"} {
		want := asked(h, "GET", "/v1/blocks/2"+below)
		for _, hash := range []string{b.Hash, strings.ToUpper(b.Hash)} {
			w := asked(h, "GET", "/v1/blocks/"+hash+below)
			if w.Code != 200 || w.Body.String() != want.Body.String() || w.Header().Get("Cache-Control") != keepFinal {
				t.Errorf("%s%s: %d %s", hash, below, w.Code, w.Body)
			}
		}
	}
	for name, code := range map[string]int{strings.Repeat("0", 64): 404, strings.Repeat("x", 64): 400, b.Hash[1:]: 400} {
		if got, body := get(t, h, "/v1/blocks/"+name); got != code {
			t.Errorf("%s: %d %s", name, got, body)
		}
	}
	unknown, _ := serve(t, n, func(c *Config) { c.Hashes = nil })
	if b := decode[BlockDetail](t, unknown.Handler(), "/v1/blocks/2"); b.Hash != "" {
		t.Errorf("hash %q of an engine that is not there", b.Hash)
	}
	if code, body := get(t, unknown.Handler(), "/v1/blocks/"+b.Hash); code != 404 {
		t.Errorf("a hash of an engine that is not there: %d %s", code, body)
	}
}

// TestContents holds the contents in lists against those under hashes and against
// the messages' own bytes, of which the index has none that are long.
func TestContents(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	long := &chain.PreCommitSectors{Miner: testMiner}
	for i := range 64 {
		long.Sectors = append(long.Sectors, chain.PreCommit{Number: 1<<52 + uint64(i), CommR: commitment("commr"), TicketHeight: 1 << 52, Expiration: 1 << 52,
			Pieces: []chain.SectorPiece{{PieceCID: pieceCID, PaddedSize: 1 << 10}}})
	}
	raw := n.message("worker", 0, long)
	n.block(raw)
	if body, err := chain.Encode(long); err != nil || len(body) <= index.MaxBody {
		t.Fatalf("a body of %d bytes is not long: %v", len(body), err)
	}
	api, _ := serve(t, n)
	all := decode[List[*MessageContent]](t, api.Handler(), "/v1/messages?content=true&limit=500").Items
	for _, m := range all {
		in := decode[List[*MessageContent]](t, api.Handler(), fmt.Sprintf("/v1/blocks/%d/messages?content=true&limit=500", m.Height)).Items[m.Index]
		if !reflect.DeepEqual(in, m) {
			t.Errorf("of a block: %+v, of all: %+v", in, m)
		}
		if one := decode[MessageDetail](t, api.Handler(), "/v1/messages/"+m.Hash); !reflect.DeepEqual(one.MessageContent, m) {
			t.Errorf("by its hash: %+v, of all: %+v", one.MessageContent, m)
		}
		signed, err := chain.DecodeSigned(n.blocks[m.Height][m.Index])
		if err != nil {
			if m.Body != nil || m.Tip != nil {
				t.Errorf("no message has content: %+v", m)
			}
			continue
		}
		body, err := signed.Message.DecodeBody()
		must(t, err)
		want, err := json.Marshal(names{n.params.Network}.noun(body))
		must(t, err)
		got, err := json.Marshal(m.Body)
		must(t, err)
		if !bytes.Equal(got, want) || *m.MaxFee != signed.Message.MaxFee || *m.Tip != signed.Message.Tip {
			t.Errorf("content of %s:\n%s, its bytes say\n%s", m.Hash, got, want)
		}
	}
	if all[0].Kind != "PreCommitSectors" || len(all[0].Body["sectors"].([]any)) != 64 {
		t.Errorf("the long message: %+v", all[0])
	}
	n.mu.Lock()
	clear(n.blocks)
	n.mu.Unlock()
	pruned := decode[List[*MessageContent]](t, api.Handler(), "/v1/messages?content=true&limit=400").Items
	for i, m := range pruned {
		if i == 0 && (m.Body != nil || m.MaxFee == nil) || i > 0 && !reflect.DeepEqual(m, all[i]) {
			t.Errorf("without blocks: %+v, want %+v", m, all[i])
		}
	}
}

// TestDeadlines follows a miner's calendar through a window.
func TestDeadlines(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	var s chain.Sector
	n.load(chain.SectorKey(testMiner, 7), &s)
	calendar := func() *Deadline {
		t.Helper()
		d := decode[Deadlines](t, api.Handler(), fmt.Sprintf("/v1/miners/t01000/deadlines?deadline=%d", s.Deadline)).Items[0]
		next := n.store.View().Height() + 1
		if d.Open != (d.Opens <= next && next <= d.Closes) || d.Closes < next || d.Closes-d.Opens+1 != chain.Height(n.params.Window) ||
			len(d.Partitions) != 1 || d.Partitions[0].Live != 1 || d.Partitions[0].State == "due" && !d.Open {
			t.Fatalf("height %d: opening %+v", next-1, d)
		}
		return d
	}
	for calendar().Open {
		n.block()
	}
	if d := calendar(); d.Partitions[0].State != "upcoming" {
		t.Errorf("before its window: %+v", d)
	}
	for !calendar().Open {
		n.block()
	}
	d := calendar()
	if d.Partitions[0].State != "due" || n.store.View().Height()+1 != d.Opens {
		t.Errorf("as its window opens: %+v", d)
	}
	n.prove(7)
	if p := calendar().Partitions[0]; p.State != "proven" || p.ProvenThrough != n.store.View().Height() {
		t.Errorf("after its proof: %+v", p)
	}
	for calendar().Open || calendar().Period == d.Period {
		n.block()
	}
	for d = calendar(); n.store.View().Height() < d.Closes; {
		n.block() // unproven
	}
	if p := calendar().Partitions[0]; p.Faulty != 1 || p.State != "upcoming" {
		t.Errorf("after a missed window: %+v", p)
	}
}

// TestProof verifies a record and an absence as a light client would.
func TestProof(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	for id, exists := range map[uint64]bool{1: true, 2: false} {
		k := chain.DealKey(id)
		r := decode[Record](t, api.Handler(), "/v1/state/deal/"+hex.EncodeToString([]byte(k.ID))+"?proof=true")
		hash, err := hex.DecodeString(r.AppHash)
		must(t, err)
		b, err := proof.DecodeBundle(r.Proof)
		must(t, err)
		if tip := n.store.View().Height(); !bytes.Equal(b.Headers[0].Light, encoded(n.header(tip))) || r.Height+1 != tip {
			t.Errorf("deal %d: proof at height %d under %x, want the header of height %d", id, r.Height, b.Headers[0].Light, tip)
		}
		record, err := proof.Verify(b.Path, hash, b.Key())
		if err != nil || !bytes.Equal(record, r.CBOR) || r.Exists != exists || (record != nil) != exists {
			t.Errorf("deal %d: proof shows %x, answer %+v: %v", id, record, r, err)
		}
	}
}

func TestSubmit(t *testing.T) {
	n := newNetwork(t)
	api, _ := serve(t, n)
	post := func(content, body string) (int, string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(body))
		r.Header.Set("Content-Type", content)
		api.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for content, body := range map[string]string{"application/cbor": "raw", "application/json; charset=utf-8": `{"hex":"726177"}`,
		"application/json": `{"base64":"cmF3"}`, "application/octet-stream": "raw"} {
		n.pool = nil
		code, answer := post(content, body)
		if code != http.StatusAccepted || !strings.Contains(answer, chain.HashBytes([]byte("raw")).String()) || len(n.pool) != 1 || string(n.pool[0]) != "raw" {
			t.Errorf("%s %s: %d %s, pool %q", content, body, code, answer, n.pool)
		}
	}
	n.pool = nil
	large := strings.Repeat("a", int(n.params.MaxMessageBytes)+1)
	for _, c := range []struct {
		content, body string
		code          int
	}{{"", "raw", 415}, {"application/json", "{", 400}, {"application/json", `{}`, 400}, {"application/json", `{"hex":"0"}`, 400},
		{"application/json", `{"hex":"00","base64":"AA=="}`, 400}, {"application/json", `{"x":1}`, 400},
		{"application/cbor", large, 413}, {"application/json", `{"hex":"` + large + large + `00"}`, 413}} {
		if code, answer := post(c.content, c.body); code != c.code || len(n.pool) != 0 {
			t.Errorf("%s %.40s: %d %.200s, want %d", c.content, c.body, code, answer, c.code)
		}
	}
	n.refuse = &consensus.Refusal{Code: consensus.CodeUnderfunded, Text: "no money"}
	var p Problem
	_, answer := post("application/cbor", "raw")
	must(t, json.Unmarshal([]byte(answer), &p))
	if p.Code != uint32(consensus.CodeUnderfunded) || p.Detail != "no money" || p.Status != 422 || p.Instance == "" {
		t.Errorf("refusal: %s", answer)
	}
}

// TestHead checks what all answers have in common.
func TestHead(t *testing.T) {
	n := newNetwork(t)
	api, _ := serve(t, n)
	ask := func(method, path, id string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set(headerRequestID, id)
		api.Handler().ServeHTTP(w, r)
		return w
	}
	if w := ask("GET", "/v1/status", "my-id"); w.Header().Get(headerRequestID) != "my-id" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers %v", w.Header())
	}
	if w := ask("GET", "/v1/status", "<script>"); len(w.Header().Get(headerRequestID)) < 16 || strings.Contains(w.Header().Get(headerRequestID), "<") {
		t.Errorf("request ID %q", w.Header().Get(headerRequestID))
	}
	if w := ask("OPTIONS", "/v1/messages", ""); w.Code != 204 || !strings.Contains(w.Header().Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	if w := ask("DELETE", "/v1/status", ""); w.Code != 405 || w.Header().Get("Allow") == "" || w.Header().Get("Content-Type") != contentProblem {
		t.Errorf("DELETE: %d %v %s", w.Code, w.Header(), w.Body)
	}
	for _, path := range []string{"/", "/v2/status", "/v1", "/v1/state", "/health"} {
		if w := ask("GET", path, ""); w.Code != 404 || w.Header().Get("Content-Type") != contentProblem {
			t.Errorf("GET %s: %d %v", path, w.Code, w.Header())
		}
	}
	if w := ask("GET", "/v1/status?"+strings.Repeat("a", maxQuery+1), ""); w.Code != 414 {
		t.Errorf("long query: %d", w.Code)
	}
	if w := ask("HEAD", "/v1/status", ""); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
}

func TestRateLimit(t *testing.T) {
	n := newNetwork(t)
	api, _ := serve(t, n, func(c *Config) { c.Limits = Limits{PerSecond: 0.001, Burst: 3} })
	ask := func(from string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/health/livez", nil)
		r.RemoteAddr = from
		api.Handler().ServeHTTP(w, r)
		return w
	}
	for i := range 3 {
		if w := ask("10.0.0.1:1"); w.Code != 200 {
			t.Fatalf("request %d: %d", i, w.Code)
		}
	}
	if w := ask("10.0.0.1:2"); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("fourth request: %d %v", w.Code, w.Header())
	}
	if w := ask("10.0.0.2:1"); w.Code != 200 {
		t.Errorf("another address: %d", w.Code)
	}
	for _, from := range []string{"127.0.0.1:1", "[::1]:1"} {
		for range 5 {
			if w := ask(from); w.Code != 200 {
				t.Errorf("%s is limited: %d", from, w.Code)
			}
		}
	}
	for i, from := range []string{"[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1", "[2001:db8::4]:1"} {
		if w := ask(from); (w.Code == 200) != (i < 3) {
			t.Errorf("request %d of one network: %d", i, w.Code)
		}
	}
}

// broken is a backend whose blocks cannot be read, or that panics.
type broken struct {
	*network
	panics bool
}

func (b *broken) Peers() int {
	if b.panics {
		panic("boom")
	}
	return 0
}

// TestFailure checks that what goes wrong inside stays inside.
func TestFailure(t *testing.T) {
	b := &broken{network: newNetwork(t)}
	b.block()
	api, _ := serve(t, b.network, func(c *Config) { c.Backend = b })
	b.panics = true
	code, body := get(t, api.Handler(), "/v1/status")
	if code != 500 || strings.Contains(body, "boom") {
		t.Errorf("panic: %d %s", code, body)
	}
	b.panics = false
	if code, _ := get(t, api.Handler(), "/v1/status"); code != 200 {
		t.Errorf("after a panic: %d", code)
	}
	b.syncing = true
	if code, body := get(t, api.Handler(), "/health/readyz"); code != 503 || !strings.Contains(body, "syncing") {
		t.Errorf("readyz while syncing: %d %s", code, body)
	}
	if code, _ := get(t, api.Handler(), "/health/livez"); code != 200 {
		t.Errorf("livez while syncing: %d", code)
	}
}

// TestBuilding asks before Run, and after Close.
func TestBuilding(t *testing.T) {
	n := newNetwork(t)
	x, err := index.Open(index.Config{Dir: "index", FS: vfs.NewMem(), ChainID: n.params.ChainID})
	must(t, err)
	api, err := New(Config{Backend: n, Index: x})
	must(t, err)
	for _, path := range []string{"/v1/blocks", "/v1/blocks/1", "/v1/orders", "/v1/messages/" + strings.Repeat("0", 64), "/health/readyz"} {
		if code, body := get(t, api.Handler(), path); code != 503 {
			t.Errorf("%s before the index is built: %d %s", path, code, body)
		}
	}
	if code, _ := get(t, api.Handler(), "/v1/status"); code != 200 {
		t.Errorf("status before the index is built: %d", code)
	}
	must(t, api.Close())
	if err := api.Run(context.Background()); !errors.Is(err, index.ErrClosed) {
		t.Errorf("Run after Close: %v", err)
	}
}

// TestReadYourWrites asks for a message as soon as its block is committed.
func TestReadYourWrites(t *testing.T) {
	n := newNetwork(t)
	api, _ := serve(t, n)
	for range 50 {
		raw := n.message("client", 0, &chain.Transfer{To: addressOf(t, "owner"), Amount: chain.PDR(1)})
		n.all(raw)
		if m := decode[MessageDetail](t, api.Handler(), "/v1/messages/"+chain.HashBytes(raw).String()); m.Height != n.store.View().Height() {
			t.Fatalf("message of block %d: %+v", n.store.View().Height(), m.Message)
		}
	}
}

// TestMetrics lints the names as promtool does, and reads some.
func TestMetrics(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	registry := prometheus.NewRegistry()
	api, _ := serve(t, n, func(c *Config) { c.Registry = registry })
	get(t, api.Handler(), "/v1/deals/1")
	get(t, api.Handler(), "/v1/deals/2")
	get(t, api.Handler(), "/nowhere/"+strings.Repeat("x", 100))
	families, err := registry.Gather()
	must(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	var text bytes.Buffer
	for _, f := range families {
		_, err := expfmt.MetricFamilyToText(&text, f)
		must(t, err)
		if !strings.HasPrefix(f.GetName(), "perdure_") {
			t.Errorf("metric %s is not the program's", f.GetName())
		}
	}
	for _, line := range []string{`perdure_api_requests_total{code="200",route="GET /v1/deals/{deal}"} 1`,
		`perdure_api_requests_total{code="404",route="GET /v1/deals/{deal}"} 1`, `perdure_api_requests_total{code="404",route="none"} 1`,
		"perdure_chain_power_bytes 2048", "perdure_market_deals 1", "perdure_index_lag_blocks 0",
		`perdure_market_book_bytes{side="ask"} 3072`, `perdure_market_book_bytes{side="bid"} 0`, `perdure_market_best_price_attopdr{side="ask"} 2e+18`,
		"perdure_market_last_price_attopdr 2e+18", `perdure_chain_sectors{state="active"} 1`, `perdure_market_live_deals{state="active"} 1`,
		"perdure_chain_stored_bytes 1024", "perdure_chain_faults_day 0", "perdure_market_trades_day 1", "perdure_market_volume_day_bytes 1024",
		`perdure_live_subscribers{transport="websocket"} 0`} {
		if !strings.Contains(text.String(), line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// FuzzRequest sends any path and query to a populated node: it must answer,
// with JSON or a problem, and never with an error of its own.
func FuzzRequest(f *testing.F) {
	n := newNetwork(f)
	n.populate()
	api, _ := serve(f, n)
	for _, path := range paths(n) {
		u, err := url.Parse(path)
		must(f, err)
		f.Add(u.Path, u.RawQuery, byte(0), "", []byte{})
	}
	for path := range badPaths {
		path, query, _ := strings.Cut(path, "?")
		f.Add(path, query, byte(0), "gzip", []byte{})
	}
	for _, header := range []string{"application/json", "application/cbor", "text/csv", "*", `W/"x"`, "zstd;q=0, *", "Bearer perdure_x", "\xff"} {
		f.Add("/v1/messages", "", byte(1), header, []byte(`{"hex":"00"}`))
		f.Add("/v1/index/check", "", byte(1), header, []byte("{"))
		f.Add("/v1/params", "", byte(2), header, []byte{})
	}
	methods := []string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodOptions, http.MethodPut, "\x00"}
	f.Fuzz(func(t *testing.T, path, query string, method byte, header string, body []byte) {
		r := httptest.NewRequest(http.MethodGet, "/", bytes.NewReader(body))
		r.Method = methods[int(method)%len(methods)]
		r.URL = &url.URL{Path: "/" + strings.TrimPrefix(path, "/"), RawQuery: query}
		for _, name := range []string{"Accept", "Accept-Encoding", "If-None-Match", "Content-Type", "Authorization", "X-Forwarded-For", headerRequestID, "Range"} {
			r.Header.Set(name, header)
		}
		w := httptest.NewRecorder()
		api.Handler().ServeHTTP(w, r)
		if w.Code == http.StatusNotModified || r.Method == http.MethodHead || r.Method == http.MethodOptions {
			if w.Code < 500 && w.Body.Len() == 0 {
				return
			}
			t.Fatalf("%s %s: %d with %d bytes", r.Method, path, w.Code, w.Body.Len())
		}
		unpack(t, w)
		content := w.Header().Get("Content-Type")
		switch {
		case w.Code >= 500:
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		case w.Code/100 == 3: // the router cleans paths
		case w.Code == 200 && content == "application/yaml":
		case w.Code == 200 && content == export.ContentCSV:
			if _, err := csv.NewReader(w.Body).ReadAll(); err != nil {
				t.Fatalf("answer is not CSV: %v", err)
			}
		case w.Code == 200 && content == export.ContentNDJSON:
			for line := range strings.Lines(w.Body.String()) {
				if !json.Valid([]byte(line)) {
					t.Fatalf("line is not JSON: %s", line)
				}
			}
		case w.Code < 300 && content != contentJSON, w.Code >= 300 && content != contentProblem:
			t.Fatalf("%d of type %q", w.Code, content)
		case !json.Valid(w.Body.Bytes()):
			t.Fatalf("answer is not JSON: %s", w.Body)
		}
	})
}

// TestQueryReadOnce: the longest queries cost what it takes to read them once, by
// HTTP and by a call, of a list and of what is none.
func TestQueryReadOnce(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	h := api.Handler()
	long, once := LongQuery(t)
	for _, path := range []string{"/v1/deals?", "/v1/deals/1?", "/v1/export/deals?"} {
		ask := map[string]func(){
			"HTTP": func() {
				if code, body := get(t, h, path+long); code != http.StatusBadRequest {
					t.Fatalf("%s: %d %s", path, code, body)
				}
			},
			"a call": func() {
				if v, err := api.Call(t.Context(), path+long); err == nil {
					t.Fatalf("%s: %v", path, v)
				}
			},
		}
		for by, ask := range ask {
			if all := testing.AllocsPerRun(10, ask); all >= 1.8*once {
				t.Errorf("%s by %s: %g allocations, reading the query takes %g", path, by, all, once)
			}
		}
	}
}

// BenchmarkGet measures answers without a connection.
func BenchmarkGet(b *testing.B) {
	n := newNetwork(b)
	n.populate()
	api, _ := serve(b, n)
	for _, path := range []string{"/v1/status", "/v1/blocks/latest", "/v1/deals?root=" + rootCID(b).String(), "/v1/market/book"} {
		b.Run(strings.NewReplacer("/", " ", "?", " ").Replace(path), func(b *testing.B) {
			for b.Loop() {
				if code, body := get(b, api.Handler(), path); code != 200 {
					b.Fatal(body)
				}
			}
		})
	}
}

// TestGovern follows a change of parameters and an announced upgrade, which this
// node does not know.
func TestGovern(t *testing.T) {
	n := newNetwork(t)
	n.block()
	registry := prometheus.NewRegistry()
	api, _ := serve(t, n, func(c *Config) { c.Registry = registry })
	h := api.Handler()
	at := n.store.View().Height() + 1 + chain.Height(n.params.Notice()) + 2
	fee := chain.Atto(chain.AttoPerPDR / 400)
	n.all(n.message("val", 0, &chain.Propose{Values: []chain.ParamValue{{Name: "faultFee", Value: fee}}, Effective: at}),
		n.message("val", 1, &chain.Propose{RuleVersion: consensus.NewestRules + 1, Effective: at + 5}))
	l := decode[Proposals](t, h, "/v1/proposals")
	if len(l.Items) != 2 || l.Items[0].Adopted == 0 || l.Items[0].Values[0] != (ParamValue{"faultFee", fee}) || l.Items[1].RuleVersion == 0 ||
		!slices.Contains(l.Amendable, "faultFee") || slices.Contains(l.Amendable, "window") {
		t.Errorf("proposals %+v", l)
	}
	u := decode[Status](t, h, "/v1/status").Upgrade
	if u == nil || u.RuleVersion != consensus.NewestRules+1 || u.Height != at+5 || u.Known {
		t.Errorf("upgrade %+v", u)
	}
	if got := decode[Parameters](t, h, "/v1/params").FaultFee; got != n.params.FaultFee {
		t.Errorf("fault fee %s before its time", got)
	}
	for n.store.View().Height() < at-1 {
		n.block()
	}
	if got := decode[Parameters](t, h, "/v1/params").FaultFee; got != fee {
		t.Errorf("fault fee %s, want %s", got, fee)
	}
	families, err := registry.Gather()
	must(t, err)
	read := map[string]float64{}
	for _, f := range families {
		if g := f.GetMetric()[0].GetGauge(); g != nil {
			read[f.GetName()] = g.GetValue()
		}
	}
	if read["perdure_chain_upgrade_height"] != float64(at+5) || read["perdure_chain_upgrade_unknown"] != 1 || read["perdure_chain_rule_version"] != 1 {
		t.Errorf("metrics %v", read)
	}
}

// forgotten is a chain on which a deal has completed and a sector dropped so long ago
// that their records have left the state.
func forgotten(t testing.TB) (*network, *API) {
	t.Helper()
	n := newNetwork(t, func(p *consensus.Params) {
		p.StateRetention, p.EvidenceAge, p.TrustPeriod, p.Unbonding, p.RepairBy, p.TicketAge = 3*p.Period(), 40, 20, 40, 30, 100
		p.EndedRetention = 300
	})
	n.populate()
	api, _ := serve(t, n) // which follows from here on
	for n.store.View().Height() < 900 {
		n.block()
	}
	return n, api
}

// TestForgotten asks for things whose records have left the state: they are shown and
// listed as they were last.
func TestForgotten(t *testing.T) {
	n, api := forgotten(t)
	h := api.Handler()
	for _, k := range []chain.Key{chain.DealKey(1), chain.SectorKey(testMiner, 8)} {
		if raw, err := n.store.View().Record(k); raw != nil || err != nil {
			t.Fatalf("%s is still in the state (%v)", k.Table, err)
		}
	}
	if d := decode[DealDetail](t, h, "/v1/deals/1"); d.State != "completed" || *d.Sector != 7 || !d.Unspent.IsZero() || d.Removed <= d.Ended {
		t.Errorf("deal %+v", d.Deal)
	}
	if s := decode[SectorDetail](t, h, "/v1/sectors/t01000/8"); s.State != "dropped" || s.Removed <= s.Ended {
		t.Errorf("sector %+v", s.Sector)
	}
	worker, owner := chain.FormatAddress(addressOf(t, "worker"), n.params.Network), chain.FormatAddress(addressOf(t, "owner"), n.params.Network)
	for path, want := range map[string]int{"/v1/deals": 1, "/v1/deals?state=completed": 1, "/v1/deals?miner=t01000": 1, "/v1/market/trades": 1,
		"/v1/miners/t01000/sectors": 2, "/v1/miners/t01000/sectors?state=dropped": 1,
		"/v1/miners?worker=" + worker: 1, "/v1/miners?owner=" + owner: 1, "/v1/miners?owner=" + owner + "&worker=" + worker: 1,
		"/v1/miners?owner=" + worker: 0, "/v1/miners?worker=" + owner: 0} {
		if l := decode[List[json.RawMessage]](t, h, path); len(l.Items) != want {
			t.Errorf("%s: %d items, want %d", path, len(l.Items), want)
		}
	}
}
