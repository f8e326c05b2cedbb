package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap/server"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
)

// Config is what a Host is made of. Zero values take the defaults.
type Config struct {
	Identity crypto.PrivKey
	// Listen are multiaddrs; none: the host only dials. LoopbackAddrs gives
	// those of a network on one machine.
	Listen []string
	// Announce are the multiaddrs that others are told; none: those the host
	// listens on, and those that NAT brings.
	Announce []string
	// NAT is what the host does about routers between it and others.
	NAT NAT
	// MaxConns and MaxStreams bound what all peers together take up, default
	// 512 and 2048; MaxPeerConns and MaxPeerStreams one peer, default 8 and 64.
	MaxConns, MaxStreams         int
	MaxPeerConns, MaxPeerStreams int
	// MaxMemory bounds the buffers of all streams, default 256 MiB.
	MaxMemory int64
	// DialTimeout bounds one dial, default 10 s.
	DialTimeout time.Duration
}

// Handler serves one stream that a peer opened. peer is the peer's ID in binary
// form, authenticated by the connection. The handler closes the stream; the host
// resets it when it is closed itself.
type Handler func(ctx context.Context, stream io.ReadWriteCloser, peer string)

// Host is a node on the peer-to-peer network. It may be used by many
// goroutines.
type Host struct {
	host   host.Host
	nat    *nat
	fixed  bool // Config.Announce says where the host is
	dial   time.Duration
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	serves sync.WaitGroup

	bitswap     *server.Server // nil: not served
	stopBitswap func()
	table       *dht.IpfsDHT // nil: not joined
}

// maxAddrs is the most addresses of one peer, as a miner's record holds.
const maxAddrs = 16

func (c *Config) setDefaults() {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.MaxConns, 512)
	set(&c.MaxStreams, 2048)
	set(&c.MaxPeerConns, 8)
	set(&c.MaxPeerStreams, 64)
	if c.MaxMemory == 0 {
		c.MaxMemory = 256 << 20
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 10 * time.Second
	}
}

// limits turns the config into the resource manager's scopes. What is not
// bounded here is bounded by the scopes around it.
func (c *Config) limits() rcmgr.ConcreteLimitConfig {
	n := func(v int) rcmgr.LimitVal { return rcmgr.LimitVal(v) }
	peerLimits := rcmgr.ResourceLimits{
		Streams: n(2 * c.MaxPeerStreams), StreamsInbound: n(c.MaxPeerStreams), StreamsOutbound: n(c.MaxPeerStreams),
		Conns: n(2 * c.MaxPeerConns), ConnsInbound: n(c.MaxPeerConns), ConnsOutbound: n(c.MaxPeerConns), FD: n(c.MaxPeerConns),
	}
	system := rcmgr.ResourceLimits{
		Streams: n(c.MaxStreams), StreamsInbound: n(c.MaxStreams), StreamsOutbound: n(c.MaxStreams),
		Conns: n(c.MaxConns), ConnsInbound: n(c.MaxConns), ConnsOutbound: n(c.MaxConns), FD: n(c.MaxConns),
		Memory: rcmgr.LimitVal64(c.MaxMemory),
	}
	transient := rcmgr.ResourceLimits{
		Streams: n(c.MaxStreams / 4), StreamsInbound: n(c.MaxStreams / 4), StreamsOutbound: n(c.MaxStreams / 4),
		Conns: n(c.MaxConns / 4), ConnsInbound: n(c.MaxConns / 4), ConnsOutbound: n(c.MaxConns / 4), FD: n(c.MaxConns / 4),
		Memory: rcmgr.LimitVal64(c.MaxMemory / 4),
	}
	partial := rcmgr.PartialLimitConfig{System: system, Transient: transient, PeerDefault: peerLimits}
	return partial.Build(rcmgr.InfiniteLimits)
}

// New starts a host.
func New(cfg Config) (*Host, error) {
	cfg.setDefaults()
	if cfg.Identity == nil {
		return nil, errors.New("start peer-to-peer host: no identity")
	}
	announce := make([]ma.Multiaddr, 0, len(cfg.Announce))
	for _, s := range cfg.Announce {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("announced address %q: %w", s, err)
		}
		announce = append(announce, a)
	}
	nat, err := newNAT(cfg.NAT, cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("start peer-to-peer host: %w", err)
	}
	resources, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(cfg.limits()), rcmgr.WithMetricsDisabled())
	if err != nil {
		return nil, fmt.Errorf("start peer-to-peer host: %w", err)
	}
	options := []libp2p.Option{
		libp2p.Identity(cfg.Identity), libp2p.ResourceManager(resources),
		libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(quic.NewTransport),
		secured(), muxed(),
		libp2p.DisableMetrics(),
		libp2p.UserAgent("perdure"), libp2p.WithDialTimeout(cfg.DialTimeout),
		libp2p.SwarmOpts(swarm.WithDialRanker(rankDials)),
		libp2p.AddrsFactory(func(listening []ma.Multiaddr) []ma.Multiaddr {
			if len(announce) > 0 {
				return announce
			}
			return listening
		}),
	}
	if len(cfg.Listen) == 0 {
		options = append(options, libp2p.NoListenAddrs)
	} else {
		options = append(options, libp2p.ListenAddrStrings(cfg.Listen...))
	}
	node, err := libp2p.New(append(options, nat.options()...)...)
	if err != nil {
		return nil, fmt.Errorf("start peer-to-peer host: %w", errors.Join(err, resources.Close()))
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &Host{host: node, nat: nat, fixed: len(announce) > 0, dial: cfg.DialTimeout, ctx: ctx, cancel: cancel}
	if err := h.lookAround(); err != nil {
		return nil, errors.Join(fmt.Errorf("start peer-to-peer host: %w", err), h.Close())
	}
	return h, nil
}

