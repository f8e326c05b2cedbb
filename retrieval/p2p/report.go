package p2p

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/autonat"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Report is what a host knows of how strangers reach it. Addresses are multiaddrs.
type Report struct {
	Peer      string   `json:"peer"`
	Mode      Mode     `json:"mode"`
	Fixed     bool     `json:"fixed"`     // the config says what is announced
	Local     bool     `json:"local"`     // it listens on loopback addresses alone
	Listening []string `json:"listening"` // on interfaces of this machine
	Announced []string `json:"announced"` // what strangers are told

	Peers     int        `json:"peers"`     // connected
	Observed  []Sighting `json:"observed"`  // how peers see the host
	Verdict   string     `json:"verdict"`   // unknown, public or private: what being dialled back showed so far
	Confirmed []string   `json:"confirmed"` // public addresses that were dialled back
	Refuted   []string   `json:"refuted"`   // public addresses that could not be

	PortMap   PortMap    `json:"portMap"`
	DialBacks []DialBack `json:"dialBacks"` // of a Probe
	Places    []Place    `json:"places"`    // of a Probe: relays that were asked
	Relayed   []string   `json:"relayed"`   // addresses through relays
	Punches   Punches    `json:"punches"`
}

// Sighting is the address that a peer saw a connection of the host come from.
type Sighting struct {
	By   string `json:"by"` // peer ID
	Addr string `json:"addr"`
}

// PortMap is what the router said to being asked for ports.
type PortMap struct {
	Asked  bool     `json:"asked"`
	Router bool     `json:"router"` // one answers by UPnP or NAT-PMP
	Addrs  []string `json:"addrs"`  // what it mapped
}

// DialBack is what came of asking a peer to dial the host.
type DialBack struct {
	By      string `json:"by"` // peer ID
	Reached bool   `json:"reached"`
	Refused bool   `json:"refused"` // it would not try
	Err     string `json:"error,omitempty"`
}

// Place is what came of asking a relay for a place.
type Place struct {
	Relay string `json:"relay"` // peer ID
	Given bool   `json:"given"`
	Err   string `json:"error,omitempty"`
}

// Punches counts attempts to get from a relay to a direct connection.
type Punches struct {
	Tried     int    `json:"tried"`
	Succeeded int    `json:"succeeded"`
	LastError string `json:"lastError,omitempty"`
}

// knowing is what libp2p's own host tells beyond its interface.
type knowing interface {
	AllAddrs() []ma.Multiaddr // direct ones
	ConfirmedAddrs() (reachable, unreachable, unknown []ma.Multiaddr)
	Reachability() network.Reachability
}

// lookAround starts what a host does about routers beside libp2p.
func (h *Host) lookAround() error {
	if h.nat.mode == Off {
		return nil
	}
	sub, err := h.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.Name("perdure"))
	if err != nil {
		return err
	}
	h.nat.done.Go(func() {
		defer sub.Close()
		for {
			select {
			case e := <-sub.Out():
				h.nat.saw(e.(event.EvtPeerIdentificationCompleted))
			case <-h.ctx.Done():
				return
			}
		}
	})
	if h.nat.found() && (h.nat.cfg.Peers != nil || len(h.nat.relays) > 0) {
		h.nat.done.Go(func() { h.mingle(h.ctx) })
	}
	return nil
}

// saw notes how a peer sees the host.
func (n *nat) saw(e event.EvtPeerIdentificationCompleted) {
	if e.ObservedAddr == nil || e.Conn.Stat().Limited {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.seen) >= maxMemory {
		clear(n.seen)
	}
	n.seen[e.Peer] = Sighting{By: e.Peer.String(), Addr: e.ObservedAddr.String()}
}

// announced are the addresses that strangers are told.
func (h *Host) announced() []ma.Multiaddr {
	all := h.host.Addrs()
	x, ok := h.host.(knowing)
	if !ok || h.fixed || !h.nat.found() || h.loopback() {
		return all
	}
	own, err := h.host.Network().InterfaceListenAddresses()
	if err != nil {
		own = nil // then only what was dialled back counts
	}
	confirmed, _, _ := x.ConfirmedAddrs()
	return strangers(all, own, confirmed, x.Reachability())
}

// loopback reports whether the host listens on loopback addresses alone.
func (h *Host) loopback() bool {
	for _, a := range h.host.Network().ListenAddresses() {
		if !manet.IsIPLoopback(a) && !isCircuit(a) {
			return false
		}
	}
	return true
}

// strangers picks the addresses by which strangers reach a host out of all that it
// would tell its peers: places at public relays; public ones that were dialled back,
// or all public ones of a host that is known to be reached; and while nothing is
// known, public ones of the machine's own interfaces.
func strangers(all, own, confirmed []ma.Multiaddr, verdict network.Reachability) []ma.Multiaddr {
	has := func(list []ma.Multiaddr, a ma.Multiaddr) bool {
		return slices.ContainsFunc(list, a.Equal)
	}
	var direct, relayed []ma.Multiaddr
	for _, a := range all {
		switch {
		case !manet.IsPublicAddr(a):
		case isCircuit(a):
			relayed = append(relayed, a)
		case has(confirmed, a), verdict == network.ReachabilityPublic,
			verdict == network.ReachabilityUnknown && has(own, a):
			direct = append(direct, a)
		}
	}
	return append(direct, relayed...)
}

// Settled reports whether what Self says is fixed by the config or the kind of host,
// and not found out.
func (h *Host) Settled() bool { return h.fixed || !h.nat.found() || h.loopback() }

