package post

import (
	"testing"

	"pgregory.net/rapid"
)

// TestSchedule walks heights one by one beside At and Next.
func TestSchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Schedule{
			Deadlines: rapid.Uint64Range(1, 5).Draw(t, "deadlines"), Window: rapid.Uint64Range(1, 7).Draw(t, "window"),
			Lookback: rapid.Uint64Range(0, 9).Draw(t, "lookback"), Cutoff: rapid.Uint64Range(0, 9).Draw(t, "cutoff"),
		}
		start := rapid.Uint64Range(0, 40).Draw(t, "start")
		if _, ok := s.At(start, start-1); start > 0 && ok {
			t.Fatal("a deadline is open before the first period")
		}
		next := make([]uint64, s.Deadlines) // first opening at or after the height, walking down
		height := start + 3*s.Period()
		for i := range next {
			next[i] = height + uint64(i)*s.Window
		}
		for height > start {
			height--
			into := height - start
			index := into / s.Window % s.Deadlines
			if into%s.Window == 0 {
				next[index] = height
			}
			d, ok := s.At(start, height)
			open := height - into%s.Window
			if !ok || d.Index != index || d.Period != into/s.Period() || d.Open != open || d.Close != open+s.Window {
				t.Fatalf("height %d: %+v", height, d)
			}
			if d.Challenge+s.Lookback != open && (d.Challenge != 0 || s.Lookback <= open) {
				t.Fatalf("challenge height of %+v", d)
			}
			if d.Cutoff+s.Cutoff != open && (d.Cutoff != 0 || s.Cutoff <= open) {
				t.Fatalf("cut-off of %+v", d)
			}
			for i, want := range next {
				got, ok := s.Next(start, uint64(i), height)
				if !ok || got.Open != want || got.Index != uint64(i) {
					t.Fatalf("deadline %d after %d: %+v, want open %d", i, height, got, want)
				}
			}
		}
		first, ok := s.Next(start, 0, 0)
		if !ok || first.Open != start || first.Period != 0 {
			t.Fatalf("first opening: %+v", first)
		}
	})
}

func TestScheduleRefuses(t *testing.T) {
	for _, s := range []Schedule{{}, {Deadlines: 1}, {Window: 1}, {Deadlines: 1 << 33, Window: 1 << 33}} {
		if s.Valid() {
			t.Errorf("%+v is valid", s)
		}
		if _, ok := s.At(0, 0); ok {
			t.Errorf("%+v has a deadline", s)
		}
		if _, ok := s.Next(0, 0, 0); ok {
			t.Errorf("%+v has a next deadline", s)
		}
	}
	if _, ok := (Schedule{Deadlines: 3, Window: 20}).Next(0, 3, 0); ok {
		t.Error("a fourth of three deadlines opens")
	}
}

func TestPartitions(t *testing.T) {
	for _, c := range [][2]uint64{{0, 0}, {1, 1}, {32, 1}, {33, 2}, {64, 2}, {65, 3}, {^uint64(0), 1 << 59}} {
		if got := Partitions(c[0]); got != c[1] {
			t.Errorf("%d sectors in %d partitions, want %d", c[0], got, c[1])
		}
	}
}
