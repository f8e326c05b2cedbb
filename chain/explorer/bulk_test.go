package explorer

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	format "github.com/parquet-go/parquet-go"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer/access"
	"github.com/perdure/perdure/chain/explorer/export"
	"github.com/perdure/perdure/chain/explorer/export/parquet"
)

// items reads all pages of a list, a few items at a time unless the path says how many.
func items(t *testing.T, base, path string) (all []json.RawMessage) {
	t.Helper()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	for cursor := ""; ; {
		var page struct {
			Items []json.RawMessage
			Next  string
		}
		address := base + path
		if !strings.Contains(path, "limit=") {
			address += separator + "limit=3"
		}
		if cursor != "" {
			address += "&cursor=" + url.QueryEscape(cursor)
		}
		must(t, json.Unmarshal([]byte(read(t, address, "")), &page))
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

func read(t *testing.T, address, accept string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	must(t, err)
	r.Header.Set("Accept", accept)
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(t, err)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s\n%s", address, answer.Status, body)
	}
	return string(body)
}

// single reads a list that is in one answer; listed reports whether there is a list.
func single(t *testing.T, address string) (all []json.RawMessage, listed bool) {
	t.Helper()
	var answer struct{ Items *[]json.RawMessage }
	if json.Unmarshal([]byte(read(t, address, "")), &answer) != nil || answer.Items == nil {
		return nil, false
	}
	return *answer.Items, true
}

func raws(of []json.RawMessage) (out [][]byte) {
	for _, raw := range of {
		out = append(out, raw)
	}
	return out
}

// notWhole are the answers whose items are no rows of a list: what a text names.
var notWhole = []string{"/v1/search", "/v1/search/suggest"}

// TestWhole reads every list of the API as a whole: the lines are the items that
// its pages have, and as CSV there are as many under the names.
func TestWhole(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, s := serve(t, n)
	defer http.DefaultClient.CloseIdleConnections()
	mux, lists := api.mux(), map[string]bool{}
	for _, path := range paths(n) {
		_, pattern := mux.Handler(httptest.NewRequest(http.MethodGet, path, nil))
		i := slices.IndexFunc(api.routes(), func(r route) bool { return r.pattern() == pattern })
		bare, query, _ := strings.Cut(path, "?")
		if i < 0 || !api.routes()[i].isList() {
			if _, listed := single(t, s.URL+path); listed && !slices.Contains(notWhole, bare) {
				t.Errorf("%s has a list that is not read as a whole", path)
			}
			continue
		}
		lists[pattern] = true
		values, err := url.ParseQuery(query)
		must(t, err)
		values.Del("limit")
		known := api.routes()[i].query
		limited := slices.Contains(known, "limit")
		if limited && !slices.Contains(known, "cursor") { // intervals have no pages; the newest are all there are
			values.Del("from")
			values.Del("to")
			values.Set("limit", "400")
		}
		address := strings.TrimSuffix(bare+"?"+values.Encode(), "?")
		var want []json.RawMessage
		if limited {
			want = items(t, s.URL, address)
		} else {
			want, _ = single(t, s.URL+address)
		}
		values.Del("limit")
		values.Set("format", "ndjson")
		lines := strings.Split(strings.TrimSuffix(read(t, s.URL+bare+"?"+values.Encode(), ""), "\n"), "\n")
		if lines[0] == "" {
			lines = nil
		}
		if len(lines) != len(want) {
			t.Errorf("%s: %d lines, %d items", path, len(lines), len(want))
			continue
		}
		for i, line := range lines {
			if line != string(want[i]) {
				t.Errorf("%s: line %d is\n%s, the item\n%s", path, i, line, want[i])
			}
		}
		values.Del("format")
		rows, err := csv.NewReader(strings.NewReader(read(t, s.URL+bare+"?"+values.Encode(), "text/csv"))).ReadAll()
		if err != nil || len(rows) != len(want)+1 {
			t.Errorf("%s: %d rows of CSV, %v; want %d and their names", path, len(rows), err, len(want))
		}
	}
	for _, path := range []string{"/v1/deals", "/v1/orders", "/v1/channels"} { // those of some numbers
		want, _ := single(t, s.URL+path+"?ids=1,99,2")
		if got := read(t, s.URL+path+"?ids=1,99,2&format=ndjson", ""); len(want) == 0 || got != string(bytes.Join(raws(want), []byte("\n")))+"\n" {
			t.Errorf("%s by numbers: %s, want %s", path, got, want)
		}
	}
	for _, r := range api.routes() {
		if r.isList() && !lists[r.pattern()] {
			t.Errorf("%s was not read as a whole", r.pattern())
		}
	}
}

// TestTables reads every table that is exported, in every form: the rows are what
// the API says of the same things, through the form and back.
func TestTables(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	_, s := serve(t, n)
	defer http.DefaultClient.CloseIdleConnections()
	oldest := func(list []json.RawMessage) []json.RawMessage { slices.Reverse(list); return list }
	client := chain.FormatAddress(addressOf(t, "client"), n.params.Network)
	same := map[string][]json.RawMessage{
		"blocks": oldest(items(t, s.URL, "/v1/blocks")), "messages": oldest(items(t, s.URL, "/v1/messages")),
		"deals": oldest(items(t, s.URL, "/v1/deals")), "orders": oldest(items(t, s.URL, "/v1/orders?state=all")),
		"miners": oldest(items(t, s.URL, "/v1/miners")), "sectors": items(t, s.URL, "/v1/miners/t01000/sectors"),
		"trades": oldest(items(t, s.URL, "/v1/market/trades")), "channels": oldest(items(t, s.URL, "/v1/channels?address="+client)),
	}
	for _, name := range TableNames() {
		lines := strings.Split(strings.TrimSuffix(read(t, s.URL+"/v1/export/"+name, ""), "\n"), "\n")
		if want, ok := same[name]; ok {
			got := make([]json.RawMessage, len(lines))
			for i, line := range lines {
				got[i] = json.RawMessage(line)
			}
			if fmt.Sprintf("%s", got) != fmt.Sprintf("%s", want) {
				t.Errorf("%s: rows are\n%s\nthe API says\n%s", name, got, want)
			}
		} else if len(lines) < 3 {
			t.Errorf("%s: %d rows", name, len(lines))
		}
		compareParquet(t, name, lines)
		rows, err := csv.NewReader(strings.NewReader(read(t, s.URL+"/v1/export/"+name+"?format=csv", ""))).ReadAll()
		if err != nil || len(rows) != len(lines)+1 || len(rows[0]) != len(export.ColumnsOf(TableRow(name))) {
			t.Errorf("%s: %d rows of CSV, %v; want %d and their names", name, len(rows), err, len(lines))
		}
	}
	var account Account
	for _, line := range strings.Split(read(t, s.URL+"/v1/export/accounts", ""), "\n") {
		if strings.Contains(line, client) {
			must(t, json.Unmarshal([]byte(line), &account))
		}
	}
	var want Account
	must(t, json.Unmarshal([]byte(read(t, s.URL+"/v1/accounts/"+client, "")), &want))
	if account != want {
		t.Errorf("the export says %+v of an account, the API %+v", account, want)
	}
}

// compareParquet writes lines of JSON as parquet, as a program would that fetched
// them, reads the file as another program would, and compares the cells.
func compareParquet(t *testing.T, name string, lines []string) {
	t.Helper()
	var file bytes.Buffer
	w, err := parquet.New(&file, TableRow(name), nil)
	must(t, err)
	for _, line := range lines {
		row := reflect.New(TableRow(name).Elem()).Interface()
		must(t, json.Unmarshal([]byte(line), row))
		must(t, w.Write(row))
	}
	must(t, w.Flush())
	in := format.NewReader(bytes.NewReader(file.Bytes()))
	defer in.Close()
	columns := in.Schema().Columns()
	for i, line := range lines {
		var want map[string]any
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		must(t, d.Decode(&want))
		flat := map[string]string{}
		flattened(flat, "", want)
		rows := make([]format.Row, 1)
		if got, err := in.ReadRows(rows); got != 1 {
			t.Fatalf("%s: row %d: %v", name, i, err)
		}
		for _, v := range rows[0] {
			column := columns[v.Column()][0]
			text, ok := flat[column]
			if v.IsNull() && ok || !v.IsNull() && sorted(v.String()) != text {
				t.Errorf("%s: row %d: %s is %q in the file, %q in the API's answer", name, i, column, v.String(), text)
			}
			delete(flat, column)
		}
		if len(flat) > 0 {
			t.Errorf("%s: row %d: the file has no %v", name, i, flat)
		}
	}
}

// sorted writes a list's JSON with sorted keys; other text is as it is.
func sorted(text string) string {
	var v []any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	out, _ := json.Marshal(v) // what was read can be written
	return string(out)
}

// flattened is what columns should be, told from JSON alone.
func flattened(into map[string]string, prefix string, of map[string]any) {
	for key, v := range of {
		switch v := v.(type) {
		case map[string]any:
			flattened(into, prefix+key+"_", v)
		case []any:
			text, _ := json.Marshal(v) // what was read can be written
			into[prefix+key] = string(text)
		default:
			into[prefix+key] = fmt.Sprint(v)
		}
	}
}

// TestRange asks for parts of tables.
func TestRange(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, s := serve(t, n)
	defer http.DefaultClient.CloseIdleConnections()
	lines := func(path string) int { return strings.Count(read(t, s.URL+"/v1/export/"+path, ""), "\n") }
	for _, name := range TableNames() {
		if name == "accounts" {
			continue
		}
		all := lines(name)
		for h := range 8 {
			below, from := 0, lines(fmt.Sprintf("%s?from=%d", name, h))
			if h > 0 {
				below = lines(fmt.Sprintf("%s?to=%d", name, h-1))
			}
			if below+from != all {
				t.Errorf("%s: %d rows below height %d and %d from there on, %d in all", name, below, h, from, all)
			}
		}
	}
	if got := lines("blocks?from=3&to=5"); got != 3 {
		t.Errorf("three heights have %d blocks", got)
	}
	for _, path := range []string{"/v1/export/accounts?from=1", "/v1/export/deals?from=5&to=4", "/v1/export/deals?from=x", "/v1/export/deals?format=json",
		"/v1/deals?format=xml", "/v1/deals?format=csv&limit=3", "/v1/deals?format=csv&cursor=x", "/v1/deals?format=csv&state=odd",
		"/v1/validators?format=xml", "/v1/market/asks?format=csv&limit=3", "/v1/market/bids?format=ndjson&cursor=x", "/v1/market/prices?format=csv&days=0"} {
		if code, body := get(t, api.Handler(), path); code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, _ := get(t, api.Handler(), "/v1/export/secrets"); code != http.StatusNotFound {
		t.Errorf("an unknown table: %d", code)
	}
	for _, path := range []string{"/v1/deals", "/v1/validators", "/v1/market/asks"} {
		if _, err := api.Call(t.Context(), path+"?format=csv"); err == nil {
			t.Errorf("%s: a whole list was answered inside the process, where nobody reads it", path)
		}
	}
}

// TestRows gives strangers a bounded number of rows, callers on the machine and
// those with a token any.
func TestRows(t *testing.T) {
	home := t.TempDir()
	tokens, err := access.Open(home)
	must(t, err)
	now := time.Now()
	readOnly, _, err := access.Create(home, "reader", access.Read, 0, now)
	must(t, err)
	exporter, _, err := access.Create(home, "exporter", access.Export, 0, now)
	must(t, err)
	n := newNetwork(t)
	n.populate()
	api, s := serve(t, n, func(c *Config) { c.Tokens, c.Limits.Rows = tokens, 3 })
	defer http.DefaultClient.CloseIdleConnections()
	ask := func(path, token string) int {
		r := httptest.NewRequest(http.MethodGet, path, nil) // from afar
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		api.Handler().ServeHTTP(w, r)
		return w.Code
	}
	for _, path := range []string{"/v1/blocks?format=csv", "/v1/export/blocks", "/v1/export/events", "/v1/miners/t01000/calendar?format=csv"} {
		for token, want := range map[string]int{"": http.StatusForbidden, readOnly: http.StatusForbidden, exporter: http.StatusOK} {
			if got := ask(path, token); got != want {
				t.Errorf("%s with token %.4q: %d, want %d", path, token, got, want)
			}
		}
		read(t, s.URL+path, "") // by loopback
	}
	if got := ask("/v1/export/blocks?to=2", ""); got != http.StatusOK {
		t.Errorf("few rows: %d", got)
	}
}

// TestLeaving breaks off whole lists: what they are read from is let go, so the
// index closes in the end.
func TestLeaving(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, s := serve(t, n)
	for range 3 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/export/events", nil)
		must(t, err)
		answer, err := s.Client().Do(r)
		must(t, err)
		_, err = io.ReadFull(answer.Body, make([]byte, 10))
		must(t, err)
		must(t, answer.Body.Close())
	}
	broken := httptest.NewRequest(http.MethodGet, "/v1/export/events", nil)
	defer func() {
		if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // it is panicked with as it is
			t.Errorf("a list that cannot be written ended with %v", p)
		}
	}()
	api.Handler().ServeHTTP(refusing{httptest.NewRecorder()}, broken)
}

// refusing takes no body.
type refusing struct{ *httptest.ResponseRecorder }

func (refusing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// BenchmarkExport writes a row of a deal in each form.
func BenchmarkExport(b *testing.B) {
	n := newNetwork(b)
	n.populate()
	var d chain.Deal
	n.load(chain.DealKey(1), &d)
	named := names{n.params.Network}
	for _, f := range forms {
		b.Run(f.name, func(b *testing.B) {
			w := f.open(io.Discard, export.ColumnsOf(TableRow("deals")))
			b.ReportAllocs()
			for b.Loop() {
				must(b, w.Write(named.dealOf(&d)))
			}
		})
	}
}
