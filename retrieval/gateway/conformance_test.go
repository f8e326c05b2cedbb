package gateway

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
)

// TestConformance holds the gateway against each case of the public suite of
// gateway tests (github.com/ipfs/gateway-conformance, up to v0.14.1) in its groups
// trustless-gateway and path-gateway, the names of IPNS aside.
func TestConformance(t *testing.T) {
	s := newSuite(t, Config{})
	s.part("trustless raw", (*suite).trustlessRaw)
	s.part("trustless car", (*suite).trustlessCAR)
	s.part("path raw", (*suite).pathRaw)
	s.part("path unixfs", (*suite).pathUnixFS)
	s.part("path cache", (*suite).pathCache)
	s.part("path ranges", (*suite).pathRanges)
	s.part("path cors", (*suite).pathCORS)
	s.part("path tar", (*suite).pathTAR)
	s.part("path dag", (*suite).pathDAG)
	s.part("path dag native", (*suite).pathNative)
}

func (s *suite) trustlessRaw() {
	dir, file := "GET /ipfs/"+s.cid(fixRawBlock, "dir"), "GET /ipfs/"+s.cid(fixRawBlock, "dir", "ascii.txt")
	raw := accepting("application/vnd.ipld.raw")
	data := s.raw(fixRawBlock, "dir", "ascii.txt")
	s.expect(dir+"?format=raw", nil, status(200), body(s.raw(fixRawBlock, "dir")))
	s.expect(dir, raw, status(200), body(s.raw(fixRawBlock, "dir")))
	s.expect(file, raw, status(200), is("Content-Type", "application/vnd.ipld.raw"), is("Content-Length", fmt.Sprint(len(data))),
		holds("Content-Disposition", "attachment;"), is("X-Content-Type-Options", "nosniff"), body(data))
	s.expect(file+"?filename=foobar.bin", raw, status(200), matches("Content-Disposition", `^attachment;.*filename="foobar.bin`))
	s.expect(file, raw, status(200), matches("Etag", `"`), is("X-Ipfs-Path", "/ipfs/"+s.cid(fixRawBlock, "dir", "ascii.txt")),
		is("X-Ipfs-Roots", s.cid(fixRawBlock, "dir", "ascii.txt")), is("Cache-Control", immutableForall))
	s.ranges(file, raw, "application/vnd.ipld.raw", data)
}

func (s *suite) pathRaw() {
	raw := accepting("application/vnd.ipld.raw")
	dir, file := "GET /ipfs/"+fixRawBlock+"/dir", "GET /ipfs/"+fixRawBlock+"/dir/ascii.txt"
	data, c := s.raw(fixRawBlock, "dir", "ascii.txt"), s.cid(fixRawBlock, "dir", "ascii.txt")
	s.expect(dir+"?format=raw", nil, status(200), body(s.raw(fixRawBlock, "dir")))
	s.expect(dir, raw, status(200), body(s.raw(fixRawBlock, "dir")))
	s.expect(file, raw, status(200), is("Content-Type", "application/vnd.ipld.raw"), is("Content-Length", fmt.Sprint(len(data))),
		matches("Content-Disposition", `attachment;\s*filename="`+c+`\.bin`), is("X-Content-Type-Options", "nosniff"), body(data))
	s.expect(file+"?filename=foobar.bin", raw, status(200), matches("Content-Disposition", `attachment;\s*filename="foobar\.bin`))
	s.expect(file, raw, status(200), is("Etag", `"`+c+`.raw"`), is("X-Ipfs-Path", "/ipfs/"+fixRawBlock+"/dir/ascii.txt"),
		holds("X-Ipfs-Roots", fixRawBlock), is("Cache-Control", immutableForall))
}

func (s *suite) pathUnixFS() {
	root := "/ipfs/" + fixDirListing
	s.expect("GET "+root+"/", nil, status(200), says("Index of"), silentOn(`<a href="`+root+`/">..</a>`))
	s.expect("GET "+root+"/ą/ę", nil, status(301), is("Location", root+"/%C4%85/%C4%99/"))
	s.expect("GET "+root+"/ą/ę/", nil, status(200), holds("Etag", `"DirIndex-`), says("Index of",
		`/ipfs/<a href="`+root+`">`+fixDirListing+`</a>/<a href="`+root+`/%C4%85">ą</a>/<a href="`+root+`/%C4%85/%C4%99">ę</a>`, `<a href="`+root+`/%C4%85/%C4%99/..">..</a>`,
		`<a href="`+root+`/%C4%85/%C4%99/file-%C5%BA%C5%82.txt">file-źł.txt</a>`,
		`<a class="ipfs-hash" translate="no" href="/ipfs/`+s.cid(fixDirListing, "ą", "ę", "file-źł.txt")+`?filename=file-%25C5%25BA%25C5%2582.txt">`))
	s.expect("GET "+root+"/i-do-not-exist", nil, status(404))

	link := "/ipfs/" + fixSymlinkV1
	s.expect("GET "+link+"/", nil, status(200), says(">foo<", ">bar<"))
	s.expect("GET "+link+"?format=raw", nil, status(200), body(s.raw(fixSymlinkV1)))
	s.expect("GET "+link+"/bar", nil, status(200), body("foo"))

	s.expect("GET /ipfs/"+fixPercent+"/Portugal%252C+España=Peninsula%20Ibérica.txt", nil, status(200),
		body(s.raw(fixPercent, "Portugal%2C+España=Peninsula Ibérica.txt")))
}

