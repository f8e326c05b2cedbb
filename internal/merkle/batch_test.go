package merkle

import (
	"errors"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// opened is a tree with a trail over some of its leaves.
type opened struct {
	shape   Shape
	rows    [][]Node
	indices []uint64
	sent    []Node // of each opening its leaf, unless it is known, and its siblings
}

func (o *opened) leaves() uint64 { return uint64(len(o.rows[0])) }
func (o *opened) root() Node     { return o.rows[len(o.rows)-1][0] }

func openTrail(t testing.TB, shape Shape, rows [][]Node, indices []uint64) *opened {
	t.Helper()
	o := &opened{shape: shape, rows: rows, indices: indices}
	w, err := NewTrailWriter(shape, o.leaves())
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range indices {
		nodes, err := w.OpenLeaf(index, rowsReader(rows))
		if err != nil {
			t.Fatal(err)
		}
		o.sent = append(o.sent, nodes...)
	}
	return o
}

// oneByOne checks the openings with a reader, the obvious way.
func (o *opened) oneByOne() error {
	r, err := NewTrailReader(sum{}, o.shape, o.leaves(), o.root())
	if err != nil {
		return err
	}
	sent := o.sent
	take := takeFrom(&sent)
	for _, index := range o.indices {
		if _, ok := r.Known(index); ok {
			continue
		}
		leaf, err := take(1)
		if err != nil {
			return err
		}
		if err := r.Check(index, leaf[0], take); err != nil {
			return err
		}
	}
	if len(sent) != 0 {
		return errors.New("nodes left")
	}
	return nil
}

// addTo adds the openings to a batch.
func (o *opened) addTo(b *Batch[counting]) error {
	tree, err := b.Tree(o.shape, o.leaves(), o.root())
	if err != nil {
		return err
	}
	sent := o.sent
	take := takeFrom(&sent)
	for _, index := range o.indices {
		if _, ok := tree.Known(index); ok {
			continue
		}
		shown, err := take(1)
		if err != nil {
			return err
		}
		leaf, err := tree.Open(index, take)
		if err != nil {
			return err
		}
		*leaf = shown[0]
	}
	if len(sent) != 0 {
		return errors.New("nodes left")
	}
	return nil
}

// together checks trails in one batch and counts the hashes.
func together(trails []*opened) (hashes int, err error) {
	b := NewBatch(counting{&hashes})
	for _, o := range trails {
		if err := o.addTo(b); err != nil {
			return hashes, err
		}
	}
	return hashes, b.Check()
}

// spoil damages the nodes of a trail in one of many ways, or not at all.
func spoil(rt *rapid.T, sent []Node) []Node {
	sent = slices.Clone(sent)
	if len(sent) == 0 {
		return sent
	}
	at := rapid.IntRange(0, len(sent)-1).Draw(rt, "at")
	switch rapid.SampledFrom([]string{"not", "flip", "cut", "extend", "swap", "poison", "drop"}).Draw(rt, "spoil") {
	case "flip":
		sent[at][at%NodeSize] ^= 1 << (at % 8)
	case "cut":
		sent = sent[:at]
	case "extend":
		sent = append(sent, sent[at])
	case "swap":
		other := rapid.IntRange(0, len(sent)-1).Draw(rt, "other")
		sent[at], sent[other] = sent[other], sent[at]
	case "poison":
		sent[at] = poison
	case "drop":
		sent = slices.Delete(sent, at, at+1)
	}
	return sent
}

// TestBatch checks some trails, damaged or not, in one batch and one by one: the verdicts agree,
// and no node is hashed twice.
func TestBatch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var trails []*opened
		var reason error
		for range rapid.IntRange(1, 4).Draw(rt, "trails") {
			tree := rapid.SampledFrom(trailShapes).Draw(rt, "tree")
			indices := rapid.SliceOfN(rapid.Uint64Range(0, tree.leaves-1), 0, 20).Draw(rt, "indices")
			o := openTrail(t, tree.shape, naiveRows(t, tree.shape, testLeaves(tree.leaves)), indices)
			o.sent = spoil(rt, o.sent)
			trails = append(trails, o)
			if err := o.oneByOne(); err != nil {
				reason = err
			}
		}
		hashes, err := together(trails)
		if (err == nil) != (reason == nil) {
			rt.Fatalf("together: %v, one by one: %v", err, reason)
		}
		if err == nil {
			want := 0
			for _, o := range trails {
				want += o.groups()
			}
			if hashes != want {
				rt.Fatalf("%d hashes for %d groups of siblings", hashes, want)
			}
		}
	})
}

// groups counts the groups of siblings on the ways up from the opened leaves.
func (o *opened) groups() int {
	arities, _ := o.shape.Arities(o.leaves())
	groups := make(map[Position]bool)
	for _, at := range o.indices {
		for row, arity := range arities {
			at /= uint64(arity)
			groups[Position{row + 1, at}] = true
		}
	}
	return len(groups)
}

