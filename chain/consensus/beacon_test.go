package consensus

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestDrawsTable: SPEC.md lists every draw as the code has it, and on each
// network each is far enough from what it is about.
func TestDrawsTable(t *testing.T) {
	spec, err := os.ReadFile("../SPEC.md")
	must(t, err)
	for _, p := range []*Params{Devnet(), Testnet(), Mainnet()} {
		for _, d := range p.Draws() {
			if d.Gap != 0 && d.Gap < DrawGap {
				t.Errorf("%s: %s is drawn %d heights after its last input, want %d", p.Name, d.Name, d.Gap, DrawGap)
			}
			domain := "none"
			if d.Domain != "" {
				domain = "`" + d.Domain + "`"
			}
			row := fmt.Sprintf("\n| %s | %s | %s | %s |", d.Name, domain, d.Input, d.Beacon)
			if !strings.Contains(string(spec), row) {
				t.Errorf("SPEC.md has no row %s", row)
			}
		}
		p.ChainID = "x"
		for name, change := range map[string]func(*Params){
			"seed delay":  func(p *Params) { p.SeedDelay = DrawGap - 1 },
			"match delay": func(p *Params) { p.MatchDelay = DrawGap - 1 },
			"cut-off":     func(p *Params) { p.FaultCutoff = p.ChallengeLookback + DrawGap - 1 },
		} {
			q := *p
			if change(&q); q.Validate() == nil {
				t.Errorf("%s: a %s that leaves less than %d heights is taken", p.Name, name, DrawGap)
			}
		}
	}
}

// chiSquare is the sum of (seen - expected)^2 / expected.
func chiSquare(seen []int, weights []uint64) float64 {
	n, all := 0, uint64(0)
	for i := range seen {
		n, all = n+seen[i], all+weights[i]
	}
	sum := 0.0
	for i := range seen {
		expected := float64(n) * float64(weights[i]) / float64(all)
		sum += math.Pow(float64(seen[i])-expected, 2) / expected
	}
	return sum
}

// tailOf is about the probability that chi-square with k degrees of freedom
// exceeds x, by Wilson and Hilferty's cube root.
func tailOf(x float64, k int) float64 {
	v := 2 / (9 * float64(k))
	z := (math.Cbrt(x/float64(k)) - (1 - v)) / math.Sqrt(v)
	return math.Erfc(z/math.Sqrt2) / 2
}

// coalition plays a chain's beacon in which validators 0 to 2 of nine belong
// together and decide, when they are drawn or propose, whether a height skips.
// Contributions are hashes, which only their contributor knows in time.
type coalition struct {
	voters  []chain.Validator
	values  [][32]byte // by height
	skipped int
	skip    func(given, skipped [32]byte, proposes bool) bool
}

func (c *coalition) run(heights int) {
	c.values = append(c.values, GenesisBeacon("coalition"))
	for h := chain.Height(1); h <= chain.Height(heights); h++ {
		before := c.values[h-1]
		next := SkippedBeacon(before, h)
		if i, ok := Contributor(c.voters, h, c.values[BeaconBase(h)]); ok {
			signature := fakeVerifier{}.signBeacon(c.voters[i].BeaconKey, BeaconMessage("coalition", h, c.values[BeaconBase(h)]))
			given := NextBeacon(before, signature)
			proposes := h%chain.Height(len(c.voters)) < 3
			if (i < 3 || proposes) && c.skip(given, next, proposes) {
				c.skipped++
			} else {
				next = given
			}
		}
		c.values = append(c.values, next)
	}
}

func newCoalition(skip func(given, skipped [32]byte, proposes bool) bool) *coalition {
	c := &coalition{skip: skip}
	for i := range 9 {
		c.voters = append(c.voters, chain.Validator{PubKey: []byte{byte(i)}, BeaconKey: seed("beacon", fmt.Sprint(i)), Power: uint64(10 + i)})
	}
	return c
}

// TestBeaconWithASkippingProposer: over 30,000 heights in which a third of the
// proposers leaves every contribution out, contributors are drawn by their votes
// and challenges are spread evenly. The chain of values is fixed, so the test
// cannot fail by chance.
func TestBeaconWithASkippingProposer(t *testing.T) {
	c := newCoalition(func(_, _ [32]byte, proposes bool) bool { return proposes })
	const heights = 30_000
	c.run(heights)
	drawn, weights := make([]int, len(c.voters)), make([]uint64, len(c.voters))
	for h := chain.Height(2); h <= heights; h++ {
		i, _ := Contributor(c.voters, h, c.values[BeaconBase(h)])
		drawn[i]++
	}
	for i, v := range c.voters {
		weights[i] = v.Power
	}
	if p := tailOf(chiSquare(drawn, weights), len(drawn)-1); p < 0.001 || c.skipped < heights/4 {
		t.Errorf("contributors %v by votes %v: probability %g; %d skips", drawn, weights, p, c.skipped)
	}
	leaves, even := make([]int, 64), make([]uint64, 64) // of a sector of 2 KiB
	for i := range even {
		even[i] = 1
	}
	for _, b := range c.values {
		r := WindowRandomness(b, 1000, 1)
		leaves[binary.BigEndian.Uint64(r[:8])%64]++
	}
	if p := tailOf(chiSquare(leaves, even), 63); p < 0.001 {
		t.Errorf("challenged leaves %v: probability %g", leaves, p)
	}
}

// TestBeaconCoalition: who skips to have an outcome gets it more often, by no
// more than one choice of two at the heights where it may choose.
func TestBeaconCoalition(t *testing.T) {
	wanted := func(v [32]byte) bool { return v[0]&3 == 0 } // one value in four
	choices := 0
	c := newCoalition(func(given, skipped [32]byte, _ bool) bool {
		choices++
		return !wanted(given) && wanted(skipped)
	})
	const heights = 30_000
	c.run(heights)
	hits := 0
	for _, v := range c.values[1:] {
		if wanted(v) {
			hits++
		}
	}
	share := float64(choices) / heights
	expected := 0.25*(1-share) + (1-0.75*0.75)*share
	if got := float64(hits) / heights; math.Abs(got-expected) > 0.01 || got < 0.27 {
		t.Errorf("with a choice at %.0f%% of heights the outcome comes at %.4f, want about %.4f", 100*share, got, expected)
	}
}