func (s *suite) pathCache() {
	root := "/ipfs/" + fixCache
	way := []string{fixCache, s.cid(fixCache, "root2"), s.cid(fixCache, "root2", "root3"), s.cid(fixCache, "root2", "root3", "root4"),
		s.cid(fixCache, "root2", "root3", "root4", "index.html")}
	s.expect("GET "+root+"/root2/root3/", nil, status(200), is("X-Ipfs-Path", root+"/root2/root3/"),
		is("X-Ipfs-Roots", strings.Join(way[:3], ",")), matches("Etag", "DirIndex-.*_CID-"+way[2]),
		either(lacks("Cache-Control"), is("Cache-Control", "public, max-age=604800, stale-while-revalidate=2678400")))
	s.expect("GET "+root+"/root2/root3/root4/", nil, status(200), is("Cache-Control", immutableForall),
		is("X-Ipfs-Path", root+"/root2/root3/root4/"), is("X-Ipfs-Roots", strings.Join(way[:4], ",")), is("Etag", `"`+way[3]+`"`))
	s.expect("GET "+root+"/root2/root3/root4/index.html", nil, status(200), is("Cache-Control", immutableForall),
		is("X-Ipfs-Path", root+"/root2/root3/root4/index.html"), is("X-Ipfs-Roots", strings.Join(way, ",")), is("Etag", `"`+way[4]+`"`))
	s.expect("GET "+root+"/root2/root3/root4/?format=raw", nil, status(200), is("Cache-Control", immutableForall),
		body(s.raw(fixCache, "root2", "root3", "root4")))

	cached := []string{"Cache-Control: only-if-cached"}
	for _, method := range []string{"GET ", "HEAD "} {
		s.expect(method+root+"/root2/root3/root4/?format=raw", cached, status(200))
		s.expect(method+"/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN", cached, status(412))
	}

	listing := s.ask("GET " + root + "/root2/root3/").Header.Get("Etag")
	for _, c := range []struct{ path, tags string }{
		{"/root2/root3/root4/index.html", `"` + way[4] + `"`},
		{"/root2/root3/root4/", `"` + way[3] + `"`},
		{"/root2/root3/root4/index.html", `"fakeEtag1", "fakeEtag2", "` + way[4] + `"`},
		{"/root2/root3/root4/index.html", `W/"` + way[4] + `"`},
		{"/root2/root3/root4/index.html", `*`},
		{"/root2/root3/", `W/"` + way[2] + `"`},
		{"/root2/root3/", listing},
		{"/root2/root3/", "W/" + listing},
	} {
		s.expect("GET "+root+c.path, []string{"If-None-Match: " + c.tags}, status(304))
	}
}

func (s *suite) pathRanges() {
	file, data := "GET /ipfs/"+fixDuplicates+"/ascii.txt", s.raw(fixDuplicates, "ascii.txt")
	s.expect(file, nil, status(200), is("Accept-Ranges", "bytes"), body(data))
	s.expect(file, []string{"Range: bytes=6-16"}, status(206), is("Content-Range", "bytes 6-16/31"), body(data[6:17]))
	s.expect(file, []string{"Range: bytes=-3"}, status(206), is("Content-Range", "bytes 28-30/31"), body(data[28:]))
	s.expect(file, []string{"Range: bytes=6-16,0-4"}, status(206), either(
		all(is("Content-Range", "bytes 6-16/31"), body(data[6:17])),
		all(holds("Content-Type", "multipart/byteranges"), says("Content-Range: bytes 6-16/31", data[6:17], "Content-Range: bytes 0-4/31", data[:5]))))
	torn := "GET /ipfs/" + fixMissingV1 // whose second of three blocks is nowhere
	s.expect(torn, []string{"Range: bytes=997-1000"}, status(206), is("Content-Range", "bytes 997-1000/3072"))
	s.expect(torn, []string{"Range: bytes=2200-2201"}, status(206), is("Content-Range", "bytes 2200-2201/3072"))
}

