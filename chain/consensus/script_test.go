package consensus

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/filecoin-project/go-address"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// Golden scripts, testdata/*.txt. One file is one or more chains.
//
//	genesis alice=100PDR bob=5PDR [validators=(v1,v2)]   starts a chain; the input, if any, is a JSON
//	                                                     object of Params that differ from devnet's
//	block [beacon=absent|wrong] [proposer=v2] [evidence=(v2,HEIGHT)]    one block; input: a message a line:
//	    alice: transfer to=bob amount=5PDR               sender: verb key=value ...
//	    keys of every verb: nonce=, maxfee=, tip=, signer=NAME
//	    raw 0102ff                                       these bytes instead of a message
//	advance N | advance to=H                             empty blocks; prints their events
//	show votes | account alice | miner 1000 | sector 1000 7 | partition 1000 0 0 | order 1 | deal 1 | copies 1 | channel 1 | served 1000 | global | supply | book | beacon 5
//
// Verbs find the sender's name as a.text("from"). A noun adds its verbs in its own _test file: verbs["name"] = func(...) in an init.

// verb makes a message body from a line's arguments.
type verb func(s *script, a args) chain.Body

var verbs = map[string]verb{}

func init() {
	verbs["transfer"] = func(s *script, a args) chain.Body {
		return &chain.Transfer{To: a.address("to"), Amount: a.amount("amount")}
	}
}

// script runs one golden file.
type script struct {
	*network
	verify Verifier
	memory map[string]any // what verbs remember between lines
}

// args are the key=value pairs of a line.
type args struct {
	t     testing.TB
	pairs map[string]string
}

func (a args) has(key string) bool { _, ok := a.pairs[key]; return ok }

func (a args) text(key string) string {
	a.t.Helper()
	v, ok := a.pairs[key]
	if !ok {
		a.t.Fatalf("argument %s= is missing", key)
	}
	return v
}

// number reads key, or gives the fallback if there is one.
func (a args) number(key string, fallback ...uint64) uint64 {
	a.t.Helper()
	if len(fallback) > 0 && !a.has(key) {
		return fallback[0]
	}
	v, err := strconv.ParseUint(a.text(key), 0, 64)
	must(a.t, err)
	return v
}

// numbers reads a list: 1,2,5.
func (a args) numbers(key string) []uint64 {
	a.t.Helper()
	if !a.has(key) {
		return nil
	}
	var out []uint64
	for _, f := range strings.Split(a.text(key), ",") {
		v, err := strconv.ParseUint(f, 0, 64)
		must(a.t, err)
		out = append(out, v)
	}
	return out
}

// size reads a number of bytes: 2KiB.
func (a args) size(key string, fallback ...uint64) uint64 {
	a.t.Helper()
	if len(fallback) > 0 && !a.has(key) {
		return fallback[0]
	}
	v, err := chain.ParseSize(a.text(key))
	must(a.t, err)
	return v
}

// amount reads money: 5PDR, 12; absent is nothing.
func (a args) amount(key string) chain.Amount {
	a.t.Helper()
	if !a.has(key) {
		return chain.Amount{}
	}
	v, err := chain.ParseAmount(a.text(key))
	must(a.t, err)
	return v
}

// address reads an account's name or a miner's t01000.
func (a args) address(key string) chain.Address {
	a.t.Helper()
	v := a.text(key)
	if id, err := chain.ParseMiner(v); err == nil {
		addr, err := chain.MinerAddress(id)
		must(a.t, err)
		return addr
	}
	return addressOf(a.t, v)
}

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") {
			return
		}
		s := &script{verify: fakeVerifier{}, memory: map[string]any{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if s.network != nil {
				s.network.t = t
			}
			return s.run(t, d)
		})
	})
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "genesis":
		return s.genesis(t, d)
	case "block":
		return s.runBlock(d)
	case "advance":
		before := s.height
		if d.HasArg("to") {
			var to uint64
			d.ScanArgs(t, "to", &to)
			return s.events(s.advanceTo(chain.Height(to))) + s.at(before)
		}
		n, err := strconv.Atoi(d.CmdArgs[0].Key)
		must(t, err)
		return s.events(s.advance(n)) + s.at(before)
	case "show":
		return s.show(t, d)
	}
	t.Fatalf("unknown command %q", d.Cmd)
	return ""
}

