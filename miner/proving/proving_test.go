package proving

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/miner/minertest"
	"github.com/perdure/perdure/porep/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const proofType = abi.RegisteredSealProof_StackedDrg2KiBV1_1

type rig struct {
	*testing.T
	chain   *minertest.Chain
	disk    *disk.Disk
	proving *Proving
	alerts  map[uint64]int
	params  *consensus.Params
}

// newRig makes a miner with active sectors, numbered from 1.
func newRig(t *testing.T, sectors int) *rig {
	r := &rig{T: t, chain: minertest.New(t, nil), alerts: map[uint64]int{}}
	r.params, _ = r.chain.Params(t.Context())
	var err error
	if r.disk, err = disk.New(t.TempDir(), r.chain.Miner, 0); err != nil {
		t.Fatal(err)
	}
	for n := range sectors {
		r.activate(uint64(n + 1))
	}
	r.proving, err = New(Config{Miner: r.chain.Miner, SealProof: proofType, Log: slog.New(slog.DiscardHandler),
		Alert: func(n uint64, _ error) { r.alerts[n]++ }}, r.chain, r.chain, r.chain, r.disk)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) activate(n uint64) {
	r.Helper()
	s, err := seal.Open(seal.Config{ProofType: proofType, MinerID: r.chain.Miner, Number: abi.SectorNumber(n), Dir: r.disk.Sector(n)})
	if err != nil {
		r.Fatal(err)
	}
	defer s.Close()
	at := r.chain.Height()
	var b chain.Beacon
	r.chain.Read(chain.BeaconKey(at), &b)
	sealed, err := s.Seal(r.Context(), consensus.SealTicket(b.Value, r.chain.Miner))
	if err != nil {
		r.Fatal(err)
	}
	r.chain.MustSend(1, &chain.PreCommitSectors{Miner: r.chain.Miner, Sectors: []chain.PreCommit{{
		Number: n, CommR: sealed.CommR, TicketHeight: at, Expiration: at + 5000}}})
	r.chain.Advance(int(r.params.SeedDelay))
	on := r.sector(n)
	r.chain.Read(chain.BeaconKey(on.SeedHeight), &b)
	proof, err := s.Prove(r.Context(), consensus.SealSeed(b.Value, r.chain.Miner, n), 0, int(r.params.PoRepChallenges))
	if err != nil {
		r.Fatal(err)
	}
	r.chain.MustSend(1, &chain.ProveCommit{Miner: r.chain.Miner, Number: n, Proof: proof})
}

func (r *rig) sector(n uint64) *chain.Sector {
	r.Helper()
	on := new(chain.Sector)
	r.chain.Read(chain.SectorKey(r.chain.Miner, n), on)
	return on
}

func (r *rig) want(n uint64, state chain.SectorState) {
	r.Helper()
	if on := r.sector(n); on.State != state {
		r.Fatalf("at height %d sector %d is %s, want %s", r.chain.Height(), n, on.State, state)
	}
}

// live looks at the deadlines at each of the next blocks.
func (r *rig) live(blocks uint64) {
	r.Helper()
	for range blocks {
		if err := r.proving.look(r.Context()); err != nil {
			r.Fatal(err)
		}
		r.proving.wg.Wait()
		r.chain.Advance(1)
	}
}

func TestProven(t *testing.T) {
	r := newRig(t, 4)
	r.live(3 * r.params.Period())
	for n := uint64(1); n <= 4; n++ {
		r.want(n, chain.SectorActive)
	}
	if got := r.chain.Sent[chain.KindSubmitWindowProof]; got < 6 || got > 12 {
		t.Errorf("%d proofs landed in three periods of three deadlines", got)
	}
	if s := r.proving.Stats(); s.Failed != 0 || s.Proven != uint64(r.chain.Sent[chain.KindSubmitWindowProof]) {
		t.Errorf("stats %+v", s)
	}
}

// TestBroken loses a sector's replica: it is declared before the cut-off, the
// others are proven, and when the file is back the sector recovers.
func TestBroken(t *testing.T) {
	r := newRig(t, 4)
	path := filepath.Join(r.disk.Sector(2), "sealed")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r.live(r.params.Period() + r.params.Window)
	r.want(2, chain.SectorFaulty)
	for _, n := range []uint64{1, 3, 4} {
		r.want(n, chain.SectorActive)
	}
	if r.alerts[2] == 0 || len(r.alerts) != 1 {
		t.Errorf("alerts %v, want some of sector 2 alone", r.alerts)
	}
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	r.live(2 * r.params.Period())
	r.want(2, chain.SectorActive)
	if r.chain.Sent[chain.KindDeclareFaults] != 1 || r.chain.Sent[chain.KindDeclareRecoveries] != 1 {
		t.Errorf("landed %v", r.chain.Sent)
	}
}

