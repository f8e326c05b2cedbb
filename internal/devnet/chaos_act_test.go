package devnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// act does what the plan says.
func (c *chaos) act(e event) error {
	switch e.do {
	case stopNode, cutNodes:
		return c.takeAway(e)
	case startNode:
		return c.bringBack(e.who)
	case healNodes:
		c.away = map[int]bool{}
		c.Cut()
		return nil
	case killMiner, damage:
		return c.harm(e)
	case putFile:
		c.bg.Go(func() { c.put(e.who) })
	case getFile:
		c.bg.Go(func() { c.get(e.who) })
	case lieClient:
		c.bg.Go(func() { c.note(c.lieToMiner(e.pick)) })
	}
	if m := c.Miners[max(0, min(e.who, len(c.Miners)-1))]; c.dead[m.ID] {
		return nil // instead of whom it was planned for
	}
	switch e.do {
	case stopMiner:
		return c.Miners[e.who].Stop()
	case startMiner:
		return c.startMiner(e.who)
	case lieSeller:
		return c.lieToBuyers(e.who)
	case trueSeller:
		return errors.Join(c.silence(e.who), c.Miners[e.who].Stop(), c.startMiner(e.who))
	}
	return nil
}

// silence ends the liar in a miner's place, if there is one.
func (c *chaos) silence(m int) error {
	host := c.liars[m]
	delete(c.liars, m)
	if host == nil {
		return nil
	}
	return host.Close()
}

// takeAway stops a node or cuts one or two off, if enough votes stay.
func (c *chaos) takeAway(e event) error {
	gone := []int{e.who}
	if next := (e.who + 1) % len(c.Nodes); e.pair {
		gone = append(gone, next)
	}
	for len(gone) > 0 && !c.enoughWithout(gone) {
		gone = gone[1:]
	}
	if len(gone) == 0 {
		c.t.Logf("height %d: no %s: the others have too few votes", c.Height(), e)
		return nil
	}
	for _, i := range gone {
		c.away[i] = true
	}
	if e.do == cutNodes {
		c.Cut(gone...)
		return nil
	}
	return c.Stop(gone[0])
}

func (c *chaos) bringBack(node int) error {
	delete(c.away, node)
	if c.Nodes[node].Node != nil {
		return nil
	}
	return c.Restart(node)
}

// startMiner starts a miner with its own node, or another while that is away.
func (c *chaos) startMiner(m int) error {
	c.node[m] = c.nodeOf(m)
	if c.away[c.node[m]] {
		c.node[m] = c.live()[0]
	}
	return c.Miners[m].Start(c.ctx, c.Nodes[c.node[m]].API())
}

// harm kills a miner that has a sector, or damages one of its sectors.
func (c *chaos) harm(e event) error {
	for i := range c.Miners {
		who := (e.who + i) % len(c.Miners)
		m := c.Miners[who]
		numbers := c.sectorsOf(m.ID)
		if !m.Running() || len(numbers) == 0 {
			continue
		}
		if e.do == killMiner {
			c.t.Logf("height %d: miner %d is killed for good", c.Height(), m.ID)
			c.dead[m.ID] = true
			return errors.Join(c.silence(who), m.Stop(), os.RemoveAll(filepath.Join(m.Home, "sectors")))
		}
		return c.damage(m, numbers[e.pick%uint64(len(numbers))], e.pick>>32%2 == 0)
	}
	c.t.Logf("height %d: no %s: nobody has a sector", c.Height(), e)
	return nil
}

// sectorsOf are the numbers of a miner's live sectors whose files are whole.
func (c *chaos) sectorsOf(id chain.MinerID) []uint64 {
	tree, _ := c.seen()
	var numbers []uint64
	each(c.t, tree, chain.TableSector, func(s *chain.Sector) {
		if s.Miner == id && s.Live() && !c.harmed[[2]uint64{id, s.Number}] {
			numbers = append(numbers, s.Number)
		}
	})
	return numbers
}

// damage deletes or overwrites the files of a sector.
func (c *chaos) damage(m *Miner, number uint64, remove bool) error {
	c.harmed[[2]uint64{m.ID, number}] = true
	dir := filepath.Join(m.Home, "sectors", fmt.Sprintf("s-%s-%d", chain.FormatMiner(m.ID, chain.Testnet), number))
	if remove {
		c.t.Logf("height %d: sector %d of miner %d is deleted", c.Height(), number, m.ID)
		return os.RemoveAll(dir)
	}
	c.t.Logf("height %d: sector %d of miner %d is overwritten", c.Height(), number, m.ID)
	path := filepath.Join(dir, "sealed")
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.Repeat([]byte{7}, int(info.Size())), 0o600)
}

