package unsealing

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/db"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/miner/sector"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a miner with one sealed sector of three pieces, the last of them large enough
// to be unsealed in parts.
type rig struct {
	*testing.T
	disk    *disk.Disk
	records *db.DB
	pieces  []cid.Cid
	data    [][]byte
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t}
	var err error
	r.disk, err = disk.New(t.TempDir(), chain.FirstMinerID, 0)
	must(t, err)
	r.records, err = db.OpenFS("records", vfs.NewMem())
	must(t, err)
	t.Cleanup(func() { must(t, r.records.Close()) })
	rec := &miner.Sector{State: sector.Active}
	var deals []*miner.Deal
	var data []seal.Piece
	src := rand.NewChaCha8([32]byte{7})
	for i, size := range []int{100, 200, 1000} { // padded 128, 256, 1024: the second does not begin where the first ends
		b := make([]byte, size)
		_, _ = src.Read(b)
		info, err := piece.Commit(bytes.NewReader(b))
		must(t, err)
		commP, err := piece.ParseUnsealedCID(info.CID)
		must(t, err)
		r.pieces, r.data = append(r.pieces, info.CID), append(r.data, b)
		rec.Pieces = append(rec.Pieces, chain.SectorPiece{PieceCID: info.CID, PaddedSize: info.PaddedSize, Deal: uint64(i + 1)})
		data = append(data, seal.Piece{Data: bytes.NewReader(b), PaddedSize: info.PaddedSize, CommP: commP})
		d := &miner.Deal{ID: uint64(i + 1), Deal: chain.Deal{ID: uint64(i + 1), PieceCID: info.CID, PayloadRoot: info.CID, PaddedSize: info.PaddedSize}}
		d.Deal.Client, err = chain.AddressOfKey(bytes.Repeat([]byte{1}, chain.PrivateKeySize))
		must(t, err)
		deals = append(deals, d)
		must(t, os.WriteFile(r.disk.Piece(info.CID), b, 0o644))
	}
	must(t, r.records.NewSector(rec, deals))
	for _, d := range deals {
		d.State = miner.DealActive
		must(t, r.records.PutDeal(d))
	}
	dir, err := seal.Open(seal.Config{ProofType: abi.RegisteredSealProof_StackedDrg2KiBV1_1, MinerID: uint64(chain.FirstMinerID),
		Number: abi.SectorNumber(rec.Number), Dir: r.disk.Sector(rec.Number), Workers: 1})
	must(t, err)
	must(t, dir.WriteData(t.Context(), data))
	_, err = dir.Seal(t.Context(), [32]byte{9})
	must(t, err)
	must(t, errors.Join(dir.Finalize(seal.Keep{}), dir.Close()))
	return r
}

// open starts what a process does, by the real sector unless change says otherwise.
func (r *rig) open(change func(*Config)) *Unsealing {
	r.Helper()
	c := Config{Retry: time.Hour, Describe: func(_ context.Context, c cid.Cid) (uint64, error) {
		for i := range r.pieces {
			if r.pieces[i].Equals(c) {
				return uint64(len(r.data[i])), nil
			}
		}
		return 0, errors.New("no such piece")
	}}
	if change != nil {
		change(&c)
	}
	u, err := New(c, r.records, r.disk)
	must(r.T, err)
	return u
}

// run runs until stop.
func (r *rig) run(u *Unsealing) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	return func() {
		r.Helper()
		cancel()
		must(r.T, <-done)
	}
}

func (r *rig) state(u *Unsealing, i int, want State) {
	r.Helper()
	if got, err := u.State(r.pieces[i]); got != want || err != nil {
		r.Fatalf("piece %d is in state %d (%v), want %d", i, got, err, want)
	}
}

// dropAll drops every copy.
func (r *rig) dropAll() {
	r.Helper()
	u := r.open(func(c *Config) { c.Idle = 1 })
	must(r.T, u.drop(r.Context()))
	for i := range r.pieces {
		r.state(u, i, Sealed)
	}
}

// TestUnseal drops all copies and gets each back from the sector, byte for byte, its own
// range alone.
func TestUnseal(t *testing.T) {
	r := newRig(t)
	r.dropAll()
	var wrote []uint64
	u := r.open(func(c *Config) {
		c.Unseal = func(ctx context.Context, dir string, w io.Writer, offset, length uint64) error {
			wrote = append(wrote, length)
			return unsealSector(ctx, dir, w, offset, length)
		}
	})
	stop := r.run(u)
	defer stop()
	before := u.Changes()
	for i, c := range r.pieces {
		must(t, u.Order(c))
		must(t, u.Order(c)) // twice is once
		must(t, u.Await(t.Context(), c))
		r.state(u, i, Here)
		got, err := os.ReadFile(r.disk.Piece(c))
		must(t, err)
		if !bytes.Equal(got, r.data[i]) || wrote[i] != uint64(len(r.data[i])) || len(wrote) != i+1 {
			t.Errorf("piece %d: %d bytes, unsealed were %v", i, len(got), wrote)
		}
		must(t, u.Await(t.Context(), c)) // it is there
	}
	if u.Changes() == before {
		t.Error("nothing has changed")
	}
	if left, err := r.disk.Orders(); err != nil || len(left) != 0 {
		t.Errorf("orders are left: %v, %v", left, err)
	}
}

