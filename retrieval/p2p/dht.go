package p2p

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/perdure/perdure/chain"
)

// DHTConfig says how a host takes part in IPFS' distributed hash table.
type DHTConfig struct {
	// Bootstrap are multiaddrs, with peer IDs, of nodes that are in it.
	Bootstrap []string
	// Peers are such nodes, too, as the chain names them.
	Peers []chain.Peer
	// Server answers others' questions. Only hosts that everybody can reach
	// should; others only ask and announce. A host with NAT in Mode Auto answers
	// once it finds that strangers reach it, without being told.
	Server bool
}

// ErrNoDHT is returned by hosts that have not joined the table.
var ErrNoDHT = errors.New("the host is in no distributed hash table")

// JoinDHT makes the host a part of the table until it is closed. Bootstrap nodes
// that cannot be reached are no error: they are tried again.
func (h *Host) JoinDHT(ctx context.Context, cfg DHTConfig) error {
	var first []peer.AddrInfo
	for _, text := range cfg.Bootstrap {
		info, err := peer.AddrInfoFromString(text)
		if err != nil {
			return fmt.Errorf("bootstrap address %q: %w", text, err)
		}
		first = append(first, *info)
	}
	for _, p := range cfg.Peers {
		if info, err := addrInfo(p); err == nil && len(info.Addrs) > 0 && info.ID != h.host.ID() {
			first = append(first, info)
		}
	}
	mode := dht.ModeClient
	switch {
	case cfg.Server:
		mode = dht.ModeServer
	case h.nat.found():
		mode = dht.ModeAuto
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.table != nil {
		return errors.New("join hash table: the host is closed, or in it already")
	}
	table, err := dht.New(h.ctx, h.host, dht.Mode(mode), dht.BootstrapPeers(first...))
	if err != nil {
		return fmt.Errorf("join hash table: %w", err)
	}
	if err := table.Bootstrap(ctx); err != nil {
		return errors.Join(fmt.Errorf("join hash table: %w", err), table.Close())
	}
	h.table = table
	return nil
}

// MeetDHT connects to the nodes that the table was joined by, until one of them
// answers its questions. It returns ErrNoDHT if none does: then there is nobody
// to ask.
func (h *Host) MeetDHT(ctx context.Context, peers []chain.Peer) error {
	table, err := h.joined()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var dialling sync.WaitGroup
	defer dialling.Wait()
	defer cancel()
	met := make(chan bool, len(peers))
	for _, p := range peers {
		dialling.Go(func() { met <- h.answers(ctx, table, p) })
	}
	for range peers {
		if <-met || table.RoutingTable().Size() > 0 {
			return nil
		}
	}
	return ErrNoDHT
}

// answers connects to a node and reports whether the table has it now.
func (h *Host) answers(ctx context.Context, table *dht.IpfsDHT, p chain.Peer) bool {
	if h.Connect(ctx, p) != nil {
		return false
	}
	speaks, err := h.host.Peerstore().SupportsProtocols(peer.ID(p.ID), dht.ProtocolDHT)
	if err != nil || len(speaks) == 0 {
		return false
	}
	_, err = table.RoutingTable().TryAddPeer(peer.ID(p.ID), true, false)
	return err == nil
}

func (h *Host) joined() (*dht.IpfsDHT, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.table == nil {
		return nil, ErrNoDHT
	}
	return h.table, nil
}

// Announce tells the table that the host provides a payload. The table forgets it
// after two days: it is told again before.
func (h *Host) Announce(ctx context.Context, root cid.Cid) error {
	table, err := h.joined()
	if err != nil {
		return err
	}
	if err := table.Provide(ctx, root, true); err != nil {
		return fmt.Errorf("announce %s: %w", root, err)
	}
	return nil
}

// FindProviders implements Finder by the table.
func (h *Host) FindProviders(ctx context.Context, root cid.Cid, limit int) ([]chain.Peer, error) {
	table, err := h.joined()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var out []chain.Peer
	for info := range table.FindProvidersAsync(ctx, root, limit) {
		if info.ID == h.host.ID() || len(out) == limit {
			continue
		}
		p := chain.Peer{ID: []byte(info.ID)}
		for _, a := range info.Addrs[:min(len(info.Addrs), maxAddrs)] {
			p.Addrs = append(p.Addrs, a.Bytes())
		}
		out = append(out, p)
	}
	return out, ctx.Err()
}
