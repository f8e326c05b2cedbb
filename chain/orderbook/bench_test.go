package orderbook

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perdure/perdure/chain"
)

// restingPieces is how many of benchmark bids' pieces an ask of a benchmark holds.
const restingPieces = 4

// resting is a book of n orders at rest, half asks, half bids, that do not
// cross: asks cost 1000 to 1999 a GiB and block, bids pay 1 to 999.
func resting(b *testing.B, n int) (*Draft, []*chain.Order) {
	b.Helper()
	src := rand.New(rand.NewPCG(1, 6))
	d, orders := new(Book).Draft(), make([]*chain.Order, 0, n)
	for i := range n {
		o := benchOrder(b, src, uint64(i)+1, i%2 == 0, 1+src.Uint64N(999))
		o.State = chain.OrderResting
		orders = append(orders, o)
		must(b, d.Set(o))
	}
	return d, orders
}

func benchOrder(b *testing.B, src *rand.Rand, id uint64, bid bool, price uint64) *chain.Order {
	b.Helper()
	var o *chain.Order
	if bid {
		o = wallBid(b, &usualRules, id, price)
		o.Bid.Duration = 1000 + src.Uint64N(1000)
		p, d, err := usualRules.Share(o.Bid, 0)
		must(b, err)
		o.Locked, err = p.Add(d)
		must(b, err)
	} else {
		o = wallAsk(id, 1000+price)
		o.State, o.Ask.Capacity = chain.OrderSearching, restingPieces<<30
		o.Free = o.Ask.Capacity
	}
	binary.BigEndian.PutUint64(o.Tie[:], src.Uint64())
	return o
}

// prefixAsks is how many asks that suit no bid stand before all others.
const prefixAsks = 100_000

// prefix puts asks that never fit before the others of a book, of all kinds by
// turns.
func prefix(b *testing.B, d *Draft, from uint64) {
	b.Helper()
	kinds := []string{"size", "duration", "collateral", "region", "denied"}
	for i := range uint64(prefixAsks) {
		o := wallAsk(from+i, 10+i%100)
		misfits[kinds[i%uint64(len(kinds))]](o)
		must(b, d.Set(o))
	}
}

// BenchmarkMatch lets bids come into a book of orders at rest, as many a block as
// it takes, each of which trades with the best ask: the time is that of one
// order, from entering the book to its trade, "cpu-ns" its processor time, which
// what else the machine does disturbs less. "p99-ns" is that of the slowest but one
// percent of blocks, each order's share of its block; "alone-p99-ns" is the time of
// the slowest but one percent of blocks of one order each, which share no work with
// others.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		for _, before := range []string{"none", "misfits"} {
			b.Run(fmt.Sprintf("resting=%d/prefix=%s", n, before), func(b *testing.B) {
				d, _ := resting(b, n)
				if before == "misfits" {
					prefix(b, d, uint64(n)+1)
				}
				benchMatch(b, d.Book(), n)
			})
		}
	}
}

func benchMatch(b *testing.B, book *Book, n int) {
	src := rand.New(rand.NewPCG(2, 6))
	taker := make([]*chain.Order, usualRules.Trades)
	for i := range taker {
		taker[i] = benchOrder(b, src, uint64(n+prefixAsks+i)+1, true, 2000+src.Uint64N(1000))
	}
	times, used, bytes := alone(b, book, taker, n)
	now, shares := book, make([]int64, 0, b.N/len(taker)+1)
	b.ReportAllocs()
	b.ResetTimer()
	before := processor(b, unix.CLOCK_PROCESS_CPUTIME_ID)
	for done, left := 0, 0; done < b.N; done += len(taker) {
		if left -= len(taker); left < 0 { // the asks hold twice as many
			now, left = book, n
		}
		began := time.Now()
		now = matchAll(b, now, taker)
		shares = append(shares, time.Since(began).Nanoseconds()/int64(len(taker)))
	}
	slices.Sort(shares)
	b.ReportMetric(float64(processor(b, unix.CLOCK_PROCESS_CPUTIME_ID)-before)/float64(b.N), "cpu-ns")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
	b.ReportMetric(float64(shares[len(shares)*99/100]), "p99-ns")
	b.ReportMetric(float64(times[len(times)/2]), "alone-p50-ns")
	b.ReportMetric(float64(times[len(times)*99/100]), "alone-p99-ns")
	b.ReportMetric(float64(used[len(used)*99/100]), "alone-p99-cpu-ns")
	b.ReportMetric(float64(bytes), "alone-B")
}

