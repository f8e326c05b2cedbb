package explorer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/getkin/kin-openapi/openapi3"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/state"
)

// frame is a frame of a live stream.
type frame struct {
	Cursor string          `json:"cursor"`
	Topic  string          `json:"topic"`
	Type   string          `json:"type"`
	Height chain.Height    `json:"height"`
	Time   string          `json:"time"`
	Data   json.RawMessage `json:"data"`

	raw string
}

// events reads server-sent events.
type events struct {
	t     testing.TB
	resp  *http.Response
	lines *bufio.Scanner
}

// subscribe opens a stream of a node.
func subscribe(t testing.TB, base, query string) *events {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/events/stream?"+query, nil)
	must(t, err)
	resp, err := client.Do(req)
	must(t, err)
	e := &events{t, resp, bufio.NewScanner(resp.Body)}
	e.lines.Buffer(nil, 1<<20)
	t.Cleanup(e.close)
	if resp.StatusCode != http.StatusOK {
		e.lines.Scan()
		t.Fatalf("%s: %s %s", query, resp.Status, e.lines.Text())
	}
	return e
}

func (e *events) close() { e.resp.Body.Close() }

// next is the next frame of a topic, nil at the stream's end.
func (e *events) next() *frame {
	e.t.Helper()
	control := false
	for e.lines.Scan() {
		line := e.lines.Text()
		if strings.HasPrefix(line, "event: ") {
			control = true
		}
		raw, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		if control {
			control = false
			continue
		}
		f := &frame{raw: raw}
		must(e.t, json.Unmarshal([]byte(raw), f))
		return f
	}
	return nil
}

// upTo reads a whole stream up to a block, which must be among its topics.
func (e *events) upTo(h chain.Height) (out []*frame) {
	e.t.Helper()
	for {
		f := e.next()
		if f == nil {
			e.t.Fatalf("the stream ended after %d frames: %v", len(out), e.lines.Err())
		}
		if f.Type == "block" && f.Height > h {
			return out
		}
		out = append(out, f)
	}
}

const everything = "topics=block,message,event,trades,book"

// told reads everything that a populated chain has to tell.
func told(t testing.TB, n *network, base, query string) []*frame {
	t.Helper()
	last := n.store.View().Height()
	n.block()
	return subscribe(t, base, query).upTo(last)
}

// TestLive holds the stream of a populated chain against the API's answers and
// against the document.
func TestLive(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, s := serve(t, n)
	doc := document(t)
	byBlock := map[chain.Height]map[string][]json.RawMessage{}
	for _, f := range told(t, n, s.URL, everything+"&from=1") {
		if byBlock[f.Height] == nil {
			byBlock[f.Height] = map[string][]json.RawMessage{}
		}
		byBlock[f.Height][f.Type] = append(byBlock[f.Height][f.Type], f.Data)
		var v any
		must(t, json.Unmarshal([]byte(f.raw), &v))
		if err := doc.ValidateSchemaJSON(doc.Components.Schemas["Frame"].Value, v, openapi3.EnableJSONSchema2020()); err != nil {
			t.Fatalf("frame does not fit its schema: %v\n%s", err, f.raw)
		}
	}
	kinds := map[string]int{}
	for h, told := range byBlock {
		for kind, list := range told {
			kinds[kind] += len(list)
			if kind != "message" && kind != "event" {
				continue
			}
			want := decode[List[json.RawMessage]](t, api.Handler(), fmt.Sprintf("/v1/blocks/%d/%ss?limit=500", h, kind)).Items
			if kind == "event" { // the stream tells what the index derived, too
				list = list[:min(len(list), len(want))]
			}
			if !slices.EqualFunc(list, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
				t.Errorf("block %d: stream tells %ss\n%s\nthe API\n%s", h, kind, list, want)
			}
		}
	}
	trade := decode[List[json.RawMessage]](t, api.Handler(), "/v1/market/trades").Items
	found := slices.ContainsFunc(slices.Collect(maps.Values(byBlock)), func(told map[string][]json.RawMessage) bool {
		return len(told["trade"]) == 1 && bytes.Equal(told["trade"][0], trade[0])
	})
	if !found || kinds["trade"] != 1 || kinds["level"] < 4 || kinds["block"] != len(byBlock) || kinds["event"] < 20 {
		t.Errorf("stream tells %v", kinds)
	}
}

