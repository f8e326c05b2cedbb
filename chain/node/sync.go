package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	cmtconfig "github.com/cometbft/cometbft/config"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	rpchttp "github.com/cometbft/cometbft/rpc/client/http"
	jsonrpc "github.com/cometbft/cometbft/rpc/jsonrpc/client"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/store"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/app"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
)

// Sync says where a node without blocks gets its state from: snapshots of its
// peers, checked against headers that follow from a trusted one. A node that
// has blocks goes on from there.
type Sync struct {
	// Servers are base URLs of the CometBFT JSON-RPC of nodes that are asked
	// for headers. What the first says is compared with what the others say.
	Servers []string
	Trust   Trust
}

// Trust is a header that the operator knows to be the chain's.
type Trust struct {
	Height chain.Height
	Hash   []byte // of the header, 32 bytes
}

// ParseTrust reads HEIGHT:HASH, the hash in hexadecimal.
func ParseTrust(text string) (Trust, error) {
	height, hash, ok := strings.Cut(text, ":")
	h, err := strconv.ParseUint(height, 10, 63)
	raw, hexErr := hex.DecodeString(hash)
	if !ok || err != nil || hexErr != nil || h == 0 || len(raw) != 32 {
		return Trust{}, fmt.Errorf("trusted header %q: want HEIGHT:HASH, the block's hash as 64 hexadecimal digits", text)
	}
	return Trust{chain.Height(h), raw}, nil
}

// String writes HEIGHT:HASH.
func (t Trust) String() string { return fmt.Sprintf("%d:%X", t.Height, t.Hash) }

// Times of state sync: the engine looks for snapshots for the first before it
// takes the best, and asks again for a chunk that has not come after the second.
const (
	discoveryTime = 5 * time.Second
	chunkTime     = 30 * time.Second
)

// configure turns the engine's state sync on, under the parameters in force at the
// trusted header.
func (s *Sync) configure(e *cmtconfig.Config, p *consensus.Params) error {
	if len(s.Servers) == 0 || s.Trust.Height == 0 {
		return errors.New("sync: want the URL of a node's JSON-RPC and a trusted header")
	}
	c := e.StateSync
	c.Enable = true
	c.RPCServers = s.Servers
	if len(s.Servers) == 1 { // the engine insists on a second opinion
		c.RPCServers = append(c.RPCServers[:1:1], s.Servers[0])
	}
	c.TrustHeight, c.TrustHash = int64(s.Trust.Height), hex.EncodeToString(s.Trust.Hash)
	c.TrustPeriod = time.Duration(p.TrustPeriod*p.BlockMillis) * time.Millisecond
	c.DiscoveryTime, c.ChunkRequestTimeout = discoveryTime, chunkTime
	return nil
}

// askTime bounds the questions to a server before state sync.
const askTime = 10 * time.Second

// inForce returns the parameters in force at the trusted header, which say for how
// long it may be trusted, proven by the first server that still has the state
// before it; those of genesis if none has.
func (s *Sync) inForce(ctx context.Context, genesis *consensus.Params) (*consensus.Params, error) {
	if s.Trust.Height <= 1 {
		return genesis, nil
	}
	var failed []error
	for _, url := range s.Servers {
		p, err := s.ask(ctx, url, genesis)
		if err == nil {
			return p, nil
		}
		failed = append(failed, fmt.Errorf("ask %s for the parameters at height %d: %w", url, s.Trust.Height, err))
	}
	return genesis, errors.Join(failed...)
}

// ask reads the parameters below the trusted header from one server.
func (s *Sync) ask(ctx context.Context, url string, genesis *consensus.Params) (*consensus.Params, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	dials, err := jsonrpc.DefaultHTTPClient(url)
	if err != nil {
		return nil, err
	}
	defer dials.CloseIdleConnections()
	server, err := rpchttp.NewWithClient(url, "/websocket", dials)
	if err != nil {
		return nil, err
	}
	height := int64(s.Trust.Height)
	signed, err := server.Commit(ctx, &height)
	if err != nil {
		return nil, err
	}
	if found := signed.Header.Hash(); !bytes.Equal(found, s.Trust.Hash) {
		return nil, fmt.Errorf("its header has the hash %X, trusted is %X", found, s.Trust.Hash)
	}
	k := chain.ParamsKey()
	r, err := server.ABCIQueryWithOptions(ctx, app.QueryPath(k.Table), []byte(k.ID), rpcclient.ABCIQueryOptions{Height: height - 1, Prove: true})
	if err != nil {
		return nil, err
	}
	if r.Response.Code != 0 || r.Response.ProofOps == nil || len(r.Response.ProofOps.Ops) != 1 {
		return nil, fmt.Errorf("no proof: %s", r.Response.Log)
	}
	record, err := proof.Verify(r.Response.ProofOps.Ops[0].Data, signed.AppHash, k)
	if err != nil || record == nil {
		return genesis, err
	}
	p := new(consensus.Params)
	return p, chain.Decode(record, p)
}

// mendSync finishes a state sync that was interrupted after the engine took
// the snapshot's header for its state and before its first block: it would
// take its own databases for broken. One that was interrupted before begins anew.
func mendSync(blocks, state dbm.DB) error {
	if store.LoadBlockStoreState(blocks).Height != 0 {
		return nil
	}
	s := sm.NewStore(state, sm.StoreOptions{})
	at, err := s.Load()
	if err != nil || at.IsEmpty() || at.LastBlockHeight == 0 {
		return err
	}
	if store.NewBlockStore(blocks).LoadSeenCommit(at.LastBlockHeight) == nil {
		return errors.New("the state sync before broke off halfway: perdure node reset makes the node empty again")
	}
	return s.SetOfflineStateSyncHeight(at.LastBlockHeight)
}

// checkHalves refuses a home whose state has no blocks to go with it, which
// is what a state sync leaves that broke off.
func (n *Node) checkHalves(blocks dbm.DB, syncs bool) error {
	v := n.store.View()
	if syncs || v == nil || v.Height() == 0 || store.LoadBlockStoreState(blocks).Height != 0 {
		return nil
	}
	return fmt.Errorf("the state is at height %d but the engine has no blocks: go on with perdure node run --sync-from, "+
		"or make the node empty with perdure node reset", v.Height())
}

// Reset makes a home empty, so that it can start anew: state, index, snapshots
// and blocks go; config, genesis, keys and what the validator has signed stay.
func Reset(home string) error {
	for _, dir := range []string{stateDir(home), indexDir(home), snapshotDir(home)} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("reset node: %w", err)
		}
	}
	data := filepath.Dir(signStatePath(home))
	files, err := os.ReadDir(data)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reset node: %w", err)
	}
	for _, f := range files {
		if path := filepath.Join(data, f.Name()); path != signStatePath(home) {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("reset node: %w", err)
			}
		}
	}
	return nil
}
