package page

import (
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"time"

	"github.com/perdure/perdure/chain"
)

func text(s string) value { return value{Text: s} }

// code is a name that only programs love, whole.
func code(s string) value { return value{Kind: "code", Text: s} }

// hash is such a name cut short; the whole of it stands behind it.
func hash(s, href string) value {
	if s == "" {
		return value{}
	}
	return value{Kind: "data", Text: short(s), Exact: s, Title: s, Href: href}
}

func number(n uint64) value {
	return value{Kind: "data", Text: group(n), Exact: strconv.FormatUint(n, 10), Unit: "count"}
}

func amount(a chain.Amount) value {
	return value{Kind: "data", Text: pdr(a.Big()), Exact: a.String(), Title: a.String() + " attoPDR", Unit: "atto"}
}

// some is an amount that may be absent or nothing.
func some(a *chain.Amount) value {
	if a == nil || a.IsZero() {
		return value{}
	}
	return amount(*a)
}

func bytesOf(n uint64) value {
	return value{Kind: "data", Text: size(n), Exact: strconv.FormatUint(n, 10), Title: group(n) + " bytes", Unit: "bytes"}
}

// clock is a time that the API wrote.
func clock(rfc string) value {
	t, err := time.Parse(time.RFC3339, rfc)
	if err != nil {
		return text(rfc)
	}
	return value{Kind: "time", Text: t.UTC().Format("2 Jan 2006, 15:04:05"), Exact: rfc, Title: rfc + " (UTC)"}
}

// moment is clock without what a list of times repeats.
func moment(rfc string) value {
	v := clock(rfc)
	if t, err := time.Parse(time.RFC3339, rfc); err == nil {
		v.Text = t.UTC().Format("2 Jan 15:04:05")
	}
	return v
}

func blockPath(h chain.Height) string { return fmt.Sprintf("/block/%d", h) }

// height is a height of the past, with a link, or of the future, with when it
// comes. Height 0 is the time before there was a block.
func (v *visit) height(h chain.Height) value {
	out := value{Kind: "data", Text: group(uint64(h)), Exact: strconv.FormatUint(uint64(h), 10), Unit: "count"}
	switch {
	case h > v.tip:
		out.Title = "in about " + span(v.lasting(uint64(h-v.tip)))
	case h == v.tip && h > 0:
		out.Href, out.Title = blockPath(h), "now"
	case h > 0:
		out.Href, out.Title = blockPath(h), "about "+span(v.lasting(uint64(v.tip-h)))+" ago"
	}
	return out
}

// heightAt is a height with when it was, or will be, about. There is none if
// it is 0.
func (v *visit) heightAt(h chain.Height) []value {
	if h == 0 {
		return nil
	}
	out := v.height(h)
	note := out.Title
	out.Title = ""
	return []value{out, faint("(" + note + ")")}
}

func faint(s string) value { return value{Kind: "faint", Text: s} }

func (v *visit) blocks(n uint64) value {
	return value{Kind: "data", Text: "≈ " + span(v.lasting(n)), Exact: strconv.FormatUint(n, 10), Title: group(n) + " blocks"}
}

// month is what prices are shown for people over, and tebibyte the size.
const (
	month       = 30 * 24 * time.Hour
	priceUnit   = "PDR for a TiB and 30 days"
	gibPerTiB   = 1024
	monthMillis = uint64(month / time.Millisecond)
)

// price is a price per GiB per block as one per TiB and 30 days.
func (v *visit) price(a chain.Amount) value {
	scaled := new(big.Int).Mul(a.Big(), new(big.Int).SetUint64(gibPerTiB*monthMillis))
	scaled.Quo(scaled, new(big.Int).SetUint64(max(v.millis, 1)))
	return value{Kind: "data", Text: pdr(scaled), Exact: a.String(), Title: a.String() + " attoPDR per GiB per block", Unit: "price"}
}

// perGiB is an amount for each GiB.
func perGiB(a chain.Amount) []value { return []value{amount(a), faint("per GiB")} }

func address(a string) value {
	if a == "" {
		return value{}
	}
	return hash(a, "/account/"+url.PathEscape(a))
}

// wholeAddress is an address in full.
func wholeAddress(a string) value {
	if a == "" {
		return value{}
	}
	return value{Kind: "code", Text: a, Href: "/account/" + url.PathEscape(a)}
}

func miner(m string) value {
	if m == "" {
		return value{}
	}
	return value{Text: m, Href: minerPath(m)}
}

func minerPath(m string) string { return "/miner/" + url.PathEscape(m) }

func sector(m string, n uint64) value {
	return value{Kind: "data", Text: group(n), Exact: strconv.FormatUint(n, 10), Href: sectorPath(m, n)}
}

func sectorPath(m string, n uint64) string {
	return "/sector/" + url.PathEscape(m) + "/" + strconv.FormatUint(n, 10)
}

// numbered is a deal, an order or a channel; there is none with number 0.
func numbered(kind string, n uint64) value {
	if n == 0 {
		return value{}
	}
	return value{Kind: "data", Text: "#" + group(n), Exact: strconv.FormatUint(n, 10), Href: "/" + kind + "/" + strconv.FormatUint(n, 10)}
}

func message(h string) value { return hash(h, "/message/"+url.PathEscape(h)) }

// payload is a root CID, with the deals that store it.
func payload(root string) value { return hash(root, at("/deals", "root", root)) }

// tones are the states that are good, to be waited for, or bad. Others are
// plain.
var tones = map[string]string{
	"ok": "good", "active": "good", "proven": "good", "resting": "good", "open": "good", "filled": "good", "completed": "good",
	"matched": "due", "accepted": "due", "preCommitted": "due", "due": "due", "pending": "due", "settling": "due", "waiting": "due",
	"failed": "bad", "faulty": "bad", "lost": "bad", "void": "bad", "terminated": "bad", "dropped": "bad", "missed": "bad",
}

// badge is a state.
func badge(state string) value {
	if state == "" {
		return value{}
	}
	return value{Kind: "badge", Text: words(state), Exact: state, Tone: tones[state]}
}

// outcome is a message's code: whatever is neither ok nor failed had no effect.
func outcome(code string) value {
	b := badge(code)
	if b.Tone == "" && code != "" {
		b.Tone = "bad"
	}
	return b
}

func yes(b bool) value {
	if b {
		return text("yes")
	}
	return text("no")
}

// badTone marks a count that is bad unless it is zero.
func badTone(n uint64) value {
	out := number(n)
	if n > 0 {
		out.Kind, out.Tone = "badge", "bad"
	}
	return out
}
