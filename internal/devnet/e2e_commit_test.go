package devnet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
)

// crashPoints is more than the places at which CometBFT can be told to end a
// process while it commits a block (libs/fail): before and after it stores the
// block, before and after FinalizeBlock, before and after the application's
// Commit, and before and after its own state is stored.
const crashPoints = 12

// crashPatience is how long a chain of two may stand although both are there.
// Seconds are usual, rounds that fail on a busy machine take some more.
const crashPatience = 2 * time.Minute

// TestE2EKilledCommitting ends one of two validators at each of those places in
// turn. Without it the chain stands still; started again it replays what it
// lacks and goes on with the app hashes that the other one has.
// PERDURE_E2E_PLACES names other places, separated by commas, such as 7,7,7.
func TestE2EKilledCommitting(t *testing.T) {
	endToEnd(t)
	places := crashPlaces(t)
	w := newTown(t)
	w.patience = crashPatience
	w.startNodes(2, w.newWallet("client"))
	p := w.nodes[1]
	for _, place := range places {
		p.kill()
		p.env = []string{fmt.Sprintf("FAIL_TEST_INDEX=%d", place)}
		w.restart(p)
		w.await(fmt.Sprintf("crash at place %d", place), p.ended)
		p.kill()
		before := w.height(0)
		p.env = nil
		w.restart(p)
		w.reach(1, before+2)
	}
	h := w.height(0)
	w.reach(1, h)
	w.sameHashes(h)
	if h < chain.Height(2*len(places)) {
		t.Errorf("height %d after %d crashes", h, len(places))
	}
}

// crashPlaces are the places of the environment, or else all.
func crashPlaces(t *testing.T) (places []int) {
	t.Helper()
	asked := os.Getenv("PERDURE_E2E_PLACES")
	if asked == "" {
		for place := range crashPoints {
			places = append(places, place)
		}
		return places
	}
	for _, word := range strings.Split(asked, ",") {
		place, err := strconv.Atoi(word)
		if err != nil {
			t.Fatalf("PERDURE_E2E_PLACES is %q: %v", asked, err)
		}
		places = append(places, place)
	}
	return places
}
