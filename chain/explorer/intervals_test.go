package explorer

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestWholeSeries reads series of more intervals than one answer covers: the
// whole list has those of all answers together, and in CSV a column for each series.
func TestWholeSeries(t *testing.T) {
	n := newNetwork(t)
	n.pace = 1500 // seconds a block: 25 minutes, of which one has it
	n.populate()
	api, s := serve(t, n)
	defer http.DefaultClient.CloseIdleConnections()
	const path = "/v1/series?name=power,price,fees,trades&interval=1m"
	const first, span = 1_700_000_000 / 60 * 60, maxIntervals * 60
	blocks := int(n.store.View().Height())
	var parts []json.RawMessage
	for from := first; from < first+blocks*1500+60; from += span {
		parts = append(parts, items(t, s.URL, fmt.Sprintf("%s&from=%d&limit=%d", path, from, maxIntervals))...)
	}
	lines := strings.Split(strings.TrimSpace(read(t, s.URL+path+"&format=ndjson", "")), "\n")
	if newest := items(t, s.URL, path+"&limit=1500"); len(newest) >= len(lines) || len(lines) != blocks {
		t.Fatalf("the newest answer has %d intervals of %d, want fewer than of %d", len(newest), len(lines), blocks)
	}
	if !slices.EqualFunc(lines, parts, func(line string, part json.RawMessage) bool { return line == string(part) }) {
		t.Errorf("as a whole:\n%s\nin parts:\n%s", lines, parts)
	}
	rows, err := csv.NewReader(strings.NewReader(read(t, s.URL+path+"&format=csv", ""))).ReadAll()
	must(t, err)
	if got, want := strings.Join(rows[0], ","), "start,timestamp,height,final,values_power,values_fees,values_price,values_trades"; got != want {
		t.Errorf("columns %s, want %s", got, want)
	}
	traded := 0
	for i, row := range rows[1:] {
		var item SeriesItem
		must(t, json.Unmarshal(parts[i], &item))
		for k, name := range []string{"power", "fees", "price", "trades"} {
			want := ""
			if v, ok := item.Values[name]; ok {
				want = fmt.Sprint(v)
			}
			if row[4+k] != want {
				t.Errorf("%s of %s is %q in CSV, %q in JSON", name, item.Start, row[4+k], want)
			}
		}
		if row[7] == "1" && row[6] != "" {
			traded++
		}
	}
	if traded != 1 || len(rows) != len(lines)+1 {
		t.Errorf("%d rows, %d of them with the trade and its price", len(rows), traded)
	}
	within := strings.Split(strings.TrimSpace(read(t, fmt.Sprintf("%s%s&format=ndjson&from=%d&to=%d", s.URL, path, first+3000, first+6000), "")), "\n")
	if !slices.Equal(within, lines[1:3]) {
		t.Errorf("from a time to another: %s, want %s", within, lines[1:3])
	}
	for _, one := range []string{fmt.Sprint(first * 1000), "2023-11-14T22:13:00Z"} { // the same time as seconds say
		if got, want := items(t, s.URL, path+"&limit=1500&from="+one), items(t, s.URL, fmt.Sprintf("%s&limit=1500&from=%d", path, first)); len(got) == 0 || fmt.Sprintf("%s", got) != fmt.Sprintf("%s", want) {
			t.Errorf("from %s: %s, want %s", one, got, want)
		}
	}
	if got := decode[SeriesAnswer](t, api.Handler(), "/v1/series?name=power,price,power,price"); len(got.Series) != 2 {
		t.Errorf("series that were named twice: %+v", got.Series)
	}
	for _, bad := range []string{"&format=csv&limit=5", "&format=parquet", "&format=csv&from=yesterday", "&from=2000&to=1999", "&from=140000000000000"} {
		answer, err := http.Get(s.URL + path + bad)
		must(t, err)
		must(t, answer.Body.Close())
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", bad, answer.Status)
		}
	}
}
