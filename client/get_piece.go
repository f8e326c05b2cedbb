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

// getPiece fetches a piece as it is stored, an archive or the piece of several
// payloads, and checks its commitment.
func (c *Client) getPiece(ctx context.Context, r *GetResult, dest string, o GetOptions) (err error) {
	g := &getting{c: c, o: o, r: r}
	var deal *chain.Deal
	g.from, deal, err = c.sellsPiece(ctx, r.Root)
	if err != nil && (!errors.Is(err, ErrNotStored) || len(c.cfg.Gateways) == 0) {
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
	var kept *keptPiece
	if deal != nil {
		kept, err = g.fetchPiece(ctx, deal)
	} else {
		kept, err = g.downloadPiece(ctx)
	}
	if err != nil {
		return err
	}
	err = g.output(dest, func(w io.Writer) error { return g.copy(w, io.NewSectionReader(kept.file, 0, int64(kept.size)), nil) })
	if err != nil {
		return errors.Join(err, kept.Close())
	}
	r.Kind = KindPiece
	return kept.remove()
}

// keptPiece is what came of a piece: its bytes, and of one that is no archive the
// digests of its leaves beside them.
type keptPiece struct {
	file, sums *os.File
	size       uint64 // once it is whole
}

func (k *keptPiece) Close() error {
	err := k.file.Close()
	if k.sums != nil {
		err = errors.Join(err, k.sums.Close())
	}
	return err
}

func (k *keptPiece) remove() error {
	err := errors.Join(k.Close(), os.Remove(k.file.Name()))
	if k.sums != nil {
		err = errors.Join(err, os.Remove(k.sums.Name()))
	}
	return err
}

// fetchPiece fetches the rest of a piece. In which form it is stored a seller says.
func (g *getting) fetchPiece(ctx context.Context, d *chain.Deal) (*keptPiece, error) {
	path := g.c.records.FetchPath(g.r.Root.String())
	file, err := os.OpenFile(path+".piece", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	kept := &keptPiece{file: file}
	err = g.recorded(ctx, func() error {
		request, size, err := g.archiveRequest(d, kept)
		if err != nil {
			return err
		}
		stats, err := g.buyer.FetchPiece(ctx, request)
		g.clerk.over(stats)
		var form *buyer.FormError
		if errors.As(err, &form) && form.Form == retrieval.FormFlat {
			if request, size, err = g.flatRequest(d, kept, path+".sums"); err != nil {
				return err
			}
			stats, err = g.buyer.FetchPiece(ctx, request)
			g.clerk.over(stats)
		}
		if err != nil {
			return g.plain(err)
		}
		kept.size = size()
		return g.checkPiece(file, stats)
	})
	if err != nil {
		return nil, errors.Join(err, kept.Close())
	}
	return kept, nil
}

// archiveRequest asks for the rest of an archive.
func (g *getting) archiveRequest(d *chain.Deal, kept *keptPiece) (buyer.PieceRequest, func() uint64, error) {
	archive, err := buyer.OpenArchive(kept.file, d.PayloadRoot)
	if err != nil {
		return buyer.PieceRequest{}, nil, err
	}
	r, err := g.pieceRequest(d, archive)
	r.From, r.Size = archive.Blocks(), archive.Size()
	if d.Parts == 1 {
		r.Have = archive.Get(kept.file)
	}
	return r, archive.Size, err
}

// flatRequest asks for the rest of the piece of several payloads.
func (g *getting) flatRequest(d *chain.Deal, kept *keptPiece, sums string) (r buyer.PieceRequest, size func() uint64, err error) {
	if kept.sums, err = os.OpenFile(sums, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return r, nil, err
	}
	flat, err := buyer.OpenFlat(kept.file, kept.sums)
	if err != nil {
		return r, nil, err
	}
	r, err = g.pieceRequest(d, flat)
	r.Form, r.From, r.Size = retrieval.FormFlat, flat.Blocks(), flat.Size()
	return r, flat.Size, err
}

// pieceRequest is what the request has in both forms.
func (g *getting) pieceRequest(d *chain.Deal, sink buyer.Sink) (buyer.PieceRequest, error) {
	r := buyer.PieceRequest{Piece: d.PieceCID, Root: d.PayloadRoot, MaxSize: piece.MaxPayload(d.PaddedSize), Sink: sink}
	for _, p := range g.from.parts {
		r.Peers = append(r.Peers, p.Sellers...)
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
		for i := range stats.Sellers {
			stats.Sellers[i].Lied = stats.Sellers[i].Chunks > 0
		}
		g.c.denounce(stats)
		return errors.Join(fmt.Errorf("what the sellers sent is piece %s", got.CID), file.Truncate(0))
	}
	return nil
}
