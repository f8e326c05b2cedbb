// Package pack turns a file, a directory or a stream into pieces that can be
// stored, and stored blocks back into what they were.
//
// On the way in, bytes become a UnixFS payload exactly as `ipfs add -r --hidden
// --cid-version=1 --raw-leaves` builds it (leaves of 262,144 bytes, 174 links a
// node, directories sharded when names and CIDs exceed 262,144 bytes), the
// payload becomes CARs of bounded size with its blocks in the order of
// dag.Walker, and each CAR becomes a piece with its commitment. The root CID of
// public content is therefore the one that every IPFS tool gives it.
//
// Content is private unless Options.Public is set: it is encrypted in the age
// format (https://age-encryption.org/v1) to a key made for this one object.
// A private file is one UnixFS file of its ciphertext; a private directory is
// one UnixFS file too, the ciphertext of its tar, so that neither names nor
// shape can be read from the blocks. `age -d -i KEY` and `tar -x` open them
// without this program. What stays visible is the size, and that is all.
//
// Permission bits and times are not part of public content, as in IPFS. A
// private directory keeps the owner's execute bit.
//
// All of it streams: memory does not grow with the bytes, only by some hundred bytes
// a block for names and places of blocks, and by the names in a public directory.
//
// How the blocks of a file come to stand follows from its size. So a file, and a
// private directory, are read once: blocks go straight to their places in the CARs
// while pieces are committed to, on all processors. A public directory is read twice.
// A stream whose length nobody knows is kept on disk until it has ended.
package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
)

// ErrChanged is wrapped when a file or a directory was altered while it was
// read, so that what was read may never have existed.
var ErrChanged = errors.New("changed while it was read")

// Kind says what was packed.
type Kind string

// What can be packed. A stream is a file.
const (
	KindFile      Kind = "file"
	KindDirectory Kind = "directory"
)

// Stage names a pass over the content.
type Stage string

// The passes: bytes into blocks, and, if that is not done at once, blocks into pieces.
const (
	StageRead Stage = "read"
	StageCut  Stage = "cut"
)

// Options says how to pack.
type Options struct {
	// Public leaves the content unencrypted.
	Public bool
	// MaxPieceSize is the most padded bytes that a piece may have, a power of
	// two of at least 128. A CAR holds at most 127/128 of it.
	MaxPieceSize uint64
	// WorkDir is the directory in which the CARs are made; empty means the system's
	// directory for temporary files. It needs room for the content, and for twice a
	// stream. A process that is killed leaves a "pack-..." there, which nothing needs
	// any more.
	WorkDir string
	// Plan computes everything and writes nothing. The pieces of a stream of more than
	// 4 MiB have no CID then.
	Plan bool
	// Progress, if set, is told how many bytes of a stage are done. total is
	// 0 when it is not known.
	Progress func(stage Stage, done, total uint64)
}

// Packed is content ready to be stored.
type Packed struct {
	// Root is the CID of the payload.
	Root cid.Cid
	// Kind is file or directory.
	Kind Kind
	// Name is the last element of the path, empty for a stream.
	Name string
	// Mode holds the permission bits of a file, 0 for a stream or a directory.
	Mode fs.FileMode
	// Size and SHA256 are those of the plaintext: of the file's bytes, or of
	// the directory's tar as TarDigest computes it.
	Size   uint64
	SHA256 [32]byte
	// Key is the age identity (AGE-SECRET-KEY-1...) that opens private
	// content, empty for public content. Whoever loses it loses the content.
	Key string
	// PayloadSize is the sum of the pieces' payload sizes, that is the bytes
	// of all CARs before padding.
	PayloadSize uint64
	// Blocks is the number of blocks in all CARs.
	Blocks uint64
	// Pieces are the parts of the payload in order; there is at least one.
	Pieces []Piece
	// Dir holds the CARs; empty for a plan.
	Dir string
}

// Piece is one CAR of a payload.
type Piece struct {
	// Info is the piece CID, the padded size and the bytes of the CAR. A plan of a
	// long stream has no CID.
	piece.Info
	// Part counts from 0; Parts is their number.
	Part, Parts int
	// CARPath is the file that holds the CAR; empty for a plan.
	CARPath string
	// Index says where the blocks are in the CAR.
	Index *car.Index
}

// Remove deletes the CARs. It may be called more than once.
func (p *Packed) Remove() error {
	if p.Dir == "" {
		return nil
	}
	if err := os.RemoveAll(p.Dir); err != nil {
		return fmt.Errorf("remove packed %s: %w", p.Root, err)
	}
	return nil
}

// Pack packs the file or the directory at path; a symbolic link is followed
// there, and kept as a link inside a directory. "-" is standard input. When it
// fails nothing is left behind.
func Pack(ctx context.Context, path string, opts Options) (*Packed, error) {
	if path == "-" {
		return PackReader(ctx, os.Stdin, opts)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("pack %q: %w", path, err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("pack %q: %w", path, err)
	}
	packed := &Packed{Name: filepath.Base(abs)}
	var read func(*packer) error
	switch {
	case info.Mode().IsRegular():
		packed.Kind, packed.Mode = KindFile, info.Mode().Perm()
		read = func(p *packer) error { return p.file(path, info) }
	case info.IsDir():
		packed.Kind = KindDirectory
		read = func(p *packer) error { return p.directory(path) }
	default:
		return nil, fmt.Errorf("pack %q: neither a file nor a directory (%s)", path, info.Mode().Type())
	}
	if err := run(ctx, opts, packed, read); err != nil {
		return nil, fmt.Errorf("pack %q: %w", path, err)
	}
	return packed, nil
}

// PackReader packs a stream as a file without a name.
func PackReader(ctx context.Context, src io.Reader, opts Options) (*Packed, error) {
	packed := &Packed{Kind: KindFile}
	if err := run(ctx, opts, packed, func(p *packer) error { return p.stream(src) }); err != nil {
		return nil, fmt.Errorf("pack stream: %w", err)
	}
	return packed, nil
}

// run packs what read reads, and fills packed in.
func run(ctx context.Context, opts Options, packed *Packed, read func(*packer) error) (err error) {
	if n := opts.MaxPieceSize; n < 128 || n&(n-1) != 0 {
		return fmt.Errorf("largest piece of %d bytes: not a power of two from 128 on", n)
	}
	if !opts.Plan {
		if packed.Dir, err = os.MkdirTemp(opts.WorkDir, "pack-*"); err != nil {
			return err
		}
	}
	if err := read(&packer{ctx: ctx, opts: opts, out: packed}); err != nil {
		return errors.Join(err, packed.Remove())
	}
	return nil
}
