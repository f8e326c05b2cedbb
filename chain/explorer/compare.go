package explorer

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/porep/piece"
)

// Shown is what a verified proof shows.
type Shown struct {
	Key    chain.Key
	Record []byte       // canonical encoding; nil: there is no such record
	Height chain.Height // of the state
	Root   *proof.Root  // of it
}

// Compared says what of an answer a proof bears out.
type Compared struct {
	Answer   string   // its kind
	Proven   []string // fields that are as the record says
	Unproven []string // fields that nobody has proven
}

// Mismatch is a field of an answer that is not as the proven record says.
type Mismatch struct {
	Field           string
	Expected, Found string // JSON; "nothing" for a field that is absent
}

// Error implements error.
func (m *Mismatch) Error() string {
	return fmt.Sprintf("%s: expected %s as in the proven record, found %s", m.Field, m.Expected, m.Found)
}

// ErrNoProof is returned for an answer that carries no proof.
var ErrNoProof = errors.New("the answer carries no proof: ask for it with ?proof=true")

// ProofOf reads the proof of an answer in JSON, of ?proof=true or of a record
// of /v1/state. What it says of itself proves nothing yet.
func ProofOf(answer []byte) (*Proof, error) {
	var head struct {
		Table, Key string
		Proof      json.RawMessage
	}
	if err := json.Unmarshal(answer, &head); err != nil {
		return nil, fmt.Errorf("not an answer in JSON: %w", err)
	}
	p := new(Proof)
	switch {
	case len(head.Proof) == 0 || string(head.Proof) == "null":
		return nil, ErrNoProof
	case head.Proof[0] == '"':
		p.Answer, p.Table, p.Key = answerRecord, head.Table, head.Key
		return p, json.Unmarshal(head.Proof, &p.Bundle)
	}
	if err := json.Unmarshal(head.Proof, p); err != nil {
		return nil, fmt.Errorf("not a proof in JSON: %w", err)
	}
	if _, known := provables[p.Answer]; !known {
		return nil, fmt.Errorf("proof of an unknown kind of answer %q", clip(p.Answer))
	}
	return p, nil
}

// answerRecord is the kind of a record of /v1/state.
const answerRecord = "record"

// Compare holds each field of an answer of ?proof=true, in JSON, against what
// its verified proof shows. The error is a *Mismatch if one differs.
func Compare(answer []byte, s *Shown) (*Compared, error) {
	p, err := ProofOf(answer)
	if err == nil {
		err = once(answer)
	}
	if err != nil {
		return nil, err
	}
	found, err := numbers(answer)
	if err != nil {
		return nil, err
	}
	delete(found, "proof")
	if p.Answer == answerRecord {
		return compareRecord(found, s)
	}
	of := provables[p.Answer]
	switch {
	case of.table != s.Key.Table:
		return nil, fmt.Errorf("an answer about %s %s has a proof of table %s", article(p.Answer), p.Answer, s.Key.Table)
	case s.Record == nil && p.Answer != answerAccount:
		return nil, fmt.Errorf("the proof shows that there is no record of this %s", p.Answer)
	}
	if p.Table != s.Key.Table.String() || p.Key != hexText([]byte(s.Key.ID)) {
		return nil, fmt.Errorf("the answer says that its proof is of %s %s, it is of %s %x", clip(p.Table), clip(p.Key), s.Key.Table, s.Key.ID)
	}
	bad, err := of.mismatches(found, p, s, names{chain.Testnet})
	if err != nil {
		return nil, err
	}
	if other, err := of.mismatches(found, p, s, names{chain.Mainnet}); err == nil && len(other) < len(bad) {
		bad = other
	}
	if len(bad) > 0 {
		return nil, bad[0]
	}
	out := &Compared{Answer: p.Answer, Unproven: of.beside("", found)}
	for _, l := range of.links {
		out.Proven = append(out.Proven, l.To)
	}
	return out, strangers(p.Answer, out.Unproven, of.unproven)
}

// unhex reads hexadecimal that we wrote.
func unhex(v any) []byte {
	text, _ := v.(string)
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an"
	}
	return "a"
}

