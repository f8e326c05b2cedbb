package layers

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/perdure/perdure/internal/sha256lanes"
)

// lane is a layer of a sector while it grows.
type lane struct {
	Lane
	engine *Engine
	index  int
	layer  uint32
	plan   plan

	file   *os.File // Path.part
	bytes  []byte   // the growing layer, mapped or held
	labels []node   // the same
	before source   // nil in layer 1
	kept   []byte   // the layer before if it is held already

	start   uint64 // node from which labels are computed
	tail    tail
	touched atomic.Uint64 // pages that fillers mapped behind the window
	failed  atomic.Pointer[error]
}

func (e *Engine) newLane(index, layer int, of Lane, p plan) *lane {
	return &lane{Lane: of, engine: e, index: index, layer: uint32(layer), plan: p, kept: e.kept[of.Previous]}
}

// fail stops the lane with an error; the first counts.
func (l *lane) fail(err error) { l.failed.CompareAndSwap(nil, &err) }

func (l *lane) err() error {
	if err := l.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// size is that of the layer in bytes.
func (l *lane) size() uint64 { return l.engine.cfg.Graph.Nodes() * nodeSize }

// active reports whether the nodes from first on are to be labelled.
func (l *lane) active(first uint64) bool { return first >= l.start && l.failed.Load() == nil }

// marks is the head of the lane's marks.
func (l *lane) marks() marks {
	return marks{
		Version: marksVersion, ReplicaID: hex.EncodeToString(l.ReplicaID[:]), Layer: l.layer,
		First: l.engine.cfg.Measure.First,
	}
}

// open opens the growing layer, where it was left, and the layer before, of so many bytes.
func (l *lane) open(ctx context.Context, before uint64) error {
	known, err := l.resume(ctx)
	if err != nil {
		return err
	}
	if err := l.engine.reserve(l.file, l.size()); err != nil {
		return err
	}
	l.tail.open(l, known)
	// Batches of all lanes start at the same nodes: some labels are computed twice.
	if l.start = known.nodes; l.start < l.engine.end() {
		l.start -= (l.start - l.engine.cfg.Measure.First) % l.plan.batch
		if err := l.openLabels(ctx); err != nil {
			return err
		}
		if l.layer > 1 {
			if l.before, err = l.openSource(ctx, before); err != nil {
				return err
			}
		}
	}
	if first := l.engine.cfg.Measure.First; known.nodes > first {
		l.progress(known.nodes - first)
	}
	return nil
}

// resume opens the file and returns how far it is right.
func (l *lane) resume(ctx context.Context) (prefix, error) {
	part := l.Path + partSuffix
	nothing := prefix{l.engine.cfg.Measure.First, newDigest()}
	noted, err := loadMarks(l.Path, l.marks())
	if err != nil {
		return nothing, err
	}
	if len(noted) > 0 {
		// A layer that was moved to its place but not noted by the caller is taken back.
		if _, err := os.Stat(part); errors.Is(err, fs.ErrNotExist) {
			if err := os.Rename(l.Path, part); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nothing, err
			}
		}
	}
	if l.file, err = os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nothing, err
	}
	return verify(ctx, l.file, nothing.nodes, noted)
}

// openLabels makes the growing layer accessible.
func (l *lane) openLabels(ctx context.Context) (err error) {
	if l.plan.growing == held {
		if l.bytes, err = allocate(l.size()); err == nil {
			err = load(ctx, l.file, l.bytes[:l.start*nodeSize])
		}
	} else if l.bytes, err = mapFile(l.file, l.size(), true); err == nil && l.plan.window > 0 {
		err = adviseRandom(l.bytes)
	}
	l.labels = sha256lanes.View(l.bytes)
	return err
}

