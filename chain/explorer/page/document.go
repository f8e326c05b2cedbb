package page

import (
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/perdure/perdure/chain"
)

// document is what a page shows.
type document struct {
	Title    string
	Kicker   string // above the title: what kind of thing it is
	Name     string // beside the title: the name of the thing, whole
	Live     string // topics of the stream by which it is renewed; empty: it is not
	Claim    *claim // answer of the API that can be proven; nil: none
	Over     bool   // there is none any more: the record has left the state
	Sections []section
}

// section is a part of a page. Of its parts those that are there are drawn, in
// the order of the fields.
type section struct {
	Title   string
	Brief   bool // a phone shows the first rows of its table
	Note    string
	Form    *form
	Tiles   []tile
	Facts   []fact
	Choices []entry // of what the chart shows, or the list lists
	Chart   *chart
	Grid    *grid
	Panels  []panel // small charts beside each other
	Life    []*turn // in the order of time
	Table   *table
	Tables  []table // side by side
	Tree    []node  // content of a message
	Links   []anchor
}

// value is a text for people with the exact value behind it. Kind says how it
// is marked up: data, time, code, badge, or nothing.
type value struct {
	Kind  string
	Text  string
	Exact string // of data and time: for programs and for copying
	Title string // shown on hover
	Href  string
	Tone  string // of a badge: good, due, bad, or nothing
	Field string // of the answer that the page's claim is about; empty: none
	Unit  string // of Exact, so that a script can write it for people: atto, price, bytes, count, or nothing
}

// of says which field of the page's claim a value is.
func (v value) of(field string) value {
	v.Field = field
	return v
}

// firstOf says it of the first of several values.
func firstOf(field string, all []value) []value {
	if len(all) > 0 {
		all[0].Field = field
	}
	return all
}

// claim is an answer of the API that a page shows and that the page's script
// verifies by its proof.
type claim struct {
	Path   string // of the API
	Kind   string // of the answer, as explorer.Proof has it
	Key    string // of the record, hexadecimal
	Height chain.Height
}

// claims makes an answer the document's claim, unless the record of the thing has
// left the state.
func (d *document) claims(c *claim, left chain.Height) {
	if d.Over = left != 0; !d.Over {
		d.Claim = c
	}
}

func claimOf(path, kind string, k chain.Key, at chain.Height) *claim {
	return &claim{path, kind, hex.EncodeToString([]byte(k.ID)), at}
}

// tile is a figure at a glance.
type tile struct {
	Label  string
	Values []value
	Note   []value
}

// panel is a small chart with its newest figure.
type panel struct {
	Label  anchor // to its figures
	Values []value
	Chart  *chart
}

// grid is a calendar: a row for each time that its columns come round.
type grid struct {
	Caption string
	Columns []string
	Rows    []gridRow
	Legend  []legend
}

type gridRow struct {
	Label []value
	Cells []window
}

// fact is a line of a description.
type fact struct {
	Label  string
	Values []value
	Help   string
}

// column is a column of a table.
type column struct {
	Label string
	Right bool // numbers
}

// cell is a cell of a table with its column's form.
type cell struct {
	column
	Values []value
	Head   bool // names the row
}

// table is a list. The first column names the row.
type table struct {
	Caption string
	Columns []column
	Rows    [][]cell
	Empty   string // instead of rows
	Folded  bool   // behind a summary
	Quiet   bool   // the heading above says what the caption does
	Slim    bool   // its rows fit a phone
	Sparse  bool   // most of its figures are zero, which is not worth a look
}

// anchor is a link.
type anchor struct{ Text, Href string }

// form asks for what a list is to be narrowed to.
type form struct {
	Action string
	Fields []field
	More   []field // folded away
	Open   bool    // or not
	Submit string
}

// field is a choice among words, if there are any, otherwise a text.
type field struct {
	Name, Label, Value, Hint string
	Words                    []option
}

// option is a word to choose; an empty value is what is usual.
type option struct{ Value, Text string }

// anyOf are options of which none need be chosen.
func anyOf(values ...string) []option {
	out := []option{{"", "any"}}
	for _, v := range values {
		out = append(out, option{v, words(v)})
	}
	return out
}

// window is a deadline in a miner's calendar.
type window struct {
	Mark, Title, Tone string
	Href              string
}

// newTable makes a table; a column whose label begins with > holds numbers.
func newTable(caption, empty string, labels ...string) *table {
	t := &table{Caption: caption, Empty: empty}
	for _, l := range labels {
		if l[0] == '>' {
			t.Columns = append(t.Columns, column{l[1:], true})
			continue
		}
		t.Columns = append(t.Columns, column{l, false})
	}
	return t
}

// row adds a row with as many cells as the table has columns.
func (t *table) row(cells ...[]value) {
	r := make([]cell, len(t.Columns))
	for i, c := range t.Columns {
		r[i] = cell{c, cells[i], i == 0}
	}
	t.Rows = append(t.Rows, r)
}

// only is a list of values without those that say nothing.
func only(values ...value) []value {
	return slices.DeleteFunc(values, func(v value) bool { return v.Text == "" })
}

// facts leaves out those that say nothing.
func facts(all ...fact) []fact {
	return slices.DeleteFunc(all, func(f fact) bool { return len(f.Values) == 0 })
}

// node is a part of a message's content.
type node struct {
	Name string
	Text string // if it has no parts
	Kids []node
}

// tree orders what the API decoded of a message by name.
func tree(v map[string]any) []node {
	var out []node
	for _, name := range slices.Sorted(maps.Keys(v)) {
		out = append(out, branch(name, v[name]))
	}
	return out
}

func branch(name string, v any) node {
	if m, ok := v.(map[string]any); ok {
		return node{Name: name, Kids: tree(m)}
	}
	list := reflect.ValueOf(v)
	if list.Kind() != reflect.Slice {
		return node{Name: name, Text: fmt.Sprint(v)}
	}
	out := node{Name: name}
	for i := range list.Len() {
		out.Kids = append(out.Kids, branch(strconv.Itoa(i+1), list.Index(i).Interface()))
	}
	if out.Kids == nil {
		out.Text = "none"
	}
	return out
}

//go:embed templates
var templateFS embed.FS

func parse(f *files) (*template.Template, error) {
	return template.New("").Funcs(template.FuncMap{"file": f.url}).ParseFS(templateFS, "templates/*.html")
}
