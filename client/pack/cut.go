package pack

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// cut is the second pass over content whose layout nothing says beforehand: it walks
// the payload in its order and writes the blocks, of total bytes together, into CARs,
// beginning a new one when the next block would overflow the largest piece.
func (p *packer) cut(get dag.Get, total uint64) error {
	c := cutter{packer: p, room: piece.MaxPayload(p.opts.MaxPieceSize), total: total}
	err := dag.Walk(p.ctx, get, p.out.Root, c.add)
	if err == nil {
		err = c.finish()
	}
	if err != nil {
		return errors.Join(err, c.abandon())
	}
	for i := range p.out.Pieces {
		part := &p.out.Pieces[i]
		part.Parts = len(p.out.Pieces)
		p.out.PayloadSize += part.PayloadSize
		p.out.Blocks += uint64(part.Index.Len())
	}
	return nil
}

// cutter writes one CAR after the other.
type cutter struct {
	*packer
	room  uint64 // most bytes of a CAR
	done  uint64 // bytes of blocks written
	total uint64
	part  *car.Writer
	piece piece.Hasher
	file  *os.File
	dst   *bufio.Writer
}

func (c *cutter) add(name cid.Cid, block []byte) error {
	size := car.SectionSize(name, len(block))
	if c.part != nil && c.part.Size()+size > c.room {
		if err := c.finish(); err != nil {
			return err
		}
	}
	if c.part == nil {
		if car.HeaderSize(c.out.Root)+size > c.room {
			return fmt.Errorf("block %s of %d bytes does not fit a piece of %d bytes", name, len(block), c.opts.MaxPieceSize)
		}
		if err := c.begin(); err != nil {
			return err
		}
	}
	if err := c.part.Put(name, block); err != nil {
		return err
	}
	c.done += uint64(len(block))
	if c.opts.Progress != nil {
		c.opts.Progress(StageCut, c.done, c.total)
	}
	return nil
}

// begin opens the next CAR.
func (c *cutter) begin() (err error) {
	c.piece = piece.Hasher{}
	dst := io.Writer(&c.piece)
	if !c.opts.Plan {
		name := fmt.Sprintf("part-%04d.car", len(c.out.Pieces))
		c.file, err = os.OpenFile(filepath.Join(c.out.Dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		dst = io.MultiWriter(dst, c.file)
	}
	c.dst = bufio.NewWriterSize(dst, 512<<10)
	c.part, err = car.NewWriter(c.dst, c.out.Root)
	return err
}

// finish ends the open CAR, makes it durable and takes down its piece.
func (c *cutter) finish() error {
	if err := c.dst.Flush(); err != nil {
		return fmt.Errorf("write CAR %d: %w", len(c.out.Pieces), err)
	}
	done := Piece{Info: c.piece.Sum(), Part: len(c.out.Pieces), Index: c.part.Index()}
	c.part = nil
	if c.file != nil {
		done.CARPath = c.file.Name()
		if err := c.file.Sync(); err != nil {
			return fmt.Errorf("write CAR %d: %w", done.Part, err)
		}
		if err := c.abandon(); err != nil {
			return fmt.Errorf("write CAR %d: %w", done.Part, err)
		}
	}
	c.out.Pieces = append(c.out.Pieces, done)
	return nil
}

// abandon closes the open file, if there is one.
func (c *cutter) abandon() error {
	if c.file == nil {
		return nil
	}
	file := c.file
	c.file = nil
	return file.Close()
}
