package live

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/perdure/perdure/chain"
)

// transports are the two ways to read.
var transports = map[string]dial{transportSocket: openSocket, transportEvents: openEvents}

// told are the frames that some topics take of the story up to a height, as
// type and height and number in the block, told apart from the code under test.
func told(upTo chain.Height, topics ...string) (out []string) {
	for h := chain.Height(1); h <= upTo; h++ {
		for i, it := range story(h) {
			for _, topic := range topics {
				if slices.Contains(it.Keys, topic) {
					out = append(out, fmt.Sprintf("%s %s %d.%d", topic, it.Type, h, i))
					break
				}
			}
		}
	}
	return out
}

// TestFrames reads the same story by both transports.
func TestFrames(t *testing.T) {
	c := newChain(story)
	c.set(1, 8)
	h, s := serve(t, c)
	for _, topics := range [][]string{{"block"}, {"message"}, {"event", "message", "block"}, {"address:1", "deal:7"}, {"deal:8", "address:0"}} {
		want := told(8, topics...)
		query := "topics=" + strings.Join(topics, ",") + "&from=1"
		var read [][]string
		for name, open := range transports {
			frames := take(t, open(t, s.URL, query), len(want))
			for i, f := range frames {
				at, err := h.mark.parse(f.Cursor)
				must(t, err)
				if got := fmt.Sprintf("%s %s %d.%d", f.Topic, f.Type, f.Height, at.Seq-1); got != want[i] || at.Height != chain.Height(f.Height) {
					t.Fatalf("%s, %s: frame %d is %s, want %s", name, query, i, f.raw, want[i])
				}
			}
			read = append(read, raws(frames))
		}
		if !slices.Equal(read[0], read[1]) {
			t.Errorf("%s: transports differ:\n%s\n%s", query, read[0], read[1])
		}
	}
}

// TestResume breaks a stream after each frame and goes on with its cursor.
func TestResume(t *testing.T) {
	c := newChain(story)
	c.set(1, 7)
	_, s := serve(t, c)
	want := told(7, "address:1", "block")
	for name, open := range transports {
		whole := raws(take(t, open(t, s.URL, "topics=address:1,block&from=1"), len(want)))
		for n := 1; n < len(want); n++ {
			r := open(t, s.URL, "topics=address:1,block&from=1")
			begun := take(t, r, n)
			r.close()
			r = open(t, s.URL, "topics=address:1,block&cursor="+begun[n-1].Cursor)
			got := append(raws(begun), raws(take(t, r, len(want)-n))...)
			r.close()
			if !slices.Equal(got, whole) {
				t.Fatalf("%s: broken after %d frames:\n%s\nwhole:\n%s", name, n, got, whole)
			}
		}
	}
}

// TestAhead has the index lose blocks after a crash whose frames were sent:
// who comes back with a cursor above its tip waits for what comes after it.
func TestAhead(t *testing.T) {
	for name, open := range transports {
		c := newChain(story)
		c.set(1, 5)
		_, s := serve(t, c)
		r := open(t, s.URL, "topics=message,block&from=1")
		before := take(t, r, len(told(5, "message", "block")))
		r.close()
		c.set(1, 3)
		r = open(t, s.URL, "topics=message,block&cursor="+before[len(before)-1].Cursor)
		for h := chain.Height(4); h <= 8; h++ {
			c.set(1, h)
		}
		want := told(8, "message", "block")
		after := take(t, r, len(want)-len(before))
		if got := after[0]; got.Height != 6 {
			t.Errorf("%s: goes on with %s, want block 6", name, got.raw)
		}
	}
}

// TestAheadWhileOpen has the tip fall under a stream that is open, and be
// rebuilt from nothing.
func TestAheadWhileOpen(t *testing.T) {
	c := newChain(story)
	c.set(1, 5)
	_, s := serve(t, c)
	r := openSocket(t, s.URL, "topics=block&from=1")
	take(t, r, 5)
	for _, tip := range []chain.Height{3, 0, 4, 5, 6} {
		c.set(1, tip)
	}
	if f := take(t, r, 1)[0]; f.Height != 6 {
		t.Errorf("goes on with %s, want block 6", f.raw)
	}
}

