//go:build unix

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
	"syscall"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// benchSenders is how many accounts send in turn: many, so that nonces do not
// put everything into one line.
const benchSenders = 512

// hasty lets validators make blocks as fast as they come.
var hasty = Pace{Commit: time.Millisecond, Hasty: true}

// BenchmarkTransfers measures how many transfers a chain carries whose
// validators run in this process, on loopback: messages signed beforehand go
// into the nodes, in process and from all cores, each sender's into one node,
// and are counted when the block that holds them is committed and synced on the
// first. Admission, with its signature check, and blocks run at the same time.
//
// The reference in the same run is a key-value store with one signature a
// message (see reference) under the same engine configuration and mempool type,
// with messages of the same size and the same load. An operation is one transfer.
// "ratio" is of messages a second; "cpu-ratio" is of messages a second of
// processor time, which other programs on the machine disturb less.
func BenchmarkTransfers(b *testing.B) {
	for _, validators := range []int{1, 4} {
		b.Run(fmt.Sprintf("validators=%d", validators), func(b *testing.B) {
			secrets := make([][]byte, benchSenders)
			for i := range secrets {
				secrets[i] = binary.BigEndian.AppendUint64(make([]byte, chain.PrivateKeySize-8), uint64(i)+1)
			}
			messages := signedTransfers(b, secrets, b.N)
			pairs := signedPairs(b, secrets, b.N, len(messages[0]))
			store := startReference(b, benchHomes(b, secrets, validators))
			reference, referenceCPU := carry(b, store, pairs)
			perdure := startPerdure(b, benchHomes(b, secrets, validators))
			rate, rateCPU := carry(b, perdure, messages)
			for _, n := range perdure.nodes {
				if s := n.Stats(); s.Failed != 0 {
					b.Errorf("%d of %d transfers failed", s.Failed, s.Messages)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(rate, "transfers/s")
			b.ReportMetric(reference, "reference/s")
			b.ReportMetric(rate/reference, "ratio")
			b.ReportMetric(rateCPU/referenceCPU, "cpu-ratio")
			b.ReportMetric(float64(b.N)/float64(max(perdure.blocks(), 1)), "transfers/block")
		})
	}
}

// carrier is a chain under load.
type carrier interface {
	submit(sender int, raw []byte) error
	committed() int // messages in blocks of the first node
	// moved returns a channel that is closed when committed may have grown.
	moved() <-chan struct{}
	close() error
}

// benchRoom is how many messages may wait for a block at once.
const benchRoom = 10_000

// carry submits messages from all cores, with at most benchRoom of them under
// way, and returns how many a second were carried until all were in blocks, and
// how many a second of processor time.
func carry(b *testing.B, c carrier, messages [][]byte) (rate, rateCPU float64) {
	b.Helper()
	await := func(least int) {
		for {
			moved := c.moved()
			if c.committed() >= least {
				return
			}
			<-moved
		}
	}
	start, used := time.Now(), processorTime(b)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(messages); i = int(next.Add(1)) - 1 {
				await(i - benchRoom)
				if err := c.submit(i%benchSenders, messages[i]); err != nil {
					b.Errorf("message %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	await(len(messages))
	n := float64(len(messages))
	rate, rateCPU = n/time.Since(start).Seconds(), n/(processorTime(b)-used).Seconds()
	if err := c.close(); err != nil {
		b.Fatal(err)
	}
	return rate, rateCPU
}

// processorTime is what this process has used of all cores.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cluster is a chain of real nodes.
type cluster struct {
	nodes []*Node
	first chain.Height // of the first node when the load began
	last  chain.Height
	stop  context.CancelFunc
	done  chan error
}

func startPerdure(b *testing.B, homes []benchHome) *cluster {
	b.Helper()
	c := &cluster{done: make(chan error, len(homes))}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	for _, h := range homes {
		for _, n := range c.nodes {
			h.config.Peers = append(h.config.Peers, n.Peer())
		}
		n, err := New(Options{Home: h.dir, Config: h.config, Pace: hasty})
		if err != nil {
			b.Fatal(err)
		}
		c.nodes = append(c.nodes, n)
		go func() { c.done <- n.Run(ctx) }()
	}
	for _, n := range c.nodes {
		awaitHeight(n, 2)
	}
	c.first = c.nodes[0].Store().View().Height()
	return c
}

func (c *cluster) submit(sender int, raw []byte) error {
	return c.nodes[sender%len(c.nodes)].Submit(context.Background(), raw)
}

func (c *cluster) committed() int         { return int(c.nodes[0].Stats().Messages) }
func (c *cluster) moved() <-chan struct{} { return c.nodes[0].Store().Changed() }
func (c *cluster) blocks() int64          { return int64(c.last - c.first) }

func (c *cluster) close() error {
	c.last = c.nodes[0].Store().View().Height()
	c.stop()
	var errs []error
	for range c.nodes {
		errs = append(errs, <-c.done)
	}
	for _, n := range c.nodes {
		errs = append(errs, n.Close())
	}
	return errors.Join(errs...)
}

// awaitHeight waits for a height. It panics if the node stops before.
func awaitHeight(n *Node, h chain.Height) {
	for {
		changed := n.Store().Changed()
		if v := n.Store().View(); v != nil && v.Height() >= h {
			return
		}
		select {
		case <-changed:
		case <-n.life.Done():
			err, _ := ends.Load(n)
			panic(fmt.Sprintf("the node stopped before height %d: %v", h, err))
		}
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

// benchHome is the home of one validator.
type benchHome struct {
	dir    string
	config *Config
}

// benchHomes makes the homes of a chain's validators, which know of rich accounts.
func benchHomes(b *testing.B, secrets [][]byte, validators int) []benchHome {
	b.Helper()
	p := consensus.Devnet()
	p.ChainID = benchChain
	g := &consensus.Genesis{}
	for _, secret := range secrets {
		who, err := chain.AddressOfKey(secret)
		if err != nil {
			b.Fatal(err)
		}
		g.Accounts = append(g.Accounts, consensus.GenesisAccount{Address: chain.FormatAddress(who, p.Network), Balance: chain.PDR(1_000)})
	}
	var homes []benchHome
	for i := range validators {
		dir, err := os.MkdirTemp("", "bench-node-")
		if err != nil {
			b.Fatal(err)
		}
		// Not b.TempDir, which must be empty: CometBFT may write its address book late.
		b.Cleanup(func() { _ = os.RemoveAll(dir) })
		id, err := Init(dir)
		if err != nil {
			b.Fatal(err)
		}
		reward, err := chain.AddressOfKey(secrets[i])
		if err != nil {
			b.Fatal(err)
		}
		g.Validators = append(g.Validators, id.Validator(1, reward, p.Network))
		c := DefaultConfig()
		c.API, c.RPC, c.P2P, c.EngineLog, c.LocalPeers = "127.0.0.1:0", "", "127.0.0.1:0", "none", true
		homes = append(homes, benchHome{dir, &c})
	}
	g.Params = *p
	doc, err := MakeGenesis(g, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	for _, h := range homes {
		if err := SaveGenesis(h.dir, doc); err != nil {
			b.Fatal(err)
		}
	}
	return homes
}
