package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/boxo/ipld/unixfs/pb"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
)

// sum is the CID of a block.
func sum(t testing.TB, codec uint64, data []byte) cid.Cid {
	t.Helper()
	hash, err := mh.Sum(data, mh.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(codec, hash)
}

// fileOver makes a node of a file over children of one length each.
func (w workshop) fileOver(t testing.TB, length uint64, children ...cid.Cid) cid.Cid {
	t.Helper()
	file := unixfs.NewFSNode(pb.Data_File)
	node := new(merkledag.ProtoNode)
	for _, c := range children {
		file.AddBlockSize(length)
		child, err := w.DAGService.Get(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := node.AddNodeLink("", child); err != nil {
			t.Fatal(err)
		}
	}
	data, err := file.GetBytes()
	if err != nil {
		t.Fatal(err)
	}
	node.SetData(data)
	node.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256})
	w.add(t, node)
	return node.Cid()
}

// wideFile makes a file of n times the same 256 KiB.
func (w workshop) wideFile(t testing.TB, n int) cid.Cid {
	t.Helper()
	leaf := merkledag.NewRawNode(make([]byte, 256<<10))
	w.add(t, leaf)
	children := make([]cid.Cid, n)
	for i := range children {
		children[i] = leaf.Cid()
	}
	return w.fileOver(t, 256<<10, children...)
}

// deepFile makes a file of one byte below n nodes.
func (w workshop) deepFile(t testing.TB, n int) cid.Cid {
	t.Helper()
	leaf := merkledag.NewRawNode([]byte("x"))
	w.add(t, leaf)
	c := leaf.Cid()
	for range n {
		c = w.fileOver(t, 1, c)
	}
	return c
}

// deepDirectory nests n directories, each named d.
func (w workshop) deepDirectory(t testing.TB, n int) cid.Cid {
	t.Helper()
	dir := emptyDirectory()
	w.add(t, dir)
	for range n {
		above := emptyDirectory()
		if err := above.AddNodeLink("d", dir); err != nil {
			t.Fatal(err)
		}
		w.add(t, above)
		dir = above
	}
	return dir.Cid()
}

// deepDocument links n nodes of DAG-CBOR, each from the one before.
func (w workshop) deepDocument(t testing.TB, n int) cid.Cid {
	t.Helper()
	data := []byte{0x80} // []
	for range n {
		c := sum(t, cid.DagCBOR, data)
		w.put(t, c, data)
		link := append([]byte{0}, c.Bytes()...)
		data = append([]byte{0x81, 0xd8, 0x2a, 0x58, byte(len(link))}, link...) // [CID]
	}
	c := sum(t, cid.DagCBOR, data)
	w.put(t, c, data)
	return c
}

// TestDeep: content of more levels than any honest one has is not followed to its
// end, by whatever is asked for, and takes up nothing.
func TestDeep(t *testing.T) {
	w := newWorkshop()
	file, fair := w.deepFile(t, 3*maxDepth), w.deepFile(t, 100)
	dirs, document := w.deepDirectory(t, 3*maxDepth), w.deepDocument(t, 4_000)
	s := newSuite(t, Config{}, w.archive(t))
	blocks := func(g got) int {
		found, err := blocksIn(g)
		if err != nil && g.torn == nil {
			t.Errorf("an archive that cannot be read: %v", err)
		}
		return len(found)
	}
	s.expect("GET /ipfs/"+fair.String(), nil, status(200), body("x"))
	if n := blocks(s.ask("GET /ipfs/" + fair.String() + "?format=car")); n != 101 {
		t.Errorf("the archive of a file of 100 levels has %d blocks", n)
	}
	if g := s.ask("GET /ipfs/" + file.String()); g.StatusCode == 200 && g.torn == nil && len(g.body) > 0 {
		t.Errorf("a file of %d levels: %s %q", 3*maxDepth, g.Status, g.body)
	}
	if g := s.ask("GET /ipfs/" + dirs.String() + "?format=tar"); !strings.Contains(string(g.body), errDeep.Error()) {
		t.Errorf("%d directories as TAR: %s, %d bytes", 3*maxDepth, g.Status, len(g.body))
	}
	for _, c := range []struct {
		root cid.Cid
		most int
	}{{file, maxDepth + 1}, {dirs, maxDepth + 1}, {document, maxFrames / 3}} {
		g := s.ask("GET /ipfs/" + c.root.String() + "?format=car")
		if n := blocks(g); n > c.most || n < 100 {
			t.Errorf("the archive of a chain has %d blocks, want at most %d", n, c.most)
		}
	}
	s.expect("GET /ipfs/"+fair.String(), nil, status(200), body("x"))
}

