package explorer

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// TestSlowReaders asks for more than sockets hold and reads nothing: the writer
// is freed, whether the answer has an end or is a stream.
func TestSlowReaders(t *testing.T) {
	api, _ := serve(t, newNetwork(t), func(c *Config) {
		c.Limits = Limits{PerSecond: 1e6, Burst: 1e6, Time: 50 * time.Millisecond}
	})
	const much = 64 << 20
	for name, stream := range map[string]bool{"answer": false, "stream": true} {
		freed := make(chan error, 1)
		h := api.Admit(Rules{Name: name, Stream: stream}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !stream {
				_, err := w.Write(make([]byte, much))
				freed <- err
				return
			}
			api.stream(w, r, &Stream{Content: "text/csv", Write: func(w io.Writer) error {
				for range much >> 16 {
					if _, err := w.Write(make([]byte, 1<<16)); err != nil {
						freed <- err
						return err
					}
				}
				freed <- nil
				return nil
			}})
		}))
		s := httptest.NewServer(h)
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		must(t, err)
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		must(t, err)
		if err := <-freed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the writer to a reader that reads nothing: %v", name, err)
		}
		must(t, c.Close())
		s.Close()
	}
}

// TestSlowWriter sends a message byte by byte and stops: the server answers or
// hangs up, and has nothing in its pool.
func TestSlowWriter(t *testing.T) {
	n := newNetwork(t)
	_, s := serve(t, n, func(c *Config) { c.Limits = Limits{PerSecond: 1e6, Burst: 1e6, Time: 50 * time.Millisecond} })
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\nContent-Length: 1000\r\n\r\na")
	must(t, err)
	if answer, err := io.ReadAll(c); err == nil && strings.HasPrefix(string(answer), "HTTP/1.1 2") {
		t.Errorf("half a message: %s", answer)
	}
	if len(n.pool) != 0 {
		t.Errorf("the pool holds %q", n.pool)
	}
}

// TestTooLong waits for an answer for as long as it may take: the caller is told
// that it took too long, and not just cut off.
func TestTooLong(t *testing.T) {
	api, _ := serve(t, newNetwork(t), func(c *Config) {
		c.Limits = Limits{PerSecond: 1e6, Burst: 1e6, Time: time.Second}
	})
	s := httptest.NewServer(api.Admit(Rules{Name: "long"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		api.refuse(w, r, r.Context().Err())
	})))
	defer s.Close()
	answer, err := http.Get(s.URL)
	must(t, err)
	must(t, answer.Body.Close())
	if answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after the time is over: %s", answer.Status)
	}
}
