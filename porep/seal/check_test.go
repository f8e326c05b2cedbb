package seal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/perdure/perdure/internal/merkle"
)

// miswritten changes a file of a sector as a step that goes wrong would: the note
// is that of the wrong content.
func miswritten(t *testing.T, s *Sector, name string, change func(content []byte)) {
	t.Helper()
	content, err := os.ReadFile(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	change(content)
	if err := os.WriteFile(s.path(name), content, 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if s.record.Files[name], err = noteFile(file, merkle.InOrder); err != nil {
		t.Fatal(err)
	}
}

// sealedUpToCheck does every step but the last.
func sealedUpToCheck(t *testing.T, cfg Config) *Sector {
	t.Helper()
	s := open(t, cfg)
	if err := s.WriteData(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.SetTicket(filled(3)); err != nil {
		t.Fatal(err)
	}
	for step := s.Next(); step != StepCheck; step = s.Next() {
		if err := s.Do(context.Background(), step); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// everyNode flips a bit of every node from a place on.
func everyNode(from int) func([]byte) {
	return func(content []byte) {
		for at := from; at < len(content); at += 32 {
			content[at] ^= 1
		}
	}
}

// TestCheckFindsTheStep makes each step go wrong: the check names it, its file
// and a node, the step is done again and the sector is the right one; the second
// time the error is all there is.
func TestCheckFindsTheStep(t *testing.T) {
	ctx := context.Background()
	_, want := sealed(t, compound(t), filled(3))
	for _, c := range []struct {
		file   string
		change func([]byte)
		step   Step
		layer  int
	}{
		{treeDFile, everyNode(128 * 32), StepTreeD, 0},
		{treeDFile, everyNode(0), StepTreeD, 0},
		{layerFile(1), everyNode(0), StepLabels, 1},
		{layerFile(2), everyNode(0), StepLabels, 2},
		{treeCFile + "-0.dat", everyNode(0), StepTreeC, 0},
		{treeCFile + "-1.dat", everyNode(64 * 32), StepTreeC, 0},
		{sealedFile, everyNode(0), StepReplica, 0},
		{treeRLastFile + "-1.dat", everyNode(0), StepTreeRLast, 0},
		{auxFile, everyNode(32), StepCommit, 0},
	} {
		t.Run(c.file, func(t *testing.T) {
			cfg := compound(t)
			s := sealedUpToCheck(t, cfg)
			miswritten(t, s, c.file, c.change)
			err := s.Do(ctx, StepCheck)
			var bad *CheckError
			if !errors.As(err, &bad) || bad.Step != c.step || bad.Layer != c.layer || !bad.Again {
				t.Fatalf("check says %v", err)
			}
			for _, part := range []string{"sector 1", string(StepCheck), string(c.step), cfg.Dir} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not name %s: %v", part, err)
				}
			}
			if s.Next() != c.step {
				t.Errorf("next is %s, want %s again", s.Next(), c.step)
			}
			// By another process: what was found is in the record.
			s = open(t, cfg)
			if got, err := s.Seal(ctx, filled(3)); err != nil || got != want {
				t.Fatalf("sealed again: %v", err)
			}
			s.record.Checked = false
			miswritten(t, s, c.file, c.change)
			if _, err = s.Seal(ctx, filled(3)); !errors.As(err, &bad) || bad.Again {
				t.Errorf("wrong for the second time: %v", err)
			}
			if _, err := s.Result(); !errors.Is(err, ErrOrder) {
				t.Errorf("a sector that failed its check has a result: %v", err)
			}
		})
	}
}

// TestCheckByTheWay: Seal does the wrong step again by itself.
func TestCheckByTheWay(t *testing.T) {
	_, want := sealed(t, compound(t), filled(3))
	s := sealedUpToCheck(t, compound(t))
	miswritten(t, s, sealedFile, everyNode(0))
	if got, err := s.Seal(context.Background(), filled(3)); err != nil || got != want {
		t.Fatalf("sealed: %v", err)
	}
	if len(s.record.Redone) != 1 || s.record.Redone[0] != StepReplica {
		t.Errorf("done again: %v", s.record.Redone)
	}
}

// TestCheckFindsDamage: a file that changed after it was written, with the time
// that was noted, is found by the step that reads it, and by the check.
func TestCheckFindsDamage(t *testing.T) {
	ctx := context.Background()
	_, want := sealed(t, compound(t), filled(3))
	silently := func(s *Sector, name string) {
		t.Helper()
		info, err := os.Stat(s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		everyNode(0)(content)
		if err := os.WriteFile(s.path(name), content, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(s.path(name), info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{unsealedFile, layerFile(1), layerFile(2)} {
		cfg := compound(t)
		s := sealedUpToCheck(t, cfg)
		s.record.Result = nil
		if err := s.remove(append(baseFiles(treeCFile, s.params.Shape), auxFile, sealedFile)); err != nil {
			t.Fatal(err)
		}
		silently(s, name)
		s = open(t, cfg)
		var err error
		for step := s.Next(); err == nil; step = s.Next() {
			err = s.Do(ctx, step)
		}
		var damage *DamageError
		if !errors.As(err, &damage) || len(damage.Paths) != 1 || damage.Paths[0] != s.path(name) {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := s.Seal(ctx, filled(3)); err != nil || got != want {
			t.Errorf("%s: sealed again: %v", name, err)
		}
	}
	s := sealedUpToCheck(t, compound(t))
	silently(s, treeDFile)
	if got, err := s.Seal(ctx, filled(3)); err != nil || got != want {
		t.Errorf("sealed again: %v", err)
	}
}

// TestUntouchedFilesAreNotRead: a copy with other times is compared by digest
// once, and then its times are known.
func TestUntouchedFilesAreNotRead(t *testing.T) {
	cfg := compound(t)
	s := sealedUpToCheck(t, cfg)
	before := bytes.Clone(snapshot(t, cfg.Dir)[sealedFile])
	if err := os.WriteFile(s.path(sealedFile), before, 0o644); err != nil { // the same bytes, another time
		t.Fatal(err)
	}
	s = open(t, cfg)
	if err := s.checkFiles(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(s.verified) != 1 || !s.verified[sealedFile] {
		t.Errorf("read: %v, want %s alone", s.verified, sealedFile)
	}
	s = open(t, cfg)
	if err := s.checkFiles(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(s.verified) != 0 {
		t.Errorf("read again: %v", s.verified)
	}
}

// TestCheckProofFindsTheStep: a proof that does not verify leads to the step that
// went wrong at the challenged node.
func TestCheckProofFindsTheStep(t *testing.T) {
	for file, step := range map[string]Step{layerFile(1): StepLabels, treeCFile + "-1.dat": StepTreeC, sealedFile: StepReplica} {
		s := sealedUpToCheck(t, compound(t))
		miswritten(t, s, file, func(content []byte) { everyNode(0)(content[:64*32]) }) // of tree C: the leaves
		var bad *CheckError
		if err := s.checkProof(t.Context()); !errors.As(err, &bad) || bad.Step != step || bad.Path != s.path(file) {
			t.Errorf("%s: %v, want %s", file, err, step)
		}
	}
}
