package seal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/piece"
)

// Piece is data for a sector.
type Piece struct {
	Data       io.Reader // raw bytes, at most 127/128 of PaddedSize; extended with zeros
	PaddedSize uint64    // a power of two from 128
	CommP      [32]byte  // what the data must commit to; zero if it is not known
}

// WriteData writes the pieces of a sector, padded, each at the next multiple of
// its size, and zeros elsewhere. No pieces make an empty sector. It is refused
// with [ErrData] once data was written; it may be repeated until it succeeds. A
// piece that does not commit to its CommP is found by the next step.
func (s *Sector) WriteData(ctx context.Context, pieces []Piece) error {
	if s.Next() != StepData {
		return fmt.Errorf("seal sector %d: %s: %s: %w", s.cfg.Number, StepData, s.path(unsealedFile), ErrData)
	}
	if err := s.writeData(ctx, pieces); err != nil {
		return fmt.Errorf("seal sector %d: %s: %w", s.cfg.Number, StepData, err)
	}
	return nil
}

func (s *Sector) writeData(ctx context.Context, pieces []Piece) error {
	if err := s.checkFiles(ctx); err != nil {
		return err
	}
	sizes := make([]uint64, len(pieces))
	for i, p := range pieces {
		sizes[i] = p.PaddedSize
	}
	offsets, _, err := piece.Layout(sizes, s.params.SectorSize())
	if err != nil {
		return err
	}
	records := make([]pieceRecord, len(pieces))
	for i, p := range pieces {
		records[i] = pieceRecord{Offset: offsets[i], PaddedSize: p.PaddedSize}
		if !porep.IsElement(p.CommP) {
			return fmt.Errorf("piece %d: CommP %x: %w", i, p.CommP, porep.ErrElement)
		}
		if p.CommP != ([32]byte{}) {
			commP := digest(p.CommP)
			records[i].CommP = &commP
		}
	}
	progress := s.meter(StepData, s.params.Nodes)
	// What was made of data that is gone may not fit what is written now.
	if err := s.remove(s.noted()); err != nil {
		return err
	}
	// The record names the pieces only together with the file that holds them.
	s.record.Pieces = records
	if err := s.write(unsealedFile, func(file *os.File) error {
		return fillData(ctx, file, pieces, offsets, s.params.SectorSize(), progress)
	}); err != nil {
		s.record.Pieces = nil
		return err
	}
	return nil
}

func fillData(ctx context.Context, file *os.File, pieces []Piece, offsets []uint64, size uint64, progress *meter) error {
	out := bufio.NewWriterSize(file, 1<<20)
	at := uint64(0)
	for i, p := range pieces {
		if err := copyNodes(ctx, out, zeros{}, offsets[i]-at, progress); err != nil {
			return err
		}
		if p.Data == nil {
			p.Data = eof{}
		}
		if err := copyNodes(ctx, out, piece.NewReader(p.Data, p.PaddedSize), p.PaddedSize, progress); err != nil {
			return fmt.Errorf("piece %d, at most %d raw bytes: %w", i, piece.MaxPayload(p.PaddedSize), err)
		}
		at = offsets[i] + p.PaddedSize
	}
	if err := copyNodes(ctx, out, zeros{}, size-at, progress); err != nil {
		return err
	}
	return out.Flush()
}

// copyNodes copies exactly n bytes; from must then be at its end unless it has
// none.
func copyNodes(ctx context.Context, to io.Writer, from io.Reader, n uint64, progress *meter) error {
	const step = 1 << 20
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := min(n, step)
		if _, err := io.CopyN(to, from, int64(part)); err != nil {
			return err
		}
		n -= part
		progress.add(part / porep.NodeSize)
	}
	if _, endless := from.(zeros); endless {
		return nil
	}
	var more [1]byte
	if _, err := from.Read(more[:]); err != io.EOF {
		return err // a padding reader says here that it was given too much
	}
	return nil
}

// zeros is an endless reader of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// eof is an empty reader.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// buildTreeD builds the tree over the data and checks that every piece commits to
// what it should.
func (s *Sector) buildTreeD(ctx context.Context) error {
	data, err := openSized(s.path(unsealedFile), s.params.SectorSize())
	if err != nil {
		return err
	}
	defer data.Close()
	progress := s.meter(StepTreeD, s.params.Nodes)
	return s.write(treeDFile, func(file *os.File) error {
		write, err := merkle.Binary.Writer(s.params.Nodes, 0, file)
		if err != nil {
			return err
		}
		leaves := metered(merkle.LeavesAt(data), progress)
		root, err := merkle.Build(piece.Tree{}, merkle.Binary, s.params.Nodes, leaves, write, s.runner(ctx))
		if err != nil {
			return err
		}
		commD := digest(root)
		s.record.CommD = &commD // stored together with the note of the file
		return s.checkPieces(file)
	})
}

// commD returns the root over the data, which is in the record once the tree is
// built: labelling reads nothing else of a file twice the size of the sector.
func (s *Sector) commD() ([32]byte, error) {
	if s.record.Result != nil {
		return s.record.Result.CommD, nil
	}
	if s.record.CommD == nil {
		return [32]byte{}, fmt.Errorf("%s first: %w", StepTreeD, ErrOrder)
	}
	return *s.record.CommD, nil
}

// checkPieces compares the node of the tree that covers each piece with the
// piece's commitment.
func (s *Sector) checkPieces(tree io.ReaderAt) error {
	read, err := merkle.Binary.Reader(s.params.Nodes, 0, tree)
	if err != nil {
		return err
	}
	for i, p := range s.record.Pieces {
		if p.CommP == nil {
			continue
		}
		row := 0
		for size := uint64(porep.NodeSize); size < p.PaddedSize; size *= 2 {
			row++
		}
		var node [1]merkle.Node
		if err := read(row, p.Offset/p.PaddedSize, node[:]); err != nil {
			return err
		}
		if want := [32]byte(*p.CommP); node[0] != want {
			return fmt.Errorf("piece %d: CommP is %x, want %x: %w", i, node[0], want, ErrPiece)
		}
	}
	return nil
}

func (s *Sector) runner(ctx context.Context) merkle.Runner { return parallel(ctx, s.cfg.Workers) }

// metered counts the leaves that are asked for.
func metered(from merkle.Leaves, progress *meter) merkle.Leaves {
	return func(first uint64, out []merkle.Node) error {
		err := from(first, out)
		progress.add(uint64(len(out)))
		return err
	}
}

// rootOf reads the root of a stored tree: its last node.
func rootOf(path string) (root [32]byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return root, err
	}
	defer file.Close()
	if _, err := file.Seek(-porep.NodeSize, io.SeekEnd); err != nil {
		return root, err
	}
	_, err = io.ReadFull(file, root[:])
	return root, err
}
