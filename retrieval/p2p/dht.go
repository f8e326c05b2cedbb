package p2p

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/perdure/perdure/chain"
)

// DHTConfig says how a host takes part in IPFS' distributed hash table.
type DHTConfig struct {
	// Bootstrap are multiaddrs, with peer IDs, of nodes that are in it.
	Bootstrap []string
	// Server answers others' questions. Only hosts that everybody can reach
	// should; others only ask and announce.
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
	mode := dht.ModeClient
	if cfg.Server {
		mode = dht.ModeServer
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
