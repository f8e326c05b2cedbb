package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childEnv names what this test program does when it is started as a child.
const childEnv = "PERDURE_SEAL_CHILD"

// children are what a child may do; the arguments are its command line. What only
// some systems can is added where it is.
var children = map[string]func(args []string) error{
	"hold": holdLock,
	"seal": sealChild,
}

// runChild does what the environment asks of a child and reports whether it was
// one.
func runChild() bool {
	do, ok := children[os.Getenv(childEnv)]
	if !ok {
		return false
	}
	if err := do(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// child prepares a child of this test program.
func child(ctx context.Context, what string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	return cmd
}

// holdLock opens the sector in a directory and keeps it open until it is killed.
func holdLock(args []string) error {
	s, err := Open(Config{ProofType: proof2KiB, MinerID: 1000, Number: 1, Dir: args[0]})
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Println("held")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// TestLockedByAnotherProcess: the second process is told who holds the directory,
// may read it, and gets it when the first is killed.
func TestLockedByAnotherProcess(t *testing.T) {
	cfg := small(t)
	s, want := sealed(t, cfg, filled(1))
	s.Close()
	holder := child(t.Context(), "hold", cfg.Dir)
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("held"))); err != nil {
		t.Fatal(err)
	}
	_, err = Open(cfg)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), cfg.Dir) ||
		!strings.Contains(err.Error(), fmt.Sprintf("process %d ", holder.Process.Pid)) {
		t.Errorf("opened a second time: %v", err)
	}
	found, err := Find(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := found.Result(); err != nil || got != want {
		t.Errorf("result of a locked sector: %v", err)
	}
	if _, err := found.Prove(t.Context(), filled(2), 0, 2); err != nil {
		t.Errorf("prove a locked sector: %v", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	holder.Wait() // it was killed
	s, err = Open(cfg)
	if err != nil {
		t.Fatalf("the holder was killed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOpenTwice: the lock holds inside a process too, until Close.
func TestOpenTwice(t *testing.T) {
	cfg := small(t)
	first, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	for range 2 {
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.SetTicket(filled(1)); !errors.Is(err, ErrReadOnly) {
		t.Errorf("ticket set after Close: %v", err)
	}
	open(t, cfg)
}

// TestReadOnly: what Find gives changes nothing.
func TestReadOnly(t *testing.T) {
	ctx := context.Background()
	cfg := compound(t)
	sealedUpToCheck(t, cfg).Close()
	before := snapshot(t, cfg.Dir)
	s, err := Find(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	_, sealErr := s.Seal(ctx, filled(3))
	for what, err := range map[string]error{"Seal": sealErr, "Do": s.Do(ctx, StepCheck), "Reset": s.Reset()} {
		if !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), cfg.Dir) {
			t.Errorf("%s: %v", what, err)
		}
	}
	equalFiles(t, snapshot(t, cfg.Dir), before)
	s = open(t, cfg)
	if _, err := s.Seal(ctx, filled(3)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	before = snapshot(t, cfg.Dir)
	if s, err = Find(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Finalize": s.Finalize(Keep{}), "Reset": s.Reset()} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
	}
	equalFiles(t, snapshot(t, cfg.Dir), before)
}