// TestWaitsForIndex subscribes before there is anything: the stream begins at
// the first head that there is.
func TestWaitsForIndex(t *testing.T) {
	c := newChain(story)
	c.set(1, 0)
	_, s := serve(t, c, func(c *Config) { c.Limits.Heartbeat = time.Millisecond })
	r := dialSocket(t, s.URL, "topics=block")
	r.all = true
	if f, _ := r.next(); f.Topic != "subscribed" || f.Cursor != "" {
		t.Fatalf("first %s", f.raw)
	}
	c.set(4, 9)
	for {
		f, end := r.next()
		if end != nil {
			t.Fatal(end)
		}
		if f.Cursor != "" {
			break
		}
	}
	c.set(4, 10)
	r.all = false
	if f := take(t, r, 1)[0]; f.Height != 10 {
		t.Errorf("begins with %s", f.raw)
	}
}

// TestPruned asks for what is no longer kept.
func TestPruned(t *testing.T) {
	c := newChain(story)
	c.set(5, 9)
	h, s := serve(t, c)
	old := string(h.mark.text(nil, Cursor{Height: 4}))
	_, end := openSocket(t, s.URL, "topics=block&cursor="+old).next()
	if end == nil || end.code != CodePruned || !strings.Contains(end.text, "oldest height is 5") {
		t.Errorf("closed with %+v", end)
	}
	resp, err := http.Get(s.URL + "/v1/events/stream?topics=block&cursor=" + old)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusGone {
		t.Errorf("events: %s", resp.Status)
	}
	if got := testutil.ToFloat64(h.metrics.cut.WithLabelValues(cutPruned)); got != 1 {
		t.Errorf("%v streams cut as pruned", got)
	}
}

// TestGap comes to blocks that the feed never took in.
func TestGap(t *testing.T) {
	c := newChain(story)
	c.gap = 3
	c.set(1, 5)
	_, s := serve(t, c)
	for name, open := range transports {
		r := open(t, s.URL, "topics=block&from=1")
		take(t, r, 2)
		if _, end := r.next(); end == nil || end.code != CodePruned || !strings.Contains(end.text, "oldest height is 4") {
			t.Errorf("%s: closed with %+v", name, end)
		}
	}
}

// TestRefused asks for what has no meaning, of both transports.
func TestRefused(t *testing.T) {
	c := newChain(story)
	c.set(1, 3)
	h, s := serve(t, c)
	other := string(newMarker("other").text(nil, Cursor{Height: 1}))
	beyond := string(h.mark.text(nil, Cursor{Height: 2, Seq: 99}))
	for _, query := range []string{"topics=nonsense", "topics=", "", "cursor=" + beyond, "topics=block&cursor=" + other, "topics=block&cursor=AAAA",
		"topics=block&cursor=%00", "topics=block&x=1", "topics=block&topics=event", "topics=block&from=-1", "topics=block&from=1&cursor=" + beyond,
		"topics=" + strings.Repeat("block,", 64) + "block", "%zz"} {
		resp, err := http.Get(s.URL + "/v1/events/stream?" + query)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("events %q: %s", query, resp.Status)
		}
	}
	for _, request := range []string{"", "{", `{}`, `{"op":"subscribe","topics":["nonsense"]}`, `{"op":"subscribe","topics":["block"],"cursor":"` + other + `"}`,
		`{"op":"subscribe","topics":["block"],"more":1}`, `{"op":"shout","topics":["block"]}`, `{"op":"unsubscribe","topics":["block"],"from":1}`,
		`{"op":"subscribe","topics":["block"]}{}`, `{"op":"subscribe","topics":["block"],"cursor":"` + beyond + `"}`, `{"op":"subscribe","topics":[],"from":9223372036854775807}`} {
		r := dialSocket(t, s.URL, "")
		r.say(request)
		if _, end := r.next(); end == nil || end.code != CodeRefused {
			t.Errorf("%s: closed with %+v", request, end)
		}
	}
	r := dialSocket(t, s.URL, "")
	r.say(`{"op":"subscribe","topics":["` + strings.Repeat("x", int(h.limits.Request)) + `"]}`)
	if _, end := r.next(); end == nil || end.code != 1009 {
		t.Errorf("a large request: closed with %+v", end)
	}
	resp, err := http.Get(s.URL + "/v1/live")
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("plain GET of the WebSocket: %s", resp.Status)
	}
}

