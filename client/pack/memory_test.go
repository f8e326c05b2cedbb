package pack

import (
	"runtime"
	"testing"
)

// TestMemory packs 100 MiB, compares the root with kubo's, and looks at the
// live heap while both passes run.
func TestMemory(t *testing.T) {
	const size, limit = 100 * mib, 16 * mib
	opts := options(t, true)
	var before, peak, next uint64
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before = live()
	opts.Progress = func(_ Stage, done, _ uint64) {
		if done < next {
			next = 0 // the second pass begins
		}
		if done >= next {
			next += 10 * mib
			peak = max(peak, live())
		}
	}
	p, err := PackReader(t.Context(), content(size, size), opts)
	if err != nil {
		t.Fatal(err)
	}
	if want := goldenRoots(t)[hugeCase]; p.Root.String() != want || len(p.Pieces) != 13 {
		t.Errorf("root %s in %d pieces, kubo says %s", p.Root, len(p.Pieces), want)
	}
	if peak > before+limit {
		t.Errorf("live heap grew from %d to %d bytes", before, peak)
	}
	t.Logf("live heap at most %d KiB above the start", (max(peak, before)-before)/1024)
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
