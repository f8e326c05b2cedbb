package seal

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"

	"github.com/perdure/perdure/porep"
)

// sealChild seals an empty sector of a size in a directory and prints CommR. Its
// standard error has a line for every report of progress.
func sealChild(args []string) error {
	size, err := humanize.ParseBytes(args[0])
	if err != nil {
		return err
	}
	cfg := Config{
		MinerID: 1000, Number: 1, Dir: args[1],
		Progress: func(step Step, done, total uint64) { fmt.Fprintln(os.Stderr, step, done, total) },
	}
	if cfg.ProofType, err = porep.ProofOfSize(size); err != nil { // of a size that is not registered
		params := shape(size, 2, 8, 0, 0)
		cfg.Params = &params
	}
	s, err := Open(cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	result, err := s.Seal(context.Background(), filled(7))
	if err != nil {
		return err
	}
	fmt.Println(hex.EncodeToString(result.CommR[:]))
	return nil
}

// TestKilled seals in a process of its own, kills it with SIGKILL in the middle
// of each step and starts it again: the sector is the same as one that nothing
// happened to. PERDURE_KILL_SIZE asks for another size than 8 MiB.
func TestKilled(t *testing.T) {
	size := os.Getenv("PERDURE_KILL_SIZE")
	if size == "" {
		size = killSize
	}
	want := finish(t, size, t.TempDir())
	dir := t.TempDir()
	var killed []Step
	for _, step := range []Step{StepData, StepTreeD, StepLabels, StepTreeC, StepReplica, StepTreeRLast, StepCheck} {
		if killIn(t, size, dir, step) {
			killed = append(killed, step)
		}
	}
	if len(killed) < 6 { // the check is over in no time
		t.Errorf("killed in %v only", killed)
	}
	if got := finish(t, size, dir); got != want {
		t.Errorf("CommR is %s, want %s", got, want)
	}
	s, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	if torn, err := s.Check(t.Context()); err != nil || len(torn) != 0 {
		t.Errorf("damaged: %v, %v", torn, err)
	}
}

// finish seals to the end and returns CommR.
func finish(t *testing.T, size, dir string) string {
	t.Helper()
	out, err := child(t.Context(), "seal", size, dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// killIn seals and kills the process when it is half through a step. It reports
// false if the process was done before it died.
func killIn(t *testing.T, size, dir string, at Step) bool {
	t.Helper()
	cmd := child(t.Context(), "seal", size, dir)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen []Step
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		var step Step
		var done, total uint64
		if _, err := fmt.Sscan(lines.Text(), &step, &done, &total); err != nil {
			t.Fatalf("child says %q", lines.Text())
		}
		if !slices.Contains(seen, step) {
			seen = append(seen, step)
		}
		if step == at && done >= total/2 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	err = cmd.Wait()
	if i := slices.Index(seen, at); i < 0 {
		t.Errorf("killed never in %s, seen %v", at, seen)
	}
	return err != nil
}
