package sealing

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner/sector"
	"github.com/perdure/perdure/porep/seal"
)

// bound starts the rig anew with other limits.
func (r *rig) bound(change func(*Config)) {
	r.Helper()
	cfg := r.sealing.cfg
	change(&cfg)
	sealing, err := New(cfg, r.records, r.chain, r.chain, r.sealing.disk)
	if err != nil {
		r.Fatal(err)
	}
	r.sealing = sealing
}

// states counts the sectors in a state.
func (r *rig) states() map[sector.State]int {
	r.Helper()
	all, err := r.records.Sectors()
	if err != nil {
		r.Fatal(err)
	}
	count := map[sector.State]int{}
	for _, rec := range all {
		if rec.Problem != "" {
			r.Errorf("sector %d is parked: %s", rec.Number, rec.Problem)
		}
		count[rec.State]++
	}
	return count
}

// TestLimits packs five sectors under each limit: those that do not fit wait, say
// why, and are sealed by later rounds; none fails.
func TestLimits(t *testing.T) {
	each, err := newLimits(Config{SealProof: 5})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		limit  func(*Config)
		says   string
		rounds []int // sectors that are on the chain after each round
	}{
		{"parallel", func(c *Config) { c.Parallel = 2 }, "sealing.parallel is 2", []int{2, 4, 5}},
		{"none", func(c *Config) { c.Parallel = 9 }, "", []int{5}},
		{"memory", func(c *Config) { c.Parallel, c.Memory = 9, 4*each.each.memory-1 }, "sealing.memory is", []int{3, 5}},
		// Files that only sealing needs go when a sector is active, which needs the seed.
		{"scratch", func(c *Config) { c.Parallel, c.Scratch = 9, 3*each.each.scratch-1 }, "sealing.scratch is", []int{2, 2, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.bound(c.limit)
			for range 5 {
				r.pack()
			}
			for i, want := range c.rounds {
				r.step()
				states := r.states()
				if states[sector.Committed] != want || states[sector.Packed] != 5-want {
					t.Fatalf("after round %d: %v, want %d committed", i, states, want)
				}
				for n := uint64(1); n <= 5; n++ {
					reason := r.sealing.Waiting(n)
					if waits := n > uint64(want); waits != (reason != "") || !strings.Contains(reason, c.says) && waits {
						t.Errorf("round %d: sector %d waits because %q", i, n, reason)
					}
				}
			}
			if c.name != "scratch" {
				return
			}
			for range 5 {
				r.chain.Advance(int(consensus.Devnet().SeedDelay))
				r.step() // proven and active: the files go
				r.step() // others take their place
			}
			if states := r.states(); states[sector.Active] != 5 {
				t.Errorf("in the end: %v", states)
			}
		})
	}
}

