package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/p2p"
)

// TestOpenFile stores a stream and reads it back in every manner; only the leaves
// that are touched come, each once.
func TestOpenFile(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]client.PutOptions{"public": {Public: true, Copies: 1}, "private": {Copies: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			_, data := w.file(2_500_000)
			c := w.client()
			put, err := c.PutReader(w.ctx, iotest.HalfReader(bytes.NewReader(data)), o)
			w.must(err)
			root, err := client.ParseRoot(put.Root)
			w.must(err)
			f, err := c.OpenFile(w.ctx, root, client.GetOptions{})
			w.must(err)
			if f.Size() != int64(len(data)) {
				t.Errorf("size %d", f.Size())
			}
			buf := make([]byte, 100)
			for range 3 {
				if n, err := f.ReadAt(buf, 1_200_000); n != 100 || err != nil || !bytes.Equal(buf, data[1_200_000:1_200_100]) {
					t.Fatalf("read %d bytes, %v", n, err)
				}
			}
			if c := f.Cost(); c.Bytes > 4*leafSize+2_000 { // of private content also its header and its end
				t.Errorf("%d bytes came for 100", c.Bytes)
			}
			if n, err := f.ReadAt(buf, int64(len(data))-50); n != 50 || err != io.EOF {
				t.Errorf("beyond the end: %d bytes, %v", n, err)
			}
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					at := rand.New(rand.NewPCG(1, uint64(i))).IntN(len(data) - 5000)
					part := make([]byte, 5000)
					if _, err := f.ReadAt(part, int64(at)); err != nil || !bytes.Equal(part, data[at:at+5000]) {
						t.Errorf("at %d: %v", at, err)
					}
				})
			}
			all.Wait()
			if at, err := f.Seek(-1_000_000, io.SeekEnd); at != 1_500_000 || err != nil {
				t.Errorf("seek: %d, %v", at, err)
			}
			if rest, err := io.ReadAll(f); err != nil || !bytes.Equal(rest, data[1_500_000:]) {
				t.Errorf("the end: %v", err)
			}
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				t.Error(err)
			}
			if all, err := io.ReadAll(f); err != nil || !bytes.Equal(all, data) {
				t.Errorf("all of it: %v", err)
			}
			if _, err := f.Seek(-1, io.SeekStart); err == nil {
				t.Error("went before the beginning")
			}
			if c := f.Cost(); c.Bytes > uint64(len(data))+10_000 {
				t.Errorf("%d bytes came for a file of %d", c.Bytes, len(data))
			}
			w.must(f.Close())
			if left, err := filepath.Glob(filepath.Join(w.home, "fetch", "open-*")); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
			w.spent(c)
		})
	}
}

// TestLiarRemembered meets a seller that breaks the protocol: the other one
// delivers, and no later process of the home asks the first, unless nobody else
// is left: then once.
func TestLiarRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, data := w.file(300_000)
	root := w.stored(w.client(), path, client.PutOptions{Public: true})
	var asked atomic.Int64
	w.miners[0].Host.Serve(func(_ context.Context, stream io.ReadWriteCloser, _ string) {
		asked.Add(1)
		conn := p2p.NewConn(stream, time.Minute)
		if _, err := conn.Read(); err == nil {
			_ = conn.Write(&retrieval.End{Reason: retrieval.Complete}) // where an offer is due
		}
		_ = conn.Close()
	})
	var before int64
	for i := range 3 {
		var out bytes.Buffer
		_, err := w.client().Get(w.ctx, root, "", client.GetOptions{To: &out})
		w.must(err)
		if !bytes.Equal(out.Bytes(), data) {
			t.Error("other bytes came back")
		}
		if n := asked.Load(); i == 0 {
			before = n
		} else if n != before {
			t.Errorf("get %d asked the liar again", i)
		}
	}
	if before == 0 {
		t.Error("the liar was never asked")
	}
	w.miners[1].Lose(w.chain.Deals()[0].PieceCID)
	_, err := w.client().Get(w.ctx, root, "", client.GetOptions{To: io.Discard})
	if !errors.Is(err, buyer.ErrNoSeller) || asked.Load() != before+1 {
		t.Errorf("with only the liar left, asked %d times more: %v", asked.Load()-before, err)
	}
}
