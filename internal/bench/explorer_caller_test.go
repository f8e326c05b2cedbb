package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

// TestLoad has callers ask a server, through the form in which another process
// is told to: every answer is counted once, those refused as such.
func TestLoad(t *testing.T) {
	var good, bad atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, _ *http.Request) { good.Add(1); fmt.Fprint(w, strings.Repeat("x", 5000)) })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) { bad.Add(1); http.Error(w, "no", http.StatusTeapot) })
	s := httptest.NewServer(mux)
	defer s.Close()
	in, err := json.Marshal(childConfig{Load: &loadConfig{URL: s.URL, Callers: 3, Time: 500 * time.Millisecond,
		Routes: []loadRoute{{"good", []string{"/good"}}, {"bad", []string{"/bad?a=1", "/bad?a=2"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := RunExplorerChild(t.Context(), bytes.NewReader(append(in, '\n')), &out); err != nil {
		t.Fatal(err)
	}
	var asked loadReport
	if err := json.Unmarshal(out.Bytes(), &asked); err != nil || len(asked.Routes) != 2 {
		t.Fatalf("%+v, %v", asked, err)
	}
	got := asked.Routes
	if int64(asked.Answers) != good.Load()+bad.Load() || asked.Processor <= 0 {
		t.Errorf("%d answers in %s of the processor; want %d", asked.Answers, asked.Processor, good.Load()+bad.Load())
	}
	for i, want := range []struct {
		name    string
		answers int64
		refused bool
	}{{"good", good.Load(), false}, {"bad", bad.Load(), true}} {
		l := got[i]
		if l.Name != want.name || int64(l.Answers) != want.answers || (l.Refused == l.Answers) != want.refused || l.Median > l.P99 || l.P99 > l.Most {
			t.Errorf("%+v; want %d answers, refused %t", l, want.answers, want.refused)
		}
	}
	if want := 5000 * got[0].Answers; got[0].Bytes != want {
		t.Errorf("%d bytes, want %d", got[0].Bytes, want)
	}
	if err := RunExplorerChild(t.Context(), strings.NewReader("{}\n"), &out); err == nil {
		t.Error("a process that is told nothing did something")
	}
}

// TestAnswers has a caller read answers of every form, one behind the other on a
// connection, whole or byte by byte: by hand or by net/http the same is found.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("y", 3*callBuffer)
	for _, of := range []struct {
		answer       string
		status, size int
		plain        bool
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, 5, true},
		{"HTTP/1.1 404 Not Found\r\nDate: now\r\ncontent-length:0\r\nVary: Origin\r\n\r\n", 404, 0, true},
		{"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: " + strconv.Itoa(len(long)) + "\r\n\r\n" + long, 200, len(long), true},
		{"HTTP/1.1 200 \r\nX: content-length: 9\r\nContent-Length: 4\r\n\r\n\r\n\r\n", 200, 4, true},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200, 5, false},
		{"HTTP/1.1 204 No Content\r\n\r\n", 204, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", 200, 2, false},
		{"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nto the end", 200, 10, false},
	} {
		if _, _, plain := plainHead([]byte(of.answer[:strings.Index(of.answer, "\r\n\r\n")+4])); plain != of.plain {
			t.Errorf("%.60q is read by hand: %t, want %t", of.answer, plain, of.plain)
		}
		for name, in := range map[string]io.Reader{"whole": strings.NewReader(of.answer), "byte by byte": iotest.OneByteReader(strings.NewReader(of.answer))} {
			c := silent(in)
			status, size, err := c.ask("/", time.Now())
			if rest := c.in.Buffered(); err != nil || status != of.status || size != of.size || rest > 0 {
				t.Errorf("%.60q, %s: status %d of %d bytes, %d left, %v; want %d of %d", of.answer, name, status, size, rest, err, of.status, of.size)
			}
		}
	}
	for _, bad := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
		"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"HTTP/1.1 200 OK\r\n" + long} {
		c := silent(strings.NewReader(bad))
		if status, size, err := c.ask("/", time.Now()); err == nil {
			t.Errorf("%.60q is read as status %d of %d bytes", bad, status, size)
		}
	}
}

// TestCallerIsCheap makes sure that answers of a known length cost no memory.
func TestCallerIsCheap(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n"
	answer := []byte(head + strings.Repeat("x", 1000))
	in := bytes.NewReader(answer)
	c := silent(in)
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		in.Reset(answer)
		if status, size, err := c.ask("/", now); status != http.StatusOK || size != 1000 || err != nil {
			t.Fatalf("status %d of %d bytes, %v", status, size, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations an answer", n)
	}
}

// silent is a caller who hears what there is to read, whatever it asks.
func silent(in io.Reader) *caller {
	c := newCaller("", nil, nil)
	c.conn, c.in = deaf{}, bufio.NewReaderSize(in, callBuffer)
	return c
}

// deaf is a connection that takes what it is sent.
type deaf struct{ net.Conn }

func (deaf) Write(p []byte) (int, error) { return len(p), nil }
func (deaf) SetDeadline(time.Time) error { return nil }
func (deaf) Close() error                { return nil }