// again is the pause before what failed for want of a node is tried again.
const again = 200 * time.Millisecond

// until repeats work that may find its node away, and tells of the first trouble.
func (c *chaos) until(what string, work func() error) error {
	for told := false; ; time.Sleep(again) {
		err := work()
		if err == nil || c.ctx.Err() != nil || errors.Is(err, errGone) {
			return err
		}
		if !told && !errors.Is(err, errWaits) {
			c.t.Logf("%s: %v", what, err)
			told = true
		}
	}
}

// put stores a file in two or three copies.
func (c *chaos) put(number int) {
	f := &stored{path: filepath.Join(c.t.TempDir(), "file"), content: some(200+200*(number%6), byte(number)), done: make(chan struct{})}
	defer close(f.done)
	c.mu.Lock()
	c.files[number] = f
	c.mu.Unlock()
	if err := os.WriteFile(f.path, f.content, 0o600); err != nil {
		c.note(err)
		return
	}
	c.note(c.until(fmt.Sprintf("put file %d", number), func() (err error) {
		f.result, err = c.client.Put(c.ctx, f.path, client.PutOptions{Public: true, Copies: uint64(2 + number%2),
			Duration: client.Duration{Blocks: chaosTerm}})
		return err
	}))
}

// errGone says that no copy of a file is left, and none will be made.
var errGone = errors.New("no copy is left")

// get fetches a file that was put, as long as a copy is there.
func (c *chaos) get(number int) {
	c.mu.Lock()
	f := c.files[number]
	c.mu.Unlock()
	if f == nil {
		return
	}
	<-f.done
	f.one.Lock() // a home fetches a payload once at a time
	defer f.one.Unlock()
	dest := filepath.Join(c.t.TempDir(), "copy")
	err := c.until(fmt.Sprintf("get file %d", number), func() error {
		root, err := cid.Decode(f.result.Root)
		if err != nil {
			return err
		}
		_, err = c.client.Get(c.ctx, root, dest, client.GetOptions{})
		if errors.Is(err, client.ErrNotStored) && !c.comesBack(root) {
			err = errGone
		}
		return err
	})
	if errors.Is(err, errGone) {
		c.t.Logf("get file %d: %v", number, err)
		return
	}
	if c.note(err); err != nil {
		return
	}
	if got, err := os.ReadFile(dest); err != nil || !bytes.Equal(got, f.content) {
		c.note(fmt.Errorf("get file %d: %d bytes, %w", number, len(got), err))
	}
	c.mu.Lock()
	c.fetched++
	c.mu.Unlock()
}

// comesBack reports whether a payload has a deal that is in force or on its way.
func (c *chaos) comesBack(root cid.Cid) bool {
	tree, _ := c.seen()
	found := false
	err := scan(tree, chain.TableDeal, func(d *chain.Deal) {
		found = found || d.PayloadRoot == root && d.State <= chain.DealActive
	})
	return found || err != nil
}

// forgery is what a lying client serves: an archive with the right root.
type forgery struct{ path string }

// Find implements seller.Source.
func (forgery) Find(context.Context, cid.Cid, uint64) (seller.Content, error) {
	return seller.Content{}, seller.ErrNotFound
}

// Open implements seller.Source.
func (f forgery) Open(context.Context, seller.Content) (*car.Index, seller.Archive, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, nil, err
	}
	index, err := car.BuildIndex(file, car.Options{})
	return index, file, err
}

// Granted implements seller.Grants: everybody may have it.
func (forgery) Granted(context.Context, string, uint64, cid.Cid) error { return nil }

// archiveOf writes an archive that names a root and holds one raw block.
func archiveOf(path string, root cid.Cid, content []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := car.NewWriter(f, root)
	if err == nil {
		err = w.Put(rawCID(content), content)
	}
	return err
}

