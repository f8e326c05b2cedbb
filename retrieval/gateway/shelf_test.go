package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/p2p"
)

// testShelf is a shelf over pieces of raw blocks in a temporary directory.
type testShelf struct {
	*Shelf
	t    *testing.T
	dir  string
	held []Holding
}

func newTestShelf(t *testing.T) *testShelf {
	t.Helper()
	s := &testShelf{t: t, dir: t.TempDir()}
	s.Shelf = NewShelf(ShelfConfig{
		Holdings: func(context.Context) ([]Holding, error) { return s.held, nil },
		Open: func(_ context.Context, piece cid.Cid) ([]*car.Index, Archive, error) {
			f, err := os.Open(s.path(piece))
			if err != nil {
				return nil, nil, err
			}
			raw, err := os.ReadFile(s.path(piece) + ".idx")
			if err != nil {
				return nil, nil, errors.Join(err, f.Close())
			}
			index, err := car.UnmarshalIndex(raw)
			return []*car.Index{index}, f, err
		},
	})
	return s
}

func (s *testShelf) path(piece cid.Cid) string { return filepath.Join(s.dir, piece.String()) }

// add puts a piece of raw blocks, of which the first is the root, on the shelf.
func (s *testShelf) add(state State, blocks ...string) (piece.Info, []cid.Cid) {
	s.t.Helper()
	raw, cids := archiveOf(s.t, blocks...)
	info, err := piece.Commit(bytes.NewReader(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	index, err := car.BuildIndex(bytes.NewReader(raw), car.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	stored, err := index.MarshalBinary()
	if err != nil {
		s.t.Fatal(err)
	}
	for path, data := range map[string][]byte{s.path(info.CID): raw, s.path(info.CID) + ".idx": stored} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	h := Holding{Piece: info.CID, Root: cids[0], Status: Status{State: state}}
	if state == Priced {
		h.Status.Terms = Terms{Price: chain.Atto(5), Payee: "t1payee"}
	}
	s.held = append(s.held, h)
	return info, cids
}

func (s *testShelf) looked() {
	s.t.Helper()
	if err := s.Look(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *testShelf) state(c cid.Cid) State {
	s.t.Helper()
	got, err := s.Status(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return got.State
}

// TestShelf: how the holdings stand is what clients are told, and blocks come
// out of free pieces alone, also those that a paid piece holds too.
func TestShelf(t *testing.T) {
	s := newTestShelf(t)
	free, freeCIDs := s.add(Free, "free root", "free leaf", "in both")
	sold, soldCIDs := s.add(Priced, "sold root", "sold leaf", "in both")
	_, coming := s.add(Waiting, "coming")
	_, over := s.add(Ended, "over")
	_, gone := s.add(Unknown, "discarded")
	lost, lostCIDs := s.add(Free, "lost from disk")
	if err := os.Remove(s.path(lost.CID)); err != nil {
		t.Fatal(err)
	}
	if s.Ready() == nil || s.state(freeCIDs[0]) != Waiting {
		t.Error("ready before it looked")
	}
	s.looked()
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
	for what, c := range map[string]struct {
		cid  cid.Cid
		want State
	}{
		"free root": {freeCIDs[0], Free}, "free leaf": {freeCIDs[1], Free}, "in both": {freeCIDs[2], Free},
		"as dag-pb": {cid.NewCidV1(cid.DagProtobuf, freeCIDs[1].Hash()), Free}, "free piece": {free.CID, Free},
		"sold root": {soldCIDs[0], Priced}, "sold leaf": {soldCIDs[1], Priced}, "sold piece": {sold.CID, Priced},
		"coming": {coming[0], Waiting}, "over": {over[0], Ended}, "discarded": {gone[0], Unknown},
		"lost": {lostCIDs[0], Waiting},
	} {
		if got := s.state(c.cid); got != c.want {
			t.Errorf("%s: state %d, want %d", what, got, c.want)
		}
	}
	for _, c := range []cid.Cid{freeCIDs[0], freeCIDs[1], freeCIDs[2]} {
		data, err := s.Block(t.Context(), c)
		if n, sizeErr := s.BlockSize(t.Context(), c); err != nil || sizeErr != nil || n != len(data) || car.Verify(c, data) != nil {
			t.Errorf("block %s: %q, %d, %v, %v", c, data, n, err, sizeErr)
		}
	}
	for _, c := range []cid.Cid{soldCIDs[0], soldCIDs[1], coming[0], over[0]} {
		if data, err := s.Block(t.Context(), c); !errors.Is(err, ErrNotFound) {
			t.Errorf("block %s was given: %q, %v", c, data, err)
		}
	}
	p, err := s.Piece(t.Context(), free.CID)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if got, err := piece.Commit(p); err != nil || got != free {
		t.Errorf("the piece's bytes are %+v, %v", got, err)
	}
	if _, err := s.Piece(t.Context(), sold.CID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the paid piece: %v", err)
	}
	if roots := s.Roots(); len(roots) != 1 || !roots[0].Equals(freeCIDs[0]) {
		t.Errorf("announced are %v", roots)
	}
	s.held[0].Status.State = Ended
	s.looked()
	if got := s.state(freeCIDs[0]); got != Ended {
		t.Errorf("after its end: %d", got)
	}
	if _, err := s.Block(t.Context(), freeCIDs[1]); !errors.Is(err, ErrNotFound) {
		t.Errorf("a block of an ended deal: %v", err)
	}
}

// TestShelfFaults: a byte flipped on disk, and a block cut off there,
// are errors to who asks, not content.
func TestShelfFaults(t *testing.T) {
	s := newTestShelf(t)
	info, cids := s.add(Free, "root", "leaf that rots", "leaf that is cut")
	s.looked()
	raw, err := os.ReadFile(s.path(info.CID))
	if err != nil {
		t.Fatal(err)
	}
	rotten := bytes.Replace(raw, []byte("rots"), []byte("rotz"), 1)
	if err := os.WriteFile(s.path(info.CID), rotten[:len(rotten)-3], 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := New(Config{Source: s})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	for i, want := range []int{200, 500, 500} {
		resp, err := http.Get(server.URL + "/ipfs/" + cids[i].String())
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || err != nil || want == 200 && string(body) != "root" {
			t.Errorf("block %d: %s %q, %v", i, resp.Status, body, err)
		}
		if _, err := Blockstore(s).Get(t.Context(), cids[i]); (err == nil) != (want == 200) {
			t.Errorf("block %d by bitswap: %v", i, err)
		}
	}
}

// TestUnion: the best that any source says holds, and each gives what it has.
func TestUnion(t *testing.T) {
	raw, imported := archiveOf(t, "imported", "in both")
	shelf := newTestShelf(t)
	_, sold := shelf.add(Priced, "sold", "in both")
	store := storeOf(t, Terms{}, raw)
	u := Union{shelf, store}
	if u.Ready() == nil {
		t.Error("ready before all are")
	}
	shelf.looked()
	if err := u.Ready(); err != nil {
		t.Error(err)
	}
	for what, c := range map[string]struct {
		cid   cid.Cid
		want  State
		given bool
	}{"imported": {imported[0], Free, true}, "in both": {sold[1], Free, true}, "sold": {sold[0], Priced, false}, "neither": {cid.NewCidV1(cid.Raw, []byte{0, 1, 'x'}), Unknown, false}} {
		status, err := u.Status(t.Context(), c.cid)
		if err != nil || status.State != c.want {
			t.Errorf("%s: state %d, %v; want %d", what, status.State, err, c.want)
		}
		data, err := u.Block(t.Context(), c.cid)
		if n, _ := u.BlockSize(t.Context(), c.cid); (err == nil) != c.given || n != len(data) || err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %q, %d, %v", what, data, n, err)
		}
	}
	p, err := cid.Decode(store.Imported()[0].Piece)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := u.Piece(t.Context(), p); err != nil || got.Close() != nil {
		t.Errorf("the imported piece: %v", err)
	}
	if found, err := u.Providers(t.Context(), sold[0]); err != nil || len(found) != 0 {
		t.Errorf("providers %v, %v", found, err)
	}
}

// fakeChain is a chain with some deals over one payload.
type fakeChain struct {
	deals []*chain.Deal
	asked int
}

func (c *fakeChain) DealsOf(context.Context, cid.Cid, int) ([]*chain.Deal, error) {
	c.asked++
	return c.deals, nil
}

func (c *fakeChain) Peer(_ context.Context, m chain.MinerID) (chain.Peer, error) {
	if m == 1003 {
		return chain.Peer{ID: []byte("no peer ID")}, nil
	}
	return p2p.ParsePeer("/ip4/192.0.2.1/tcp/" + strconv.Itoa(int(m)) + "/p2p/" + peerID)
}

// TestDeals: the miners of deals in force are the providers, each once, and the
// chain is not asked again at once.
func TestDeals(t *testing.T) {
	c := &fakeChain{deals: []*chain.Deal{
		{Miner: 1002, State: chain.DealActive}, {Miner: 1001, State: chain.DealAccepted}, {Miner: 1002, State: chain.DealActive},
		{Miner: 1003, State: chain.DealActive}, {Miner: 1004, State: chain.DealMatched}, {Miner: 1005, State: chain.DealLost},
	}}
	d := NewDeals(c)
	_, cids := archiveOf(t, "x")
	for range 3 {
		found, err := d.Providers(t.Context(), cids[0])
		if err != nil || len(found) != 2 || found[0].Addrs[0] != "/ip4/192.0.2.1/tcp/1001/p2p/"+peerID || found[1].Protocols[0] != protocolRetrieve {
			t.Errorf("found %v, %v", found, err)
		}
	}
	if c.asked != 1 {
		t.Errorf("the chain was asked %d times", c.asked)
	}
}