// compareRecord compares an answer of /v1/state: its record in both forms.
func compareRecord(found map[string]any, s *Shown) (*Compared, error) {
	n := names{chain.Testnet}
	want := map[string]any{"table": s.Key.Table.String(), "key": hexText([]byte(s.Key.ID)), "exists": s.Record != nil, "cbor": s.Record,
		"value": nil, "height": s.Height}
	if s.Record != nil {
		v, err := Readable(n.network, s.Key, s.Record)
		if err != nil {
			return nil, err
		}
		want["value"] = v
	}
	plain, err := plainOf(want)
	if err != nil {
		return nil, err
	}
	out := &Compared{Answer: answerRecord, Proven: slices.Sorted(maps.Keys(plain))}
	for _, name := range out.Proven {
		if !alike(plain[name], found[name]) {
			return nil, &Mismatch{name, textOf(plain[name]), textOf(found[name])}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, known := plain[name]; !known {
			out.Unproven = append(out.Unproven, name)
		}
	}
	return out, strangers(answerRecord, out.Unproven, []string{"appHash", "time"})
}

// strangers refuses unproven fields that are proven in answers of another kind: an
// answer that says that it is of this kind would have them pass.
func strangers(kind string, unproven, own []string) error {
	for _, field := range unproven {
		if slices.Contains(own, field) {
			continue
		}
		for _, other := range slices.Sorted(maps.Keys(provables)) {
			if slices.ContainsFunc(provables[other].links, func(l link) bool { return l.To == field || strings.HasPrefix(l.To, field+".") }) {
				return fmt.Errorf("%s: an answer about %s %s does not have it, one about %s %s does", clip(field), article(kind), kind, article(other), other)
			}
		}
	}
	return nil
}

// mismatches are the fields that are not as the proof says, under a network's
// way to write addresses.
func (of *provable) mismatches(found map[string]any, p *Proof, s *Shown, n names) ([]*Mismatch, error) {
	source, err := sourceOf(p, s, n)
	if err != nil {
		return nil, err
	}
	var out []*Mismatch
	for _, l := range of.links {
		want, err := l.expected(source, n)
		if err != nil {
			return nil, err
		}
		if have := at(found, l.To); !alike(want, have) {
			out = append(out, &Mismatch{l.To, textOf(want), textOf(have)})
		}
	}
	return out, nil
}

// sourceOf is the record as links name its fields, and what else the proof shows:
// @key, @exists, @live of a sector, @height, @time.
func sourceOf(p *Proof, s *Shown, n names) (map[string]any, error) {
	var record any
	switch {
	case p.Answer == answerParams:
		if found := proof.LinkOf(p.Params); found != s.Root.Params {
			return nil, fmt.Errorf("parameters: expected block %s, to which the state links, found %s", s.Root.Params, found)
		}
		v := new(consensus.Params)
		if err := chain.Decode(p.Params, v); err != nil {
			return nil, fmt.Errorf("decode parameters: %w", err)
		}
		record = v
	case s.Record == nil:
		record = n.noun(consensus.NewRecord(s.Key.Table, s.Key.ID))
	default:
		v, err := Readable(n.network, s.Key, s.Record)
		if err != nil {
			return nil, err
		}
		record = v
	}
	out, err := plainOf(record)
	if err != nil {
		return nil, err
	}
	g := new(chain.Global)
	if err := chain.Decode(s.Root.Single, g); err != nil {
		return nil, fmt.Errorf("decode the global record: %w", err)
	}
	maps.Copy(out, map[string]any{"@key": hexText([]byte(s.Key.ID)), "@exists": s.Record != nil, "@time": clock(g.Time),
		"@height": json.Number(strconv.FormatUint(uint64(s.Height), 10)),
		"@live":   out["state"] == chain.SectorActive.String() || out["state"] == chain.SectorFaulty.String()})
	return out, nil
}

// expected is what an answer's field must be; nil if it must be absent.
func (l *link) expected(source map[string]any, n names) (any, error) {
	if l.If != "" && silent(at(source, l.If)) {
		return nil, nil
	}
	v := at(source, l.From)
	if l.As == "" {
		return v, nil
	}
	return conversions[l.As](v, n)
}

// conversions are the ways in which an answer writes a record's field that are
// not the record's own. verify.js has the same.
var conversions = map[string]func(v any, n names) (any, error){
	"address": func(v any, n names) (any, error) { return n.addressBytes(unhex(v)), nil },
	"side": func(v any, _ names) (any, error) {
		if v == nil {
			return "ask", nil
		}
		return "bid", nil
	},
	"channelState": func(v any, _ names) (any, error) {
		if silent(v) {
			return "open", nil
		}
		return "settling", nil
	},
	"count": func(v any, _ names) (any, error) {
		all, _ := v.([]any)
		return json.Number(strconv.Itoa(len(all))), nil
	},
	"sectorSize":  func(v any, _ names) (any, error) { return sizeOfProof(v) },
	"sectorSizes": func(v any, _ names) (any, error) { return each(v, sizeOfProof) },
	"sealedCid":   func(v any, _ names) (any, error) { return cidText(piece.SealedCID([32]byte(unhex(v)))), nil },
	"unsealedCid": func(v any, _ names) (any, error) { return cidText(piece.UnsealedCID([32]byte(unhex(v)))), nil },
	"lanes": func(v any, _ names) (any, error) {
		return each(v, func(v any) (any, error) {
			lane, _ := v.(map[string]any)
			return map[string]any{"lane": lane["id"], "nonce": lane["nonce"], "redeemed": lane["redeemed"], "ticks": lane["ticks"]}, nil
		})
	},
}

func sizeOfProof(v any) (any, error) {
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	return json.Number(strconv.FormatUint(sectorSize(abi.RegisteredSealProof(n)), 10)), err
}

func each(v any, f func(any) (any, error)) (any, error) {
	all, _ := v.([]any)
	out := make([]any, len(all))
	for i := range all {
		var err error
		if out[i], err = f(all[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// beside lists the fields of an answer that no link speaks of.
func (of *provable) beside(prefix string, found map[string]any) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		path := prefix + name
		linked := slices.ContainsFunc(of.links, func(l link) bool { return l.To == path })
		deeper := slices.ContainsFunc(of.links, func(l link) bool { return strings.HasPrefix(l.To, path+".") })
		inner, object := found[name].(map[string]any)
		switch {
		case linked:
		case deeper && object:
			out = append(out, of.beside(path+".", inner)...)
		default:
			out = append(out, path)
		}
	}
	return out
}

// paramLinks are the parameters by the names that JSON has for them.
func paramLinks() []link {
	var out []link
	t := reflect.TypeFor[consensus.Params]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		out = append(out, same(name)...)
	}
	return out
}

// plainOf is a value as JSON has it, with numbers as they are written.
func plainOf(v any) (map[string]any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return numbers(raw)
}

// once refuses an object in which a name stands twice: readers differ in which of
// the values they take.
func once(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	var open []map[string]bool // names of the objects that are open; nil: of a list, there are none
	name := false              // comes next
	for {
		token, err := d.Token()
		if err != nil {
			return nil //nolint:nilerr // it is the end, or decoding tells
		}
		switch token {
		case json.Delim('{'):
			open, name = append(open, map[string]bool{}), true
			continue
		case json.Delim('['):
			open, name = append(open, nil), false
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		default:
			if text, ok := token.(string); ok && name {
				if open[len(open)-1][text] {
					return fmt.Errorf("%q stands twice in an object", clip(text))
				}
				open[len(open)-1][text], name = true, false
				continue
			}
		}
		name = len(open) > 0 && open[len(open)-1] != nil
	}
}

func numbers(raw []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		return nil, fmt.Errorf("not an object in JSON: %w", err)
	}
	return out, nil
}

// at is the value under a path of names with points between them; nil: there is none.
func at(v map[string]any, path string) any {
	name, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		return v[name]
	}
	inner, _ := v[name].(map[string]any)
	return at(inner, rest)
}

// alike reports whether two values say the same. What is absent says the same
// as nothing, 0, false, an empty text, or what holds nothing but these.
func alike(a, b any) bool {
	if silent(a) || silent(b) {
		return silent(a) && silent(b)
	}
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		for name := range b {
			ok = ok && alike(a[name], b[name])
		}
		for name := range a {
			ok = ok && alike(a[name], b[name])
		}
		return ok
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, alike)
	}
	return a == b
}

// silent reports whether a value says nothing.
func silent(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == "" || v == "0"
	case json.Number:
		return v == "0"
	case bool:
		return !v
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, inner := range v {
			if !silent(inner) {
				return false
			}
		}
		return true
	}
	return false
}

func textOf(v any) string {
	if v == nil {
		return "nothing"
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}