// aloneBlocks is how many blocks of one order each are timed: enough for a few
// rounds of the collector, which the slowest have to themselves.
const aloneBlocks = 200_000

// alone times blocks of one order each and returns what they took, ascending, by
// the clock and of the thread's processor time, in nanoseconds, and how many bytes
// one of them takes from the heap.
func alone(b *testing.B, book *Book, taker []*chain.Order, n int) (times, used []int64, bytes uint64) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var was, is runtime.MemStats
	runtime.ReadMemStats(&was)
	times, used = make([]int64, 0, aloneBlocks), make([]int64, 0, aloneBlocks)
	now := book
	for i := range aloneBlocks {
		if i%n == 0 { // the asks hold twice as many
			now = book
		}
		cpu := processor(b, unix.CLOCK_THREAD_CPUTIME_ID)
		began := time.Now()
		now = matchAll(b, now, taker[i%len(taker):][:1])
		times = append(times, time.Since(began).Nanoseconds())
		used = append(used, processor(b, unix.CLOCK_THREAD_CPUTIME_ID)-cpu)
	}
	runtime.ReadMemStats(&is)
	slices.Sort(times)
	slices.Sort(used)
	return times, used, (is.TotalAlloc - was.TotalAlloc) / aloneBlocks
}

// processor is the processor time by a clock of the process or of the thread, in
// nanoseconds.
func processor(b *testing.B, clock int32) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		b.Fatal(err)
	}
	return t.Nano()
}

// matchAll returns the book after a block in which all the bids come and trade.
func matchAll(b *testing.B, book *Book, bids []*chain.Order) *Book {
	d := book.Draft()
	for _, o := range bids {
		if err := d.Set(o); err != nil {
			b.Fatal(err)
		}
	}
	next, out, err := d.Book().Match(1, &usualRules)
	if err != nil || len(out.Trades) != len(bids) {
		b.Fatalf("%d trades of %d bids: %v", len(out.Trades), len(bids), err)
	}
	return next
}

// BenchmarkVisit lets 1,000 bids look at 64 asks each whose escrow is too small:
// the time is that of one pair, the worst that a block can be made to do.
func BenchmarkVisit(b *testing.B) {
	d, _ := resting(b, 10_000)
	for i := range uint64(100) {
		o := wallAsk(20_000+i, 500)
		o.Locked = chain.PDR(1)
		o.Ask.Collateral = chain.PDR(2)
		must(b, d.Set(o))
	}
	src := rand.New(rand.NewPCG(3, 6))
	for i := range 1000 {
		must(b, d.Set(benchOrder(b, src, uint64(i)+30_001, true, 5000)))
	}
	book := d.Book()
	b.ResetTimer()
	for done := 0; done < b.N; {
		_, out, err := book.Match(1, &usualRules)
		if err != nil || out.Visits != 64_000 {
			b.Fatal(out.Visits, err)
		}
		done += int(out.Visits)
	}
}

// BenchmarkHop lets 1,000 bids pass over asks that fail them for two reasons by
// turns and stand in one group: the time is that of one hop, the worst that a
// block can be made to do.
func BenchmarkHop(b *testing.B) {
	book := wall(b, 10_000, "denied", "held").Draft()
	for i := range uint64(1000) {
		must(b, book.Set(wallBid(b, &usualRules, 20_000+i, 5000)))
	}
	full := book.Book()
	b.ResetTimer()
	for done := 0; done < b.N; {
		_, out, err := full.Match(1, &usualRules)
		if err != nil || out.Hops != 512_000 {
			b.Fatal(out.Hops, err)
		}
		done += int(out.Hops)
	}
}

// BenchmarkRebuild makes a book of 10,000 orders; the time is that of one order.
func BenchmarkRebuild(b *testing.B) {
	_, orders := resting(b, 10_000)
	b.ResetTimer()
	for done := 0; done < b.N; done += len(orders) {
		_, err := Rebuild(func(yield func(*chain.Order, error) bool) {
			for _, o := range orders {
				if !yield(o, nil) {
					return
				}
			}
		})
		must(b, err)
	}
}