// TestReason: the text of a close frame is short and UTF-8, whatever a topic was.
func TestReason(t *testing.T) {
	for cut := range 3 {
		why := &closing{text: strings.Repeat("x", cut) + strings.Repeat("\u20ac", 60), cursor: string(newMarker("test").text(nil, Cursor{maxHeight, 1}))}
		if text := why.reason(); len(text) > 123 || !utf8.ValidString(text) || !strings.HasSuffix(text, why.cursor) {
			t.Errorf("%q of %d bytes", text, len(text))
		}
	}
}

// TestPace makes requests faster than a reader may: all are answered, none sooner
// than it is its turn.
func TestPace(t *testing.T) {
	c := newChain(story)
	c.set(1, 1)
	_, s := serve(t, c, func(c *Config) { c.Limits.Requests = 10 })
	r := dialSocket(t, s.URL, "")
	r.all = true
	start := time.Now()
	for range 20 {
		r.say(`{"op":"subscribe","topics":["block"]}`)
	}
	take(t, r, 20)
	if took := time.Since(start); took < 900*time.Millisecond {
		t.Errorf("20 requests of 10 a second, and 10 at once, took %s", took)
	}
}

// TestTopicsChange subscribes further, unsubscribes and jumps on one WebSocket.
func TestTopicsChange(t *testing.T) {
	c := newChain(story)
	c.set(1, 4)
	_, s := serve(t, c)
	r := dialSocket(t, s.URL, "")
	r.all = true
	r.say(`{"op":"subscribe","topics":["block"]}`)
	f, _ := r.next()
	if string(f.Data) != `{"topics":["block"]}` || f.Cursor == "" {
		t.Fatalf("answer %s", f.raw)
	}
	c.set(1, 5)
	if f, _ := r.next(); f.Topic != "block" || f.Height != 5 {
		t.Fatalf("frame %s", f.raw)
	}
	r.say(`{"op":"subscribe","topics":["DEAL:7","block"],"from":2}`)
	if f, _ = r.next(); string(f.Data) != `{"topics":["block","DEAL:7"]}` {
		t.Fatalf("answer %s", f.raw)
	}
	var got []string
	for _, f := range take(t, r, 7) {
		got = append(got, fmt.Sprint(f.Topic, f.Height))
	}
	if want := []string{"block2", "DEAL:72", "block3", "block4", "DEAL:74", "block5", "DEAL:75"}; !slices.Equal(got, want) {
		t.Errorf("after the jump %v, want %v", got, want)
	}
	r.say(`{"op":"unsubscribe","topics":["block"]}`)
	if f, _ = r.next(); string(f.Data) != `{"topics":["DEAL:7"]}` {
		t.Fatalf("answer %s", f.raw)
	}
	c.set(1, 7)
	if f, _ := r.next(); f.Topic != "DEAL:7" || f.Height != 7 {
		t.Errorf("frame %s", f.raw)
	}
}

// TestHeartbeat has a reader whose topic nothing takes resume near the head.
func TestHeartbeat(t *testing.T) {
	c := newChain(story)
	c.set(1, 4)
	h, s := serve(t, c, func(c *Config) { c.Limits.Heartbeat = time.Millisecond })
	r := dialSocket(t, s.URL, "topics=deal:404")
	r.all = true
	c.set(1, 1000)
	for {
		f, end := r.next()
		if end != nil {
			t.Fatal(end)
		}
		at, err := h.mark.parse(f.Cursor)
		must(t, err)
		if f.Topic == "heartbeat" && f.Tip == 1000 && at == (Cursor{Height: 1001}) {
			return
		}
	}
}

// large makes blocks of a size.
func large(size int) func(chain.Height) []Item {
	filler := strings.Repeat(".", size)
	return func(h chain.Height) []Item {
		return []Item{{"block", filler, []string{"block"}}, {"event", h, []string{"event"}}}
	}
}

