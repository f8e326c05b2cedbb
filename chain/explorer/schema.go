package explorer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// schema is what a reader of proofs must know of the records, as JSON.
type schema struct {
	Tables      [][2]string            `json:"tables"`  // name and shape, by number
	Structs     map[string][][2]string `json:"structs"` // fields of a tuple in their order: name in JSON, type
	Words       map[string][]string    `json:"words"`   // names of the values of a type
	SectorSizes map[string]string      `json:"sectorSizes"`
	Answers     map[string]answerForm  `json:"answers"`
}

// answerForm is how an answer of ?proof=true follows from a record.
type answerForm struct {
	Table  string     `json:"table"`
	Struct string     `json:"struct"` // what its links name the fields of
	Fields [][]string `json:"fields"` // links: to, from, as, if
}

// Schema writes, as a module of JavaScript, how the records of the state are
// laid out and which field of an answer stands where in them. It follows from
// the types of package chain; the page's scripts hold a copy, which a test
// compares.
func Schema() ([]byte, error) {
	s := &schema{Structs: map[string][][2]string{}, Words: map[string][]string{}, SectorSizes: map[string]string{}, Answers: map[string]answerForm{}}
	shapes := map[chain.Shape]string{chain.ShapeSingle: "single", chain.ShapeBytes: "bytes", chain.ShapeDense: "dense", chain.ShapeOwned: "owned"}
	for t := range chain.TableEnd {
		s.Tables = append(s.Tables, [2]string{t.String(), shapes[t.Shape()]})
	}
	for p := range abi.RegisteredSealProof_StackedDrg64GiBV1_1 + 1 {
		if size := sectorSize(p); size > 0 {
			s.SectorSizes[strconv.Itoa(int(p))] = strconv.FormatUint(size, 10)
		}
	}
	s.typeOf(reflect.TypeFor[chain.Global]())
	for name, of := range provables {
		record := reflect.TypeOf(consensus.NewRecord(of.table, "")).Elem()
		if name == answerParams {
			record = reflect.TypeFor[consensus.Params]()
		}
		form := answerForm{Table: of.table.String(), Struct: s.typeOf(record)}
		for _, l := range of.links {
			form.Fields = append(form.Fields, trimmed(l.To, l.From, l.As, l.If))
		}
		s.Answers[name] = form
	}
	return s.module()
}

// trimmed is a list of texts without the empty ones at its end.
func trimmed(all ...string) []string {
	for len(all) > 0 && all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	return all
}

// typeOf names the type of a field, and notes what its name stands for.
func (s *schema) typeOf(t reflect.Type) string {
	switch reflect.Zero(t).Interface().(type) {
	case chain.Amount:
		return "amount"
	case chain.Address:
		return "address"
	case cid.Cid:
		return "cid"
	case [32]byte, []byte:
		return "hex"
	case chain.Network:
		return "network"
	case abi.RegisteredSealProof:
		return "int"
	case chain.OrderState, chain.SectorState, chain.DealState:
		return s.wordsOf(t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "?" + s.typeOf(t.Elem())
	case reflect.Slice:
		return "[]" + s.typeOf(t.Elem())
	case reflect.Struct:
		return s.structOf(t)
	case reflect.Bool:
		return "bool"
	case reflect.String:
		return "text"
	case reflect.Int64:
		return "int"
	case reflect.Uint64:
		return "uint"
	}
	panic(fmt.Sprintf("explorer: a record with a field of type %s", t)) // a mistake of ours
}

func (s *schema) structOf(t reflect.Type) string {
	if s.Structs[t.Name()] != nil {
		return t.Name()
	}
	s.Structs[t.Name()] = [][2]string{}
	var fields [][2]string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = camel(f.Name)
		}
		kind := special[t.Name()+"."+f.Name]
		if kind == "" {
			kind = s.typeOf(f.Type)
		}
		fields = append(fields, [2]string{name, kind})
	}
	s.Structs[t.Name()] = fields
	return t.Name()
}

// wordsOf notes the names of a state's values, from 0 to the last one that has its own.
func (s *schema) wordsOf(t reflect.Type) string {
	var words []string
	for n := uint64(0); ; n++ {
		v := reflect.New(t).Elem()
		v.SetUint(n)
		word := fmt.Sprint(v.Interface())
		if n > 0 && word == words[0] {
			s.Words[t.Name()] = words
			return t.Name()
		}
		words = append(words, word)
	}
}

// module writes the schema with a line for each table, type and answer.
func (s *schema) module() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("// How records are laid out and where an answer's fields stand in them. Written from the\n" +
		"// types of package chain by: go test ./chain/explorer/page -run TestSchema -update\nexport const schema = {\n")
	one := func(v any) (string, error) {
		raw, err := json.Marshal(v)
		return string(raw), err
	}
	parts := reflect.ValueOf(*s)
	for i := range parts.NumField() {
		name := parts.Type().Field(i).Tag.Get("json")
		if parts.Field(i).Kind() != reflect.Map {
			text, err := one(parts.Field(i).Interface())
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&b, "  %s: %s,\n", name, text)
			continue
		}
		fmt.Fprintf(&b, "  %s: {\n", name)
		keys := map[string]string{}
		for _, k := range parts.Field(i).MapKeys() {
			text, err := one(parts.Field(i).MapIndex(k).Interface())
			if err != nil {
				return nil, err
			}
			keys[k.String()] = text
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			fmt.Fprintf(&b, "    %q: %s,\n", k, keys[k])
		}
		b.WriteString("  },\n")
	}
	b.WriteString("};\n")
	return b.Bytes(), nil
}
