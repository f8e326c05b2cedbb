package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/spf13/cobra"
)

// TestShow writes an answer for people: amounts with their unit, tables aligned by
// themselves and under their names, with the columns of all rows.
func TestShow(t *testing.T) {
	for name, c := range map[string]struct {
		answer, want string
		columns      []string
	}{
		"book": {
			answer: `{"bids":[],"asks":[{"price":"1500000000000000","size":128},{"price":"7","size":2}],"height":34}`,
			want:   "bids  none\nasks\nprice       size\n0.0015 PDR  128\n7 attoPDR   2\nheight  34\n",
		},
		"rows that differ": {
			answer: `{"items":[{"kind":"a"},{"kind":"b","amount":"0","list":[1]}]}`,
			want:   "kind  amount\na     -\nb     0 PDR\n",
		},
		"what was asked for": {
			answer:  `{"items":[{"id":1,"placed":5,"values":[{"name":"faultFee","value":"8"},{"name":"fetchBy","value":"9"}]}]}`,
			want:    "id  values\n1   faultFee=8 fetchBy=9\n",
			columns: []string{"id", "values"},
		},
		"texts and numbers": {
			answer: `{"supply":{"minted":"2000000000000000000"},"chainId":"12","total":3,"open":false,"name":null}`,
			want:   "supply.minted  2 PDR\nchainId        12\ntotal          3\nopen           false\n",
		},
	} {
		cmd, out := new(cobra.Command), new(bytes.Buffer)
		cmd.SetOut(out)
		if err := show(cmd, new(globals), json.RawMessage(c.answer), c.columns...); err != nil {
			t.Fatal(err)
		}
		if out.String() != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, out, c.want)
		}
	}
}

// TestMoney compares the members that are shown as amounts with those that the
// API's document says are.
func TestMoney(t *testing.T) {
	text, err := os.ReadFile("../../chain/explorer/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	member := regexp.MustCompile(`(?m)^ +(\w+): \{ \$ref: "#/components/schemas/Amount"`)
	for _, found := range member.FindAllSubmatch(text, -1) {
		told = append(told, string(found[1]))
	}
	for _, name := range told {
		if !slices.Contains(money, name) && !slices.Contains([]string{"from", "to", "value"}, name) {
			t.Errorf("%s is an amount, and not shown as one", name)
		}
	}
	for _, name := range money {
		if !slices.Contains(told, name) {
			t.Errorf("%s is shown as an amount, and is none", name)
		}
	}
}
