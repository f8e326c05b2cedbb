package consensus

import (
	"bytes"
	"maps"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// chapter is a message that succeeds at its place in the story below, so that
// what a test changes about it is all that is wrong with it.
type chapter struct {
	wait   string // blocks before it, or "window": until the first window with a sector opens
	line   string // as in testdata
	anyone bool   // a stranger may send it too
	twice  bool   // it succeeds twice in one block
}

// story is a short life of a market in which every kind of message has its turn.
var story = []chapter{
	{line: "client: transfer to=payee amount=1PDR", anyone: true, twice: true},
	{line: "owner: create-miner worker=worker fund=1000PDR", twice: true},
	{line: "owner: update-miner miner=1000 peer=home withdraw=1PDR", twice: true},
	{line: "worker: ask miner=1000 price=1048576PDR capacity=16KiB collateral=10485760PDR min=1KiB expiry=+500", twice: true},
	{line: "client: bid piece=a size=1KiB price=1048576PDR duration=100 expiry=+200", anyone: true, twice: true},
	{line: "client: bid piece=b size=1KiB price=1PDR duration=100", anyone: true, twice: true},
	{line: "client: bid piece=c size=1KiB price=1PDR duration=100 copies=3 region=eu,us public=1 renew=2 renewprice=1PDR", anyone: true, twice: true},
	{line: "client: replace order=4 copies=2 expiry=+50"},
	{line: "client: cancel order=3"},
	{wait: "3", line: "worker: accept miner=1000 deals=1"},
	{line: "client: open payee=payee amount=5PDR", anyone: true, twice: true},
	{line: "client: top-up channel=1 amount=1PDR", twice: true},
	{line: "payee: redeem channel=1 payer=client price=0.1PDR k=10 amount=1PDR"},
	{line: "worker: precommit miner=1000 sectors=1,2 pieces=1KiB"},
	{line: "worker: precommit miner=1000 sectors=3 pieces=1KiB:1"},
	{wait: "6", line: "worker: prove miner=1000 sector=1"},
	{line: "worker: prove miner=1000 sector=2"},
	{line: "worker: prove miner=1000 sector=3"},
	{line: "client: renewal deals=1 renew=2 renewprice=1PDR renewfor=80", twice: true},
	{line: "worker: declare-faults miner=1000 sectors=2"},
	{line: "worker: declare-recoveries miner=1000 sectors=2"},
	{wait: "window", line: "worker: window-proof miner=1000"},
	{wait: "window", line: "worker: window-proof miner=1000"},
	{wait: "window", line: "worker: window-proof miner=1000"},
	{line: "client: settle deals=1", anyone: true, twice: true},
	{line: "worker: receipts miner=1000 root=a count=2 bytes=1000 from=2 to=9"},
	{line: "worker: extend miner=1000 sectors=1 expires=3000"},
	{line: "worker: terminate miner=1000 sectors=2"},
	{line: "val: propose set=faultFee:0.15PDR effective=+60", twice: true},
	{line: "val2: approve proposal=1"},
	{line: "client: settle-channel channel=1"},
	{wait: "40", line: "client: collect-channel channel=1"},
}

// tell plays the story; before each message, visit sees it and the state that
// it meets, which it may fork.
func tell(t *testing.T, visit func(s *script, c chapter, from string, body chain.Body)) {
	t.Helper()
	p := testParams()
	p.NoShowDeposit = chain.PDR(1 << 20)
	names := []named{{"client", chain.PDR(10_000)}, {"owner", chain.PDR(5000)}, {"worker", chain.PDR(10)},
		{"payee", chain.PDR(1)}, {"mallory", chain.PDR(10_000)}}
	s := &script{memory: map[string]any{"names": names}, network: newNetwork(t, p, fakeVerifier{}, names, "val", "val2")}
	for _, c := range story {
		s.pass(c.wait)
		raw := s.message(c.line, map[string]uint64{})
		signed, err := chain.DecodeSigned(raw)
		must(t, err)
		body, err := signed.Message.DecodeBody()
		must(t, err)
		from, _, _ := strings.Cut(c.line, ":")
		visit(s, c, from, body)
		_, results := s.block(raw)
		if results[0].Code != CodeOK {
			t.Fatalf("height %d: %q: %s %s", s.height, c.line, results[0].Code, results[0].Error)
		}
	}
}

// pass lets blocks go by as a chapter says.
func (s *script) pass(wait string) {
	s.t.Helper()
	if n, err := strconv.Atoi(wait); err == nil {
		s.advance(n)
	}
	for wait == "window" {
		var m chain.Miner
		s.record(chain.MinerKey(chain.FirstMinerID), &m)
		open, ok := s.params.Schedule().At(uint64(m.PeriodStart), uint64(s.height)+1)
		if ok && open.Open == uint64(s.height)+1 && m.Deadlines[open.Index] > 0 {
			return
		}
		s.advance(1)
	}
}

// TestStoryIsWhole: no kind of message is missing from the story.
func TestStoryIsWhole(t *testing.T) {
	told := map[chain.Kind]bool{}
	tell(t, func(_ *script, _ chapter, _ string, body chain.Body) { told[body.Kind()] = true })
	for _, k := range slices.Sorted(maps.Keys(rules)) {
		if !told[k] {
			t.Errorf("the story in this file has no %s", k)
		}
	}
}

// mutation is a message with one field changed.
type mutation struct {
	field string // its path
	value string // what it was given
	body  chain.Body
}

// mutations changes each field of a body to each value that is likely to hurt.
// What cannot be encoded, such as a list that is too long, nobody can send.
func mutations(t *testing.T, body chain.Body) []mutation {
	t.Helper()
	var out []mutation
	var walk func(path string, index func(reflect.Value) reflect.Value, v reflect.Value, tag reflect.StructTag)
	try := func(path, value string, index func(reflect.Value) reflect.Value, with reflect.Value) {
		changed := clone(t, body)
		index(reflect.ValueOf(changed).Elem()).Set(with)
		if b, err := chain.Encode(changed); err == nil && len(b) <= chain.MaxEncodedMessage {
			out = append(out, mutation{path, value, changed})
		}
	}
	walk = func(path string, index func(reflect.Value) reflect.Value, v reflect.Value, tag reflect.StructTag) {
		for value, with := range hurtful(t, v, tag) {
			try(path, value, index, with)
		}
		switch {
		case isLeaf(v):
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				f := v.Type().Field(i)
				walk(path+"."+f.Name, func(r reflect.Value) reflect.Value { return index(r).Field(i) }, v.Field(i), f.Tag)
			}
		case v.Kind() == reflect.Slice && v.Len() > 0:
			walk(path+"[0]", func(r reflect.Value) reflect.Value { return index(r).Index(0) }, v.Index(0), "")
		case v.Kind() == reflect.Pointer && !v.IsNil():
			walk(path, func(r reflect.Value) reflect.Value { return index(r).Elem() }, v.Elem(), tag)
		}
	}
	walk(body.Kind().String(), func(r reflect.Value) reflect.Value { return r }, reflect.ValueOf(body).Elem(), "")
	return out
}

