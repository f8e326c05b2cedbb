package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
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
	p := &printer{tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0), columns}
	p.value("", "", v)
	return p.Flush()
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
	*tabwriter.Writer
	columns []string // of tables; none: all that are scalars
}

// value writes one line a scalar, its name being the path to it, which ends in
// key, and one table a list of objects.
func (p *printer) value(name, key string, v any) {
	switch v := v.(type) {
	case []member:
		for _, m := range v {
			p.value(strings.TrimPrefix(name+"."+m.key, "."), m.key, m.value)
		}
	case []any:
		p.list(name, v)
	case nil:
	default:
		fmt.Fprintf(p, "%s\t%s\n", name, scalar(key, v))
	}
}

// list writes a list. Tables are aligned each by itself; all but an answer's items
// have their name above them.
func (p *printer) list(name string, list []any) {
	if len(list) == 0 {
		fmt.Fprintf(p, "%s\tnone\n", name)
		return
	}
	if _, objects := list[0].([]member); !objects {
		texts := make([]string, len(list))
		for i, v := range list {
			texts[i] = fmt.Sprint(v)
		}
		fmt.Fprintf(p, "%s\t%s\n", name, strings.Join(texts, " "))
		return
	}
	columns := p.columns
	if len(columns) == 0 {
		columns = columnsOf(list)
	}
	p.Flush()
	if name != "items" {
		fmt.Fprintln(p, name)
	}
	fmt.Fprintln(p, strings.Join(columns, "\t"))
	for _, row := range list {
		members, _ := row.([]member)
		fmt.Fprintln(p, strings.Join(cells(members, columns), "\t"))
	}
	p.Flush()
}

// columnsOf are the scalars of all rows, in the order in which they come first.
func columnsOf(list []any) (columns []string) {
	for _, row := range list {
		members, _ := row.([]member)
		for _, m := range members {
			if _, ok := cell(m); ok && !slices.Contains(columns, m.key) {
				columns = append(columns, m.key)
			}
		}
	}
	return columns
}

// cells are the texts of one row.
func cells(row []member, columns []string) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = "-"
		for _, m := range row {
			if m.key == c {
				out[i], _ = cell(m)
			}
		}
	}
	return out
}

// cell is the text of a member in a table, and whether it is a scalar. A list of
// names and values is NAME=VALUE of each; other lists and objects are empty.
func cell(m member) (string, bool) {
	switch v := m.value.(type) {
	case []member:
		return "", false
	case []any:
		var texts []string
		for _, item := range v {
			if pair, _ := item.([]member); len(pair) == 2 && pair[0].key == "name" && pair[1].key == "value" {
				texts = append(texts, fmt.Sprintf("%v=%v", pair[0].value, pair[1].value))
			}
		}
		return strings.Join(texts, " "), false
	case nil:
		return "-", true
	case string:
		if v == "" {
			return "-", true
		}
	}
	return scalar(m.key, m.value), true
}

// money names the members of answers that are amounts when they are texts of
// digits: those of chain/explorer/openapi.yaml but for from, to and value, which
// are other things elsewhere.
var money = strings.Fields(`accounts accrued amount ask balance baseFee baseFeeFloor baseFeeStart beaconCharge before bid
blockRewards bound burned circulating clientDeposit close collateral dealPay debt deposit deposits emission faultFee fee fees
feesBurned fetch fines high issuanceTotal last locked low maxFee maxPrice minCollateral minerDeposit minted noShowDeposit
noShowFloor open orderDeposit pledge powerRewards preCommitDeposit price proofFee redeemed repairFetch reserve retrievalPrice
rewards rewards24h rewards30d rewards7d rewardsTotal sectorPledge skipFee standingFee tip tips total unissued unsealPrice
unspent vwap`)

// tiny is the amount below which people are shown attoPDR: a billionth of a PDR.
const tiny = chain.AttoPerPDR / 1_000_000_000

// scalar is the text of a scalar: an amount has its unit, as flags take it.
func scalar(key string, v any) string {
	text := fmt.Sprint(v)
	if _, is := v.(string); !is || !slices.Contains(money, key) || strings.Trim(text, "0123456789") != "" {
		return text
	}
	a, err := chain.ParseAmount(text)
	switch {
	case err != nil:
		return text
	case !a.IsZero() && a.Less(chain.Atto(tiny)):
		return text + " attoPDR"
	}
	return a.Human()
}
