package client_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
)

// TestServePublic: a client's gateway gives out what was put as public while its
// pieces are here, and never what is private.
func TestServePublic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0) // nobody takes the bids: the pieces stay
	c := w.client()
	ctx, cancel := context.WithCancel(w.ctx)
	roots, contents := map[bool]string{}, map[bool][]byte{}
	for public, size := range map[bool]int{true: 400_000, false: 300_000} {
		path, data := w.file(size)
		put, err := c.Put(w.ctx, path, client.PutOptions{Public: public, NoWait: true, MaxPrice: chain.Atto(1_000_000_000)})
		w.must(err)
		roots[public], contents[public] = put.Root, data
	}
	where, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- c.ServePublic(ctx, client.PublicOptions{HTTP: "127.0.0.1:0", Bitswap: true, Listening: func(a string) { where <- a }})
	}()
	base := "http://" + <-where
	get := func(path string) (int, []byte) {
		resp, err := http.Get(base + path)
		w.must(err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		w.must(err)
		return resp.StatusCode, body
	}
	for status := 0; status != 200; {
		status, _ = get("/health/readyz")
	}
	if status, body := get("/ipfs/" + roots[true]); status != 200 || !bytes.Equal(body, contents[true]) {
		t.Errorf("public: %d, %d bytes", status, len(body))
	}
	if status, body := get("/ipfs/" + roots[false] + "?format=raw"); status != 404 {
		t.Errorf("private: %d, %d bytes", status, len(body))
	}
	cancel()
	w.must(<-ended)
	http.DefaultClient.CloseIdleConnections()
}
