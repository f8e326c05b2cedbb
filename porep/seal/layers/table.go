package layers

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/perdure/perdure/internal/sha256lanes"
	"github.com/perdure/perdure/porep/graph"
)

// parents gives the parents of runs of nodes, to any number of goroutines.
type parents interface {
	// fill writes the parents of the nodes from first on; in layer 1 expander parents may be left out.
	fill(first uint64, layer uint32, out [][sha256lanes.Parents]uint32) error
	Close() error
}

// computed computes parents when they are asked for.
type computed struct{ graph *graph.Graph }

func (c computed) fill(first uint64, layer uint32, out [][sha256lanes.Parents]uint32) error {
	if layer > 1 {
		c.graph.Run(uint32(first), out)
		return nil
	}
	for i := range out {
		c.graph.Base(uint32(first)+uint32(i), (*[graph.BaseDegree]uint32)(out[i][:]))
	}
	return nil
}

func (computed) Close() error { return nil }

const (
	// rowSize is the size of a node's parents in a table: 14 numbers of 4 bytes, little endian.
	rowSize = 4 * sha256lanes.Parents
	// tableJob is how many rows one goroutine computes at a time.
	tableJob = 1 << 14
)

// ErrTable says that a parent table does not hold what it should.
var ErrTable = errors.New("parent table is not that of the graph")

// published are the digests of the tables of registered proofs V1_1 that the reference
// implementation publishes, by [graph.Graph.Key] in hex.
var published = map[string]string{
	"494d91dc80f2df5272c4b9e129bc7ade9405225993af9fe34e6542a39a47554b": "840057702eea7652cf97e04306c30fe57174714d90de156a25eddd6075c25b97", // 2 KiB
	"5eed212119fd91aa6220a27f31a8966444a9381842bceb3a1ea61525bd47a5b5": "03cd13565ded97c240a5f52e54295ad127bd0461b57904cb3a4d79b097bbecab", // 8 MiB
	"4905486b7af19558ac3649bc6261411858b6add534438878c4ee3b29d8b9de0b": "2698b74eb2606b55b98d8b095e18b6320b47f46e00075956d48640ccd1641b03", // 64 GiB
}

// Table is a file that holds the parents of every node of a graph: 56 bytes a node, the layout and
// the file name of the reference implementation's parent cache, so that one made by it serves too.
// It is read in runs as labelling goes on, in order, and never held.
type Table struct {
	file *os.File
}

// TableName returns the name of a graph's table in its directory.
func TableName(g *graph.Graph) string { return "v28-sdr-parent-" + keyOf(g) + ".cache" }

func keyOf(g *graph.Graph) string { return fmt.Sprintf("%x", g.Key()) }

