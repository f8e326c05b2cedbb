package daemon

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/db"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/segment"
	"github.com/perdure/perdure/retrieval/seller"
)

// sharedPiece is a piece that holds several payloads of one block each.
func sharedPiece(t *testing.T, blocks ...string) (piece.Info, []byte, []cid.Cid) {
	t.Helper()
	var payloads []segment.Payload
	var roots []cid.Cid
	for _, b := range blocks {
		root := car.LeafCID(sha256.Sum256([]byte(b)))
		var out bytes.Buffer
		w, err := car.NewWriter(&out, root)
		if err == nil {
			err = w.Put(root, []byte(b))
		}
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, root)
		payloads = append(payloads, segment.Payload{Index: w.Index(), Open: func() (io.ReadCloser, error) { return io.NopCloser(&out), nil }})
	}
	plan, err := segment.NewPlan(payloads, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := plan.Write(&out, payloads); err != nil {
		t.Fatal(err)
	}
	info, err := piece.Commit(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return info, out.Bytes(), roots
}

// TestSource serves a piece of several payloads as a whole and by each root, also after
// what was derived from the piece is lost, and lets go of it.
func TestSource(t *testing.T) {
	where, err := disk.New(t.TempDir(), chain.FirstMinerID, 0)
	if err != nil {
		t.Fatal(err)
	}
	records, err := db.OpenFS("records", vfs.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	info, data, roots := sharedPiece(t, "one", "two", "three")
	leaf := car.LeafCID(sha256.Sum256(data))
	deal := &miner.Deal{ID: 1, State: miner.DealActive, Deal: chain.Deal{ID: 1, PieceCID: info.CID, PayloadRoot: leaf, PaddedSize: info.PaddedSize, Client: testAddress(t)}}
	if err := errors.Join(records.PutDeal(deal), records.SetContents(info.CID, roots), os.WriteFile(where.Piece(info.CID), data, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{"first", "from beside the piece", "after a loss"} {
		s := newSource(records, where)
		if again == "after a loss" {
			if err := errors.Join(os.Remove(where.PieceIndex(info.CID)), os.Remove(where.PieceContents(info.CID))); err != nil {
				t.Fatal(err)
			}
		}
		whole := read(t, s, leaf, 0)
		if len(whole) != 1 || !bytes.Equal(whole[0], data) {
			t.Errorf("%s: %d leaves", again, len(whole))
		}
		for i, want := range []string{"one", "two", "three"} {
			if got := read(t, s, roots[i], 0); len(got) != 1 || string(got[0]) != want {
				t.Errorf("%s: payload %d is %q", again, i, got)
			}
		}
		for _, c := range []seller.Content{{Piece: info.CID, Segment: leaf}, {Piece: leaf}} {
			if _, _, err := s.Open(t.Context(), c); !errors.Is(err, seller.ErrNotFound) {
				t.Errorf("%s: %+v: %v", again, c, err)
			}
		}
		if _, err := s.Find(t.Context(), roots[0], 1); !errors.Is(err, seller.ErrNotFound) {
			t.Errorf("%s: a second part: %v", again, err)
		}
	}
	if err := errors.Join(where.RemovePiece(info.CID), records.SetContents(info.CID, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := newSource(records, where).Find(t.Context(), roots[0], 0); !errors.Is(err, seller.ErrNotFound) {
		t.Errorf("found after it is gone: %v", err)
	}
}

func testAddress(t *testing.T) chain.Address {
	t.Helper()
	a, err := chain.AddressOfKey(bytes.Repeat([]byte{1}, chain.PrivateKeySize))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// read returns the blocks that a root is served with.
func read(t *testing.T, s *source, root cid.Cid, part uint64) (out [][]byte) {
	t.Helper()
	c, err := s.Find(t.Context(), root, part)
	if err != nil {
		t.Fatal(err)
	}
	x, archive, err := s.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if !x.Root().Equals(root) {
		t.Errorf("index of root %s, want %s", x.Root(), root)
	}
	for i := range x.Len() {
		block, err := x.ReadBlock(archive, i)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, block)
	}
	return out
}

// TestIndexes: a piece is read once however many ask for it, others are served
// meanwhile, an error is not remembered, and what was not asked for is forgotten.
func TestIndexes(t *testing.T) {
	var x indexes
	a, b := car.LeafCID([32]byte{1}), car.LeafCID([32]byte{2})
	index := car.Place(a, make([]car.Entry, 0))
	started, finish := make(chan struct{}), make(chan struct{})
	var reads atomic.Int32
	var all sync.WaitGroup
	all.Go(func() {
		_, _ = x.of(a, wholeOnly, func() ([]*car.Index, error) {
			reads.Add(1)
			close(started)
			<-finish
			return []*car.Index{index}, nil
		})
	})
	<-started
	if got, err := x.of(b, wholeOnly, func() ([]*car.Index, error) { return []*car.Index{index}, nil }); err != nil || len(got) != 1 {
		t.Fatalf("another piece waits: %v", err)
	}
	for range 3 {
		all.Go(func() {
			if got, err := x.of(a, wholeOnly, func() ([]*car.Index, error) { reads.Add(1); return nil, nil }); err != nil || len(got) != 1 {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	close(finish)
	all.Wait()
	if n := reads.Load(); n != 1 {
		t.Errorf("read %d times", n)
	}
	bad := errors.New("bad disk")
	c := car.LeafCID([32]byte{3})
	if _, err := x.of(c, wholeOnly, func() ([]*car.Index, error) { return nil, bad }); !errors.Is(err, bad) {
		t.Error(err)
	}
	big := func() ([]*car.Index, error) {
		entries := make([]car.Entry, maxIndexed/2+1)
		for i := range entries {
			entries[i].CID = a
		}
		return []*car.Index{car.Place(c, entries)}, nil
	}
	for i := range 3 {
		if _, err := x.of(car.LeafCID([32]byte{9, byte(i)}), contents, big); err != nil {
			t.Fatal(err)
		}
	}
	if x.blocks > maxIndexed {
		t.Errorf("%d blocks remembered", x.blocks)
	}
	if _, known := x.known[indexKey{car.LeafCID([32]byte{9, 2}), contents}]; !known {
		t.Error("the newest was forgotten")
	}
}
