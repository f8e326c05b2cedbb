package seal

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
)

// buildReplica encodes the data with the last layer.
func (s *Sector) buildReplica(ctx context.Context) error {
	size := s.params.SectorSize()
	labels, err := openSized(s.path(layerFile(s.params.Layers)), size)
	if err != nil {
		return err
	}
	defer labels.Close()
	data, err := openSized(s.path(unsealedFile), size)
	if err != nil {
		return err
	}
	defer data.Close()
	progress := s.meter(StepReplica, s.params.Nodes)
	return s.write(sealedFile, func(file *os.File) error {
		return combine(s.runner(ctx), size, labels, data, file, porep.EncodeNodes, progress)
	})
}

// combineBytes is how much of a sector one job of combine takes.
const combineBytes = 1 << 18

// combine writes op(labels, in) to out, a run of nodes a job.
func combine(run merkle.Runner, size uint64, labels, in fileReader, out io.WriterAt,
	op func(labels, nodes []byte) error, progress *meter,
) error {
	jobs := int((size + combineBytes - 1) / combineBytes)
	return run(jobs, func(job int) error {
		at := uint64(job) * combineBytes
		n := min(combineBytes, size-at)
		buf := make([]byte, 2*n)
		nodes, err := combined(labels, in, buf, at, op)
		if err != nil {
			return err
		}
		if _, err := out.WriteAt(nodes, int64(at)); err != nil {
			return err
		}
		progress.add(n / porep.NodeSize)
		return nil
	})
}

// combined reads the labels and the nodes from byte at on into the halves of buf
// and returns what op makes of the nodes.
func combined(labels, in fileReader, buf []byte, at uint64, op func(labels, nodes []byte) error) ([]byte, error) {
	n := len(buf) / 2
	label, nodes := buf[:n], buf[n:]
	if err := readAt(labels, label, int64(at)); err != nil {
		return nil, err
	}
	if err := readAt(in, nodes, int64(at)); err != nil {
		return nil, err
	}
	if err := op(label, nodes); err != nil {
		return nil, fmt.Errorf("%s with %s, from node %d on: %w", in.Name(), labels.Name(), at/porep.NodeSize, err)
	}
	return nodes, nil
}
