//go:build unix

package seal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

func init() { children["full"] = sealUnderLimit }

// sealUnderLimit seals a sector in a directory while no file may grow beyond each
// of some sizes in turn, as on a disk that is full there, then without a limit.
// The same sector is asked every time.
func sealUnderLimit(args []string) error {
	signal.Ignore(syscall.SIGXFSZ) // the write gives EFBIG instead
	var none syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &none); err != nil {
		return err
	}
	cfg := Config{ProofType: proof2KiB, MinerID: 1000, Number: 1, Dir: args[0]}
	s, err := Open(cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, c := range []struct {
		most uint64
		step Step
		file string
	}{
		{1, StepData, ""}, // not even a ticket can be noted
		{2047, StepData, unsealedFile},
		{4000, StepTreeD, treeDFile},
		{2047, StepLabels, layerFile(1)},
		{2300, StepTreeC, treeCFile},
		{2047, StepReplica, sealedFile},
	} {
		if err := sealUpTo(s, c.step, c.file); err != nil {
			return err
		}
		limit := syscall.Rlimit{Cur: c.most, Max: none.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		_, err := s.Seal(context.Background(), filled(3))
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &none); err != nil {
			return err
		}
		if !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("files of at most %d bytes: %w", c.most, err)
		}
		if c.file == "" {
			continue
		}
		for _, part := range []string{"sector 1", string(c.step), s.path(c.file)} {
			if !strings.Contains(err.Error(), part) {
				return fmt.Errorf("the error does not name %s: %w", part, err)
			}
		}
		if s.Next() != c.step {
			return fmt.Errorf("next is %s, want %s", s.Next(), c.step)
		}
	}
	result, err := s.Seal(context.Background(), filled(3))
	if err != nil {
		return fmt.Errorf("with space again: %w", err)
	}
	fmt.Printf("%x\n", result.CommR)
	return nil
}

// sealUpTo does the steps before one that is to fail at a file.
func sealUpTo(s *Sector, step Step, file string) error {
	for file != "" && s.Next() != step {
		if s.Next() == StepData {
			if err := s.WriteData(context.Background(), nil); err != nil {
				return err
			}
			continue
		}
		if err := s.Do(context.Background(), s.Next()); err != nil {
			return err
		}
	}
	return nil
}

// TestDiskFull: a step that finds no space says so with sector, step and path,
// leaves no torn file, and is done by the same call once there is space.
func TestDiskFull(t *testing.T) {
	_, want := sealed(t, small(t), filled(3))
	dir := t.TempDir()
	cmd := child(t.Context(), "full", dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if got := strings.TrimSpace(string(out)); got != fmt.Sprintf("%x", want.CommR) {
		t.Errorf("CommR is %s, want %x", got, want.CommR)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), tempSuffix) {
			t.Errorf("%s was left", e.Name())
		}
	}
}

// TestUnreadable: a file that cannot be looked at is not taken for one that is
// gone; nothing is made anew until it can be read again.
func TestUnreadable(t *testing.T) {
	cfg := compound(t)
	s := sealedUpToCheck(t, cfg)
	path := s.path(layerFile(2))
	if err := os.Rename(path, path+".kept"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, path); err != nil { // a loop: every access is an error
		t.Fatal(err)
	}
	if _, err := s.Seal(t.Context(), filled(3)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("sealed over an unreadable file: %v", err)
	}
	s.Close()
	if _, err := Open(cfg); !errors.Is(err, syscall.ELOOP) || !strings.Contains(err.Error(), path) {
		t.Errorf("opened with an unreadable file: %v", err)
	}
	if err := os.Rename(path+".kept", path); err != nil {
		t.Fatal(err)
	}
	s = open(t, cfg)
	if s.Next() != StepCheck {
		t.Errorf("next is %s, want %s", s.Next(), StepCheck)
	}
	if _, err := s.Seal(t.Context(), filled(3)); err != nil {
		t.Error(err)
	}
}
