package explorer

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// TestMarketFigures: one deal is the whole market, in every sum.
func TestMarketFigures(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	h := api.Handler()
	trades := decode[List[*Trade]](t, h, "/v1/market/trades")
	deal := decode[DealDetail](t, h, "/v1/deals/1")
	if len(trades.Items) != 1 {
		t.Fatalf("trades %+v", trades.Items)
	}
	tr := trades.Items[0]
	if tr.Deal != 1 || tr.Price != deal.Price || tr.Size != deal.PaddedSize || tr.Total != deal.Total || tr.SelfTrade || tr.Cause != "" {
		t.Errorf("trade %+v of deal %+v", tr, deal.Deal)
	}
	is := func(where string, f *Figures) {
		t.Helper()
		if f == nil || f.Open != tr.Price || f.High != tr.Price || f.Low != tr.Price || f.Close != tr.Price || f.Trades != 1 ||
			f.Volume != tr.Size || f.Total != tr.Total {
			t.Errorf("%s: %+v", where, f)
		}
		// The total of a deal is rounded up to a whole attoPDR, so the mean is off by less than what one is for this much storage.
		if v, p := f.VWAP.Big(), tr.Price.Big(); v.Cmp(p) < 0 {
			t.Errorf("%s: mean %s of one trade at %s", where, v, p)
		}
	}
	ticker := decode[Ticker](t, h, "/v1/market/ticker")
	is("ticker", ticker.Figures)
	if ticker.Last == nil || *ticker.Last != tr.Price || ticker.Ask == nil || ticker.Bid != nil {
		t.Errorf("ticker %+v", ticker)
	}
	at, err := time.Parse(time.RFC3339, tr.Time)
	must(t, err)
	for _, i := range intervals {
		c := decode[Candles](t, h, "/v1/market/candles?interval="+i.name)
		if len(c.Items) != 1 {
			t.Errorf("%s: %+v", i.name, c.Items)
			continue
		}
		is(i.name, c.Items[0].Figures)
		if start := c.Items[0].Timestamp / 1000; start != i.start(uint64(at.Unix())) || start > uint64(at.Unix()) || start+i.seconds <= uint64(at.Unix()) {
			t.Errorf("%s: begins at %d, the trade was at %d", i.name, start, at.Unix())
		}
	}
	if c := decode[Candles](t, h, "/v1/market/candles?interval=1m&to="+tr.Time); len(c.Items) > 1 {
		t.Errorf("candles before the trade: %+v", c.Items)
	}
	p := decode[ClassPrices](t, h, "/v1/market/prices")
	if len(p.Items) != 1 || p.Items[0].Size > tr.Size || 2*p.Items[0].Size <= tr.Size || p.Items[0].Duration > tr.Duration || 2*p.Items[0].Duration <= tr.Duration {
		t.Fatalf("prices %+v", p.Items)
	}
	is("class", p.Items[0].Figures)
	for _, path := range []string{"candles?interval=2h", "candles?from=yesterday", "candles?to=-1", "candles?limit=0", "candles?limit=1501",
		"prices?days=0", "prices?days=91", "ticker?x=1"} {
		code, body := get(t, h, "/v1/market/"+path)
		var problem Problem
		if must(t, json.Unmarshal([]byte(body), &problem)); code != http.StatusBadRequest || problem.Detail == "" {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

// TestIntervals: candles begin where people expect them to.
func TestIntervals(t *testing.T) {
	at := uint64(time.Date(2026, 11, 25, 17, 44, 59, 0, time.UTC).Unix()) // a Wednesday
	for _, i := range intervals {
		want := map[string]string{"1m": "2026-11-25T17:44:00Z", "5m": "2026-11-25T17:40:00Z", "15m": "2026-11-25T17:30:00Z",
			"1h": "2026-11-25T17:00:00Z", "4h": "2026-11-25T16:00:00Z", "1d": "2026-11-25T00:00:00Z", "1w": "2026-11-23T00:00:00Z"}[i.name]
		if got := clock(i.start(at)); got != want {
			t.Errorf("%s: %s, want %s", i.name, got, want)
		}
		if i.seconds%i.of != 0 || i.start(i.start(at)) != i.start(at) || i.start(0) != 0 {
			t.Errorf("%s is not made of whole candles", i.name)
		}
	}
}