func (s *suite) pathCORS() {
	for _, method := range []string{"GET", "OPTIONS"} {
		s.expect(method+" /ipfs/"+cidHello+"/", nil, is("Access-Control-Allow-Origin", "*"),
			lists("Access-Control-Allow-Methods", "GET", "HEAD", "OPTIONS"),
			lists("Access-Control-Allow-Headers", "Content-Type", "Range", "User-Agent", "X-Requested-With"),
			lists("Access-Control-Expose-Headers", "Content-Range", "Content-Length", "X-Ipfs-Path", "X-Ipfs-Roots", "X-Chunked-Output", "X-Stream-Output", "Ipfs-Uri"))
	}
}

func (s *suite) pathTAR() {
	c := s.cid(fixDirListing, "ą", "ę", "file-źł.txt")
	const text = "I am a txt file on path with utf8\n"
	for _, form := range []struct {
		query   string
		headers []string
	}{{"?format=tar", nil}, {"", accepting("application/x-tar")}} {
		s.expect("GET /ipfs/"+c+form.query, form.headers, status(200), holds("Content-Disposition", "attachment;"),
			holds("Etag", `W/"`+c+`.x-tar`), holds("Content-Type", "application/x-tar"), packed(c, text))
	}
	s.expect("GET /ipfs/"+fixDirListing+"?format=tar", nil, status(200), packed(fixDirListing+"/ą/ę/file-źł.txt", text))
	s.expect("GET /ipfs/"+fixDirListing+"?format=tar&filename="+url.QueryEscape("testтест.tar"), nil, status(200),
		holds("Content-Disposition", `attachment; filename="test____.tar"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.tar`))
	s.expect("GET /ipfs/"+fixTarOutside+"?format=tar", nil, says("relative UnixFS paths outside the root are not allowed"))
	s.expect("GET /ipfs/"+fixTarInside+"?format=tar", nil, status(200), packed(fixTarInside+"/foobar/file", "Hello, world!\n"))
}

// packed demands a tar archive with a file in it.
func packed(name, text string) want {
	return func(g got) error {
		for r := tar.NewReader(bytes.NewReader(g.body)); ; {
			head, err := r.Next()
			if err != nil {
				return fmt.Errorf("no file %s: %w", name, err)
			}
			if head.Name == name {
				data, err := io.ReadAll(r)
				if err != nil || string(data) != text {
					return fmt.Errorf("file %s is %.100q, %v", name, data, err)
				}
				return nil
			}
		}
	}
}

