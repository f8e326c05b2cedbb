package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/poseidon"
)

// Replica reads what a finished sector keeps for proofs of spacetime: the
// replica, the trees over it, CommC and CommRLast. Rows that are not stored are
// computed from the replica when asked for. It may be read by any number of
// goroutines.
type Replica struct {
	CommC, CommRLast [32]byte

	files  []*os.File
	params porep.Params
	rows   int              // above the leaves that are not stored
	leaves merkle.RowReader // row 0
	upper  merkle.RowReader // the rows that are stored
}

var errRoot = errors.New("stored trees have not the root CommRLast of " + auxFile)

// OpenReplica opens the replica in a sector's directory, for reading and without
// a lock. Errors name the file. The parameters are compared with those in the
// record of sealing, if there is one ([ErrIdentity]), sizes are checked, and that
// the stored roots give CommRLast; the rest of the content is not.
func OpenReplica(dir string, params porep.Params) (*Replica, error) {
	r := new(Replica)
	if err := r.open(dir, params); err != nil {
		r.Close()
		return nil, fmt.Errorf("open replica: %w", err)
	}
	return r, nil
}

func (r *Replica) open(dir string, params porep.Params) error {
	if err := sealedWith(dir, params); err != nil {
		return err
	}
	f, err := newForest(params)
	if err != nil {
		return err
	}
	if err := r.readAux(filepath.Join(dir, auxFile)); err != nil {
		return err
	}
	sealed, err := r.file(filepath.Join(dir, sealedFile), params.SectorSize())
	if err != nil {
		return err
	}
	trees := make([]merkle.RowReader, 0, f.trees)
	for _, name := range baseFiles(treeRLastFile, params.Shape) {
		tree, err := r.baseTree(f, filepath.Join(dir, name))
		if err != nil {
			return err
		}
		trees = append(trees, tree)
	}
	if r.upper, err = f.reader(trees); err != nil {
		return err
	}
	r.params, r.rows, r.leaves = params, f.discard(), replicaLeaves(sealed)
	rows, err := f.shape.Rows(params.Nodes)
	if err != nil {
		return err
	}
	var root [1]merkle.Node
	if err := r.upper(len(rows)-1, 0, root[:]); err != nil {
		return err
	}
	if root[0] != r.CommRLast {
		return fmt.Errorf("%s: %w", filepath.Join(dir, treeRLastFile+"*.dat"), errRoot)
	}
	return nil
}