// TestSlow lets a reader fall behind the head: it is cut with a code, and goes
// on from the cursor without a gap.
func TestSlow(t *testing.T) {
	for name, open := range transports {
		c := newChain(large(1 << 20)) // more than sockets hold
		c.set(1, 1)
		h, s := serve(t, c, func(c *Config) { c.Limits.Write, c.Limits.Lag, c.Limits.Heartbeat = time.Minute, 5, time.Millisecond })
		r := open(t, s.URL, "topics=block,event")
		r.idle() // from now on it must keep up
		c.set(1, 2)
		for c.readsSoFar() == 0 {
			runtime.Gosched() // until the stream is busy with block 2, which nobody takes
		}
		const last = 10
		c.set(1, last)
		var frames []*frame
		var end *closing
		for end == nil {
			var f *frame
			if f, end = r.next(); end == nil {
				frames = append(frames, f)
			}
		}
		if end.code != CodeSlow || end.cursor == "" || len(frames) != 2 {
			t.Fatalf("%s: after %d frames %+v", name, len(frames), end)
		}
		if got := testutil.ToFloat64(h.metrics.cut.WithLabelValues(cutSlow)); got != 1 {
			t.Errorf("%s: %v streams cut as slow", name, got)
		}
		// Reading old blocks is not being slow.
		frames = append(frames, take(t, open(t, s.URL, "topics=block,event&cursor="+end.cursor), 2*(last-1)-len(frames))...)
		for i, f := range frames {
			if want := uint64(i/2 + 2); f.Height != want || (f.Topic == "block") != (i%2 == 0) {
				t.Fatalf("%s: frame %d is %s of height %d, want height %d", name, i, f.Topic, f.Height, want)
			}
		}
	}
}

// TestStuck counts what the node keeps for readers who never read: it does not
// grow with the blocks.
func TestStuck(t *testing.T) {
	c := newChain(large(64 << 10))
	c.set(1, 1)
	h, s := serve(t, c, func(c *Config) { c.Limits.Write, c.Limits.RingBytes = time.Hour, 1<<20 })
	const readers = 40
	for i := range readers {
		open := openSocket
		if i%2 == 0 {
			open = openEvents
		}
		open(t, s.URL, "topics=block&from=1")
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for tip := chain.Height(2); tip <= 500; tip++ {
		c.set(1, tip)
		if tip%50 > 0 {
			continue
		}
		if after := heap(); after > before+(16<<20) { // a queue for each would hold 128 MiB by the first look
			t.Fatalf("height %d: heap grew from %d to %d bytes", tip, before, after)
		}
	}
	h.ring.mu.Lock()
	defer h.ring.mu.Unlock()
	if used, slots := h.ring.used, len(h.ring.slots); used > 2<<20 || slots > h.limits.Ring {
		t.Errorf("ring holds %d bytes in %d blocks", used, slots)
	}
}

// TestStuckIsCut has the deadline end a stream whose reader does not read.
func TestStuckIsCut(t *testing.T) {
	for _, open := range transports {
		c := newChain(large(2 << 20))
		c.set(1, 5)
		h, s := serve(t, c, func(c *Config) { c.Limits.Write = 200 * time.Millisecond })
		open(t, s.URL, "topics=block&from=1")
		for testutil.ToFloat64(h.metrics.cut.WithLabelValues(cutStuck)) == 0 {
			runtime.Gosched()
		}
	}
}

// TestCounted bounds the streams.
func TestCounted(t *testing.T) {
	c := newChain(story)
	c.set(1, 3)
	h, s := serve(t, c, func(c *Config) { c.Limits.Streams = 2 })
	status := func(method string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/v1/events/stream?topics=block", nil)
		must(t, err)
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	a, b := openSocket(t, s.URL, "topics=block&from=1"), openEvents(t, s.URL, "topics=block&from=1")
	take(t, a, 1)
	take(t, b, 1)
	for _, transport := range []string{transportSocket, transportEvents} {
		if got := testutil.ToFloat64(h.metrics.streams.WithLabelValues(transport)); got != 1 {
			t.Errorf("%v streams by %s", got, transport)
		}
	}
	if got := status(http.MethodGet); got != http.StatusServiceUnavailable {
		t.Errorf("third stream: %d", got)
	}
	if got := status(http.MethodPost); got != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got)
	}
	a.close()
	b.close()
	for status(http.MethodHead) != http.StatusOK {
		runtime.Gosched() // until the node has noticed
	}
}

