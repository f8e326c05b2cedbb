package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/app"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/explorer/access"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/wallet"
)

var _ rpc.Backend = (*Node)(nil)

// openAPI listens for the API and puts its handlers together.
func (n *Node) openAPI(mount func(*Node) (http.Handler, error)) error {
	n.registry.MustRegister(collector{n})
	mux := http.NewServeMux()
	if mount != nil {
		h, err := mount(n)
		if err != nil {
			return err
		}
		mux.Handle("/", h)
	}
	raw := rpc.Handler(n)
	mux.Handle("/v1/raw/", n.admit(explorer.Rules{Name: "/v1/raw/", Open: true}, raw))
	mux.Handle(rpc.PathUpdates, n.admit(explorer.Rules{Name: "GET " + rpc.PathUpdates, Open: true, Stream: true}, raw))
	mux.Handle("GET /metrics", n.admit(explorer.Rules{Name: "GET /metrics", Cost: 10}, promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{})))
	l, err := net.Listen("tcp", n.config.API)
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	bounds := n.config.Access.connections()
	if wanted := cmp.Or(n.config.Access.Connections, maxConnections); bounds.Total < wanted {
		n.log.Warn("the API takes fewer connections than access.connections: the process may open too few files (ulimit -n)",
			"connections", bounds.Total, "wanted", wanted)
	}
	n.listener = bounds.Listen(l)
	n.server = access.NewServer(mux, access.DefaultTimes())
	n.server.BaseContext = func(net.Listener) context.Context { return n.life }
	return nil
}

// admit puts the limits of the explorer's callers around a handler that stands
// beside it; there are none if something else is mounted.
func (n *Node) admit(rules explorer.Rules, h http.Handler) http.Handler {
	if n.explorer == nil {
		return h
	}
	return n.explorer.Admit(rules, h)
}

// API is the base URL of the HTTP API.
func (n *Node) API() string { return "http://" + n.listener.Addr().String() }

// RPC is the base URL of CometBFT's JSON-RPC, empty if there is none.
func (n *Node) RPC() string {
	if n.config.RPC == "" {
		return ""
	}
	return "http://" + n.config.RPC
}

// Peer is the address by which peers dial this node: ID@host:port.
func (n *Node) Peer() string { return n.identity.NodeID + "@" + n.config.P2P }

// Identity is the public half of the node's keys.
func (n *Node) Identity() *Identity { return n.identity }

// Registry is where metrics of further parts may be registered.
func (n *Node) Registry() *prometheus.Registry { return n.registry }

// Store is the node's state, for reading.
func (n *Node) Store() *state.Store { return n.store }

// Stats are the application's figures.
func (n *Node) Stats() app.Stats { return n.app.Stats() }

// Peers is the number of connected peers.
func (n *Node) Peers() int { return n.comet.Switch().Peers().Size() }

// Synced reports whether the node follows the chain's head: it has state, and
// is not fetching old blocks from peers.
func (n *Node) Synced() bool {
	v := n.store.Visit()
	return v != nil && v.Height() > 0 && n.comet.IsRunning() && !n.comet.ConsensusReactor().WaitSync()
}

// Params implements rpc.Backend: the parameters in force for the next block,
// those of genesis before there is a state.
func (n *Node) Params() *consensus.Params {
	v := n.store.Visit()
	if v == nil {
		return n.params
	}
	p, err := consensus.ParamsOf(n.params, v)
	if err != nil {
		n.log.Error("read parameters of the state; answering with those of genesis", "err", err)
		return n.params
	}
	return p
}

// Record implements rpc.Backend over the newest state.
func (n *Node) Record(k chain.Key) ([]byte, error) {
	v := n.store.Visit()
	if v == nil {
		return nil, app.ErrNotReady
	}
	return v.Record(k)
}

// Submit implements rpc.Backend.
func (n *Node) Submit(ctx context.Context, raw []byte) error { return n.app.Submit(ctx, raw) }

// Await implements rpc.Backend. A message that this node admitted and that
// left its mempool without a receipt is a *consensus.Refusal.
func (n *Node) Await(ctx context.Context, hash chain.Hash) (*wallet.Inclusion, error) {
	for {
		changed := n.store.Changed()
		lost := n.app.Lost(hash) // before the look for a receipt: what is included in between is found there
		in, err := n.receipt(hash)
		if in != nil || err != nil {
			return in, err
		}
		if lost {
			return nil, &consensus.Refusal{Code: consensus.CodeNoRoom,
				Text: "the message left the mempool without a block: replaced, overtaken, outbid or no longer able to pay"}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("no receipt of %s yet: %w", hash, ctx.Err())
		}
	}
}

// receipt returns a message's receipt, or nil if it has none.
func (n *Node) receipt(hash chain.Hash) (*wallet.Inclusion, error) {
	at, ok, err := n.store.Locate(hash)
	if err != nil || !ok {
		return nil, err
	}
	raw, err := n.store.Update(at.Height)
	if err != nil {
		return nil, err
	}
	var u consensus.Update
	if err := chain.Decode(raw, &u); err != nil {
		return nil, fmt.Errorf("decode update of height %d: %w", at.Height, err)
	}
	if int(at.Index) >= len(u.Receipts) {
		return nil, fmt.Errorf("height %d has no receipt %d", at.Height, at.Index)
	}
	return &wallet.Inclusion{Height: at.Height, Receipt: u.Receipts[at.Index]}, nil
}

// Updates implements rpc.Backend: it calls each with every encoded Update from
// a height on, without gap, and waits for new blocks. Nothing is buffered: a
// slow reader reads what it has not read from the store, and gets a
// *rpc.PrunedError if that is no longer kept.
func (n *Node) Updates(ctx context.Context, from chain.Height, each func(raw []byte) error) error {
	for h := from; ; {
		changed := n.store.Changed()
		raw, err := n.store.Update(h)
		switch {
		case err == nil:
			if err := each(raw); err != nil {
				return err
			}
			h++
			continue
		case errors.Is(err, state.ErrPruned):
			return &rpc.PrunedError{Oldest: n.store.Oldest()}
		case !errors.Is(err, state.ErrFuture) && !errors.Is(err, state.ErrNoGenesis):
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-n.life.Done():
			return n.life.Err()
		}
	}
}
