package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
)

// getPiece fetches a piece as the archive that it is, and checks its commitment.
func (c *Client) getPiece(ctx context.Context, r *GetResult, dest string, o GetOptions) (err error) {
	g := &getting{c: c, o: o, r: r}
	var deal *chain.Deal
	if g.from, deal, err = c.sellsPiece(ctx, r.Root); err != nil {
		return err
	}
	if o.To == nil {
		if err := destinationFree(dest, pack.KindFile); err != nil {
			return err
		}
	}
	unlock, err := g.lock(dest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	file, err := os.OpenFile(c.records.FetchPath(r.Root.String()+".car"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	archive, err := g.pieceIn(ctx, deal, file, retrieval.FormCAR)
	var form *buyer.FormError
	if errors.As(err, &form) && form.Form == retrieval.FormFlat {
		archive, err = g.pieceIn(ctx, deal, file, retrieval.FormFlat)
	}
	if err != nil {
		return err
	}
	err = g.output(dest, func(w io.Writer) error { return g.copy(w, io.NewSectionReader(file, 0, int64(archive.Size())), nil) })
	if err != nil {
		return err
	}
	r.Kind = KindPiece
	return os.Remove(file.Name())
}

// pieceSink is the file of a piece while it comes, in either form.
type pieceSink interface {
	buyer.Sink
	Blocks() uint64
	Size() uint64
}

// pieceIn fetches the piece in a form, and returns it whole and checked. A flat one is
// begun anew each time.
func (g *getting) pieceIn(ctx context.Context, deal *chain.Deal, file *os.File, form retrieval.Form) (sink pieceSink, err error) {
	if form == retrieval.FormFlat {
		var sums *os.File
		if sums, err = os.CreateTemp("", "perdure-*"); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, sums.Close(), os.Remove(sums.Name())) }()
		if sink, err = buyer.OpenFlat(file, sums); err != nil {
			return nil, err
		}
	} else if sink, err = buyer.OpenArchive(file, deal.PayloadRoot); err != nil {
		return nil, err
	}
	request, err := g.pieceRequest(deal, sink, file)
	if err != nil {
		return nil, err
	}
	request.Form = form
	return sink, g.recorded(ctx, func() error {
		stats, err := g.buyer.FetchPiece(ctx, request)
		g.clerk.over(stats)
		if err == nil {
			err = g.checkPiece(file, stats)
		}
		return err
	})
}

// pieceRequest asks for the rest of a piece.
func (g *getting) pieceRequest(d *chain.Deal, sink pieceSink, file *os.File) (buyer.PieceRequest, error) {
	r := buyer.PieceRequest{Piece: d.PieceCID, Root: d.PayloadRoot, From: sink.Blocks(), Size: sink.Size(),
		MaxSize: piece.MaxPayload(d.PaddedSize), Sink: sink}
	for _, p := range g.from.parts {
		r.Peers = append(r.Peers, p.Sellers...)
	}
	if archive, ok := sink.(*buyer.Archive); ok && d.Parts == 1 {
		r.Have = archive.Get(file)
	}
	r.Progress = func(s buyer.Stats) {
		sum := g.clerk.note(s)
		if g.o.Progress != nil {
			g.o.Progress(Progress{sum.Bytes, sum.Chunks, sum.Spent})
		}
	}
	// Two chunks that follow each other have more than one chunk's bytes together.
	most, err := g.o.price().Mul(2*(r.MaxSize/retrieval.ChunkSize) + r.MaxSize/retrieval.MaxChunkBlocks/40 + 2)
	if err != nil {
		return r, err
	}
	r.Budget = most
	if !g.o.Budget.IsZero() {
		r.Budget = g.o.Budget.Min(most)
	}
	return r, nil
}

// checkPiece computes the commitment over what came. If it is another the sellers
// are to blame, and nothing of it is kept.
func (g *getting) checkPiece(file *os.File, stats buyer.Stats) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	got, err := piece.Commit(file)
	if err != nil {
		return err
	}
	if !got.CID.Equals(g.r.Root) {
		g.buyer.Blame(stats)
		return errors.Join(fmt.Errorf("what the sellers sent is piece %s", got.CID), file.Truncate(0))
	}
	return nil
}
