//go:build unix

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	dbm "github.com/cometbft/cometbft-db"
	abci "github.com/cometbft/cometbft/abci/types"
	cmtconfig "github.com/cometbft/cometbft/config"
	cmtlog "github.com/cometbft/cometbft/libs/log"
	cmtnode "github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"
	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
)

// A pair is the reference's message: the sender's address (21 bytes), a key
// and its value, a signature (65 bytes) of all before it.
const (
	pairAddress   = 21
	pairKey       = 16
	pairSignature = 65
)

// signedPairs makes messages of a size, the senders taking turns.
func signedPairs(b *testing.B, secrets [][]byte, n, size int) [][]byte {
	b.Helper()
	out := make([][]byte, n)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				secret := secrets[i%len(secrets)]
				from, err := chain.AddressOfKey(secret)
				if err != nil {
					b.Error(err)
					return
				}
				pair := fmt.Appendf(from.Bytes(), "%0*d%0*d", pairKey, i, size-pairAddress-pairKey-pairSignature, i)
				sig, err := chain.Sign(secret, pair)
				if err != nil {
					b.Error(err)
					return
				}
				out[i] = append(pair, sig.Data...)
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return out
}

// reference is what the engine carries if an application does next to nothing:
// a key-value store whose messages are signed. Each is checked once, by one
// recovery, when it comes; blocks are filled in the order of arrival; the pairs
// go into a database, synced once a block. It has no nonces, fees, balances,
// state tree, receipts, votes to extend, or index.
type reference struct {
	abci.BaseApplication
	db dbm.DB

	mu      sync.Mutex
	waiting map[[32]byte]bool // checked and not in a block yet
	line    [][]byte          // the same in order of arrival
	fresh   [][]byte          // not given to peers yet
	batch   dbm.Batch
	block   [][]byte
	hash    [32]byte
	height  int64
	count   int
	changed chan struct{} // closed at the next block
}

func newReference(db dbm.DB) *reference {
	return &reference{db: db, waiting: map[[32]byte]bool{}, changed: make(chan struct{})}
}

func check(tx []byte) error {
	if len(tx) < pairAddress+pairKey+pairSignature {
		return errors.New("too short")
	}
	signed := tx[:len(tx)-pairSignature]
	from, err := address.NewFromBytes(tx[:pairAddress])
	if err != nil {
		return err
	}
	sig := &crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: tx[len(signed):]}
	return chain.VerifySignature(sig, from, signed)
}

// insert admits a message, from here or from a peer.
func (r *reference) insert(tx []byte) error {
	key := sha256.Sum256(tx)
	r.mu.Lock()
	known := r.waiting[key]
	r.mu.Unlock()
	if known {
		return nil
	}
	if err := check(tx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[key] {
		return nil
	}
	if has, err := r.db.Has(tx[pairAddress : pairAddress+pairKey]); err != nil || has {
		return err // in a block already
	}
	r.waiting[key] = true
	r.line, r.fresh = append(r.line, tx), append(r.fresh, tx)
	return nil
}

func (r *reference) InsertTx(_ context.Context, req *abci.RequestInsertTx) (*abci.ResponseInsertTx, error) {
	if r.insert(req.Tx) != nil {
		return &abci.ResponseInsertTx{Code: 1}, nil
	}
	return &abci.ResponseInsertTx{}, nil
}

func (r *reference) ReapTxs(_ context.Context, req *abci.RequestReapTxs) (*abci.ResponseReapTxs, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &abci.ResponseReapTxs{}
	for left := req.MaxBytes; len(r.fresh) > 0 && uint64(len(r.fresh[0])) <= left; r.fresh = r.fresh[1:] {
		left -= uint64(len(r.fresh[0]))
		out.Txs = append(out.Txs, r.fresh[0])
	}
	return out, nil
}

func (r *reference) PrepareProposal(_ context.Context, req *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &abci.ResponsePrepareProposal{}
	left := req.MaxTxBytes
	for _, tx := range r.line {
		if left -= types.ComputeProtoSizeForTxs([]types.Tx{tx}); left < 0 {
			break
		}
		out.Txs = append(out.Txs, tx)
	}
	return out, nil
}

// ProcessProposal checks what did not come by itself.
func (r *reference) ProcessProposal(_ context.Context, req *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	for _, tx := range req.Txs {
		if r.insert(tx) != nil {
			return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
		}
	}
	return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
}

func (r *reference) FinalizeBlock(_ context.Context, req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	r.batch, r.block, r.height = r.db.NewBatch(), req.Txs, req.Height
	out := &abci.ResponseFinalizeBlock{}
	h := sha256.New()
	h.Write(r.hash[:])
	for _, tx := range req.Txs {
		h.Write(tx)
		if err := r.batch.Set(tx[pairAddress:pairAddress+pairKey], tx); err != nil {
			return nil, err
		}
		out.TxResults = append(out.TxResults, &abci.ExecTxResult{})
	}
	r.hash = [32]byte(h.Sum(nil))
	out.AppHash = r.hash[:]
	return out, nil
}

func (r *reference) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := errors.Join(r.batch.WriteSync(), r.batch.Close()); err != nil {
		return nil, err
	}
	for _, tx := range r.block {
		delete(r.waiting, sha256.Sum256(tx))
	}
	kept := r.line[:0]
	for _, tx := range r.line {
		if r.waiting[sha256.Sum256(tx)] {
			kept = append(kept, tx)
		}
	}
	r.line = kept
	r.count += len(r.block)
	close(r.changed)
	r.changed = make(chan struct{})
	return &abci.ResponseCommit{}, nil
}

