package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer/export"
)

type term struct {
	Count uint64       `json:"count"`
	Price chain.Amount `json:"price"`
}

type claims struct {
	Region string `json:"region"`
}

type item struct {
	ID     uint64        `json:"id"`
	Size   int64         `json:"size"`
	State  string        `json:"state"`
	Public bool          `json:"public"`
	Total  chain.Amount  `json:"total"`
	Sector *uint64       `json:"sector,omitempty"`
	End    chain.Height  `json:"end,omitempty"`
	Renew  *term         `json:"renew,omitempty"`
	Fine   *chain.Amount `json:"fine,omitempty"`
	Miners []string      `json:"miners"`
	claims
	hidden int
}

type outer struct {
	*item
	Height chain.Height `json:"height"`
}

func TestColumns(t *testing.T) {
	var names []string
	for _, c := range export.ColumnsOf(reflect.TypeFor[*item]()) {
		name := c.Name
		if c.Nullable {
			name += "?"
		}
		names = append(names, name)
	}
	want := "id size state public total sector? end? renew_count? renew_price? fine? miners region"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("columns are\n%s, want\n%s", got, want)
	}
}

func csvOf(t *testing.T, rows ...any) string {
	t.Helper()
	var out bytes.Buffer
	w := export.NewCSV(&out, export.ColumnsOf(reflect.TypeOf(rows[0])))
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCSV(t *testing.T) {
	sector, fine := uint64(0), chain.MaxAmount()
	got := csvOf(t, &item{}, &item{ID: 1 << 63, Size: -7, State: `a "b", c`, Public: true, Total: chain.PDR(2), Sector: &sector, End: 9,
		Renew: &term{0, chain.Atto(3)}, Fine: &fine, Miners: []string{"t01000", "t01001"}, claims: claims{"EU-DE"}})
	want := "id,size,state,public,total,sector,end,renew_count,renew_price,fine,miners,region\r\n" +
		"0,0,\"\",false,0,,,,,,null,\"\"\r\n" +
		"9223372036854775808,-7,\"a \"\"b\"\", c\",true,2000000000000000000,0,9,0,3,340282366920938463463374607431768211455," +
		"\"[\"\"t01000\"\",\"\"t01001\"\"]\",EU-DE\r\n"
	if got != want {
		t.Errorf("CSV is\n%s, want\n%s", got, want)
	}
	if got := csvOf(t, &outer{&item{ID: 5}, 8}); !strings.HasSuffix(got, ",8\r\n") || !strings.Contains(got, "\n5,") {
		t.Errorf("fields of an embedded pointer are missing:\n%s", got)
	}
}

// TestSpread gives each key of a map a column of its own.
func TestSpread(t *testing.T) {
	type figures struct {
		Start  string         `json:"start"`
		Values map[string]any `json:"values"`
		Final  bool           `json:"final"`
	}
	columns := export.Spread(export.ColumnsOf(reflect.TypeFor[figures]()), "values",
		[]export.Key{{Name: "fees", Kind: export.Text}, {Name: "deals", Kind: export.Unsigned}})
	var out bytes.Buffer
	w := export.NewCSV(&out, columns)
	for _, row := range []*figures{{"a", map[string]any{"fees": chain.MaxAmount(), "deals": uint64(1 << 63), "others": 1}, true}, {"b", map[string]any{"deals": uint64(0)}, false}, {}} {
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "start,values_fees,values_deals,final\r\na,340282366920938463463374607431768211455,9223372036854775808,true\r\nb,,0,false\r\n\"\",,,false\r\n"
	if got := out.String(); got != want {
		t.Errorf("CSV is\n%s, want\n%s", got, want)
	}
}

// TestFormulas puts into a cell what spreadsheets compute: a reader of CSV gets
// the same text back, behind a quote.
func TestFormulas(t *testing.T) {
	for _, evil := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", `=HYPERLINK("http://x","y")`} {
		rows, err := csv.NewReader(strings.NewReader(csvOf(t, &item{State: evil}))).ReadAll()
		if err != nil {
			t.Fatalf("%q: %v", evil, err)
		}
		if got, want := rows[1][2], "'"+strings.ReplaceAll(evil, "\r\n", "\n"); got != want {
			t.Errorf("%q became %q, want %q", evil, got, want)
		}
	}
	if got := csvOf(t, &item{Size: -7}); !strings.Contains(got, ",-7,") {
		t.Errorf("a negative number is no formula:\n%s", got)
	}
}

func TestNDJSON(t *testing.T) {
	var out bytes.Buffer
	w := export.NewNDJSON(&out)
	rows := []*item{{ID: 1, Miners: []string{"<b>"}}, {ID: 2, Renew: &term{Count: 1}}}
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(rows) {
		t.Fatalf("%d lines, want %d", len(lines), len(rows))
	}
	for i, line := range lines {
		got := new(item)
		if err := json.Unmarshal([]byte(line), got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, rows[i]) {
			t.Errorf("line %d is %+v, want %+v", i, got, rows[i])
		}
	}
}

// limited fails after so many bytes.
type limited struct{ left int }

var errFull = errors.New("full")

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// TestBounded writes far more than a writer may hold, and to a disk that fills up.
func TestBounded(t *testing.T) {
	for _, make := range []func(io.Writer) export.Writer{
		func(to io.Writer) export.Writer { return export.NewCSV(to, export.ColumnsOf(reflect.TypeFor[*item]())) },
		func(to io.Writer) export.Writer { return export.NewNDJSON(to) },
	} {
		var sizes sizes
		w := make(&sizes)
		for range 20_000 {
			if err := w.Write(&item{State: "active"}); err != nil {
				t.Fatal(err)
			}
		}
		if most := slices.Max(sizes); most > 128<<10 {
			t.Errorf("%T wrote %d bytes at once", w, most)
		}
		w, err := make(&limited{100_000}), error(nil)
		for i := 0; i < 20_000 && err == nil; i++ {
			err = w.Write(&item{State: "active"})
		}
		if !errors.Is(err, errFull) {
			t.Errorf("%T on a full disk: %v, want %v", w, err, errFull)
		}
	}
}

// sizes notes how much is written at once.
type sizes []int

func (s *sizes) Write(p []byte) (int, error) {
	*s = append(*s, len(p))
	return len(p), nil
}

func BenchmarkCSV(b *testing.B) {
	w := export.NewCSV(io.Discard, export.ColumnsOf(reflect.TypeFor[*item]()))
	row := &item{ID: 12345, State: "active", Total: chain.PDR(2), Renew: &term{1, chain.Atto(7)}, Miners: []string{"t01000"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(row); err != nil {
			b.Fatal(err)
		}
	}
}
