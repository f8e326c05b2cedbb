package client

import (
	"context"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/p2p"
)

// noteTransfer is how often the record of a running fetch is brought up to date.
const noteTransfer = 3 * time.Second

// clerk keeps the record of one fetch: of all calls of the buyer that it takes.
type clerk struct {
	client  *Client
	from    *sources
	network chain.Network

	mu   sync.Mutex
	t    files.Transfer
	past buyer.Stats // of the calls that are over
	news bool
	stop chan struct{}
	done sync.WaitGroup
}

// newClerk begins a record; it is on disk soon.
func (c *Client) newClerk(root, path string, from *sources, n chain.Network) *clerk {
	k := &clerk{client: c, from: from, network: n, stop: make(chan struct{})}
	k.t = files.Transfer{Started: time.Now().UTC().Truncate(time.Millisecond), Root: root, Path: path}
	k.done.Go(k.keep)
	return k
}

// keep writes the record when there is something new. It goes on when the fetch
// is called off: what was paid has to be known then, too.
func (k *clerk) keep() {
	ctx := context.Background()
	t, _ := k.snapshot()
	if err := k.client.records.CreateTransfer(ctx, &t); err != nil {
		k.client.log.Error("keep the record of a transfer", "root", t.Root, "err", err)
		return
	}
	k.mu.Lock()
	k.t.Number = t.Number
	k.mu.Unlock()
	tick := time.NewTicker(noteTransfer)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-tick.C:
		case <-k.stop:
			over = true
		}
		if t, news := k.snapshot(); news {
			if err := k.client.records.SetTransfer(ctx, &t); err != nil {
				k.client.log.Error("keep the record of a transfer", "root", t.Root, "err", err)
			}
		}
	}
}

// snapshot is the record now, and whether it changed since the last one.
func (k *clerk) snapshot() (files.Transfer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	news := k.news
	k.news = false
	return k.t, news
}

// note takes down how the present call of the buyer goes, and returns the sum of
// all.
func (k *clerk) note(s buyer.Stats) buyer.Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	sum := addStats(k.past, s)
	k.set(sum)
	return sum
}

// over takes down how a call of the buyer went, and returns the sum of all.
func (k *clerk) over(s buyer.Stats) buyer.Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.past = addStats(k.past, s)
	k.set(k.past)
	return k.past
}

func (k *clerk) set(s buyer.Stats) {
	k.news = true
	k.t.Bytes, k.t.Chunks, k.t.Paid = s.Bytes, s.Chunks, s.Spent
	k.t.Sellers = nil
	for i := range s.Sellers {
		of := &s.Sellers[i]
		seller := files.Seller{Peer: p2p.FormatPeer(of.Peer), Miner: k.from.minerText(of.Peer, k.network), Bytes: of.Bytes, Chunks: of.Chunks, Paid: of.Spent}
		if of.Dropped {
			seller.Fault = of.Err
		}
		k.t.Sellers = append(k.t.Sellers, seller)
	}
}

// end closes the record. It is on disk when end returns.
func (k *clerk) end(err error) {
	k.mu.Lock()
	k.news, k.t.Ended = true, time.Now().UTC().Truncate(time.Millisecond)
	if err != nil {
		k.t.Error = err.Error()
	}
	k.mu.Unlock()
	close(k.stop)
	k.done.Wait()
}

// addStats adds up two calls of the buyer.
func addStats(a, b buyer.Stats) buyer.Stats {
	sum := buyer.Stats{Blocks: a.Blocks + b.Blocks, Bytes: a.Bytes + b.Bytes, Chunks: a.Chunks + b.Chunks, Paid: a.Paid + b.Paid, Spent: a.Spent}
	if spent, err := a.Spent.Add(b.Spent); err == nil {
		sum.Spent = spent
	}
	at := map[string]int{}
	for _, of := range [][]buyer.SellerStats{a.Sellers, b.Sellers} {
		for _, s := range of {
			i, known := at[s.Peer]
			if !known {
				at[s.Peer] = len(sum.Sellers)
				sum.Sellers = append(sum.Sellers, s)
				continue
			}
			old := &sum.Sellers[i]
			s.Chunks, s.Bytes, s.Paid = s.Chunks+old.Chunks, s.Bytes+old.Bytes, s.Paid+old.Paid
			if spent, err := s.Spent.Add(old.Spent); err == nil {
				s.Spent = spent
			}
			if s.Err == "" {
				s.Err = old.Err
			}
			s.Dropped, s.Lied = s.Dropped || old.Dropped, s.Lied || old.Lied
			*old = s
		}
	}
	return sum
}
