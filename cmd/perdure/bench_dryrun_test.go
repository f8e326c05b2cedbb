package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	commp "github.com/filecoin-project/go-fil-commp-hashhash"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/pack"
)

// BenchmarkDryRun quotes a public file without a node, and by turns has the ipfs
// program that PERDURE_KUBO names hash it and go-fil-commp-hashhash commit to its CAR;
// "ratio" is ours beside both of theirs, in seconds and in processor time, medians of
// all rounds. PERDURE_BENCH_SIZE says how large the file is.
func BenchmarkDryRun(b *testing.B) {
	kubo := os.Getenv("PERDURE_KUBO")
	if kubo == "" {
		b.Skip("PERDURE_KUBO names no ipfs program")
	}
	size, err := chain.ParseSize(os.Getenv("PERDURE_BENCH_SIZE"))
	if err != nil {
		b.Fatal("PERDURE_BENCH_SIZE: ", err)
	}
	dir := b.TempDir()
	program, path := filepath.Join(dir, "perdure"), filepath.Join(dir, "content")
	benchRun(b, exec.Command("go", "build", "-trimpath", "-o", program, "."))
	writeRandom(b, path, size)
	packed, err := pack.Pack(b.Context(), path, pack.Options{Public: true, MaxPieceSize: 32 << 30, WorkDir: dir})
	if err != nil {
		b.Fatal(err)
	}
	kuboRun := func(args ...string) (string, spent) {
		cmd := exec.Command(kubo, args...)
		cmd.Env = append(os.Environ(), "IPFS_PATH="+filepath.Join(dir, "ipfs"))
		return benchRun(b, cmd)
	}
	kuboRun("init", "--profile=test")
	var ours, hashing, committing []spent
	for b.Loop() {
		cmd := exec.Command(program, "put", "--dry-run", "--public", path)
		cmd.Env = append(os.Environ(), "PERDURE_HOME="+filepath.Join(dir, "home"), "PERDURE_NODE=http://127.0.0.1:1")
		out, mine := benchRun(b, cmd)
		root, theirs := kuboRun("add", "--offline", "--only-hash", "-Q", "--cid-version=1", "--raw-leaves", "--chunker=size-262144", path)
		if !strings.Contains(out, strings.TrimSpace(root)) || root == "" {
			b.Fatalf("perdure says %q, ipfs says root %q", out, root)
		}
		ours, hashing, committing = append(ours, mine), append(hashing, theirs), append(committing, hashhash(b, packed))
	}
	report := func(unit string, of func(spent) time.Duration) {
		mine, kubo, commit := medianOf(ours, of), medianOf(hashing, of), medianOf(committing, of)
		b.ReportMetric(mine, "perdure-"+unit)
		b.ReportMetric(kubo, "ipfs-"+unit)
		b.ReportMetric(commit, "commp-"+unit)
		b.ReportMetric(mine/(kubo+commit), "ratio-"+unit)
	}
	report("s", func(s spent) time.Duration { return s.time })
	report("cpu-s", func(s spent) time.Duration { return s.cpu })
}

// spent is what a run took.
type spent struct{ time, cpu time.Duration }

func medianOf(all []spent, of func(spent) time.Duration) float64 {
	times := make([]time.Duration, len(all))
	for i := range all {
		times[i] = of(all[i])
	}
	slices.Sort(times)
	return times[len(times)/2].Seconds()
}

func benchRun(b *testing.B, cmd *exec.Cmd) (string, spent) {
	b.Helper()
	start := time.Now()
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v", cmd, err)
	}
	return string(out), spent{time.Since(start), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
}

// hashhash commits to the CAR of a packed file, on all processors, and compares.
func hashhash(b *testing.B, packed *pack.Packed) spent {
	b.Helper()
	start, before := time.Now(), processTime(b)
	f, err := os.Open(packed.Pieces[0].CARPath)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var c commp.Calc
	if _, err := io.Copy(&c, f); err != nil {
		b.Fatal(err)
	}
	got, _, err := c.Digest()
	if err != nil {
		b.Fatal(err)
	}
	if want, err := packed.Pieces[0].Piece(); err != nil || string(got) != string(want.CommP[:]) {
		b.Fatalf("hashhash says %x, we say %x (%v)", got, want.CommP, err)
	}
	return spent{time.Since(start), processTime(b) - before}
}

// processTime is what this process has had of the processors.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writeRandom makes a file of random bytes.
func writeRandom(b *testing.B, path string, size uint64) {
	b.Helper()
	f, err := os.Create(path)
	if err == nil {
		_, err = io.Copy(f, io.LimitReader(rand.NewChaCha8([32]byte{1}), int64(size)))
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		b.Fatal(fmt.Errorf("write content: %w", err))
	}
}