// TestLiveParties checks whom the events are told that name a party only by
// what they are about.
func TestLiveParties(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	_, s := serve(t, n)
	address := func(name string) string {
		return "address:" + chain.FormatAddress(addressOf(t, name), n.params.Network)
	}
	for topic, want := range map[string][]string{
		address("client"): {"orderPlaced", "orderCancelled", "orderFilled", "dealMatched", "dealAccepted", "dealActive", "channelOpened",
			"voucherRedeemed", "channelSettling", "channelCollected"},
		address("worker"): {"channelOpened", "voucherRedeemed", "channelSettling"},
		"miner:t01000":    {"minerCreated", "orderPlaced", "dealMatched", "dealAccepted", "sectorCommitted", "sectorActive", "dealActive", "sectorProven"},
		"address:t01000":  {"minerCreated", "orderPlaced", "dealMatched", "dealAccepted", "sectorCommitted", "sectorActive", "dealActive", "sectorProven"},
		"deal:1":          {"dealMatched", "dealAccepted", "dealActive"},
		"sector:t01000/7": {"sectorCommitted", "sectorActive", "dealActive", "sectorProven"},
		"sector:t01000/8": {"sectorCommitted"},
		"deal:2":          nil,
	} {
		kinds := map[string]bool{}
		for _, f := range told(t, n, s.URL, "from=1&topics=block,"+topic) {
			if f.Type != "event" {
				continue
			}
			var e Event
			must(t, json.Unmarshal(f.Data, &e))
			kinds[e.Kind] = true
			if f.Topic != topic {
				t.Errorf("%s: topic %s", topic, f.Topic)
			}
			if strings.HasPrefix(topic, "sector:") && (e.Sector == nil || fmt.Sprintf("sector:%s/%d", e.Miner, *e.Sector) != topic) {
				t.Errorf("%s is told of %s", topic, f.Data)
			}
		}
		for _, kind := range want {
			if !kinds[kind] {
				t.Errorf("%s is not told of %s, but of %v", topic, kind, slices.Sorted(maps.Keys(kinds)))
			}
		}
		if want == nil && len(kinds) > 0 {
			t.Errorf("%s is told of %v", topic, kinds)
		}
	}
}

// TestLiveBook adds what the stream tells to an empty book and has, after each
// block, the book.
func TestLiveBook(t *testing.T) {
	n := newNetwork(t)
	type place struct {
		side  string
		price chain.Amount
	}
	want := map[chain.Height]map[place]Level{}
	note := func() {
		v := n.store.View()
		all := map[place]Level{}
		for _, l := range levels(v.Book().BidLevels(100)) {
			all[place{"bid", l.Price}] = l
		}
		for _, l := range levels(v.Book().AskLevels(100)) {
			all[place{"ask", l.Price}] = l
		}
		want[v.Height()] = all
	}
	n.blocked = note
	n.populate()
	for i := range uint64(5) {
		n.all(n.message("client", 0, n.bid(1+i%2)), n.message("worker", 0, n.ask(3+i%2)))
	}
	n.all(n.message("client", 0, &chain.CancelOrder{Order: 5}))
	for range 110 { // orders expire
		n.block()
	}
	n.blocked = nil
	_, s := serve(t, n)
	have, most := map[place]Level{}, 0
	check := func(h chain.Height) {
		if !maps.Equal(have, want[h]) {
			t.Fatalf("after block %d the stream has the book %v, the node %v", h, have, want[h])
		}
		most = max(most, len(have))
	}
	at := chain.Height(1)
	for _, f := range told(t, n, s.URL, "from=1&topics=block,book") {
		if f.Type == "block" {
			if f.Height > at {
				check(at)
			}
			at = f.Height
			continue
		}
		var l BookLevel
		must(t, json.Unmarshal(f.Data, &l))
		is := have[place{l.Side, l.Price}]
		is.Price, is.Size, is.Orders = l.Price, is.Size+l.Added-l.Removed, is.Orders+l.OrdersAdded-l.OrdersRemoved
		if have[place{l.Side, l.Price}] = is; is.Orders == 0 {
			delete(have, place{l.Side, l.Price})
		}
	}
	check(at)
	if most < 4 {
		t.Errorf("the book never had more than %d levels", most)
	}
}

// TestLiveRefuses asks for topics that there are not.
func TestLiveRefuses(t *testing.T) {
	api, _ := serve(t, newNetwork(t))
	for _, topics := range []string{"blocks", "block:1", "deal:x", "deal", "sector:t01000", "sector:7", "miner:7", "address:x"} {
		code, body := get(t, api.Handler(), "/v1/events/stream?topics="+topics)
		var p Problem
		must(t, json.Unmarshal([]byte(body), &p))
		if code != http.StatusBadRequest || p.Detail == "" {
			t.Errorf("%s: %d %s", topics, code, body)
		}
	}
	code, body := get(t, api.Handler(), "/v1/live")
	if code != http.StatusUpgradeRequired || !strings.Contains(body, "/v1/events/stream") {
		t.Errorf("/v1/live: %d %s", code, body)
	}
}

