package p2p

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/observedaddrs"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/perdure/perdure/chain"
)

// Mode is what a host does about the routers (NAT) between it and others.
type Mode string

// The modes. A host that listens on loopback addresses alone is for one machine:
// with Auto it does what Dials says.
const (
	// Off: the host is reached where it listens, or where Config.Announce says,
	// and knows no relays. The empty Mode is the same.
	Off Mode = "off"
	// Dials: nobody has to find the host. It reaches peers behind routers of
	// theirs, by a relay and then, if both routers let it, directly.
	Dials Mode = "dials"
	// Auto: the host finds out whether strangers reach it. It asks its router for
	// ports; if peers cannot dial it back it takes places at relays, otherwise it
	// relays for others, within bounds.
	Auto Mode = "auto"
	// Private: as Auto, for a host that is known to be out of strangers' reach.
	Private Mode = "private"
	// Public: as Auto, for a host that strangers are known to reach.
	Public Mode = "public"
)

// ParseMode reads a mode as config files have it: auto, private, public or off.
// Empty is auto.
func ParseMode(text string) (Mode, error) {
	switch m := Mode(text); m {
	case "":
		return Auto, nil
	case Off, Auto, Private, Public:
		return m, nil
	}
	return "", fmt.Errorf("%q: want auto, private, public or off", text)
}

// NAT says how a host gets past routers.
type NAT struct {
	Mode Mode
	// Relays are multiaddrs, with peer IDs, of relays that are asked for a place
	// before all others.
	Relays []string
	// Peers names peers, such as the chain's miners, at most so many: those that
	// strangers reach dial back, tell the host how they see it, and relay. nil:
	// only those that connect for other reasons.
	Peers func(ctx context.Context, most int) []chain.Peer
	// NoPortMap asks no router for ports; NoRelayService relays for nobody.
	NoPortMap, NoRelayService bool
}

// What a host gives away as a relay: places of an hour, each with few connections at
// one time, each of which is cut after so much time or so many bytes in a direction.
// It is meant for the minute in which two peers punch a hole, and for a slow
// transfer where they cannot. A buyer goes on over another connection.
const (
	relayPlaces   = 32
	relayPlacesIP = 4 // from one address
	relayCircuits = 4 // to one place
	relayTime     = 15 * time.Minute
	relayBytes    = 128 << 20
	relayBuffer   = 16 << 10
)

// How a host looks for company: it stays connected to some peers that strangers
// reach, and looks for more of them at growing intervals.
const (
	company     = 6
	lookSoon    = 15 * time.Second
	lookSeldom  = 10 * time.Minute
	wantRelays  = 2
	relayPause  = 10 * time.Minute // after a relay had no place
	relayLook   = 15 * time.Second
	punchWait   = 5 * time.Second // for a hole, before a stream goes through the relay
	punchMemory = 2 * time.Minute // no waiting for holes to a peer when there was none
	maxMemory   = 1024            // peers
)

// init lets what two peers see count as an address: none is announced before it
// was dialled back, so that a lie of two of them costs a question.
func init() { observedaddrs.ActivationThresh = 2 }

// nat is what a host knows and does about routers.
type nat struct {
	mode   Mode
	cfg    NAT
	relays []peer.AddrInfo
	mapper basichost.NATManager // nil: no router is asked
	begun  time.Time
	wait   time.Duration // for a hole
	done   sync.WaitGroup

	mu        sync.Mutex
	seen      map[peer.ID]Sighting
	punches   Punches
	fruitless map[peer.ID]time.Time // when waiting for a hole was in vain
}

// newNAT reads the config of a host that listens there.
func newNAT(cfg NAT, listen []string) (*nat, error) {
	n := &nat{mode: cfg.Mode, cfg: cfg, begun: time.Now(), wait: punchWait, seen: map[peer.ID]Sighting{}, fruitless: map[peer.ID]time.Time{}}
	if n.mode == "" {
		n.mode = Off
	}
	var relays []ma.Multiaddr
	for _, text := range cfg.Relays {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			return nil, fmt.Errorf("relay %q: %w", text, err)
		}
		relays = append(relays, a)
	}
	var err error // the addresses of one relay belong together: which of them is best, the dial finds out
	if n.relays, err = peer.AddrInfosFromP2pAddrs(relays...); err != nil {
		return nil, fmt.Errorf("relays: %w", err)
	}
	local, err := loopbackOnly(listen)
	if err != nil {
		return nil, err
	}
	if local && n.mode == Auto {
		n.mode = Dials
	}
	return n, nil
}

