package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ipfs/boxo/bitswap/network"
	routing "github.com/ipfs/boxo/routing/http/client"
	"github.com/ipfs/boxo/routing/http/contentrouter"
	"github.com/ipfs/boxo/routing/http/types"
	"github.com/ipfs/boxo/routing/http/types/iter"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/gateway/kubotest"
	"github.com/perdure/perdure/retrieval/p2p"
)

// otherID is the peer ID of another miner.
const otherID = "12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE"

// doors is a chain on which each of the peers has a deal in force over everything.
type doors []chain.Peer

func (d doors) DealsOf(context.Context, cid.Cid, int) ([]*chain.Deal, error) {
	var out []*chain.Deal
	for i := range d {
		out = append(out, &chain.Deal{Miner: uint64(i), State: chain.DealActive})
	}
	return out, nil
}

func (d doors) Peer(_ context.Context, m chain.MinerID) (chain.Peer, error) { return d[m], nil }

// doorAddr is the HTTP address of a server as a peer announces it.
func doorAddr(of *httptest.Server, peer string) string {
	at := of.Listener.Addr().(*net.TCPAddr)
	return fmt.Sprintf("/ip4/%s/tcp/%d/http/p2p/%s", at.IP, at.Port, peer)
}

// routingShelf serves a shelf whose node is on the chain with its door, and another
// miner with a door as well.
func routingShelf(t *testing.T) (*testShelf, *httptest.Server) {
	t.Helper()
	s := newTestShelf(t)
	server := serve(t, Config{Source: s})
	self, err := p2p.ParsePeer("/ip4/192.0.2.1/tcp/1/p2p/"+peerID, doorAddr(server, peerID))
	if err != nil {
		t.Fatal(err)
	}
	other, err := p2p.ParsePeer(doorAddr(server, otherID))
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.Deals, s.cfg.Door = NewDeals(doors{self, other}), p2p.FormatDoors(self)
	return s, server
}

// providersBy asks as IPFS nodes do, and returns the answer.
func providersBy(t *testing.T, base string, root cid.Cid, wanted ...string) []*types.PeerRecord {
	t.Helper()
	c, err := routing.New(base, routing.WithProtocolFilter(wanted))
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.FindProviders(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	all, err := iter.ReadAllResults(found)
	if err != nil {
		t.Fatal(err)
	}
	var out []*types.PeerRecord
	for _, r := range all {
		record, ok := r.(*types.PeerRecord)
		if !ok {
			t.Fatalf("record is %T", r)
		}
		out = append(out, record)
	}
	return out
}

// TestDoorNamed: the client of IPFS nodes reads the miner's own record, finds the
// gateway among its addresses, and gets a block there. What is not free is not said to
// be had so; of another miner's door nothing is said.
func TestDoorNamed(t *testing.T) {
	s, server := routingShelf(t)
	_, given := s.add(Free, "given away")
	_, sold := s.add(Priced, "sold")
	s.looked()
	for range 2 { // an answer that is remembered stays as it was
		for _, c := range []struct {
			root   cid.Cid
			wanted []string
			peers  []string
		}{
			{given[0], nil, []string{peerID, otherID}},
			{given[0], []string{protocolGateway}, []string{peerID}},
			{given[0], []string{"unknown", "transport-bitswap", protocolGateway}, []string{peerID}},
			{sold[0], nil, []string{peerID, otherID}},
			{sold[0], []string{protocolGateway}, nil},
			{sold[0], []string{protocolRetrieve}, []string{peerID, otherID}},
		} {
			var got []string
			for _, r := range providersBy(t, server.URL, c.root, c.wanted...) {
				got = append(got, r.ID.String())
			}
			if fmt.Sprint(got) != fmt.Sprint(c.peers) {
				t.Errorf("%s, wanted %q: %q, want %q", c.root, c.wanted, got, c.peers)
			}
		}
	}
	own := providersBy(t, server.URL, given[0], protocolGateway)[0]
	if got := strings.Join(own.Protocols, " "); got != protocolRetrieve+" "+protocolGateway || len(own.Addrs) != 2 {
		t.Errorf("protocols %q, addresses %v", got, own.Addrs)
	}
}

// TestDoorDialled: what an IPFS node makes of the record are the addresses of a stream
// and of a server, and the server gives the block.
func TestDoorDialled(t *testing.T) {
	s, server := routingShelf(t)
	_, given := s.add(Free, "given away")
	s.looked()
	c, err := routing.New(server.URL, routing.WithProtocolFilter([]string{protocolGateway}))
	if err != nil {
		t.Fatal(err)
	}
	var found []peer.AddrInfo
	for info := range contentrouter.NewContentRoutingClient(c).FindProvidersAsync(t.Context(), given[0], 5) {
		found = append(found, info)
	}
	if len(found) != 1 || found[0].ID.String() != peerID {
		t.Fatalf("found %v", found)
	}
	byHTTP, byStream := network.SplitHTTPAddrs(found[0])
	if len(byHTTP.Addrs) != 1 || len(byStream.Addrs) != 1 || byStream.Addrs[0].String() != "/ip4/192.0.2.1/tcp/1" {
		t.Fatalf("%v and %v", byHTTP, byStream)
	}
	urls := network.ExtractURLsFromPeer(byHTTP)
	if len(urls) != 1 {
		t.Fatalf("URLs %v of %v", urls, byHTTP)
	}
	if got := request(t, urls[0].URL.String(), "GET", "/ipfs/"+given[0].String()+"?format=raw"); got.StatusCode != 200 || got.body != "given away" {
		t.Errorf("%s %q", got.Status, got.body)
	}
}

// TestKuboRouting: an IPFS node that knows nothing but a miner's routing fetches a
// payload from the miner's gateway.
func TestKuboRouting(t *testing.T) {
	program := kubotest.Program(t)
	s, server := routingShelf(t)
	_, given := s.add(Free, "given away to whoever finds it")
	s.looked()
	node := routedNode(t, program, server.URL)
	if got, err := node.Try("cat", "--timeout=20s", given[0].String()); err != nil || got != "given away to whoever finds it" {
		t.Errorf("%q, %v", got, err)
	}
}