// TestBegunFirst: a sector whose files take scratch space already goes on even if
// no new one may begin.
func TestBegunFirst(t *testing.T) {
	r := newRig(t, nil)
	first := r.pack()
	second := r.pack()
	limit := func(c *Config) { c.Parallel, c.Scratch = 1, r.sealing.limits.each.scratch }
	r.bound(limit)
	inTheWay := filepath.Join(r.sealing.disk.Sector(first), "unsealed.tmp") // where its data should be written
	if err := os.MkdirAll(filepath.Join(inTheWay, "not empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.step()
	if s := r.want(first, sector.Packed); !strings.Contains(s.Problem, "unsealed") || s.TicketHeight == 0 {
		t.Fatalf("ticket height %d, problem %q", s.TicketHeight, s.Problem)
	}
	if err := os.RemoveAll(inTheWay); err != nil {
		t.Fatal(err)
	}
	r.bound(limit)
	r.step()
	r.want(first, sector.Committed)
	r.want(second, sector.Packed)
	if reason := r.sealing.Waiting(second); !strings.Contains(reason, "sealing.parallel") && !strings.Contains(reason, "sealing.scratch") {
		t.Errorf("waits because %q", reason)
	}
}

// TestDiskFullWhileSealing: files cannot grow beyond a limit, as on a full disk.
// The sector that is being sealed is parked with the path, the one that is on its
// way to the chain goes on, and with space again both get there. The limit is the
// process's, so the test is done by a child.
func TestDiskFullWhileSealing(t *testing.T) {
	const childEnv = "PERDURE_DISK_FULL_CHILD"
	if os.Getenv(childEnv) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskFullWhileSealing$")
		cmd.Env = append(os.Environ(), childEnv+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	r := newRig(t, nil)
	sealed := r.pack()
	r.step()
	r.want(sealed, sector.Committed)
	full := r.pack()
	withFileLimit(t, 3000, func() {
		r.chain.Advance(int(consensus.Devnet().SeedDelay))
		r.step()
	})
	r.want(sealed, sector.Active)
	s := r.want(full, sector.Packed)
	for _, part := range []string{"sector 2", string(seal.StepTreeD), r.sealing.disk.Sector(full), syscall.EFBIG.Error()} {
		if !strings.Contains(s.Problem, part) {
			t.Errorf("the problem does not name %s: %q", part, s.Problem)
		}
	}
	r.restart()
	r.step()
	if s := r.want(full, sector.Committed); s.Problem != "" {
		t.Errorf("problem is still %q", s.Problem)
	}
}

// TestLocked parks a sector whose directory another process has.
func TestLocked(t *testing.T) {
	r := newRig(t, nil)
	n := r.pack()
	other, err := seal.Open(r.sealing.sealConfig(n, 1))
	if err != nil {
		t.Fatal(err)
	}
	r.step()
	if s := r.want(n, sector.Packed); !strings.Contains(s.Problem, seal.ErrLocked.Error()) || !strings.Contains(s.Problem, r.sealing.disk.Sector(n)) {
		t.Errorf("problem is %q", s.Problem)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	r.restart()
	r.step()
	r.want(n, sector.Committed)
}

// TestKeep: an active sector has only the files that proofs need and those that
// are kept; what a killed process left goes at the next start.
func TestKeep(t *testing.T) {
	r := newRig(t, nil)
	r.bound(func(c *Config) { c.Keep = seal.Keep{LastLayer: true} })
	n := r.pack()
	r.step()
	r.chain.Advance(int(consensus.Devnet().SeedDelay))
	r.step()
	r.want(n, sector.Active)
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(r.sealing.disk.Sector(n), name))
		return err == nil
	}
	for name, want := range map[string]bool{
		"sealed": true, "p_aux": true, "sc-02-data-tree-r-last.dat": true, "sc-02-data-layer-2.dat": true,
		"unsealed": false, "sc-02-data-layer-1.dat": false, "sc-02-data-tree-c.dat": false, "sc-02-data-tree-d.dat": false,
	} {
		if has(name) != want {
			t.Errorf("%s is there: %v", name, has(name))
		}
	}
	r.bound(func(c *Config) { c.Keep = seal.Keep{} })
	if err := r.sealing.tidyAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if has("sc-02-data-layer-2.dat") || !has("sealed") {
		t.Error("the start of the next process did not tidy")
	}
}

// TestRate: the rate is that of the last minute, and what a step finds done does
// not count.
func TestRate(t *testing.T) {
	at := time.Unix(1000, 0)
	track := newTrack(seal.StepLabels, 500, 10_000, at)
	if p := track.progress(at); p.Rate != 0 || p.Left != 0 || p.Percent() != 5 {
		t.Errorf("at first: %+v", p)
	}
	for i := range 100 { // slowly, then ten times as fast
		at = at.Add(time.Second)
		if i < 50 {
			track.tell(track.done+10, 10_000, at)
		} else {
			track.tell(track.done+100, 10_000, at)
		}
		if i == 20 {
			if p := track.progress(at); p.Rate != 10 || p.Left != 929*time.Second {
				t.Errorf("slowly: %+v", p)
			}
		}
	}
	if p := track.progress(at); p.Rate < 80 || p.Rate > 100 || p.Done != 6000 {
		t.Errorf("fast: %+v", p)
	}
}

// TestStats: the counters know what was sealed.
func TestStats(t *testing.T) {
	r := newRig(t, nil)
	n := r.pack()
	seen := map[seal.Step]bool{}
	report := r.sealing.sealConfig(n, 1).Progress
	report(seal.StepLabels, 0, 128)
	report(seal.StepLabels, 64, 128)
	if p, ok := r.sealing.Progress(n); !ok || p.Done != 64 || p.Total != 128 {
		t.Errorf("progress is %+v", p)
	}
	if s := r.sealing.Stats(); s.Sectors[seal.StepLabels] != 1 || s.Nodes[seal.StepLabels] != 64 {
		t.Errorf("stats are %+v", s)
	}
	r.step()
	r.want(n, sector.Committed)
	s := r.sealing.Stats()
	for step, seconds := range s.Seconds {
		if seconds < 0 {
			t.Errorf("%s took %f s", step, seconds)
		}
		seen[step] = true
	}
	for _, step := range []seal.Step{seal.StepData, seal.StepTreeD, seal.StepLabels, seal.StepTreeC, seal.StepReplica, seal.StepTreeRLast, seal.StepCheck} {
		if !seen[step] {
			t.Errorf("no time was spent in %s", step)
		}
	}
	if len(s.Sectors) != 0 || s.Waiting != 0 {
		t.Errorf("idle, but %+v", s)
	}
}

// withFileLimit runs f while no file may grow beyond most bytes.
func withFileLimit(t *testing.T, most uint64, f func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // a write beyond the limit is an error instead
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: most, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}
