package pack

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"sync"

	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
)

// part is one CAR that an archive makes, and its piece. Of the bytes only chunks with
// gaps are held.
type part struct {
	work      *workers // nil: nothing is computed or written
	path      string   // of the file; empty: none
	file      *os.File // while it is open
	size      uint64
	blocks    []car.Entry
	holdsNone bool // of the leaves

	open  map[uint64]*chunk // chunks that are not whole, by number
	roots []*[32]byte       // nodes of the chunks, set by the workers
	head  [piece.HeadPayload]byte
	rest  *piece.ChunkRest // of the first chunk, once its header alone is missing
	whole piece.Info       // set at once if the piece is smaller than a chunk
}

// chunk is a chunk of a piece that is not whole yet.
type chunk struct {
	raw     *buffer
	missing uint64 // bytes that are not written
}

type buffer [piece.ChunkPayload]byte

// grow extends the CAR by a gap.
func (p *part) grow(length uint64) {
	p.size += length
	for p.work != nil && uint64(len(p.roots))*piece.ChunkPayload < p.size {
		p.open[uint64(len(p.roots))] = &chunk{p.work.buffer(), piece.ChunkPayload}
		p.roots = append(p.roots, new([32]byte))
	}
}

// shrink cuts a gap off the end.
func (p *part) shrink(size uint64) {
	p.size = size
	for n := uint64(len(p.roots)); n > 0 && (n-1)*piece.ChunkPayload >= size; n-- {
		p.work.recycle(p.open[n-1].raw)
		delete(p.open, n-1)
		p.roots = p.roots[:n-1]
	}
}

// write fills a gap, or a part of one.
func (p *part) write(data []byte, offset uint64) error {
	if p.work == nil {
		return nil
	}
	if err := p.store(data, offset); err != nil {
		return err
	}
	last := offset == 0 // the header
	for len(data) > 0 {
		number, at := offset/piece.ChunkPayload, offset%piece.ChunkPayload
		n := min(uint64(len(data)), piece.ChunkPayload-at)
		c := p.open[number]
		copy(c.raw[at:], data[:n])
		c.missing -= n
		switch {
		case c.missing == 0:
			p.commit(number, piece.ChunkPayload)
		case number == 0 && c.missing == headerSize && !last: // that is the header, and pieces may be many
			p.commitRest()
		}
		data, offset = data[n:], offset+n
	}
	return nil
}

// store writes to the file.
func (p *part) store(data []byte, offset uint64) (err error) {
	if p.path == "" {
		return nil
	}
	if p.file == nil {
		if p.file, err = os.OpenFile(p.path, os.O_WRONLY|os.O_CREATE, 0o600); err != nil {
			return err
		}
	}
	_, err = p.file.WriteAt(data, int64(offset))
	return err
}

// close closes the file until there is more to write.
func (p *part) close() error {
	if p.file == nil {
		return nil
	}
	file := p.file
	p.file = nil
	return file.Close()
}

// rests lets go of what is not needed until gaps are filled: the CAR does not grow any
// more.
func (p *part) rests() error {
	if p.work == nil {
		return nil
	}
	last := uint64(len(p.roots) - 1)
	n := p.size - last*piece.ChunkPayload
	if c := p.open[last]; c != nil && last > 0 && c.missing == piece.ChunkPayload-n {
		p.commit(last, n)
	}
	return p.close()
}

// commit has the node of a chunk computed; n of its bytes count.
func (p *part) commit(number uint64, n uint64) {
	raw, root := p.open[number].raw, p.roots[number]
	delete(p.open, number)
	p.work.do(func() {
		*root = piece.ChunkRoot(raw[:n])
		p.work.recycle(raw)
	})
}

// commitRest has all of the first chunk computed that does not depend on the header.
func (p *part) commitRest() {
	raw, rest := p.open[0].raw, new(piece.ChunkRest)
	delete(p.open, 0)
	p.head, p.rest = [piece.HeadPayload]byte(raw[:]), rest
	p.work.do(func() {
		*rest = *piece.RestOf(raw[:])
		p.work.recycle(raw)
	})
}

// end writes the header and what is left, and makes the file durable.
func (p *part) end(header []byte) error {
	if p.work == nil {
		return nil
	}
	if p.rest != nil {
		copy(p.head[:], header)
		if err := p.store(header, 0); err != nil {
			return err
		}
	} else if err := p.write(header, 0); err != nil {
		return err
	}
	if err := p.commitLast(); err != nil || p.file == nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	return p.close()
}

// commitLast has the last chunk computed, unless it was whole.
func (p *part) commitLast() (err error) {
	for number, c := range p.open {
		n := p.size - number*piece.ChunkPayload
		if number != uint64(len(p.roots)-1) || c.missing != piece.ChunkPayload-n {
			return errors.New("a gap was not filled")
		}
		if p.size < piece.LeastChunked {
			p.whole, err = piece.Commit(bytes.NewReader(c.raw[:n]))
			return err
		}
		p.commit(number, n)
	}
	return nil
}

// commitment is the piece, once the work is done; without work its sizes alone.
func (p *part) commitment() (piece.Info, error) {
	switch {
	case p.work == nil:
		padded, err := piece.PaddedSize(p.size)
		return piece.Info{PaddedSize: padded, PayloadSize: p.size}, err
	case p.whole.CID.Defined():
		return p.whole, nil
	}
	roots := make([][32]byte, len(p.roots))
	for i, root := range p.roots {
		roots[i] = *root
	}
	if p.rest != nil {
		roots[0] = p.rest.Root(&p.head)
	}
	return piece.JoinChunks(p.size, roots)
}

// workers compute beside the reading, one for each processor.
type workers struct {
	jobs chan func()
	all  sync.WaitGroup
	free sync.Pool
	stop func()
}

func newWorkers() *workers {
	n := runtime.GOMAXPROCS(0)
	w := &workers{jobs: make(chan func(), 4*n), free: sync.Pool{New: func() any { return new(buffer) }}}
	w.stop = sync.OnceFunc(func() { close(w.jobs) })
	for range n {
		w.all.Go(func() {
			for job := range w.jobs {
				job()
			}
		})
	}
	return w
}

func (w *workers) do(job func()) { w.jobs <- job }

// wait ends the work, once all of it is done.
func (w *workers) wait() {
	if w != nil {
		w.stop()
		w.all.Wait()
	}
}

func (w *workers) buffer() *buffer { return w.free.Get().(*buffer) }

func (w *workers) recycle(b *buffer) { w.free.Put(b) }
