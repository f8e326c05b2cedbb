package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/app"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/explorer/access"
	"github.com/perdure/perdure/chain/explorer/compat"
	"github.com/perdure/perdure/chain/explorer/page"
	"github.com/perdure/perdure/chain/index"
)

var _ explorer.Backend = (*Node)(nil)

// openIndex opens the index, nil if it is switched off. One that is damaged, or of another chain, is set
// aside: it is made from the state and its Updates, and must not keep a validator
// from its votes.
func openIndex(n *Node) (*index.Index, error) {
	if n.config.Index.Off {
		return nil, nil
	}
	c := index.Config{Dir: indexDir(n.home), ChainID: n.params.ChainID, Params: n.params, Keep: n.keeper.index.most,
		Series: n.config.Index.series(), Log: n.log.With("part", "index")}
	x, err := index.Open(c)
	var stranger *index.StrangerError
	aside := c.Dir
	switch {
	case errors.As(err, &stranger):
		aside = unused(c.Dir + ".of-another-chain") // its history may be nowhere else
	case errors.Is(err, index.ErrDamaged):
		aside += ".damaged"
		if err := os.RemoveAll(aside); err != nil {
			return nil, fmt.Errorf("set the damaged index aside: %w", err)
		}
	default:
		return x, err
	}
	n.log.Error("the index is set aside and made anew", "aside", aside, "error", err)
	if err := os.Rename(c.Dir, aside); err != nil {
		return nil, fmt.Errorf("set the index aside: %w", err)
	}
	return index.Open(c)
}

// unused is a path, or with a number behind it, that names nothing yet.
func unused(path string) string {
	name := path
	for i := 2; ; i++ {
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			return name
		}
		name = fmt.Sprintf("%s-%d", path, i)
	}
}

// explore opens the index and returns the explorer's handlers over it: the API
// and, beside it, the page.
func explore(n *Node) (http.Handler, error) {
	x, err := openIndex(n)
	if err != nil {
		return nil, err
	}
	tokens, err := access.Open(n.home)
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	bounds := n.config.Access.connections()
	config := explorer.Config{Genesis: n.params, Tokens: tokens, Proxies: bounds.Proxies, Limits: n.config.Access.limits(),
		Backend: n, Index: x, Hashes: headers{n}, NodeID: n.identity.NodeID, Listen: []string{n.Peer()},
		Version: version(), Registry: n.registry, Log: n.log.With("part", "explorer")}
	if !n.config.Hints.Off {
		n.hints = n.newHints()
		config.Hints = n.hints.Table()
	}
	api, err := explorer.New(config)
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	pages, err := page.New(api, api.Handler())
	if err != nil {
		return nil, errors.Join(err, api.Close())
	}
	n.explorer, n.index = api, x
	mux := http.NewServeMux()
	mux.Handle("/v1/", api.Handler())
	mux.Handle("/health/", api.Handler())
	foreign := compat.New(api, headers{n})
	for _, path := range compat.Paths {
		mux.Handle(path, foreign)
	}
	mux.Handle("/", pages)
	return mux, nil
}

// version is the module's version as the build recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "(unknown)"
}

// How long the index waits after an error before it goes on: twice as long
// after each.
const (
	indexPause    = time.Second
	indexPauseMax = time.Minute
)

// runExplorer keeps the index at the chain's head until the node closes. An
// error, such as one of the disk, ends it only if the database cannot go on.
func (n *Node) runExplorer() {
	if n.explorer == nil {
		return
	}
	n.serving.Go(func() {
		for pause := indexPause; ; pause = min(2*pause, indexPauseMax) {
			err := n.explorer.Run(n.life)
			if n.life.Err() != nil {
				return
			}
			if errors.Is(err, index.ErrStopped) {
				n.log.Error("the index stopped until the next start", "error", err)
				return
			}
			n.log.Error("the index failed", "error", err, "again in", pause)
			select {
			case <-time.After(pause):
			case <-n.life.Done():
				return
			}
		}
	})
	if n.hints != nil {
		n.serving.Go(func() { n.hints.Run(n.life) })
	}
}

// Messages implements explorer.Backend. A block that the engine's store has
// and cannot read is as one that it has no more: the engine panics on it.
func (n *Node) Messages(_ context.Context, h chain.Height) (messages [][]byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			n.log.Error("a stored block cannot be read", "height", h, "error", p)
			messages, err = nil, nil
		}
	}()
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

// Votes implements explorer.Backend. What cannot be read is as what the engine
// has no more.
func (n *Node) Votes(_ context.Context, h chain.Height) (votes *index.Commit, err error) {
	defer func() {
		if p := recover(); p != nil {
			n.log.Error("stored votes cannot be read", "height", h, "error", p)
			votes, err = nil, nil
		}
	}()
	commit := n.comet.BlockStore().LoadBlockCommit(int64(h)) // as the next block has it
	if commit == nil {
		return nil, nil
	}
	votes = &index.Commit{Round: uint64(commit.Round)}
	for i := range commit.Signatures {
		switch s := &commit.Signatures[i]; s.BlockIDFlag {
		case types.BlockIDFlagCommit:
			votes.For = append(votes.For, s.ValidatorAddress)
		case types.BlockIDFlagNil:
			votes.Nil = append(votes.Nil, s.ValidatorAddress)
		}
	}
	return votes, nil
}