// isLeaf tells values that are changed as a whole.
func isLeaf(v reflect.Value) bool {
	switch v.Interface().(type) {
	case chain.Amount, chain.Address, cid.Cid, []byte, [32]byte:
		return true
	}
	return v.Kind() != reflect.Struct && v.Kind() != reflect.Slice && v.Kind() != reflect.Pointer
}

func clone(t *testing.T, body chain.Body) chain.Body {
	t.Helper()
	b, err := chain.Encode(body)
	must(t, err)
	out, _ := chain.NewBody(body.Kind())
	must(t, chain.Decode(b, out))
	return out
}

// hurtful are values for a field: nothing, the most, one beyond what is allowed.
func hurtful(t *testing.T, v reflect.Value, tag reflect.StructTag) map[string]reflect.Value {
	t.Helper()
	out := map[string]reflect.Value{"zero": reflect.Zero(v.Type())}
	give := func(name string, x any) { out[name] = reflect.ValueOf(x).Convert(v.Type()) }
	most := math.MaxInt
	if text, ok := strings.CutPrefix(tag.Get("cborgen"), "maxlen="); ok {
		var err error
		most, err = strconv.Atoi(text)
		must(t, err)
	}
	switch v.Interface().(type) {
	case chain.Amount:
		top, err := chain.AmountFromBig(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1)))
		must(t, err)
		give("max", top)
		give("one", chain.Atto(1))
		return out
	case chain.Address:
		miner, err := chain.MinerAddress(chain.FirstMinerID)
		must(t, err)
		none, err := chain.MinerAddress(math.MaxInt64)
		must(t, err)
		give("miner", miner)
		give("max", none)
		return out
	case cid.Cid:
		give("other", rootCID(t, "elsewhere"))
		return out
	case [32]byte:
		give("max", [32]byte(bytes.Repeat([]byte{0xff}, 32)))
		return out
	case []byte:
		give("one", []byte{0xff})
		give("max", bytes.Repeat([]byte{0xff}, min(most, 2<<20)))
		give("oversized", bytes.Repeat([]byte{0xff}, min(most, 2<<20)+1))
		return out
	}
	switch v.Kind() {
	case reflect.Uint64:
		give("one", uint64(1))
		give("half", uint64(math.MaxInt64)+1)
		give("max", uint64(math.MaxUint64))
	case reflect.Int64:
		give("negative", int64(-1))
		give("max", int64(math.MaxInt64))
	case reflect.Bool:
		give("flipped", !v.Bool())
	case reflect.Slice:
		if v.Len() > 0 {
			out["twice"] = reflect.AppendSlice(reflect.AppendSlice(reflect.Zero(v.Type()), v), v)
			out["max"] = repeated(v, most)
			out["oversized"] = repeated(v, most+1)
		}
	}
	return out
}

