package sealing

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/filecoin-project/go-state-types/abi"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/db"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/miner/minertest"
	"github.com/perdure/perdure/miner/sector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a miner whose process may be killed and started again.
type rig struct {
	*testing.T
	chain   *minertest.Chain
	fs      vfs.FS
	home    string
	records *db.DB
	sealing *Sealing
}

func newRig(t *testing.T, change func(*consensus.Params)) *rig {
	r := &rig{T: t, chain: minertest.New(t, change), fs: vfs.NewMem(), home: t.TempDir()}
	r.start()
	t.Cleanup(func() { r.records.Close() })
	return r
}

func (r *rig) start() {
	r.Helper()
	records, err := db.OpenFS("records", r.fs)
	if err != nil {
		r.Fatal(err)
	}
	d, err := disk.New(r.home, r.chain.Miner, 0)
	if err != nil {
		r.Fatal(err)
	}
	r.records = records
	if r.sealing, err = New(Config{Miner: r.chain.Miner, SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1,
		Retry: 1, Log: slog.New(slog.DiscardHandler)}, records, r.chain, r.chain, d); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) restart() {
	r.Helper()
	if err := r.records.Close(); err != nil {
		r.Fatal(err)
	}
	r.start()
}

// step lets every sector go as far as it can at this height.
func (r *rig) step() {
	r.Helper()
	if err := r.sealing.start(r.Context()); err != nil {
		r.Fatal(err)
	}
	r.sealing.wg.Wait()
}

func (r *rig) pack() uint64 {
	r.Helper()
	s := &miner.Sector{State: sector.Packed, Expiration: r.chain.Height() + 5000}
	if err := r.records.NewSector(s, nil); err != nil {
		r.Fatal(err)
	}
	return s.Number
}

func (r *rig) want(number uint64, state sector.State) *miner.Sector {
	r.Helper()
	s, err := r.records.Sector(number)
	if err != nil {
		r.Fatal(err)
	}
	if s.State != state {
		r.Fatalf("sector %d is %s (%s), want %s", number, s.State, s.Problem, state)
	}
	return s
}

// TestToActive seals a sector and restarts the process at every step; each
// message lands once.
func TestToActive(t *testing.T) {
	r := newRig(t, func(p *consensus.Params) { p.PoRepChallenges = 40 })
	n := r.pack()
	r.restart()
	r.step()
	r.want(n, sector.Committed)
	r.restart()
	r.step()
	r.want(n, sector.Committed) // the seed is not there yet
	r.chain.Advance(int(consensus.Devnet().SeedDelay))
	stop := errors.New("killed")
	r.chain.Refuse = func(b chain.Body) error {
		if p, ok := b.(*chain.ProveCommit); ok && p.Part == 1 {
			return stop
		}
		return nil
	}
	r.step()
	if s := r.want(n, sector.Committed); !strings.Contains(s.Problem, "killed") || s.Attempts != 1 {
		t.Errorf("parked with %q after %d attempts", s.Problem, s.Attempts)
	}
	r.chain.Refuse = nil
	r.restart()
	r.step()
	if s := r.want(n, sector.Active); s.Problem != "" {
		t.Errorf("active with problem %q", s.Problem)
	}
	if got := r.chain.Sent; got[chain.KindPreCommitSectors] != 1 || got[chain.KindProveCommit] != 3 {
		t.Errorf("landed %d pre-commits and %d parts, want 1 and 3", got[chain.KindPreCommitSectors], got[chain.KindProveCommit])
	}
	var on chain.Sector
	r.chain.Read(chain.SectorKey(r.chain.Miner, n), &on)
	if on.State != chain.SectorActive {
		t.Errorf("the chain has the sector %s", on.State)
	}
}

