package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// defaultNode is where a node on this machine serves its API.
const defaultNode = "http://127.0.0.1:26660"

// ask writes what the node answers to a path of its API: as it is with --json,
// otherwise for people, who see these columns of its lists, or all.
func ask(cmd *cobra.Command, g *globals, path string, columns ...string) error {
	node, err := g.dial()
	if err != nil {
		return err
	}
	defer node.Close()
	if g.Light {
		fmt.Fprintf(cmd.ErrOrStderr(), "not verified: %s%s is shown as %s says it\n", node.Base(), path, node.Base())
	}
	var raw json.RawMessage
	if err := node.JSON(cmd.Context(), path, &raw); err != nil {
		return err
	}
	return show(cmd, g, raw, columns...)
}

// answer writes a command's own answer: as JSON with --json, otherwise for people.
func answer(cmd *cobra.Command, g *globals, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return show(cmd, g, raw)
}

// show writes one JSON object.
func show(cmd *cobra.Command, g *globals, raw json.RawMessage, columns ...string) error {
	if g.JSON {
		return writeJSON(cmd, raw)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := readValue(d)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	printer{w, columns}.value("", v)
	return w.Flush()
}

// member is one member of a JSON object; an object is its members in their order.
type member struct {
	key   string
	value any
}

// maxNesting bounds the depth of an answer.
const maxNesting = 32

var errNesting = errors.New("nested too deeply")

// readValue reads a JSON value and keeps the order of members: []member, []any
// or a scalar.
func readValue(d *json.Decoder) (any, error) { return readNested(d, maxNesting) }

func readNested(d *json.Decoder, left int) (any, error) {
	if left == 0 {
		return nil, errNesting
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		object := []member{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := readNested(d, left-1)
			if err != nil {
				return nil, err
			}
			object = append(object, member{fmt.Sprint(key), v})
		}
		_, err = d.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readNested(d, left-1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return t, nil
}

// printer writes answers for people.
type printer struct {
	io.Writer
	columns []string // of tables; none: all that are scalars
}

// value writes one line a scalar, its name being the path to it, and one table
// a list of objects.
func (p printer) value(name string, v any) {
	switch v := v.(type) {
	case []member:
		for _, m := range v {
			p.value(strings.TrimPrefix(name+"."+m.key, "."), m.value)
		}
	case []any:
		p.list(name, v)
	case nil:
	default:
		fmt.Fprintf(p, "%s\t%v\n", name, v)
	}
}

func (p printer) list(name string, list []any) {
	if len(list) == 0 {
		fmt.Fprintf(p, "%s\tnone\n", name)
		return
	}
	first, objects := list[0].([]member)
	if !objects {
		texts := make([]string, len(list))
		for i, v := range list {
			texts[i] = fmt.Sprint(v)
		}
		fmt.Fprintf(p, "%s\t%s\n", name, strings.Join(texts, " "))
		return
	}
	columns := p.columns
	if len(columns) == 0 {
		for _, m := range first {
			if _, ok := cell(m.value); ok {
				columns = append(columns, m.key)
			}
		}
	}
	fmt.Fprintln(p, strings.Join(columns, "\t"))
	for _, row := range list {
		members, _ := row.([]member)
		fmt.Fprintln(p, strings.Join(cells(members, columns), "\t"))
	}
}

// cells are the texts of one row.
func cells(row []member, columns []string) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = "-"
		for _, m := range row {
			if m.key == c {
				out[i], _ = cell(m.value)
			}
		}
	}
	return out
}

// cell is the text of a scalar in a table.
func cell(v any) (string, bool) {
	switch v := v.(type) {
	case []member, []any:
		return "", false
	case nil:
		return "-", true
	case string:
		if v == "" {
			return "-", true
		}
		return v, true
	default:
		return fmt.Sprint(v), true
	}
}
