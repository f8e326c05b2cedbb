package seal

import (
	"context"
	"fmt"
	"os"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
)

// Statement returns the statement of a seal proof of this finished sector: see
// [porep.Verify].
func (s *Sector) Statement(seed [32]byte, first, count int) (porep.SealInput, error) {
	if _, err := s.Result(); err != nil {
		return porep.SealInput{}, err
	}
	return s.statement(seed, first, count), nil
}

// statement is the statement of a proof of the sector, checked or not.
func (s *Sector) statement(seed [32]byte, first, count int) porep.SealInput {
	result := s.record.Result
	ticket, _ := s.Ticket()
	return porep.SealInput{
		ProofType: s.cfg.ProofType,
		MinerID:   s.cfg.MinerID,
		Number:    s.cfg.Number,
		Ticket:    ticket,
		Seed:      seed,
		CommD:     result.CommD,
		CommR:     result.CommR,
		First:     first,
		Count:     count,
	}
}

// Prove opens count challenges of the finished sector from number first on, drawn
// from the seed, and returns the proof of that part (at most
// [porep.MaxPartChallenges]). It needs the layers and all trees: see
// [Sector.Finalize]. It does not verify what it made.
func (s *Sector) Prove(ctx context.Context, seed [32]byte, first, count int) ([]byte, error) {
	in, err := s.Statement(seed, first, count)
	if err != nil {
		return nil, fmt.Errorf("prove sector %d: %w", s.cfg.Number, err)
	}
	proof, err := s.prove(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("prove sector %d: %w", s.cfg.Number, err)
	}
	return proof, nil
}

func (s *Sector) prove(ctx context.Context, in porep.SealInput) ([]byte, error) {
	replica, err := OpenReplica(s.cfg.Dir, s.params)
	if err != nil {
		return nil, err
	}
	defer replica.Close()
	layers, err := s.openLayers()
	if err != nil {
		return nil, err
	}
	defer closeAll(layers)
	treeC, files, err := s.openTreeC()
	defer closeAll(files)
	if err != nil {
		return nil, err
	}
	treeD, data, err := s.openTreeD()
	if err != nil {
		return nil, err
	}
	defer data.Close()
	return s.params.Prove(in, porep.Source{
		CommC:     replica.CommC,
		CommRLast: replica.CommRLast,
		TreeD:     cancelled(ctx, treeD),
		TreeC:     cancelled(ctx, treeC),
		TreeRLast: cancelled(ctx, replica.Reader()),
		Column:    columnReader(layers),
	})
}

// openTreeD opens the tree over the data.
func (s *Sector) openTreeD() (merkle.RowReader, *os.File, error) {
	size, err := merkle.Binary.StoredSize(s.params.Nodes, 0)
	if err != nil {
		return nil, nil, err
	}
	file, err := openSized(s.path(treeDFile), size)
	if err != nil {
		return nil, nil, err
	}
	read, err := merkle.Binary.Reader(s.params.Nodes, 0, file)
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return named(read, file.Name()), file, nil
}

// openTreeC opens the trees over the columns; the files are the caller's to close
// even after an error.
func (s *Sector) openTreeC() (merkle.RowReader, []*os.File, error) {
	f, err := newForest(s.params)
	if err != nil {
		return nil, nil, err
	}
	size, err := f.base.StoredSize(f.leaves, 0)
	if err != nil {
		return nil, nil, err
	}
	var files []*os.File
	var trees []merkle.RowReader
	for _, name := range baseFiles(treeCFile, s.params.Shape) {
		file, err := openSized(s.path(name), size)
		if err != nil {
			return nil, files, err
		}
		files = append(files, file)
		read, err := f.base.Reader(f.leaves, 0, file)
		if err != nil {
			return nil, files, err
		}
		trees = append(trees, named(read, file.Name()))
	}
	read, err := f.reader(trees)
	return read, files, err
}

// columnReader reads the labels of one node from all layers.
func columnReader(layers []*os.File) func(uint64, []merkle.Node) error {
	return func(node uint64, labels []merkle.Node) error {
		for i, layer := range layers {
			if err := merkle.LeavesAt(layer)(node, labels[i:i+1]); err != nil {
				return fmt.Errorf("%s: %w", layer.Name(), err)
			}
		}
		return nil
	}
}

// cancelled makes a reader stop when ctx ends.
func cancelled(ctx context.Context, read merkle.RowReader) merkle.RowReader {
	return func(row int, first uint64, out []merkle.Node) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return read(row, first, out)
	}
}