// crashing is a node that loses, at each crash, what was not synced.
type crashing struct {
	t             testing.TB
	n             *network
	state, tables *vfs.MemFS
	close         func()
	base          string
	behind        bool // the index, when it was opened
}

// open starts the node on what its disks hold.
func (c *crashing) open() {
	c.t.Helper()
	var err error
	c.n.store, err = state.Open(state.Config{Dir: "state", Params: c.n.params, FS: c.state, Cache: 1 << 20})
	must(c.t, err)
	x, err := index.Open(index.Config{Dir: "index", FS: c.tables, ChainID: c.n.params.ChainID})
	must(c.t, err)
	_, tip, ok := x.Tip()
	c.behind = !ok || tip < c.n.store.View().Height()
	api, err := New(Config{Backend: c.n, Index: x, Limits: Limits{PerSecond: 1e6, Burst: 1e6}})
	must(c.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Run(ctx) }()
	s := httptest.NewServer(api.Handler())
	c.base = s.URL
	c.close = func() {
		s.CloseClientConnections()
		s.Close()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			c.t.Errorf("Run = %v", err)
		}
		must(c.t, errors.Join(api.Close(), c.n.store.Close()))
	}
}

// crash cuts the power.
func (c *crashing) crash(r *rand.Rand) {
	cut := func(fs *vfs.MemFS) *vfs.MemFS {
		return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
	}
	tables, disk := cut(c.tables), cut(c.state)
	c.close()
	c.tables, c.state = tables, disk
}

// TestLiveCrash crashes a node, its state and its index, again and again under
// a reader who comes back with its last cursor: it has seen each frame once.
func TestLiveCrash(t *testing.T) {
	whole := newNetwork(t)
	whole.populate()
	last := whole.store.View().Height()
	_, s := serve(t, whole)
	var want []string
	for _, f := range told(t, whole, s.URL, everything+"&from=1") {
		want = append(want, f.raw)
	}
	blocks := whole.blocks
	r := rand.New(rand.NewPCG(6, 6))
	c := &crashing{t: t, n: newNetwork(t), state: vfs.NewCrashableMem(), tables: vfs.NewCrashableMem()}
	first, err := state.Open(state.Config{Dir: "state", Params: c.n.params, FS: c.state, Cache: 1 << 20})
	must(t, err)
	u, err := consensus.GenesisUpdate(c.n.genesis)
	must(t, err)
	_, err = first.Genesis(u)
	must(t, err)
	must(t, first.Close())
	own := c.n.store
	defer func() { c.n.store = own }() // which the network closes

	var got []string
	place, crashes, lost := "from=1", 0, 0
	for len(got) < len(want) {
		c.open()
		if c.behind {
			lost++
		}
		reader := subscribe(t, c.base, everything+"&"+place)
		for range 1 + r.IntN(12) {
			if h := c.n.store.View().Height() + 1; h <= last {
				c.n.block(blocks[h]...)
			}
		}
		for range r.IntN(30) {
			if len(got) == len(want) {
				break
			}
			f := reader.next()
			if f == nil {
				t.Fatalf("after %d of %d frames: the stream ended", len(got), len(want))
			}
			got, place = append(got, f.raw), "cursor="+f.Cursor
			if f.Height == c.n.store.View().Height() && f.Height < last {
				break // there may be no further frame
			}
		}
		reader.close()
		c.crash(r)
		crashes++
	}
	if !slices.Equal(got, want) {
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("frame %d of %d is\n%s\nwant\n%s", i, len(want), got[i], want[i])
			}
		}
	}
	t.Logf("%d frames over %d crashes, after %d of which the index was behind", len(want), crashes, lost)
	if crashes < 10 {
		t.Errorf("%d crashes", crashes)
	}
}

// TestStreams bounds the live streams of one caller, by whichever path.
func TestStreams(t *testing.T) {
	api, _ := serve(t, newNetwork(t), func(c *Config) { c.Limits = Limits{PerSecond: 1e6, Burst: 1e6, Streams: 1} })
	ask := func(ctx context.Context, method string) int {
		w := httptest.NewRecorder()
		api.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, "/v1/events/stream?topics=block", nil))
		return w.Code
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		code := http.StatusTooManyRequests
		for code == http.StatusTooManyRequests { // a look of the other's came first
			code = ask(ctx, http.MethodGet)
		}
		done <- code
	}()
	for ask(t.Context(), http.MethodHead) != http.StatusTooManyRequests {
		runtime.Gosched() // until the first is open
	}
	cancel()
	if code := <-done; code != http.StatusOK {
		t.Errorf("the first stream: %d", code)
	}
	if code := ask(t.Context(), http.MethodHead); code != http.StatusOK {
		t.Errorf("after it: %d", code)
	}
}
