package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/files"
	ipfs "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs/importer"
	"github.com/ipfs/boxo/path"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/gateway/kubotest"
	"github.com/perdure/perdure/retrieval/p2p"
)

// liar is a store of blocks that a test spoils: a Source, and a Blockstore that
// gives out what it has unchecked.
type liar struct {
	blockstore.Blockstore
	mu     sync.Mutex
	blocks map[string][]byte // by multihash
}

// set replaces a block, or removes it. Who serves from it may be reading.
func (l *liar) set(c cid.Cid, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocks[string(c.Hash())] = data
}

func (l *liar) look(c cid.Cid) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.blocks[string(c.Hash())]
}

func (l *liar) Ready() error { return nil }

func (l *liar) Status(_ context.Context, c cid.Cid) (Status, error) {
	if l.look(c) == nil {
		return Status{}, nil
	}
	return Status{State: Free}, nil
}

func (l *liar) Block(_ context.Context, c cid.Cid) ([]byte, error) {
	if data := l.look(c); data != nil {
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
		l.set(c, b.RawData())
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
		l.set(leaf, spoil(l.look(leaf)))
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

// forgeries are what a gateway that lies may do to an archive, at one of its blocks.
var forgeries = map[string]func(all []car.Block, at int) []car.Block{
	"byte flipped": func(all []car.Block, at int) []car.Block {
		all[at].Data = bytes.Clone(all[at].Data)
		all[at].Data[7] ^= 1
		return all
	},
	"block missing": func(all []car.Block, at int) []car.Block { return slices.Delete(all, at, at+1) },
	"block too many": func(all []car.Block, at int) []car.Block {
		extra := merkledag.NewRawNode([]byte("what nobody asked for"))
		return slices.Insert(all, at, car.Block{CID: extra.Cid(), Data: extra.RawData()})
	},
	"blocks exchanged": func(all []car.Block, at int) []car.Block {
		all[at], all[at+1] = all[at+1], all[at]
		return all
	},
}

// forge reads an archive and writes another one.
func forge(raw []byte, change func([]car.Block, int) []car.Block) ([]byte, error) {
	r, err := car.NewReader(bytes.NewReader(raw), car.Options{AnyRoots: true})
	if err != nil {
		return nil, err
	}
	var all []car.Block
	for {
		block, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		block.Data = bytes.Clone(block.Data)
		all = append(all, block)
	}
	var out bytes.Buffer
	w, err := car.NewWriter(&out, r.Roots()[0])
	if err != nil {
		return nil, err
	}
	for _, block := range change(all, 5) {
		if err := w.Put(block.CID, block.Data); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// TestArchiveReader: what IPFS gateways are made of that fetch from other gateways
// (boxo) reads a file from an archive of ours, and nothing but its beginning from
// one that was changed.
func TestArchiveReader(t *testing.T) {
	l := &liar{blocks: map[string][]byte{}}
	root, _, content := l.file(t, 1)
	honest := mustNew(t, Config{Source: l})
	var change func([]car.Block, int) []car.Block
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		honest.ServeHTTP(answer, r)
		raw := answer.Body.Bytes()
		if change != nil {
			var err error
			if raw, err = forge(raw, change); err != nil {
				t.Error(err)
			}
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		w.Write(raw)
	}))
	defer server.Close()
	reader, err := ipfs.NewRemoteCarBackend([]string{server.URL}, server.Client(), ipfs.WithPrometheusRegistry(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	read := func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		_, node, err := reader.GetAll(ctx, path.FromCid(root))
		if err != nil {
			return nil, err
		}
		defer node.Close()
		return io.ReadAll(files.ToFile(node))
	}
	if got, err := read(); err != nil || !bytes.Equal(got, content) {
		t.Errorf("from an honest gateway: %d bytes of %d, %v", len(got), len(content), err)
	}
	for name, c := range forgeries {
		change = c
		if got, err := read(); err == nil || !bytes.HasPrefix(content, got) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(content), err)
		}
	}
}

// TestKuboFetches: an ordinary IPFS node fetches a public file by bitswap from a
// miner's host, as an archive from its gateway, and block by block from the gateway
// that it finds by asking for providers. It takes the file in none of these ways
// from a store with a fault in one block, checked or unchecked.
func TestKuboFetches(t *testing.T) {
	program := kubotest.Program(t)
	l := &liar{blocks: map[string][]byte{}}
	identity, err := p2p.LoadIdentity(filepath.Join(t.TempDir(), "identity"))
	if err != nil {
		t.Fatal(err)
	}
	miner, err := p2p.New(p2p.Config{Identity: identity, Listen: p2p.LoopbackAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer miner.Close()
	if err := miner.ServeBitswap(l); err != nil {
		t.Fatal(err)
	}
	checked := httptest.NewServer(mustNew(t, Config{Source: l}))
	defer checked.Close()
	unchecked := httptest.NewServer(http.HandlerFunc(l.rawBlock))
	defer unchecked.Close()

	byBitswap := kubotest.New(t, program)
	byBitswap.Daemon("--enable-gc=false")
	for _, a := range miner.Addrs() {
		if strings.Contains(a, "/tcp/") {
			byBitswap.Run("swarm", "connect", a)
		}
	}
	byArchive := kubotest.New(t, program)
	ways := map[string]func(root cid.Cid) (string, error){
		"bitswap": func(root cid.Cid) (string, error) { return byBitswap.Try("cat", "--timeout=5s", root.String()) },
		"archive": func(root cid.Cid) (string, error) {
			archive, err := archiveFrom(checked.URL, root)
			if err == nil {
				err = byArchive.Import(archive)
			}
			if err != nil {
				return "", err
			}
			return byArchive.Try("cat", "--offline", root.String())
		},
	}
	for way, from := range map[string]*httptest.Server{"gateway": checked, "unchecked gateway": unchecked} {
		node := gatewayClient(t, program, from)
		ways[way] = func(root cid.Cid) (string, error) { return node.Try("cat", "--timeout=8s", root.String()) }
	}
	seed := byte(0)
	for way, fetch := range ways {
		seed++
		root, _, content := l.file(t, seed)
		if got, err := fetch(root); err != nil || got != string(content) {
			t.Errorf("%s: %d bytes of %d, %v", way, len(got), len(content), err)
		}
		for fault, spoil := range spoils {
			seed++
			root, leaf, _ := l.file(t, seed)
			l.set(leaf, spoil(bytes.Clone(l.look(leaf))))
			if got, err := fetch(root); err == nil {
				t.Errorf("%s, %s: the node took %d bytes", way, fault, len(got))
			}
		}
	}
}

// TestKuboForgeries: a node takes no file from an archive in which a byte is
// flipped or a block missing. A block too many it keeps apart from the file, as
// one that it was given for nothing.
func TestKuboForgeries(t *testing.T) {
	node := kubotest.New(t, kubotest.Program(t))
	l := &liar{blocks: map[string][]byte{}}
	server := serve(t, Config{Source: l})
	seed := byte(100)
	for name, change := range forgeries {
		seed++
		root, _, content := l.file(t, seed)
		raw, err := archiveFrom(server.URL, root)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = forge(raw, change); err != nil {
			t.Fatal(err)
		}
		whole := name == "block too many" || name == "blocks exchanged"
		if err := node.Import(raw); (err == nil) != whole {
			t.Errorf("%s: taken in: %v", name, err)
		}
		if got, err := node.Try("cat", "--offline", root.String()); (err == nil) != whole || whole && got != string(content) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(content), err)
		}
	}
}

// gatewayClient is an IPFS node that asks one place who has something, and is told
// the gateway to fetch it from.
func gatewayClient(t *testing.T, program string, from *httptest.Server) *kubotest.Node {
	t.Helper()
	provider := Provider{Addrs: []string{doorAddr(from, peerID)}, Protocols: []string{protocolGateway}}
	return routedNode(t, program, serve(t, Config{Source: &shelf{Store: storeOf(t, Terms{}), providers: []Provider{provider}}}).URL)
}

// routedNode is an IPFS node that asks one place who has something, and fetches from
// gateways, too.
func routedNode(t *testing.T, program, routing string) *kubotest.Node {
	t.Helper()
	node := kubotest.New(t, program)
	node.Config("Routing.Type", `"delegated"`)
	node.Config("Provide.Enabled", "false")
	node.Config("Routing.DelegatedRouters", fmt.Sprintf("[%q]", routing+"/routing/v1/providers"))
	node.Config("HTTPRetrieval.Enabled", "true")
	node.Daemon("--enable-gc=false")
	return node
}

// rawBlock answers requests for blocks without a look at them.
func (l *liar) rawBlock(w http.ResponseWriter, r *http.Request) {
	p, ok := contentPath(r)
	if !ok {
		http.Error(w, "no CID", http.StatusBadRequest)
		return
	}
	data, err := l.Block(r.Context(), p.RootCid())
	if err != nil && p.RootCid().Prefix().MhType != 0 { // an empty block by identity is asked for to see who is there
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.ipld.raw")
	w.Write(data)
}

// archiveFrom fetches an archive from a gateway.
func archiveFrom(base string, root cid.Cid) ([]byte, error) {
	resp, err := http.Get(base + "/ipfs/" + root.String() + "?format=car")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	return io.ReadAll(resp.Body)
}

func mustNew(t testing.TB, cfg Config) http.Handler {
	t.Helper()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
