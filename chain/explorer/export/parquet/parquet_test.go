package parquet_test

import (
	"bytes"
	"io"
	"reflect"
	"testing"

	format "github.com/parquet-go/parquet-go"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer/export/parquet"
)

type term struct {
	Count uint64       `json:"count"`
	Price chain.Amount `json:"price"`
}

type item struct {
	ID     uint64       `json:"id"`
	Size   int64        `json:"size"`
	State  string       `json:"state"`
	Public bool         `json:"public"`
	Total  chain.Amount `json:"total"`
	Sector *uint64      `json:"sector,omitempty"`
	Renew  *term        `json:"renew,omitempty"`
	Miners []string     `json:"miners"`
}

// flat is an item as another program reads it.
type flat struct {
	ID         uint64  `parquet:"id"`
	Size       int64   `parquet:"size"`
	State      string  `parquet:"state"`
	Public     bool    `parquet:"public"`
	Total      string  `parquet:"total"`
	Sector     *uint64 `parquet:"sector,optional"`
	RenewCount *uint64 `parquet:"renew_count,optional"`
	RenewPrice *string `parquet:"renew_price,optional"`
	Miners     string  `parquet:"miners"`
}

// TestFile writes more rows than two row groups hold and reads them as another
// program does.
func TestFile(t *testing.T) {
	const rows = 100_001
	var out bytes.Buffer
	w, err := parquet.New(&out, reflect.TypeFor[*item](), map[string]string{"perdure.table": "items"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(rows) {
		r := &item{ID: 1<<63 + i, Size: -int64(i), State: "active", Public: i%2 == 0, Total: chain.PDR(i), Miners: []string{"t01000"}}
		if i%3 == 0 {
			r.Sector, r.Renew = &i, &term{i, chain.MaxAmount()}
		}
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	file, err := format.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := file.Lookup("perdure.table"); got != "items" || len(file.RowGroups()) != 3 || file.NumRows() != rows {
		t.Errorf("table %q, %d row groups, %d rows; want items, 3, %d", got, len(file.RowGroups()), file.NumRows(), rows)
	}
	in := format.NewGenericReader[flat](file)
	defer in.Close()
	batch := make([]flat, 1000)
	for i := uint64(0); ; {
		n, err := in.Read(batch)
		for _, got := range batch[:n] {
			want := flat{ID: 1<<63 + i, Size: -int64(i), State: "active", Public: i%2 == 0, Total: chain.PDR(i).String(), Miners: `["t01000"]`}
			if i%3 == 0 {
				sector, most := i, chain.MaxAmount().String()
				want.Sector, want.RenewCount, want.RenewPrice = &sector, &sector, &most
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("row %d is %+v, want %+v", i, got, want)
			}
			i++
		}
		if err == io.EOF && i == rows {
			return
		}
		if err != nil {
			t.Fatalf("after %d rows: %v", i, err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	w, err := parquet.New(io.Discard, reflect.TypeFor[*item](), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		if err := w.Write(&item{ID: i, State: "active", Total: chain.PDR(i), Sector: &i, Miners: []string{"t01000"}}); err != nil {
			b.Fatal(err)
		}
	}
}
