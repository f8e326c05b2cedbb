package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/explorer/export"
	"github.com/perdure/perdure/chain/explorer/export/parquet"
	"github.com/perdure/perdure/chain/node"
)

// indexExportOptions are the flags of index export.
type indexExportOptions struct {
	table, format, out string
	from, to           uint64
}

// exportFormats are the forms of files.
var exportFormats = []string{"csv", "parquet", "ndjson"}

// newIndexExport returns the command that writes a table of the index to a file.
func newIndexExport(g *globals) *cobra.Command {
	var o indexExportOptions
	cmd := &cobra.Command{
		Use: "export --table TABLE", Short: "Write a table of the index to a file, with its checksum", Args: cobra.NoArgs,
		Long: `Write a table of the index, or the rows of some heights, to a file: as CSV, as parquet
with row groups of 50,000, or as lines of JSON. Its SHA-256 goes into SHA256SUMS beside it,
for sha256sum -c. All rows are of one state of the index. A file appears under its name
when it is whole.

Tables: ` + strings.Join(explorer.TableNames(), ", ") + `. The heights of deals are those at which
they matched, of sectors those of their pre-commits, of orders, channels and miners those at
which they were made; accounts have none. Columns are the keys of the API's JSON, those
inside others joined by underscores; amounts are decimal strings of attoPDR.

The rows come from the node of --node. One elsewhere gives more than 100,000 rows for a
token that allows export, in PERDURE_TOKEN. If no node runs at an address of this machine,
they come from the home of the node that is stopped, --home.`,
		Example: `  perdure index export --table deals --format parquet --out deals.parquet
  perdure index export --table messages --from 100000 --to 200000 --format csv`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runIndexExport(cmd, g, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.table, "table", "", "table to export")
	f.StringVar(&o.format, "format", "csv", "csv, parquet or ndjson")
	f.StringVar(&o.out, "out", "", "file to write (default TABLE.FORMAT)")
	f.Uint64Var(&o.from, "from", 0, "first height")
	f.Uint64Var(&o.to, "to", 0, "last height (default the newest)")
	return cmd
}

// exported says what was written.
type exported struct {
	Table  string `json:"table"`
	File   string `json:"file"`
	Rows   uint64 `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func runIndexExport(cmd *cobra.Command, g *globals, o indexExportOptions) error {
	if explorer.TableRow(o.table) == nil {
		return usage(fmt.Errorf("--table %q: want one of %s", o.table, strings.Join(explorer.TableNames(), ", ")))
	}
	if !slices.Contains(exportFormats, o.format) {
		return usage(fmt.Errorf("--format %q: want %s", o.format, strings.Join(exportFormats, ", ")))
	}
	if o.out == "" {
		o.out = o.table + "." + o.format
	}
	if filepath.Base(o.out) == export.SumsName {
		return usage(fmt.Errorf("--out %s: checksums go there", o.out))
	}
	table, err := openTable(cmd.Context(), g, o.path())
	if err != nil {
		return err
	}
	file, err := export.Create(o.out)
	if err != nil {
		return errors.Join(err, table.Close())
	}
	rows, err := copyTable(file, table, o)
	if err = errors.Join(err, table.Close()); err != nil {
		return errors.Join(fmt.Errorf("export %s: %w", o.table, err), file.Discard())
	}
	sum, err := file.Commit()
	if err != nil {
		return err
	}
	return answer(cmd, g, exported{o.table, o.out, rows, file.Size(), sum})
}

// path is what the API is asked for: parquet is made here, of lines of JSON.
func (o *indexExportOptions) path() string {
	format := o.format
	if format == "parquet" {
		format = "ndjson"
	}
	query := url.Values{"format": {format}}
	if o.from > 0 {
		query.Set("from", fmt.Sprint(o.from))
	}
	if o.to > 0 {
		query.Set("to", fmt.Sprint(o.to))
	}
	return "/v1/export/" + o.table + "?" + query.Encode()
}

// copyTable writes the rows of a table that the API gives to a file.
func copyTable(to io.Writer, from io.Reader, o indexExportOptions) (rows uint64, err error) {
	lines := &lineCounter{to: to}
	if o.format != "parquet" {
		_, err = io.CopyBuffer(struct{ io.Writer }{lines}, from, make([]byte, 256<<10))
		if o.format == "csv" && lines.n > 0 { // the first has the names
			lines.n--
		}
		return lines.n, err
	}
	row := explorer.TableRow(o.table)
	w, err := parquet.New(to, row, map[string]string{"perdure.table": o.table})
	if err != nil {
		return 0, err
	}
	in := bufio.NewReaderSize(from, 256<<10)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return rows, w.Flush()
		}
		if err != nil {
			return rows, err
		}
		v := reflect.New(row.Elem()).Interface()
		if err := json.Unmarshal(line, v); err != nil {
			return rows, fmt.Errorf("row %d: %w", rows, err)
		}
		if err := w.Write(v); err != nil {
			return rows, err
		}
		rows++
	}
}

// lineCounter counts lines that pass, those inside quotes of CSV left out. JSON
// has no line inside quotes.
type lineCounter struct {
	to     io.Writer
	n      uint64
	quoted bool
}

// Write implements io.Writer.
func (l *lineCounter) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '"':
			l.quoted = !l.quoted
		case c == '\n' && !l.quoted:
			l.n++
		}
	}
	return l.to.Write(p)
}

// openTable asks the node for a table, or the home of one that does not run.
func openTable(ctx context.Context, g *globals, path string) (io.ReadCloser, error) {
	table, err := fetchTable(ctx, g.nodeURL(), path)
	var off *net.OpError
	if !errors.As(err, &off) || g.Node != "" {
		return table, err
	}
	o, failed := node.OpenOffline(g.Home)
	if failed != nil {
		return nil, fmt.Errorf("no node answers (%w), and of its home: %w", err, failed)
	}
	if table, err = fetchTable(ctx, o.URL, path); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return homeTable{table, o}, nil
}

// homeTable is a table that is read from a home.
type homeTable struct {
	io.ReadCloser
	home *node.Offline
}

// Close closes the home as well.
func (t homeTable) Close() error { return errors.Join(t.ReadCloser.Close(), t.home.Close()) }

// fetchTable asks an API.
func fetchTable(ctx context.Context, base, path string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+path, nil)
	if err != nil {
		return nil, usage(fmt.Errorf("--node: %w", err))
	}
	if token := os.Getenv(tokenEnv); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Accept-Encoding", "identity") // the node is on this machine, as a rule
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the node: %w", err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	var p explorer.Problem
	err = errors.New(answer.Status)
	if json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(&p) == nil && p.Detail != "" {
		err = &p
	}
	return nil, errors.Join(err, answer.Body.Close())
}