// tableNote is what stands beside a table, in NAME.json.
type tableNote struct {
	Size   uint64 `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// OpenTable opens the table of a graph in a directory, which is made if it is missing, by so many
// goroutines; building, if not nil, is told how many more nodes are done. The digest of a table is
// checked when a process opens it first. One that differs from the published digest, or from the one
// noted when it was made, fails with [ErrTable] and is left as it is.
func OpenTable(ctx context.Context, dir string, g *graph.Graph, workers int, building func(uint64)) (*Table, error) {
	path := filepath.Join(dir, TableName(g))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := buildTable(ctx, path, g, workers, building); err != nil {
			return nil, fmt.Errorf("make parent table: %w", err)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open parent table: %w", err)
	}
	if err := checkTable(ctx, file, g); err != nil {
		file.Close()
		return nil, fmt.Errorf("open parent table: %s: %w", path, err)
	}
	return &Table{file: file}, nil
}

// Close closes the file.
func (t *Table) Close() error { return t.file.Close() }

func (t *Table) fill(first uint64, _ uint32, out [][sha256lanes.Parents]uint32) error {
	rows := make([]byte, len(out)*rowSize)
	if _, err := t.file.ReadAt(rows, int64(first*rowSize)); err != nil {
		return fmt.Errorf("%s: read parents of %d nodes from %d: %w", t.file.Name(), len(out), first, err)
	}
	for i := range out {
		row := rows[i*rowSize:][:rowSize]
		for j := range out[i] {
			out[i][j] = binary.LittleEndian.Uint32(row[4*j:])
		}
	}
	return nil
}

// checked are the tables that this process has hashed already, with size and time of change.
var checked sync.Map // of string to tableStamp

type tableStamp struct {
	size    int64
	changed time.Time
}

// checkTable compares a table with the digest that it should have.
func checkTable(ctx context.Context, file *os.File, g *graph.Graph) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if want := g.Nodes() * rowSize; uint64(info.Size()) != want {
		return fmt.Errorf("%d bytes, want %d: %w", info.Size(), want, ErrTable)
	}
	stamp := tableStamp{info.Size(), info.ModTime()}
	if known, ok := checked.Load(file.Name()); ok && known == stamp {
		return nil
	}
	want, err := expectedDigest(file.Name(), g)
	if err != nil {
		return err
	}
	got, err := digestOf(ctx, file, info.Size())
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("SHA-256 is %s, want %s: %w", got, want, ErrTable)
	}
	checked.Store(file.Name(), stamp)
	return nil
}

// expectedDigest returns the digest that the table of a graph must have.
func expectedDigest(path string, g *graph.Graph) (string, error) {
	if digest, ok := published[keyOf(g)]; ok {
		return digest, nil
	}
	raw, err := os.ReadFile(path + ".json")
	if err != nil {
		return "", fmt.Errorf("no digest is known: %w", err)
	}
	var note tableNote
	if err := json.Unmarshal(raw, &note); err != nil {
		return "", fmt.Errorf("%s.json: %w", path, err)
	}
	return note.SHA256, nil
}

func digestOf(ctx context.Context, file io.ReaderAt, size int64) (string, error) {
	digest := sha256.New()
	const step = 8 * mib
	for at := int64(0); at < size; at += step {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if _, err := io.Copy(digest, io.NewSectionReader(file, at, min(step, size-at))); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// buildTable makes a table beside its place, notes its digest and moves it there.
func buildTable(ctx context.Context, path string, g *graph.Graph, workers int, building func(uint64)) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // of no effect once it is moved
	defer file.Close()
	size := g.Nodes() * rowSize
	if err := reserve(file, size); err != nil {
		return err
	}
	if err := writeRows(ctx, file, g.Tabulated(), workers, building); err != nil {
		return err
	}
	digest, err := digestOf(ctx, file, int64(size))
	if err != nil {
		return err
	}
	if want, ok := published[keyOf(g)]; ok && digest != want {
		return fmt.Errorf("%s: SHA-256 is %s, want %s: %w", path, digest, want, ErrTable)
	}
	note, err := json.Marshal(tableNote{Size: size, SHA256: digest})
	if err != nil {
		return err
	}
	if err := replaceFile(path+".json", append(note, '\n')); err != nil {
		return err
	}
	if err := errors.Join(file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return err
	}
	return moveFile(file.Name(), path)
}

// writeRows computes all rows of a table, in disjoint ranges side by side.
func writeRows(ctx context.Context, file io.WriterAt, g *graph.Graph, workers int, building func(uint64)) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	jobs := make(chan uint64)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			parents := make([][graph.Degree]uint32, tableJob)
			rows := make([]byte, 0, tableJob*rowSize)
			for first := range jobs {
				n := min(tableJob, g.Nodes()-first)
				g.Run(uint32(first), parents[:n])
				rows = appendRows(rows[:0], parents[:n])
				if _, err := file.WriteAt(rows, int64(first*rowSize)); err != nil {
					stop(err)
				}
				if building != nil {
					building(n)
				}
			}
		})
	}
	for first := uint64(0); first < g.Nodes() && ctx.Err() == nil; first += tableJob {
		jobs <- first
	}
	close(jobs)
	group.Wait()
	return context.Cause(ctx)
}

func appendRows(rows []byte, parents [][graph.Degree]uint32) []byte {
	for i := range parents {
		for _, p := range parents[i] {
			rows = binary.LittleEndian.AppendUint32(rows, p)
		}
	}
	return rows
}