// sealedWith compares parameters with those of the record in a directory. A
// replica from elsewhere has none, and one that another version of this program
// sealed has the same files.
func sealedWith(dir string, want porep.Params) error {
	sealed, err := readRecord(filepath.Join(dir, recordFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrVersion) {
		return nil
	}
	if err != nil {
		return err
	}
	have, err := sealed.params()
	if err != nil {
		return err
	}
	if have != want {
		return fmt.Errorf("%s holds %s, want parameters of %d bytes, %d layers, tree shape %d-%d-%d (id %x): %w",
			dir, describe(sealed.MinerID, sealed.Number, sealed.ProofType, have),
			want.SectorSize(), want.Layers, want.Shape.Base, want.Shape.Sub, want.Shape.Top, want.ID, ErrIdentity)
	}
	return nil
}

// readAux reads CommC and CommRLast, which must be field elements.
func (r *Replica) readAux(path string) error {
	aux, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(aux) != 2*porep.NodeSize {
		return fmt.Errorf("%s: %d bytes, want %d", path, len(aux), 2*porep.NodeSize)
	}
	r.CommC, r.CommRLast = [32]byte(aux), [32]byte(aux[porep.NodeSize:])
	if !porep.IsElement(r.CommC) {
		return fmt.Errorf("%s: CommC %x: %w", path, r.CommC, porep.ErrElement)
	}
	if !porep.IsElement(r.CommRLast) {
		return fmt.Errorf("%s: CommRLast %x: %w", path, r.CommRLast, porep.ErrElement)
	}
	return nil
}

// baseTree opens the stored rows of a base tree.
func (r *Replica) baseTree(f forest, path string) (merkle.RowReader, error) {
	size, err := f.base.StoredSize(f.leaves, f.discard()+1)
	if err != nil {
		return nil, err
	}
	tree, err := r.file(path, size)
	if err != nil {
		return nil, err
	}
	upper, err := f.base.Reader(f.leaves, f.discard()+1, tree)
	if err != nil {
		return nil, err
	}
	return named(upper, path), nil
}

// file opens a file that Close closes.
func (r *Replica) file(path string, size uint64) (*os.File, error) {
	file, err := openSized(path, size)
	if err != nil {
		return nil, err
	}
	r.files = append(r.files, file)
	return file, nil
}

// Reader returns a merkle.RowReader of the tree over the replica for the openings
// of one proof, made by one goroutine: it keeps what it reads of the replica, so
// that a segment of leaves is read and hashed once. See [merkle.Rebuilt].
func (r *Replica) Reader() merkle.RowReader {
	read, err := merkle.Rebuilt(poseidon.Tree{}, r.params.Shape, r.params.Nodes, r.rows, r.leaves, r.upper)
	if err != nil { // not after OpenReplica, whose forest has this shape
		return func(int, uint64, []merkle.Node) error { return err }
	}
	return read
}

// TreeRLast is the merkle.RowReader of the tree over the replica for any number of
// goroutines. It keeps nothing.
func (r *Replica) TreeRLast(row int, first uint64, out []merkle.Node) error {
	return r.Reader()(row, first, out)
}

// Close closes the files.
func (r *Replica) Close() error {
	var errs []error
	for _, file := range r.files {
		errs = append(errs, file.Close())
	}
	r.files = nil
	return errors.Join(errs...)
}

// replicaLeaves reads nodes of the replica.
func replicaLeaves(sealed *os.File) merkle.RowReader {
	return func(_ int, first uint64, out []merkle.Node) error {
		if err := merkle.ReadNodes(sealed, first, out); err != nil {
			return fmt.Errorf("%s: nodes from %d: %w", sealed.Name(), first, err)
		}
		return nil
	}
}

// named adds the name of the file to a reader's errors.
func named(read merkle.RowReader, path string) merkle.RowReader {
	return func(row int, first uint64, out []merkle.Node) error {
		if err := read(row, first, out); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	}
}

// reader reads the whole tree from its base trees. A read must not cross from one
// base tree into the next, which reading a group of siblings never does.
func (f forest) reader(trees []merkle.RowReader) (merkle.RowReader, error) {
	roots := make([]merkle.Node, len(trees))
	for i, read := range trees {
		if err := read(f.levels, 0, roots[i:i+1]); err != nil {
			return nil, err
		}
	}
	upper, err := f.join(roots)
	if err != nil {
		return nil, err
	}
	widths, err := f.base.Rows(f.leaves)
	if err != nil {
		return nil, err
	}
	return func(row int, first uint64, out []merkle.Node) error {
		if row < 0 || row >= f.levels+len(upper) {
			return fmt.Errorf("read tree: row %d of %d", row, f.levels+len(upper))
		}
		if row >= f.levels {
			above := upper[row-f.levels]
			if first > uint64(len(above)) || uint64(len(out)) > uint64(len(above))-first {
				return fmt.Errorf("read tree: row %d: %d nodes from %d, the row has %d", row, len(out), first, len(above))
			}
			copy(out, above[first:])
			return nil
		}
		tree, at := first/widths[row], first%widths[row]
		if tree >= uint64(len(trees)) || uint64(len(out)) > widths[row]-at {
			return fmt.Errorf("read tree: row %d: %d nodes from %d", row, len(out), first)
		}
		return trees[tree](row, at, out)
	}, nil
}
