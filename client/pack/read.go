package pack

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/ipfs/go-cid"
)

// packer carries one object through both passes.
type packer struct {
	ctx    context.Context
	opts   Options
	out    *Packed
	blocks *spool
	read   uint64
	total  uint64
}

// tell is told of bytes read in the first pass.
func (p *packer) tell(n int) {
	p.read += uint64(n)
	if p.opts.Progress != nil {
		p.opts.Progress(StageRead, p.read, p.total)
	}
}

// readFile makes the payload of the file at path.
func (p *packer) readFile(path string, info fs.FileInfo) error {
	p.total = uint64(info.Size())
	return readLocal(p.ctx, path, info, os.Stat, nil, func(src io.Reader) error {
		if err := p.readStream(src, p.total); err != nil {
			return err
		}
		if p.out.Size < p.total {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
}

// readStream makes the payload of a file of these bytes.
func (p *packer) readStream(src io.Reader, total uint64) error {
	p.total = total
	file, err := p.newPayload()
	if err != nil {
		return err
	}
	plain := newCounter()
	in := within{p.ctx, src, p.tell}
	if _, err := io.CopyBuffer(io.MultiWriter(plain, file), in, make([]byte, 128<<10)); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	p.out.Root, p.out.Size, p.out.SHA256 = file.root(), plain.size, plain.sum()
	return nil
}

// readDirectory makes the payload of the directory at path.
func (p *packer) readDirectory(path string) error {
	digest := newDigestSink()
	var err error
	if p.opts.Public {
		to := &directorySink{ctx: p.ctx, blocks: p.blocks}
		err = localTree(path, p.tell)(p.ctx, tee{to, digest})
		p.out.Root = to.root.cid
	} else {
		err = p.readAsTar(path, digest)
	}
	if err != nil {
		return err
	}
	p.out.Size, p.out.SHA256 = digest.size, digest.sum()
	return nil
}

func (p *packer) readAsTar(path string, digest sink) error {
	file, err := p.newPayload()
	if err != nil {
		return err
	}
	if err := localTree(path, p.tell)(p.ctx, tee{newTarSink(file, true), digest}); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	p.out.Root = file.root()
	return nil
}

// payload is a file payload that takes plaintext.
type payload struct {
	io.WriteCloser // the encryption, or the builder itself
	builder        *fileBuilder
}

// newPayload begins a file payload; private content gets its key here.
func (p *packer) newPayload() (*payload, error) {
	builder := newFileBuilder(p.blocks)
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
