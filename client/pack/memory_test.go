package pack

import (
	"runtime"
	"testing"
)

// TestMemory packs a stream of 100 MiB, compares the root with kubo's, and looks at the
// live heap while both passes run.
func TestMemory(t *testing.T) {
	const size = 100 * mib
	p := packWithin(t, 16*mib, options(t, true), func(o Options) (*Packed, error) { return PackReader(t.Context(), content(size, size), o) })
	if want := goldenRoots(t)[hugeCase]; p.Root.String() != want || len(p.Pieces) != 13 {
		t.Errorf("root %s in %d pieces, kubo says %s", p.Root, len(p.Pieces), want)
	}
}

// TestMemoryOfPieces packs a file into many pieces, each of which waits for the root.
func TestMemoryOfPieces(t *testing.T) {
	opts := options(t, false)
	opts.MaxPieceSize, opts.Plan = 512<<10, true
	path := plantFile(t, 50*mib)
	p := packWithin(t, 6*mib, opts, func(o Options) (*Packed, error) { return Pack(t.Context(), path, o) })
	if len(p.Pieces) < 200 {
		t.Errorf("%d pieces", len(p.Pieces))
	}
}

// packWithin packs, and fails if the live heap grows beyond a limit meanwhile.
func packWithin(t *testing.T, limit uint64, opts Options, pack func(Options) (*Packed, error)) *Packed {
	t.Helper()
	var before, peak, last, next uint64
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before = live()
	opts.Progress = func(_ Stage, done, _ uint64) {
		if done < last {
			next = 0 // the second pass begins
		}
		if last = done; done >= next {
			next += 10 * mib
			peak = max(peak, live())
		}
	}
	p, err := pack(opts)
	if err != nil {
		t.Fatal(err)
	}
	if peak > before+limit {
		t.Errorf("live heap grew from %d to %d bytes", before, peak)
	}
	t.Logf("live heap at most %d KiB above the start", (max(peak, before)-before)/1024)
	return p
}

func BenchmarkPack(b *testing.B) {
	for name, public := range map[string]bool{"public": true, "private": false} {
		b.Run(name, func(b *testing.B) {
			const size = 64 * mib
			b.SetBytes(size)
			for b.Loop() {
				p, err := PackReader(b.Context(), content(1, size), Options{Public: public, MaxPieceSize: 8 * mib, WorkDir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				if err := p.Remove(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
