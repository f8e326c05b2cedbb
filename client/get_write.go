package client

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/client/fetch"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// copySize is the buffer between a store and what is written.
const copySize = 256 << 10

// free refuses what writing would refuse, before anything is paid.
func (g *getting) free(dest string) error {
	kind := pack.Kind("") // not known yet
	switch {
	case g.own != nil && len(g.o.Path) > 0 && g.own.Kind == string(pack.KindFile):
		return errors.New("the root is a file: there is nothing below it")
	case g.o.CAR || g.o.Range != nil:
		kind = pack.KindFile
	case g.own != nil && len(g.o.Path) == 0:
		kind = pack.Kind(g.own.Kind)
	}
	if g.o.To != nil {
		return nil
	}
	return destinationFree(dest, kind)
}

// destinationFree says whether something of a kind, empty if it is not known yet,
// can be put at dest.
func destinationFree(dest string, kind pack.Kind) error {
	info, err := os.Lstat(dest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err := os.Stat(filepath.Dir(dest))
		return err
	case err != nil:
		return err
	case !info.IsDir() && kind == pack.KindDirectory:
		return fmt.Errorf("%s: a file is in the way of a directory", dest)
	case !info.IsDir():
		return nil
	case kind == pack.KindFile:
		return fmt.Errorf("%s: a directory is in the way of a file", dest)
	}
	entries, err := os.ReadDir(dest)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("%s: a directory with content is in the way", dest)
	}
	return err
}

// beside fetches into a store while use reads from it. It returns when both are
// done.
func (g *getting) beside(ctx context.Context, store *fetch.Store, pull, use func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pulled := make(chan error, 1)
	go func() {
		err := pull(ctx)
		store.End(err)
		pulled <- err
	}()
	err := use(ctx)
	if err != nil {
		cancel()
	}
	return cause(err, <-pulled)
}

// cause is why a fetch and who read from it ended: one of their errors if the other came
// of it.
func cause(used, pulled error) error {
	switch {
	case pulled != nil && errors.Is(used, pulled):
		return pulled
	case used != nil && errors.Is(pulled, context.Canceled):
		return used
	}
	return errors.Join(used, pulled)
}

// writeFile writes a whole file to dest. Public content is written to its places
// in dest.part, which becomes dest; of private content the part holds what is
// stored, and dest is decrypted from it.
func (g *getting) writeFile(ctx context.Context, dest string) (err error) {
	if info, err := os.Stat(dest); err == nil && info.IsDir() {
		return fmt.Errorf("%s: a directory is in the way of a file", dest)
	}
	mode := g.mode()
	if g.key != "" {
		mode = 0o600
	}
	part, err := fetch.Open(dest+".part", g.r.Target, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	top, err := g.store.Get(ctx, g.r.Target)
	if err == nil {
		err = part.Put(g.r.Target, top)
	}
	if err != nil {
		return err
	}
	pull := func(ctx context.Context) error { return g.pullFile(ctx, part, g.r.Target, 0, 0) }
	if g.key == "" {
		return g.fillFile(ctx, part, pull, dest)
	}
	err = g.beside(ctx, part, pull, func(ctx context.Context) error {
		got, err := pack.Restore(ctx, part.Await, dest, g.restoring())
		return g.wrote(got, err)
	})
	if err != nil {
		return err
	}
	return part.Remove()
}

// fillFile lets the part become dest.
func (g *getting) fillFile(ctx context.Context, part *fetch.Store, pull func(context.Context) error, dest string) error {
	err := g.beside(ctx, part, pull, func(ctx context.Context) error {
		file, err := part.Region(g.r.Target).NewReader(ctx, 0, ^uint64(0))
		if err != nil {
			return err
		}
		return g.copy(io.Discard, file, g.restoring().SHA256)
	})
	if err != nil {
		return err
	}
	if err := part.Finish(dest); err != nil {
		return err
	}
	return lifecycle.SyncDir(filepath.Dir(dest))
}

// wrote takes down what was restored.
func (g *getting) wrote(got *pack.Restored, err error) error {
	if err != nil {
		return err
	}
	g.r.Kind, g.r.Size, g.r.SHA256 = got.Kind, got.Size, got.SHA256
	return nil
}

// copy passes bytes on, and takes down what they were; want, if given, is the
// SHA-256 that they must have.
func (g *getting) copy(to io.Writer, from io.Reader, want *[sha256.Size]byte) error {
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(sum, to)}, from, make([]byte, copySize))
	if err != nil {
		return err
	}
	g.r.Kind, g.r.Size, g.r.SHA256 = pack.KindFile, uint64(n), [sha256.Size]byte(sum.Sum(nil))
	if want != nil && *want != g.r.SHA256 {
		return fmt.Errorf("%w: %x where %x is due", pack.ErrDigest, g.r.SHA256, *want)
	}
	return nil
}