// openSource opens the layer before.
func (l *lane) openSource(ctx context.Context, size uint64) (source, error) {
	if l.plan.previous == held && l.kept != nil {
		return &memory{labels: sha256lanes.View(l.kept)}, nil
	}
	file, err := os.Open(l.Previous)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && uint64(info.Size()) != size {
		err = fmt.Errorf("%s: %d bytes, want %d", l.Previous, info.Size(), size)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	if l.plan.previous == onDisk {
		return &reading{file}, readRandom(file)
	}
	defer file.Close()
	var data []byte
	if l.plan.previous == mapped {
		data, err = mapFile(file, size, false)
	} else if data, err = allocate(size); err == nil {
		err = load(ctx, file, data)
	}
	return &memory{sha256lanes.View(data), data}, err
}

// load reads the start of a file into memory.
func load(ctx context.Context, file *os.File, data []byte) error {
	for at := 0; at < len(data); at += chunkNodes * nodeSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := data[at:min(at+chunkNodes*nodeSize, len(data))]
		if _, err := file.ReadAt(chunk, int64(at)); err != nil {
			return fmt.Errorf("%s: read %d bytes at %d: %w", file.Name(), len(chunk), at, err)
		}
	}
	return nil
}

func (l *lane) progress(nodes uint64) {
	if tell := l.engine.cfg.Progress; tell != nil {
		tell(l.index, nodes)
	}
}

// flush makes what is labelled, and written where the layer is held, durable.
func (l *lane) flush() error {
	if l.bytes == nil || l.plan.growing == held {
		return l.file.Sync()
	}
	if err := flushMapping(l.bytes); err != nil {
		return fmt.Errorf("%s: sync mapping: %w", l.file.Name(), err)
	}
	return nil
}

// finish closes the lane and, if it is complete, moves the layer to its place.
func (e *Engine) finish(l *lane) error {
	err := l.err()
	complete := err == nil && l.tail.hashed == e.cfg.Graph.Nodes()
	if err == nil && complete {
		err = e.publish(l)
	}
	if closing := l.close(e, err == nil && complete); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("layer %d: %w", l.layer, err)
	}
	return nil
}

// publish moves a whole layer, which is synced and marked, to its place.
func (e *Engine) publish(l *lane) error {
	if err := moveFile(l.Path+partSuffix, l.Path); err != nil {
		return err
	}
	if l.Finish != nil {
		if err := l.Finish(l.tail.digest.sum()); err != nil {
			return err
		}
	}
	return os.Remove(l.Path + marksSuffix)
}

// close frees what the lane has; a finished layer that is held serves the next.
func (l *lane) close(e *Engine, finished bool) error {
	var errs []error
	if l.file != nil {
		errs = append(errs, l.file.Close())
	}
	if l.before != nil {
		errs = append(errs, l.before.Close())
	}
	errs = append(errs, e.forget(l.Previous))
	if l.bytes != nil {
		if finished && l.plan.growing == held {
			e.kept[l.Path] = l.bytes
		} else {
			errs = append(errs, unmap(l.bytes))
		}
	}
	l.bytes, l.labels = nil, nil
	return errors.Join(errs...)
}

// source gives the labels of the layer before.
type source interface {
	// gather writes the labels of the expander parents of each node to out, eight a node.
	gather(ctx context.Context, parents [][sha256lanes.Parents]uint32, out []node) error
	io.Closer
}

// memory is a layer that is mapped or held.
type memory struct {
	labels []node
	owned  []byte // freed by Close
}

func (m *memory) gather(_ context.Context, parents [][sha256lanes.Parents]uint32, out []node) error {
	for i := range parents {
		to := out[i*sha256lanes.ExpanderParents:][:sha256lanes.ExpanderParents]
		for j, p := range parents[i][sha256lanes.BaseParents:] {
			to[j] = m.labels[p]
		}
	}
	return nil
}

func (m *memory) Close() error {
	if m.owned == nil {
		return nil
	}
	return unmap(m.owned)
}

// reading is a layer that is read label by label.
type reading struct{ *os.File }

func (r *reading) gather(ctx context.Context, parents [][sha256lanes.Parents]uint32, out []node) error {
	for i := range parents {
		if err := ctx.Err(); err != nil {
			return err
		}
		for j, p := range parents[i][sha256lanes.BaseParents:] {
			label := &out[i*sha256lanes.ExpanderParents+j]
			if _, err := r.ReadAt(label[:], int64(p)*nodeSize); err != nil {
				return fmt.Errorf("%s: read label %d: %w", r.Name(), p, err)
			}
		}
	}
	return nil
}
