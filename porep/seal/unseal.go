package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/piece"
)

// Keep says what a finished sector keeps besides what proofs of spacetime need,
// which is the replica, the stored rows of its tree and p_aux: 1.002 times the
// sector. What it costs on the disk and what it saves when data are wanted back:
//
//	Unsealed   1 x the sector    a range is read from the file
//	LastLayer  1 x               "key kept": a range is decoded, which reads its part of
//	                             the replica and of the layer and takes a subtraction a node
//	Proving    6.1 x or 15.1 x   with 2 or 11 layers; the last layer is among them
//	nothing    0                 "key dropped": for a range of any length, be it one byte,
//	                             all layers are labelled anew, as long as when the sector
//	                             was sealed (hours at 32 GiB)
type Keep struct {
	Unsealed  bool // the padded data
	LastLayer bool // the labels of the last layer, which are the key of the data
	Proving   bool // all layers and trees: [Sector.Prove] stays possible
}

// Finalize removes the files of a finished sector that are not to be kept. It may
// be repeated, keeping less.
func (s *Sector) Finalize(keep Keep) error {
	if _, err := s.Result(); err != nil {
		return fmt.Errorf("finalize: %w", err)
	}
	var drop []string
	if !keep.Unsealed {
		drop = append(drop, unsealedFile)
	}
	if !keep.Proving {
		drop = append(append(drop, treeDFile), baseFiles(treeCFile, s.params.Shape)...)
		for layer := 1; layer <= s.params.Layers; layer++ {
			if layer < s.params.Layers || !keep.LastLayer {
				drop = append(drop, layerFile(layer))
			}
		}
	}
	drop = slices.DeleteFunc(drop, func(name string) bool {
		_, err := os.Lstat(s.path(name))
		return errors.Is(err, fs.ErrNotExist) && !s.has(name)
	})
	if len(drop) == 0 {
		return nil
	}
	if err := s.remove(drop); err != nil {
		return fmt.Errorf("finalize sector %d: %w", s.cfg.Number, err)
	}
	return nil
}

// Unseal writes the raw bytes of the whole sector: what was written to it, gaps
// and the zeros that extend pieces included.
func (s *Sector) Unseal(ctx context.Context, w io.Writer) error {
	return s.UnsealRange(ctx, w, 0, piece.MaxPayload(s.params.SectorSize()))
}

// UnsealRange writes the raw bytes from offset to offset+length of the sector, in
// order and in constant memory. A piece at padded offset p starts at raw offset
// p/128*127. It takes the data from the cheapest place where they are: as they
// were written, or decoded from the replica with the last layer, from its file or
// computed anew: then two layers stand in the system's directory for temporary
// files (TMPDIR) while it lasts. [Keep] says what each costs.
func (s *Sector) UnsealRange(ctx context.Context, w io.Writer, offset, length uint64) error {
	if err := s.unsealRange(ctx, w, offset, length); err != nil {
		return fmt.Errorf("unseal sector %d: %w", s.cfg.Number, err)
	}
	return nil
}

const (
	rawBlock    = 127
	paddedBlock = 128
)

func (s *Sector) unsealRange(ctx context.Context, w io.Writer, offset, length uint64) error {
	raw := piece.MaxPayload(s.params.SectorSize())
	if offset > raw || length > raw-offset {
		return fmt.Errorf("%d bytes from %d on: the sector has %d", length, offset, raw)
	}
	if length == 0 {
		return nil
	}
	first, last := offset/rawBlock, (offset+length-1)/rawBlock
	padded, err := s.openData(ctx, first*paddedBlock, (last-first+1)*paddedBlock)
	if err != nil {
		return err
	}
	defer padded.Close()
	data := piece.NewUnpadder(padded)
	if _, err := io.CopyN(io.Discard, data, int64(offset-first*rawBlock)); err != nil {
		return err
	}
	_, err = io.CopyN(w, data, int64(length))
	return err
}

// Restore writes the padded data of a finished sector to its file again, so that
// reading it is cheap.
func (s *Sector) Restore(ctx context.Context) error {
	if s.has(unsealedFile) {
		return nil
	}
	if _, err := s.Result(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	size := s.params.SectorSize()
	err := s.write(unsealedFile, func(file *os.File) error {
		labels, replica, err := s.openDecoder(ctx)
		if err != nil {
			return err
		}
		defer replica.Close()
		defer labels.Close()
		return combine(s.runner(ctx), size, labels, replica, file, porep.DecodeNodes, s.meter(StepReplica, s.params.Nodes))
	})
	if err != nil {
		return fmt.Errorf("restore sector %d: %w", s.cfg.Number, err)
	}
	return nil
}

// openData opens a run of padded data, whole nodes.
func (s *Sector) openData(ctx context.Context, offset, length uint64) (io.ReadCloser, error) {
	if s.has(unsealedFile) {
		file, err := openSized(s.path(unsealedFile), s.params.SectorSize())
		if err != nil {
			return nil, err
		}
		return section{io.NewSectionReader(file, int64(offset), int64(length)), file}, nil
	}
	if _, err := s.Result(); err != nil {
		return nil, err
	}
	labels, replica, err := s.openDecoder(ctx)
	if err != nil {
		return nil, err
	}
	return &decoder{ctx: ctx, labels: labels, replica: replica, at: offset, end: offset + length}, nil
}

// section is a part of a file that closes it.
type section struct {
	*io.SectionReader
	io.Closer
}

// readerAt is a source of labels.
type readerAt interface {
	fileReader
	io.Closer
}

// openDecoder opens what decoding needs: the last layer and the replica.
func (s *Sector) openDecoder(ctx context.Context) (labels readerAt, replica *os.File, err error) {
	size := s.params.SectorSize()
	if replica, err = openSized(s.path(sealedFile), size); err != nil {
		return nil, nil, err
	}
	if last := layerFile(s.params.Layers); s.has(last) {
		labels, err = openSized(s.path(last), size)
	} else {
		labels, err = s.lastLayer(ctx)
	}
	if err != nil {
		replica.Close()
		return nil, nil, err
	}
	return labels, replica, nil
}

// decoder reads padded data out of a replica, in order.
type decoder struct {
	ctx     context.Context
	labels  readerAt
	replica *os.File
	at, end uint64
	buf     []byte
	rest    []byte
}

func (d *decoder) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		if d.at == d.end {
			return 0, io.EOF
		}
		if err := d.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// fill decodes the next nodes.
func (d *decoder) fill() error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if d.buf == nil {
		d.buf = make([]byte, 2*combineBytes)
	}
	n := min(combineBytes, d.end-d.at)
	data, err := combined(d.labels, d.replica, d.buf[:2*n], d.at, porep.DecodeNodes)
	if err != nil {
		return err
	}
	d.rest, d.at = data, d.at+n
	return nil
}

// Close closes the labels and the replica.
func (d *decoder) Close() error {
	labelsErr := d.labels.Close()
	if err := d.replica.Close(); err != nil {
		return err
	}
	return labelsErr
}
