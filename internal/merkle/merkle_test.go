package merkle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// sum is a node hash for any arity.
type sum struct{}

var errPoison = errors.New("poisoned node")

func (sum) Hash(children []Node) (Node, error) {
	h := sha256.New()
	for i := range children {
		if children[i] == poison {
			return Node{}, errPoison
		}
		h.Write(children[i][:])
	}
	return Node(h.Sum(nil)), nil
}

func (s sum) HashRow(arity int, children, parents []Node) error {
	return HashEach(s, arity, children, parents)
}

// poison stands for a node that a hash refuses, like a field element that is too large.
var poison = Node{0: 1, 31: 0xff}

func testLeaves(n uint64) []Node {
	out := make([]Node, n)
	for i := range out {
		binary.BigEndian.PutUint64(out[i][:], uint64(i)*0x9e3779b97f4a7c15)
	}
	return out
}

// naiveRows is the slow obvious tree.
func naiveRows(t testing.TB, s Shape, leaves []Node) [][]Node {
	t.Helper()
	arities, err := s.Arities(uint64(len(leaves)))
	if err != nil {
		t.Fatal(err)
	}
	rows := [][]Node{leaves}
	for _, a := range arities {
		below := rows[len(rows)-1]
		var row []Node
		for i := 0; i < len(below); i += a {
			n, err := sum{}.Hash(below[i : i+a])
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, n)
		}
		rows = append(rows, row)
	}
	return rows
}

func flat(rows [][]Node) []byte {
	var out []byte
	for _, row := range rows {
		out = AppendNodes(out, row)
	}
	return out
}

// memory is an io.WriterAt of fixed size.
type memory struct {
	mu   sync.Mutex
	data []byte
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if off < 0 || int(off)+len(p) > len(m.data) {
		return 0, io.ErrShortWrite
	}
	return copy(m.data[off:], p), nil
}

