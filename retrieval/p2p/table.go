package p2p

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// Explorer is a chain node's explorer API.
type Explorer interface {
	// JSON reads the answer to a path into v.
	JSON(ctx context.Context, path string, v any) error
}

// mostMiners is the longest page of the list of miners.
const mostMiners = 100

// MinerPeers asks a node where miners are, the newest first, at most so many. What
// it says is a hint: whoever is dialled proves who it is.
func MinerPeers(ctx context.Context, node Explorer, most int) ([]chain.Peer, error) {
	var page struct {
		Items []struct {
			Peer struct {
				ID    string   `json:"id"`
				Addrs []string `json:"addrs"`
			} `json:"peer"`
		} `json:"items"`
	}
	query := url.Values{"limit": {fmt.Sprint(min(most, mostMiners))}}
	if err := node.JSON(ctx, "/v1/miners?"+query.Encode(), &page); err != nil {
		return nil, err
	}
	var out []chain.Peer
	for _, m := range page.Items {
		end := "/p2p/" + m.Peer.ID
		var texts []string
		for _, a := range m.Peer.Addrs {
			texts = append(texts, strings.TrimSuffix(a, end)+end)
		}
		if p, err := ParsePeer(texts...); err == nil && len(p.Addrs) > 0 {
			out = append(out, p)
		}
	}
	return out, nil
}

// Table is a Finder that asks the distributed hash table that the chain's miners are
// in. The host joins it, as one that only asks, when it is first needed.
type Table struct {
	Host *Host
	Node Explorer // names the miners

	join  sync.Mutex
	peers []chain.Peer
}

// How many miners a table is joined by, and how long one question may take.
const (
	tablePeers = 32
	tableTime  = 15 * time.Second
)

// FindProviders implements Finder. Where no miner is in the table there are none.
func (t *Table) FindProviders(ctx context.Context, root cid.Cid, limit int) ([]chain.Peer, error) {
	short, cancel := context.WithTimeout(ctx, tableTime)
	defer cancel()
	peers, err := t.joined(short)
	if err != nil {
		return nil, err
	}
	if err := t.Host.MeetDHT(short, peers); errors.Is(err, ErrNoDHT) {
		return nil, ctx.Err()
	} else if err != nil {
		return nil, err
	}
	found, err := t.Host.FindProviders(short, root, limit)
	if errors.Is(err, context.DeadlineExceeded) { // what was found by then
		err = ctx.Err()
	}
	return found, err
}

// joined joins the table once, and returns the miners that it was joined by.
func (t *Table) joined(ctx context.Context) ([]chain.Peer, error) {
	t.join.Lock()
	defer t.join.Unlock()
	if t.peers != nil {
		return t.peers, nil
	}
	peers, err := MinerPeers(ctx, t.Node, tablePeers)
	if err != nil {
		return nil, fmt.Errorf("ask for miners in the hash table: %w", err)
	}
	if len(peers) == 0 {
		return nil, nil
	}
	if err := t.Host.JoinDHT(ctx, DHTConfig{Peers: peers}); err != nil {
		return nil, err
	}
	t.peers = peers
	return peers, nil
}
