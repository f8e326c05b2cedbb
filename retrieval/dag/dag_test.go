package dag

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/boxo/ipld/unixfs/importer/trickle"
	unixfsio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"

	"github.com/perdure/perdure/retrieval/car"
)

var prefix = cid.Prefix{Version: 1, Codec: cid.DagProtobuf, MhType: mh.SHA2_256, MhLength: -1}

// memory keeps blocks, and is what boxo builds graphs in.
type memory map[cid.Cid][]byte

func (m memory) get(_ context.Context, c cid.Cid) ([]byte, error) {
	data, ok := m[c]
	if !ok {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	return data, nil
}

func (m memory) Add(_ context.Context, n ipld.Node) error {
	m[n.Cid()] = n.RawData()
	return nil
}

func (m memory) AddMany(ctx context.Context, nodes []ipld.Node) error {
	for _, n := range nodes {
		m.Add(ctx, n)
	}
	return nil
}

func (m memory) Get(ctx context.Context, c cid.Cid) (ipld.Node, error) {
	data, err := m.get(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Prefix().Codec == cid.Raw {
		return merkledag.NewRawNodeWPrefix(data, c.Prefix())
	}
	node, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return nil, err
	}
	return node, node.SetCidBuilder(c.Prefix())
}

func (m memory) GetMany(ctx context.Context, cids []cid.Cid) <-chan *ipld.NodeOption {
	out := make(chan *ipld.NodeOption, len(cids))
	defer close(out)
	for _, c := range cids {
		n, err := m.Get(ctx, c)
		out <- &ipld.NodeOption{Node: n, Err: err}
	}
	return out
}

func (m memory) Remove(context.Context, cid.Cid) error       { return nil }
func (m memory) RemoveMany(context.Context, []cid.Cid) error { return nil }

func random(seed uint64, size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(data)
	return data
}

// shape says how boxo shall cut a file.
type shape struct {
	chunk, links int
	raw, trickle bool
}

func (m memory) file(t testing.TB, data []byte, s shape) cid.Cid {
	t.Helper()
	params := helpers.DagBuilderParams{Maxlinks: s.links, RawLeaves: s.raw, CidBuilder: prefix, Dagserv: m}
	db, err := params.New(chunk.NewSizeSplitter(bytes.NewReader(data), int64(s.chunk)))
	if err != nil {
		t.Fatal(err)
	}
	layout := balanced.Layout
	if s.trickle {
		layout = trickle.Layout
	}
	node, err := layout(db)
	if err != nil {
		t.Fatal(err)
	}
	return node.Cid()
}

func (m memory) put(t testing.TB, links []ipld.Link, data []byte) cid.Cid {
	t.Helper()
	node := new(merkledag.ProtoNode)
	if err := node.SetCidBuilder(prefix); err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if err := node.AddRawLink(l.Name, &l); err != nil {
			t.Fatal(err)
		}
	}
	node.SetData(data)
	m.Add(t.Context(), node)
	return node.Cid()
}

func (m memory) raw(data []byte) cid.Cid {
	sum := sha256.Sum256(data)
	c := cid.NewCidV1(cid.Raw, append(mh.Multihash{mh.SHA2_256, 32}, sum[:]...))
	m[c] = data
	return c
}

// fileNode is a UnixFS file node over children of these sizes.
func (m memory) fileNode(t testing.TB, size *uint64, kids []cid.Cid, sizes ...uint64) cid.Cid {
	t.Helper()
	meta := unixfs.NewFSNode(unixfs.TFile)
	var links []ipld.Link
	for _, c := range kids {
		links = append(links, ipld.Link{Cid: c})
	}
	for _, s := range sizes {
		meta.AddBlockSize(s)
	}
	if size != nil {
		meta.UpdateFilesize(int64(*size) - int64(meta.FileSize()))
	}
	data, err := meta.GetBytes()
	if err != nil {
		t.Fatal(err)
	}
	return m.put(t, links, data)
}