// TestBatchPaths opens leaves by whole paths, of which one node may be damaged wherever it stands.
func TestBatchPaths(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tree := rapid.SampledFrom(trailShapes).Draw(rt, "tree")
		rows := naiveRows(t, tree.shape, testLeaves(tree.leaves))
		root := rows[len(rows)-1][0]
		indices := rapid.SliceOfN(rapid.Uint64Range(0, tree.leaves-1), 1, 12).Draw(rt, "indices")
		victim := rapid.IntRange(-1, len(indices)-1).Draw(rt, "victim")
		b := NewBatch(sum{})
		batched, err := b.Tree(tree.shape, tree.leaves, root)
		if err != nil {
			rt.Fatal(err)
		}
		var together, single error
		for i, index := range indices {
			leaf, path, err := Open(tree.shape, tree.leaves, index, rowsReader(rows))
			if err != nil {
				rt.Fatal(err)
			}
			if i == victim {
				level := rapid.IntRange(0, len(path)-1).Draw(rt, "level")
				path[level] = spoil(rt, path[level])
			}
			got, err := Root(sum{}, tree.shape, tree.leaves, index, leaf, path)
			if err == nil && got != root {
				err = ErrOpening
			}
			single = errors.Join(single, err)
			together = errors.Join(together, batched.OpenPath(index, leaf, path))
		}
		together = errors.Join(together, b.Check())
		if (together == nil) != (single == nil) {
			rt.Fatalf("together: %v, one by one: %v", together, single)
		}
	})
}

func TestBatchRefuses(t *testing.T) {
	rows := naiveRows(t, Octree, testLeaves(64))
	b := NewBatch(sum{})
	if _, err := b.Tree(Octree, 63, Node{}); err == nil {
		t.Error("a tree that cannot be")
	}
	tree, err := b.Tree(Octree, 64, rows[2][0])
	if err != nil {
		t.Fatal(err)
	}
	var none []Node
	if _, err := tree.Open(64, takeFrom(&none)); err == nil {
		t.Error("leaf out of range accepted")
	}
	if _, ok := tree.Known(64); ok {
		t.Error("leaf out of range known")
	}
	if _, err := tree.Open(5, takeFrom(&none)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("opening without nodes: %v", err)
	}
	if _, ok := tree.Known(5); ok {
		t.Error("an opening without nodes taught its leaf")
	}
	leaf, path, err := Open(Octree, 64, 5, rowsReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.OpenPath(64, leaf, path); err == nil {
		t.Error("path of a leaf out of range accepted")
	}
	if err := tree.OpenPath(5, leaf, path[:1]); err == nil {
		t.Error("short path accepted")
	}
	if err := tree.OpenPath(5, leaf, path); err != nil {
		t.Error(err)
	}
	if known, ok := tree.Known(6); !ok || *known != rows[0][6] {
		t.Error("the sibling of an opened leaf is not known")
	}
	if err := b.Check(); err != nil {
		t.Error(err)
	}
	if err := NewBatch(sum{}).Check(); err != nil {
		t.Errorf("nothing to check: %v", err)
	}
}

// rowSizes notes how many hashes each call asks for.
type rowSizes struct{ calls *[]int }

func (r rowSizes) Hash(children []Node) (Node, error) { return sum{}.Hash(children) }

func (r rowSizes) HashRow(arity int, children, parents []Node) error {
	*r.calls = append(*r.calls, len(parents))
	return HashEach(sum{}, arity, children, parents)
}

// TestBatchFillsLanes: ten ways up a tall tree are hashed in full rows of lanes, all but the last.
func TestBatchFillsLanes(t *testing.T) {
	shape, leaves := Shape{8, 8, 0}, uint64(1)<<30
	var calls []int
	b := NewBatch(rowSizes{&calls})
	tree, err := b.Tree(shape, leaves, Node{})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for i := range uint64(10) {
		if _, err := tree.Open(i*(leaves/10), func(n int) ([]Node, error) {
			total += n / 7
			return make([]Node, n), nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Check(); !errors.Is(err, ErrOpening) {
		t.Errorf("paths of zeros: %v", err)
	}
	hashed := 0
	for i, n := range calls {
		hashed += n
		if n%lanes != 0 && i < len(calls)-2 {
			t.Errorf("call %d of %d asks for %d hashes", i, len(calls), n)
		}
	}
	if hashed != total {
		t.Errorf("%d hashes, want %d", hashed, total)
	}
}

// FuzzBatch feeds trails with arbitrary nodes: no crash, and the verdict of the reader.
func FuzzBatch(f *testing.F) {
	rows := naiveRows(f, Shape{8, 2, 0}, testLeaves(128))
	good := openTrail(f, Shape{8, 2, 0}, rows, []uint64{3, 100, 9, 40})
	f.Add([]byte{3, 100, 9, 40}, AppendNodes(nil, good.sent))
	f.Add([]byte{3, 100, 9}, AppendNodes(nil, good.sent))
	f.Add([]byte{5}, AppendNodes(nil, good.sent[:10]))
	f.Fuzz(func(t *testing.T, picks, data []byte) {
		nodes, _, err := ParseNodes(data, len(data)/NodeSize)
		if err != nil {
			t.Fatal(err)
		}
		o := &opened{shape: good.shape, rows: rows, sent: nodes}
		for _, pick := range picks {
			o.indices = append(o.indices, uint64(pick)%o.leaves())
		}
		_, batch := together([]*opened{o})
		if single := o.oneByOne(); (batch == nil) != (single == nil) {
			t.Fatalf("together: %v, one by one: %v", batch, single)
		}
	})
}
