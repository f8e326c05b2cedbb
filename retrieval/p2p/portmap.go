package p2p

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	natpmp "github.com/jackpal/go-nat-pmp"
	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-netroute"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// portMap asks the router for ports: by UPnP as libp2p does, and by NAT-PMP (RFC
// 6886) itself. libp2p's own NAT-PMP does not find the router on Linux: it looks for
// the route to 0.0.0.0, which its library for routes refuses (go-netroute v0.4.0).
type portMap struct {
	basichost.NATManager // UPnP

	net    network.Network
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	router bool
	public netip.Addr
	ports  map[port]uint16 // outside
}

// port is one that the host listens on.
type port struct {
	transport string // tcp or udp
	number    uint16
}

// pmpLife is how long the router keeps a port unless it is asked again, pmpAnswer how
// long it may take to answer, pmpLook how often the host's ports are looked at.
const (
	pmpLife   = time.Hour
	pmpAnswer = 2 * time.Second
	pmpLook   = time.Second
)

// elsewhere is a place that no machine has (RFC 5737): the way there is the default route.
var elsewhere = net.IPv4(192, 0, 2, 1)

func newPortMap(n network.Network) *portMap {
	ctx, cancel := context.WithCancel(context.Background())
	m := &portMap{NATManager: basichost.NewNATManager(n), net: n, cancel: cancel, ports: map[port]uint16{}}
	m.done.Go(func() { m.run(ctx) })
	return m
}

// run keeps the host's ports mapped until ctx ends. A router that does not answer is
// not asked again.
func (m *portMap) run(ctx context.Context) {
	routes, err := netroute.New()
	if err != nil {
		return
	}
	_, gateway, _, err := routes.Route(elsewhere)
	if err != nil || gateway == nil {
		return
	}
	client := natpmp.NewClientWithTimeout(gateway, pmpAnswer)
	at, err := client.GetExternalAddress()
	if err != nil {
		return
	}
	m.mu.Lock()
	m.router, m.public = true, netip.AddrFrom4(at.ExternalIPAddress)
	m.mu.Unlock()
	asked := map[port]time.Time{}
	look := time.NewTicker(pmpLook)
	defer look.Stop()
	for {
		for p := range m.listening() {
			if time.Since(asked[p]) > pmpLife/2 {
				asked[p] = time.Now()
				m.ask(client, p)
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			m.release(client)
			return
		}
	}
}

// listening are the ports that the host listens on for other machines.
func (m *portMap) listening() map[port]bool {
	out := map[port]bool{}
	for _, a := range m.net.ListenAddresses() {
		if p, _, ok := portOf(a); ok {
			out[p] = true
		}
	}
	return out
}

// portOf splits a listen address into its port and what comes after it; false for one
// that a router of IPv4 cannot map.
func portOf(a ma.Multiaddr) (p port, rest ma.Multiaddr, ok bool) {
	if len(a) < 2 || a[0].Code() != ma.P_IP4 || manet.IsIPLoopback(a) {
		return p, nil, false
	}
	switch a[1].Code() {
	case ma.P_TCP, ma.P_UDP:
	default:
		return p, nil, false
	}
	if _, err := fmt.Sscan(a[1].Value(), &p.number); err != nil {
		return p, nil, false
	}
	p.transport = a[1].Protocol().Name
	return p, a[2:], true
}

// ask asks the router for a port, the one of the same number if it can be had.
func (m *portMap) ask(client *natpmp.Client, p port) {
	m.mu.Lock()
	wish, held := m.ports[p]
	m.mu.Unlock()
	if !held {
		wish = p.number
	}
	given, err := client.AddPortMapping(p.transport, int(p.number), int(wish), int(pmpLife/time.Second))
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		delete(m.ports, p)
		return
	}
	m.ports[p] = given.MappedExternalPort
}

// release gives the ports back, which the router would keep for an hour.
func (m *portMap) release(client *natpmp.Client) {
	m.mu.Lock()
	held := maps.Clone(m.ports)
	m.mu.Unlock()
	for p := range held {
		if _, err := client.AddPortMapping(p.transport, int(p.number), 0, 0); err != nil {
			return // a router that is gone keeps nothing
		}
	}
}

// GetMapping implements basichost.NATManager.
func (m *portMap) GetMapping(listen ma.Multiaddr) ma.Multiaddr {
	if a := m.NATManager.GetMapping(listen); a != nil {
		return a
	}
	p, rest, ok := portOf(listen)
	if !ok {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	number, held := m.ports[p]
	if !held {
		return nil
	}
	out, err := ma.NewMultiaddr(fmt.Sprintf("/ip4/%s/%s/%d", m.public, p.transport, number))
	if err != nil {
		return nil
	}
	return append(out, rest...)
}

// HasDiscoveredNAT implements basichost.NATManager.
func (m *portMap) HasDiscoveredNAT() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.router || m.NATManager.HasDiscoveredNAT()
}

// Close implements basichost.NATManager.
func (m *portMap) Close() error {
	m.cancel()
	m.done.Wait()
	return m.NATManager.Close()
}
