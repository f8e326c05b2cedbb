package p2p

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/perdure/perdure/chain"
)

// LoopbackAddrs listens on 127.0.0.1 over TCP and QUIC on free ports.
func LoopbackAddrs() []string {
	return []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
}

// AllAddrs listens on all interfaces over TCP and QUIC; port 0 takes free ones.
func AllAddrs(port int) []string {
	return []string{
		fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", port), fmt.Sprintf("/ip4/0.0.0.0/udp/%d/quic-v1", port),
		fmt.Sprintf("/ip6/::/tcp/%d", port), fmt.Sprintf("/ip6/::/udp/%d/quic-v1", port),
	}
}

// FormatAddrs writes where a peer is reached as people paste it: addresses with
// the peer ID, or the ID alone. Addresses that cannot be read are left out.
func FormatAddrs(p chain.Peer) []string {
	info, err := addrInfo(p)
	if err != nil {
		return nil
	}
	end := "/p2p/" + info.ID.String()
	if len(info.Addrs) == 0 {
		return []string{end}
	}
	var out []string
	for _, a := range info.Addrs {
		out = append(out, a.String()+end)
	}
	return out
}

// FormatDoors writes the HTTP addresses among a peer's, which FormatAddrs leaves out.
func FormatDoors(p chain.Peer) []string {
	var out []string
	for _, raw := range p.Addrs {
		if a, err := ma.NewMultiaddrBytes(raw); err == nil && isHTTP(a) {
			out = append(out, a.String()+"/p2p/"+FormatPeer(string(p.ID)))
		}
	}
	return out
}

// addrOf reads an address of a peer that may end in the peer's ID.
func addrOf(text string, id peer.ID) ([]byte, bool) {
	a, err := ma.NewMultiaddr(text)
	if err != nil {
		return nil, false
	}
	rest, named := peer.SplitAddr(a)
	if rest == nil || named != "" && named != id {
		return nil, false
	}
	return rest.Bytes(), true
}

// FormatPeer writes a binary peer ID as people read it.
func FormatPeer(id string) string { return peer.ID(id).String() }

// ParsePeer reads "/ip4/.../p2p/ID" addresses of one peer.
func ParsePeer(addrs ...string) (chain.Peer, error) {
	var out chain.Peer
	for _, s := range addrs {
		info, err := peer.AddrInfoFromString(s)
		if err != nil {
			return chain.Peer{}, fmt.Errorf("peer address %q: %w", s, err)
		}
		if out.ID != nil && string(out.ID) != string(info.ID) {
			return chain.Peer{}, fmt.Errorf("peer address %q: names another peer than the first", s)
		}
		out.ID = []byte(info.ID)
		for _, a := range info.Addrs {
			out.Addrs = append(out.Addrs, a.Bytes())
		}
	}
	return out, nil
}

// addrInfo reads what the chain says about a peer. Addresses that cannot be
// read are left out: one bad address does not make a miner unreachable.
func addrInfo(p chain.Peer) (peer.AddrInfo, error) {
	id, err := peer.IDFromBytes(p.ID)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("peer ID %x: %w", p.ID, err)
	}
	info := peer.AddrInfo{ID: id}
	for _, raw := range p.Addrs {
		a, err := ma.NewMultiaddrBytes(raw)
		if err != nil || isHTTP(a) {
			continue
		}
		if rest, id := peer.SplitAddr(a); id == "" || id == info.ID {
			a = rest
		}
		if a != nil {
			info.Addrs = append(info.Addrs, a)
		}
	}
	return info, nil
}

// isHTTP reports whether an address is that of an HTTP door, which no stream goes
// through.
func isHTTP(a ma.Multiaddr) bool {
	for _, p := range a.Protocols() {
		if p.Code == ma.P_HTTP || p.Code == ma.P_HTTPS {
			return true
		}
	}
	return false
}
