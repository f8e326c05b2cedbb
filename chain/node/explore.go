package node

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/app"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/index"
)

var _ explorer.Backend = (*Node)(nil)

// explore opens the index and returns the explorer's handlers over it.
func explore(n *Node) (http.Handler, error) {
	x, err := index.Open(index.Config{Dir: indexDir(n.home), ChainID: n.params.ChainID, Keep: n.keeper.index.most})
	if err != nil {
		return nil, err
	}
	config := explorer.Config{Backend: n, Index: x, NodeID: n.identity.NodeID, Listen: []string{n.Peer()},
		Version: version(), Registry: n.registry, Log: n.log.With("part", "explorer")}
	if !n.config.Hints.Off {
		n.hints = n.newHints()
		config.Hints = n.hints.Table()
	}
	api, err := explorer.New(config)
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	n.explorer, n.index = api, x
	return api.Handler(), nil
}

// version is the module's version as the build recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "(unknown)"
}

// runExplorer keeps the index at the chain's head until the node closes.
func (n *Node) runExplorer() {
	if n.explorer == nil {
		return
	}
	n.serving.Go(func() {
		if err := n.explorer.Run(n.life); err != nil && n.life.Err() == nil {
			n.log.Error("explorer stopped", "error", err)
		}
	})
	if n.hints != nil {
		n.serving.Go(func() { n.hints.Run(n.life) })
	}
}

// Messages implements explorer.Backend.
func (n *Node) Messages(_ context.Context, h chain.Height) ([][]byte, error) {
	block := n.comet.BlockStore().LoadBlock(int64(h))
	if block == nil {
		return nil, nil
	}
	txs := make([][]byte, len(block.Txs))
	for i, tx := range block.Txs {
		txs[i] = tx
	}
	return app.Messages(txs), nil
}
