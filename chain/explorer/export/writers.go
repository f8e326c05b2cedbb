package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
)

// Writer takes the rows of one table. Flush ends it: before that rows may be held back.
type Writer interface {
	// Write takes a row: a pointer to the struct whose columns the table has. The
	// row is not held after it returns.
	Write(row any) error
	Flush() error
}

// The media types of what this package writes.
const (
	ContentCSV    = "text/csv; charset=utf-8; header=present"
	ContentNDJSON = "application/x-ndjson"
)

// writeSize is about how many bytes are written at once.
const writeSize = 64 << 10

// CSV writes RFC 4180, with a line of names first.
type CSV struct {
	to      io.Writer
	columns []Column
	buffer  []byte
	cell    []byte
}

// NewCSV begins a table with some columns of its rows.
func NewCSV(to io.Writer, columns []Column) *CSV {
	w := &CSV{to: to, columns: columns}
	for i := range w.columns {
		w.separate(i)
		w.buffer = append(w.buffer, w.columns[i].Name...)
	}
	w.buffer = append(w.buffer, "\r\n"...)
	return w
}

func (w *CSV) separate(i int) {
	if i > 0 {
		w.buffer = append(w.buffer, ',')
	}
}

// Write implements Writer.
func (w *CSV) Write(row any) error {
	v := reflect.ValueOf(row)
	for i := range w.columns {
		w.separate(i)
		c := &w.columns[i]
		field, ok := c.Of(v)
		if !ok {
			continue
		}
		if c.Kind != Text {
			var err error
			if w.buffer, err = c.Append(w.buffer, field); err != nil {
				return err
			}
			continue
		}
		var err error
		if w.cell, err = c.Append(w.cell[:0], field); err != nil {
			return err
		}
		w.buffer = quote(w.buffer, w.cell)
	}
	w.buffer = append(w.buffer, "\r\n"...)
	if len(w.buffer) < writeSize {
		return nil
	}
	return w.Flush()
}

// Flush implements Writer.
func (w *CSV) Flush() error {
	_, err := w.to.Write(w.buffer)
	w.buffer = w.buffer[:0]
	if err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// formula reports that some spreadsheet would compute a cell that begins so.
func formula(cell []byte) bool {
	if len(cell) == 0 {
		return false
	}
	switch cell[0] {
	case '=', '+', '-', '@', '\t', '\r', '\n':
		return true
	case 0xef: // of the wide forms
		for _, wide := range []string{"＝", "＋", "－", "＠"} {
			if bytes.HasPrefix(cell, []byte(wide)) {
				return true
			}
		}
	}
	return false
}

// quote appends a cell of text: what may be a formula behind a single quote, and
// what would not stay one cell in double ones. An empty text, unlike null, is "".
func quote(b, cell []byte) []byte {
	computed := formula(cell)
	if len(cell) > 0 && !computed && bytes.IndexAny(cell, "\",\r\n") < 0 {
		return append(b, cell...)
	}
	b = append(b, '"')
	if computed {
		b = append(b, '\'')
	}
	for _, c := range cell {
		if c == '"' {
			b = append(b, '"')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// NDJSON writes each row as the API's JSON, in a line of its own.
type NDJSON struct {
	to      io.Writer
	buffer  buffer
	encoder *json.Encoder
}

// buffer collects what a json.Encoder writes.
type buffer []byte

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// NewNDJSON begins a table.
func NewNDJSON(to io.Writer) *NDJSON {
	w := &NDJSON{to: to}
	w.encoder = json.NewEncoder(&w.buffer)
	return w
}

// Write implements Writer.
func (w *NDJSON) Write(row any) error {
	if err := w.encoder.Encode(row); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	if len(w.buffer) < writeSize {
		return nil
	}
	return w.Flush()
}

// Flush implements Writer.
func (w *NDJSON) Flush() error {
	_, err := w.to.Write(w.buffer)
	w.buffer = w.buffer[:0]
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}
