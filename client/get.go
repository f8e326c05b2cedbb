package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/fetch"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/dag"
)

// DefaultChunkPrice is the most attoPDR that a Get pays for a chunk of up to 256
// KiB unless told otherwise: ten times what miners ask by default.
var DefaultChunkPrice = chain.Atto(10_000_000_000_000)

// GetOptions says what to fetch and how. Zero values take the defaults.
type GetOptions struct {
	// Path names a file or a directory below the root, name by name.
	Path []string
	// Range fetches so many bytes of a file alone; nil: all of it.
	Range *Range
	// CAR writes the blocks, as they are stored, in place of the content: a CARv1
	// whose root is what was asked for, every block once, depth first.
	CAR bool

	MaxPrice chain.Amount // attoPDR a chunk; zero: DefaultChunkPrice
	Budget   chain.Amount // most attoPDR altogether; zero: no bound
	FreeOnly bool         // pay nothing: take what is given away

	Key      string    // opens private content that this home did not store
	To       io.Writer // instead of a destination: a file's bytes, a directory's tar, as they come
	Progress func(Progress)
}

// Range is a run of bytes of a file: Length bytes from Offset on, or to the end
// if Length is 0. A negative Offset counts from the end of the file.
type Range struct {
	Offset int64
	Length uint64
}

// ParseRange reads a range as HTTP has it: "a-b" for the bytes a to b, both
// counted from 0 and both included, "a-" from a on, "-n" the last n.
func ParseRange(text string) (Range, error) {
	bad := fmt.Errorf("range %q: want bytes like 0-99, 100- or -100", text)
	from, to, ok := strings.Cut(text, "-")
	if !ok || from == "" && to == "" {
		return Range{}, bad
	}
	if from == "" {
		n, err := strconv.ParseInt(to, 10, 64)
		if err != nil || n <= 0 {
			return Range{}, bad
		}
		return Range{Offset: -n}, nil
	}
	a, err := strconv.ParseInt(from, 10, 64)
	if err != nil || a < 0 {
		return Range{}, bad
	}
	if to == "" {
		return Range{Offset: a}, nil
	}
	b, err := strconv.ParseInt(to, 10, 64)
	if err != nil || b < a {
		return Range{}, bad
	}
	return Range{Offset: a, Length: uint64(b-a) + 1}, nil
}

// ParsePath reads "CID/dir/file", with or without "/ipfs/" before it: the root and
// the names below it. CIDs of version 0 are read too.
func ParsePath(text string) (cid.Cid, []string, error) {
	first, names, err := fetch.SplitPath(text)
	if err != nil {
		return cid.Undef, nil, err
	}
	root, err := ParseRoot(first)
	if err != nil {
		return cid.Undef, nil, fmt.Errorf("%q is no CID: %w", first, err)
	}
	return root, names, nil
}

// ErrRange is wrapped when a range begins behind the end of the file.
var ErrRange = errors.New("range not in the file")

// in is the range in a file of size bytes: cut at its end.
func (r *Range) in(size uint64) (offset, length uint64, err error) {
	switch {
	case r == nil:
		return 0, size, nil
	case r.Offset < 0:
		offset = size - min(uint64(-r.Offset), size)
	default:
		offset = uint64(r.Offset)
	}
	if offset >= size && size > 0 || offset > size {
		return 0, 0, fmt.Errorf("%w: it begins at %d, the file has %d bytes", ErrRange, offset, size)
	}
	length = size - offset
	if r.Length > 0 {
		length = min(length, r.Length)
	}
	return offset, length, nil
}

// Progress is how far a Get is.
type Progress struct {
	Bytes  uint64       // of blocks fetched now
	Chunks uint64       // fetched
	Paid   chain.Amount // attoPDR
}

// KindCAR and KindPiece are the kinds of what is written as blocks.
const (
	KindCAR   pack.Kind = "car"
	KindPiece pack.Kind = "piece"
)

// GetResult is what a Get did.
type GetResult struct {
	Root       cid.Cid      // that was asked for
	Target     cid.Cid      // at the end of the path
	Kind       pack.Kind    // file, directory, car or piece
	Size       uint64       // of what was written, in bytes; of a directory that of its tar
	SHA256     [32]byte     // of the same
	Bytes      uint64       // of blocks fetched now
	Chunks     uint64       // of them
	PaidChunks uint64       // chunks that cost something
	ChunkPrice chain.Amount // attoPDR; of the dearest seller that was paid
	Paid       chain.Amount // attoPDR
	Seconds    float64
	Sellers    []buyer.SellerStats
}

// Get fetches a payload, what a path below its root or a range says of it, or a
// piece, and writes it to dest, or to GetOptions.To. It asks the chain who stores
// it, opens payment channels to those sellers as far as is needed, pays chunk by
// chunk, and drops a seller that is slow or lies for another.
//
// dest appears whole and checked or not at all. Until then the bytes of a file
// are in dest.part, with a journal beside it; those of anything else are in the
// home. A Get that is stopped, at whatever moment, is taken up where it was by
// the next one to the same dest. What goes to GetOptions.To goes as it comes,
// every byte checked against the root; the last check, of what this home knows
// to be the SHA-256, may still fail then.
func (c *Client) Get(ctx context.Context, root cid.Cid, dest string, o GetOptions) (*GetResult, error) {
	start := time.Now()
	r := &GetResult{Root: root, Target: root}
	if err := c.get(ctx, r, dest, o); err != nil {
		return nil, fmt.Errorf("get %s: %w", strings.Join(append([]string{root.String()}, o.Path...), "/"), err)
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

func (c *Client) get(ctx context.Context, r *GetResult, dest string, o GetOptions) error {
	if err := o.Check(r.Root); err != nil {
		return err
	}
	if !isPiece(r.Root) {
		if err := dag.Check(r.Root); err != nil {
			return err
		}
	}
	if err := c.canGet(ctx, o.FreeOnly); err != nil {
		return err
	}
	if isPiece(r.Root) {
		return c.getPiece(ctx, r, dest, o)
	}
	g, err := c.newGetting(ctx, r, o)
	if err != nil {
		return err
	}
	if err := g.free(dest); err != nil {
		return err
	}
	return g.run(ctx, dest)
}

// canGet says whether the client can fetch, and pay for it unless it is free.
func (c *Client) canGet(ctx context.Context, free bool) error {
	switch {
	case !free || c.cfg.Sender != nil:
		return c.ready(ctx)
	case c.cfg.Chain == nil:
		return ErrNoNode
	case c.cfg.Host == nil:
		return ErrNoKey
	}
	_, err := c.cfg.Chain.Params(ctx)
	return err
}

// Check refuses options that do not go together.
func (o *GetOptions) Check(root cid.Cid) error {
	switch {
	case o.CAR && o.Range != nil:
		return errors.New("a CAR holds whole files: it cannot be of a range")
	case o.FreeOnly && !o.MaxPrice.IsZero():
		return errors.New("a highest price, and nothing to be paid")
	case isPiece(root) && (len(o.Path) > 0 || o.Range != nil || o.CAR):
		return errors.New("a piece comes whole, as the CAR that it is")
	}
	return nil
}

// price is the most that a chunk may cost.
func (o *GetOptions) price() chain.Amount {
	switch {
	case o.FreeOnly:
		return chain.Amount{}
	case o.MaxPrice.IsZero():
		return DefaultChunkPrice
	}
	return o.MaxPrice
}

// isPiece reports whether a CID is a piece commitment.
func isPiece(c cid.Cid) bool { return c.Prefix().Codec == cid.FilCommitmentUnsealed }
