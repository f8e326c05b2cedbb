package p2p

import (
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
)

func TestRankDials(t *testing.T) {
	const relay = "/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN/p2p-circuit"
	for _, c := range []struct {
		name     string
		in, want []string
	}{
		{"TCP before QUIC", []string{"/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/1.2.3.4/tcp/1"}, []string{"/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/udp/1/quic-v1"}},
		{"QUIC alone waits for nobody", []string{"/ip4/1.2.3.4/udp/1/quic-v1"}, []string{"/ip4/1.2.3.4/udp/1/quic-v1"}},
		{"a relay after what is direct", []string{"/ip4/5.6.7.8/tcp/2" + relay, "/ip4/1.2.3.4/tcp/1"}, []string{"/ip4/1.2.3.4/tcp/1", "/ip4/5.6.7.8/tcp/2" + relay}},
		{"a relay's transport makes no TCP", []string{"/ip4/5.6.7.8/tcp/2" + relay, "/ip4/1.2.3.4/udp/1/quic-v1"}, []string{"/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/5.6.7.8/tcp/2" + relay}},
		{"nothing", nil, nil},
	} {
		var in []ma.Multiaddr
		for _, s := range c.in {
			in = append(in, ma.StringCast(s))
		}
		order := rankDials(in)
		slices.SortStableFunc(order, func(a, b network.AddrDelay) int { return int(a.Delay - b.Delay) })
		var got []string
		for i, d := range order {
			got = append(got, d.Addr.String())
			if first := i == 0; first != (d.Delay == 0) {
				t.Errorf("%s: place %d, %s, is tried after %s", c.name, i, d.Addr, d.Delay)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
