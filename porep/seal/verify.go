package seal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// checkFiles compares the noted files of an unfinished sector with the record,
// once: those whose time of change is another than was noted are read, and
// forgotten if they do not hold what was noted. What a killed step left is
// removed.
func (s *Sector) checkFiles(ctx context.Context) error {
	if s.settled {
		return nil
	}
	var changed []string
	for _, name := range s.noted() {
		info, err := os.Stat(s.path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil || info.ModTime().UnixNano() != s.record.Files[name].Modified {
			changed = append(changed, name)
		}
	}
	torn, err := s.damaged(ctx, changed)
	if err != nil {
		return err
	}
	left, err := filepath.Glob(s.path("*" + tempSuffix))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if len(changed) > 0 {
		if err := s.strike(torn); err != nil {
			return err
		}
	}
	s.settled = true
	return nil
}

// DamageError says that files of a sector do not hold what was noted when they
// were written. Sealing has forgotten them, and makes them again if it can.
type DamageError struct{ Paths []string }

func (e *DamageError) Error() string {
	return fmt.Sprintf("changed since it was written: %s", strings.Join(e.Paths, ", "))
}

// Unwrap returns [ErrOrder]: the steps of the files are not done any more.
func (e *DamageError) Unwrap() error { return ErrOrder }

// verify compares the noted files among names with their digests, unless this
// process has written or compared them already. If one differs it is forgotten,
// and the error is a [*DamageError].
func (s *Sector) verify(ctx context.Context, names []string) error {
	var unknown []string
	for _, name := range names {
		if s.has(name) && !s.verified[name] {
			unknown = append(unknown, name)
		}
	}
	torn, err := s.damaged(ctx, unknown)
	if err != nil || len(torn) == 0 {
		return err
	}
	if err := s.strike(torn); err != nil {
		return err
	}
	return &DamageError{s.paths(torn)}
}

func (s *Sector) paths(names []string) []string {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = s.path(name)
	}
	return paths
}

// damaged reads noted files and returns those whose content is not what was
// noted. It notes the time of change of the others.
func (s *Sector) damaged(ctx context.Context, names []string) ([]string, error) {
	whole := make([]bool, len(names))
	found := make([]fileRecord, len(names))
	err := s.runner(ctx)(len(names), func(i int) (err error) {
		found[i], whole[i], err = s.compare(ctx, s.path(names[i]), s.record.Files[names[i]])
		return err
	})
	if err != nil {
		return nil, err
	}
	var torn []string
	for i, name := range names {
		if !whole[i] {
			torn = append(torn, name)
			continue
		}
		s.record.Files[name] = found[i]
		s.verified[name] = true
	}
	return torn, nil
}

// compare reports whether a file holds what was noted, and returns the note with
// the time of change that the file has now.
func (s *Sector) compare(ctx context.Context, path string, want fileRecord) (note fileRecord, whole bool, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return note, false, nil
	}
	if err != nil {
		return note, false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() != want.Size {
		return note, false, err
	}
	note = want
	note.Modified = info.ModTime().UnixNano()
	sum, err := fileDigest(file, want.Size, s.runner(ctx))
	return note, err == nil && sum == want.Digest, err
}

// Check reads every file of the sector that should be there and returns the
// names of those that do not hold what was written.
func (s *Sector) Check(ctx context.Context) ([]string, error) {
	noted, err := readRecord(s.path(recordFile))
	if err != nil {
		return nil, fmt.Errorf("check sector %d: %w", s.cfg.Number, err)
	}
	whole := &Sector{cfg: s.cfg, params: s.params, record: noted, verified: make(map[string]bool)}
	torn, err := whole.damaged(ctx, whole.noted())
	if err != nil {
		return nil, fmt.Errorf("check sector %d: %w", s.cfg.Number, err)
	}
	return torn, nil
}
