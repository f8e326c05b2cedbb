package p2p

import (
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

// afterTCP is how long QUIC waits for TCP, where a peer has both. A refused
// connection ends the wait.
const afterTCP = swarm.PublicTCPDelay

// rankDials tries TCP before QUIC, where libp2p does the reverse: a transfer
// by QUIC takes about three times the processor (docs/benchmarks.md). The rest
// is libp2p's order: IPv6 beside IPv4, relays last.
func rankDials(addrs []ma.Multiaddr) []network.AddrDelay {
	var first, quic []ma.Multiaddr
	tcp := false
	for _, a := range addrs {
		switch {
		case has(a, ma.P_CIRCUIT):
			first = append(first, a)
		case has(a, ma.P_QUIC_V1):
			quic = append(quic, a)
		default:
			tcp = tcp || has(a, ma.P_TCP)
			first = append(first, a)
		}
	}
	if !tcp {
		return swarm.DefaultDialRanker(addrs)
	}
	order := swarm.DefaultDialRanker(first)
	for _, d := range swarm.DefaultDialRanker(quic) {
		d.Delay += afterTCP
		order = append(order, d)
	}
	return order
}

func has(a ma.Multiaddr, protocol int) bool {
	_, err := a.ValueForProtocol(protocol)
	return err == nil
}
