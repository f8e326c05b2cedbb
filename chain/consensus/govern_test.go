package consensus

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
)

func init() {
	verbs["propose"] = proposeVerb
	verbs["approve"] = func(_ *script, a args) chain.Body { return &chain.Approve{Proposal: a.number("proposal")} }
}

// proposeVerb reads set=NAME:VALUE,... (values as amounts), rules=VERSION and
// effective=+N or a height.
func proposeVerb(s *script, a args) chain.Body {
	b := &chain.Propose{RuleVersion: a.number("rules", 0), Effective: s.until(a, "effective", 0)}
	if a.has("set") {
		for _, f := range strings.Split(a.text("set"), ",") {
			name, value, _ := strings.Cut(f, ":")
			v, err := chain.ParseAmount(value)
			must(a.t, err)
			b.Values = append(b.Values, chain.ParamValue{Name: name, Value: v})
		}
	}
	return b
}

// TestAmended changes every parameter that may change, by a little and by too much.
func TestAmended(t *testing.T) {
	for _, name := range Amendable() {
		p := Mainnet()
		p.ChainID = "test"
		p.Unbonding, p.TrustPeriod = 2*p.Unbonding, p.TrustPeriod/2 // between them evidenceAge may move
		for _, a := range p.amendable() {
			if a.name != name {
				continue
			}
			was := chain.Amount{}
			if a.amount != nil {
				was = *a.amount
			} else {
				was = chain.Atto(*a.number)
			}
			more, err := was.MulDivCeil(11, 10)
			must(t, err)
			next, err := p.Amended([]chain.ParamValue{{Name: name, Value: more}})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if reflect.DeepEqual(next, p) {
				t.Errorf("%s: nothing changed", name)
			}
			huge, err := was.Mul(5)
			must(t, err)
			if _, err := p.Amended([]chain.ParamValue{{Name: name, Value: huge}}); err == nil {
				t.Errorf("%s: five times as much is taken", name)
			}
		}
	}
	p := Mainnet()
	p.ChainID = "test"
	for _, name := range []string{"window", "issuanceTotal", "noShowDeposit", "chainId", "unitHash", "unbonding", "", "nonsense"} {
		if _, err := p.Amended([]chain.ParamValue{{Name: name, Value: chain.Atto(1)}}); err == nil {
			t.Errorf("%q may change", name)
		}
	}
}

// TestAmendedKeepsMargins: whatever is proposed, parameters in force keep every
// cheat a loss and lie in their bounds.
func TestAmendedKeepsMargins(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := Mainnet()
		p.ChainID = "test"
		for range rapid.IntRange(1, 8).Draw(rt, "changes") {
			name := rapid.SampledFrom(Amendable()).Draw(rt, "name")
			var was chain.Amount
			for _, a := range p.amendable() {
				switch {
				case a.name != name:
				case a.amount != nil:
					was = *a.amount
				default:
					was = chain.Atto(*a.number)
				}
			}
			v, err := was.MulDiv(rapid.Uint64Range(0, 50).Draw(rt, "tenths"), 10)
			must(t, err)
			next, err := p.Amended([]chain.ParamValue{{Name: name, Value: v}})
			if err != nil {
				continue
			}
			if err := next.Validate(); err != nil {
				rt.Fatalf("%s = %s: %v", name, v, err)
			}
			p = next
		}
	})
}

// TestRulesEnter: a program that knows the announced rules goes on with them, one
// that does not stops and says why.
func TestRulesEnter(t *testing.T) {
	p := testParams()
	s := func(h chain.Height) *state {
		return &state{params: p, global: chain.Global{RuleVersion: 1, Height: h, Upgrade: chain.Upgrade{RuleVersion: 2, Height: 100}}}
	}
	before := s(99)
	must(t, before.enterRules(1))
	if before.global.RuleVersion != 1 {
		t.Errorf("version %d one block early", before.global.RuleVersion)
	}
	knows := s(100)
	must(t, knows.enterRules(2))
	if knows.global.RuleVersion != 2 || knows.global.Upgrade.RuleVersion != 0 {
		t.Errorf("global record %+v", knows.global)
	}
	err := s(100).enterRules(1)
	var old *TooOldError
	if !errors.As(err, &old) || old.Height != 100 || old.Version != 2 || !strings.Contains(err.Error(), "install a newer release") {
		t.Errorf("an old program goes on: %v", err)
	}
}

// TestUpgradeStops plays an upgrade to its height: this program has to stop there.
func TestUpgradeStops(t *testing.T) {
	p := testParams()
	n := newNetwork(t, p, fakeVerifier{}, nil, "v1", "v2", "v3", "v4")
	at := n.height + 1 + chain.Height(p.Notice()) + 5
	n.mustAll(n.message("v1", 0, &chain.Propose{RuleVersion: 2, Effective: at}))
	n.mustAll(n.message("v2", 0, &chain.Approve{Proposal: 1}), n.message("v3", 0, &chain.Approve{Proposal: 1}))
	if u := n.global().Upgrade; u.RuleVersion != 2 || u.Height != at {
		t.Fatalf("announced %+v", u)
	}
	n.advanceTo(at - 1)
	_, _, err := Apply(p, n.view, fakeVerifier{}, &Block{Height: at, Proposer: proposerOf("v1")})
	var old *TooOldError
	if !errors.As(err, &old) {
		t.Fatalf("block %d: %v", at, err)
	}
}