func repeated(v reflect.Value, n int) reflect.Value {
	out := reflect.MakeSlice(v.Type(), n, n)
	for i := range n {
		out.Index(i).Set(v.Index(i % v.Len()))
	}
	return out
}

// mayBeHuge are the fields in which the most that can be said is right: bounds
// that somebody sets for himself, and what is only kept and shown.
var mayBeHuge = map[string]bool{
	"CreateMiner.Peer.ID": true, "UpdateMiner.Peer.ID": true,
	"PlaceAsk.Terms.Price": true, "PlaceBid.Terms.MinCollateral": true, "PlaceBid.Terms.ClientPeer": true,
	"PreCommitSectors.Sectors[0].CommR": true, // its proof will fail
	"PlaceAsk.Terms.RetrievalPrice":     true, "PlaceAsk.Terms.UnsealPrice": true, "PublishReceipts.Root": true,
	"PlaceBid.Terms.Renew.MaxPrice": true, "SetRenewal.Renew.MaxPrice": true,
	"SettleDeals.Deals": true,
}

// mayBeTwice are the lists in which the same may stand twice.
var mayBeTwice = map[string]bool{
	"SettleDeals.Deals":                  true, // the second finds nothing to settle
	"PreCommitSectors.Sectors[0].Pieces": true, // of no deal: space like any other
}

// TestFields sends every message with each of its fields at nothing, at the
// most, and beyond. Each has a result, twice the same, and the books balance
// (the harness looks); no number that names or weighs something is taken at its
// most; a batch that names a thing twice is refused; what is refused leaves the
// sender's money but for the fee.
func TestFields(t *testing.T) {
	counts := map[Code]int{}
	used := map[string]bool{}
	tell(t, func(s *script, c chapter, from string, body chain.Body) {
		for _, m := range mutations(t, body) {
			n := s.fork(t)
			before := n.account(from)
			_, results := n.block(n.message(from, 0, m.body))
			r := results[0]
			counts[r.Code]++
			if r.Code == CodeOK && m.value == "max" {
				if used[m.field] = true; !mayBeHuge[m.field] {
					t.Errorf("%s at its most is taken", m.field)
				}
			}
			if r.Code == CodeOK && m.value == "twice" && !mayBeTwice[m.field] {
				t.Errorf("%s with everything twice is taken", m.field)
			}
			if after := n.account(from); r.Code == CodeFailed && body.Kind() != chain.KindSubmitWindowProof {
				if want, err := before.Balance.Sub(r.Fee); err != nil || after.Balance.Cmp(want) < 0 || after.Nonce != before.Nonce+1 {
					t.Errorf("%s %s: refused, and %s has %s of %s (%v)", m.field, m.value, from, after.Balance, before.Balance, err)
				}
			} else if r.Code != CodeOK && r.Code != CodeFailed && after.Nonce != before.Nonce {
				t.Errorf("%s %s: %s, and the nonce moved", m.field, m.value, r.Code)
			}
		}
	})
	for field := range mayBeHuge {
		if !used[field] {
			t.Errorf("%s is said to be right at its most and is not", field)
		}
	}
	if counts[CodeOK] == 0 || counts[CodeFailed] < 100 || counts[CodeMalformed] == 0 {
		t.Errorf("results %v", counts)
	}
	t.Log(counts)
}

// TestOthersThings sends every message of the story as a rich stranger: it is
// refused, and nothing of the others changes, unless anyone may send it.
func TestOthersThings(t *testing.T) {
	tell(t, func(s *script, c chapter, from string, body chain.Body) {
		n := s.fork(t)
		_, results := n.block(n.message("mallory", 0, body))
		if got := results[0].Code == CodeOK; got != c.anyone {
			t.Errorf("%q by a stranger: %s %s", c.line, results[0].Code, results[0].Error)
		}
		if c.anyone {
			return
		}
		idle := s.fork(t)
		idle.block()
		for _, table := range []chain.Table{chain.TableMiner, chain.TableSector, chain.TablePartition, chain.TableOrder,
			chain.TableDeal, chain.TableChannel} {
			for _, k := range idle.view.keys(table) {
				if !bytes.Equal(idle.view.records[k], n.view.records[k]) {
					t.Errorf("%q by a stranger changes a %s", c.line, table)
				}
			}
			if was, is := len(idle.view.keys(table)), len(n.view.keys(table)); was != is {
				t.Errorf("%q by a stranger: %d records of %s, %d without it", c.line, is, table, was)
			}
		}
	})
}

// TestTwice puts every message of the story into its block twice: the second
// has no effect beyond its fee unless it says something new.
func TestTwice(t *testing.T) {
	tell(t, func(s *script, c chapter, from string, body chain.Body) {
		n := s.fork(t)
		_, results := n.block(n.message(from, 0, body), n.message(from, 1, body))
		if results[0].Code != CodeOK || (results[1].Code == CodeOK) != c.twice {
			t.Errorf("%q twice: %s and %s %s", c.line, results[0].Code, results[1].Code, results[1].Error)
		}
	})
}
