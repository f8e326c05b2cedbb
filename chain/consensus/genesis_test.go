package consensus

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
)

func testGenesis(t testing.TB) *Genesis {
	t.Helper()
	secret, key := beaconKeys(t, "val")
	proof, err := ProveBeaconKey(secret)
	must(t, err)
	return &Genesis{Params: *testParams(),
		Accounts: []GenesisAccount{
			{chain.FormatAddress(addressOf(t, "alice"), chain.Testnet), chain.PDR(5)},
			{chain.FormatAddress(addressOf(t, "bob"), chain.Mainnet), chain.PDR(7)}},
		Validators: []GenesisValidator{{PubKey: seed("consensus", "val"), BeaconKey: key, BeaconProof: proof, Power: 3,
			Reward: chain.FormatAddress(addressOf(t, "val"), chain.Testnet)}}}
}

func TestGenesisRoundTrip(t *testing.T) {
	g := testGenesis(t)
	text, err := g.JSON()
	must(t, err)
	again, err := ParseGenesis(text)
	must(t, err)
	if !reflect.DeepEqual(g, again) {
		t.Fatalf("read back as %+v", again)
	}
	u, err := GenesisUpdate(again)
	must(t, err)
	for i := 1; i < len(u.Changes); i++ {
		if !u.Changes[i-1].Key().Less(u.Changes[i].Key()) {
			t.Error("changes are not in the order of their keys")
		}
	}
	v := new(mapView).after(u)
	var global chain.Global
	must(t, chain.Decode(v.records[chain.GlobalKey()], &global))
	if global.Supply.Minted != chain.PDR(12) || global.Supply.Check() != nil || global.NextMiner != chain.FirstMinerID {
		t.Errorf("global record %+v", global)
	}
	var acc chain.Account
	must(t, chain.Decode(v.records[chain.AccountKey(addressOf(t, "bob"))], &acc))
	if acc.Balance != chain.PDR(7) {
		t.Errorf("bob has %s", acc.Balance)
	}
}

func TestGenesisRefuses(t *testing.T) {
	miner := "t01000"
	for name, change := range map[string]func(*Genesis){
		"account twice":            func(g *Genesis) { g.Accounts[1].Address = g.Accounts[0].Address },
		"account twice, other f/t": func(g *Genesis) { g.Accounts[1].Address = "f" + g.Accounts[0].Address[1:] },
		"account of a miner":       func(g *Genesis) { g.Accounts[0].Address = miner },
		"no address":               func(g *Genesis) { g.Accounts[0].Address = "" },
		"more than all money": func(g *Genesis) {
			g.Accounts[0].Balance, _ = chain.PDR(^uint64(0)).Mul(18)
			g.Accounts[1].Balance = g.Accounts[0].Balance
		},
		"no validator":        func(g *Genesis) { g.Validators = nil },
		"validator twice":     func(g *Genesis) { g.Validators = append(g.Validators, g.Validators[0]) },
		"short key":           func(g *Genesis) { g.Validators[0].PubKey = []byte{1} },
		"short beacon key":    func(g *Genesis) { g.Validators[0].BeaconKey = []byte{1} },
		"no beacon proof":     func(g *Genesis) { g.Validators[0].BeaconProof = nil },
		"another's proof":     func(g *Genesis) { g.Validators[0].BeaconProof = anothersProof(t) },
		"too many validators": func(g *Genesis) { g.Validators = manyValidators(g) },
		"no votes":            func(g *Genesis) { g.Validators[0].Power = 0 },
		"too many votes":      func(g *Genesis) { g.Validators[0].Power = 1 << 62 },
		"reward to a miner":   func(g *Genesis) { g.Validators[0].Reward = miner },
		"no chain ID":         func(g *Genesis) { g.Params.ChainID = "" },
		"long chain ID":       func(g *Genesis) { g.Params.ChainID = strings.Repeat("x", 51) },
		"no sector size":      func(g *Genesis) { g.Params.SealProofs = nil },
		"unknown sector size": func(g *Genesis) { g.Params.SealProofs = append(g.Params.SealProofs, 0) },
		"no floor":            func(g *Genesis) { g.Params.BaseFeeFloor = chain.Amount{} },
		"floor above start":   func(g *Genesis) { g.Params.BaseFeeFloor = chain.PDR(1) },
	} {
		g := testGenesis(t)
		change(g)
		if _, err := GenesisUpdate(g); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good, err := testGenesis(t).JSON()
	must(t, err)
	for name, text := range map[string][]byte{
		"unknown field": bytes.Replace(good, []byte(`"params": {`), []byte(`"params": {"extra": 1,`), 1),
		"trailing data": append(bytes.Clone(good), "{}"...),
		"no document":   nil,
		"wrong network": bytes.Replace(good, []byte(`"network": "t"`), []byte(`"network": "x"`), 1),
	} {
		if _, err := ParseGenesis(text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestParams: the three networks are sound, each field has its JSON name, and
// each number has bounds that Validate keeps.
func TestParams(t *testing.T) {
	for _, p := range []*Params{Devnet(), Testnet(), Mainnet()} {
		p.ChainID = "x"
		must(t, p.Validate())
		text, err := json.Marshal(p)
		must(t, err)
		var back Params
		must(t, json.Unmarshal(text, &back))
		if !reflect.DeepEqual(*p, back) {
			t.Errorf("%s reads back as %+v", p.Name, back)
		}
		raw, err := chain.Encode(p)
		must(t, err)
		must(t, chain.Decode(raw, new(Params)))
	}
	bounded, least := map[string]bool{}, map[string]uint64{}
	for _, b := range testParams().bounds() {
		bounded[b.name], least[b.name] = true, b.least
	}
	numbers := reflect.TypeFor[Params]()
	for i := range numbers.NumField() {
		f := numbers.Field(i)
		tag := f.Tag.Get("json")
		if !strings.EqualFold(tag, f.Name) || tag[0] < 'a' || tag[0] > 'z' {
			t.Errorf("field %s has the JSON name %q", f.Name, tag)
		}
		if f.Type.Kind() != reflect.Uint64 {
			continue
		}
		if !bounded[tag] {
			t.Errorf("field %s has no bounds", f.Name)
		}
		for _, v := range []uint64{0, ^uint64(0)} {
			p := testParams()
			reflect.ValueOf(p).Elem().Field(i).SetUint(v)
			if err := p.Validate(); err == nil && (v != 0 || least[tag] != 0) {
				t.Errorf("%s = %d is accepted", f.Name, v)
			}
		}
	}
}

func FuzzParseGenesis(f *testing.F) {
	good, err := testGenesis(f).JSON()
	must(f, err)
	f.Add(good)
	f.Add([]byte(`{"params":{"deadlines":0}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := ParseGenesis(text)
		if err != nil {
			return
		}
		if _, err := GenesisUpdate(g); err != nil {
			t.Fatalf("read, but no state follows: %v", err)
		}
	})
}

func anothersProof(t *testing.T) []byte {
	secret, _ := beaconKeys(t, "somebody else")
	proof, err := ProveBeaconKey(secret)
	must(t, err)
	return proof
}

// manyValidators are one more than half of the places.
func manyValidators(g *Genesis) (all []GenesisValidator) {
	for i := range g.Params.MaxValidators/2 + 1 {
		v := g.Validators[0]
		v.PubKey = seed("consensus", string(rune('a'+i)))
		all = append(all, v)
	}
	return all
}
