package devnet

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/retrieval/buyer"
)

// during makes blocks while work waits for them.
func (s *stage) during(what string, work func() error) {
	s.t.Helper()
	done := make(chan error, 1)
	go func() { done <- work() }()
	var err error
	s.until(what, func() bool {
		select {
		case err = <-done:
			return true
		default:
			return false
		}
	})
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// client opens the network's client. Sellers that are silent are left soon.
func (s *stage) client() *client.Client {
	s.t.Helper()
	key, err := Keystore(s.Wallet).Key(s.Client)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := client.Open(client.Options{Home: s.Wallet, Node: s.chain.Base(), Key: key, Log: s.log,
		Buyer: buyer.Config{StallTimeout: time.Second, SlowGrace: time.Second}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return c
}

// store puts a directory of small files with two copies, a piece or so for each
// of them, and waits until all are active.
func (s *stage) store(c *client.Client, count int) *client.PutResult {
	s.t.Helper()
	dir := s.t.TempDir()
	for i := range count {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), some(1200, byte(i)), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	var r *client.PutResult
	s.during("put", func() (err error) {
		r, err = c.Put(s.ctx, dir, client.PutOptions{Public: true, Copies: 2})
		return err
	})
	if !r.Complete() || len(r.Pieces) < count {
		s.t.Fatalf("put of %d pieces is %s: %v", len(r.Pieces), r.State(), r.Problems())
	}
	return r
}

// fetch gets the directory back, whose files must be what they were.
func (s *stage) fetch(c *client.Client, r *client.PutResult, count int) *client.GetResult {
	s.t.Helper()
	root, err := cid.Decode(r.Root)
	if err != nil {
		s.t.Fatal(err)
	}
	dest := filepath.Join(s.t.TempDir(), "copy")
	var got *client.GetResult
	s.during("get", func() (err error) {
		got, err = c.Get(s.ctx, root, dest, client.GetOptions{})
		return err
	})
	for i := range count {
		if copied, err := os.ReadFile(filepath.Join(dest, fmt.Sprint(i))); err != nil || !bytes.Equal(copied, some(1200, byte(i))) {
			s.t.Errorf("file %d: fetched %d bytes, %v", i, len(copied), err)
		}
	}
	return got
}

// redeemed is what all payees took from channels so far.
func (s *stage) redeemed() chain.Amount {
	s.t.Helper()
	var all []chain.Amount
	for _, e := range s.events(consensus.EventVoucherRedeemed, func(*consensus.Event) bool { return true }) {
		all = append(all, e.Amount)
	}
	sum, err := chain.Sum(all...)
	if err != nil {
		s.t.Fatal(err)
	}
	return sum
}

// TestHappyPath stores a directory of several pieces on two miners, lets
// each prove it in two windows, fetches it back, and compares what the buyer
// paid with what the sellers redeemed.
func TestHappyPath(t *testing.T) {
	p := stageParams()
	p.Window = 10
	s := setStageWith(t, 2, p)
	c := s.client()
	r := s.store(c, 3)
	var deals []chain.Deal
	for i := range r.Pieces {
		for j := range r.Pieces[i].Deals {
			deals = append(deals, *s.deal(r.Pieces[i].Deals[j].ID))
		}
	}
	if len(deals) != 2*len(r.Pieces) {
		t.Fatalf("%d pieces with %d deals", len(r.Pieces), len(deals))
	}
	s.until("proven in two windows", func() bool {
		proven := map[[2]uint64]int{}
		for _, e := range s.events(consensus.EventSectorProven, func(*consensus.Event) bool { return true }) {
			proven[[2]uint64{e.Miner, e.Sector}]++
		}
		for i := range deals {
			if proven[[2]uint64{deals[i].Miner, deals[i].Sector}] < 2 {
				return false
			}
		}
		return true
	})
	got := s.fetch(c, r, 3)
	if want, err := got.ChunkPrice.Mul(got.Chunks); err != nil || want != got.Paid || want.IsZero() {
		t.Errorf("%d chunks at %s cost %s, %v", got.Chunks, got.ChunkPrice, got.Paid, err)
	}
	s.until("redeemed", func() bool { return !s.redeemed().Less(got.Paid) })
	if sum := s.redeemed(); sum != got.Paid {
		t.Errorf("paid %s, redeemed %s", got.Paid, sum)
	}
	s.check()
}
