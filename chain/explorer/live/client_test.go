package live

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// narrow is a listener whose connections hold little, so that a reader who
// does not read is noticed.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		err = errors.Join(err, tcp.SetWriteBuffer(64<<10))
	}
	return c, err
}

// frame is a frame as readers see it.
type frame struct {
	Cursor string          `json:"cursor"`
	Topic  string          `json:"topic"`
	Type   string          `json:"type"`
	Height uint64          `json:"height"`
	Time   string          `json:"time"`
	Data   json.RawMessage `json:"data"`
	Tip    uint64          `json:"tip"`

	raw string
}

func frameOf(t testing.TB, raw string) *frame {
	t.Helper()
	f := &frame{raw: raw}
	must(t, json.Unmarshal([]byte(raw), f))
	return f
}

// reader is a client of either transport.
type reader interface {
	// next is the next frame of a topic, or why the stream ended.
	next() (*frame, *closing)
	begun() // reads the confirmation
	idle()  // reads up to a heartbeat: the stream has sent all that there is
	close()
}

// dial opens a stream.
type dial func(t testing.TB, base, query string) reader

// wsReader reads a WebSocket.
type wsReader struct {
	t    testing.TB
	conn *websocket.Conn
	all  bool // control frames, too
}

func openSocket(t testing.TB, base, query string) reader {
	t.Helper()
	return dialSocket(t, base, query)
}

// thin dials connections that hold little.
func thin() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if tcp, ok := c.(*net.TCPConn); ok {
			err = errors.Join(err, tcp.SetReadBuffer(64<<10))
		}
		return c, err
	}}}
}

func dialSocket(t testing.TB, base, query string) *wsReader {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), base+"/v1/live?"+query, &websocket.DialOptions{HTTPClient: thin()})
	if err != nil {
		body := []byte(nil)
		if resp != nil {
			body, _ = io.ReadAll(resp.Body)
		}
		t.Fatalf("dial: %v %s", err, body)
	}
	conn.SetReadLimit(16 << 20)
	r := &wsReader{t: t, conn: conn}
	t.Cleanup(r.close)
	return r
}

func (r *wsReader) say(request string) {
	r.t.Helper()
	must(r.t, r.conn.Write(r.t.Context(), websocket.MessageText, []byte(request)))
}

func (r *wsReader) next() (*frame, *closing) {
	r.t.Helper()
	for {
		_, raw, err := r.conn.Read(r.t.Context())
		var end websocket.CloseError
		if errors.As(err, &end) {
			_, cursor, _ := strings.Cut(end.Reason, "resume from ")
			return nil, &closing{code: int(end.Code), text: end.Reason, cursor: cursor}
		}
		if err != nil {
			return nil, &closing{text: err.Error()}
		}
		if f := frameOf(r.t, string(raw)); r.all || f.Topic != "subscribed" && f.Topic != "heartbeat" {
			return f, nil
		}
	}
}

func (r *wsReader) begun() {
	r.t.Helper()
	r.all = true
	if f, end := r.next(); end != nil || f.Topic != "subscribed" {
		r.t.Fatalf("first %+v, %+v", f, end)
	}
	r.all = false
}

func (r *wsReader) idle() {
	r.t.Helper()
	r.all = true
	for {
		f, end := r.next()
		if end != nil {
			r.t.Fatal(end)
		}
		if f.Topic == "heartbeat" {
			break
		}
	}
	r.all = false
}

func (r *wsReader) close() { r.conn.CloseNow() }

// eventReader reads server-sent events.
type eventReader struct {
	t      testing.TB
	cancel func()
	body   io.ReadCloser
	lines  *bufio.Reader
}

func openEvents(t testing.TB, base, query string) reader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/events/stream?"+query, nil)
	must(t, err)
	// As browsers do it: the cursor comes back in a header.
	if values, err := url.ParseQuery(query); err == nil && values.Get("cursor") != "" {
		req.Header.Set("Last-Event-ID", values.Get("cursor"))
		values.Del("cursor")
		req.URL.RawQuery = values.Encode()
	}
	resp, err := thin().Do(req)
	must(t, err)
	r := &eventReader{t, cancel, resp.Body, bufio.NewReader(resp.Body)}
	t.Cleanup(r.close)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %s, type %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	return r
}

func (r *eventReader) begun() {
	r.t.Helper()
	for {
		if event := r.event(); event == nil || event["event"] == "subscribed" {
			return
		}
	}
}

func (r *eventReader) idle() {
	r.t.Helper()
	for {
		event := r.event()
		if event == nil {
			r.t.Fatal("the stream broke off")
		}
		if event["event"] == "heartbeat" {
			return
		}
	}
}

// event reads one event, or nil at the end.
func (r *eventReader) event() map[string]string {
	r.t.Helper()
	out := map[string]string{}
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return nil
		}
		if line = strings.TrimSuffix(line, "\n"); line == "" {
			return out
		}
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			r.t.Fatalf("event has line %q", line)
		}
		out[name] = value
	}
}

func (r *eventReader) next() (*frame, *closing) {
	r.t.Helper()
	for {
		event := r.event()
		switch {
		case event == nil:
			return nil, &closing{text: "the stream broke off"}
		case event["event"] == "" && event["data"] != "":
			f := frameOf(r.t, event["data"])
			if f.Cursor != event["id"] {
				r.t.Fatalf("id %q of frame %s", event["id"], f.raw)
			}
			return f, nil
		case event["event"] == "close":
			var g goodbye
			must(r.t, json.Unmarshal([]byte(event["data"]), &g))
			return nil, &closing{code: g.Code, text: g.Reason, cursor: g.Cursor}
		}
	}
}

func (r *eventReader) close() {
	r.cancel()
	r.body.Close()
}

// take reads so many frames.
func take(t testing.TB, r reader, n int) []*frame {
	t.Helper()
	var out []*frame
	for len(out) < n {
		f, end := r.next()
		if end != nil {
			t.Fatalf("after %d of %d frames: %d %s", len(out), n, end.code, end.text)
		}
		out = append(out, f)
	}
	return out
}

func raws(frames []*frame) (out []string) {
	for _, f := range frames {
		out = append(out, f.raw)
	}
	return out
}
