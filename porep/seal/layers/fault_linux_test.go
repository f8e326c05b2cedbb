package layers

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// TestFault cuts a mapped file short while it is used, which is what a bad disk under a mapping
// looks like: that sector fails with its path, the others go on.
func TestFault(t *testing.T) {
	g := newGraph(t, 1<<17)
	want := plain(g, replicaID(1), 2)[1]
	done := newSectors(t, 4)
	done.label(t, newEngine(t, Config{Graph: g}), 1)
	for name, victim := range map[string]func(s sectors) string{
		"growing layer": func(s sectors) string { return s.path(0, 2) + partSuffix },
		"layer before":  func(s sectors) string { return s.path(0, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSectors(t, len(done))
			for i := range s {
				if err := copyFile(done.path(i, 1), s.path(i, 1)); err != nil {
					t.Fatal(err)
				}
			}
			var once sync.Once
			e := newEngine(t, Config{
				Graph: g,
				Progress: func(int, uint64) {
					once.Do(func() {
						if err := os.Truncate(victim(s), 4096); err != nil {
							t.Error(err)
						}
					})
				},
				tune: func(p *plan) { p.previous = mapped },
			})
			errs := e.Label(t.Context(), 2, s.lanes(2))
			if !errors.Is(errs[0], errFault) || !strings.Contains(errs[0].Error(), s[0]) {
				t.Errorf("sector 0: %v", errs[0])
			}
			for i := 1; i < len(s); i++ {
				if errs[i] != nil {
					t.Errorf("sector %d: %v", i, errs[i])
				}
			}
			s.check(t, 1, 2, want)
		})
	}
}

// TestGuardedPanics: only faults become errors.
func TestGuardedPanics(t *testing.T) {
	defer func() {
		if reason := fmt.Sprint(recover()); reason != "a mistake" {
			t.Errorf("recovered %s", reason)
		}
	}()
	_ = guarded(func() error { panic("a mistake") })
}