// output calls write with where a file goes: GetOptions.To, or a new file that
// becomes dest when it is whole.
func (g *getting) output(dest string, write func(io.Writer) error) (err error) {
	if g.o.To != nil {
		return write(g.o.To)
	}
	var salt [8]byte
	rand.Read(salt[:])
	temp := filepath.Join(filepath.Dir(dest), ".perdure-"+hex.EncodeToString(salt[:]))
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	err = write(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(temp, dest)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return lifecycle.SyncDir(filepath.Dir(dest))
}

// writeBytes writes a file, or a range of it, byte after byte as they come, and
// fetches only the blocks that it needs.
func (g *getting) writeBytes(ctx context.Context, dest string) error {
	top, err := dag.Load(ctx, g.store.Get, g.r.Target)
	if err != nil {
		return err
	}
	stored := top.FileSize
	plain := stored
	if g.key != "" {
		if plain, err = pack.PlainSize(stored); err != nil {
			return err
		}
	}
	offset, length, err := g.o.Range.in(plain)
	if err != nil {
		return err
	}
	spans := []pack.Span{{Offset: offset, Length: length}}
	if g.key != "" {
		spans = pack.CipherSpans(offset, length, plain)
	}
	pull := func(ctx context.Context) error {
		for _, s := range spans {
			if err := g.pullFile(ctx, g.store, g.r.Target, s.Offset, s.Length); err != nil {
				return err
			}
		}
		return nil
	}
	return g.beside(ctx, g.store, pull, func(ctx context.Context) error {
		from, want, err := g.plaintext(ctx, stored, offset, length)
		if err != nil {
			return err
		}
		return g.output(dest, func(w io.Writer) error { return g.copy(w, from, want) })
	})
}

// plaintext reads bytes of the target, and says what SHA-256 they must have, if
// that is known. A whole file is read as a stream, which needs its end last.
func (g *getting) plaintext(ctx context.Context, stored, offset, length uint64) (io.Reader, *[sha256.Size]byte, error) {
	region := g.store.Region(g.r.Target)
	if g.o.Range != nil {
		content, err := pack.Decrypt(region.ReaderAt(ctx), stored, g.key)
		if err != nil {
			return nil, nil, err
		}
		return io.NewSectionReader(content, int64(offset), int64(length)), nil, nil
	}
	all, err := region.NewReader(ctx, 0, stored)
	if err != nil {
		return nil, nil, err
	}
	plain, err := pack.DecryptStream(all, g.key)
	return plain, g.restoring().SHA256, err
}

// pullAll fetches everything from the target down.
func (g *getting) pullAll(ctx context.Context) error {
	if g.kind == dag.KindFile {
		return g.pullFile(ctx, g.store, g.r.Target, 0, 0)
	}
	return g.pullTree(ctx, g.r.Target)
}

// writeCAR writes the blocks from the target down. Their order and the form of
// the archive depend on the target alone.
func (g *getting) writeCAR(ctx context.Context, dest string) error {
	return g.beside(ctx, g.store, g.pullAll, func(ctx context.Context) error {
		return g.output(dest, func(w io.Writer) error {
			sum := sha256.New()
			n, err := exportCAR(ctx, g.store.Await, g.r.Target, io.MultiWriter(sum, w))
			if err != nil {
				return g.plain(err)
			}
			g.r.Kind, g.r.Size, g.r.SHA256 = KindCAR, n, [sha256.Size]byte(sum.Sum(nil))
			return nil
		})
	})
}

// exportCAR writes a DAG as a CAR: every block once, depth first. It returns how
// many bytes these are.
func exportCAR(ctx context.Context, get dag.Get, root cid.Cid, dst io.Writer) (uint64, error) {
	w, err := car.NewWriter(dst, root)
	if err != nil {
		return 0, err
	}
	err = dag.Walk(ctx, get, root, w.Put)
	return w.Size(), err
}

// writeDirectory writes a directory, or its tar to GetOptions.To.
func (g *getting) writeDirectory(ctx context.Context, dest string) error {
	return g.beside(ctx, g.store, g.pullAll, func(ctx context.Context) error {
		if g.o.To != nil {
			got, err := pack.RestoreTo(ctx, g.store.Await, g.o.To, g.restoring())
			return g.wrote(got, err)
		}
		got, err := pack.Restore(ctx, g.store.Await, dest, g.restoring())
		return g.wrote(got, err)
	})
}
