package index

import (
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// matches makes Updates with random trades, hours apart, over some fifty days.
func matches(t *testing.T, blocks int) (updates [][]byte, trades []Trade) {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	at, deal := 3*Day+17, uint64(0)
	for h := range blocks {
		at += r.Uint64N(2 * 3600)
		u := &consensus.Update{Version: consensus.UpdateVersion, Height: chain.Height(h + 1), Time: at}
		for range r.Uint64N(4) {
			deal++
			d := &chain.Deal{ID: deal, Bid: 2 * deal, Ask: 2*deal + 1, State: chain.DealMatched, Client: clientOf(t, r.Uint64N(3)),
				Miner: chain.FirstMinerID + r.Uint64N(3), PieceCID: rootOf(1), PayloadRoot: rootOf(2), PaddedSize: 1 << (7 + r.Uint64N(29)),
				Duration: 1 + r.Uint64N(100_000), Price: chain.Atto(1 + r.Uint64N(1_000_000)), Matched: u.Height}
			total := new(big.Int).Mul(d.Price.Big(), big.NewInt(int64(d.Duration)))
			var err error
			d.Total, err = chain.AmountFromBig(total.Rsh(total.Mul(total, big.NewInt(int64(d.PaddedSize))), gibLog))
			must(t, err)
			e := consensus.Event{Kind: consensus.EventDealMatched, Deal: deal, Order: d.Bid, Index: d.Ask, Miner: d.Miner, From: d.Client.Bytes(), Amount: d.Total}
			tr := Trade{Height: u.Height, Time: at, Deal: deal, Bid: d.Bid, Ask: d.Ask, Miner: d.Miner, Client: d.Client.Bytes(),
				Price: d.Price, Size: d.PaddedSize, Duration: d.Duration, Total: d.Total}
			undone := false
			switch r.Uint64N(6) {
			case 0:
				d.SelfTrade, tr.Self = true, true
			case 1:
				d.Succeeds = &chain.Succession{Deal: 1, Bid: d.Bid, Renewal: deal%2 == 0}
				tr.Renewal, tr.Repair = deal%2 == 0, deal%2 == 1
			case 2:
				d.State, undone = chain.DealVoid, true
			}
			u.Events = append(u.Events, e)
			raw, err := chain.Encode(d)
			must(t, err)
			writes(u, chain.DealKey(deal), raw)
			if !undone {
				trades = append(trades, tr)
			}
		}
		raw, err := chain.Encode(u)
		must(t, err)
		updates = append(updates, raw)
	}
	return updates, trades
}

// openEmpty makes an index that awaits the first block.
func openEmpty(t *testing.T, keep uint64) *Index {
	t.Helper()
	x, err := Open(Config{Dir: "index", ChainID: "market-test", FS: vfs.NewMem(), Keep: keep})
	must(t, err)
	t.Cleanup(func() { must(t, x.Close()) })
	must(t, x.current().write(&tip{first: 1, chainID: "market-test"}, func(*pebble.Batch) error { return nil }))
	return x
}

// TestMarket: candles and classes are what a recount of all trades gives, of
// minutes for as long as they are kept, without self-trades and undone matches.
func TestMarket(t *testing.T) {
	updates, trades := matches(t, 1200)
	x := openEmpty(t, 0)
	for _, u := range updates {
		must(t, x.Apply(Committed{Update: u}))
	}
	s, err := x.Snapshot()
	must(t, err)
	defer s.Close()
	var got []Trade
	for p := (Page{Limit: 7}); ; {
		next, err := s.Trades(p, func(t *Trade) (bool, error) { got = append([]Trade{*t}, got...); return true, nil })
		must(t, err)
		if next == nil {
			break
		}
		p.After = next
	}
	if !reflect.DeepEqual(got, trades) {
		t.Fatalf("%d trades listed, %d made, not the same", len(got), len(trades))
	}
	last := trades[len(trades)-1].Time
	for _, resolution := range []uint64{Minute, Hour, Day} {
		want := recount(trades, func(tr *Trade) (uint64, bool) {
			start := tr.Time - tr.Time%resolution
			return start, resolution != Minute || start >= last-minutesKept
		})
		seen := 0
		must(t, s.Candles(resolution, 0, last+1, func(start uint64, c *Candle) error {
			if resolution == Minute && start+2*Day < last-minutesKept { // pruned when there is a trade
				t.Errorf("a candle of minute %d is still kept at %d", start, last)
			}
			if w := want[start]; w != nil {
				seen++
				check(t, w, c)
			}
			return nil
		}))
		if seen != len(want) || seen < 30 {
			t.Errorf("%d s: %d candles of %d", resolution, seen, len(want))
		}
	}
	classes := map[Class]int{}
	must(t, s.Classes(0, last+1, func(day uint64, of Class, c *Candle) error {
		classes[of]++
		check(t, recount(trades, func(tr *Trade) (uint64, bool) { return day, tr.Time/Day*Day == day && classOf(tr) == of })[day], c)
		return nil
	}))
	if len(classes) < 50 {
		t.Errorf("%d classes of trades", len(classes))
	}
}

// sum is a candle in slow and obvious form.
type sum struct {
	prices      []chain.Amount
	size        uint64
	total, work big.Int
}

func recount(trades []Trade, at func(*Trade) (uint64, bool)) map[uint64]*sum {
	out := map[uint64]*sum{}
	for i := range trades {
		tr := &trades[i]
		start, ok := at(tr)
		if !ok || tr.Self {
			continue
		}
		s := out[start]
		if s == nil {
			s = new(sum)
			out[start] = s
		}
		s.prices, s.size = append(s.prices, tr.Price), s.size+tr.Size
		s.total.Add(&s.total, tr.Total.Big())
		s.work.Add(&s.work, new(big.Int).Mul(big.NewInt(int64(tr.Size)), big.NewInt(int64(tr.Duration))))
	}
	return out
}

func check(t *testing.T, want *sum, got *Candle) {
	t.Helper()
	high, low := want.prices[0], want.prices[0]
	for _, p := range want.prices {
		if high.Less(p) {
			high = p
		}
		low = low.Min(p)
	}
	mean := new(big.Int).Lsh(&want.total, gibLog)
	mean.Div(mean, &want.work)
	n := len(want.prices)
	if got.Open != want.prices[0] || got.Close != want.prices[n-1] || got.High != high || got.Low != low || got.Trades != uint64(n) ||
		got.Size != want.size || got.Total.Big().Cmp(&want.total) != 0 || got.Mean().Big().Cmp(mean) != 0 {
		t.Errorf("candle %+v with mean %s, want %+v, mean %s", got, got.Mean(), want, mean)
	}
}

// TestMarketAgain: an index made anew from the same Updates has the same rows;
// trades go with the history that is kept, candles of hours and days stay.
func TestMarketAgain(t *testing.T) {
	updates, _ := matches(t, 300)
	rows := func(x *Index) (out []string) {
		must(t, eachRow(x.current().db, nil, func(k, v []byte) error { out = append(out, string(k)+"="+string(v)); return nil }))
		return out
	}
	one, two, short := openEmpty(t, 0), openEmpty(t, 0), openEmpty(t, 50)
	for _, u := range updates {
		must(t, one.Apply(Committed{Update: u}))
		must(t, short.Apply(Committed{Update: u}))
	}
	for _, u := range updates {
		must(t, two.Apply(Committed{Update: u}))
	}
	if a, b := rows(one), rows(two); len(a) < 500 || !slices.Equal(a, b) {
		t.Fatalf("%d and %d rows, not the same", len(a), len(b))
	}
	look(t, short, func(s *Snapshot) {
		_, err := s.Trades(Page{Limit: 1 << 20}, func(tr *Trade) (bool, error) {
			if tr.Height <= 250 {
				t.Errorf("the trade of block %d is still listed", tr.Height)
			}
			return true, nil
		})
		must(t, err)
	})
	days := func(x *Index) (n int) {
		look(t, x, func(s *Snapshot) {
			must(t, s.Candles(Day, 0, 1<<40, func(uint64, *Candle) error { n++; return nil }))
		})
		return n
	}
	if a, b := days(one), days(short); a != b || a < 5 {
		t.Errorf("%d and %d days", a, b)
	}
	if m := (&Candle{}).Mean(); !m.IsZero() {
		t.Errorf("no trades at %s", m)
	}
}
