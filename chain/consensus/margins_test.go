package consensus

import (
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestMargins holds the three networks to every inequality and prints them.
func TestMargins(t *testing.T) {
	for _, p := range []*Params{Devnet(), Testnet(), Mainnet()} {
		margins, err := Margins(p)
		must(t, err)
		for i := range margins {
			m := &margins[i]
			if !m.Holds() {
				t.Errorf("%s: %s: %s gains %s per %s, loses %s with %d %%", p.Name, m.Name, m.Cheat, m.Gain.Human(), m.Unit,
					m.Penalty.Human(), m.Detection)
			}
			t.Logf("%s: %s per %s: %s < %s x %d %%", p.Name, m.Name, m.Unit, m.Gain.Human(), m.Penalty.Human(), m.Detection)
		}
	}
}

// TestMarginsRefused makes each cheat pay and expects genesis to refuse it.
func TestMarginsRefused(t *testing.T) {
	zero := chain.Amount{}
	for name, change := range map[string]func(*Params){
		"pre-commit deposit": func(p *Params) { p.PreCommitDeposit = zero },
		"skip fee":           func(p *Params) { p.SkipFee = zero },
		"fault fee":          func(p *Params) { p.FaultFee = p.SkipFee },
		"sector pledge":      func(p *Params) { p.SectorPledge = p.FaultFee },
		"order deposit":      func(p *Params) { p.OrderDeposit = zero },
		"no-show deposit":    func(p *Params) { p.NoShowDeposit = zero },
		"refused repair":     func(p *Params) { p.RepairBy, p.EndedRetention = 1<<23, 1<<30 },
		"slash":              func(p *Params) { p.IssuanceFullPower = 1 << 40; p.FaultFee, p.SkipFee = chain.PDR(8), chain.PDR(7) },
	} {
		p := Mainnet()
		p.ChainID = "test"
		must(t, p.Validate())
		change(p)
		err := p.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), name) && name != "slash" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMarginSums checks one inequality by hand: 1000 PDR with a half-life of
// 1024 blocks issue 0.676... PDR in the first block.
func TestMarginSums(t *testing.T) {
	p := testParams()
	p.IssuanceTotal, p.IssuanceHalfLife, p.IssuanceFullPower = chain.PDR(1000), 1<<10, 1<<40
	e, err := p.Emission(p.IssuanceTotal)
	must(t, err)
	y := &yields{p: p}
	perGiB, err := e.MulDiv(75, 100*1024)
	must(t, err)
	if got := y.blocks(1); got.Less(perGiB) || chain.Atto(2).Less(sub(t, got, perGiB)) {
		t.Errorf("a GiB earns %s a block, want %s", got, perGiB)
	}
	all, err := p.IssuanceTotal.MulDiv(75, 100*1024)
	must(t, err)
	if got := y.ever(); got != all && chain.Atto(2).Less(sub(t, got, all)) {
		t.Errorf("a GiB ever earns %s, want %s", got, all)
	}
	margins, err := Margins(p)
	must(t, err)
	for i := range margins {
		if m := &margins[i]; m.Name == "pre-commit deposit" {
			if half, _ := y.ever().MulDivCeil(1, 2); m.Gain != half || m.Expected().String() != "660000000000000000" {
				t.Errorf("gain %s, want %s; expected penalty %s", m.Gain, half, m.Expected())
			}
		}
	}
}

func sub(t *testing.T, a, b chain.Amount) chain.Amount {
	t.Helper()
	c, err := a.Sub(b)
	must(t, err)
	return c
}

// TestSheet wants a unit for every parameter.
func TestSheet(t *testing.T) {
	sheet, err := Mainnet().Sheet()
	must(t, err)
	for _, s := range sheet {
		if s.Unit == "" || s.Name == "" {
			t.Errorf("parameter %q has no unit", s.Name)
		}
	}
	if len(sheet) != len(paramUnits) {
		t.Errorf("%d parameters, %d units: some unit is of no parameter", len(sheet), len(paramUnits))
	}
}

const (
	marginsBegin = "<!-- margins: written by go test ./chain/consensus -run EconomicsPage -update -->\n"
	marginsEnd   = "<!-- end of margins -->\n"
)

// marginTable writes the inequalities of the three networks, in PDR.
func marginTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, p := range []*Params{Devnet(), Testnet(), Mainnet()} {
		fmt.Fprintf(&b, "| %s | per | gain | penalty | chance | margin |\n|---|---|---|---|---|---|\n", p.Name)
		margins, err := Margins(p)
		must(t, err)
		for i := range margins {
			m := &margins[i]
			left, err := chain.AmountFromBig(m.Left()) // TestMargins wants all of them to hold
			must(t, err)
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %d %% | %s |\n", m.Name, m.Unit, digits(m.Gain), digits(m.Penalty), m.Detection, digits(left))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// digits is an amount in PDR with four digits that count.
func digits(a chain.Amount) string {
	f, _ := new(big.Float).Quo(new(big.Float).SetInt(a.Big()), big.NewFloat(chain.AttoPerPDR)).Float64()
	return strconv.FormatFloat(f, 'g', 4, 64)
}

// TestEconomicsPage holds docs/economics.md to the numbers of the code.
func TestEconomicsPage(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "economics.md")
	page, err := os.ReadFile(path)
	must(t, err)
	before, rest, ok := strings.Cut(string(page), marginsBegin)
	_, after, ok2 := strings.Cut(rest, marginsEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the margins", path)
	}
	want := before + marginsBegin + marginTable(t) + marginsEnd + after
	if *updateGolden {
		must(t, os.WriteFile(path, []byte(want), 0o644))
		return
	}
	if string(page) != want {
		t.Errorf("%s lists other margins: run go test ./chain/consensus -run EconomicsPage -update", path)
	}
}
