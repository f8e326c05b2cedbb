package gateway

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

// ask is one request to a gateway: "METHOD PATH?QUERY", and headers as "Name: value".
type ask struct {
	line    string
	headers []string
}

func (a ask) String() string { return strings.Join(append([]string{a.line}, a.headers...), " | ") }

// conversation asks a gateway that holds the fixtures everything that the suite
// of gateway tests asks, in the groups that it has, of every root and of some
// paths below each.
type conversation struct {
	t     testing.TB
	nodes ipld.DAGService
	asks  []ask
}

func (c *conversation) ask(line string, headers ...string) {
	c.asks = append(c.asks, ask{line, headers})
}

// talk makes the requests.
func talk(t testing.TB, s Source) []ask {
	c := &conversation{t: t, nodes: merkledag.NewDAGService(offlineBlocks(s))}
	all := fixtureBlocks(t)
	merged, err := c.nodes.Get(context.Background(), all[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range merged.Links() { // one for each fixture of the suite
		c.root(link.Cid)
	}
	for _, block := range all {
		c.block(block)
	}
	c.oddities(merged.Links()[0].Cid)
	slices.SortStableFunc(c.asks, func(a, b ask) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(c.asks, func(a, b ask) bool { return a.String() == b.String() })
}

// block is the raw group.
func (c *conversation) block(b cid.Cid) {
	p := "/ipfs/" + b.String()
	c.ask("GET " + p + "?format=raw")
	c.ask("GET "+p, "Accept: application/vnd.ipld.car; version=1; order=dfs; dups=n")
	c.ask("GET " + p + "?format=car&dag-scope=block")
}

func (c *conversation) root(root cid.Cid) {
	p := "/ipfs/" + root.String()
	c.ask("GET "+p, "Host: localhost")
	c.ask("GET "+p+"?format=raw", "Host: localhost")
	c.formats(p)
	c.unixfs(p)
	c.archives(p)
	c.walk(p, root, 0)
	if root.Type() != cid.DagProtobuf && root.Type() != cid.Raw {
		for _, below := range []string{"/foo", "/foo/link", "/foo/link/bar", "/foo/i-do-not-exist", "/files/single", "/document"} {
			c.formats(p + below)
			c.ask("GET " + p + below + "?format=car")
			c.ask("GET " + p + below + "?format=car&dag-scope=entity")
		}
	}
}

// walk asks for some of what is below a directory.
func (c *conversation) walk(p string, at cid.Cid, depth int) {
	if depth > 3 {
		return
	}
	node, err := c.nodes.Get(context.Background(), at)
	if err != nil {
		return // the fixtures leave blocks out on purpose
	}
	dir, err := uio.NewDirectoryFromNode(c.nodes, node)
	if err != nil {
		return
	}
	links, err := dir.Links(context.Background())
	if err != nil {
		return
	}
	slices.SortFunc(links, func(a, b *ipld.Link) int { return strings.Compare(a.Name, b.Name) })
	for i, link := range links {
		if link.Name == "_redirects" {
			c.redirects(at, link.Cid)
		}
		if i >= 4 && link.Name != "index.html" && link.Name != "685.txt" {
			continue
		}
		below := p + "/" + url.PathEscape(link.Name)
		c.unixfs(below)
		c.archives(below)
		if i == 0 {
			c.formats(below)
		}
		c.walk(below, link.Cid, depth+1)
	}
}

// redirects is the group of pages with an origin of their own: of a directory with
// a _redirects file, what each of its rules is about.
func (c *conversation) redirects(dir, rules cid.Cid) {
	origin := "Host: " + cid.NewCidV1(dir.Type(), dir.Hash()).String() + ".ipfs.localhost"
	for _, path := range []string{"/", "/no/such/page", "/_redirects", "/index.html?a=b"} {
		c.ask("GET "+path, origin)
	}
	node, err := c.nodes.Get(context.Background(), rules)
	if err != nil {
		return
	}
	file, err := uio.NewDagReader(context.Background(), node, c.nodes)
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[0], "/") || len(fields[0]) > 100 {
			continue
		}
		path := strings.NewReplacer("*", "some/where", ":", "x").Replace(fields[0])
		c.ask("GET "+path, origin)
		c.ask("GET "+path, origin, "Accept: text/html")
		c.ask("HEAD "+path, origin)
	}
}

// formats is the group of codecs and of archives for tar.
func (c *conversation) formats(p string) {
	for _, format := range []string{"raw", "car", "tar", "json", "cbor", "dag-json", "dag-cbor"} {
		c.ask("GET " + p + "?format=" + format)
		c.ask("HEAD " + p + "?format=" + format)
	}
	for _, media := range []string{
		"application/vnd.ipld.raw", "application/vnd.ipld.car", "application/x-tar", "application/json", "application/cbor",
		"application/vnd.ipld.dag-json", "application/vnd.ipld.dag-cbor", "foo, application/vnd.ipld.dag-json,bar", "text/html",
	} {
		c.ask("GET "+p, "Accept: "+media)
	}
	c.ask("GET "+p+"?format=raw", "Accept: application/vnd.ipld.dag-json")
	c.ask("GET "+p+"?format=raw", "Range: bytes=2-9")
	c.ask("GET "+p+"?format=json", "Range: bytes=2-9")
	c.ask("GET "+p+"?format=tar&filename=testтест.tar", "If-None-Match: *")
}

// unixfs is the group of deserialised files and directories.
func (c *conversation) unixfs(p string) {
	c.ask("GET " + p)
	c.ask("HEAD " + p)
	c.ask("GET " + p + "/")
	c.ask("GET "+p, "Range: bytes=6-16")
	c.ask("GET "+p, "Range: bytes=6-16,0-4")
	c.ask("GET "+p, "Range: bytes=-5")
	c.ask("GET "+p, "Range: bytes=3-")
	c.ask("GET "+p, "Range: bytes=100000000-")
	c.ask("GET "+p, "Range: bytes=9-3")
	c.ask("GET "+p, "If-None-Match: *")
	c.ask("GET "+p, "If-None-Match: \"no-such-tag\"")
	c.ask("GET " + p + "?filename=testтест.jpg&download=true")
	c.ask("GET "+p, "Cache-Control: only-if-cached")
}

// archives is the group of trustless archives.
func (c *conversation) archives(p string) {
	for _, query := range []string{
		"", "&dag-scope=block", "&dag-scope=entity", "&dag-scope=all", "&dag-scope=none-such",
		"&dag-scope=entity&entity-bytes=0:10", "&dag-scope=entity&entity-bytes=1000:1023", "&dag-scope=entity&entity-bytes=-5:*",
		"&dag-scope=entity&entity-bytes=5:*", "&dag-scope=entity&entity-bytes=0:-3", "&dag-scope=entity&entity-bytes=512:-257",
		"&dag-scope=entity&entity-bytes=9:3", "&car-dups=y", "&car-dups=n", "&car-order=dfs", "&car-order=unk", "&car-version=2",
	} {
		c.ask("GET " + p + "?format=car" + query)
	}
	for _, params := range []string{"", "; version=1", "; version=2", "; order=dfs; dups=y", "; order=dfs; dups=n", "; order=unk; dups=n", "; dups=maybe"} {
		c.ask("GET "+p, "Accept: application/vnd.ipld.car"+params)
	}
	c.ask("GET "+p+"?format=car", "If-None-Match: *")
	c.ask("HEAD " + p + "?format=car&dag-scope=entity")
	c.ask("GET "+p+"?format=car", "Range: bytes=0-9")
}

// oddities are requests that belong to no content.
func (c *conversation) oddities(root cid.Cid) {
	p := "/ipfs/" + root.String()
	const missing = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
	for _, line := range []string{
		"GET /ipfs/" + missing, "GET /ipfs/" + missing + "?format=raw", "GET /ipfs/" + missing + "?format=car", "HEAD /ipfs/" + missing,
		"GET /ipfs/not-a-cid", "GET /ipfs/", "GET /ipfs", "GET /ipfs" + p, "GET " + p + "/i-do-not-exist", "GET " + p + "/i-do-not-exist?format=car",
		"GET /ipfs/?uri=ipfs%3A%2F%2F" + root.String() + "%2Fa%3Fb%3Dc", "GET /ipfs/?uri=http%3A%2F%2Fa", "POST " + p, "PUT " + p, "DELETE " + p, "OPTIONS " + p,
		"GET /ipfs/bafkqaddimvwgy3zao5xxe3debi", "GET /ipfs/bafkqaddimvwgy3zao5xxe3debi?format=raw", "GET /ipfs/bafkqaddimvwgy3zao5xxe3debi?format=car",
		"GET " + p + "//", "GET " + p + "/../" + root.String(), "GET " + p + "?format=none-such",
	} {
		c.ask(line)
	}
	c.ask("GET "+p, "Service-Worker: script")
	c.ask("GET /ipfs/"+missing, "Cache-Control: only-if-cached")
	c.ask("HEAD /ipfs/"+missing, "Cache-Control: only-if-cached")
	c.ask("GET "+p, "Origin: http://elsewhere.example")
	c.ask("GET "+p, "Accept: application/vnd.none-such")
	v0 := cid.NewCidV0(root.Hash())
	if root.Type() == cid.DagProtobuf {
		c.ask("GET /ipfs/" + v0.String())
		c.ask(fmt.Sprintf("GET /ipfs/%s?format=raw", v0))
	}
}