func (s *script) at(before chain.Height) string {
	return fmt.Sprintf("height %d -> %d\n", before, s.height)
}

func (s *script) genesis(t *testing.T, d *datadriven.TestData) string {
	p := testParams()
	if d.Input != "" {
		must(t, json.Unmarshal([]byte(d.Input), p))
	}
	var accounts []named
	var validators []string
	for _, arg := range d.CmdArgs {
		if arg.Key == "validators" {
			validators = arg.Vals
			continue
		}
		balance, err := chain.ParseAmount(arg.Vals[0])
		must(t, err)
		accounts = append(accounts, named{arg.Key, balance})
	}
	s.network = newNetwork(t, p, s.verify, accounts, validators...)
	s.memory = map[string]any{"names": accounts}
	return "ok\n"
}

func (s *script) runBlock(d *datadriven.TestData) string {
	b := &Block{}
	var mode, proposer string
	d.MaybeScanArgs(s.t.(*testing.T), "beacon", &mode)
	if d.MaybeScanArgs(s.t.(*testing.T), "proposer", &proposer) {
		b.Proposer = proposerOf(proposer)
	}
	for _, arg := range d.CmdArgs {
		if arg.Key == "evidence" {
			h, err := strconv.ParseUint(arg.Vals[1], 10, 64)
			must(s.t, err)
			b.Evidence = append(b.Evidence, Evidence{Address: proposerOf(arg.Vals[0]), Height: chain.Height(h)})
		}
	}
	ahead := map[string]uint64{}
	for _, line := range strings.Split(d.Input, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		b.Messages = append(b.Messages, s.message(line, ahead))
	}
	b.Beacon = s.contribution(beaconMode(mode))
	u, results := s.blockWith(b)
	var out strings.Builder
	fmt.Fprintf(&out, "height %d\n", s.height)
	for i, r := range results {
		fmt.Fprintf(&out, "%d %s %s", i+1, r.Kind, r.Code)
		if r.ID != 0 {
			fmt.Fprintf(&out, " id=%d", r.ID)
		}
		if r.Error != "" {
			fmt.Fprintf(&out, ": %s", s.rename(r.Error))
		}
		out.WriteByte('\n')
	}
	return out.String() + s.events(u.Events)
}

// message reads a line of a block.
func (s *script) message(line string, ahead map[string]uint64) []byte {
	s.t.Helper()
	if text, ok := strings.CutPrefix(line+" ", "raw "); ok {
		b, err := hex.DecodeString(strings.TrimSpace(text))
		must(s.t, err)
		return b
	}
	from, rest, ok := strings.Cut(line, ":")
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 || verbs[fields[0]] == nil {
		s.t.Fatalf("message %q: want sender: verb key=value ...", line)
	}
	a := args{s.t, map[string]string{"from": from}}
	for _, f := range fields[1:] {
		k, v, _ := strings.Cut(f, "=")
		a.pairs[k] = v
	}
	body := verbs[fields[0]](s, a)
	m := chain.Message{From: addressOf(s.t, from), MaxFee: chain.PDR(1000), Tip: a.amount("tip")}
	if a.has("maxfee") {
		m.MaxFee = a.amount("maxfee")
	}
	if body.Kind() != chain.KindSubmitWindowProof {
		m.Nonce = a.number("nonce", s.account(from).Nonce+ahead[from])
		if !a.has("nonce") {
			ahead[from]++
		}
	}
	signer := from
	if a.has("signer") {
		signer = a.text("signer")
	}
	return s.sign(signer, m, body)
}

func (s *script) events(events []Event) string {
	var out strings.Builder
	for _, e := range events {
		kind := e.Kind
		e.Kind = 0
		fmt.Fprintf(&out, "  %s %s\n", kind, s.fields(e))
	}
	return out.String()
}

