package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cometbft/cometbft/abci/example/kvstore"
	cmtconfig "github.com/cometbft/cometbft/config"
	cmtlog "github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/mempool"
	cmtnode "github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// benchSenders is how many accounts send in turn: many, so that nonces do not
// put everything into one line.
const benchSenders = 512

// hasty lets a single validator make blocks as fast as they come.
var hasty = Pace{Commit: time.Millisecond, Hasty: true}

// BenchmarkTransfers measures how many transfers a chain of one validator
// carries: messages signed beforehand go into the node, in process and from all
// cores, and are counted when the block that holds them is committed and synced.
// Admission (with its signature check) and blocks run at the same time.
//
// "perdure" is a node with the devnet's limits; "kvstore" is CometBFT's own
// example application under the same engine configuration, with transactions
// of the same size, no signatures and CometBFT's mempool: what the engine
// itself carries. An operation is one transfer.
func BenchmarkTransfers(b *testing.B) {
	b.Run("perdure", benchPerdure)
	b.Run("kvstore", benchKVStore)
}

func benchPerdure(b *testing.B) {
	secrets := make([][]byte, benchSenders)
	for i := range secrets {
		secrets[i] = binary.BigEndian.AppendUint64(make([]byte, chain.PrivateKeySize-8), uint64(i)+1)
	}
	messages := signedTransfers(b, secrets, b.N)
	home, config := benchHome(b, secrets)
	config.Mempool.PerSender = uint64(b.N)
	n, err := New(Options{Home: home, Config: config, Pace: hasty})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	awaitHeight(n, 2)
	first := n.Store().View().Height()
	b.ResetTimer()
	load(b, messages, func() int { return int(n.Stats().Messages) },
		func(raw []byte) error { return n.Submit(ctx, raw) }, n.Store().Changed)
	b.StopTimer()
	report(b, int64(n.Store().View().Height()-first))
	if s := n.Stats(); s.Failed != 0 {
		b.Errorf("%d of %d transfers failed", s.Failed, s.Messages)
	}
	cancel()
	if err := errors.Join(<-done, n.Close()); err != nil {
		b.Fatal(err)
	}
}

// report adds the figures that the page quotes.
func report(b *testing.B, blocks int64) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
	b.ReportMetric(float64(b.N)/float64(max(blocks, 1)), "transfers/block")
}

func awaitHeight(n *Node, h chain.Height) {
	for {
		changed := n.Store().Changed()
		if v := n.Store().View(); v != nil && v.Height() >= h {
			return
		}
		<-changed
	}
}

// benchRoom is how many messages may wait for a block at once.
const benchRoom = 10_000

