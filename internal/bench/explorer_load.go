package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Load is what a process of callers asks of a server: each of them one request
// after the other on its own connection, a route and one of its paths by chance.
type Load struct {
	URL     string        `json:"url"`
	Callers int           `json:"callers"`
	Warm    time.Duration `json:"warm"` // answers within it are not counted
	Time    time.Duration `json:"time"`
	Routes  []LoadRoute   `json:"routes"`
	Seed    uint64        `json:"seed"`
}

// LoadRoute is one route and the paths that stand for it.
type LoadRoute struct {
	Name  string   `json:"name"`
	Paths []string `json:"paths"`
}

// Loaded is how a route answered.
type Loaded struct {
	Name    string        `json:"name"`
	Answers int           `json:"answers"`
	Refused int           `json:"refused"` // of them, with another status than 200
	Bytes   int           `json:"bytes"`   // of the bodies
	Median  time.Duration `json:"median"`
	P99     time.Duration `json:"p99"`
	Most    time.Duration `json:"most"`
}

// runLoad asks and measures.
func runLoad(ctx context.Context, l *Load) ([]Loaded, error) {
	address, err := url.Parse(l.URL)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	counted, until := start.Add(l.Warm), start.Add(l.Warm+l.Time)
	all := make([][]answers, l.Callers)
	failed := make([]error, l.Callers)
	var wg sync.WaitGroup
	for i := range l.Callers {
		wg.Go(func() {
			c := &caller{host: address.Host, counted: counted, until: until, answers: make([]answers, len(l.Routes)),
				random: rand.New(rand.NewPCG(l.Seed, uint64(i)))}
			failed[i] = c.run(ctx, l.Routes)
			all[i] = c.answers
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	out := make([]Loaded, len(l.Routes))
	for i, r := range l.Routes {
		var sum answers
		for _, one := range all {
			sum.times = append(sum.times, one[i].times...)
			sum.refused += one[i].refused
			sum.bytes += one[i].bytes
		}
		out[i] = sum.loaded(r.Name)
	}
	return out, nil
}

// answers are those of one route.
type answers struct {
	times   []time.Duration
	refused int
	bytes   int
}

func (a *answers) loaded(name string) Loaded {
	out := Loaded{Name: name, Answers: len(a.times), Refused: a.refused, Bytes: a.bytes}
	if n := len(a.times); n > 0 {
		slices.Sort(a.times)
		out.Median, out.P99, out.Most = a.times[n/2], a.times[min(n-1, n*99/100)], a.times[n-1]
	}
	return out
}

// caller asks on one connection, without a client's machinery of pools and
// goroutines, which would take more of the processors than a quick answer does.
type caller struct {
	host           string
	counted, until time.Time
	random         *rand.Rand
	answers        []answers

	conn net.Conn
	in   *bufio.Reader
}

func (c *caller) run(ctx context.Context, routes []LoadRoute) error {
	defer c.hangUp()
	for {
		i := c.random.IntN(len(routes))
		path := routes[i].Paths[c.random.IntN(len(routes[i].Paths))]
		began := time.Now()
		if began.After(c.until) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		status, size, err := c.ask(path)
		if err != nil {
			return fmt.Errorf("GET %s: %w", path, err)
		}
		if began.Before(c.counted) {
			continue
		}
		a := &c.answers[i]
		a.times = append(a.times, time.Since(began))
		a.bytes += size
		if status != http.StatusOK {
			a.refused++
		}
	}
}

func (c *caller) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is on its way
		c.conn = nil
	}
}

// callTime is how long one answer may take.
const callTime = time.Minute

func (c *caller) ask(path string) (status, size int, err error) {
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.host, callTime); err != nil {
			return 0, 0, err
		}
		c.in = bufio.NewReaderSize(c.conn, 64<<10)
	}
	if err := c.conn.SetDeadline(time.Now().Add(callTime)); err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, c.host); err != nil {
		return 0, 0, err
	}
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

// childConfig is what a process of bench explorer is told on its first line of
// input: exactly one field.
type childConfig struct {
	Server *serverConfig `json:"server,omitempty"`
	Load   *Load         `json:"load,omitempty"`
	Node   *nodeConfig   `json:"node,omitempty"`
	Listen *listenConfig `json:"listen,omitempty"`
}

// RunExplorerChild is the other process of bench explorer: it serves, asks or
// listens as the first line of in says, and writes lines of JSON to out.
func RunExplorerChild(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	if !lines.Scan() {
		return errors.Join(errors.New("nothing to do"), lines.Err())
	}
	var c childConfig
	if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
		return err
	}
	write := json.NewEncoder(out)
	switch {
	case c.Server != nil:
		return runServer(ctx, c.Server, lines, write)
	case c.Node != nil:
		return runNode(ctx, c.Node, lines, write)
	case c.Listen != nil:
		heard, err := runListeners(ctx, c.Listen)
		if err != nil {
			return err
		}
		return write.Encode(heard)
	case c.Load != nil:
		loaded, err := runLoad(ctx, c.Load)
		if err != nil {
			return err
		}
		return write.Encode(loaded)
	}
	return errors.New("nothing to do")
}