// loopbackOnly reports whether no address is of another kind.
func loopbackOnly(listen []string) (bool, error) {
	for _, text := range listen {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			return false, fmt.Errorf("listen address %q: %w", text, err)
		}
		if !manet.IsIPLoopback(a) {
			return false, nil
		}
	}
	return true, nil
}

// found reports whether the host has to be found by strangers.
func (n *nat) found() bool { return n.mode == Auto || n.mode == Private || n.mode == Public }

// options are the parts of libp2p that the mode asks for.
func (n *nat) options() []libp2p.Option {
	if n.mode == Off {
		return []libp2p.Option{libp2p.DisableRelay(), libp2p.DisableIdentifyAddressDiscovery()}
	}
	out := []libp2p.Option{libp2p.EnableRelay(), libp2p.EnableHolePunching(holepunch.WithTracer(n))}
	if !n.found() {
		return out
	}
	out = append(out, libp2p.EnableAutoNATv2())
	switch n.mode {
	case Private: // libp2p would not use a service for dialling others back, nor close it
		out = append(out, libp2p.ForceReachabilityPrivate())
	case Public:
		out = append(out, libp2p.EnableNATService(), libp2p.ForceReachabilityPublic())
	default:
		out = append(out, libp2p.EnableNATService())
	}
	if !n.cfg.NoPortMap && n.mode != Public {
		out = append(out, libp2p.NATManager(func(net network.Network) basichost.NATManager {
			n.mapper = newPortMap(net)
			return n.mapper
		}))
	}
	if !n.cfg.NoRelayService && n.mode != Private {
		out = append(out, libp2p.EnableRelayService(relay.WithResources(relayResources())))
	}
	if n.mode != Public && (len(n.relays) > 0 || n.cfg.Peers != nil) {
		out = append(out, libp2p.EnableAutoRelayWithPeerSource(n.candidates, autorelay.WithNumRelays(wantRelays),
			autorelay.WithMinCandidates(1), autorelay.WithMinInterval(relayLook), autorelay.WithBackoff(relayPause)))
	}
	return out
}

func relayResources() relay.Resources {
	r := relay.DefaultResources()
	r.Limit = &relay.RelayLimit{Duration: relayTime, Data: relayBytes}
	r.MaxReservations, r.MaxReservationsPerIP = relayPlaces, relayPlacesIP
	r.MaxCircuits, r.BufferSize = relayCircuits, relayBuffer
	return r
}