// TestLongPath: a path of more components than are resolved is refused.
func TestLongPath(t *testing.T) {
	w := newWorkshop()
	root := w.deepDirectory(t, maxSegments+1)
	s := newSuite(t, Config{}, w.archive(t))
	path := "/ipfs/" + root.String() + strings.Repeat("/d", maxSegments)
	s.expect("GET "+path+"/", nil, status(200))
	s.expect("GET "+path+"/d/", nil, status(414))
}

// TestMemory: what would take up more memory than all answers may is refused or
// broken off, and the next request has it again.
func TestMemory(t *testing.T) {
	w := newWorkshop()
	dir, err := uio.NewHAMTDirectory(w.DAGService, 0, uio.WithCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256}))
	if err != nil {
		t.Fatal(err)
	}
	var leaves []cid.Cid
	for i := range 5000 {
		leaf := merkledag.NewRawNode(fmt.Appendf(nil, "leaf %04d", i))
		w.add(t, leaf)
		if err := dir.AddChild(t.Context(), fmt.Sprintf("a name of some length %04d", i), leaf); err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leaf.Cid())
	}
	sharded, err := dir.GetNode()
	if err != nil {
		t.Fatal(err)
	}
	w.add(t, sharded)
	var parts []cid.Cid
	for part := range slices.Chunk(leaves, 100) {
		parts = append(parts, w.fileOver(t, 9, part...))
	}
	file := w.fileOver(t, 900, parts...)
	numbers := append([]byte{0x99, 0xff, 0xff}, make([]byte, 0xffff)...) // a list of 65,535 zeros
	document := sum(t, cid.DagCBOR, numbers)
	w.put(t, document, numbers)
	archive := w.archive(t)

	ample, scarce := newSuite(t, Config{}, archive), newSuite(t, Config{MaxMemory: 1 << 20}, archive)
	for _, c := range []struct {
		path   string
		answer int
	}{
		{"/ipfs/" + sharded.Cid().String() + "/", 503}, {"/ipfs/" + document.String() + "/0", 503}, {"/ipfs/" + file.String() + "?format=car", 200},
	} {
		whole, part := ample.ask("GET "+c.path), scarce.ask("GET "+c.path)
		if whole.StatusCode == 503 || whole.torn != nil {
			t.Errorf("%s with memory: %s, %v", c.path, whole.Status, whole.torn)
		}
		if part.StatusCode != c.answer || part.torn == nil && len(part.body) >= len(whole.body) && c.answer == 200 {
			t.Errorf("%s without: %s, %d bytes of %d, %v", c.path, part.Status, len(part.body), len(whole.body), part.torn)
		}
		if c.answer == 503 && part.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", c.path)
		}
		scarce.expect("GET /ipfs/"+file.String(), nil, status(200))
		scarce.expect("GET /ipfs/"+leaves[7].String(), nil, status(200), body("leaf 0007"))
	}
	m := newMemory(100)
	r, walk := m.begin(httptest.NewRequest("GET", "/", nil))
	if walkOf(r.Context()) != walk {
		t.Error("the walk does not go with its context")
	}
	walk.turn(archiving)
	if err := walk.visit(leaves[0], nil); err != errBusy || m.left != 100 {
		t.Errorf("256 bytes of 100: %v, %d left", err, m.left)
	}
	walk.end()
	if err := walk.visit(leaves[0], nil); err != errEnded || m.left != 100 {
		t.Errorf("after the end: %v, %d left", err, m.left)
	}
}

