package app

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// orderMiners is how many miners the asks of the benchmark are of.
const orderMiners = 1000

// orderGroup is how many blocks of one kind follow each other.
const orderGroup = 10

// restingOrders is how many orders the benchmark rests on: 10,000, or what
// PERDURE_BENCH_ORDERS says.
func restingOrders(b *testing.B) uint64 {
	text := os.Getenv("PERDURE_BENCH_ORDERS")
	if text == "" {
		return 10_000
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		b.Fatalf("PERDURE_BENCH_ORDERS: %v", err)
	}
	return n
}

// BenchmarkOrders executes and commits blocks of 100 transfers and blocks of 100
// bids, by turns of ten, over a book of orders at rest: bids that come to rest as
// well, and bids that trade with the best ask. The three blocks after the last
// bids, in which they mature and match, count with them. "transfers" is what share
// of the rate of transfers the bids have, "transfers-cpu" the same by processor
// time, which what else the machine does disturbs less. PERDURE_BENCH_ORDERS=1000000 makes
// the book large; -benchtime 5x is enough then.
func BenchmarkOrders(b *testing.B) {
	whole, resting := b, restingOrders(b)
	var s *scaled // made once for both, as soon as one of them is run
	for _, kind := range []struct {
		name  string
		price uint64
	}{{"rest", 10}, {"trade", 5000}} {
		b.Run(fmt.Sprintf("resting=%d/%s", resting, kind.name), func(b *testing.B) {
			if s == nil {
				s = newScaled(whole, scaleMinerSectors)
				s.writeOrders(resting)
			}
			s.b = b
			var transfers, orders spent
			for b.Loop() {
				s.timed(&transfers, orderGroup, func() [][]byte { return s.transfers(scaleAccounts / 2) })
				s.timed(&orders, orderGroup, func() [][]byte { return s.bids(scaleAccounts/2, kind.price) })
				s.timed(&orders, int(s.params.MatchDelay), func() [][]byte { return nil })
			}
			const each = orderGroup * scaleAccounts / 2
			b.ReportMetric(float64(b.N)*each/orders.time.Seconds(), "orders/s")
			b.ReportMetric(transfers.time.Seconds()/orders.time.Seconds(), "transfers")
			b.ReportMetric(transfers.cpu.Seconds()/orders.cpu.Seconds(), "transfers-cpu")
			b.ReportMetric(float64(b.N)*each/transfers.time.Seconds(), "transfers/s")
		})
	}
}

// spent is time, by the clock and of the processor.
type spent struct{ time, cpu time.Duration }

// timed executes and commits blocks and adds what it took, without the making of
// their messages.
func (s *scaled) timed(sum *spent, blocks int, of func() [][]byte) {
	for range blocks {
		txs := of()
		began, used := time.Now(), s.processor()
		s.finalize(txs)
		sum.time += time.Since(began)
		sum.cpu += s.processor() - used
	}
}

// processor is the processor time that the process has had.
func (s *scaled) processor() time.Duration {
	var u syscall.Rusage
	s.must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bids are so many bids for the next block.
func (s *scaled) bids(n, price uint64) [][]byte {
	return s.messages(n, func(i uint64) chain.Body {
		b := s.bid(s.nonce*scaleAccounts+i, price)
		b.Expiry = chain.Height(s.height) + 10_000
		return &chain.PlaceBid{Terms: *b}
	})
}

// bid is what a client asks for: a piece of 1 KiB for so many blocks, at a price
// in units of 2^20 attoPDR.
func (s *scaled) bid(i, price uint64) *chain.BidTerms {
	hash := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("piece"), i))
	piece := append([]byte{0x01, 0x81, 0xe2, 0x03, 0x92, 0x20, 0x20}, hash[:]...) // CIDv1, an unsealed commitment
	piece[len(piece)-1] &= 0x3f
	root := append([]byte{0x01, 0x55, 0x12, 0x20}, hash[:]...)
	p, err := cid.Cast(piece)
	s.must(err)
	r, err := cid.Cast(root)
	s.must(err)
	return &chain.BidTerms{PieceCID: p, PaddedSize: 1 << 10, PayloadRoot: r, Parts: 1, Duration: 1000 + i%100,
		MaxPrice: chain.Atto(price << 20), Copies: 1, ClientPeer: make([]byte, 38)}
}

// writeOrders writes n orders at rest, half asks, half bids, that do not cross,
// and the miners of the asks.
func (s *scaled) writeOrders(n uint64) {
	s.b.Helper()
	for from := uint64(0); from < n; from += scaleChunk {
		s.height++
		global, err := s.store.View().Global()
		s.must(err)
		var changes []consensus.Change
		set := func(k chain.Key, v chain.CBOR) {
			raw, err := chain.Encode(v)
			s.must(err)
			changes = append(changes, consensus.Change{Table: k.Table, ID: []byte(k.ID), Value: raw})
		}
		if from == 0 {
			for i := range uint64(orderMiners) {
				owner := scaleAddress(s.b, i%scaleAccounts)
				id := chain.FirstMinerID + 1 + i
				set(chain.MinerKey(id), &chain.Miner{ID: id, Keys: chain.Keys{Owner: owner, Worker: owner, Beneficiary: owner},
					SealProof: s.params.SealProofs[0], Deadlines: make([]uint64, 3), Partitions: make([]uint64, 3)})
			}
			global.NextMiner = chain.FirstMinerID + 1 + orderMiners
		}
		for i := from; i < min(from+scaleChunk, n); i++ {
			o := s.order(i)
			set(chain.OrderKey(o.ID), o)
			for _, sum := range []*chain.Amount{&global.Supply.Minted, &global.Supply.Locked} {
				*sum, err = chain.Sum(*sum, o.Locked, o.Deposit)
				s.must(err)
			}
			global.NextOrder = o.ID + 1
		}
		s.commit(global, changes)
	}
	s.finalize(nil)
}

// order is order i at rest.
func (s *scaled) order(i uint64) *chain.Order {
	o := &chain.Order{ID: i + 1, Owner: scaleAddress(s.b, i%scaleAccounts), Placed: chain.Height(s.height), State: chain.OrderResting,
		Tie: sha256.Sum256(binary.BigEndian.AppendUint64(nil, i)), Locked: chain.PDR(1), Deposit: s.params.OrderDeposit}
	if i%2 == 0 {
		o.Bid = s.bid(i, 11+i/2%900)
		o.Bid.Expiry, o.Copies = scaleDue, 1
		return o
	}
	o.Ask = &chain.AskTerms{Miner: chain.FirstMinerID + 1 + i/2%orderMiners, Price: chain.Atto((1000 + i/2%1000) << 20), Capacity: 8 << 10,
		MinPiece: 128, MaxPiece: 2 << 10, MinDuration: 60, MaxDuration: 100_000, Expiry: scaleDue}
	o.Free = o.Ask.Capacity
	return o
}
