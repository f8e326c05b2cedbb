package main

import (
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/client/view"
)

// TestTell: packing is told of by tenths of what is large, each content anew, and not at
// all of what is small.
func TestTell(t *testing.T) {
	var out strings.Builder
	hear := tell(&out)
	packing := func(total, upTo uint64) {
		for done := uint64(16 << 20); done <= upTo; done += 16 << 20 {
			hear(client.Event{Event: deals.Event{Stage: client.StagePacking}, Pass: pack.StageRead, Done: done, Total: total})
		}
	}
	for _, c := range []struct {
		total, upTo uint64
		lines       int
		last        string
	}{
		{5 << 30, 5 << 30, 10, "read: 5.0 GiB of 5.0 GiB"},
		{1 << 30, 1 << 30, 4, "read: 1.0 GiB of 1.0 GiB"},
		{200 << 20, 200 << 20, 0, ""},
		{0, 600 << 20, 2, "read: 512 MiB"},
	} {
		out.Reset()
		packing(c.total, c.upTo)
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if n := strings.Count(out.String(), "\n"); n != c.lines || !strings.HasSuffix(lines[len(lines)-1], c.last) {
			t.Errorf("%d bytes of %d: %d lines, want %d:\n%s", c.upTo, c.total, n, c.lines, out.String())
		}
	}
}

// TestTimeless: a list that differs by the time that is left alone is not shown again.
func TestTimeless(t *testing.T) {
	list := func(left float64, state string, height chain.Height) []view.Object {
		return []view.Object{{RootCID: "x", Next: "in a while", Warnings: []string{"soon"},
			CopyStates: []client.CopyStatus{{State: state, Deadline: height, Left: left, Expected: chain.Height(left)}}}}
	}
	first := list(5, "matched", 9)
	was, err := timeless(first)
	if err != nil || first[0].Next == "" || first[0].CopyStates[0].Left != 5 {
		t.Fatalf("%+v, %v", first, err)
	}
	for i, c := range []struct {
		list []view.Object
		same bool
	}{{list(4, "matched", 9), true}, {list(5, "accepted", 9), false}, {list(5, "matched", 10), false}, {nil, false}} {
		if now, err := timeless(c.list); err != nil || (now == was) != c.same {
			t.Errorf("list %d: same %v, %v", i, now == was, err)
		}
	}
}
