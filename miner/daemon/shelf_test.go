package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/gateway"
)

// dealRecords are a miner's records of a test: deals alone.
type dealRecords struct {
	miner.Records
	deals []*miner.Deal
}

func (r *dealRecords) Deals() ([]*miner.Deal, error) { return r.deals, nil }

func (*dealRecords) DealsOfRoot(cid.Cid, uint64) ([]*miner.Deal, error) { return nil, nil }

func (*dealRecords) PiecesWith(cid.Cid) ([]cid.Cid, error) { return nil, nil }

// noDeals is a chain that knows of no deals.
type noDeals struct{}

func (noDeals) DealsOf(context.Context, cid.Cid, int) ([]*chain.Deal, error) { return nil, nil }

func (noDeals) Peer(context.Context, chain.MinerID) (chain.Peer, error) { return chain.Peer{}, nil }

// testShelf is a shelf over pieces of raw blocks in a temporary directory.
type testShelf struct {
	*shelf
	t       *testing.T
	records *dealRecords
	free    map[cid.Cid]bool
}

func newTestShelf(t *testing.T) *testShelf {
	t.Helper()
	where, err := disk.New(t.TempDir(), chain.FirstMinerID, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &testShelf{t: t, records: &dealRecords{}, free: map[cid.Cid]bool{}}
	s.shelf = &shelf{records: s.records, disk: where, pieces: newSource(s.records, where), log: slog.New(slog.DiscardHandler),
		Deals: gateway.NewDeals(noDeals{}), terms: func(d *chain.Deal) gateway.Terms {
			if s.free[d.PayloadRoot] {
				return gateway.Terms{}
			}
			return gateway.Terms{Price: chain.Atto(5), Payee: "t1payee"}
		}}
	return s
}

// add puts a piece of raw blocks, of which the first is the root, on disk, with a
// deal over it.
func (s *testShelf) add(state miner.DealState, blocks ...string) (piece.Info, []cid.Cid) {
	s.t.Helper()
	var cids []cid.Cid
	for _, b := range blocks {
		hash, err := mh.Sum([]byte(b), mh.SHA2_256, -1)
		if err != nil {
			s.t.Fatal(err)
		}
		cids = append(cids, cid.NewCidV1(cid.Raw, hash))
	}
	var out bytes.Buffer
	w, err := car.NewWriter(&out, cids[0])
	if err != nil {
		s.t.Fatal(err)
	}
	for i, b := range blocks {
		if err := w.Put(cids[i], []byte(b)); err != nil {
			s.t.Fatal(err)
		}
	}
	info, err := piece.Commit(bytes.NewReader(out.Bytes()))
	if err != nil {
		s.t.Fatal(err)
	}
	if held(state) {
		if err := os.WriteFile(s.disk.Piece(info.CID), out.Bytes(), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	deal := &miner.Deal{ID: uint64(len(s.records.deals) + 1), State: state}
	deal.Deal.PieceCID, deal.Deal.PayloadRoot = info.CID, cids[0]
	s.records.deals = append(s.records.deals, deal)
	return info, cids
}

func (s *testShelf) looked() {
	s.t.Helper()
	if err := s.look(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *testShelf) state(c cid.Cid) gateway.State {
	s.t.Helper()
	got, err := s.Status(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return got.State
}

// TestShelf: what a miner's deals are in is what clients are told, and blocks come
// out of free pieces alone, also those that a paid piece holds too.
func TestShelf(t *testing.T) {
	s := newTestShelf(t)
	free, freeCIDs := s.add(miner.DealActive, "free root", "free leaf", "in both")
	sold, soldCIDs := s.add(miner.DealAccepted, "sold root", "sold leaf", "in both")
	_, coming := s.add(miner.DealFetching, "coming")
	_, over := s.add(miner.DealEnded, "over")
	_, gone := s.add(miner.DealDiscarded, "discarded")
	lost, lostCIDs := s.add(miner.DealActive, "lost from disk")
	if err := os.Remove(s.disk.Piece(lost.CID)); err != nil {
		t.Fatal(err)
	}
	s.free[freeCIDs[0]], s.free[lostCIDs[0]] = true, true
	if s.Ready() == nil || s.state(freeCIDs[0]) != gateway.Waiting {
		t.Error("ready before it looked")
	}
	s.looked()
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
	for what, c := range map[string]struct {
		cid  cid.Cid
		want gateway.State
	}{
		"free root": {freeCIDs[0], gateway.Free}, "free leaf": {freeCIDs[1], gateway.Free}, "in both": {freeCIDs[2], gateway.Free},
		"as dag-pb": {cid.NewCidV1(cid.DagProtobuf, freeCIDs[1].Hash()), gateway.Free}, "free piece": {free.CID, gateway.Free},
		"sold root": {soldCIDs[0], gateway.Priced}, "sold leaf": {soldCIDs[1], gateway.Priced}, "sold piece": {sold.CID, gateway.Priced},
		"coming": {coming[0], gateway.Waiting}, "over": {over[0], gateway.Ended}, "discarded": {gone[0], gateway.Unknown},
		"lost": {lostCIDs[0], gateway.Waiting},
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
		if data, err := s.Block(t.Context(), c); !errors.Is(err, gateway.ErrNotFound) {
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
	if _, err := s.Piece(t.Context(), sold.CID); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("the paid piece: %v", err)
	}
	if roots := s.Roots(); len(roots) != 1 || !roots[0].Equals(freeCIDs[0]) {
		t.Errorf("announced are %v", roots)
	}
	s.records.deals[0].State = miner.DealEnded
	s.looked()
	if got := s.state(freeCIDs[0]); got != gateway.Ended {
		t.Errorf("after its end: %d", got)
	}
	if _, err := s.Block(t.Context(), freeCIDs[1]); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("a block of an ended deal: %v", err)
	}
}

// TestShelfFaults: a byte flipped on the miner's disk, and a block cut off there,
// are errors to who asks, not content.
func TestShelfFaults(t *testing.T) {
	s := newTestShelf(t)
	info, cids := s.add(miner.DealActive, "root", "leaf that rots", "leaf that is cut")
	s.free[cids[0]] = true
	s.looked()
	raw, err := os.ReadFile(s.disk.Piece(info.CID))
	if err != nil {
		t.Fatal(err)
	}
	rotten := bytes.Replace(raw, []byte("rots"), []byte("rotz"), 1)
	if err := os.WriteFile(s.disk.Piece(info.CID), rotten[:len(rotten)-3], 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := gateway.New(gateway.Config{Source: s.shelf})
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
		if _, err := gateway.Blockstore(s.shelf).Get(t.Context(), cids[i]); (err == nil) != (want == 200) {
			t.Errorf("block %d by bitswap: %v", i, err)
		}
	}
}

func TestPublicConfig(t *testing.T) {
	_, cids := newTestShelf(t).add(miner.DealActive, "root")
	free, err := freeRoots([]string{cids[0].String(), everything})
	if err != nil || !free[cids[0]] || !free[cid.Undef] {
		t.Errorf("%v, %v", free, err)
	}
	if _, err := freeRoots([]string{"everything"}); err == nil {
		t.Error("a root that is none is taken")
	}
	if cfg := DefaultConfig().Public; cfg.HTTP != "" || cfg.Bitswap || cfg.DHT || len(cfg.Free) > 0 {
		t.Errorf("something is public by default: %+v", cfg)
	}
}