// load submits messages from all cores, with at most benchRoom of them under
// way, and returns when committed says that all are in blocks. changed returns
// a channel that is closed when that may have moved.
func load(b *testing.B, messages [][]byte, committed func() int, submit func([]byte) error, changed func() <-chan struct{}) {
	await := func(least int) {
		for {
			moved := changed()
			if committed() >= least {
				return
			}
			<-moved
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(messages); i = int(next.Add(1)) - 1 {
				await(i - benchRoom)
				if err := submit(messages[i]); err != nil {
					b.Errorf("message %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if !b.Failed() {
		await(len(messages))
	}
}

// signedTransfers signs n transfers, the senders taking turns.
func signedTransfers(b *testing.B, secrets [][]byte, n int) [][]byte {
	b.Helper()
	out := make([][]byte, n)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				var err error
				from, to := secrets[i%len(secrets)], secrets[(i*7+1)%len(secrets)]
				if out[i], err = signedTransfer(from, to, uint64(i/len(secrets))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return out
}

func signedTransfer(from, to []byte, nonce uint64) ([]byte, error) {
	sender, err := chain.AddressOfKey(from)
	if err != nil {
		return nil, err
	}
	recipient, err := chain.AddressOfKey(to)
	if err != nil {
		return nil, err
	}
	body, err := chain.Encode(&chain.Transfer{To: recipient, Amount: chain.Atto(1)})
	if err != nil {
		return nil, err
	}
	m := chain.Message{Version: chain.MessageVersion, From: sender, Nonce: nonce, MaxFee: chain.PDR(1),
		Kind: chain.KindTransfer, Body: body}
	text, err := m.SignBytes(benchChain)
	if err != nil {
		return nil, err
	}
	sig, err := chain.Sign(from, text)
	if err != nil {
		return nil, err
	}
	return chain.Encode(&chain.SignedMessage{Message: m, Signature: sig})
}

const benchChain = "node-bench-1"

// benchHome makes the home of a chain with one validator and rich accounts.
func benchHome(b *testing.B, secrets [][]byte) (string, *Config) {
	b.Helper()
	home, err := os.MkdirTemp("", "bench-node-")
	if err != nil {
		b.Fatal(err)
	}
	// Not b.TempDir, which must be empty: CometBFT may write its address book late.
	b.Cleanup(func() { _ = os.RemoveAll(home) })
	id, err := Init(home)
	if err != nil {
		b.Fatal(err)
	}
	p := consensus.Devnet()
	p.ChainID = benchChain
	g := &consensus.Genesis{}
	for _, secret := range secrets {
		who, err := chain.AddressOfKey(secret)
		if err != nil {
			b.Fatal(err)
		}
		g.Accounts = append(g.Accounts, consensus.GenesisAccount{Address: chain.FormatAddress(who, p.Network), Balance: chain.PDR(1_000)})
		if len(g.Validators) == 0 {
			g.Validators = append(g.Validators, id.Validator(1, who, p.Network))
		}
	}
	g.Params = *p
	doc, err := MakeGenesis(g, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	if err := SaveGenesis(home, doc); err != nil {
		b.Fatal(err)
	}
	c := DefaultConfig()
	c.API, c.RPC, c.P2P, c.EngineLog = "127.0.0.1:0", "", "127.0.0.1:0", "none"
	return home, &c
}

// transferSize is about the size of a transfer message in bytes.
const transferSize = 190

func benchKVStore(b *testing.B) {
	messages := make([][]byte, b.N)
	for i := range messages {
		messages[i] = fmt.Appendf(nil, "%012d=%0*d", i, transferSize-13, i)
	}
	n := kvstoreNode(b)
	defer n.Close()
	var c included
	c.changed = make(chan struct{})
	sub, err := n.comet.EventBus().SubscribeUnbuffered(b.Context(), "bench", types.EventQueryNewBlock)
	if err != nil {
		b.Fatal(err)
	}
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		c.follow(sub)
	}()
	if err := n.comet.Start(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	load(b, messages, c.count, func(raw []byte) error {
		return n.comet.Mempool().CheckTx(raw, nil, mempool.TxInfo{})
	}, c.moved)
	b.StopTimer()
	report(b, c.blocks)
	if err := n.Close(); err != nil {
		b.Fatal(err)
	}
	<-followed
}

// kvstoreNode makes a node of CometBFT's example application; of our Node only
// its engine is there.
func kvstoreNode(b *testing.B) *Node {
	b.Helper()
	home, c := benchHome(b, [][]byte{secret})
	doc, genesis, err := LoadGenesis(home)
	if err != nil {
		b.Fatal(err)
	}
	doc.AppState, doc.ConsensusParams.ABCI.VoteExtensionsEnableHeight = nil, 0
	doc.ConsensusParams.Version.App = kvstore.AppVersion
	k, err := loadKeys(home)
	if err != nil {
		b.Fatal(err)
	}
	if c.P2P, err = pickPort(c.P2P); err != nil {
		b.Fatal(err)
	}
	config := engineConfig(home, c, &genesis.Params, hasty)
	m := config.Mempool
	m.Type, m.Size, m.CacheSize, m.Recheck = cmtconfig.MempoolTypeFlood, 2*benchRoom, 2*benchRoom, false
	n := &Node{}
	n.life, n.end = context.WithCancel(b.Context())
	db, err := n.opensDB(false)(&cmtconfig.DBContext{ID: "kvstore", Config: config})
	if err != nil {
		b.Fatal(err)
	}
	n.comet, err = cmtnode.NewNode(config, k.sign, k.node, proxy.NewConnSyncLocalClientCreator(kvstore.NewApplication(db)),
		func() (*types.GenesisDoc, error) { return doc, nil }, n.opensDB(false),
		cmtnode.DefaultMetricsProvider(config.Instrumentation), cmtlog.NewNopLogger())
	if err != nil {
		b.Fatal(errors.Join(err, n.Close()))
	}
	return n
}

// included counts the transactions of blocks.
type included struct {
	mu      sync.Mutex
	txs     int
	blocks  int64
	changed chan struct{} // closed at the next block
}

func (c *included) follow(sub types.Subscription) {
	for {
		select {
		case e := <-sub.Out():
			c.mu.Lock()
			c.txs += len(e.Data().(types.EventDataNewBlock).Block.Txs)
			c.blocks++
			close(c.changed)
			c.changed = make(chan struct{})
			c.mu.Unlock()
		case <-sub.Canceled():
			return
		}
	}
}

func (c *included) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.txs
}

func (c *included) moved() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}
