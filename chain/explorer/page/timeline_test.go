package page

import (
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// TestSumUp tells runs of one kind as one turn, and nothing else.
func TestSumUp(t *testing.T) {
	v := &visit{tip: 100, millis: 1000}
	pay := func(h chain.Height, pdr uint64) *turn {
		sum := chain.PDR(pdr)
		return &turn{What: "Paid", kind: "dealPaid", height: h, sum: &sum}
	}
	proof := func(h chain.Height) *turn {
		return &turn{What: "Proven", kind: "proven", height: h, order: 1 << 31, last: code("m")}
	}
	got := v.sumUp([]*turn{pay(40, 2), pay(50, 3), {What: "Matched", height: 10}, proof(20), proof(31), proof(30), {What: "Faulty", height: 35}, proof(40), pay(60, 4)})
	var told []string
	for _, g := range got {
		s := g.What
		for _, a := range g.About {
			s += " " + a.Text
		}
		told = append(told, s)
	}
	want := []string{"Matched", "Proven 3 times since 20 · last by m", "Faulty", "Paid", "Proven", "Paid 2 times since 50 · in all 7 PDR"}
	if len(told) != len(want) {
		t.Fatalf("%q, want %q", told, want)
	}
	for i := range want {
		if told[i] != want[i] {
			t.Errorf("turn %d: %q, want %q", i, told[i], want[i])
		}
	}
}

// TestCalendarSpan: a calendar has whole periods.
func TestCalendarSpan(t *testing.T) {
	for _, c := range []struct{ tip, from, to uint64 }{{970, 850, 1089}, {1000, 850, 1089}, {1029, 850, 1089}, {969, 790, 1029}, {15, 0, 129}, {5, 0, 129}} {
		v, d := &visit{tip: chain.Height(c.tip)}, &explorer.Deadlines{PeriodStart: 10, Period: 60}
		if from, to := v.calendarSpan(d); from != c.from || to != c.to {
			t.Errorf("at %d: from %d to %d, want %d to %d", c.tip, from, to, c.from, c.to)
		}
	}
}

// TestAxis begins with a young chain and spans the slots of an old one; a time
// outside of it has no place.
func TestAxis(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 30, 0, time.UTC)
	young := (&visit{tipTime: now, begun: now.Add(-20 * time.Minute)}).axisTo(time.Minute, 96)
	if young.slots != 22 {
		t.Errorf("a chain of 20 minutes has %d slots", young.slots)
	}
	a := (&visit{tipTime: now, begun: now.AddDate(-2, 0, 0)}).axisTo(time.Minute, 96)
	begin := now.Truncate(time.Minute).Add(-95 * time.Minute)
	for at, want := range map[time.Time]int{begin: 0, now: 95, begin.Add(90 * time.Second): 1, begin.Add(-time.Second): -1, now.Add(time.Minute): -1} {
		slot, in := a.place(uint64(at.UnixMilli()))
		if in != (want >= 0) || in && slot != want {
			t.Errorf("%s has slot %d (%t), want %d", at, slot, in, want)
		}
	}
}
