package pack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
)

// packer carries one object through.
type packer struct {
	ctx   context.Context
	opts  Options
	out   *Packed
	read  uint64
	total uint64 // bytes to be read; 0: not known
}

// tell is told of bytes read.
func (p *packer) tell(n int) {
	p.read += uint64(n)
	if p.opts.Progress != nil {
		p.opts.Progress(StageRead, p.read, p.total)
	}
}

// file packs the file at path.
func (p *packer) file(path string, info fs.FileInfo) error {
	return readLocal(p.ctx, path, info, os.Stat, nil, func(src io.Reader) error { return p.sized(src, uint64(info.Size())) })
}

// sized packs a file of total bytes, in one pass.
func (p *packer) sized(src io.Reader, total uint64) error {
	p.total = total
	return p.once(total, func(to io.Writer) error {
		plain := newCounter()
		if err := p.copy(plain, to, src); err != nil {
			return err
		}
		if plain.size < total {
			return io.ErrUnexpectedEOF
		}
		p.out.Size, p.out.SHA256 = plain.size, plain.sum()
		return nil
	})
}

// peek is how much of a stream is read to see whether it ends.
const peek = 4 << 20

// stream packs a stream. One that is not short has to be read to its end before it
// is known where its blocks come to stand, so that they are kept on disk meanwhile.
// A plan keeps nothing, and has no commitments then.
func (p *packer) stream(src io.Reader) error {
	head, err := io.ReadAll(io.LimitReader(within{p.ctx, src, nil}, peek+1))
	if err != nil {
		return err
	}
	if len(head) <= peek {
		return p.sized(bytes.NewReader(head), uint64(len(head)))
	}
	src = io.MultiReader(bytes.NewReader(head), src)
	if p.opts.Plan {
		return p.planStream(src)
	}
	blocks, err := newSpool(p.out.Dir)
	if err != nil {
		return err
	}
	err = p.payloadOf(src, blocks)
	if err == nil {
		err = blocks.flush()
	}
	if err == nil {
		err = p.cut(blocks.get, blocks.size)
	}
	return errors.Join(err, blocks.remove())
}

// planStream lays a stream out by the names of its leaves alone.
func (p *packer) planStream(src io.Reader) error {
	var leaves digests
	if err := p.payloadOf(src, &leaves); err != nil {
		return err
	}
	size := p.stored(p.out.Size)
	a, err := p.newArchive(size, nil)
	if err != nil {
		return err
	}
	b := newFileBuilder(a)
	for _, sum := range leaves.of {
		n := min(size, chunkSize)
		size -= n
		c := car.LeafCID(sum)
		if err := a.add(c, nil, int(n)); err != nil {
			return err
		}
		if err := b.add(0, ref{cid: c, file: n, total: n}); err != nil {
			return err
		}
	}
	if err := b.Close(); err != nil {
		return err
	}
	return a.finish(p.out.Root)
}

// payloadOf makes the payload of a stream's bytes for a keeper.
func (p *packer) payloadOf(src io.Reader, blocks keeper) error {
	file, err := p.newPayload(blocks)
	if err != nil {
		return err
	}
	plain := newCounter()
	if err := p.copy(plain, file, src); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	p.out.Root, p.out.Size, p.out.SHA256 = file.root(), plain.size, plain.sum()
	return nil
}

// directory packs the directory at path.
func (p *packer) directory(path string) error {
	digest := newDigestSink()
	var err error
	if p.opts.Public {
		err = p.tree(path, digest)
	} else {
		err = p.tar(path, digest)
	}
	p.out.Size, p.out.SHA256 = digest.size, digest.sum()
	return err
}

// tree packs a directory as it is: its files are read twice.
func (p *packer) tree(path string, digest sink) (err error) {
	blocks := newRecall(path)
	defer func() { err = errors.Join(err, blocks.close()) }()
	to := &directorySink{ctx: p.ctx, blocks: blocks}
	if err := localTree(path, p.tell)(p.ctx, tee{to, digest}); err != nil {
		return err
	}
	p.out.Root = to.root.cid
	return changed(p.cut(blocks.get, blocks.size))
}

// tar packs a directory as the file that its tar makes, in one pass: how long it gets
// is known by the names and sizes in it.
func (p *packer) tar(path string, digest sink) error {
	var size tarSize
	if err := localNames(path)(p.ctx, &size); err != nil {
		return err
	}
	return p.once(uint64(size), func(to io.Writer) error {
		return localTree(path, p.tell)(p.ctx, tee{newTarSink(to, true), digest})
	})
}

// stored is how long a file of so many bytes is as it is stored.
func (p *packer) stored(size uint64) uint64 {
	if p.opts.Public {
		return size
	}
	return CipherSize(size)
}

// once packs a file of size bytes of plaintext, which fill writes.
func (p *packer) once(size uint64, fill func(io.Writer) error) (err error) {
	a, err := p.newArchive(p.stored(size), newWorkers())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.abandon()) }()
	file, err := p.newPayload(a)
	if err != nil {
		return err
	}
	if err := fill(file); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	p.out.Root = file.root()
	return a.finish(p.out.Root)
}

// readSize is how much is read at a time.
const readSize = 512 << 10

// copy passes what it reads to two writers, at once.
func (p *packer) copy(plain, to io.Writer, src io.Reader) error {
	buf := make([]byte, readSize)
	in := within{p.ctx, src, p.tell}
	for {
		n, err := io.ReadFull(in, buf)
		var hashed sync.WaitGroup
		hashed.Go(func() { plain.Write(buf[:n]) }) // a hash never fails
		_, failed := to.Write(buf[:n])
		hashed.Wait()
		switch {
		case failed != nil:
			return failed
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// payload is a file payload that takes plaintext.
type payload struct {
	io.WriteCloser // the encryption, or the builder itself
	builder        *fileBuilder
}

// newPayload begins a file payload; private content gets its key here.
func (p *packer) newPayload(blocks keeper) (*payload, error) {
	builder := newFileBuilder(blocks)
	if p.opts.Public {
		return &payload{builder, builder}, nil
	}
	encryption, key, err := encrypt(builder)
	if err != nil {
		return nil, err
	}
	p.out.Key = key
	return &payload{encryption, builder}, nil
}

// Close ends the encryption, and then the file.
func (w *payload) Close() error {
	if w.WriteCloser == w.builder {
		return w.builder.Close()
	}
	return errors.Join(w.WriteCloser.Close(), w.builder.Close())
}

func (w *payload) root() cid.Cid { return w.builder.root.cid }
