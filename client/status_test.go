package client

import (
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
)

// TestTimeless: what is warned of once is known again when less time is left, and another
// step of the same deal, or another deal, is not taken for it.
func TestTimeless(t *testing.T) {
	warned := func(d files.Deal, at chain.Height) string {
		t.Helper()
		out := Warnings(&files.Object{Copies: 1, Pieces: []files.Piece{{Deals: []files.Deal{d}}}}, at, 500)
		if len(out) != 1 {
			t.Fatalf("at %d: %q of %+v", at, out, d)
		}
		return timeless(out[0])
	}
	seen := map[string]bool{}
	for _, d := range []files.Deal{
		{ID: 1, Miner: 1000, State: chain.DealMatched.String(), Matched: 1, FetchBy: 100},
		{ID: 1, Miner: 1000, State: chain.DealAccepted.String(), Matched: 1, Accepted: 1, ActivateBy: 100},
		{ID: 1, Miner: 1000, State: chain.DealActive.String(), ActiveAt: 1, End: 100},
		{ID: 2, Miner: 1000, State: chain.DealActive.String(), ActiveAt: 1, End: 100},
	} {
		first, later := warned(d, 93), warned(d, 98)
		if first != later || seen[first] {
			t.Errorf("%q and %q", first, later)
		}
		seen[first] = true
	}
}