// atOnce is a Runner that starts every job at the same time.
func atOnce(n int, job func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = job(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

var shapes = []struct {
	shape  Shape
	leaves uint64
	want   string
}{
	{Binary, 2, "[2]"},
	{Binary, 64, "[2 2 2 2 2 2]"},
	{Binary, 1 << 14, "[2 2 2 2 2 2 2 2 2 2 2 2 2 2]"},
	{Octree, 8, "[8]"},
	{Octree, 64, "[8 8]"},
	{Octree, 1 << 15, "[8 8 8 8 8]"},
	{Shape{8, 2, 0}, 128, "[8 8 2]"},
	{Shape{8, 8, 0}, 512, "[8 8 8]"},
	{Shape{8, 8, 2}, 1024, "[8 8 8 2]"},
	{Shape{8, 8, 2}, 1 << 31, "[8 8 8 8 8 8 8 8 8 8 2]"},
}

func TestArities(t *testing.T) {
	for _, c := range shapes {
		got, err := c.shape.Arities(c.leaves)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%v with %d leaves: %v, %v, want %s", c.shape, c.leaves, got, err, c.want)
		}
	}
	for _, c := range []struct {
		shape  Shape
		leaves uint64
	}{
		{Binary, 0}, {Binary, 1}, {Binary, 3}, {Octree, 16}, {Shape{8, 8, 0}, 8}, {Shape{8, 8, 2}, 512},
		{Shape{8, 0, 2}, 16}, {Shape{}, 8}, {Shape{1, 0, 0}, 1}, {Shape{-8, 0, 0}, 64}, {Shape{8, 1, 0}, 8}, {Shape{65, 0, 0}, 65},
	} {
		if got, err := c.shape.Arities(c.leaves); err == nil {
			t.Errorf("%v with %d leaves: got %v, want an error", c.shape, c.leaves, got)
		}
	}
}

func TestBuildEqualsNaive(t *testing.T) {
	for _, c := range shapes {
		if c.leaves > 1<<20 {
			continue
		}
		leaves := testLeaves(c.leaves)
		rows := naiveRows(t, c.shape, leaves)
		whole := flat(rows)
		for _, firstRow := range []int{0, 1} {
			size, err := c.shape.StoredSize(c.leaves, firstRow)
			if err != nil {
				t.Fatal(err)
			}
			store := &memory{data: make([]byte, size)}
			write, err := c.shape.Writer(c.leaves, firstRow, store)
			if err != nil {
				t.Fatal(err)
			}
			from := LeavesAt(bytes.NewReader(whole))
			root, err := Build(sum{}, c.shape, c.leaves, from, write, atOnce)
			if err != nil {
				t.Fatal(err)
			}
			if root != rows[len(rows)-1][0] {
				t.Errorf("%v with %d leaves: wrong root", c.shape, c.leaves)
			}
			if want := whole[len(whole)-len(store.data):]; !bytes.Equal(store.data, want) {
				t.Errorf("%v with %d leaves from row %d: wrong stored rows", c.shape, c.leaves, firstRow)
			}
		}
	}
}

func TestBuildErrors(t *testing.T) {
	leaves := testLeaves(64)
	leaves[17] = poison
	if _, err := Build(sum{}, Octree, 64, LeavesOf(leaves), nil, InOrder); !errors.Is(err, errPoison) {
		t.Errorf("poisoned leaf: %v", err)
	}
	if _, err := Build(sum{}, Octree, 64, LeavesOf(leaves[:63]), nil, InOrder); err == nil {
		t.Error("a leaf short in memory: no error")
	}
	short := bytes.NewReader(make([]byte, 64*NodeSize-1))
	if _, err := Build(sum{}, Octree, 64, LeavesAt(short), nil, InOrder); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a byte short in a reader: %v", err)
	}
	write, err := Octree.Writer(64, 0, &memory{data: make([]byte, 64*NodeSize)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Build(sum{}, Octree, 64, LeavesOf(testLeaves(64)), write, InOrder); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("no room for the upper rows: %v", err)
	}
}

func TestOpenAndRoot(t *testing.T) {
	for _, c := range shapes {
		if c.leaves > 1<<12 {
			continue
		}
		rows := naiveRows(t, c.shape, testLeaves(c.leaves))
		whole := flat(rows)
		read, err := c.shape.Reader(c.leaves, 0, bytes.NewReader(whole))
		if err != nil {
			t.Fatal(err)
		}
		for index := range c.leaves {
			leaf, path, err := Open(c.shape, c.leaves, index, read)
			if err != nil {
				t.Fatal(err)
			}
			if leaf != rows[0][index] {
				t.Fatalf("%v: wrong leaf %d", c.shape, index)
			}
			root, err := Root(sum{}, c.shape, c.leaves, index, leaf, path)
			if err != nil || root != rows[len(rows)-1][0] {
				t.Fatalf("%v: leaf %d: root %x, %v", c.shape, index, root, err)
			}
			other := (index + 1) % c.leaves
			if root, err := Root(sum{}, c.shape, c.leaves, other, leaf, path); err == nil && root == rows[len(rows)-1][0] {
				t.Fatalf("%v: leaf %d also proves leaf %d", c.shape, index, other)
			}
		}
		if _, _, err := Open(c.shape, c.leaves, c.leaves, read); err == nil {
			t.Errorf("%v: opened a leaf beyond the last", c.shape)
		}
	}
}

func TestRootRefusesWrongForm(t *testing.T) {
	shape, leaves := Shape{8, 8, 2}, uint64(1024)
	rows := naiveRows(t, shape, testLeaves(leaves))
	read, err := shape.Reader(leaves, 0, bytes.NewReader(flat(rows)))
	if err != nil {
		t.Fatal(err)
	}
	leaf, path, err := Open(shape, leaves, 700, read)
	if err != nil {
		t.Fatal(err)
	}
	edits := map[string]func(Path) Path{
		"level missing":   func(p Path) Path { return p[:len(p)-1] },
		"level added":     func(p Path) Path { return append(p, []Node{{}}) },
		"sibling missing": func(p Path) Path { p[1] = p[1][:6]; return p },
		"sibling added":   func(p Path) Path { p[1] = append(p[1], Node{}); return p },
		"sibling moved":   func(p Path) Path { p[0] = append(p[0], p[1][0]); p[1] = p[1][1:]; return p },
		"poisoned":        func(p Path) Path { p[2][3] = poison; return p },
		"empty":           func(Path) Path { return nil },
	}
	for name, edit := range edits {
		forged := make(Path, len(path))
		for i := range path {
			forged[i] = append([]Node(nil), path[i]...)
		}
		if _, err := Root(sum{}, shape, leaves, 700, leaf, edit(forged)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Root(sum{}, shape, leaves, leaves, leaf, path); err == nil {
		t.Error("index beyond the last leaf: no error")
	}
	// Every single sibling counts.
	for level := range path {
		for i := range path[level] {
			path[level][i][5] ^= 1
			root, err := Root(sum{}, shape, leaves, 700, leaf, path)
			if err == nil && root == rows[len(rows)-1][0] {
				t.Fatalf("sibling %d of level %d does not count", i, level)
			}
			path[level][i][5] ^= 1
		}
	}
}

func TestRebuilt(t *testing.T) {
	shape, leaves := Shape{8, 8, 2}, uint64(8192)
	whole := flat(naiveRows(t, shape, testLeaves(leaves)))
	full, err := shape.Reader(leaves, 0, bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	for discard := 0; discard <= 3; discard++ {
		size, err := shape.StoredSize(leaves, discard+1)
		if err != nil {
			t.Fatal(err)
		}
		upper, err := shape.Reader(leaves, discard+1, bytes.NewReader(whole[len(whole)-int(size):]))
		if err != nil {
			t.Fatal(err)
		}
		read, err := Rebuilt(sum{}, shape, leaves, discard, full, upper)
		if err != nil {
			t.Fatal(err)
		}
		for _, index := range []uint64{0, 1, 4095, 4096, 7777, 8191} {
			leaf, path, err := Open(shape, leaves, index, read)
			if err != nil {
				t.Fatal(err)
			}
			wantLeaf, want, _ := Open(shape, leaves, index, full)
			if leaf != wantLeaf || fmt.Sprint(path) != fmt.Sprint(want) {
				t.Errorf("discard %d: leaf %d opened differently", discard, index)
			}
		}
	}
	if _, err := Rebuilt(sum{}, shape, leaves, 5, full, full); err == nil {
		t.Error("discarding the root: no error")
	}
	if err := full(0, leaves-1, make([]Node, 2)); err == nil || !strings.Contains(err.Error(), "the row has") {
		t.Errorf("read beyond a row: %v", err)
	}
}

// counting counts the hashes below a Memo.
type counting struct{ n *int }

func (c counting) Hash(children []Node) (Node, error) {
	*c.n++
	return sum{}.Hash(children)
}

func (c counting) HashRow(arity int, children, parents []Node) error {
	return HashEach(c, arity, children, parents)
}

func TestMemo(t *testing.T) {
	var n int
	memo := NewMemo(counting{&n})
	leaves := testLeaves(64)
	for range 2 {
		root, err := Build(memo, Octree, 64, LeavesOf(leaves), nil, InOrder)
		if err != nil || root != naiveRows(t, Octree, leaves)[2][0] {
			t.Fatalf("root %x, %v", root, err)
		}
	}
	if n != 9 {
		t.Errorf("%d hashes, want 9", n)
	}
	leaves[0] = poison
	for range 2 {
		if _, err := memo.Hash(leaves[:8]); !errors.Is(err, errPoison) {
			t.Errorf("poisoned: %v", err)
		}
	}
}
