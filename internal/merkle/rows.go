package merkle

import (
	"fmt"
	"io"
	"sync"

	"github.com/perdure/perdure/internal/sha256lanes"
)

// RowReader fills out with the nodes first, first+1, ... of a row.
type RowReader func(row int, first uint64, out []Node) error

// RowWriter takes the nodes first, first+1, ... of a row. It must not keep the slice.
type RowWriter func(row int, first uint64, nodes []Node) error

// offsets returns where each row starts in a store whose first row is firstRow, in nodes; rows
// below it have no entry that means anything.
func (s Shape) offsets(leaves uint64, firstRow int) (rows, starts []uint64, err error) {
	if _, err := s.StoredSize(leaves, firstRow); err != nil {
		return nil, nil, err
	}
	rows, err = s.Rows(leaves)
	if err != nil {
		return nil, nil, err
	}
	starts = make([]uint64, len(rows))
	for row := firstRow + 1; row < len(rows); row++ {
		starts[row] = starts[row-1] + rows[row-1]
	}
	return rows, starts, nil
}

// Reader reads a stored tree: the rows from firstRow up to the root, back to back from the start
// of r. Asking it for a lower row is an error.
func (s Shape) Reader(leaves uint64, firstRow int, r io.ReaderAt) (RowReader, error) {
	rows, starts, err := s.offsets(leaves, firstRow)
	if err != nil {
		return nil, err
	}
	return func(row int, first uint64, out []Node) error {
		if err := within(rows, firstRow, row, first, len(out)); err != nil {
			return fmt.Errorf("read tree: %w", err)
		}
		if err := ReadNodes(r, starts[row]+first, out); err != nil {
			return fmt.Errorf("read tree: row %d, nodes from %d: %w", row, first, err)
		}
		return nil
	}, nil
}

// readBuffers holds buffers of pooledNodes nodes: as many as a segment of a rebuilt tree has.
var readBuffers = sync.Pool{New: func() any { return new([pooledNodes * NodeSize]byte) }}

const pooledNodes = 512

// ReadNodes fills out with the nodes first, first+1, ... of those that r holds from its start, by
// one call of ReadAt.
func ReadNodes(r io.ReaderAt, first uint64, out []Node) error {
	var buf []byte
	if len(out) <= pooledNodes {
		pooled := readBuffers.Get().(*[pooledNodes * NodeSize]byte)
		defer readBuffers.Put(pooled)
		buf = pooled[:len(out)*NodeSize]
	} else {
		buf = make([]byte, len(out)*NodeSize)
	}
	n, err := r.ReadAt(buf, int64(first*NodeSize))
	if n < len(buf) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	for i := range out {
		out[i] = Node(buf[i*NodeSize:])
	}
	return nil
}

// Writer writes a stored tree: the rows from firstRow up to the root, back to back from the start
// of w. Nodes of lower rows are dropped.
func (s Shape) Writer(leaves uint64, firstRow int, w io.WriterAt) (RowWriter, error) {
	rows, starts, err := s.offsets(leaves, firstRow)
	if err != nil {
		return nil, err
	}
	return func(row int, first uint64, nodes []Node) error {
		if row >= 0 && row < firstRow {
			return nil
		}
		if err := within(rows, firstRow, row, first, len(nodes)); err != nil {
			return fmt.Errorf("write tree: %w", err)
		}
		if _, err := w.WriteAt(sha256lanes.Bytes(nodes), int64((starts[row]+first)*NodeSize)); err != nil {
			return fmt.Errorf("write tree: row %d, nodes from %d: %w", row, first, err)
		}
		return nil
	}, nil
}

// within checks that n nodes from first on lie in a stored row.
func within(rows []uint64, firstRow, row int, first uint64, n int) error {
	if row < firstRow || row >= len(rows) {
		return fmt.Errorf("row %d is not stored (rows %d to %d are)", row, firstRow, len(rows)-1)
	}
	if first > rows[row] || uint64(n) > rows[row]-first {
		return fmt.Errorf("row %d: %d nodes from %d, the row has %d", row, n, first, rows[row])
	}
	return nil
}

// hashRow replaces children by their parents, in place, and returns the shortened slice.
func hashRow[H Hasher](h H, arity int, nodes []Node) ([]Node, error) {
	parents := nodes[:len(nodes)/arity]
	return parents, h.HashRow(arity, nodes[:len(parents)*arity], parents)
}

// AppendNodes appends the bytes of nodes to dst.
func AppendNodes(dst []byte, nodes []Node) []byte {
	for i := range nodes {
		dst = append(dst, nodes[i][:]...)
	}
	return dst
}

// ParseNodes takes exactly n nodes from the front of data and returns what is left.
func ParseNodes(data []byte, n int) (nodes []Node, rest []byte, err error) {
	if n < 0 || len(data)/NodeSize < n {
		return nil, nil, fmt.Errorf("parse nodes: %d bytes, want %d nodes: %w", len(data), n, io.ErrUnexpectedEOF)
	}
	nodes = make([]Node, n)
	for i := range nodes {
		copy(nodes[i][:], data[i*NodeSize:])
	}
	return nodes, data[n*NodeSize:], nil
}
