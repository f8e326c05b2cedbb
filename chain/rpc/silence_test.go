package rpc

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestSilentNode asks a node that takes connections and answers nothing, as one does
// whose process is stopped.
func TestSilentNode(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := New("http://" + l.Addr().String())
	defer c.Close()
	c.wait = 20 * time.Millisecond
	for name, ask := range map[string]func(context.Context) error{
		"params": func(ctx context.Context) error { _, err := c.Params(ctx); return err },
		"record": func(ctx context.Context) error { _, err := c.Global(ctx); return err },
		"JSON":   func(ctx context.Context) error { return c.JSON(ctx, "/v1/status", new(any)) },
		"header": func(ctx context.Context) error { _, err := c.Header(ctx, 1); return err },
		// More than the kernel takes of a connection that nobody reads.
		"message": func(ctx context.Context) error { return c.Submit(ctx, make([]byte, 8*chain.MaxEncodedMessage)) },
	} {
		err := ask(t.Context())
		want := "node " + c.Base() + " did not answer within 20ms: see whether it is stopped or overloaded, or ask another node"
		var silence *SilentError
		if !errors.As(err, &silence) || err.Error() != want {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Global(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that gives up hears %v", err)
	}
}

// TestSilentInside asks a node that begins its answer and does not go on.
func TestSilentInside(t *testing.T) {
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"height":`))
		w.(http.Flusher).Flush()
		<-done
	}))
	defer s.Close()
	defer close(done)
	c := New(s.URL)
	defer c.Close()
	c.wait = 200 * time.Millisecond
	var silence *SilentError
	if err := c.JSON(t.Context(), "/v1/status", new(any)); !errors.As(err, &silence) || silence.Node != s.URL {
		t.Errorf("half an answer: %v", err)
	}
	if _, err := c.Header(t.Context(), 1); !errors.As(err, &silence) || strings.Count(err.Error(), s.URL) != 1 {
		t.Errorf("half a header: %v", err)
	}
}

// TestPatience asks for a receipt and for the feed of a node that says nothing to either
// until another request has met with silence.
func TestPatience(t *testing.T) {
	f := &fake{updates: [][]byte{encode(t, &consensus.Update{Version: consensus.UpdateVersion, Height: 1})}}
	asked, answers, node := make(chan struct{}, 2), make(chan struct{}), Handler(f)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == PathUpdates || strings.HasPrefix(r.URL.Path, PathReceipts) {
			asked <- struct{}{}
		}
		<-answers
		node.ServeHTTP(w, r)
	}))
	defer s.Close()
	c := New(s.URL)
	defer c.Close()
	c.wait = 20 * time.Millisecond
	hash, stop := chain.HashBytes([]byte("raw")), errors.New("stop")
	awaited, followed := make(chan error), make(chan error)
	go func() { _, err := c.Await(t.Context(), hash); awaited <- err }()
	go func() { followed <- c.Follow(t.Context(), 1, func(*consensus.Update) error { return stop }) }()
	<-asked
	<-asked
	var silence *SilentError
	if _, err := c.Global(t.Context()); !errors.As(err, &silence) {
		t.Errorf("a record of a silent node: %v", err)
	}
	close(answers)
	if err := <-awaited; err != nil {
		t.Errorf("await ended with %v", err)
	}
	if err := <-followed; !errors.Is(err, stop) {
		t.Errorf("follow ended with %v", err)
	}
}
