package devnet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/miner/daemon"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
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
	r := rand.New(rand.NewPCG(b.seed, 0))
	prices := make([]uint64, bazaarSellers)
	for i := range bazaarFiles {
		if i%(bazaarFiles/bazaarSellers) == 0 { // the next files go to the next two
			b.favour(node, prices, i/(bazaarFiles/bazaarSellers))
		}
		b.store(i, sizeOf(i, largest), r)
	}
	b.await("every copy active", func() bool { return b.stored(node) })
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

// stored reports whether every deal is active; each piece has its copies.
func (b *bazaar) stored(node *rpc.Client) bool {
	g, err := node.Global(b.ctx)
	if err != nil || g.NextDeal == 1 {
		return false
	}
	copies := map[string]int{}
	for id := uint64(1); id < g.NextDeal; id++ {
		var d chain.Deal
		if ok, err := node.Record(b.ctx, chain.DealKey(id), &d); err != nil || !ok || d.State != chain.DealActive {
			return false
		}
		copies[d.PayloadRoot.String()]++
	}
	for i := range b.goods {
		if g := &b.goods[i]; copies[g.root] < bazaarCopies || copies[g.root]%bazaarCopies != 0 {
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
func (b *bazaar) store(i, size int, r *rand.Rand) {
	b.t.Helper()
	content := make([]byte, size)
	for j := range content {
		content[j] = byte(r.Uint32())
	}
	path := b.home(fmt.Sprintf("file%d", i))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		b.t.Fatal(err)
	}
	var put struct{ RootCID, State string }
	b.run(&put, "put", path, "--public", "--no-wait", "--copies", fmt.Sprint(bazaarCopies), "--duration", fmt.Sprintf("%db", bazaarTerm),
		"--home", b.home("client"), "--node", b.apis[0])
	b.goods = append(b.goods, good{root: put.RootCID, sum: sha256.Sum256(content), size: size})
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
func (b *bazaar) fetchOnce(ctx context.Context, buyer, file int) (*client.GetJSON, error) {
	g := &b.goods[file]
	dest := b.home(fmt.Sprintf("got-%d-%d", buyer, file))
	cmd := b.command(ctx, "get", g.root, "-o", dest, "--home", b.home(buyerName(buyer)), "--node", b.apis[0], "--json", "--yes")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
	}
	out := new(client.GetJSON)
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

// trouble harms one seller after the other until the buyers have everything.
func (b *bazaar) trouble() {
	r := rand.New(rand.NewPCG(b.seed, 1))
	for {
		select {
		case <-b.stops:
			return
		case <-b.ctx.Done():
			return
		case <-time.After(time.Duration(200+r.IntN(1500)) * time.Millisecond):
		}
		who, long := r.IntN(bazaarSellers), time.Duration(500+r.IntN(4000))*time.Millisecond
		m := b.miners[who]
		b.kills++
		switch what := r.IntN(3); what {
		case 0:
			b.t.Logf("seller %d is killed for %v", who, long)
			m.kill()
			time.Sleep(long)
			b.restart(m)
		case 1:
			b.t.Logf("seller %d is cut off for %v", who, long)
			m.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(long)
			m.cmd.Process.Signal(syscall.SIGCONT)
		case 2:
			good := int64(r.IntN(4 * retrieval.ChunkSize))
			b.t.Logf("seller %d lies for %v, after %d bytes", who, long, good)
			m.kill()
			if err := b.lie(who, long, good); err != nil {
				b.t.Errorf("seller %d cannot lie: %v", who, err)
			}
			b.restart(m)
		}
	}
}

// lie stands at a miner's address, with its key and its pieces, and spoils what
// it sends after some bytes. It asks for no money: who pays it pays nobody.
func (b *bazaar) lie(who int, long time.Duration, good int64) error {
	home := b.home(fmt.Sprintf("miner%d", who))
	cfg, err := daemon.LoadConfig(daemon.ConfigPath(home))
	if err != nil {
		return err
	}
	identity, err := p2p.LoadIdentity(daemon.IdentityPath(home))
	if err != nil {
		return err
	}
	host, err := p2p.New(p2p.Config{Identity: identity, Listen: cfg.Listen})
	if err != nil {
		return err
	}
	shop, err := seller.New(seller.Config{ChainID: townChain, Source: shelf{home: home}, Prices: seller.Terms{Access: seller.Free}})
	if err != nil {
		return errors.Join(err, host.Close())
	}
	left := new(atomic.Int64)
	left.Store(good)
	spoil := func(s *badStream, p []byte) (int, error) {
		p = bytes.Clone(p)
		p[len(p)-1] ^= 1
		return s.ReadWriteCloser.Write(p)
	}
	host.Serve(func(ctx context.Context, stream io.ReadWriteCloser, peer string) {
		shop.Handle(ctx, &badStream{stream, left, spoil}, peer)
	})
	time.Sleep(long)
	return host.Close()
}

// close brings every seller back, has the buyers close their channels, and
// waits until they are collected.
func (b *bazaar) close() {
	b.t.Helper()
	for i := range bazaarSellers {
		b.await(fmt.Sprintf("seller %d", i), func() bool {
			var status struct{ Height chain.Height }
			return b.ask(i, "/v1/status", &status) && status.Height > 0
		})
	}
	for i := range bazaarBuyers + 1 {
		b.eachChannel(i, func(c client.ChannelJSON) {
			if c.State == "open" {
				b.run(nil, "channel", "settle", fmt.Sprint(c.ID), "--home", b.home(buyerName(i)), "--node", b.apis[0])
			}
		})
	}
	for i := range bazaarBuyers + 1 {
		b.eachChannel(i, func(c client.ChannelJSON) {
			b.reach(0, c.SettleAt)
			b.run(nil, "channel", "collect", fmt.Sprint(c.ID), "--home", b.home(buyerName(i)), "--node", b.apis[0])
		})
	}
}

func (b *bazaar) eachChannel(buyer int, each func(client.ChannelJSON)) {
	b.t.Helper()
	var all struct{ Items []client.ChannelJSON }
	b.run(&all, "channel", "list", "--home", b.home(buyerName(buyer)), "--node", b.apis[0])
	for _, c := range all.Items {
		each(c)
	}
}

// books is what became of the money of an account, as the chain's history has it.
type books struct {
	in, redeemed, back, fees chain.Amount
}

// judge compares what everybody paid and got with what it was due.
func (b *bazaar) judge(control chain.Amount) {
	b.t.Helper()
	node := rpc.New(b.apis[0])
	defer node.Close()
	for last := b.height(0); <-b.told < last; {
		if b.ctx.Err() != nil {
			b.t.Fatal(b.ctx.Err())
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	price, err := control.MulDiv(1, b.allChunks())
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range bazaarBuyers + 1 {
		a := b.addressOf(buyerName(i))
		k := b.accounts[string(a.Bytes())]
		if err := b.feesOf(a, &k.fees); err != nil {
			b.t.Fatal(err)
		}
		now, err := node.Account(b.ctx, a)
		if err != nil {
			b.t.Fatal(err)
		}
		spent, err := genesisMoney.Sub(now.Balance)
		if err != nil {
			b.t.Fatal(err)
		}
		out, err := chain.Sum(k.redeemed, k.fees)
		if err != nil || out != spent {
			b.t.Errorf("%s spent %s attoPDR: %s redeemed by sellers and %s of fees are %s, %v", buyerName(i), spent, k.redeemed, k.fees, out, err)
		}
		if rest, err := chain.Sum(k.redeemed, k.back); err != nil || rest != k.in {
			b.t.Errorf("%s put %s into channels; %s was redeemed and %s came back", buyerName(i), k.in, k.redeemed, k.back)
		}
		mine := 0
		if i < bazaarBuyers {
			mine = b.incidents[i]*bazaarSellers + b.kills
		}
		window, err := price.Mul(uint64(mine) * retrieval.MaxCredit)
		if err != nil {
			b.t.Fatal(err)
		}
		lost, who := k.redeemed, "the buyer paid more"
		if lost.Less(control) {
			lost, err = control.Sub(k.redeemed)
			who = "its sellers got less"
		} else {
			lost, err = k.redeemed.Sub(control)
		}
		b.t.Logf("%s: %s attoPDR to sellers, %s undisturbed; %s by %s, at most %s for %d incidents", buyerName(i), k.redeemed, control, who, lost, window, mine)
		if err != nil || window.Less(lost) {
			b.t.Errorf("%s: %s by %s attoPDR; %d incidents allow for %s", buyerName(i), who, lost, mine, window)
		}
	}
}

func (b *bazaar) allChunks() (n uint64) {
	for i := range b.goods {
		n += b.goods[i].chunks
	}
	return n
}

func (b *bazaar) addressOf(name string) chain.Address {
	b.t.Helper()
	a, err := Keystore(b.home(name)).Default()
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// keep follows the chain and keeps the buyers' books until the test ends. After
// each block it tells the height to whoever wants to know.
func (b *bazaar) keep(node *rpc.Client) {
	payer := map[uint64]*books{}
	err := node.Follow(b.ctx, 1, func(u *consensus.Update) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		for i := range u.Events {
			e := &u.Events[i]
			if e.Kind == consensus.EventChannelOpened {
				payer[e.Channel] = b.accounts[string(e.From)]
			}
			k := payer[e.Channel]
			if e.Channel == 0 || k == nil {
				continue
			}
			switch e.Kind {
			case consensus.EventChannelOpened, consensus.EventChannelToppedUp:
				k.in = b.plus(k.in, e.Amount)
			case consensus.EventVoucherRedeemed:
				k.redeemed = b.plus(k.redeemed, e.Amount)
			case consensus.EventChannelCollected:
				k.back = b.plus(k.back, e.Amount)
			}
		}
		select {
		case b.told <- u.Height:
		default:
		}
		return nil
	})
	if err != nil && b.ctx.Err() == nil {
		b.t.Errorf("keep the books: %v", err)
	}
}

func (b *bazaar) plus(x, y chain.Amount) chain.Amount {
	sum, err := x.Add(y)
	if err != nil {
		b.t.Error(err)
	}
	return sum
}

// feesOf sums the fees of an account's messages.
func (b *bazaar) feesOf(a chain.Address, sum *chain.Amount) error {
	text := chain.FormatAddress(a, chain.Testnet)
	for cursor := ""; ; {
		var page struct {
			Items []struct {
				From string
				Fee  chain.Amount
			}
			Next string
		}
		url := b.apis[0] + "/v1/messages?limit=500&address=" + text
		if cursor != "" {
			url += "&cursor=" + cursor
		}
		if !get(url, &page) {
			return fmt.Errorf("read messages of %s", text)
		}
		for _, m := range page.Items {
			if m.From == text {
				*sum = b.plus(*sum, m.Fee)
			}
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
	}
}
