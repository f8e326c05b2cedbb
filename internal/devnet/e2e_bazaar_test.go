package devnet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/client/view"
	"github.com/perdure/perdure/miner/daemon"
)

const (
	bazaarFiles   = 20
	bazaarSellers = 5
	bazaarBuyers  = 3
	bazaarCopies  = 2
	bazaarTerm    = 6_000 // blocks that files are stored: beyond the end
)

// good is a file that is stored and bought.
type good struct {
	root   string
	sum    [32]byte
	size   int
	chunks uint64 // that it costs when nothing goes wrong
}

// bazaar is a network of processes in which sellers and buyers come to harm.
type bazaar struct {
	*town
	seed  uint64
	goods []good
	stops chan struct{} // closed when all buyers have everything

	mu        sync.Mutex        // of the books
	accounts  map[string]*books // of the buyers, by address
	told      chan chain.Height // heights up to which the books are
	incidents [bazaarBuyers]int // of buyers
	kills     int               // of sellers, and lies and cuts
}

// TestE2EMarketChaos stores twenty files of 1 B to PERDURE_MARKET_LARGEST bytes
// with five miners, each a process, and has three buyers fetch all of them at
// once, while sellers are killed (SIGKILL), cut off (SIGSTOP: packets are not
// answered) and replaced by liars, and buyers killed, as a seed says. Every file
// arrives byte for byte; the books balance to the attoPDR; and no buyer and no
// seller loses more than a credit window for each incident.
func TestE2EMarketChaos(t *testing.T) {
	endToEnd(t)
	b := &bazaar{seed: setting(t, "PERDURE_CHAOS_SEED", 1), accounts: map[string]*books{}, told: make(chan chain.Height), stops: make(chan struct{})}
	t.Logf("seed %d", b.seed)
	b.town = newTownFor(t, 50*time.Minute)
	b.amend = func(p *consensus.Params) { p.FetchBy, p.ActivateBy = 4*p.FetchBy, 4*p.ActivateBy } // hundreds of MiB are sealed on few cores
	b.open(int(setting(t, "PERDURE_MARKET_LARGEST", 16<<20)))
	control := b.price()
	var trouble, buying sync.WaitGroup
	trouble.Go(b.trouble)
	for i := range bazaarBuyers {
		buying.Go(func() { b.buy(i) })
	}
	buying.Wait()
	close(b.stops)
	trouble.Wait()
	t.Logf("%d kills, cuts and lies of sellers, kills of buyers %v", b.kills, b.incidents)
	if b.kills < 3 {
		t.Errorf("only %d incidents: nothing was tried", b.kills)
	}
	b.close()
	b.judge(control)
}

// buyerName is the home of a buyer; the last one buys while nothing happens.
func buyerName(i int) string { return fmt.Sprintf("buyer%d", i) }

// open starts the network and stores the files.
func (b *bazaar) open(largest int) {
	b.t.Helper()
	names := []string{"client"}
	for i := range bazaarSellers {
		names = append(names, fmt.Sprintf("owner%d", i))
	}
	for i := range bazaarBuyers + 1 {
		names = append(names, buyerName(i))
	}
	var accounts []string
	for _, name := range names {
		accounts = append(accounts, b.newWallet(name))
	}
	for i := range bazaarBuyers + 1 {
		b.accounts[string(b.addressOf(buyerName(i)).Bytes())] = new(books)
	}
	b.startNodes(1, accounts...)
	node := rpc.New(b.apis[0])
	b.t.Cleanup(func() { node.Close() })
	go b.keep(node)
	for i := range bazaarSellers {
		b.startSeller(i)
	}
	b.await("every ask", func() bool {
		offers, err := offers(b.ctx, node)
		return err == nil && len(offers) == bazaarSellers
	})
	server := b.start("client", "client", "run", "--home", b.home("client"), "--node", b.apis[0])
	defer server.kill()
	prices := make([]uint64, bazaarSellers)
	b.goods = make([]good, bazaarFiles)
	for first := range bazaarSellers { // every fifth file to two sellers, the next ones to the next two
		b.favour(node, prices, first)
		for i := first; i < bazaarFiles; i += bazaarSellers {
			b.store(i, sizeOf(i, largest))
		}
	}
	active := map[uint64]chain.Deal{}
	b.await("every copy active", func() bool { return b.stored(node, active) })
}

// favour makes two miners the cheapest ones, and waits until the book says so.
func (b *bazaar) favour(node *rpc.Client, prices []uint64, first int) {
	b.t.Helper()
	for i := range prices {
		price := uint64(2000)
		if i == first || i == (first+1)%len(prices) {
			price = 1000
		}
		if price != prices[i] {
			b.run(nil, "miner", "ask", "set", "--home", b.home(fmt.Sprintf("miner%d", i)), "--price", fmt.Sprint(price), "--capacity", "1GiB")
			prices[i] = price
		}
	}
	b.await("the asks", func() bool {
		offers, err := offers(b.ctx, node)
		if err != nil {
			return false
		}
		for i, price := range prices {
			if offers[chain.FirstMinerID+uint64(i)] != chain.Atto(price) {
				return false
			}
		}
		return true
	})
}

