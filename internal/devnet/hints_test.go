package devnet

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/boxo/bitswap/network"
	routing "github.com/ipfs/boxo/routing/http/client"
	"github.com/ipfs/boxo/routing/http/contentrouter"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/receipts"
)

// batched is how many files share a piece.
const batched = 3

// TestBatchedFile: three files are batched into one piece. The node hears of them at
// the miner's door, so that a stranger's client, which knows nothing but a root, gets
// the file; the miner's own routing leads IPFS nodes to its gateway, which has it too.
// What is damaged on the miner's disk comes neither way.
func TestBatchedFile(t *testing.T) {
	s := setStage(t, 1)
	m := s.Miners[0]
	base := s.openDoors(m)
	roots := s.batch(m)
	content := func(i int) []byte { return some(250, byte('a'+i)) }
	for _, root := range roots {
		s.until("claimed", func() bool { return len(s.claims(root)) > 0 })
		if got := s.claims(root); len(got) != 1 || !got[0].Claimed || got[0].PayloadRoot == root.String() {
			t.Errorf("%s: claims %+v", root, got)
		}
	}
	if said, err := download(base + receipts.Path); err != nil || !bytes.Contains(said, []byte(`"miner":"`+chain.FormatMiner(m.ID, chain.Testnet)+`"`)) {
		t.Errorf("the door for receipts says %q, %v", said, err)
	}
	s.damage(m, content(batched-1))
	stranger := s.stranger()
	for i, root := range roots {
		dest := filepath.Join(t.TempDir(), "file")
		got, err := stranger.Get(s.ctx, root, dest, client.GetOptions{FreeOnly: true})
		copied, _ := os.ReadFile(dest)
		fromGateway, gatewayErr := download(s.routed(m, base, root) + "/ipfs/" + root.String())
		if i == batched-1 {
			if err == nil || gatewayErr == nil || len(copied) > 0 {
				t.Errorf("damaged: %d bytes, %v, and %d bytes, %v", len(copied), err, len(fromGateway), gatewayErr)
			}
			continue
		}
		if err != nil || !bytes.Equal(copied, content(i)) || got.Bytes == 0 || !got.Paid.IsZero() {
			t.Errorf("file %d: %d bytes, %+v, %v", i, len(copied), got, err)
		}
		if gatewayErr != nil || !bytes.Equal(fromGateway, content(i)) {
			t.Errorf("file %d by HTTP: %d bytes, %v", i, len(fromGateway), gatewayErr)
		}
	}
	s.check()
}

// batch stores three public files together on a miner and returns the root of each.
func (s *stage) batch(m *Miner) (roots []cid.Cid) {
	s.t.Helper()
	c, o := s.client(), client.PutOptions{Public: true, Copies: 1}
	for i := range batched {
		path := filepath.Join(s.t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(path, some(250, byte('a'+i)), 0o600); err != nil {
			s.t.Fatal(err)
		}
		kept, err := c.AddToBatch(s.ctx, path, o)
		if err != nil {
			s.t.Fatal(err)
		}
		root, err := client.ParseRoot(kept.Root)
		if err != nil {
			s.t.Fatal(err)
		}
		roots = append(roots, root)
	}
	var put *client.ManyResult
	s.during("flush", func() (err error) {
		put, err = c.Flush(s.ctx, o)
		return err
	})
	if !put.Complete() || len(put.Stored) != 1 || slices.ContainsFunc(put.Objects, func(o *files.Object) bool { return o.In == 0 }) {
		s.t.Fatalf("%d pieces, complete %v, for %d files", len(put.Stored), put.Complete(), len(put.Objects))
	}
	pieceOf(s.t, m)
	return roots
}

// claims are the deals that the node lists for a root.
func (s *stage) claims(root cid.Cid) []*explorer.Deal {
	s.t.Helper()
	var page explorer.List[*explorer.Deal]
	if err := s.chain.JSON(s.ctx, "/v1/deals?root="+root.String(), &page); err != nil {
		s.t.Fatal(err)
	}
	return page.Items
}

// damage flips a byte of a file in the only piece on a miner's disk.
func (s *stage) damage(m *Miner, content []byte) {
	s.t.Helper()
	path := pieceOf(s.t, m)
	raw, err := os.ReadFile(path)
	at := bytes.Index(raw, content)
	if err != nil || at < 0 {
		s.t.Fatalf("the file is at %d of the piece, %v", at, err)
	}
	raw[at+100] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// stranger opens the client of another home, which has no key and no record.
func (s *stage) stranger() *client.Client {
	s.t.Helper()
	c, err := client.Open(client.Options{Home: s.t.TempDir(), Node: s.chain.Base(), Guest: true, Log: s.log})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return c
}

// routed asks a miner's routing as IPFS nodes do and returns the URL of the gateway
// that its own record names.
func (s *stage) routed(m *Miner, base string, root cid.Cid) string {
	s.t.Helper()
	c, err := routing.New(base, routing.WithProtocolFilter([]string{"transport-ipfs-gateway-http"}))
	if err != nil {
		s.t.Fatal(err)
	}
	var found []peer.AddrInfo
	for info := range contentrouter.NewContentRoutingClient(c).FindProvidersAsync(s.ctx, root, 9) {
		found = append(found, info)
	}
	if len(found) != 1 || !strings.HasSuffix(m.Addrs()[0], found[0].ID.String()) {
		s.t.Fatalf("%s: providers %v", root, found)
	}
	urls := network.ExtractURLsFromPeer(found[0])
	if len(urls) != 1 || urls[0].URL.String() != base || len(found[0].Addrs) < 2 {
		s.t.Fatalf("%s: URLs %v of %v, want %s", root, urls, found[0], base)
	}
	return urls[0].URL.String()
}