// TestConformanceNames is the part of the suite about Ipfs-Uri (IPIP-548), whose
// fixtures are made here: directories with names that URIs have to escape.
func TestConformanceNames(t *testing.T) {
	w := newWorkshop()
	tricky := w.directory(t, "plain.txt", "with space.txt", "100% sure.txt", "a#b?c.txt", "łódź.txt", "emoji🚀.txt")
	root := emptyDirectory()
	for name, child := range map[string]*merkledag.ProtoNode{
		"sub dir": w.directory(t, "file!'()*~.txt"), "a": w.directory(t, "b.txt"), "tricky": tricky,
	} {
		if err := root.AddNodeLink(name, child); err != nil {
			t.Fatal(err)
		}
	}
	slashed := merkledag.NewRawNode([]byte("under a name with a slash"))
	w.add(t, slashed)
	if err := root.AddNodeLink("a/b.txt", slashed); err != nil {
		t.Fatal(err)
	}
	w.add(t, root)
	s := newSuite(t, Config{}, w.archive(t))
	top, of := root.Cid().String(), func(p string) want { return is("Ipfs-Uri", "ipfs://"+p) }
	names := tricky.Cid().String()
	leaf := merkledag.NewRawNode([]byte("plain.txt")).Cid().String()
	for _, c := range []struct {
		path  string
		wants []want
	}{
		{leaf, []want{status(200), of(leaf)}},
		{top + "/sub%20dir/", []want{status(200), of(top + "/sub%20dir/")}},
		{top + "/sub%20dir/file%21%27%28%29%2A~.txt", []want{status(200), of(top + "/sub%20dir/file%21%27%28%29%2A~.txt"), body("file!'()*~.txt")}},
		{names + "/a%2F..%2Fplain%2Etxt", []want{status(200), of(names + "/plain.txt"), body("plain.txt")}},
		{top + "/a/b.txt", []want{status(200), of(top + "/a/b.txt"), body("b.txt")}},
		{top + "/a%2Fb.txt", []want{status(200), of(top + "/a/b.txt"), body("b.txt")}},
		{names + "/plain.txt?filename=download.txt&format=json", []want{status(200), of(names + "/plain.txt")}},
		{names + "/a%23b%3Fc.txt", []want{status(200), of(names + "/a%23b%3Fc.txt"), is("X-Ipfs-Path", "/ipfs/"+names+"/a#b?c.txt"), body("a#b?c.txt")}},
		{names + "/emoji%F0%9F%9A%80.txt", []want{status(200), of(names + "/emoji%F0%9F%9A%80.txt"), lacks("X-Ipfs-Path"), body("emoji🚀.txt")}},
		{names + "/%C5%82%C3%B3d%C5%BA.txt?format=raw", []want{status(200), of(names + "/%C5%82%C3%B3d%C5%BA.txt"), lacks("X-Ipfs-Path")}},
		{names + "/100%25%20sure.txt", []want{status(200), of(names + "/100%25%20sure.txt"), is("X-Ipfs-Path", "/ipfs/"+names+"/100% sure.txt")}},
		{names, []want{status(301), is("Location", "/ipfs/"+names+"/"), of(names)}},
		{cid.NewCidV0(tricky.Cid().Hash()).String() + "/plain.txt", []want{status(200), of(names + "/plain.txt")}},
	} {
		s.expect("GET /ipfs/"+c.path, nil, c.wants...)
	}
	const canonical = fixPercent + "/Portugal%252C%2BEspa%C3%B1a%3DPeninsula%20Ib%C3%A9rica.txt"
	for _, spelling := range []string{"Portugal%252C%2BEspa%C3%B1a%3DPeninsula%20Ib%C3%A9rica.txt",
		"Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt", "Portugal%252C%2bEspa%c3%b1a%3dPeninsula%20Ib%c3%a9rica%2etxt"} {
		s.expect("GET /ipfs/"+fixPercent+"/"+spelling, nil, status(200), of(canonical), lacks("X-Ipfs-Path"),
			body(s.raw(fixPercent, "Portugal%2C+España=Peninsula Ibérica.txt")))
		s.expect("HEAD /ipfs/"+fixPercent+"/"+spelling, []string{"If-None-Match: *"}, of(canonical), lacks("X-Ipfs-Path"))
	}
}

func emptyDirectory() *merkledag.ProtoNode {
	dir := unixfs.EmptyDirNode()
	dir.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: 0x12})
	return dir
}

// TestConformanceFieldOrder: directories and shards are read whichever of the two
// fields of their nodes comes first, and given as they are (IPIP-550).
func TestConformanceFieldOrder(t *testing.T) {
	w := newWorkshop()
	leaf := merkledag.NewRawNode([]byte("hello\n"))
	w.add(t, leaf)
	link := func(name string) []byte {
		fields := append([]byte{0x0a, byte(leaf.Cid().ByteLen())}, leaf.Cid().Bytes()...)
		fields = append(append(fields, 0x12, byte(len(name))), name...)
		fields = append(fields, 0x18, 6)
		return append([]byte{0x12, byte(len(fields))}, fields...)
	}
	data := func(unixfs []byte) []byte { return append([]byte{0x0a, byte(len(unixfs))}, unixfs...) }
	shard := append([]byte{8, 5, 0x12, 28, 0x80}, make([]byte, 27)...) // of 256 slots the one that is named DF
	shard = append(shard, 0x28, 0x22, 0x30, 0x80, 2)
	nodes := map[string][]byte{
		"bafybeigqvyloizmfcdy6scaxnyltftzptaruqa3hnnplfzsbf4sqteiwlm": append(data([]byte{8, 1}), link("hello.txt")...),
		"bafybeigdcg7pksx2zk5336vrfsktjodlr4rbfz37qr3koc5xboxe5ekv24": append(link("hello.txt"), data([]byte{8, 1})...),
		"bafybeicwgy2rlqmqqu3yy2tqvm2wbgdvy3snu4sbbv4wqpvpnoplpzxz74": append(data(shard), link("DFhello.txt")...),
		"bafybeicjwkfslu7gwyywffvqgse5kiibojtktxcdqhgv7ldj5fjdacuceq": append(link("DFhello.txt"), data(shard)...),
	}
	for c, raw := range nodes {
		w.put(t, cid.MustParse(c), raw)
	}
	s := newSuite(t, Config{}, w.archive(t))
	raw := accepting("application/vnd.ipld.raw")
	for c, node := range nodes {
		s.expect("GET /ipfs/"+c+"/hello.txt", nil, status(200), body("hello\n"))
		s.expect("GET /ipfs/"+c, raw, status(200), body(string(node)))
	}
	s.expect("GET /ipfs/"+leaf.Cid().String(), raw, status(200), body("hello\n"))
}