// stored reports whether every deal is active and each piece has its copies. It
// keeps the deals that it saw active.
func (b *bazaar) stored(node *rpc.Client, active map[uint64]chain.Deal) bool {
	b.t.Helper()
	g, err := node.Global(b.ctx)
	if err != nil || g.NextDeal == 1 {
		return false
	}
	copies, want := map[string]uint64{}, map[string]uint64{}
	for id := uint64(1); id < g.NextDeal; id++ {
		d, known := active[id]
		if !known {
			if ok, err := node.Record(b.ctx, chain.DealKey(id), &d); err != nil || !ok {
				return false
			}
			switch d.State {
			case chain.DealActive:
				active[id] = d
			case chain.DealMatched, chain.DealAccepted:
				return false
			default:
				b.t.Fatalf("deal %d over %s ended before it was active: the machine is too slow", id, d.PayloadRoot)
			}
		}
		copies[d.PayloadRoot.String()]++
		want[d.PayloadRoot.String()] = d.Parts * bazaarCopies
	}
	for i := range b.goods {
		if root := b.goods[i].root; copies[root] == 0 || copies[root] != want[root] {
			return false
		}
	}
	return true
}

// sizeOf spreads the sizes of the files between one byte and the largest.
func sizeOf(i, largest int) int {
	size := 1
	for range i {
		size += size*2 + 1 // 1, 4, 13, ...
	}
	switch {
	case i == bazaarFiles-1:
		return largest
	case size > largest/8:
		return largest/8 - i*1000
	}
	return size
}

// startSeller makes a miner that always listens at one address.
func (b *bazaar) startSeller(i int) {
	b.t.Helper()
	name := fmt.Sprintf("miner%d", i)
	b.run(nil, "miner", "init", "--home", b.home(name), "--wallet", b.home(fmt.Sprintf("owner%d", i)), "--node", b.apis[0],
		"--sector-size", "8MiB", "--capacity", "1GiB", "--fund", "10000PDR")
	port, err := freePort()
	if err != nil {
		b.t.Fatal(err)
	}
	path := daemon.ConfigPath(b.home(name))
	cfg, err := daemon.LoadConfig(path)
	if err != nil {
		b.t.Fatal(err)
	}
	cfg.Listen = []string{"/ip4/127.0.0.1/tcp/" + port[strings.LastIndexByte(port, ':')+1:]}
	cfg.Sealing.Reserve = "0"
	if err := cfg.Save(path); err != nil {
		b.t.Fatal(err)
	}
	b.miners = append(b.miners, b.start(name, "miner", "run", "--home", b.home(name)))
}

// store bids for the copies of a file.
func (b *bazaar) store(i, size int) {
	b.t.Helper()
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(b.seed), byte(b.seed >> 8), byte(i)}).Read(content)
	path := b.home(fmt.Sprintf("file%d", i))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		b.t.Fatal(err)
	}
	var put struct{ RootCID, State string }
	b.run(&put, "put", path, "--public", "--no-wait", "--copies", fmt.Sprint(bazaarCopies), "--duration", fmt.Sprintf("%db", bazaarTerm),
		"--home", b.home("client"), "--node", b.apis[0])
	b.goods[i] = good{root: put.RootCID, sum: sha256.Sum256(content), size: size}
	if err := os.Remove(path); err != nil {
		b.t.Fatal(err)
	}
}

// price has a buyer fetch everything while nothing happens, and returns what it paid.
func (b *bazaar) price() chain.Amount {
	b.t.Helper()
	var sum chain.Amount
	for i := range b.goods {
		got, err := b.fetchOnce(b.ctx, bazaarBuyers, i)
		if err != nil {
			b.t.Fatalf("file %d, undisturbed: %v", i, err)
		}
		b.goods[i].chunks = got.Chunks
		if sum, err = sum.Add(got.Paid); err != nil {
			b.t.Fatal(err)
		}
	}
	return sum
}

// fetchOnce runs `perdure get` and checks what it wrote.
func (b *bazaar) fetchOnce(ctx context.Context, buyer, file int) (*view.Fetch, error) {
	g := &b.goods[file]
	dest := b.home(fmt.Sprintf("got-%d-%d", buyer, file))
	cmd := b.command(ctx, "get", g.root, "-o", dest, "--home", b.home(buyerName(buyer)), "--node", b.apis[0], "--json", "--yes")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
	}
	out := new(view.Fetch)
	if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
		return nil, fmt.Errorf("get wrote %q: %w", stdout.String(), err)
	}
	content, err := os.ReadFile(dest)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(content) != g.sum {
		b.t.Errorf("buyer %d, file %d: %d bytes that are not what was stored", buyer, file, len(content))
	}
	return out, os.Remove(dest)
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// mostTries is how often a file is asked for at most: it may have both its
// sellers away for a while.
const mostTries = 60

// buy fetches every file, in an order of its own, and is killed now and then.
func (b *bazaar) buy(buyer int) {
	r := rand.New(rand.NewPCG(b.seed, uint64(10+buyer)))
	for _, file := range r.Perm(len(b.goods)) {
		var err error
		for range mostTries {
			ctx, cancel := context.WithCancel(b.ctx)
			if r.IntN(4) == 0 {
				ctx, cancel = context.WithTimeout(b.ctx, time.Duration(100+r.IntN(1500))*time.Millisecond) // it is killed
			}
			_, err = b.fetchOnce(ctx, buyer, file)
			killed := ctx.Err() != nil
			cancel()
			if err == nil || b.ctx.Err() != nil {
				break
			}
			if killed {
				b.incidents[buyer]++
			}
			time.Sleep(500 * time.Millisecond)
		}
		if err != nil {
			b.t.Errorf("buyer %d, file %d of %d bytes: %v", buyer, file, b.goods[file].size, err)
			return
		}
	}
	b.t.Logf("buyer %d has everything", buyer)
}