// TestDeclareAgain: what the check before the cut-off could not send is sent at
// the next block, for damage as for what is whole again.
func TestDeclareAgain(t *testing.T) {
	r := newRig(t, 1)
	path := filepath.Join(r.disk.Sector(1), "sealed")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tries := map[chain.Kind]int{}
	r.chain.Refuse = func(b chain.Body) error {
		if _, isProof := b.(*chain.SubmitWindowProof); isProof {
			return nil
		}
		if tries[b.Kind()]++; tries[b.Kind()] == 1 {
			return errors.New("the node is away")
		}
		return nil
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r.live(r.params.Period())
	r.want(1, chain.SectorFaulty)
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	r.live(2 * r.params.Period())
	r.want(1, chain.SectorActive)
	for _, kind := range []chain.Kind{chain.KindDeclareFaults, chain.KindDeclareRecoveries} {
		if tries[kind] != 2 || r.chain.Sent[kind] != 1 {
			t.Errorf("%s: %d tries, %d landed", kind, tries[kind], r.chain.Sent[kind])
		}
	}
}

// TestSkipped finds the damage only in the window: the sector is left out of
// the proof. All sectors are in one partition.
func TestSkipped(t *testing.T) {
	r := newRig(t, 6)
	a := r.sector(1)
	var other uint64
	for n := uint64(2); n <= 6; n++ {
		if b := r.sector(n); b.Deadline == a.Deadline && b.Partition == a.Partition {
			other = n
		}
	}
	if other == 0 {
		t.Fatal("no two of six sectors share a partition")
	}
	for range 2 * r.params.Period() { // up to the block before the window
		d, ok := r.params.Schedule().At(r.minerStart(), uint64(r.chain.Height())+1)
		if ok && d.Index == a.Deadline && d.Open == uint64(r.chain.Height())+1 {
			break
		}
		r.live(1)
	}
	if err := os.Truncate(filepath.Join(r.disk.Sector(1), "sealed"), 100); err != nil {
		t.Fatal(err)
	}
	r.live(r.params.Window)
	r.want(1, chain.SectorFaulty)
	r.want(other, chain.SectorActive)
	if s := r.proving.Stats(); s.Skipped == 0 {
		t.Errorf("stats %+v, want a skipped sector", s)
	}
}

func (r *rig) minerStart() uint64 {
	var m chain.Miner
	r.chain.Read(chain.MinerKey(r.chain.Miner), &m)
	return uint64(m.PeriodStart)
}

// TestResubmit sends a proof again when it did not land, within its window.
func TestResubmit(t *testing.T) {
	r := newRig(t, 1)
	lost := errors.New("lost on the way")
	tries := 0
	r.chain.Refuse = func(b chain.Body) error {
		if _, ok := b.(*chain.SubmitWindowProof); ok {
			if tries++; tries%3 != 0 {
				return lost
			}
		}
		return nil
	}
	r.live(2 * r.params.Period())
	r.want(1, chain.SectorActive)
	if got := r.chain.Sent[chain.KindSubmitWindowProof]; got < 1 || tries != 3*got {
		t.Errorf("%d proofs landed after %d tries, want a third", got, tries)
	}
}

// TestPartitionGone ends the only sector of a deadline, whose partition goes, and
// seals another that gets the next partition there: it is proven all the same.
func TestPartitionGone(t *testing.T) {
	r := newRig(t, 4)
	old := r.sector(2)
	r.chain.MustSend(1, &chain.TerminateSectors{Miner: r.chain.Miner, Sectors: []uint64{2}})
	r.live(r.params.Period() + r.params.Window)
	r.activate(5)
	on := r.sector(5)
	if on.Deadline != old.Deadline || on.Partition != old.Partition+1 {
		t.Fatalf("sector 5 is in partition %d of deadline %d, want the one after %d of %d", on.Partition, on.Deadline, old.Partition, old.Deadline)
	}
	r.live(2 * r.params.Period())
	for _, n := range []uint64{1, 3, 4, 5} {
		r.want(n, chain.SectorActive)
	}
	if s := r.proving.Stats(); s.Failed != 0 || r.proving.first[old.Deadline] != 1 {
		t.Errorf("stats %+v, partitions that are gone by deadline %v", s, r.proving.first)
	}
}