// ID is the host's peer ID in binary form, as the chain records it.
func (h *Host) ID() string { return string(h.host.ID()) }

// Self is where strangers reach the host, as a miner puts it on chain. What the
// config announces, or what a host listens on that knows nothing of routers, stands;
// otherwise it is public addresses, proven by dialling back or not refuted, and
// places at relays: none while the host does not know.
func (h *Host) Self() chain.Peer {
	p := chain.Peer{ID: []byte(h.host.ID())}
	for _, a := range h.announced() {
		if len(p.Addrs) < maxAddrs {
			p.Addrs = append(p.Addrs, a.Bytes())
		}
	}
	return p
}

// Addrs are the host's addresses with its peer ID, as people paste them.
func (h *Host) Addrs() []string {
	var out []string
	for _, a := range h.host.Addrs() {
		out = append(out, a.String()+"/p2p/"+h.host.ID().String())
	}
	slices.Sort(out)
	return out
}

// Connect dials the peer unless there is a connection already.
func (h *Host) Connect(ctx context.Context, p chain.Peer) error {
	info, err := addrInfo(p)
	if err != nil {
		return err
	}
	h.prepare(ctx, info)
	ctx, cancel := context.WithTimeout(throughRelays(ctx), h.dial)
	defer cancel()
	if err := h.host.Connect(ctx, info); err != nil {
		return fmt.Errorf("connect to %s: %w", info.ID, err)
	}
	return nil
}

// throughRelays lets what is done under ctx use connections through relays.
func throughRelays(ctx context.Context) context.Context {
	return network.WithAllowLimitedConn(ctx, "perdure")
}

// Open opens a stream of the retrieval protocol to the peer, over a connection
// that stands, or one that is made to the peer's addresses. A client without
// addresses is reached only while it is connected. If a relay is the only way, a
// direct one is waited for, for some seconds.
func (h *Host) Open(ctx context.Context, p chain.Peer) (io.ReadWriteCloser, error) {
	if err := h.Connect(ctx, p); err != nil {
		return nil, err
	}
	h.upgrade(ctx, peer.ID(p.ID))
	ctx, cancel := context.WithTimeout(throughRelays(ctx), h.dial)
	defer cancel()
	s, err := h.host.NewStream(ctx, peer.ID(p.ID), protocol.ID(retrieval.Protocol))
	if err != nil {
		return nil, fmt.Errorf("open stream to %s: %w", peer.ID(p.ID), err)
	}
	return s, nil
}

// Connected reports whether there is a connection to the peer with this binary ID,
// direct or through a relay.
func (h *Host) Connected(id string) bool {
	is := h.host.Network().Connectedness(peer.ID(id))
	return is == network.Connected || is == network.Limited
}

// Relayed reports whether the only connections to the peer go through relays.
func (h *Host) Relayed(id string) bool { return h.limited(peer.ID(id)) }

// Await returns once there is a connection to the peer, whoever made it.
func (h *Host) Await(ctx context.Context, id string) error {
	return h.await(ctx, peer.ID(id), func() bool { return h.Connected(id) })
}

// await looks whether cond holds at each new connection to a peer.
func (h *Host) await(ctx context.Context, id peer.ID, cond func() bool) error {
	there := make(chan struct{}, 1)
	note := &network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		if c.RemotePeer() == id {
			select {
			case there <- struct{}{}:
			default:
			}
		}
	}}
	h.host.Network().Notify(note)
	defer h.host.Network().StopNotify(note)
	for !cond() {
		select {
		case <-there:
		case <-ctx.Done():
			return fmt.Errorf("wait for a connection from %s: %w", id, ctx.Err())
		case <-h.ctx.Done():
			return errors.New("wait for a connection: the host is closed")
		}
	}
	return nil
}

// Serve answers streams of the retrieval protocol from now on. Close waits for
// the handlers.
func (h *Host) Serve(handle Handler) {
	h.host.SetStreamHandler(protocol.ID(retrieval.Protocol), func(s network.Stream) {
		h.mu.Lock()
		if h.closed {
			h.mu.Unlock()
			_ = s.Reset()
			return
		}
		h.serves.Add(1)
		h.mu.Unlock()
		defer h.serves.Done()
		stop := context.AfterFunc(h.ctx, func() { _ = s.Reset() })
		defer stop()
		handle(h.ctx, s, string(s.Conn().RemotePeer()))
	})
}

// Close ends all streams, waits for the handlers and stops the host. Once is
// enough: a second call does nothing.
func (h *Host) Close() error {
	h.mu.Lock()
	was := h.closed
	h.closed = true
	h.mu.Unlock()
	if was {
		return nil
	}
	h.cancel()
	h.host.RemoveStreamHandler(protocol.ID(retrieval.Protocol))
	h.serves.Wait()
	h.nat.done.Wait()
	if h.bitswap != nil {
		h.stopBitswap()
		h.bitswap.Close()
	}
	var err error
	if h.table != nil {
		err = h.table.Close()
	}
	if err := errors.Join(err, h.host.Close()); err != nil {
		return fmt.Errorf("stop peer-to-peer host: %w", err)
	}
	return nil
}
