package client_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/clienttest"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/ledger"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// mostResident is what packing and fetching may take of memory, chain and seller
// in the same process, however large the content is.
const mostResident = 200 << 20

// TestMemory packs and fetches a large file, private as by default, in a process
// of its own: PERDURE_MEMORY=1GiB go test ./client -run TestMemory -v
func TestMemory(t *testing.T) {
	text := os.Getenv("PERDURE_MEMORY")
	if text == "" {
		t.Skip("PERDURE_MEMORY=1GiB packs and fetches so much, and says what memory that took")
	}
	if os.Getenv("PERDURE_MEMORY_CHILD") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemory$", "-test.v", "-test.timeout=60m")
		cmd.Env = append(os.Environ(), "PERDURE_MEMORY_CHILD=1")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	size, err := chain.ParseSize(text)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 1)
	w.ctx = t.Context()
	w.chain.Pause(true)                     // it keeps all of its history in memory: no block without a message
	path := filepath.Join(w.dir, "content") // has no blocks on disk; as it is stored it is noise
	w.must(os.WriteFile(path, nil, 0o600))
	w.must(os.Truncate(path, int64(size)))
	start := time.Now()
	packed, err := pack.Pack(w.ctx, path, pack.Options{MaxPieceSize: 64 << 30, WorkDir: w.dir})
	w.must(err)
	t.Logf("packed in %.1f s: %d MiB resident at most", time.Since(start).Seconds(), resident(t)>>20)
	c := w.large(packed)
	dest := filepath.Join(w.dir, "fetched")
	got, err := c.Get(w.ctx, packed.Root, dest, client.GetOptions{Key: packed.Key})
	w.must(err)
	if got.SHA256 != packed.SHA256 || got.Size != size {
		t.Error("other bytes came back")
	}
	most := resident(t)
	t.Logf("fetched %d bytes in %d chunks and %.1f s: %d MiB resident at most", got.Bytes, got.Chunks, got.Seconds, most>>20)
	if most > mostResident {
		t.Errorf("%d MiB resident, at most %d MiB are allowed", most>>20, mostResident>>20)
	}
}

// resident is the most memory that the process has had, in bytes.
func resident(t *testing.T) uint64 {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Skip("no /proc here")
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// largeChain is a chain with one deal more, over a piece that no sector of the test
// network could hold.
type largeChain struct {
	*clienttest.Chain
	deal *chain.Deal
}

// Record implements deals.Chain.
func (l largeChain) Record(ctx context.Context, k chain.Key, into chain.CBOR) (bool, error) {
	if d, ok := into.(*chain.Deal); ok && k == chain.DealKey(l.deal.ID) {
		*d = *l.deal
		return true, nil
	}
	return l.Chain.Record(ctx, k, into)
}

// DealsOfPiece implements client.Directory.
func (largeChain) DealsOfPiece(context.Context, string) ([]uint64, error) { return nil, nil }

// Submit implements deals.Chain: the message is in the next block, which is made at once.
func (l largeChain) Submit(ctx context.Context, raw []byte) error {
	if err := l.Chain.Submit(ctx, raw); err != nil {
		return err
	}
	l.Advance(1)
	return nil
}

// DealsOf implements client.Directory.
func (l largeChain) DealsOf(context.Context, string) (deals, claimed []uint64, err error) {
	return []uint64{l.deal.ID}, nil, nil
}

// large has the miner sell packed content, and makes a client that knows of it.
func (w *world) large(packed *pack.Packed) *client.Client {
	w.t.Helper()
	one := &packed.Pieces[0]
	m := w.miners[0]
	payee, err := chain.AddressOfKey(clienttest.Key(2))
	w.must(err)
	book, err := ledger.Open(filepath.Join(w.dir, "shop"), ledger.Options{})
	w.must(err)
	w.t.Cleanup(func() { w.must(errors.Join(m.Host.Close(), book.Close())) })
	shop, err := seller.New(seller.Config{ChainID: "clienttest", Source: largeSource{one}, Chain: m, Ledger: book, SettleDelay: 40,
		Prices: seller.Terms{Access: seller.Paid, Payee: &payee, Price: clienttest.ChunkPrice}})
	w.must(err)
	m.Host.Serve(shop.Handle)
	node := largeChain{w.chain, &chain.Deal{ID: 999, State: chain.DealActive, Miner: m.ID, PieceCID: one.CID, PaddedSize: one.PaddedSize,
		PayloadRoot: packed.Root, Parts: 1}}
	identity, err := p2p.LoadIdentity(filepath.Join(w.home, "identity"))
	w.must(err)
	host, err := p2p.New(p2p.Config{Identity: identity})
	w.must(err)
	w.t.Cleanup(func() { w.must(host.Close()) })
	sender, err := wallet.NewSender(node, clienttest.Key(clienttest.ClientKey), chain.Amount{})
	w.must(err)
	c, err := client.New(client.Config{Home: w.home, Chain: node, Directory: node, Sender: sender, Host: host})
	w.must(err)
	return c
}

// largeSource is a seller.Source of one piece.
type largeSource struct{ piece *pack.Piece }

// Find implements seller.Source.
func (largeSource) Find(context.Context, cid.Cid, uint64) (seller.Content, error) {
	return seller.Content{}, seller.ErrNotFound
}

// Open implements seller.Source.
func (s largeSource) Open(context.Context, seller.Content) (*car.Index, seller.Archive, error) {
	f, err := os.OpenFile(s.piece.CARPath, os.O_RDWR, 0)
	return s.piece.Index, givenAway{f}, err
}

// givenAway is an archive that gives the disk back what it has sold, so that the test
// needs the content's size once. Leaves are sold once.
type givenAway struct{ *os.File }

// ReadAt implements io.ReaderAt.
func (g givenAway) ReadAt(p []byte, off int64) (int, error) {
	const leaf, keepSize, punchHole = 256 << 10, 1, 2
	n, err := g.File.ReadAt(p, off)
	if err == nil && n == leaf {
		err = syscall.Fallocate(int(g.Fd()), keepSize|punchHole, off, leaf)
	}
	return n, err
}
