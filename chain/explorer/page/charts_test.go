package page

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

func level(price, size uint64) explorer.Level {
	return explorer.Level{Price: chain.Atto(price), Size: size, Orders: 1}
}

// TestDepth draws a small book and reads the outlines back.
func TestDepth(t *testing.T) {
	v := &visit{millis: 1000}
	c := v.depth(&explorer.Book{Bids: []explorer.Level{level(90, 10), level(80, 30)}, Asks: []explorer.Level{level(110, 20), level(1000, 1<<40)}})
	if len(c.Shapes) != 5 || len(c.Table.Rows) != 4 {
		t.Fatalf("%d shapes, want two outlines and the three stairs in sight; %d rows", len(c.Shapes), len(c.Table.Rows))
	}
	if bid, ask := c.Shapes[2], c.Shapes[4]; bid.X != "45.45" || bid.W != "64.94" || !strings.HasSuffix(bid.Title, " and above: 10 B") || ask.X != "240.26" || !strings.HasSuffix(ask.Title, " and below: 20 B") {
		t.Errorf("stairs say %+v and %+v", bid, ask)
	}
	// Prices from 80 to 220 with a margin of 7: 90 is at 17/154 of the width; 40 is the most below twice the best ask.
	if want := "M110.39 300V227.5H45.45V10H0V300Z"; c.Shapes[0].D != want {
		t.Errorf("bids %s, want %s", c.Shapes[0].D, want)
	}
	if want := "M240.26 300V155H1000V10H1000V300Z"; c.Shapes[1].D != want {
		t.Errorf("asks %s, want %s", c.Shapes[1].D, want)
	}
	if c.Top != "40 B" {
		t.Errorf("the scale ends at %s", c.Top)
	}
	for _, one := range []*explorer.Book{{Bids: []explorer.Level{level(5, 5)}}, {Asks: []explorer.Level{level(0, 5)}}} {
		if c := v.depth(one); c == nil || strings.Contains(c.Shapes[0].D+c.Shapes[1].D, "NaN") {
			t.Errorf("a book with one order is drawn as %+v", c)
		}
	}
	if c := v.depth(&explorer.Book{}); c != nil {
		t.Error("an empty book is drawn")
	}
}

// TestCandles places the newest interval at the right edge.
func TestCandles(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC)
	v := &visit{millis: 1000, tipTime: at, begun: at.AddDate(0, -1, 0)}
	f := &explorer.Figures{Open: chain.Atto(10), Close: chain.Atto(8), High: chain.Atto(12), Low: chain.Atto(8), Volume: 100, Trades: 2}
	start := func(t time.Time) explorer.Candle {
		return explorer.Candle{Start: t.Format(time.RFC3339), Timestamp: uint64(t.UnixMilli()), Figures: f}
	}
	hour := at.Truncate(time.Hour)
	c := v.candleChart(&explorer.Candles{Interval: "1h", Items: []explorer.Candle{start(hour.Add(-200 * time.Hour)), start(hour.Add(-95 * time.Hour)), start(hour)}}, v.axisTo(time.Hour, shownCandles))
	if len(c.Shapes) != 6 {
		t.Fatalf("%d shapes, want wick, body and volume of the two intervals in range", len(c.Shapes))
	}
	if first, last := c.Shapes[0], c.Shapes[3]; first.X != "4.69" || last.X != "994.27" || first.Tone != "fall" {
		t.Errorf("wicks at %s and %s, %s", first.X, last.X, first.Tone)
	}
	if v.candleChart(&explorer.Candles{}, v.axisTo(time.Hour, shownCandles)) != nil {
		t.Error("no trades are drawn")
	}
	young := &visit{tipTime: at, begun: at.Add(-2 * time.Hour)}
	if c := young.candleChart(&explorer.Candles{Items: []explorer.Candle{start(hour)}}, young.axisTo(time.Hour, shownCandles)); c.Shapes[1].W != "58.33" {
		t.Errorf("a candle of a young chain is %s wide, want one of 12 slots", c.Shapes[1].W)
	}
}

// TestLines: a level stays as it was until another one comes.
func TestLines(t *testing.T) {
	drawn := lines([]dot{{slot: 0, x: uint64(1)}, {slot: 3, x: uint64(2)}}, axis{slot: 1, slots: 10}, 0, 3)
	if want := "M0 200L100 200H300L400 100"; drawn[1].D != want {
		t.Errorf("line %q, want %q", drawn[1].D, want)
	}
}

func TestBar(t *testing.T) {
	c := bar("money", []part{{"free", "good", big.NewInt(3)}, {"locked", "due", big.NewInt(1)}})
	if c.Desc != "free 75 %, locked 25 %" || c.Shapes[1].X != "750" || c.Shapes[1].W != "250" {
		t.Errorf("bar %+v", c)
	}
	if bar("nothing", []part{{"free", "good", new(big.Int)}}) != nil {
		t.Error("a whole of nothing is drawn")
	}
}
