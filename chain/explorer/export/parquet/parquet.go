// Package parquet writes the rows of an export as an Apache Parquet file.
package parquet

import (
	"fmt"
	"io"
	"reflect"

	format "github.com/parquet-go/parquet-go"

	"github.com/perdure/perdure/chain/explorer/export"
)

const (
	groupRows = 50_000 // rows of a row group: what a writer holds, compressed
	batchRows = 256    // rows handed to the library at once
	pageSize  = 64 << 10
)

// Writer writes one file. It holds a row group compressed, and a page of each column.
type Writer struct {
	file    *format.Writer
	columns []export.Column
	rows    []format.Row
	values  []format.Value // of rows
	text    []byte         // of values
}

var _ export.Writer = (*Writer)(nil)

// New begins a file of a type of rows. about, which may be empty, is what the file
// says of itself: its key-value metadata.
func New(to io.Writer, row reflect.Type, about map[string]string) (*Writer, error) {
	columns := export.ColumnsOf(row)
	schema, err := schemaOf(columns)
	if err != nil {
		return nil, err
	}
	options := []format.WriterOption{schema, format.Compression(&format.Zstd), format.MaxRowsPerRowGroup(groupRows),
		format.PageBufferSize(pageSize)}
	for key, value := range about {
		options = append(options, format.KeyValueMetadata(key, value))
	}
	return &Writer{file: format.NewWriter(to, options...), columns: columns}, nil
}

// kinds are the Go types whose parquet form the columns have.
var kinds = map[export.Kind]reflect.Type{export.Text: reflect.TypeFor[string](), export.Unsigned: reflect.TypeFor[uint64](),
	export.Signed: reflect.TypeFor[int64](), export.Bool: reflect.TypeFor[bool]()}

// schemaOf makes the schema by way of a struct type, which, unlike a group of the
// library, keeps the order of its columns.
func schemaOf(columns []export.Column) (*format.Schema, error) {
	fields := make([]reflect.StructField, len(columns))
	for i, c := range columns {
		tag := c.Name
		if c.Nullable {
			tag += ",optional"
		}
		fields[i] = reflect.StructField{Name: fmt.Sprintf("C%d", i), Type: kinds[c.Kind], Tag: reflect.StructTag(fmt.Sprintf("parquet:%q", tag))}
	}
	schema := format.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface())
	if have := len(schema.Columns()); have != len(columns) {
		return nil, fmt.Errorf("parquet schema has %d columns, want %d", have, len(columns))
	}
	return schema, nil
}

// Write implements export.Writer.
func (w *Writer) Write(row any) error {
	v, first := reflect.ValueOf(row), len(w.values)
	for i := range w.columns {
		c := &w.columns[i]
		field, ok := c.Of(v)
		if !ok {
			w.values = append(w.values, format.NullValue().Level(0, 0, i))
			continue
		}
		value, err := w.value(c, field)
		if err != nil {
			return err
		}
		level := 0
		if c.Nullable {
			level = 1
		}
		w.values = append(w.values, value.Level(0, level, i))
	}
	w.rows = append(w.rows, w.values[first:len(w.values):len(w.values)])
	if len(w.rows) < batchRows {
		return nil
	}
	return w.batch()
}

func (w *Writer) value(c *export.Column, field reflect.Value) (format.Value, error) {
	switch c.Kind {
	case export.Unsigned:
		return format.Int64Value(int64(field.Uint())), nil // the schema says that it is unsigned
	case export.Signed:
		return format.Int64Value(field.Int()), nil
	case export.Bool:
		return format.BooleanValue(field.Bool()), nil
	}
	start := len(w.text)
	var err error
	if w.text, err = c.Append(w.text, field); err != nil {
		return format.Value{}, err
	}
	return format.ByteArrayValue(w.text[start:len(w.text):len(w.text)]), nil
}

// batch hands rows to the library, which copies them.
func (w *Writer) batch() error {
	if _, err := w.file.WriteRows(w.rows); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	w.rows, w.values, w.text = w.rows[:0], w.values[:0], w.text[:0]
	return nil
}

// Flush implements export.Writer: it ends the file.
func (w *Writer) Flush() error {
	if err := w.batch(); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("end parquet file: %w", err)
	}
	return nil
}
