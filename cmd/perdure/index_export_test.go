package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/explorer/export"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/internal/bench/scale"
)

// bigAPI serves the explorer of a chain of a thousand deals.
func bigAPI(t *testing.T) *httptest.Server {
	t.Helper()
	dir := t.TempDir()
	chain, err := scale.Open(t.Context(), filepath.Join(dir, "chain"), scale.Of(1000), func(string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(index.Config{Dir: filepath.Join(dir, "index"), ChainID: scale.ChainID, Params: chain.Params})
	if err != nil {
		t.Fatal(err)
	}
	api, err := explorer.New(explorer.Config{Backend: scale.Backend{Chain: chain}, Index: x})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- api.Run(ctx) }()
	s := httptest.NewServer(api.Handler())
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		s.Close()
		cancel()
		<-done
		if err := errors.Join(api.Close(), chain.Close()); err != nil {
			t.Error(err)
		}
	})
	for want := chain.Store.View().Height(); ; time.Sleep(time.Millisecond) { // until then there is nothing to wait for
		if _, h, ok := x.Tip(); ok && h == want {
			return s
		}
	}
}

// indexExport runs the command and reads its answer.
func indexExport(t *testing.T, args ...string) (out exported, err error) {
	t.Helper()
	return indexExportUntil(t, t.Context(), args...)
}

func indexExportUntil(t *testing.T, ctx context.Context, args ...string) (out exported, err error) {
	t.Helper()
	var text bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"index", "export", "--json", "--home", t.TempDir()}, args...))
	root.SetOut(&text)
	root.SetErr(&text)
	if err := root.ExecuteContext(ctx); err != nil {
		return out, err
	}
	return out, json.Unmarshal(text.Bytes(), &out)
}

// TestIndexExport writes every table in every form: rows are counted alike,
// checksums hold, parquet is read back by its library.
func TestIndexExport(t *testing.T) {
	s, dir := bigAPI(t), t.TempDir()
	for _, table := range explorer.TableNames() {
		rows := uint64(0)
		for _, format := range exportFormats {
			path := filepath.Join(dir, table+"."+format)
			got, err := indexExport(t, "--node", s.URL, "--table", table, "--format", format, "--out", path)
			if err != nil {
				t.Fatalf("%s as %s: %v", table, format, err)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if rows == 0 {
				rows = got.Rows
			}
			if got.Rows != rows || got.Bytes != int64(len(raw)) || got.SHA256 != fmt.Sprintf("%x", sha256.Sum256(raw)) {
				t.Errorf("%s as %s: %+v; %d rows before, %d bytes", table, format, got, rows, len(raw))
			}
			if format == "parquet" {
				file, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
				if err != nil || uint64(file.NumRows()) != rows {
					t.Errorf("%s: %v; want %d rows", table, err, rows)
				}
			}
		}
		if rows == 0 && table != "messages" {
			t.Errorf("%s has no rows", table)
		}
	}
	sums, err := os.ReadFile(filepath.Join(dir, export.SumsName))
	if want := len(explorer.TableNames()) * len(exportFormats); err != nil || strings.Count(string(sums), "\n") != want {
		t.Errorf("%s: %v; want %d lines\n%s", export.SumsName, err, want, sums)
	}
	some, err := indexExport(t, "--node", s.URL, "--table", "blocks", "--from", "1", "--to", "1", "--out", filepath.Join(dir, "one"))
	if err != nil || some.Rows != 1 {
		t.Errorf("one height: %+v, %v", some, err)
	}
}

// TestIndexExportBroken gets half of a table, as when the node stops: there is no
// file, and the one of before stays.
func TestIndexExportBroken(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/export/deals") {
			fmt.Fprint(w, strings.Repeat("{\"id\":1}\n", 10_000))
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"title":"Forbidden","status":403,"detail":"ask for fewer"}`)
	}))
	defer s.Close()
	defer http.DefaultClient.CloseIdleConnections()
	path := filepath.Join(t.TempDir(), "deals")
	if err := os.WriteFile(path, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, format := range exportFormats {
		if _, err := indexExport(t, "--node", s.URL, "--table", "deals", "--format", format, "--out", path); err == nil {
			t.Errorf("%s: half a table is one", format)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if raw, _ := os.ReadFile(path); err != nil || len(left) != 1 || string(raw) != "before" {
		t.Errorf("%v, %v; want the file of before alone", left, err)
	}
	if _, err := indexExport(t, "--node", s.URL, "--table", "blocks", "--out", path); err == nil || err.Error() != "ask for fewer" {
		t.Errorf("a refusal: %v", err)
	}
	for _, args := range [][]string{{"--table", "secrets"}, {"--table", "deals", "--format", "xml"}, {"--table", "deals", "--out", "SHA256SUMS"}} {
		var wrong *exitError
		if _, err := indexExport(t, args...); !errors.As(err, &wrong) || wrong.code != exitUsage {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// TestIndexExportCancelled stops the command in the middle of a table: nothing
// is left, and the node is not asked for the rest.
func TestIndexExportCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Repeat("{\"id\":1}\n", 100_000))
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
		close(left)
	}))
	defer s.Close()
	dir := t.TempDir()
	_, err := indexExportUntil(t, ctx, "--node", s.URL, "--table", "deals", "--format", "parquet", "--out", filepath.Join(dir, "deals"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled export: %v", err)
	}
	<-left
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%v, %v; want nothing", files, err)
	}
}