func rawCID(content []byte) cid.Cid {
	sum, err := mh.Sum(content, mh.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(cid.Raw, sum)
}

// lieToMiner bids for one piece and hands over another: the deal goes void, and
// no miner may be harmed by it.
func (c *chaos) lieToMiner(pick uint64) error {
	right, wrong := some(300, byte(pick)), some(301, byte(pick+1))
	dir := c.t.TempDir()
	if err := errors.Join(archiveOf(filepath.Join(dir, "right"), rawCID(right), right),
		archiveOf(filepath.Join(dir, "wrong"), rawCID(right), wrong)); err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(dir, "right"))
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := piece.Commit(file)
	if err != nil {
		return err
	}
	identity, err := p2p.LoadIdentity(filepath.Join(dir, "identity"))
	if err != nil {
		return err
	}
	host, err := p2p.New(p2p.Config{Identity: identity})
	if err != nil {
		return err
	}
	defer host.Close()
	lie := forgery{filepath.Join(dir, "wrong")}
	shop, err := seller.New(seller.Config{ChainID: c.Params.ChainID, Source: lie, Grants: lie})
	if err != nil {
		return err
	}
	host.Serve(shop.Handle)
	var order uint64
	err = c.until("bid of a liar", func() error {
		tree, _ := c.seen()
		in, err := c.send(c.Faucet(), &chain.PlaceBid{Terms: chain.BidTerms{PieceCID: info.CID, PaddedSize: info.PaddedSize,
			PayloadRoot: rawCID(right), Parts: 1, Duration: chaosTerm, MaxPrice: chain.PDR(1), Copies: 1,
			Expiry: tree.Height() + 100, ClientPeer: []byte(host.ID())}})
		if err == nil {
			order = in.Receipt.ID
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.until("dial the miner of a lie", func() error { return c.dialAndLie(host, order, shop) })
}

// errWaits says that something has not come yet.
var errWaits = errors.New("not yet")

// dialAndLie connects to the miner of an order's deal and reports nil when it
// has fetched the wrong piece, or the deal is over.
func (c *chaos) dialAndLie(host *p2p.Host, order uint64, shop *seller.Seller) error {
	tree, _ := c.seen()
	var deal *chain.Deal
	err := scan(tree, chain.TableDeal, func(d *chain.Deal) {
		if d.Bid == order {
			deal = d
		}
	})
	switch {
	case err != nil:
		return err
	case deal == nil:
		return errWaits
	case deal.State != chain.DealMatched || shop.Stats().Sessions > 0:
		c.mu.Lock()
		c.lies++
		c.mu.Unlock()
		return nil
	}
	m := new(chain.Miner)
	raw, err := tree.Record(chain.MinerKey(deal.Miner))
	if err == nil {
		err = chain.Decode(raw, m)
	}
	if err == nil {
		err = host.Connect(c.ctx, m.Peer)
	}
	return errors.Join(err, errWaits)
}

// lieToBuyers puts a seller in a miner's place that offers its pieces for
// nothing and spoils what it sends. The miner itself goes on proving.
func (c *chaos) lieToBuyers(m int) error {
	miner := c.Miners[m]
	identity, err := p2p.LoadIdentity(filepath.Join(c.t.TempDir(), "identity"))
	if err != nil {
		return err
	}
	host, err := p2p.New(p2p.Config{Identity: identity, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		return err
	}
	shop, err := seller.New(seller.Config{ChainID: c.Params.ChainID, Source: shelf{home: miner.Home}, Prices: seller.Terms{Access: seller.Free}})
	if err != nil {
		return errors.Join(err, host.Close())
	}
	spoil := func(s *badStream, b []byte) (int, error) {
		b[len(b)-1] ^= 1
		return s.ReadWriteCloser.Write(b)
	}
	host.Serve(func(ctx context.Context, stream io.ReadWriteCloser, peer string) {
		left := new(atomic.Int64)
		left.Store(400) // the offer is right
		shop.Handle(ctx, &badStream{stream, left, spoil}, peer)
	})
	c.liars[m] = host
	key, err := Keystore(miner.Home).Key(miner.Owner)
	if err != nil {
		return err
	}
	self := host.Self()
	c.bg.Go(func() {
		c.note(c.until("announce a lying seller", func() error {
			_, err := c.send(key, &chain.UpdateMiner{Miner: miner.ID, Peer: &self})
			return err
		}))
	})
	return nil
}

// send sends a message over some node that is not away.
func (c *chaos) send(key []byte, body chain.Body) (*wallet.Inclusion, error) {
	_, url := c.seen()
	node := rpc.New(url)
	defer node.Close()
	s, err := wallet.NewSender(node, key, chain.Amount{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
	defer cancel()
	return s.Send(ctx, body)
}