// candidates are peers that may relay: those of the config, then others.
func (n *nat) candidates(ctx context.Context, most int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo, most)
	go func() {
		defer close(out)
		for _, p := range n.known(ctx, most) {
			select {
			case out <- p:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// known are the configured relays and peers that strangers seem to reach, at most
// so many, these in any order.
func (n *nat) known(ctx context.Context, most int) []peer.AddrInfo {
	out := slices.Clone(n.relays)
	if n.cfg.Peers == nil {
		return out[:min(len(out), most)]
	}
	others := n.cfg.Peers(ctx, 4*most)
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	for _, p := range others {
		info, err := addrInfo(p)
		if err != nil || len(out) >= most {
			continue
		}
		info.Addrs = slices.DeleteFunc(info.Addrs, func(a ma.Multiaddr) bool { return isCircuit(a) || manet.IsIPLoopback(a) })
		if len(info.Addrs) > 0 {
			out = append(out, info)
		}
	}
	return out[:min(len(out), most)]
}

// isCircuit reports whether an address goes through a relay.
func isCircuit(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// mingle keeps the host connected to some peers that strangers reach, until ctx ends.
func (h *Host) mingle(ctx context.Context) {
	pause := lookSoon
	for {
		h.meet(ctx)
		if len(h.acquaintances()) >= company {
			pause = lookSeldom
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, lookSeldom)
	}
}

// meet connects to peers until there are enough.
func (h *Host) meet(ctx context.Context) {
	for _, p := range h.nat.known(ctx, 2*company) {
		if ctx.Err() != nil || len(h.acquaintances()) >= company {
			return
		}
		if p.ID == h.host.ID() || h.Connected(string(p.ID)) {
			continue
		}
		dial, cancel := context.WithTimeout(ctx, h.dial)
		_ = h.host.Connect(dial, p) // who cannot be reached is no company
		cancel()
	}
}

// acquaintances are the peers with a direct connection that the host made: they
// are not behind a router, or they let the host in.
func (h *Host) acquaintances() []peer.ID {
	var out []peer.ID
	for _, c := range h.host.Network().Conns() {
		if c.Stat().Direction == network.DirOutbound && !c.Stat().Limited && !slices.Contains(out, c.RemotePeer()) {
			out = append(out, c.RemotePeer())
		}
	}
	return out
}

// prepare gets a host that is about to dial a peer through relays ready for holes:
// the other side tries once, when the connection comes, and needs to hear a public
// address of this host, which relays tell it. It is waited for a little, unless
// that was in vain a short time ago.
func (h *Host) prepare(ctx context.Context, to peer.AddrInfo) {
	if h.nat.mode == Off || h.Connected(string(to.ID)) || h.loopback() || h.punches() || h.nat.recently(h.host.ID()) ||
		!slices.ContainsFunc(to.Addrs, isCircuit) || slices.ContainsFunc(to.Addrs, direct) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, h.nat.wait)
	defer cancel()
	var asking sync.WaitGroup
	defer asking.Wait()
	for _, a := range to.Addrs {
		first, _ := ma.SplitFunc(a, func(c ma.Component) bool { return c.Protocol().Code == ma.P_CIRCUIT })
		if relay, err := peer.AddrInfoFromP2pAddr(first); err == nil {
			asking.Go(func() { _ = h.host.Connect(ctx, *relay) }) // the dial through it says what is wrong
		}
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for !h.punches() {
		select {
		case <-look.C:
		case <-ctx.Done():
			h.nat.miss(h.host.ID())
			return
		}
	}
}

// direct reports whether an address needs no relay.
func direct(a ma.Multiaddr) bool { return !isCircuit(a) }

// punches reports whether the host knows enough of itself to punch holes.
func (h *Host) punches() bool { return slices.Contains(h.host.Mux().Protocols(), holepunch.Protocol) }

// limited reports whether the only connections to a peer go through relays.
func (h *Host) limited(id peer.ID) bool { return h.host.Network().Connectedness(id) == network.Limited }

// upgrade waits a little for a direct connection in place of the one through a
// relay, unless that was in vain a short time ago.
func (h *Host) upgrade(ctx context.Context, id peer.ID) {
	if !h.limited(id) || h.nat.recently(id) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, h.nat.wait)
	defer cancel()
	if h.await(ctx, id, func() bool { return !h.limited(id) }) != nil {
		h.nat.miss(id)
	}
}

func (n *nat) recently(id peer.ID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Since(n.fruitless[id]) < punchMemory
}

// miss notes that waiting for a peer was in vain.
func (n *nat) miss(id peer.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.fruitless) >= maxMemory {
		clear(n.fruitless)
	}
	n.fruitless[id] = time.Now()
}

// Trace implements holepunch.EventTracer.
func (n *nat) Trace(e *holepunch.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch x := e.Evt.(type) {
	case *holepunch.DirectDialEvt:
		if x.Success {
			n.punches.Tried++
			n.punches.Succeeded++
		}
	case *holepunch.EndHolePunchEvt:
		n.punches.Tried++
		if x.Success {
			n.punches.Succeeded++
		} else {
			n.punches.LastError = x.Error
		}
	case *holepunch.ProtocolErrorEvt:
		n.punches.LastError = x.Error
	}
}
