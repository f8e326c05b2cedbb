package light

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state/proof"
)

// pinning checks proofs of a chain's account by what is pinned.
type pinning struct {
	*sim
	pins Pins
	node *rpc.Client
}

func newPinning(t *testing.T, s *sim, file string) *pinning {
	t.Helper()
	node := rpc.New(serve(t, s))
	t.Cleanup(func() { node.Close() })
	return &pinning{s, Pins{file}, node}
}

// at is the proof of the state of a height.
func (p *pinning) at(h chain.Height) *proof.Bundle {
	b, err := p.Prove(p.t.Context(), chain.AccountKey(client(p.t)), h)
	must(p.t, err)
	return b
}

func (p *pinning) check(b *proof.Bundle, now time.Time) (*Shown, *Pinned, error) {
	return p.pins.Check(p.t.Context(), p.node, b, now)
}

// TestPins trusts the first header of a chain and goes on from there, across many
// changes of votes; another chain under the same name comes too late.
func TestPins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pins.json")
	p := newPinning(t, newSim(t, 12, moving), file)
	first, pinned, err := p.check(p.at(9), p.after(12))
	must(t, err)
	if !pinned.First || pinned.Trust.String() != p.trust(10).String() || first.Height != 9 || first.Root() == nil {
		t.Errorf("at first use: %+v, %+v", pinned, first)
	}
	for range 28 {
		p.block()
	}
	for _, h := range []chain.Height{38, 38, 20, 9, 39} { // onward, again, back to between, to the first, onward
		s, pinned, err := p.check(p.at(h), p.after(40))
		must(t, err)
		if pinned.First || pinned.Trust.String() != p.trust(10).String() || s.Height != h {
			t.Errorf("height %d: %+v, %+v", h, pinned, s)
		}
	}
	if _, _, err := p.check(p.at(5), p.after(40)); err == nil || !strings.Contains(err.Error(), "older than that of height 10") {
		t.Errorf("before the first: %v", err)
	}
	for range 5 {
		p.block()
	}
	if _, _, err := p.check(p.at(44), p.after(40+1001)); err == nil || !strings.Contains(err.Error(), "older than the trust period") {
		t.Errorf("after the trust period: %v", err)
	}
	other := newPinning(t, newSim(t, 50, always("x", "y", "z")), file)
	for h, want := range map[chain.Height]string{39: "expected hash", 45: "vouch for", 20: "expected hash"} {
		if s, _, err := other.check(other.at(h), other.after(50)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("another chain at height %d: want %q, have %v, %+v", h, want, err, s)
		}
	}
	if _, _, err := p.check(p.at(44), p.after(45)); err != nil {
		t.Errorf("after the other chain was refused: %v", err)
	}
}

// TestPinsRefuse pins nothing that is not signed, and reads no file that is not its own.
func TestPinsRefuse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pins.json")
	p := newPinning(t, newSim(t, 5, always("a", "b", "c")), file)
	unsigned := p.sign(5, p.headers[5].AppHash, p.voters(5))
	unsigned.Commit.Signatures[1].Signature[0]++
	b := p.at(4)
	var err error
	b.Headers[0].Light, err = encodeHeader(unsigned)
	must(t, err)
	if _, _, err := p.check(b, p.after(5)); err == nil || !strings.Contains(err.Error(), "the votes of two thirds") {
		t.Errorf("a first header without its votes: %v", err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("it was pinned: %v", err)
	}
	for _, bad := range []string{"{", `{"version":2,"chains":{}}`, `[]`, `{"version":1,"chains":{"light-test":{"version":1,"trust":"x"}}}`} {
		must(t, os.WriteFile(file, []byte(bad), 0o600))
		if _, _, err := p.check(p.at(4), p.after(5)); err == nil || !strings.Contains(err.Error(), "to trust anew") {
			t.Errorf("pins %s: %v", bad, err)
		}
	}
}
