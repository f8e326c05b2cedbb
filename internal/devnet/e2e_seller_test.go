package devnet

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/miner/daemon"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// shelf is the pieces of a miner's home as a seller's source. It knows which
// piece is which part of the only payload.
type shelf struct {
	home  string
	parts []cid.Cid
}

// Find implements seller.Source.
func (s shelf) Find(_ context.Context, _ cid.Cid, part uint64) (seller.Content, error) {
	if part >= uint64(len(s.parts)) {
		return seller.Content{}, seller.ErrNotFound
	}
	return seller.Content{Piece: s.parts[part]}, nil
}

// Open implements seller.Source.
func (s shelf) Open(_ context.Context, c seller.Content) (*car.Index, seller.Archive, error) {
	f, err := os.Open(filepath.Join(s.home, "pieces", c.Piece.String()+".car"))
	if err != nil {
		return nil, nil, err
	}
	index, err := car.BuildIndex(f, car.Options{})
	return index, f, err
}

// badStream passes a seller's bytes on until a number of them was written, and
// then behaves badly.
type badStream struct {
	io.ReadWriteCloser
	left *atomic.Int64
	bad  func(s *badStream, b []byte) (int, error)
}

// Write implements io.Writer.
func (s *badStream) Write(b []byte) (int, error) {
	if s.left.Add(-int64(len(b))) >= 0 {
		return s.ReadWriteCloser.Write(b)
	}
	return s.bad(s, b)
}

// sellerFiles is how many files of 1,200 bytes are fetched.
const sellerFiles = 4

// TestE2EBadSeller puts in one miner's place, over real libp2p, a seller that
// gives everything away and, in the middle of it, lies, stalls or stops: the
// file arrives from the other miner.
func TestE2EBadSeller(t *testing.T) {
	endToEnd(t)
	s := setStage(t, 2)
	c := s.client()
	r := s.store(c, sellerFiles)
	m := s.Miners[0]
	addrs := m.Addrs()
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, b := range []struct {
		name string
		bad  func(*badStream, []byte) (int, error)
	}{
		{"stalls", func(_ *badStream, b []byte) (int, error) { return len(b), nil }},
		{"stops", func(s *badStream, _ []byte) (int, error) {
			s.Close()
			return 0, errors.New("gone")
		}},
		// The last one: a liar is remembered, and asked no more.
		{"lies", func(s *badStream, b []byte) (int, error) {
			if len(b) > 1_000 { // a file's block
				b[len(b)-1] ^= 1
			}
			return s.ReadWriteCloser.Write(b)
		}},
	} {
		t.Run(b.name, func(t *testing.T) { s.besides(t, m, addrs, c, r, b.bad) })
	}
}

// besides fetches while a bad seller stands in a miner's place.
func (s *stage) besides(t *testing.T, m *Miner, addrs []string, c *client.Client, r *client.PutResult,
	bad func(*badStream, []byte) (int, error)) {
	t.Helper()
	identity, err := p2p.LoadIdentity(daemon.IdentityPath(m.Home))
	if err != nil {
		t.Fatal(err)
	}
	host, err := p2p.New(p2p.Config{Identity: identity, Listen: listen(addrs)})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	goods := shelf{home: m.Home}
	for i := range r.Pieces {
		piece, err := cid.Decode(r.Pieces[i].CID)
		if err != nil {
			t.Fatal(err)
		}
		goods.parts = append(goods.parts, piece)
	}
	shop, err := seller.New(seller.Config{ChainID: s.Params.ChainID, Source: goods, Prices: seller.Terms{Access: seller.Free}, Log: s.log})
	if err != nil {
		t.Fatal(err)
	}
	left := new(atomic.Int64)
	left.Store(1_700) // an offer and the first chunk, and no more
	host.Serve(func(ctx context.Context, stream io.ReadWriteCloser, peer string) {
		shop.Handle(ctx, &badStream{stream, left, bad}, peer)
	})
	served, why := uint64(0), ""
	for tries := 0; why == "" && tries < 10; tries++ { // the good seller may have brought the rest already
		for _, seen := range s.fetch(c, r, sellerFiles).Sellers {
			t.Logf("%d chunks, dropped %v, %s", seen.Chunks, seen.Dropped, seen.Err)
			if seen.Peer == host.ID() {
				served, why = served+seen.Chunks, seen.Err
			}
		}
	}
	if why == "" || strings.Contains(why, "remembered") {
		t.Errorf("the bad seller was left because of %q", why)
	}
	if served == 0 || left.Load() >= 0 {
		t.Errorf("the bad seller served %d chunks and has %d bytes left to be good with", served, left.Load())
	}
}

// listen is addresses without the peer ID at their end.
func listen(addrs []string) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, filepath.Dir(filepath.Dir(a)))
	}
	return out
}
