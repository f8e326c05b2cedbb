package p2p

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/perdure/perdure/chain"
)

// Finder names peers that say they hold a payload. What they say is a hint:
// whoever fetches from them checks every block. At most limit peers come, those
// found first; none is no error.
type Finder interface {
	FindProviders(ctx context.Context, root cid.Cid, limit int) ([]chain.Peer, error)
}

// Delegated asks a server of delegated routing
// (https://specs.ipfs.tech/routing/http-routing-v1/), such as a miner's gateway.
type Delegated struct {
	URL  string       // without /routing/v1
	HTTP *http.Client // nil: one with a timeout of ten seconds
}

const (
	delegatedTimeout = 10 * time.Second
	maxDelegated     = 1 << 20 // bytes of an answer
)

// FindProviders implements Finder.
func (d Delegated) FindProviders(ctx context.Context, root cid.Cid, limit int) ([]chain.Peer, error) {
	fail := func(err error) ([]chain.Peer, error) {
		return nil, fmt.Errorf("ask %s for providers of %s: %w", d.URL, root, err)
	}
	ctx, cancel := context.WithTimeout(ctx, delegatedTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(d.URL, "/")+"/routing/v1/providers/"+root.String(), nil)
	if err != nil {
		return fail(err)
	}
	req.Header.Set("Accept", "application/json")
	client := d.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound { // older servers say so of an empty list
		return nil, nil
	}
	if resp.StatusCode != http.StatusOK {
		return fail(errors.New(resp.Status))
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxDelegated+1))
	if err == nil && len(raw) > maxDelegated {
		err = fmt.Errorf("an answer of more than %d bytes", maxDelegated)
	}
	if err != nil {
		return fail(err)
	}
	found, err := parseProviders(raw, limit)
	if err != nil {
		return fail(err)
	}
	return found, nil
}

// parseProviders reads the JSON form of an answer. Records of other schemas than
// "peer", and peers and addresses that cannot be read, are left out.
func parseProviders(raw []byte, limit int) ([]chain.Peer, error) {
	var answer struct {
		Providers []struct {
			Schema string
			ID     string
			Addrs  []string
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, err
	}
	var out []chain.Peer
	for _, p := range answer.Providers {
		id, err := peer.Decode(p.ID)
		if err != nil || p.Schema != "peer" && p.Schema != "bitswap" || len(out) >= limit {
			continue
		}
		found := chain.Peer{ID: []byte(id)}
		for _, text := range p.Addrs[:min(len(p.Addrs), maxAddrs)] {
			if a, ok := addrOf(text, id); ok {
				found.Addrs = append(found.Addrs, a)
			}
		}
		out = append(out, found)
	}
	return out, nil
}
