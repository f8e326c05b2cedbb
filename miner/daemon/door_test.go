package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/hints"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/db"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/miner/unsealing"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/seller"
)

// pieceRig is a miner that holds one piece of several payloads.
type pieceRig struct {
	disk    *disk.Disk
	records *db.DB
	deal    *miner.Deal
	data    []byte
	roots   []cid.Cid
}

func newPieceRig(t *testing.T) *pieceRig {
	t.Helper()
	r := &pieceRig{}
	var err error
	if r.disk, err = disk.New(t.TempDir(), chain.FirstMinerID, 0); err != nil {
		t.Fatal(err)
	}
	if r.records, err = db.OpenFS("records", vfs.NewMem()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.records.Close() })
	info, data, roots := sharedPiece(t, "one", "two", "three")
	r.data, r.roots = data, roots
	whole := car.LeafCID(sha256.Sum256(data)) // the file that the piece's bytes make: one leaf
	r.deal = &miner.Deal{ID: 1, State: miner.DealActive, Sector: 1, Deal: chain.Deal{ID: 1, PieceCID: info.CID, PayloadRoot: whole,
		PaddedSize: info.PaddedSize, UnsealPrice: chain.PDR(1), Client: testAddress(t)}}
	err = errors.Join(r.records.NewSector(&miner.Sector{Pieces: []chain.SectorPiece{{PieceCID: info.CID, PaddedSize: info.PaddedSize, Deal: 1}}}, nil),
		r.records.PutDeal(r.deal), r.records.SetContents(info.CID, roots), os.WriteFile(r.disk.Piece(info.CID), data, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestContentsDoor: a follower of hints hears from a miner's door what is in its pieces,
// and no more once the deal is over.
func TestContentsDoor(t *testing.T) {
	r := newPieceRig(t)
	door := &contentsDoor{records: r.records}
	server := httptest.NewServer(door)
	defer server.Close()
	addr, ok := hints.DoorAddr(strings.TrimPrefix(server.URL, "http://"))
	if !ok {
		t.Fatal(server.URL)
	}
	f := hints.NewFollower(hints.Config{Private: true, Every: 1, Miners: func(_ context.Context, each func(*chain.Miner) error) error {
		return each(&chain.Miner{ID: 1000, Peer: chain.Peer{Addrs: [][]byte{addr}}})
	}})
	want := func(n int) {
		t.Helper()
		if err := f.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, root := range r.roots {
			if got := f.Table().Of(root, 9); len(got) != n || n == 1 && !got[0].Piece.Equals(r.deal.Deal.PieceCID) {
				t.Errorf("%s: %v, want %d", root, got, n)
			}
		}
	}
	want(1)
	r.deal.State = miner.DealEnded
	if err := r.records.PutDeal(r.deal); err != nil {
		t.Fatal(err)
	}
	door.made = time.Now().Add(-time.Hour)
	want(0)
	resp, err := http.Post(server.URL, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", resp.Status)
	}
}

// TestSharing: the miner's deals over a piece stand for each payload in it, and no more
// once they are over.
func TestSharing(t *testing.T) {
	r := newPieceRig(t)
	for _, state := range []miner.DealState{miner.DealFetched, miner.DealActive, miner.DealEnded} {
		r.deal.State = state
		if err := r.records.PutDeal(r.deal); err != nil {
			t.Fatal(err)
		}
		for _, root := range r.roots {
			if got, err := sharing(r.records, root); err != nil || slices.Equal(got, []uint64{1}) != held(state) || !held(state) && len(got) != 0 {
				t.Errorf("%s in state %v: deals %v, %v", root, state, got, err)
			}
		}
		if got, err := sharing(r.records, r.deal.Deal.PayloadRoot); err != nil || len(got) != 0 {
			t.Errorf("the root that the deal names: %v, %v", got, err)
		}
	}
}

// TestDormant: a piece without a copy is offered by its index with the price that its
// deal announced, cannot be read before it is unsealed, and can then.
func TestDormant(t *testing.T) {
	r := newPieceRig(t)
	s := newSource(r.records, r.disk)
	piece := r.deal.Deal.PieceCID
	var err error
	s.sealed, err = unsealing.New(unsealing.Config{Describe: s.describe, Unseal: func(_ context.Context, _ string, w io.Writer, offset, length uint64) error {
		_, err := w.Write(r.data[offset : offset+length])
		return err
	}}, r.records, r.disk)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.describe(t.Context(), piece); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.disk.Piece(piece)); err != nil {
		t.Fatal(err)
	}
	s = &source{records: s.records, disk: s.disk, sealed: s.sealed} // what it remembers is gone
	where, err := s.Find(t.Context(), r.roots[1], 0)
	if err != nil || !where.Segment.Equals(r.roots[1]) {
		t.Fatalf("%+v, %v", where, err)
	}
	index, archive, err := s.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	asleep, ok := archive.(seller.Dormant)
	cost, err := chain.PDR(1).MulDivCeil(r.deal.Deal.PaddedSize, chain.GiB)
	if err != nil || !ok || asleep.Cost() != cost || cost.IsZero() {
		t.Fatalf("%T costs %v, want %s (%v)", archive, asleep, cost, err)
	}
	if _, err := index.ReadBlock(archive, 0); !errors.Is(err, seller.ErrUnavailable) {
		t.Errorf("read of a sealed piece: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.sealed.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	if err := errors.Join(asleep.Wake(t.Context()), asleep.Await(t.Context())); err != nil {
		t.Fatal(err)
	}
	block, err := index.ReadBlock(archive, 0)
	if err != nil || string(block) != "two" {
		t.Errorf("%q, %v", block, err)
	}
	if _, again, err := s.Open(t.Context(), where); err != nil || fmt.Sprintf("%T", again) != "*os.File" {
		t.Errorf("opened again: %T, %v", again, err)
	} else {
		again.Close()
	}
}
