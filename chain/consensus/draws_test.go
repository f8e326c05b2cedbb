package consensus

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestDraws computes every draw once more, from its formula in SPEC.md.
func TestDraws(t *testing.T) {
	n := func(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
	sha := func(parts ...[]byte) [32]byte { return sha256.Sum256(slices.Concat(parts...)) }
	b := sha([]byte("a beacon"))
	owner := addressOf(t, "alice")
	for name, c := range map[string]struct{ got, want [32]byte }{
		"genesis": {GenesisBeacon("net-1"), sha([]byte("perdure/beacon/genesis/1"), []byte("net-1"))},
		"next":    {NextBeacon(b, []byte{1, 2}), sha(b[:], []byte{1, 2})},
		"skipped": {SkippedBeacon(b, 7), sha([]byte("skip"), b[:], n(7))},
		"ticket":  {SealTicket(b, 1000), sha([]byte("perdure/seal-ticket/1"), b[:], n(1000))},
		"seed":    {SealSeed(b, 1000, 5), sha([]byte("perdure/seal-seed/1"), b[:], n(1000), n(5))},
		"window":  {WindowRandomness(b, 1000, 2), sha([]byte("perdure/window/1"), b[:], n(1000), n(2))},
		"tie":     {OrderTie(b, owner), sha(b[:], owner.Bytes())},
	} {
		if c.got != c.want {
			t.Errorf("%s: %x, want %x", name, c.got, c.want)
		}
	}
	want := slices.Concat([]byte("perdure/beacon/1"), []byte("net-1"), n(9), b[:])
	if got := BeaconMessage("net-1", 9, b); !slices.Equal(got, want) {
		t.Errorf("beacon message %x, want %x", got, want)
	}
	for h, want := range map[chain.Height]chain.Height{1: 0, 2: 0, 3: 1, 10: 8} {
		if got := BeaconBase(h); got != want {
			t.Errorf("base of height %d is %d, want %d", h, got, want)
		}
	}
}

// TestContributorByVotes: validators are drawn as often as their votes say,
// those without a beacon key never.
func TestContributorByVotes(t *testing.T) {
	key := make([]byte, BeaconKeySize)
	validators := []chain.Validator{{Power: 10, BeaconKey: key}, {Power: 1000}, {Power: 30, BeaconKey: key}, {Power: 60, BeaconKey: key}}
	const draws = 20000
	var count [4]int
	for h := range chain.Height(draws) {
		i, ok := Contributor(validators, h+2, GenesisBeacon("x"))
		if !ok {
			t.Fatal("nobody drawn")
		}
		count[i]++
	}
	for i, share := range []int{10, 0, 30, 60} {
		want := draws * share / 100
		if d := count[i] - want; d*d > 25*want { // five standard deviations and more
			t.Errorf("validator %d drawn %d times, want about %d", i, count[i], want)
		}
	}
	if _, ok := Contributor(validators, 1, [32]byte{}); ok {
		t.Error("height 1 has a contributor, but nobody voted before it")
	}
	if _, ok := Contributor(validators[1:2], 5, [32]byte{}); ok {
		t.Error("a validator without beacon key was drawn")
	}
	if _, ok := Contributor(nil, 5, [32]byte{}); ok {
		t.Error("somebody drawn of nobody")
	}
}

// TestRealBeacon runs blocks with BLS contributions through Direct, and one
// that another validator signed.
func TestRealBeacon(t *testing.T) {
	n := newNetwork(t, testParams(), Direct{}, nil, "v1", "v2")
	n.advance(6)
	var b, before chain.Beacon
	for h := chain.Height(2); h <= 6; h++ {
		if !n.record(chain.BeaconKey(h), &b) || b.Skipped {
			t.Fatalf("height %d: beacon skipped or missing", h)
		}
		if n.record(chain.BeaconKey(h-1), &before); b.Value == before.Value {
			t.Fatalf("height %d: the value did not change", h)
		}
	}
	right := n.contribution(beaconGiven)
	var base chain.Beacon
	n.record(chain.BeaconKey(BeaconBase(7)), &base)
	i, _ := Contributor(n.voters(6), 7, base.Value)
	wrong, err := SignBeacon(n.secret[n.vals[1-i]], BeaconMessage(n.params.ChainID, 7, base.Value))
	must(t, err)
	u, _ := n.blockWith(&Block{Beacon: wrong})
	if len(u.Events) != 1 || u.Events[0].Kind != EventBeaconSkipped {
		t.Fatalf("another validator's contribution counted: %v", u.Events)
	}
	if n.record(chain.BeaconKey(7), &b); b.Value == NextBeacon(before.Value, right) || !b.Skipped {
		t.Fatal("height 7 is not marked as skipped")
	}
}

// TestBeaconIsPruned: values are kept for BeaconKept heights and no longer.
func TestBeaconIsPruned(t *testing.T) {
	p := testParams()
	p.TicketAge, p.ProveDue, p.SeedDelay = 10, 10, 5
	n := newNetwork(t, p, fakeVerifier{}, nil)
	kept := int(p.BeaconKept())
	n.advance(kept + 5)
	if got := len(n.view.keys(chain.TableBeacon)); got != kept+1 {
		t.Errorf("%d beacon values are kept, want %d and the newest", got, kept)
	}
	var b chain.Beacon
	if !n.record(chain.BeaconKey(5), &b) || n.record(chain.BeaconKey(4), &b) {
		t.Error("the oldest value kept should be of height 5")
	}
}
