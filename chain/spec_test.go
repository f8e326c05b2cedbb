package chain

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

const (
	nounsBegin = "<!-- nouns: written by go test ./chain -run SpecNouns -update -->\n"
	nounsEnd   = "<!-- end of nouns -->\n"
)

// nounTable writes the rows of SPEC.md: every noun with its fields in the
// order of its tuple.
func nounTable() string {
	var b strings.Builder
	b.WriteString("| noun | fields |\n|---|---|\n")
	var queue []reflect.Type
	for _, v := range nouns() {
		queue = append(queue, reflect.TypeOf(v).Elem())
	}
	seen := map[reflect.Type]bool{}
	for ; len(queue) > 0; queue = queue[1:] {
		t := queue[0]
		if seen[t] {
			continue
		}
		seen[t] = true
		var fields []string
		for i := range t.NumField() {
			f := t.Field(i)
			name, inner := fieldType(f)
			fields = append(fields, f.Name+" "+name)
			if inner != nil {
				queue = append(queue, inner)
			}
		}
		fmt.Fprintf(&b, "| %s | %s |\n", t.Name(), strings.Join(fields, ", "))
	}
	return b.String()
}

// fieldType names a field's type and returns the noun in it, if any.
func fieldType(f reflect.StructField) (string, reflect.Type) {
	most := strings.TrimPrefix(f.Tag.Get("cborgen"), "maxlen=")
	t := f.Type
	if t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 {
		name, inner := plainType(t.Elem())
		return "[" + most + "]" + name, inner
	}
	if t.Kind() == reflect.Pointer {
		name, inner := plainType(t.Elem())
		return "*" + name, inner
	}
	name, inner := plainType(t)
	if name == "bytes" && most != "" {
		name += "(" + most + ")"
	}
	return name, inner
}

func plainType(t reflect.Type) (string, reflect.Type) {
	switch {
	case t == reflect.TypeFor[Address]() || t == reflect.TypeFor[Amount]() || t == reflect.TypeFor[Signature]():
		return t.Name(), nil
	case t.Name() == "Cid":
		return "CID", nil
	case t.Kind() == reflect.Struct:
		return t.Name(), t
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "bytes", nil
	case t.Kind() == reflect.Array:
		return "[32]", nil
	case t.Kind() == reflect.Bool || t.Kind() == reflect.String:
		return t.Kind().String(), nil
	}
	return "u64", nil
}

// TestSpecNouns: SPEC.md lists the nouns as they are.
func TestSpecNouns(t *testing.T) {
	raw, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), nounsBegin)
	got, after, ok2 := strings.Cut(rest, nounsEnd)
	if !ok || !ok2 {
		t.Fatal("SPEC.md has no place for the nouns")
	}
	if *update {
		if err := os.WriteFile("SPEC.md", []byte(before+nounsBegin+nounTable()+nounsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != nounTable() {
		t.Error("SPEC.md lists other nouns: run go test ./chain -run SpecNouns -update")
	}
}

// TestSpecNumbers: SPEC.md has a row for every kind and table, with its number.
func TestSpecNumbers(t *testing.T) {
	raw, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	spec := string(raw)
	for k := range Kind(256) {
		if _, ok := NewBody(k); ok && !strings.Contains(spec, fmt.Sprintf("\n| %d | %s |", k, k)) {
			t.Errorf("SPEC.md has no row for kind %d %s", k, k)
		}
	}
	for table := range TableEnd {
		if !strings.Contains(spec, fmt.Sprintf("\n| %d | %s |", table, table)) {
			t.Errorf("SPEC.md has no row for table %d %s", table, table)
		}
	}
}
