package devnet

import (
	"fmt"
	"testing"

	"github.com/perdure/perdure/chain"
)

// crashPoints is more than the places at which CometBFT can be told to end a
// process while it commits a block (libs/fail): before and after it stores the
// block, before and after FinalizeBlock, before and after the application's
// Commit, and before and after its own state is stored.
const crashPoints = 12

// TestE2EKilledCommitting ends one of two validators at each of those places in
// turn. Without it the chain stands still; started again it replays what it
// lacks and goes on with the app hashes that the other one has.
func TestE2EKilledCommitting(t *testing.T) {
	endToEnd(t)
	w := newTown(t)
	w.startNodes(2, w.newWallet("client"))
	p := w.nodes[1]
	for point := range crashPoints {
		p.kill()
		p.env = []string{fmt.Sprintf("FAIL_TEST_INDEX=%d", point)}
		w.restart(p)
		ended := false
		w.await(fmt.Sprintf("crash at place %d", point), func() bool {
			select {
			case err := <-p.done:
				p.done <- err
				ended = true
			default:
			}
			return ended
		})
		p.kill()
		before := w.height(0)
		p.env = nil
		w.restart(p)
		w.reach(1, before+2)
	}
	h := w.height(0)
	w.reach(1, h)
	w.sameHashes(h)
	if h < chain.Height(2*crashPoints) {
		t.Errorf("height %d after %d crashes", h, crashPoints)
	}
}
