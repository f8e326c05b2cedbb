package export

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Kind is what a column's values are.
type Kind byte

// The kinds of columns.
const (
	Text Kind = iota
	Unsigned
	Signed
	Bool
)

// Column is one column of a table.
type Column struct {
	Name     string
	Kind     Kind
	Nullable bool // some rows have no value
	path     []int
	omit     bool // a zero value is none, as omitempty has it
	json     bool // a list, written as JSON
	key      string
}

// Key is a key of a map whose values stand in a column of their own: unsigned
// numbers, or what writes itself as text.
type Key struct {
	Name string
	Kind Kind
}

// Spread returns the columns with that of a map from text, named so, replaced by one
// for each of some keys. Rows without a key have no value there.
func Spread(columns []Column, name string, keys []Key) []Column {
	var out []Column
	for _, c := range columns {
		if c.Name != name {
			out = append(out, c)
			continue
		}
		for _, k := range keys {
			out = append(out, Column{Name: name + "_" + k.Name, Kind: k.Kind, Nullable: true, path: c.path, key: k.Name})
		}
	}
	return out
}

var columnsOf sync.Map // reflect.Type: []Column

// ColumnsOf returns the columns of a row's type, a struct: one for each field as
// JSON names it, those of structs in it behind their own name.
func ColumnsOf(row reflect.Type) []Column {
	if row.Kind() == reflect.Pointer {
		row = row.Elem()
	}
	if known, ok := columnsOf.Load(row); ok {
		return known.([]Column)
	}
	columns := flatten(nil, row, Column{})
	columnsOf.Store(row, columns)
	return columns
}

var (
	texter = reflect.TypeFor[encoding.TextMarshaler]()
)

// flatten appends the columns of a struct that stands where at says.
func flatten(out []Column, of reflect.Type, at Column) []Column {
	for i := range of.NumField() {
		f := of.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		c := Column{Name: at.Name, Nullable: at.Nullable, path: append(slices.Clone(at.path), i)}
		c.omit = strings.Contains(options, "omitempty")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner, c.Nullable = inner.Elem(), true
		}
		if f.Anonymous && name == "" && inner.Kind() == reflect.Struct {
			c.Nullable = at.Nullable // what embeds by pointer never leaves it nil
			out = flatten(out, inner, c)
			continue
		}
		if name == "" {
			name = f.Name
		}
		if c.Name != "" {
			name = c.Name + "_" + name
		}
		c.Name, c.Nullable = name, c.Nullable || c.omit
		if inner.Kind() == reflect.Struct && !reflect.PointerTo(inner).Implements(texter) {
			out = flatten(out, inner, c)
			continue
		}
		c.Kind, c.json = kindOf(inner)
		out = append(out, c)
	}
	return out
}

func kindOf(t reflect.Type) (k Kind, json bool) {
	if reflect.PointerTo(t).Implements(texter) {
		return Text, false
	}
	switch t.Kind() {
	case reflect.String:
		return Text, false
	case reflect.Bool:
		return Bool, false
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Unsigned, false
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Signed, false
	}
	return Text, true
}

// Of finds the column's value in a row, a pointer to its struct. It reports false
// for a row that has none.
func (c *Column) Of(row reflect.Value) (reflect.Value, bool) {
	v := row
	for _, i := range c.path {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	if c.key != "" {
		return valueOf(v, c.key)
	}
	if c.omit && (v.IsZero() || c.json && v.Kind() != reflect.Interface && v.Len() == 0) {
		return v, false
	}
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return v, false
		}
		v = v.Elem()
	}
	return v, true
}

// valueOf is what a map has under a key, where its methods are found.
func valueOf(m reflect.Value, key string) (reflect.Value, bool) {
	held := m.MapIndex(reflect.ValueOf(key))
	if !held.IsValid() {
		return held, false
	}
	if held.Kind() == reflect.Interface {
		held = held.Elem()
	}
	v := reflect.New(held.Type()).Elem()
	v.Set(held)
	return v, true
}

// Append appends the text of a value of the column.
func (c *Column) Append(b []byte, v reflect.Value) ([]byte, error) {
	switch {
	case c.json:
		text, err := json.Marshal(v.Interface())
		if err != nil {
			return b, fmt.Errorf("column %s: %w", c.Name, err)
		}
		return append(b, text...), nil
	case c.Kind == Unsigned:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case c.Kind == Signed:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case c.Kind == Bool:
		return strconv.AppendBool(b, v.Bool()), nil
	case v.Kind() == reflect.String:
		return append(b, v.String()...), nil
	}
	return c.text(b, v.Addr().Interface())
}

// text appends a value that writes itself.
func (c *Column) text(b []byte, v any) (_ []byte, err error) {
	if a, ok := v.(encoding.TextAppender); ok {
		b, err = a.AppendText(b)
	} else {
		var text []byte
		text, err = v.(encoding.TextMarshaler).MarshalText()
		b = append(b, text...)
	}
	if err != nil {
		return b, fmt.Errorf("column %s: %w", c.Name, err)
	}
	return b, nil
}