// TestClose ends streams with a code and a cursor, and takes no more.
func TestClose(t *testing.T) {
	c := newChain(story)
	c.set(1, 3)
	h, s := serve(t, c)
	var open []reader
	for _, dial := range transports {
		r := dial(t, s.URL, "topics=block&from=1")
		take(t, r, 3)
		open = append(open, r)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		h.Close()
	}()
	for _, r := range open {
		if _, end := r.next(); end == nil || end.code != CodeStopping {
			t.Errorf("closed with %+v", end)
		} else if at, err := h.mark.parse(end.cursor); err != nil || at != (Cursor{Height: 4}) {
			t.Errorf("cursor %+v, %v", at, err)
		}
		r.close()
	}
	<-closed
	resp, err := http.Get(s.URL + "/v1/events/stream?topics=block")
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Close: %s", resp.Status)
	}
}

// FuzzLive gives requests and cursors of any form.
func FuzzLive(f *testing.F) {
	h, err := New(Config{Feed: newChain(story), ChainID: "test"})
	must(f, err)
	f.Cleanup(h.Close)
	f.Add([]byte(`{"op":"subscribe","topics":["block"],"from":1}`))
	f.Add([]byte(`{"op":"unsubscribe","topics":["block","DEAL:7"]}`))
	f.Add(h.mark.text([]byte("topics=block&cursor="), Cursor{5, 6}))
	f.Add(h.mark.text(nil, Cursor{maxHeight, 1<<32 - 1}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := h.mark.parse(string(raw)); err == nil && string(h.mark.text(nil, c)) != string(raw) {
			t.Errorf("cursor %q is %+v, which is written otherwise", raw, c)
		}
		check := func(c *change) {
			if c == nil || c.err != nil {
				return
			}
			if len(c.add)+len(c.remove) > h.limits.Topics || c.at != nil && c.at.Height > maxHeight {
				t.Errorf("%q: %d topics added, %d removed, at %+v", raw, len(c.add), len(c.remove), c.at)
			}
			s := &stream{hub: h, sink: nowhere{}}
			if err := s.apply(c); err != nil {
				t.Errorf("%q: %v", raw, err)
			}
		}
		check(h.parse(raw))
		r, err := http.NewRequest(http.MethodGet, "/", nil)
		must(t, err)
		r.URL.RawQuery = string(raw)
		if c, err := h.asked(r); err == nil {
			check(c)
		}
	})
}

// nowhere is a sink that takes all.
type nowhere struct{}

func (nowhere) put(string, []byte, []byte) error { return nil }
func (nowhere) flush() error                     { return nil }

// BenchmarkSubscribers has 1,000 WebSockets take a block of 300 items each time:
// the time of an operation is until the last of them has the last.
func BenchmarkSubscribers(b *testing.B) {
	const readers, items = 1000, 300
	c := newChain(func(h chain.Height) []Item {
		out := make([]Item, items)
		for i := range out {
			out[i] = Item{"event", fmt.Sprintf("%d.%d %s", h, i, strings.Repeat("x", 200)), []string{"event"}}
		}
		return out
	})
	c.set(1, 1)
	_, s := serve(b, c, func(c *Config) { c.Limits.Write = time.Minute })
	var there, taken sync.WaitGroup
	for range readers {
		r := dialSocket(b, s.URL, "topics=event")
		r.begun()
		there.Go(func() {
			for n := 1; ; n++ {
				if _, _, err := r.conn.Read(b.Context()); err != nil {
					return
				}
				if n%items == 0 {
					taken.Done()
				}
			}
		})
	}
	b.ResetTimer()
	for i := range b.N {
		taken.Add(readers)
		c.set(1, chain.Height(i+2))
		taken.Wait()
	}
	b.StopTimer()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MiB")
	b.ReportMetric(float64(b.N)*readers*items/b.Elapsed().Seconds(), "frames/s")
}
