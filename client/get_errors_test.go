package client_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/fetch"
	"github.com/perdure/perdure/retrieval/p2p"
)

// TestGetErrors: what a Get says of its failure names what was asked for once, and has
// what was wrong behind it.
func TestGetErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, _ := w.directory()
	sender := w.sender()
	door := httptest.NewServer(http.NotFoundHandler())
	defer door.Close()
	c, err := client.New(client.Config{Home: w.home, Chain: w.chain, Directory: w.chain, Sender: sender, Host: w.host(), Gateways: []string{door.URL + "/"}})
	w.must(err)
	t.Cleanup(func() { w.must(c.Close()) })
	root := w.stored(c, path, client.PutOptions{Copies: 1, Public: true, PieceSize: 8 << 20})
	piece, err := client.ParseRoot(w.chain.Deals()[0].PieceCID.String())
	w.must(err)
	parse := func(text string) cid.Cid {
		out, err := client.ParseRoot(text)
		w.must(err)
		return out
	}
	dear := client.GetOptions{MaxPrice: chain.Atto(1)}
	refused := "no seller has it\nseller " + p2p.FormatPeer(string(w.miners[0].Host.ID())) + ": refused: price 1000000000000 attoPDR a chunk, at most 1 is paid"
	for _, tc := range []struct { // in this order: what is fetched here stays for the next one
		name string
		root cid.Cid
		o    client.GetOptions
		want string
	}{
		{"too dear", root, dear, refused},
		{"stranger", parse("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"), client.GetOptions{}, "no miner stores it now"},
		{"strange piece", parse("baga6ea4seaqaebji57khucsmwm5ya5tbuu5oxjzk6ehopfwzye4ixzanfjmkcka"), client.GetOptions{},
			"no miner stores it now\ngateway " + door.URL + ": 404 Not Found"},
		{"no payload", cid.NewCidV1(cid.DagCBOR, root.Hash()), client.GetOptions{}, "codec 0x71: not a payload CID"},
		{"no such name", root, client.GetOptions{Path: []string{"sub", "no", "x"}}, "sub/no: no such name in the directory"},
		{"below a file", root, client.GetOptions{Path: []string{"top", "x"}}, "top/x: what is above it is a file, not a directory"},
		{"a link", root, client.GetOptions{Path: []string{"link"}}, "it is a symlink, neither a file nor a directory"},
		{"range of a directory", root, client.GetOptions{Range: &client.Range{Length: 1}}, "it is a directory: only a file has a range"},
		{"a file of a directory", root, client.GetOptions{Path: []string{"sub", "large"}, MaxPrice: dear.MaxPrice}, refused},
	} {
		tc.o.To = io.Discard
		_, err := c.Get(w.ctx, tc.root, "", tc.o)
		want := fmt.Sprintf("get %s: %s", strings.Join(append([]string{tc.root.String()}, tc.o.Path...), "/"), tc.want)
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n%v\nwant\n%s", tc.name, err, want)
		}
	}
	// What is missing inside is named, by its own CID and once.
	inside := regexp.MustCompile(`^get ` + root.String() + `: fetch (file|block) (\w+): no seller has it\n`)
	for name, car := range map[string]bool{"directory": false, "archive": true} {
		_, err := c.Get(w.ctx, root, "", client.GetOptions{MaxPrice: dear.MaxPrice, CAR: car, To: io.Discard})
		if found := inside.FindStringSubmatch(fmt.Sprint(err)); found == nil || strings.Count(err.Error(), found[2]) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = c.Get(w.ctx, piece, "", client.GetOptions{MaxPrice: dear.MaxPrice, To: io.Discard})
	if err == nil || !strings.HasPrefix(err.Error(), "get "+piece.String()+": block 0 ") || strings.Count(err.Error(), piece.String()) != 1 {
		t.Errorf("piece: %v", err)
	}
}

// malformed makes blocks that a payload cannot begin with, by what is wrong with them.
func malformed(t *testing.T) map[string][]byte {
	t.Helper()
	node := func(data []byte, links ...ipld.Link) []byte {
		n := new(merkledag.ProtoNode)
		n.SetData(data)
		for _, l := range links {
			if err := n.AddRawLink(l.Name, &l); err != nil {
				t.Fatal(err)
			}
		}
		return n.RawData()
	}
	leaf, err := client.ParseRoot("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
	if err != nil {
		t.Fatal(err)
	}
	foreign := cid.NewCidV1(cid.DagCBOR, leaf.Hash())
	file := unixfs.NewFSNode(unixfs.TFile)
	file.AddBlockSize(5)
	sized, err := file.GetBytes()
	if err != nil {
		t.Fatal(err)
	}
	shard, err := unixfs.HAMTShardData(nil, 256, 0x22)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"no dag-pb":              []byte("what is this"),
		"no UnixFS":              node([]byte("what is this")),
		"symlink":                node([]byte{8, 4}),
		"file without sizes":     node(unixfs.FilePBData(nil, 5), ipld.Link{Cid: leaf}),
		"file with a bad link":   node(sized, ipld.Link{Cid: foreign}),
		"directory with ..":      node(unixfs.FolderPBData(), ipld.Link{Name: "..", Cid: leaf}),
		"directory, bad link":    node(unixfs.FolderPBData(), ipld.Link{Name: "x", Cid: foreign}),
		"shard without a bucket": node(shard, ipld.Link{Name: "x", Cid: leaf}),
	}
}

// TestGetMalformed: an error about a malformed root names it once, whatever is wrong
// with it and however it is asked for.
func TestGetMalformed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, _ := w.file(1000)
	c := w.client()
	w.stored(c, path, client.PutOptions{Copies: 1, Public: true})
	w.chain.Claims = func(string) []uint64 { return []uint64{w.chain.Deals()[0].ID} }
	for name, block := range malformed(t) {
		root, err := cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256}.Sum(block)
		w.must(err)
		for how, o := range map[string]client.GetOptions{"plain": {}, "CAR": {CAR: true}, "range": {Range: &client.Range{Length: 1}}, "path": {Path: []string{"x"}}} {
			store, err := fetch.Open(filepath.Join(w.home, "fetch", root.String()), root, 0o600) // as if it had come before
			w.must(err)
			w.must(store.Put(root, block))
			w.must(store.Close())
			o.To = io.Discard
			_, err = c.Get(w.ctx, root, "", o)
			if err == nil || strings.Count(err.Error(), root.String()) != 1 {
				t.Errorf("%s, %s: %v", name, how, err)
			}
		}
	}
}