// TestKilled: an order outlives the process that took it, before the work, in the middle
// of it, and after it; what was written is not written again.
func TestKilled(t *testing.T) {
	r := newRig(t)
	r.dropAll()
	c := r.pieces[2]
	must(t, r.open(nil).Order(c))
	half := r.open(func(cfg *Config) {
		cfg.Unseal = func(_ context.Context, dir string, w io.Writer, offset, length uint64) error {
			if err := unsealSector(t.Context(), dir, w, offset, 400); err != nil {
				return err
			}
			return context.Canceled // as a process that dies: nothing more of it happens
		}
	})
	r.state(half, 2, Ordered)
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	half.work(dead, half.orders[0])
	r.state(r.open(nil), 2, Ordered)
	var from, length uint64
	u := r.open(func(cfg *Config) {
		cfg.Unseal = func(ctx context.Context, dir string, w io.Writer, offset, n uint64) error {
			from, length = offset, n
			return unsealSector(ctx, dir, w, offset, n)
		}
	})
	stop := r.run(u)
	must(t, u.Await(t.Context(), c))
	stop()
	if at := uint64(1024 / 128 * 127); from != at+400 || length != 600 {
		t.Errorf("unsealed %d bytes from %d, want 600 from %d", length, from, at+400)
	}
	r.state(u, 2, Here)
	must(t, r.disk.Order(c)) // the process died before it struck the order
	again := r.open(nil)
	stop = r.run(again)
	must(t, again.Await(t.Context(), c))
	stop()
	if left, err := r.disk.Orders(); err != nil || len(left) != 0 {
		t.Errorf("orders are left: %v, %v", left, err)
	}
}

// TestBadSector: what comes out of a damaged sector is not taken for the piece; whoever
// waits is told, the order stands, and another try begins anew.
func TestBadSector(t *testing.T) {
	r := newRig(t)
	r.dropAll()
	bad := true
	u := r.open(func(cfg *Config) {
		cfg.Retry = time.Millisecond
		cfg.Unseal = func(ctx context.Context, dir string, w io.Writer, offset, length uint64) error {
			if bad {
				bad = false
				_, err := w.Write(make([]byte, length))
				return err
			}
			return unsealSector(ctx, dir, w, offset, length)
		}
	})
	must(t, u.Order(r.pieces[1]))
	u.work(t.Context(), u.orders[0])
	r.state(u, 1, Ordered)
	stop := r.run(u)
	must(t, u.Await(t.Context(), r.pieces[1]))
	stop()
	got, err := os.ReadFile(r.disk.Piece(r.pieces[1]))
	must(t, err)
	if !bytes.Equal(got, r.data[1]) {
		t.Error("other bytes came back")
	}
}

// TestDrop keeps copies that somebody reads, that a sector is still to be made of, or
// that no sector holds, and what is ordered of a piece whose deal has ended is given up.
func TestDrop(t *testing.T) {
	r := newRig(t)
	u := r.open(func(c *Config) { c.Idle = time.Hour })
	must(t, u.drop(t.Context()))
	for i := range r.pieces { // they are young
		r.state(u, i, Here)
	}
	old := time.Now().Add(-2 * time.Hour)
	for _, c := range r.pieces {
		must(t, os.Chtimes(r.disk.Piece(c), old, old))
	}
	u.Used(r.pieces[0])
	d, err := r.records.Deal(2)
	must(t, err)
	second := *d
	second.ID, second.Deal.ID, second.State = 9, 9, miner.DealPacked
	must(t, r.records.PutDeal(&second))
	must(t, u.drop(t.Context()))
	for i, want := range []State{Here, Here, Sealed} {
		r.state(u, i, want)
	}
	must(t, u.Order(r.pieces[2]))
	third, err := r.records.Deal(3)
	must(t, err)
	third.State = miner.DealEnded
	must(t, r.records.PutDeal(third))
	stop := r.run(u)
	if err := u.Await(t.Context(), r.pieces[2]); !errors.Is(err, ErrGone) {
		t.Errorf("a piece of an ended deal: %v", err)
	}
	stop()
	r.state(u, 2, Absent)
	if err := u.Order(r.pieces[2]); !errors.Is(err, ErrGone) {
		t.Errorf("ordered again: %v", err)
	}
}