// FuzzGateway: no request line and no Accept header, as they come over the wire,
// make a gateway with the fixtures fail.
func FuzzGateway(f *testing.F) {
	h, err := New(Config{Source: importedFixtures(f), Subdomains: []string{"localhost"}})
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{
		fixDirListing + "/%C4%85/%c4%99/?format=car", fixSharded + "/685.txt", fixDocument + "/document/files/single?format=dag-json",
		fixTarOutside + "?format=tar", fixMissingV1 + "?format=car&dag-scope=entity&entity-bytes=2200:*", fixCache + "/root2/../root2//root3/%2e%2e",
		fixPercent + "/%ff%00", fixSymlinkV1 + "/bar?filename=%22%0d%0a", cidHello + "/", "x",
	} {
		f.Add("/ipfs/"+path, "application/vnd.ipld.car; order=dfs; dups=y, text/html;q=0.1")
	}
	f.Fuzz(func(t *testing.T, target, accept string) {
		text := "GET " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: " + accept + "\r\n\r\n"
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		w := newSink()
		h.ServeHTTP(w, req)
		if w.panicked() {
			t.Errorf("%q %q: %d", target, accept, w.code)
		}
		if uri := w.Header().Get(headerURI); uri != "" && !plain(uri) {
			t.Errorf("%q: Ipfs-Uri %q", target, uri)
		}
		if p := w.Header().Get(headerPath); !plain(p) {
			t.Errorf("%q: X-Ipfs-Path %q", target, p)
		}
	})
}

// FuzzContent: no block, read as a node of any codec, makes a gateway fail: its
// author may be anybody.
func FuzzContent(f *testing.F) {
	codecs := []uint64{cid.DagProtobuf, cid.DagCBOR, cid.DagJSON, codecJSON, codecCBOR, cid.Raw}
	queries := []string{"", "?format=car", "?format=car&dag-scope=entity&entity-bytes=1:*", "?format=tar", "?format=raw", "/", "/a/b", "?format=dag-json", "?format=dag-cbor"}
	leaf := merkledag.NewRawNode([]byte("leaf"))
	add := func(data []byte) {
		for codec := range codecs {
			f.Add(data, uint8(codec))
		}
	}
	add(emptyDirectory().RawData())
	add([]byte("\x0a\x06\x08\x05\x28\x22\x30\x08\x12\x28\x0a\x24" + string(leaf.Cid().Bytes()) + "\x12\x00"))
	add([]byte(`{"a":{"/":"` + leaf.Cid().String() + `"}}`))
	add([]byte("\xa1\x61a\xd8\x2a\x58\x25\x00" + string(leaf.Cid().Bytes())))
	l := &liar{blocks: map[string][]byte{}}
	h, err := New(Config{Source: l, ConvertCodecs: true, MaxMemory: 64 << 20})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, codec uint8) {
		c := sum(t, codecs[int(codec)%len(codecs)], data)
		l.set(c, data)
		defer l.set(c, nil)
		l.set(leaf.Cid(), leaf.RawData())
		for _, query := range queries {
			for _, accept := range []string{"*/*", "text/html"} {
				req, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET /ipfs/" + c.String() + query + " HTTP/1.1\r\nHost: x\r\nAccept: " + accept + "\r\n\r\n")))
				if err != nil {
					t.Fatal(err)
				}
				w := newSink()
				h.ServeHTTP(w, req)
				if w.panicked() {
					t.Errorf("%s%s, Accept %s: %d", c, query, accept, w.code)
				}
			}
		}
	})
}

// sink is a response that is counted and not kept.
type sink struct {
	header http.Header
	code   int
	size   int
}

// panicked reports what boxo's gateway makes of a panic: an error that says nothing.
func (s *sink) panicked() bool { return s.code == http.StatusInternalServerError && s.size == 0 }

func newSink() *sink { return &sink{header: http.Header{}} }

func (s *sink) Header() http.Header { return s.header }

func (s *sink) WriteHeader(code int) { s.code = code }

// Write takes at most 64 MiB: content of some bytes may claim to be endless.
func (s *sink) Write(b []byte) (int, error) {
	if s.size += len(b); s.size > 64<<20 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}
