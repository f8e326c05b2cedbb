package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// exports measures the export of all deals, from the process that serves them to
// a file, by another.
func (e *explorerBench) exports(ctx context.Context) (rows []Row, err error) {
	server, open, err := e.serve(0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	dir, err := os.MkdirTemp(e.Dir, "export-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, format := range []string{"csv", "parquet"} {
		e.Log("exporting %d deals as %s", e.Size.Deals, format)
		path := filepath.Join(dir, "deals."+format)
		cmd := exec.CommandContext(ctx, e.Export[0], append(e.Export[1:], "--node", open.URL, "--table", "deals", "--format", format, "--out", path)...)
		cmd.Stderr = os.Stderr
		before, began := server.fresh(), time.Now()
		resident, err := runWatched(cmd)
		if err != nil {
			return rows, fmt.Errorf("export as %s: %w", format, err)
		}
		took := time.Since(began)
		info, err := os.Stat(path)
		if err != nil {
			return rows, err
		}
		name := fmt.Sprintf("export of %d deals as %s", e.Size.Deals, format)
		rows = append(rows, plain(name, "s", took.Seconds()), plain(name+": file", "MiB", mebibytes(uint64(info.Size()))),
			plain(name+": processor time of the command", "s", used(cmd)), plain(name+": resident at most, the command", "MiB", mebibytes(resident)),
			plain(name+": resident at most, the server", "MiB", mebibytes(server.memory())), plain(name+": resident before it, the server", "MiB", mebibytes(before)))
	}
	return rows, nil
}

// watchPause is how often the memory of a program is looked at. What a program has
// used in the end its parent is told together with what the parent had itself.
const watchPause = 50 * time.Millisecond

// runWatched runs a program and returns the most memory that it had resident, in
// bytes, but for its last watchPause.
func runWatched(cmd *exec.Cmd) (resident uint64, err error) {
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	look := time.NewTicker(watchPause)
	defer look.Stop()
	for watched := (&child{cmd: cmd}); ; {
		select {
		case err := <-done:
			return resident, err
		case <-look.C:
			resident = max(resident, watched.memory())
		}
	}
}