// TestLandedUnseen kills the process after its pre-commit landed but before it
// knew.
func TestLandedUnseen(t *testing.T) {
	r := newRig(t, nil)
	n := r.pack()
	lost := errors.New("answer lost")
	r.chain.Refuse = func(b chain.Body) error {
		if _, ok := b.(*chain.PreCommitSectors); !ok {
			return nil
		}
		r.chain.MustSend(1, b)
		return lost
	}
	r.step()
	r.want(n, sector.Sealed)
	r.chain.Refuse = nil
	r.restart()
	r.step()
	r.want(n, sector.Committed)
	if got := r.chain.Sent[chain.KindPreCommitSectors]; got != 1 {
		t.Errorf("%d pre-commits landed, want 1", got)
	}
}

// TestStaleTicket seals again with a new ticket when the first grew too old.
func TestStaleTicket(t *testing.T) {
	r := newRig(t, nil)
	n := r.pack()
	offline := errors.New("no node")
	r.chain.Refuse = func(chain.Body) error { return offline }
	r.step()
	before := r.want(n, sector.Sealed)
	r.chain.Advance(int(consensus.Devnet().TicketAge))
	r.chain.Refuse = nil
	r.restart()
	r.step()
	r.want(n, sector.Packed)
	r.step()
	after := r.want(n, sector.Committed)
	if before.Ticket == after.Ticket || before.CommR == after.CommR || after.TicketHeight <= before.TicketHeight {
		t.Errorf("sealed again with ticket height %d after %d and the same CommR: %v",
			after.TicketHeight, before.TicketHeight, before.CommR == after.CommR)
	}
}

// TestApply follows what the chain says of a sector that got there.
func TestApply(t *testing.T) {
	r := newRig(t, nil)
	n := r.pack()
	r.step()
	r.chain.Advance(int(consensus.Devnet().SeedDelay))
	r.step()
	r.want(n, sector.Active)
	at := r.chain.Height()
	r.chain.MustSend(1, &chain.DeclareFaults{Miner: r.chain.Miner, Sectors: []uint64{n}})
	for _, u := range r.chain.Updates(at) {
		if err := r.sealing.Apply(u); err != nil {
			t.Fatal(err)
		}
	}
	r.want(n, sector.Faulty)
}

// TestFull parks a sector when the disk has no room, and names the path.
func TestFull(t *testing.T) {
	r := newRig(t, nil)
	full, err := disk.New(r.home, r.chain.Miner, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	r.sealing.disk = full
	n := r.pack()
	r.step()
	if s := r.want(n, sector.Packed); !strings.Contains(s.Problem, disk.ErrFull.Error()) || !strings.Contains(s.Problem, r.home) {
		t.Errorf("problem is %q", s.Problem)
	}
	r.restart()
	r.step()
	r.want(n, sector.Committed)
}

// TestForgotten removes files and record of a sector when the chain lets go of it,
// in whatever state it was last seen; one that has not reached the chain stays.
func TestForgotten(t *testing.T) {
	r := newRig(t, nil)
	for state, stays := range map[sector.State]bool{sector.Packed: true, sector.Sealed: true, sector.Committed: false, sector.Active: false,
		sector.Faulty: false, sector.Ended: false} {
		n := r.pack()
		dir := r.sealing.disk.Sector(n)
		if err := errors.Join(os.MkdirAll(dir, 0o755), r.records.UpdateSector(n, func(s *miner.Sector) error { s.State = state; return nil })); err != nil {
			t.Fatal(err)
		}
		u := &consensus.Update{}
		for _, k := range []chain.Key{chain.SectorKey(r.chain.Miner, n), chain.SectorKey(r.chain.Miner+1, n), chain.SectorKey(r.chain.Miner, n+1000)} {
			u.Changes = append(u.Changes, consensus.Change{Table: k.Table, ID: []byte(k.ID)})
		}
		if err := r.sealing.Apply(u); err != nil {
			t.Fatal(err)
		}
		_, err := r.records.Sector(n)
		if errors.Is(err, miner.ErrNoRecord) == stays {
			t.Errorf("%s: record %v", state, err)
		}
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) == stays {
			t.Errorf("%s: files %v", state, err)
		}
	}
}
