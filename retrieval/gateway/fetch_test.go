package gateway

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs/importer"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/perdure/perdure/retrieval/p2p"
)

// liar is a store of blocks that a test spoils: a Source, and a Blockstore that
// gives out what it has unchecked.
type liar struct {
	blockstore.Blockstore
	blocks map[string][]byte // by multihash
}

func (l *liar) Ready() error { return nil }

func (l *liar) Status(_ context.Context, c cid.Cid) (Status, error) {
	if l.blocks[string(c.Hash())] == nil {
		return Status{}, nil
	}
	return Status{State: Free}, nil
}

func (l *liar) Block(_ context.Context, c cid.Cid) ([]byte, error) {
	if data := l.blocks[string(c.Hash())]; data != nil {
		return data, nil
	}
	return nil, ErrNotFound
}

func (l *liar) BlockSize(ctx context.Context, c cid.Cid) (int, error) {
	data, err := l.Block(ctx, c)
	return len(data), err
}

func (l *liar) Piece(context.Context, cid.Cid) (Piece, error) { return nil, ErrNotFound }

func (l *liar) Providers(context.Context, cid.Cid) ([]Provider, error) { return nil, nil }

func (l *liar) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := l.Block(ctx, c)
	return err == nil, nil
}

func (l *liar) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	b, err := l.Get(ctx, c)
	if err != nil {
		return 0, err
	}
	return len(b.RawData()), nil
}

func (l *liar) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	data, err := l.Block(ctx, c)
	if err != nil {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	return blocks.NewBlockWithCid(data, c)
}

// file adds a UnixFS file of nine leaves, and returns its root and its last leaf.
func (l *liar) file(t testing.TB, seed byte) (root, leaf cid.Cid, content []byte) {
	t.Helper()
	content = make([]byte, 9000)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(content)
	store := blockstore.NewBlockstore(datastore.NewMapDatastore())
	dag := merkledag.NewDAGService(blockservice.New(store, offline.Exchange(store)))
	node, err := importer.BuildDagFromReader(dag, chunk.NewSizeSplitter(bytes.NewReader(content), 1000))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := store.AllKeysChan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for c := range keys {
		b, err := store.Get(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		l.blocks[string(c.Hash())] = b.RawData()
	}
	return node.Cid(), node.Links()[8].Cid, content
}

// spoils are the faults that a store may have in one block.
var spoils = map[string]func([]byte) []byte{
	"byte flipped":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
	"block missing": func([]byte) []byte { return nil },
	"byte too many": func(b []byte) []byte { return append(b, 0) },
}

// TestSpoiledStore: a gateway over a store with a fault in one block gives the rest
// of the file and breaks off, or refuses; it never gives other bytes.
func TestSpoiledStore(t *testing.T) {
	for name, spoil := range spoils {
		l := &liar{blocks: map[string][]byte{}}
		root, leaf, content := l.file(t, 1)
		base := serve(t, Config{Source: l}).URL
		if got := request(t, base, "GET", "/ipfs/"+root.String()); got.body != string(content) {
			t.Fatalf("whole: %s, %d bytes", got.Status, len(got.body))
		}
		l.blocks[string(leaf.Hash())] = spoil(l.blocks[string(leaf.Hash())])
		if got := request(t, base, "GET", "/ipfs/"+leaf.String()+"?format=raw"); got.StatusCode < 400 {
			t.Errorf("%s: the block itself: %s", name, got.Status)
		}
		resp, err := http.Get(base + "/ipfs/" + root.String())
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && len(body) == len(content) || !bytes.HasPrefix(content, body) {
			t.Errorf("%s: the file: %s, %d bytes, %v", name, resp.Status, len(body), err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestKuboFetches: an ordinary IPFS node fetches a public file from a miner's
// host by bitswap, and from its gateway as an archive, and takes neither from a store with
// a fault. It needs the program of a node.
func TestKuboFetches(t *testing.T) {
	program := os.Getenv(kuboEnv)
	if program == "" {
		t.Skipf("set %s to the program of an IPFS node (kubo v0.40.1); retrieval/p2p's TestBitswap is the same with a library", kuboEnv)
	}
	node := startKubo(t, program)
	node.daemon("--enable-gc=false")
	identity, err := p2p.LoadIdentity(filepath.Join(t.TempDir(), "identity"))
	if err != nil {
		t.Fatal(err)
	}
	miner, err := p2p.New(p2p.Config{Identity: identity, Listen: p2p.LoopbackAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer miner.Close()
	l := &liar{blocks: map[string][]byte{}}
	gateway := httptest.NewServer(mustNew(t, Config{Source: l}))
	defer gateway.Close()
	if err := miner.ServeBitswap(l); err != nil {
		t.Fatal(err)
	}
	for _, a := range miner.Addrs() {
		if strings.Contains(a, "/tcp/") {
			node.run("swarm", "connect", a)
		}
	}
	root, _, content := l.file(t, 1)
	if got := node.run("cat", root.String()); got != string(content) {
		t.Errorf("by bitswap: %d bytes of %d", len(got), len(content))
	}
	root, _, content = l.file(t, 2)
	if err := importFrom(t, node, gateway.URL, root); err != nil {
		t.Error(err)
	}
	if got := node.run("cat", "--offline", root.String()); got != string(content) {
		t.Errorf("from the gateway: %d bytes of %d", len(got), len(content))
	}
	seed := byte(3)
	for name, spoil := range spoils {
		root, leaf, _ := l.file(t, seed)
		seed++
		l.blocks[string(leaf.Hash())] = spoil(l.blocks[string(leaf.Hash())])
		if err := importFrom(t, node, gateway.URL, root); err == nil {
			t.Errorf("%s: the node took the archive", name)
		}
		if got, err := node.try("cat", "--timeout=5s", root.String()); err == nil {
			t.Errorf("%s: the node took %d bytes by bitswap", name, len(got))
		}
		if _, err := node.try("block", "stat", "--offline", leaf.String()); err == nil {
			t.Errorf("%s: the node kept the block", name)
		}
	}
}

func mustNew(t testing.TB, cfg Config) http.Handler {
	t.Helper()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// importFrom has the node take in the archive that a gateway gives.
func importFrom(t testing.TB, node *kubo, base string, root cid.Cid) error {
	t.Helper()
	resp, err := http.Get(base + "/ipfs/" + root.String() + "?format=car")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	path := filepath.Join(t.TempDir(), "fetched.car")
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = node.try("dag", "import", "--offline", "--timeout=20s", path)
	return err
}