// Report tells what the host knows now. It asks nobody.
func (h *Host) Report() Report {
	r := Report{Peer: h.host.ID().String(), Mode: h.nat.mode, Fixed: h.fixed, Local: h.loopback(),
		Announced: texts(h.announced()), Peers: len(h.host.Network().Peers()), Verdict: "unknown",
		Listening: []string{}, Observed: []Sighting{}, Confirmed: []string{}, Refuted: []string{}, Relayed: []string{},
		DialBacks: []DialBack{}, Places: []Place{}, PortMap: PortMap{Addrs: []string{}}}
	if own, err := h.host.Network().InterfaceListenAddresses(); err == nil {
		r.Listening = texts(slices.DeleteFunc(own, isCircuit))
	}
	if x, ok := h.host.(knowing); ok && h.nat.found() {
		r.Verdict = strings.ToLower(x.Reachability().String())
		confirmed, refuted, _ := x.ConfirmedAddrs()
		r.Confirmed, r.Refuted = texts(confirmed), texts(refuted)
	}
	for _, a := range h.host.Addrs() {
		if isCircuit(a) {
			r.Relayed = append(r.Relayed, a.String())
		}
	}
	h.nat.tell(&r, h.host.Network().ListenAddresses())
	return r
}

// tell adds what the host noted itself.
func (n *nat) tell(r *Report, listening []ma.Multiaddr) {
	n.mu.Lock()
	for _, s := range n.seen {
		r.Observed = append(r.Observed, s)
	}
	r.Punches = n.punches
	n.mu.Unlock()
	slices.SortFunc(r.Observed, func(a, b Sighting) int { return cmp.Compare(a.Addr+a.By, b.Addr+b.By) })
	if n.mapper == nil {
		return
	}
	r.PortMap.Asked, r.PortMap.Router = true, n.mapper.HasDiscoveredNAT()
	for _, a := range listening {
		if mapped := n.mapper.GetMapping(a); mapped != nil {
			r.PortMap.Addrs = append(r.PortMap.Addrs, mapped.String())
		}
	}
}

func texts(list []ma.Multiaddr) []string {
	out := []string{}
	for _, a := range list {
		out = append(out, a.String())
	}
	slices.Sort(out)
	return out
}

// What a probe waits for and how many it asks. A router that knows neither UPnP nor
// NAT-PMP is given up after ten seconds, a peer that cannot dial back says so after
// fifteen.
const (
	probeRouter = 11 * time.Second
	probeTime   = 30 * time.Second
	probePeers  = 3
)

// Probe finds out now what Report else tells in the course of time: it connects to
// peers, waits for the router, asks some peers to dial back and some relays for a
// place. It takes up to a minute and a half.
func (h *Host) Probe(ctx context.Context) (Report, error) {
	if !h.nat.found() {
		return h.Report(), nil
	}
	h.meet(ctx)
	for h.nat.mapper != nil && !h.nat.mapper.HasDiscoveredNAT() && time.Since(h.nat.begun) < probeRouter {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return Report{}, fmt.Errorf("probe the network: %w", ctx.Err())
		}
	}
	backs := h.dialBacks(ctx)
	var places []Place
	if h.nat.mode != Public && !slices.ContainsFunc(backs, func(d DialBack) bool { return d.Reached }) {
		places = h.places(ctx)
	}
	r := h.Report()
	r.DialBacks, r.Places = append(r.DialBacks, backs...), append(r.Places, places...)
	return r, ctx.Err()
}

// each asks some of the connected peers that speak a protocol, at the same time.
func (h *Host) each(ctx context.Context, speaks protocol.ID, ask func(ctx context.Context, id peer.ID)) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var asked sync.WaitGroup
	defer asked.Wait()
	n := 0
	for _, id := range h.acquaintances() {
		if known, err := h.host.Peerstore().GetProtocols(id); err == nil && n < probePeers && slices.Contains(known, speaks) {
			n++
			asked.Go(func() { ask(ctx, id) })
		}
	}
}

// dialBacks asks peers to dial the host.
func (h *Host) dialBacks(ctx context.Context) []DialBack {
	x, ok := h.host.(knowing)
	if !ok {
		return nil
	}
	client := autonat.NewAutoNATClient(h.host, func() []ma.Multiaddr {
		return slices.DeleteFunc(x.AllAddrs(), func(a ma.Multiaddr) bool { return !manet.IsPublicAddr(a) })
	}, nil)
	var mu sync.Mutex
	var out []DialBack
	h.each(ctx, autonat.AutoNATProto, func(ctx context.Context, id peer.ID) {
		d := DialBack{By: id.String()}
		if err := client.DialBack(ctx, id); err != nil {
			d.Err, d.Refused = err.Error(), !autonat.IsDialError(err)
		} else {
			d.Reached = true
		}
		mu.Lock()
		defer mu.Unlock()
		out = append(out, d)
	})
	slices.SortFunc(out, func(a, b DialBack) int { return cmp.Compare(a.By, b.By) })
	return out
}

// places asks relays for a place, which the host keeps for an hour.
func (h *Host) places(ctx context.Context) []Place {
	var mu sync.Mutex
	var out []Place
	h.each(ctx, proto.ProtoIDv2Hop, func(ctx context.Context, id peer.ID) {
		p := Place{Relay: id.String()}
		_, err := circuit.Reserve(ctx, h.host, peer.AddrInfo{ID: id})
		var refused circuit.ReservationError
		switch {
		case err == nil:
			p.Given = true
		case errors.As(err, &refused):
			p.Err = refused.Reason
		default:
			p.Err = err.Error()
		}
		mu.Lock()
		defer mu.Unlock()
		out = append(out, p)
	})
	slices.SortFunc(out, func(a, b Place) int { return cmp.Compare(a.Relay, b.Relay) })
	return out
}
