package seal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/perdure/perdure/internal/merkle"
)

// The files of a sector's directory.
const (
	unsealedFile  = "unsealed"
	sealedFile    = "sealed"
	auxFile       = "p_aux"
	treeDFile     = "sc-02-data-tree-d.dat"
	treeCFile     = "sc-02-data-tree-c"
	treeRLastFile = "sc-02-data-tree-r-last"
	lockFile      = "seal.lock"

	tempSuffix = ".tmp"
)

// layerFile names the labels of a layer; the first is 1.
func layerFile(layer int) string { return fmt.Sprintf("sc-02-data-layer-%d.dat", layer) }

// baseTrees returns the number of base trees of a shape.
func baseTrees(shape merkle.Shape) int { return max(shape.Sub, 1) * max(shape.Top, 1) }

// baseFiles names the files of the base trees of a shape: a single one has no
// number.
func baseFiles(stem string, shape merkle.Shape) []string {
	n := baseTrees(shape)
	if n == 1 {
		return []string{stem + ".dat"}
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d.dat", stem, i)
	}
	return names
}

// output is a file that is being written beside its place.
type output struct {
	*os.File
	place string
	done  bool
}

// create opens a file beside its place, in a sector that is open for writing.
func (s *Sector) create(name string) (*output, error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(s.path(name+tempSuffix), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	return &output{File: file, place: s.path(name)}, nil
}

// publish moves a file that was synced to its place, durably.
func (o *output) publish() error {
	if err := o.Close(); err != nil {
		return err
	}
	if err := os.Rename(o.Name(), o.place); err != nil {
		return err
	}
	o.done = true
	return syncDir(filepath.Dir(o.place))
}

// abort removes a file that was not published.
func (o *output) abort() {
	if !o.done {
		o.Close()
		os.Remove(o.Name())
	}
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// write makes one file of the sector: fill writes it, and it is published and
// noted if that succeeds.
func (s *Sector) write(name string, fill func(*os.File) error) error {
	out, err := s.create(name)
	if err != nil {
		return err
	}
	defer out.abort()
	if err := fill(out.File); err != nil {
		return err
	}
	// Synced first: what comes to the disk late would change the time that is noted.
	if err := out.Sync(); err != nil {
		return err
	}
	note, err := noteFile(out.File, s.runner(context.Background()))
	if err != nil {
		return err
	}
	if err := out.publish(); err != nil {
		return err
	}
	s.record.Files[name] = note
	s.verified[name] = true
	return s.saveRecord()
}

// wrote notes a file that was written, hashed on the way, synced and moved to its
// place by others.
func (s *Sector) wrote(name string, sum [32]byte) error {
	info, err := os.Stat(s.path(name))
	if err != nil {
		return err
	}
	s.record.Files[name] = fileRecord{Size: info.Size(), Modified: info.ModTime().UnixNano(), Digest: sum}
	s.verified[name] = true
	if err := s.saveRecord(); err != nil {
		s.forget([]string{name})
		return err
	}
	return nil
}

// openSized opens a file that must have a size in bytes. Errors name the file.
func openSized(path string, size uint64) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && uint64(info.Size()) != size {
		err = fmt.Errorf("%s: %d bytes, want %d", path, info.Size(), size)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