// order is the slow, obvious walk: depth first, each block once.
func (m memory) order(t testing.TB, root cid.Cid) []cid.Cid {
	t.Helper()
	var out []cid.Cid
	met := map[cid.Cid]bool{}
	var visit func(c cid.Cid)
	visit = func(c cid.Cid) {
		if met[c] {
			return
		}
		met[c] = true
		out = append(out, c)
		node, err := m.Get(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range node.Links() {
			visit(l.Cid)
		}
	}
	visit(root)
	return out
}

// graphs are payloads of many shapes.
func graphs(t testing.TB, m memory) map[string]cid.Cid {
	t.Helper()
	repeated := bytes.Repeat(random(1, 1000), 50)
	out := map[string]cid.Cid{
		"empty":    m.file(t, nil, shape{chunk: 1000, links: 3, raw: true}),
		"leaf":     m.file(t, random(2, 999), shape{chunk: 1000, links: 3, raw: true}),
		"deep":     m.file(t, random(3, 40_123), shape{chunk: 1000, links: 3, raw: true}),
		"pb":       m.file(t, random(4, 20_000), shape{chunk: 700, links: 4}),
		"trickle":  m.file(t, random(5, 60_001), shape{chunk: 500, links: 5, trickle: true}),
		"repeated": m.file(t, repeated, shape{chunk: 1000, links: 3, raw: true}),
	}
	dir, err := unixfsio.NewDirectory(m, unixfsio.WithCidBuilder(prefix))
	if err != nil {
		t.Fatal(err)
	}
	big, err := unixfsio.NewHAMTDirectory(m, 0, unixfsio.WithCidBuilder(prefix), unixfsio.WithMaxHAMTFanout(16))
	if err != nil {
		t.Fatal(err)
	}
	add := func(d unixfsio.Directory, name string, c cid.Cid) {
		node, err := m.Get(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.AddChild(t.Context(), name, node); err != nil {
			t.Fatal(err)
		}
	}
	done := func(d unixfsio.Directory) cid.Cid {
		node, err := d.GetNode()
		if err != nil {
			t.Fatal(err)
		}
		m.Add(t.Context(), node)
		return node.Cid()
	}
	for i := range 300 {
		add(big, fmt.Sprintf("file %d", i), m.raw(fmt.Appendf(nil, "%d", i%250)))
	}
	out["shards"] = done(big)
	add(dir, "big", out["shards"])
	add(dir, "again", out["deep"])
	add(dir, "deep", out["deep"])
	add(dir, "empty", out["empty"])
	out["directory"] = done(dir)
	return out
}

func TestWalkOrder(t *testing.T) {
	m := memory{}
	for name, root := range graphs(t, m) {
		want := m.order(t, root)
		var got []cid.Cid
		var size uint64
		err := Walk(t.Context(), m.get, root, func(c cid.Cid, block []byte) error {
			if !bytes.Equal(block, m[c]) {
				t.Fatalf("%s: other block", name)
			}
			got = append(got, c)
			size += uint64(len(block))
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%s: walked %d blocks, want %d (%v)", name, len(got), len(want), err)
		}
		for stop := range len(want) + 1 {
			w, err := NewWalker(root)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Replay(t.Context(), uint64(stop), m.get); err != nil {
				t.Fatal(err)
			}
			if stop < len(want) {
				if c, ok := w.Next(); !ok || c != want[stop] || w.Blocks() != uint64(stop) {
					t.Fatalf("%s: after %d blocks next is %s", name, stop, c)
				}
			} else if !w.Done() || w.Bytes() != size {
				t.Fatalf("%s: not done after all", name)
			}
		}
	}
}

func TestWalkerRefuses(t *testing.T) {
	m := memory{}
	root := graphs(t, m)["deep"]
	want := m.order(t, root)
	w, err := NewWalker(root)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range want {
		good := m[c]
		flipped := bytes.Clone(good)
		flipped[len(flipped)-1] ^= 1
		if err := w.Accept(flipped); !errors.Is(err, car.ErrMismatch) {
			t.Fatalf("flipped: %v", err)
		}
		if err := w.Accept(m[want[(i+1)%len(want)]]); !errors.Is(err, car.ErrMismatch) {
			t.Fatalf("out of turn: %v", err)
		}
		if next, _ := w.Next(); next != c || w.Blocks() != uint64(i) {
			t.Fatalf("a refused block moved the walk")
		}
		if err := w.Accept(good); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Accept(nil); !errors.Is(err, ErrMalformed) {
		t.Fatalf("beyond the end: %v", err)
	}
}

func TestForeignCIDs(t *testing.T) {
	m := memory{}
	sha512, _ := mh.Sum([]byte("x"), mh.SHA2_512, -1)
	short, _ := mh.Sum([]byte("x"), mh.SHA2_256, 20)
	full, _ := mh.Sum([]byte("x"), mh.SHA2_256, -1)
	inline, _ := mh.Sum([]byte("x"), mh.IDENTITY, -1)
	foreign := []cid.Cid{
		cid.Undef, cid.NewCidV1(cid.Raw, sha512), cid.NewCidV1(cid.Raw, short),
		cid.NewCidV1(cid.DagCBOR, full), cid.NewCidV1(cid.Raw, inline),
	}
	for _, c := range foreign {
		if _, err := NewWalker(c); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s as root: %v", c, err)
		}
		if _, err := FileSpan(c); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s as span: %v", c, err)
		}
		if _, err := Load(t.Context(), m.get, c); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s loaded: %v", c, err)
		}
		if !c.Defined() {
			continue
		}
		root := m.fileNode(t, nil, []cid.Cid{c}, 1)
		w, err := NewWalker(root)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Accept(m[root]); !errors.Is(err, ErrUnsupported) {
			t.Errorf("link to %s: %v", c, err)
		}
	}
}

// TestPendingLimit feeds nodes with many links until the walker has enough.
func TestPendingLimit(t *testing.T) {
	m := memory{}
	leaf := m.raw([]byte("x"))
	next := leaf
	const width = 40_000
	for i := range MaxPending/width + 2 {
		links := []ipld.Link{{Cid: next}}
		for range width {
			links = append(links, ipld.Link{Cid: leaf})
		}
		next = m.put(t, links, fmt.Appendf(nil, "%d", i))
	}
	err := Walk(t.Context(), m.get, next, func(cid.Cid, []byte) error { return nil })
	if !errors.Is(err, ErrTooLarge) {
		t.Fatalf("got %v", err)
	}
	// A chain of any length keeps nothing open.
	for i := range 100_000 {
		next = m.put(t, []ipld.Link{{Cid: leaf}}, fmt.Appendf(nil, "%d", i))
		leaf = next
	}
	w, err := NewWalker(next)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Replay(t.Context(), 50_000, m.get); err != nil || len(w.frames) != 0 || w.pending != 0 {
		t.Fatalf("%d frames, %d links (%v)", len(w.frames), w.pending, err)
	}
}

func TestAcceptCAR(t *testing.T) {
	m := memory{}
	root := graphs(t, m)["directory"]
	want := m.order(t, root)
	part := func(cids []cid.Cid) *car.Reader {
		var out bytes.Buffer
		w, err := car.NewWriter(&out, root)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cids {
			if err := w.Put(c, m[c]); err != nil {
				t.Fatal(err)
			}
		}
		r, err := car.NewReader(&out, car.Options{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	visit := func(car.Block) error { return nil }
	w, err := NewWalker(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.AcceptCAR(part(want[:7]), visit); err != nil || w.Blocks() != 7 {
		t.Fatalf("%d blocks (%v)", w.Blocks(), err)
	}
	if err := w.AcceptCAR(part(want[8:]), visit); !errors.Is(err, ErrMalformed) || w.Blocks() != 7 {
		t.Fatalf("gap: %v", err)
	}
	if err := w.AcceptCAR(part(append(slices.Clone(want[7:]), want[0])), visit); !errors.Is(err, ErrMalformed) {
		t.Fatalf("one too many: %v", err)
	}
	if !w.Done() {
		t.Fatal("not done")
	}
}

func TestFileReads(t *testing.T) {
	m := memory{}
	for name, root := range graphs(t, m) {
		if name == "directory" || name == "shards" {
			continue
		}
		node, err := m.Get(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		reader, err := unixfsio.NewDagReader(t.Context(), node, m)
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(reader)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f, err := OpenFile(t.Context(), m.get, root)
		if err != nil || f.Size() != uint64(len(want)) {
			t.Fatalf("%s: size %d (%v)", name, f.Size(), err)
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s: read %d bytes of %d (%v)", name, len(got), len(want), err)
		}
		rng := rand.New(rand.NewPCG(7, 7))
		for range 100 {
			off, n := rng.IntN(len(want)+10), rng.IntN(5000)
			checkRange(t, m, root, want, off, n)
		}
	}
}

// checkRange fetches the spans that a range touches, in any order, and reads the range
// from that alone; every leaf fetched must be needed.
func checkRange(t *testing.T, m memory, root cid.Cid, want []byte, off, n int) {
	t.Helper()
	whole, err := FileSpan(root)
	if err != nil {
		t.Fatal(err)
	}
	have := memory{}
	for todo := []Span{whole}; len(todo) > 0; {
		at := rand.IntN(len(todo))
		s := todo[at]
		todo = slices.Delete(todo, at, at+1)
		if s.Verify([]byte("no")) == nil || s.Verify(m[s.CID]) != nil {
			t.Fatalf("block %s is not told from another", s.CID)
		}
		_, children, size, err := s.Expand(m[s.CID])
		if err != nil {
			t.Fatal(err)
		}
		if s.CID == root && size != uint64(len(want)) {
			t.Fatalf("size %d", size)
		}
		have[s.CID] = m[s.CID]
		for _, c := range children {
			if c.Offset < uint64(off+n) && uint64(off) < c.Offset+c.Size {
				todo = append(todo, c)
			}
		}
	}
	used := memory{}
	f, err := OpenFile(t.Context(), func(ctx context.Context, c cid.Cid) ([]byte, error) {
		used[c] = have[c]
		return have.get(ctx, c)
	}, root)
	if err != nil {
		t.Fatal(err)
	}
	from, to := min(off, len(want)), min(off+n, len(want))
	got := make([]byte, to-from)
	if k, err := f.ReadAt(got, int64(off)); k != len(got) || err != nil && err != io.EOF {
		t.Fatalf("read %d at %d: %d, %v", n, off, k, err)
	}
	if !bytes.Equal(got, want[from:to]) {
		t.Fatalf("read %d at %d: content differs", n, off)
	}
	if len(got) > 0 && len(used) != len(have) {
		t.Fatalf("fetched %d blocks for %d at %d, %d used", len(have), n, off, len(used))
	}
}

func TestReadAtEnd(t *testing.T) {
	m := memory{}
	f, err := OpenFile(t.Context(), m.get, m.raw([]byte("hello")))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	if n, err := f.ReadAt(buf, 2); n != 3 || err != io.EOF {
		t.Errorf("short: %d, %v", n, err)
	}
	if n, err := f.ReadAt(buf, 50); n != 0 || err != io.EOF {
		t.Errorf("beyond: %d, %v", n, err)
	}
	if _, err := f.ReadAt(buf, -1); err == nil {
		t.Error("negative offset")
	}
}

func TestLyingFiles(t *testing.T) {
	m := memory{}
	leaf := m.raw([]byte("12345"))
	nine := uint64(9)
	dir := m.put(t, nil, unixfs.FolderPBData())
	deep := leaf
	for range MaxDepth + 2 {
		deep = m.fileNode(t, nil, []cid.Cid{deep}, 5)
	}
	cases := map[string]struct {
		root cid.Cid
		want error
	}{
		"child smaller":    {m.fileNode(t, nil, []cid.Cid{leaf}, 6), ErrMalformed},
		"child larger":     {m.fileNode(t, nil, []cid.Cid{leaf, leaf}, 5, 4), ErrMalformed},
		"total differs":    {m.fileNode(t, &nine, []cid.Cid{leaf}, 5), ErrMalformed},
		"sizes missing":    {m.fileNode(t, nil, []cid.Cid{leaf, leaf}, 5), ErrMalformed},
		"sizes overflow":   {m.fileNode(t, nil, []cid.Cid{leaf, leaf}, 1<<63, 1<<63), ErrMalformed},
		"directory within": {m.fileNode(t, nil, []cid.Cid{dir}, 5), ErrMalformed},
		"a directory":      {dir, ErrMalformed},
		"too deep":         {deep, ErrTooLarge},
		"no UnixFS":        {m.put(t, nil, []byte("\xff")), ErrMalformed},
		"no data":          {m.put(t, nil, nil), ErrMalformed},
	}
	for name, c := range cases {
		f, err := OpenFile(t.Context(), m.get, c.root)
		if err == nil {
			_, err = io.Copy(io.Discard, f)
		}
		if !errors.Is(err, c.want) || strings.Count(err.Error(), c.root.String()) > 1 {
			t.Errorf("%s: read: %v", name, err)
		}
		whole, err := FileSpan(c.root)
		for todo := []Span{whole}; err == nil && len(todo) > 0; todo = todo[1:] {
			var children []Span
			_, children, _, err = todo[0].Expand(m[todo[0].CID])
			todo = append(todo, children...)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: spans: %v", name, err)
		}
	}
}

func TestList(t *testing.T) {
	m := memory{}
	roots := graphs(t, m)
	entries, err := List(t.Context(), m.get, roots["directory"])
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{{"again", roots["deep"]}, {"big", roots["shards"]}, {"deep", roots["deep"]}, {"empty", roots["empty"]}}
	if !slices.Equal(entries, want) {
		t.Fatalf("listed %v", entries)
	}
	if entries, err = List(t.Context(), m.get, roots["shards"]); err != nil || len(entries) != 300 {
		t.Fatalf("%d entries (%v)", len(entries), err)
	}
	byName := map[string]cid.Cid{}
	for _, e := range entries {
		byName[e.Name] = e.CID
	}
	for i := range 300 {
		if byName[fmt.Sprintf("file %d", i)] != m.raw(fmt.Appendf(nil, "%d", i%250)) {
			t.Fatalf("entry %d is wrong", i)
		}
	}
	if _, err := List(t.Context(), m.get, roots["deep"]); !errors.Is(err, ErrMalformed) {
		t.Errorf("listed a file: %v", err)
	}
}

func TestHostileDirectories(t *testing.T) {
	m := memory{}
	leaf := m.raw(nil)
	folder := unixfs.FolderPBData()
	shard := func(fanout uint64) []byte {
		data, err := unixfs.HAMTShardData([]byte{1}, fanout, 0x22)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	named := func(names ...string) []ipld.Link {
		var out []ipld.Link
		for _, n := range names {
			out = append(out, ipld.Link{Name: n, Cid: leaf})
		}
		return out
	}
	inner := m.put(t, nil, folder)
	cases := map[string]cid.Cid{
		"up":            m.put(t, named(".."), folder),
		"slash":         m.put(t, named("a/b"), folder),
		"no name":       m.put(t, named(""), folder),
		"twice":         m.put(t, named("a", "a"), folder),
		"shard up":      m.put(t, named("00.."), shard(256)),
		"short bucket":  m.put(t, named("0"), shard(256)),
		"odd width":     m.put(t, named("00a"), shard(255)),
		"width":         m.put(t, named("00a"), shard(1<<20)),
		"file as shard": m.put(t, []ipld.Link{{Name: "00", Cid: leaf}}, shard(256)),
		"dir as shard":  m.put(t, []ipld.Link{{Name: "00", Cid: inner}}, shard(256)),
	}
	for name, c := range cases {
		if _, err := List(t.Context(), m.get, c); !errors.Is(err, ErrMalformed) || strings.Count(err.Error(), c.String()) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	deep := m.put(t, nil, shard(256))
	for range MaxDepth + 1 {
		deep = m.put(t, []ipld.Link{{Name: "00", Cid: deep}}, shard(256))
	}
	if _, err := List(t.Context(), m.get, deep); !errors.Is(err, ErrTooLarge) {
		t.Errorf("deep: %v", err)
	}
	wide := m.put(t, nil, shard(256))
	for range 8 {
		wide = m.put(t, slices.Repeat([]ipld.Link{{Name: "00", Cid: wide}}, 256), shard(256))
	}
	if _, err := List(t.Context(), m.get, wide); !errors.Is(err, ErrTooLarge) {
		t.Errorf("wide: %v", err)
	}
}

func TestKindsAndLinks(t *testing.T) {
	m := memory{}
	roots := graphs(t, m)
	data, err := unixfs.SymlinkData("../target")
	if err != nil {
		t.Fatal(err)
	}
	link := m.put(t, nil, data)
	for c, want := range map[cid.Cid]Kind{
		roots["deep"]: KindFile, roots["shards"]: KindDirectory, roots["directory"]: KindDirectory, link: KindSymlink,
	} {
		if got, err := KindOf(t.Context(), m.get, c); err != nil || got != want {
			t.Errorf("%s is a %s (%v)", c, got, err)
		}
	}
	if target, err := Readlink(t.Context(), m.get, link); err != nil || target != "../target" {
		t.Errorf("target %q (%v)", target, err)
	}
	if _, err := Readlink(t.Context(), m.get, roots["deep"]); !errors.Is(err, ErrMalformed) {
		t.Errorf("a file as link: %v", err)
	}
}

// FuzzDecode decodes arbitrary blocks, and walks and lists what they name.
func FuzzDecode(f *testing.F) {
	m := memory{}
	for _, root := range graphs(f, m) {
		f.Add(m[root])
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		sum := sha256.Sum256(block)
		c := cid.NewCidV1(cid.DagProtobuf, append(mh.Multihash{mh.SHA2_256, 32}, sum[:]...))
		m := memory{c: block}
		children, err := Children(c, block)
		if err != nil {
			if _, err := Decode(c, block); err == nil {
				t.Fatal("decoded what has no links to read")
			}
			return
		}
		w, err := NewWalker(c)
		if err != nil {
			t.Fatal(err)
		}
		if w.Accept(block) == nil && (len(children) == 0) != w.Done() {
			t.Fatalf("%d links, done %v", len(children), w.Done())
		}
		if node, err := Decode(c, block); err == nil && node.Kind == KindFile && len(node.Sizes) != len(node.Links) {
			t.Fatal("sizes do not match the links")
		}
		if file, err := OpenFile(t.Context(), m.get, c); err == nil {
			n, err := io.Copy(io.Discard, io.LimitReader(file, 1<<20))
			if err == nil && n < 1<<20 && uint64(n) != file.Size() {
				t.Fatalf("read %d bytes of %d", n, file.Size())
			}
		}
		List(t.Context(), m.get, c)
	})
}
