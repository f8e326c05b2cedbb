package pack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// ErrMalformed is wrapped when what was stored is no content that Pack makes.
var ErrMalformed = errors.New("malformed content")

// ErrDigest is wrapped when restored content is not what was asked for.
var ErrDigest = errors.New("restored content has another SHA-256")

// RestoreOptions says what to restore.
type RestoreOptions struct {
	// Root is the payload.
	Root cid.Cid
	// Key opens private content; empty for public content.
	Key string
	// Kind is what was packed. Empty means: as the payload's root says, and
	// for private content a file, which is the tar if it was a directory.
	Kind Kind
	// Mode holds the permission bits for a file; 0 means 0666. The umask of
	// the process applies.
	Mode fs.FileMode
	// SHA256, if set, must be that of the content, as Packed has it.
	SHA256 *[sha256.Size]byte
	// Progress, if set, is told how many bytes were restored.
	Progress func(done uint64)
}

// Restored says what was restored; Size and SHA256 are as in Packed.
type Restored struct {
	Kind   Kind
	Size   uint64
	SHA256 [sha256.Size]byte
}

// Restore writes the payload to the path dest, getting its blocks from get and
// checking each of them. dest appears complete, synced and with the right
// digest, or it stays as it was: a file there is replaced in one step; a
// directory must not be there, or be empty. Symbolic links are restored as they
// were stored, wherever they point, but nothing is written through one.
func Restore(ctx context.Context, get dag.Get, dest string, opts RestoreOptions) (*Restored, error) {
	kind, err := kindOf(ctx, get, opts)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	r := restorer{ctx: ctx, get: get, opts: opts}
	var got *Restored
	if kind == KindDirectory {
		got, err = r.toDirectory(dest)
	} else {
		got, err = r.toFile(dest)
	}
	if err != nil {
		return nil, fmt.Errorf("restore to %q: %w", dest, err)
	}
	return got, nil
}

// RestoreTo writes the payload to w: a file as its bytes, a directory as the
// tar of TarDigest. Every byte written was checked against the root, but an
// error may come after some were written, above all the last check, of SHA256.
func RestoreTo(ctx context.Context, get dag.Get, w io.Writer, opts RestoreOptions) (*Restored, error) {
	kind, err := kindOf(ctx, get, opts)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	r := restorer{ctx: ctx, get: get, opts: opts}
	var got *Restored
	if kind == KindDirectory {
		got, err = r.directory(newTarSink(w, false))
	} else {
		got, err = r.file(w)
	}
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return got, nil
}

// kindOf settles what the payload is.
func kindOf(ctx context.Context, get dag.Get, opts RestoreOptions) (Kind, error) {
	switch {
	case opts.Kind != "" && opts.Kind != KindFile && opts.Kind != KindDirectory:
		return "", fmt.Errorf("kind %q is neither file nor directory", opts.Kind)
	case opts.Key != "" && opts.Kind == "":
		return KindFile, nil
	case opts.Key != "":
		return opts.Kind, nil
	}
	node, err := dag.KindOf(ctx, get, opts.Root)
	if err != nil {
		return "", err
	}
	kind := Kind(node.String())
	if kind != KindFile && kind != KindDirectory || opts.Kind != "" && opts.Kind != kind {
		return "", fmt.Errorf("%w: the root is a %s", ErrMalformed, node)
	}
	return kind, nil
}

type restorer struct {
	ctx  context.Context
	get  dag.Get
	opts RestoreOptions
	done uint64
}

func (r *restorer) tell(n int) {
	r.done += uint64(n)
	if r.opts.Progress != nil {
		r.opts.Progress(r.done)
	}
}

// file passes a file's bytes to w and checks them.
func (r *restorer) file(w io.Writer) (*Restored, error) {
	src, err := plaintext(r.ctx, r.get, r.opts.Root, r.opts.Key)
	if err != nil {
		return nil, err
	}
	plain := newCounter()
	in := within{r.ctx, src, r.tell}
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(plain, w)}, in, make([]byte, 128<<10)); err != nil {
		return nil, err
	}
	return r.check(&Restored{KindFile, plain.size, plain.sum()})
}

// directory passes a directory to a sink and checks it.
func (r *restorer) directory(to sink) (*Restored, error) {
	from := dagTree(r.get, r.opts.Root, r.tell)
	if r.opts.Key != "" {
		src, err := plaintext(r.ctx, r.get, r.opts.Root, r.opts.Key)
		if err != nil {
			return nil, err
		}
		from = tarTree(within{r.ctx, src, r.tell})
	}
	digest := newDigestSink()
	if err := from(r.ctx, tee{to, digest}); err != nil {
		return nil, err
	}
	return r.check(&Restored{KindDirectory, digest.size, digest.sum()})
}

func (r *restorer) check(got *Restored) (*Restored, error) {
	if want := r.opts.SHA256; want != nil && *want != got.SHA256 {
		return nil, fmt.Errorf("%w: %x where %x is due", ErrDigest, got.SHA256, *want)
	}
	return got, nil
}

// dagTree reads a UnixFS directory.
func dagTree(get dag.Get, root cid.Cid, tell func(int)) source {
	return func(ctx context.Context, to sink) error {
		return car.Unnamed(root, stored{ctx, get, to, tell}.directory("", root))
	}
}

type stored struct {
	ctx  context.Context
	get  dag.Get
	to   sink
	tell func(int)
}

func (s stored) directory(rel string, c cid.Cid) error {
	entries, err := dag.List(s.ctx, s.get, c)
	if err != nil {
		return err
	}
	if err := s.to.enter(rel); err != nil {
		return err
	}
	for _, e := range entries {
		path := e.Name
		if rel != "" {
			path = rel + "/" + path
		}
		if err := s.entry(path, e.CID); err != nil {
			return err
		}
	}
	return s.to.leave(rel)
}

func (s stored) entry(rel string, c cid.Cid) error {
	kind, err := dag.KindOf(s.ctx, s.get, c)
	if err != nil {
		return err
	}
	switch kind {
	case dag.KindDirectory:
		return s.directory(rel, c)
	case dag.KindSymlink:
		target, err := dag.Readlink(s.ctx, s.get, c)
		if err != nil {
			return err
		}
		return s.to.symlink(rel, target)
	default:
		file, err := dag.OpenFile(s.ctx, s.get, c)
		if err != nil {
			return err
		}
		return copyFile(s.to, rel, int64(file.Size()), false, within{s.ctx, file, s.tell})
	}
}