// references is a chain of the reference application.
type references struct {
	nodes []*Node // of each only its engine is there
	apps  []*reference
}

func startReference(b *testing.B, homes []benchHome) *references {
	b.Helper()
	c := &references{}
	var peers []string
	for _, h := range homes {
		h.config.Peers = peers
		n, a, address := referenceNode(b, h)
		peers = append(peers, address)
		c.nodes, c.apps = append(c.nodes, n), append(c.apps, a)
	}
	for _, n := range c.nodes {
		if err := n.comet.Start(); err != nil {
			b.Fatal(err)
		}
	}
	for _, a := range c.apps {
		for a.at() < 2 {
			<-a.next()
		}
	}
	return c
}

func referenceNode(b *testing.B, h benchHome) (*Node, *reference, string) {
	b.Helper()
	doc, genesis, err := LoadGenesis(h.dir)
	if err != nil {
		b.Fatal(err)
	}
	doc.AppState, doc.ConsensusParams.ABCI.VoteExtensionsEnableHeight = nil, 0
	doc.ConsensusParams.Version.App = 0
	k, err := loadKeys(h.dir)
	if err != nil {
		b.Fatal(err)
	}
	id, err := LoadIdentity(h.dir)
	if err != nil {
		b.Fatal(err)
	}
	if h.config.P2P, err = pickPort(h.config.P2P); err != nil {
		b.Fatal(err)
	}
	config := engineConfig(h.dir, h.config, &genesis.Params, hasty)
	n := &Node{databases: map[string]*engineDB{}}
	n.life, n.end = context.WithCancel(context.Background())
	db, err := n.openDB(&cmtconfig.DBContext{ID: "pairs", Config: config})
	if err != nil {
		b.Fatal(err)
	}
	a := newReference(db)
	n.comet, err = cmtnode.NewNode(config, k.sign, k.node, proxy.NewConnSyncLocalClientCreator(a),
		func() (*types.GenesisDoc, error) { return doc, nil }, n.openDB,
		cmtnode.DefaultMetricsProvider(config.Instrumentation), cmtlog.NewNopLogger())
	if err != nil {
		b.Fatal(errors.Join(err, n.Close()))
	}
	return n, a, id.NodeID + "@" + h.config.P2P
}

func (r *reference) at() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.height
}

func (r *reference) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (c *references) submit(sender int, raw []byte) error {
	return c.apps[sender%len(c.apps)].insert(raw)
}

func (c *references) committed() int {
	a := c.apps[0]
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count
}

func (c *references) moved() <-chan struct{} { return c.apps[0].next() }

func (c *references) close() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.Close())
	}
	return errors.Join(errs...)
}

// TestReference: the reference takes what is signed, once, and nothing else.
func TestReference(t *testing.T) {
	r := newReference(dbm.NewMemDB())
	from, err := chain.AddressOfKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	pair := append(from.Bytes(), bytes.Repeat([]byte("k"), 40)...)
	sig, err := chain.Sign(secret, pair)
	if err != nil {
		t.Fatal(err)
	}
	good := append(pair, sig.Data...)
	bad := bytes.Clone(good)
	bad[30] ^= 1
	if err := r.insert(bad); err == nil {
		t.Error("a wrong signature is taken")
	}
	for range 2 {
		if err := r.insert(good); err != nil {
			t.Fatal(err)
		}
	}
	p, err := r.PrepareProposal(t.Context(), &abci.RequestPrepareProposal{MaxTxBytes: 1000})
	if err != nil || len(p.Txs) != 1 {
		t.Fatalf("proposal %v, %v, want one message", p, err)
	}
	if _, err := r.FinalizeBlock(t.Context(), &abci.RequestFinalizeBlock{Height: 1, Txs: p.Txs}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := r.insert(good); err != nil || len(r.line) != 0 || r.count != 1 {
		t.Errorf("%d messages wait and %d are in blocks (%v)", len(r.line), r.count, err)
	}
}
