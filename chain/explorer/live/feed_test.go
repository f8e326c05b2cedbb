package live

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// chainOf is a feed whose blocks follow from their heights, as those of a
// chain that is read again do.
type chainOf struct {
	make func(chain.Height) []Item

	mu         sync.Mutex
	first, tip chain.Height
	built      bool
	changed    chan struct{}
	reads      int
	gap        chain.Height // that it lacks
}

func newChain(make func(chain.Height) []Item) *chainOf {
	return &chainOf{make: make, first: 1, built: true, changed: newSignal()}
}

func newSignal() chan struct{} { return make(chan struct{}) }

func (c *chainOf) Watch() (first, tip chain.Height, ok bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.built {
		return 0, 0, false, c.changed
	}
	return c.first, c.tip, true, c.changed
}

func (c *chainOf) Block(_ context.Context, h chain.Height) (*Block, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	if h < c.first || h > c.tip {
		return nil, ErrGone
	}
	if h == c.gap {
		return nil, &GapError{h + 1}
	}
	return &Block{Time: time.Unix(int64(h), 0).UTC().Format(time.RFC3339), Items: c.make(h)}, nil
}

func (c *chainOf) Key(topic string) (string, error) {
	if strings.HasPrefix(topic, "no") {
		return "", fmt.Errorf("topic %.20q: there is none", topic)
	}
	return strings.ToLower(topic), nil
}

func (c *chainOf) readsSoFar() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}

// set moves the ends of what is kept.
func (c *chainOf) set(first, tip chain.Height) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.first, c.tip, c.built = first, tip, tip > 0
	close(c.changed)
	c.changed = newSignal()
}

// story is a block of few items of all kinds: every third block has none but
// itself.
func story(h chain.Height) []Item {
	out := []Item{{"block", map[string]any{"height": h}, []string{"block"}}}
	if h%3 == 0 {
		return out
	}
	for i := range int(h%4) + 1 {
		who := fmt.Sprintf("address:%d", i%2)
		out = append(out, Item{"message", fmt.Sprintf("%d/%d", h, i), []string{"message", who}})
	}
	return append(out, Item{"event", h, []string{"event", "deal:7", "address:1", "deal:7"}})
}

// serve streams a feed over HTTP.
func serve(t testing.TB, f Feed, change ...func(*Config)) (*Hub, *httptest.Server) {
	t.Helper()
	c := Config{Feed: f, ChainID: "test", Limits: DefaultLimits(), Registry: prometheus.NewRegistry()}
	for _, one := range change {
		one(&c)
	}
	h, err := New(c)
	must(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/live", h.Socket)
	mux.HandleFunc("/v1/events/stream", h.Events)
	s := httptest.NewUnstartedServer(mux)
	s.Listener = narrow{s.Listener}
	s.Start()
	t.Cleanup(func() {
		h.Close()
		s.Client().CloseIdleConnections()
		s.Close()
	})
	return h, s
}
