package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

// caller asks on one connection, one request after the other. It shares the
// processors with the server that it measures, so it does no more than it must: of
// a request only the path is new, and of an answer whose length is said it looks at
// nothing but the status and the length. Other answers are net/http's.
type caller struct {
	host           string
	counted, until time.Time
	random         *rand.Rand
	answers        []answers
	asked          int

	request []byte // the last one
	after   []byte // what follows the path in each

	conn  net.Conn
	in    *bufio.Reader
	armed time.Time // when the connection's deadline was set
}

// usualAnswers is for how many answers of a route a caller has room from the start.
const usualAnswers = 256

func newCaller(host string, routes []loadRoute, random *rand.Rand) *caller {
	c := &caller{host: host, random: random, answers: make([]answers, len(routes)), request: []byte("GET "), after: []byte(" HTTP/1.1\r\nHost: " + host + "\r\n\r\n")}
	for i := range c.answers {
		c.answers[i].times = make([]time.Duration, 0, usualAnswers)
	}
	return c
}

// run asks for paths by chance until the time is over.
func (c *caller) run(ctx context.Context, routes []loadRoute) error {
	defer c.hangUp()
	for began := time.Now(); began.Before(c.until); {
		if err := ctx.Err(); err != nil {
			return err
		}
		route := c.random.IntN(len(routes))
		path := routes[route].Paths[c.random.IntN(len(routes[route].Paths))]
		status, size, err := c.ask(path, began)
		if err != nil {
			return fmt.Errorf("GET %s: %w", path, err)
		}
		ended := time.Now()
		c.asked++
		if !began.Before(c.counted) {
			a := &c.answers[route]
			a.times = append(a.times, ended.Sub(began))
			a.bytes += size
			if status != http.StatusOK {
				a.refused++
			}
		}
		began = ended
	}
	return nil
}

func (c *caller) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is on its way
		c.conn = nil
	}
}

const (
	// callTime is how long one answer may take; one that takes half of it may be cut off.
	callTime = time.Minute
	// callBuffer is what is read at once, and the longest head of an answer.
	callBuffer = 64 << 10
)

// ask sends a request and reads the answer to its end.
func (c *caller) ask(path string, now time.Time) (status, size int, err error) {
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.host, callTime); err != nil {
			return 0, 0, err
		}
		c.in, c.armed = bufio.NewReaderSize(c.conn, callBuffer), time.Time{}
	}
	if now.Sub(c.armed) > callTime/2 {
		if err := c.conn.SetDeadline(now.Add(callTime)); err != nil {
			return 0, 0, err
		}
		c.armed = now
	}
	c.request = append(append(c.request[:len("GET ")], path...), c.after...)
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, 0, err
	}
	head, err := c.head()
	if err != nil {
		return 0, 0, err
	}
	status, size, ok := plainHead(head)
	if !ok {
		return c.other()
	}
	_, err = c.in.Discard(len(head) + size)
	return status, size, err
}

var headEnd = []byte("\r\n\r\n")

// head waits for the whole head of an answer and leaves it in the buffer.
func (c *caller) head() ([]byte, error) {
	for want := 1; ; {
		if _, err := c.in.Peek(want); err != nil {
			return nil, err
		}
		have, _ := c.in.Peek(c.in.Buffered()) // it is there
		if end := bytes.Index(have, headEnd); end >= 0 {
			return have[:end+len(headEnd)], nil
		}
		want = len(have) + 1
	}
}

// other reads an answer of another form.
func (c *caller) other() (status, size int, err error) {
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, 0, err
	}
	n, err := io.Copy(io.Discard, r.Body)
	err = errors.Join(err, r.Body.Close())
	if r.Close {
		c.hangUp()
	}
	return r.StatusCode, int(n), err
}

var (
	protocol = []byte("HTTP/1.1 ")
	length   = []byte("content-length:")
	// special are fields of answers that end otherwise than by their length, or the connection.
	special = [][]byte{[]byte("transfer-encoding:"), []byte("connection:")}
)

// plainHead reads the head of an answer, its last empty line included, to a GET. It
// reports false if its length is not said, or if there is more to know about it.
func plainHead(head []byte) (status, size int, ok bool) {
	line, fields, _ := bytes.Cut(head, headEnd[:2])
	code, found := bytes.CutPrefix(line, protocol)
	if !found || len(code) < 3 {
		return 0, 0, false
	}
	status, err := strconv.Atoi(string(code[:3]))
	if err != nil || status < 200 || status == http.StatusNoContent || status == http.StatusNotModified {
		return 0, 0, false
	}
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, headEnd[:2])
		switch {
		case hasField(line, length):
			if size, err = strconv.Atoi(string(bytes.TrimSpace(line[len(length):]))); err != nil || size < 0 || ok {
				return 0, 0, false
			}
			ok = true
		case hasField(line, special[0]), hasField(line, special[1]):
			return 0, 0, false
		}
	}
	return status, size, ok
}

// hasField reports whether a line begins with a name in lower case.
func hasField(line, name []byte) bool {
	return len(line) >= len(name) && line[0]|0x20 == name[0] && bytes.EqualFold(line[:len(name)], name)
}
