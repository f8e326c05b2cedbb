package p2p

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/client"
	bsmsg "github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"
)

// served is what a test gives out by bitswap: blocks by CID, true to it or not.
type served struct {
	blockstore.Blockstore
	mu    sync.Mutex
	data  map[cid.Cid][]byte
	asked map[cid.Cid]int
}

func (s *served) look(c cid.Cid) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[c]++
	data, ok := s.data[c]
	if !ok {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	return data, nil
}

func (s *served) Has(_ context.Context, c cid.Cid) (bool, error) {
	_, err := s.look(c)
	return err == nil, nil
}

func (s *served) GetSize(_ context.Context, c cid.Cid) (int, error) {
	data, err := s.look(c)
	return len(data), err
}

func (s *served) Get(_ context.Context, c cid.Cid) (blocks.Block, error) {
	data, err := s.look(c)
	if err != nil {
		return nil, err
	}
	return blocks.NewBlockWithCid(data, c)
}

func rawCID(t testing.TB, data string) cid.Cid {
	t.Helper()
	hash, err := mh.Sum([]byte(data), mh.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.Raw, hash)
}

// bitswapClient fetches as an IPFS node does, from peers that it is connected to.
func bitswapClient(t testing.TB, h *Host) (*client.Client, blockstore.Blockstore) {
	t.Helper()
	network := bsnet.NewFromIpfsHost(h.host)
	store := blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	c := client.New(context.Background(), network, nil, store)
	network.Start(c)
	t.Cleanup(func() {
		network.Stop()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, store
}

// TestBitswap: an IPFS node gets the blocks that a store has, never one that it has
// not, and takes no block with a byte flipped.
func TestBitswap(t *testing.T) {
	s := &served{data: map[cid.Cid][]byte{}, asked: map[cid.Cid]int{}}
	good, flipped, missing := rawCID(t, "a public block"), rawCID(t, "another"), rawCID(t, "not here")
	s.data[good], s.data[flipped] = []byte("a public block"), []byte("anothes")
	miner := newHost(t, nil)
	if err := miner.ServeBitswap(s); err != nil {
		t.Fatal(err)
	}
	if err := miner.ServeBitswap(s); err == nil {
		t.Error("served twice")
	}
	node := newHost(t, nil)
	c, _ := bitswapClient(t, node)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := node.Connect(ctx, miner.Self()); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetBlock(ctx, good)
	if err != nil || string(got.RawData()) != "a public block" {
		t.Fatalf("got %v, %v", got, err)
	}
	for name, bad := range map[string]cid.Cid{"flipped": flipped, "missing": missing} {
		short, stop := context.WithCancel(ctx)
		failed := make(chan error, 1)
		go func() {
			_, err := c.GetBlock(short, bad)
			failed <- err
		}()
		for { // until the miner was asked and answered
			s.mu.Lock()
			asked := s.asked[bad]
			s.mu.Unlock()
			if asked > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		again, err := c.GetBlock(ctx, good) // goes the same way behind it
		if err != nil || string(again.RawData()) != "a public block" {
			t.Errorf("%s: afterwards %v", name, err)
		}
		stop()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the node took it: %v", name, err)
		}
	}
}

// TestBitswapUnasked: an IPFS node keeps no block that it did not ask for.
func TestBitswapUnasked(t *testing.T) {
	miner, node := newHost(t, nil), newHost(t, nil)
	c, store := bitswapClient(t, node)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := node.Connect(ctx, miner.Self()); err != nil {
		t.Fatal(err)
	}
	extra := rawCID(t, "one block too many")
	block, err := blocks.NewBlockWithCid([]byte("one block too many"), extra)
	if err != nil {
		t.Fatal(err)
	}
	message := bsmsg.New(true)
	message.AddBlock(block)
	if err := bsnet.NewFromIpfsHost(miner.host).SendMessage(ctx, node.host.ID(), message); err != nil {
		t.Fatal(err)
	}
	for { // until it has come
		stat, err := c.Stat()
		if err != nil || ctx.Err() != nil {
			t.Fatalf("the block did not come: %v, %v", err, ctx.Err())
		}
		if stat.BlocksReceived > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if has, err := store.Has(ctx, extra); has || err != nil {
		t.Errorf("the node kept it: %v, %v", has, err)
	}
}
