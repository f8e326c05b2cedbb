package pack

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/segment"
)

// KindTogether is the Kind of a piece that holds several payloads.
const KindTogether Kind = "batch"

// PieceExt ends the name of a file that holds a piece of several payloads.
const PieceExt = ".piece"

// Payload is the content for a piece that it shares with others. The content must
// have been packed into one piece.
func (p *Packed) Payload() segment.Payload {
	one := &p.Pieces[0]
	return segment.Payload{Index: one.Index, Open: func() (io.ReadCloser, error) { return os.Open(one.CARPath) }}
}

// Together puts payloads into one piece, in the layout of package segment. Of the
// options MaxPieceSize, WorkDir and Plan count. The piece travels flat: Root is that of
// the UnixFS file which the bytes of the piece make. It wraps segment.ErrTooLarge if
// they do not fit.
func Together(ctx context.Context, payloads []segment.Payload, opts Options) (*Packed, error) {
	plan, err := segment.NewPlan(payloads, opts.MaxPieceSize)
	if err != nil {
		return nil, fmt.Errorf("pack together: %w", err)
	}
	dir, err := os.MkdirTemp(opts.WorkDir, "pack-*")
	if err != nil {
		return nil, fmt.Errorf("pack together: %w", err)
	}
	out, err := together(ctx, plan, payloads, dir, opts)
	if err != nil || opts.Plan {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("pack together: %w", err)
	}
	return out, nil
}

func together(ctx context.Context, plan *segment.Plan, payloads []segment.Payload, dir string, opts Options) (*Packed, error) {
	one := Piece{Parts: 1}
	file := io.Writer(io.Discard)
	durable := func() error { return nil }
	if !opts.Plan {
		one.CARPath = filepath.Join(dir, "part-0000"+PieceExt)
		f, err := os.OpenFile(one.CARPath, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		file, durable = f, func() error { return errors.Join(f.Sync(), f.Close()) }
	}
	leaves := &digests{}
	root := newFileBuilder(leaves)
	commit := new(piece.Hasher)
	dst := bufio.NewWriterSize(io.MultiWriter(stopping{ctx}, file, commit, root), 512<<10)
	_, err := plan.Write(dst, payloads)
	if err == nil {
		err = dst.Flush()
	}
	if err := errors.Join(err, durable()); err != nil {
		return nil, err
	}
	if err := root.Close(); err != nil {
		return nil, err
	}
	one.Info = commit.Sum()
	if one.PaddedSize != plan.Padded {
		return nil, fmt.Errorf("the piece has %d padded bytes, planned were %d", one.PaddedSize, plan.Padded)
	}
	if one.Index, err = car.Flat(root.root.cid, leaves.of, one.PayloadSize); err != nil {
		return nil, err
	}
	out := &Packed{Root: root.root.cid, Kind: KindTogether, PayloadSize: one.PayloadSize, Blocks: uint64(len(leaves.of)), Pieces: []Piece{one}, Dir: dir}
	for i := range payloads {
		out.Size += payloads[i].Index.Size()
	}
	if opts.Plan {
		out.Dir = ""
	}
	return out, nil
}

// MoveTo moves the archives, and what else was made for them, to a directory.
func (p *Packed) MoveTo(dir string) error {
	to := filepath.Join(dir, filepath.Base(p.Dir))
	if err := os.Rename(p.Dir, to); err != nil {
		return fmt.Errorf("move packed %s: %w", p.Root, err)
	}
	p.Dir = to
	for i := range p.Pieces {
		p.Pieces[i].CARPath = filepath.Join(to, filepath.Base(p.Pieces[i].CARPath))
	}
	return nil
}

// digests keeps of a file's blocks the leaves' digests alone.
type digests struct{ of [][sha256.Size]byte }

func (d *digests) leaf(data []byte) (cid.Cid, error) {
	sum := sha256.Sum256(data)
	d.of = append(d.of, sum)
	return car.LeafCID(sum), nil
}

func (d *digests) node(n ipld.Node, file uint64) (ref, error) {
	total, err := n.Size()
	return ref{cid: n.Cid(), file: file, total: total}, err
}

// stopping is a writer that takes everything until ctx is done.
type stopping struct{ ctx context.Context }

func (s stopping) Write(p []byte) (int, error) { return len(p), s.ctx.Err() }
