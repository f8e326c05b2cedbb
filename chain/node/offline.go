package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/state/proof"
)

// Offline is the API of a node that does not run: it answers from the state and
// the index of its home, as they were when it stopped, on a port of this machine.
type Offline struct {
	URL string // of the API

	api    *explorer.API
	store  *state.Store
	params *consensus.Params
	server *http.Server
	served chan error
}

// OpenOffline opens the home of a node that does not run, for reading, and
// serves its API until it is closed.
func OpenOffline(home string) (o *Offline, err error) {
	_, genesis, err := LoadGenesis(home)
	if err != nil {
		return nil, err
	}
	o = &Offline{params: &genesis.Params}
	if o.store, err = state.Open(state.Config{Dir: stateDir(home), Params: o.params}); err != nil {
		return nil, fmt.Errorf("read the home of a stopped node: %w", err)
	}
	x, err := index.Open(index.Config{Dir: indexDir(home), ChainID: o.params.ChainID, Params: o.params})
	if err == nil {
		if o.api, err = explorer.New(explorer.Config{Backend: atRest{o}, Index: x, Genesis: o.params}); err != nil {
			err = errors.Join(err, x.Close())
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the home of a stopped node: %w", err), o.store.Close())
	}
	if err := o.serve(); err != nil {
		return nil, errors.Join(err, o.api.Close(), o.store.Close())
	}
	return o, nil
}

func (o *Offline) serve() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the API of a stopped node: %w", err)
	}
	o.URL, o.served = "http://"+l.Addr().String(), make(chan error, 1)
	o.server = &http.Server{Handler: o.api.Handler(), ReadHeaderTimeout: time.Minute}
	go func() { o.served <- o.server.Serve(l) }()
	return nil
}

// Close ends all answers and closes the home.
func (o *Offline) Close() error {
	err := o.server.Close()
	if e := <-o.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, o.api.Close(), o.store.Close())
}

// atRest is a node that does not run, behind the explorer.
type atRest struct{ *Offline }

// errNotRunning is returned for what needs a node that runs.
var errNotRunning = errors.New("the node does not run")

// Params implements explorer.Backend.
func (s atRest) Params() *consensus.Params {
	if v := s.store.Visit(); v != nil {
		if p, err := consensus.ParamsOf(s.params, v); err == nil { // else those of genesis
			return p
		}
	}
	return s.params
}

// Store implements explorer.Backend.
func (s atRest) Store() *state.Store { return s.store }

// Messages implements explorer.Backend.
func (atRest) Messages(context.Context, chain.Height) ([][]byte, error) { return nil, nil }

// Votes implements explorer.Backend.
func (atRest) Votes(context.Context, chain.Height) (*index.Commit, error) { return nil, nil }

// Submit implements explorer.Backend.
func (atRest) Submit(context.Context, []byte) error { return errNotRunning }

// Prove implements explorer.Backend.
func (atRest) Prove(context.Context, chain.Key, chain.Height) (*proof.Bundle, error) {
	return nil, errNotRunning
}

// Synced implements explorer.Backend.
func (atRest) Synced() bool { return false }

// Peers implements explorer.Backend.
func (atRest) Peers() int { return 0 }
