package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
)

// Imported is what is known of an imported archive.
type Imported struct {
	Name       string   `json:"name"`       // SHA-256 of its bytes, hexadecimal
	Roots      []string `json:"roots"`      // that its header names
	Blocks     int      `json:"blocks"`     // distinct ones
	Size       uint64   `json:"size"`       // in bytes
	Piece      string   `json:"pieceCid"`   // of its bytes, extended with zeros to the next piece
	PieceV2    string   `json:"pieceCidV2"` // the same with its size in it
	PaddedSize uint64   `json:"paddedSize"` // of the piece
	Terms      Terms    `json:"terms"`      // a price of zero: free
}

func (i *Imported) free() bool { return i.Terms.Price.IsZero() }

// Import copies an archive into the store and returns once it is durable. It
// takes CARv1 with any number of roots, blocks of any codec in any order, and the
// hashes that package car verifies. An archive with a broken block, or one that
// breaks off, is refused whole and leaves nothing behind. An archive that is there
// already only gets the terms.
func (s *Store) Import(ctx context.Context, src io.Reader, terms Terms) (*Imported, error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("import archive: %w", err)
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, fmt.Errorf("import archive: %w", err)
	}
	defer unlock()
	tmp, err := os.CreateTemp(s.dir, partPrefix+"*")
	if err != nil {
		return nil, fmt.Errorf("import archive: %w", err)
	}
	defer os.Remove(tmp.Name())
	in, x, err := readArchive(ctx, src, tmp)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return nil, fmt.Errorf("import archive: %w", err)
	}
	in.Terms = terms
	if err := s.keep(in, x, tmp.Name()); err != nil {
		return nil, fmt.Errorf("import archive %s: %w", in.Name, err)
	}
	return in, nil
}

// partPrefix begins the names of archives that are being copied.
const partPrefix = ".part-"

// lock keeps other imports out and removes what a killed one left.
func (s *Store) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	left, err := filepath.Glob(filepath.Join(s.dir, partPrefix+"*"))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

// readArchive reads and checks a whole archive, writing its bytes to dst on the
// way.
func readArchive(ctx context.Context, src io.Reader, dst io.Writer) (*Imported, index, error) {
	hash := sha256.New()
	var commit piece.Hasher
	tee := io.TeeReader(readerOf(ctx, src), io.MultiWriter(dst, hash, &commit))
	r, err := car.NewReader(tee, car.Options{AnyRoots: true})
	if err != nil {
		return nil, nil, err
	}
	in, x := &Imported{Roots: []string{}}, index{}
	for _, root := range r.Roots() {
		in.Roots = append(in.Roots, root.String())
	}
	for {
		block, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if key := string(block.CID.Hash()); x[key] == (place{}) {
			x[key] = place{block.Offset, uint32(len(block.Data))}
		}
	}
	p := commit.Sum()
	v2, err := p.CIDv2()
	if err != nil {
		return nil, nil, err
	}
	in.Name, in.Blocks, in.Size = hex.EncodeToString(hash.Sum(nil)), len(x), r.Offset()
	in.Piece, in.PieceV2, in.PaddedSize = p.CID.String(), v2.String(), p.PaddedSize
	return in, x, nil
}

// keep moves a checked archive to its place. The record comes last: it makes the
// archive be there.
func (s *Store) keep(in *Imported, x index, tmp string) error {
	path := filepath.Join(s.dir, in.Name)
	if _, err := os.Stat(path + suffixArchive); errors.Is(err, os.ErrNotExist) {
		if err := os.Chmod(tmp, 0o644); err != nil {
			return err
		}
		if err := os.Rename(tmp, path+suffixArchive); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := lifecycle.WriteFile(path+suffixIndex, x.marshal(), 0o644); err != nil {
		return err
	}
	record, err := json.MarshalIndent(in, "", "  ")
	if err != nil {
		return err
	}
	return lifecycle.WriteFile(path+suffixRecord, append(record, '\n'), 0o644)
}

// openArchive opens an imported archive; of one that is open already only the
// record is read again.
func openArchive(ctx context.Context, dir, name string, known *archive) (*archive, error) {
	path := filepath.Join(dir, name)
	raw, err := os.ReadFile(path + suffixRecord)
	if err != nil {
		return nil, err
	}
	a := new(archive)
	if err := json.Unmarshal(raw, &a.Imported); err != nil {
		return nil, fmt.Errorf("read its record: %w", err)
	}
	if a.Name != name {
		return nil, fmt.Errorf("its record is of archive %q", a.Name)
	}
	if known != nil {
		a.file, a.index = known.file, known.index
		return a, nil
	}
	if a.file, err = os.Open(path + suffixArchive); err != nil {
		return nil, err
	}
	if a.index, err = a.readIndex(ctx, path); err != nil {
		return nil, errors.Join(err, a.file.Close())
	}
	return a, nil
}

// readIndex reads the stored index, or makes it anew from the archive.
func (a *archive) readIndex(ctx context.Context, path string) (index, error) {
	info, err := a.file.Stat()
	if err != nil {
		return nil, err
	}
	if uint64(info.Size()) != a.Size {
		return nil, fmt.Errorf("%s has %d bytes, imported were %d", a.file.Name(), info.Size(), a.Size)
	}
	if raw, err := os.ReadFile(path + suffixIndex); err == nil {
		if x, err := parseIndex(raw, a.Size); err == nil {
			return x, nil
		}
	}
	in, x, err := readArchive(ctx, a.file, io.Discard)
	if err != nil {
		return nil, fmt.Errorf("index it: %w", err)
	}
	if in.Name != a.Name {
		return nil, fmt.Errorf("index it: its bytes have the SHA-256 %s", in.Name)
	}
	// Without the stored form the next start takes longer, nothing else.
	_ = lifecycle.WriteFile(path+suffixIndex, x.marshal(), 0o644)
	return x, nil
}

// readerOf reads until ctx ends.
func readerOf(ctx context.Context, src io.Reader) io.Reader { return contextReader{ctx, src} }

type contextReader struct {
	ctx context.Context
	src io.Reader
}

// Read implements io.Reader.
func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.src.Read(p)
}

// Remove deletes an imported archive.
func (s *Store) Remove(name string) error {
	path := filepath.Join(s.dir, name)
	if _, err := os.Stat(path + suffixRecord); strings.ContainsAny(name, "/.") || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove archive %q: no such name", name)
	}
	for _, suffix := range []string{suffixRecord, suffixIndex, suffixArchive} {
		if err := os.Remove(path + suffix); err != nil && (suffix == suffixRecord || !errors.Is(err, os.ErrNotExist)) {
			return fmt.Errorf("remove archive: %w", err)
		}
	}
	return nil
}
