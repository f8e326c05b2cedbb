package page

import (
	"math/big"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
)

func TestAmounts(t *testing.T) {
	for given, want := range map[string]string{
		"0": "0 PDR", "1": "1 attoPDR", "999": "999 attoPDR", "1000": "0.001 pPDR", "100000": "0.1 pPDR", "999999": "1 pPDR", "1000000": "1 pPDR", "1234567": "1.235 pPDR", "100000000": "100 pPDR",
		"2500000000": "2.5 nPDR", "1000000000000": "1 µPDR", "999999999999999": "1,000 µPDR", "1000000000000000": "0.001 PDR",
		"1250000000000000000": "1.25 PDR", "99999940000000000000": "99.9999 PDR", "123456789000000000000000": "123,456.79 PDR",
		"999999990000000000000000": "999,999.99 PDR", "1000000000000000000000000": "1 M PDR", "7962624000000000000000000": "7.963 M PDR",
		"10000000000000000000000000": "10 M PDR", "340282366920938463463374607431768211455": "340,282,366,920,938.463 M PDR",
	} {
		a, err := chain.ParseAmount(given)
		if err != nil {
			t.Fatal(err)
		}
		if v := amount(a); v.Text != want || v.Exact != given || v.Title != given+" attoPDR" {
			t.Errorf("%s is shown as %q with %q behind it, want %q", given, v.Text, v.Exact, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for given, want := range map[uint64]string{0: "0 B", 1: "1 B", 1023: "1,023 B", 1024: "1 KiB", 1536: "1.5 KiB", 2047: "2 KiB", 8 << 20: "8 MiB",
		32 << 30: "32 GiB", 5<<40 + 1<<38: "5.25 TiB", 1<<64 - 1: "16 EiB"} {
		if got := size(given); got != want {
			t.Errorf("%d bytes are shown as %q, want %q", given, got, want)
		}
	}
}

func TestDurations(t *testing.T) {
	v := &visit{millis: 6000, tip: 100}
	for blocks, want := range map[uint64]string{0: "≈ 0 s", 1: "≈ 6 s", 10: "≈ 1 min", 11: "≈ 1 min 6 s", 600: "≈ 1 h", 14_400: "≈ 1 d",
		432_000 + 600: "≈ 30 d 1 h", 1 << 63: "≈ 106,751 d 23 h"} {
		if got := v.blocks(blocks).Text; got != want {
			t.Errorf("%d blocks are shown as %q, want %q", blocks, got, want)
		}
	}
	if past, next := v.height(90), v.height(110); past.Href != "/block/90" || past.Title != "about 1 min ago" || next.Href != "" || next.Title != "in about 1 min" {
		t.Errorf("heights of the past and of the future: %+v, %+v", past, next)
	}
}

// TestStill: a chain without a block for a minute stands still, a slow one later.
func TestStill(t *testing.T) {
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		millis uint64
		tip    chain.Height
		since  time.Duration
		want   string
	}{{500, 9, time.Minute, ""}, {500, 9, 61 * time.Second, "1 min 1 s"}, {6000, 9, 2 * time.Minute, ""}, {6000, 9, 2*time.Hour + 5*time.Minute, "2 h 5 min"},
		{500, 0, time.Hour, ""}, {500, 9, -time.Hour, ""}} {
		v := &visit{millis: c.millis, tip: c.tip, tipTime: at}
		if got := v.still(at.Add(c.since)); got != c.want {
			t.Errorf("blocks of %d ms, none for %s: %q, want %q", c.millis, c.since, got, c.want)
		}
	}
}

// TestPrice turns a price per GiB and block into one per TiB and 30 days.
func TestPrice(t *testing.T) {
	v := &visit{millis: 6000}
	p := v.price(chain.Atto(1_000_000_000)) // x 1,024 GiB x 432,000 blocks
	if p.Text != "0.4424 PDR" || p.Exact != "1000000000" || p.Title != "1000000000 attoPDR per GiB per block" {
		t.Errorf("price %+v", p)
	}
}

func TestBetween(t *testing.T) {
	for _, c := range [][3]string{{"6.636 M PDR", "7.963 M PDR", "6.636 to 7.963 M PDR"}, {"999,000 PDR", "1 M PDR", "999,000 PDR to 1 M PDR"}, {"3", "4", "3 to 4"}} {
		if got := between(c[0], c[1]); got != c[2] {
			t.Errorf("%q, want %q", got, c[2])
		}
	}
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		part, whole int64
		want        string
	}{{0, 0, "0 %"}, {1, 3, "33.33 %"}, {1, 1, "100 %"}, {1, 1_000_000, "< 0.01 %"}, {0, 5, "0 %"}} {
		if got := percent(big.NewInt(c.part), big.NewInt(c.whole)); got != c.want {
			t.Errorf("%d of %d is %q, want %q", c.part, c.whole, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	for given, want := range map[string]string{"preCommitted": "pre committed", "CreateMiner": "create miner", "ok": "ok", "": ""} {
		if got := words(given); got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
	if got := short("bafkreihekm4uuw363rp6i3xrl2rw2e2d5qkuu7rdsrwkqklfpirvnisq6m"); got != "bafkreihe…nisq6m" && len([]rune(got)) != 16 {
		t.Errorf("a CID cut short is %q", got)
	}
	if got := span(90*time.Minute + time.Second); got != "1 h 30 min" {
		t.Errorf("90 minutes are %q", got)
	}
}

// TestClock keeps what is no time as the text that it is.
func TestClock(t *testing.T) {
	if v := clock("2026-11-22T23:53:16Z"); v.Kind != "time" || v.Text != "22 Nov 2026, 23:53:16" || v.Exact != "2026-11-22T23:53:16Z" {
		t.Errorf("time %+v", v)
	}
	if v := clock("<b>"); v.Kind != "" || v.Text != "<b>" {
		t.Errorf("what is no time: %+v", v)
	}
}