// show prints a record: show table id [id [id]].
func (s *script) show(t *testing.T, d *datadriven.TestData) string {
	var ids []uint64
	for _, a := range d.CmdArgs[1:] {
		if n, err := strconv.ParseUint(a.Key, 10, 64); err == nil {
			ids = append(ids, n)
		}
	}
	var v chain.CBOR
	var key chain.Key
	switch d.CmdArgs[0].Key {
	case "account":
		v, key = new(chain.Account), chain.AccountKey(addressOf(t, d.CmdArgs[1].Key))
	case "miner":
		v, key = new(chain.Miner), chain.MinerKey(ids[0])
	case "sector":
		v, key = new(chain.Sector), chain.SectorKey(ids[0], ids[1])
	case "partition":
		v, key = new(chain.Partition), chain.PartitionKey(ids[0], ids[1], ids[2])
	case "order":
		v, key = new(chain.Order), chain.OrderKey(ids[0])
	case "deal":
		v, key = new(chain.Deal), chain.DealKey(ids[0])
	case "copies":
		v, key = new(chain.Copies), chain.CopiesKey(ids[0])
	case "served":
		v, key = new(chain.Served), chain.ServedKey(ids[0])
	case "channel":
		v, key = new(chain.Channel), chain.ChannelKey(ids[0])
	case "votes":
		return s.showVotes()
	case "beacon":
		v, key = new(chain.Beacon), chain.BeaconKey(chain.Height(ids[0]))
	case "proposal":
		v, key = new(chain.Proposal), chain.ProposalKey(ids[0])
	case "params":
		v, key = new(Params), chain.ParamsKey()
	case "global":
		v, key = new(chain.Global), chain.GlobalKey()
	case "book":
		return s.showBook()
	case "supply":
		g := s.global()
		return s.fields(g.Supply) + "\n"
	default:
		t.Fatalf("show what? %v", d.CmdArgs)
	}
	if !s.record(key, v) {
		return "none\n"
	}
	if text := s.fields(reflect.ValueOf(v).Elem().Interface()); text != "" {
		return text + "\n"
	}
	return "all zero\n"
}

// fields writes what of a struct is not zero: Name=value ...
func (s *script) fields(v any) string {
	var out []string
	rv := reflect.ValueOf(v)
	for i := range rv.NumField() {
		if f := rv.Field(i); !f.IsZero() && !(f.Kind() == reflect.Slice && f.Len() == 0) {
			out = append(out, rv.Type().Field(i).Name+"="+s.value(f))
		}
	}
	return strings.Join(out, " ")
}

func (s *script) value(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case chain.Amount:
		return strings.ReplaceAll(x.Human(), " ", "")
	case chain.Address:
		return s.rename(chain.FormatAddress(x, s.params.Network))
	case cid.Cid:
		return x.String()
	case fmt.Stringer:
		return x.String()
	case []byte:
		if a, err := address.NewFromBytes(x); err == nil {
			return s.rename(chain.FormatAddress(a, s.params.Network))
		}
		return short(x)
	case [32]byte:
		return short(x[:])
	}
	switch v.Kind() {
	case reflect.Pointer:
		return s.value(v.Elem())
	case reflect.Struct:
		return "{" + s.fields(v.Interface()) + "}"
	case reflect.Slice:
		var out []string
		for i := range v.Len() {
			out = append(out, s.value(v.Index(i)))
		}
		return "[" + strings.Join(out, " ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

func short(b []byte) string {
	if len(b) > 6 {
		return fmt.Sprintf("%x..", b[:6])
	}
	return fmt.Sprintf("%x", b)
}

// rename puts names in the place of the addresses of the script's accounts.
func (s *script) rename(text string) string {
	names, _ := s.memory["names"].([]named)
	for _, n := range append(names, named{name: "val"}, named{name: "newcomer"}) {
		text = strings.ReplaceAll(text, chain.FormatAddress(addressOf(s.t, n.name), s.params.Network), n.name)
	}
	return text
}
