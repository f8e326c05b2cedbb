package page

import (
	"strconv"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

func (v *visit) orderTable(caption string, all []*explorer.Order) *table {
	t := newTable(caption, "No orders.", "Order", "Side", "State", ">Price", ">Size", "Duration", "By", ">Locked", "Placed", "Expires")
	for _, o := range all {
		var price, amountOf, lasts, by, expires []value
		if b := o.Bid; b != nil {
			price, amountOf, lasts = only(faint("at most "), v.price(b.MaxPrice)), []value{bytesOf(b.PaddedSize), faint("×"), number(b.Copies)}, only(v.blocks(b.Duration))
			by, expires = only(address(o.Owner)), only(v.height(b.Expiry))
		}
		if a := o.Ask; a != nil {
			price, amountOf = only(v.price(a.Price)), []value{bytesOf(a.Free), faint("of"), bytesOf(a.Capacity)}
			lasts = []value{v.blocks(a.MinDuration), faint("to"), v.blocks(a.MaxDuration)}
			by, expires = only(miner(a.Miner)), only(v.height(a.Expiry))
		}
		t.row(only(numbered("order", o.ID)), only(side(o.Side)), only(badge(o.State)), price, amountOf, lasts, by, only(amount(o.Locked)), only(v.height(o.Placed)), expires)
	}
	return t
}

func side(s string) value { return value{Kind: "badge", Text: s, Tone: s} }

// orderList is the list of orders.
var orderList = &list{page: "/orders", api: "/v1/orders", ranged: true, order: byTime, filters: []field{{Name: "owner", Label: "Owner", Hint: "t1…"},
	{Name: "miner", Label: "Miner", Hint: "t01000"}, {Name: "side", Label: "Side", Words: anyOf("bid", "ask")},
	{Name: "state", Label: "State", Words: []option{{"", "in the book"}, {"all", "all"}, {"waiting", "waiting"}, {"searching", "searching"}, {"resting", "resting"},
		{"filled", "filled"}, {"cancelled", "cancelled"}, {"expired", "expired"}, {"ended", "ended"}}}}}

func orders(v *visit) (*document, error) {
	n := v.narrow(orderList)
	l, err := ask[explorer.List[*explorer.Order]](v, "/v1/orders", n.asked(v)...)
	if err != nil {
		return nil, err
	}
	return &document{Title: "Orders", Live: n.live(v, "book"), Sections: []section{{Form: n.form, Note: pricesAre, Table: v.orderTable("Orders", l.Items), Links: n.links(v, l.Next)}}}, nil
}

func order(v *visit) (*document, error) {
	path := "/v1/orders/" + v.part("order")
	o, err := ask[explorer.OrderDetail](v, path)
	if err != nil {
		return nil, err
	}
	about := []fact{
		{Label: "State", Values: only(badge(o.State).of("state"))},
		{Label: "Owner", Values: only(wholeAddress(o.Owner).of("owner"))},
		{Label: "Placed", Values: firstOf("placed", v.heightAt(o.Placed))},
		{Label: "Matches from", Values: firstOf("matchable", v.heightAt(o.Matchable))},
		{Label: "Ended", Values: v.heightAt(o.Ended)},
		{Label: "Locked", Values: only(amount(o.Locked).of("locked"))},
		{Label: "Deposit", Values: only(some(&o.Deposit).of("deposit")), Help: "burned if it is cancelled before it rests in the book"},
		{Label: "No-shows", Values: only(number(o.NoShows).of("noShows")), Help: "recent ones of its side when it was placed"},
	}
	if o.Bid != nil {
		about = append(about, v.bidFacts(o.Bid, o.Ended == 0)...)
	}
	if o.Ask != nil {
		about = append(about, v.askFacts(o.Ask, o.Ended == 0)...)
	}
	d := &document{Kicker: title(o.Side), Title: "#" + group(o.ID), Sections: []section{{Facts: facts(about...)}}}
	d.claims(claimOf(path, "order", chain.OrderKey(o.ID), o.Height), o.Ended)
	all, links, err := v.happenings(path+"/events", "order", v.r.PathValue("order"), "order")
	if err != nil {
		return nil, err
	}
	d.Sections = append(d.Sections, section{Title: "Life", Life: v.sumUp(all), Links: links})
	if s := v.succession(o.Succeeds); s != nil {
		d.Sections = append(d.Sections, *s)
	}
	return d, nil
}

// until is the last height of an order, and how far that is if it is not over.
func (v *visit) until(h chain.Height, field string, live bool) fact {
	if !live {
		return fact{Label: "Expiry", Values: only(v.height(h))}
	}
	return fact{Label: "Expires", Values: firstOf(field, v.heightAt(h))}
}

func (v *visit) bidFacts(b *explorer.Bid, live bool) []fact {
	return []fact{
		{Label: "Price at most", Values: []value{v.price(b.MaxPrice).of("bid.maxPrice"), faint("for a TiB and 30 days")}},
		{Label: "Size", Values: only(bytesOf(b.PaddedSize).of("bid.paddedSize")), Help: "padded"},
		{Label: "Duration", Values: only(v.blocks(b.Duration).of("bid.duration"))},
		{Label: "Copies", Values: []value{number(b.Copies).of("bid.copies"), faint("wanted,"), number(b.CopiesLeft).of("bid.copiesLeft"), faint("left")}},
		{Label: "Copies at", Values: minersOf(b.Miners)},
		v.until(b.Expiry, "bid.expiry", live),
		{Label: "Collateral at least", Values: firstOf("bid.minCollateral", perGiB(b.MinCollateral))},
		{Label: "Content", Values: only(value{Kind: "code", Text: b.PayloadRoot, Field: "bid.payloadRoot", Href: at("/deals", "root", b.PayloadRoot)}), Help: "root CID: all its deals"},
		{Label: "Part", Values: []value{number(b.Part + 1), faint("of"), number(b.Parts).of("bid.parts")}},
		{Label: "Piece", Values: only(code(b.PieceCID).of("bid.pieceCid"))},
		{Label: "Public", Values: public(b.Public)},
		{Label: "Only miners", Values: minersOf(b.Allow)},
		{Label: "Not miners", Values: minersOf(b.Deny)},
		{Label: "Only regions", Values: texts(b.Regions)},
		{Label: "Renewals", Values: v.renewal(b.Renew)},
		{Label: "Client's peer", Values: only(code(b.ClientPeer).of("bid.clientPeer"))},
	}
}

func (v *visit) askFacts(a *explorer.Ask, live bool) []fact {
	return []fact{
		{Label: "Miner", Values: only(miner(a.Miner).of("ask.miner"))},
		{Label: "Price", Values: []value{v.price(a.Price).of("ask.price"), faint("for a TiB and 30 days")}},
		{Label: "Capacity", Values: []value{bytesOf(a.Free).of("ask.free"), faint("free of"), bytesOf(a.Capacity).of("ask.capacity")}},
		{Label: "Pieces", Values: []value{bytesOf(a.MinPiece).of("ask.minPiece"), faint("to"), bytesOf(a.MaxPiece).of("ask.maxPiece")}},
		{Label: "Duration", Values: []value{v.blocks(a.MinDuration).of("ask.minDuration"), faint("to"), v.blocks(a.MaxDuration).of("ask.maxDuration")}},
		{Label: "Collateral", Values: firstOf("ask.collateral", perGiB(a.Collateral))},
		v.until(a.Expiry, "ask.expiry", live),
		{Label: "Placed again", Values: only(number(a.Refresh).of("ask.refresh")), Help: "so often when it expires or is sold out"},
		{Label: "Region", Values: only(text(a.ClaimedRegion).of("ask.claimedRegion")), Help: "claimed by the miner"},
		{Label: "Retrieval price", Values: firstOf("ask.retrievalPrice", perGiB(a.Retrieval)), Help: "announced by the miner"},
		{Label: "Unsealing price", Values: firstOf("ask.unsealPrice", perGiB(a.Unseal)), Help: "announced by the miner"},
	}
}

// public says who may read what is stored.
func public(yes bool) []value {
	if yes {
		return []value{text("yes"), faint("· anybody may fetch the piece, if the miner lets them")}
	}
	return only(text("no"))
}

func minersOf(all []string) []value {
	var out []value
	for _, m := range all {
		out = append(out, miner(m))
	}
	return out
}

func texts(all []string) []value {
	var out []value
	for _, s := range all {
		out = append(out, text(s))
	}
	return out
}

type interval struct {
	name   string
	length time.Duration
}

// intervals are the lengths of candles that can be shown.
var intervals = []interval{{"1m", time.Minute}, {"5m", 5 * time.Minute}, {"15m", 15 * time.Minute}, {"1h", time.Hour}, {"4h", 4 * time.Hour}, {"1d", 24 * time.Hour}}

// Levels of a side in the drawing and in the tables of the order book.
const drawnLevels, listedLevels = "100", 15

func market(v *visit) (*document, error) {
	t, err := ask[explorer.Ticker](v, "/v1/market/ticker")
	if err != nil {
		return nil, err
	}
	b, err := ask[explorer.Book](v, "/v1/market/book", "depth", drawnLevels)
	if err != nil {
		return nil, err
	}
	prices, err := v.priceSection()
	if err != nil {
		return nil, err
	}
	asks, err := ask[explorer.Offers](v, "/v1/market/asks", "limit", beside)
	if err != nil {
		return nil, err
	}
	bids, err := ask[explorer.Offers](v, "/v1/market/bids", "limit", beside)
	if err != nil {
		return nil, err
	}
	trades, err := ask[explorer.List[*explorer.Trade]](v, "/v1/market/trades", "limit", "25", "cursor", v.param("cursor"))
	if err != nil {
		return nil, err
	}
	classes, err := ask[explorer.ClassPrices](v, "/v1/market/prices")
	if err != nil {
		return nil, err
	}
	return &document{Title: "Market", Live: v.live("book,trades"), Sections: []section{
		{Note: pricesAre, Tiles: v.marketTiles(t)}, *prices,
		{Title: "Order book", Chart: v.depth(b), Tables: []table{*v.levelTable("Bids, the highest first", "No bids.", b.Bids), *v.levelTable("Asks, the lowest first", "No asks.", b.Asks)},
			Links: []anchor{{"Orders one by one", "/orders"}}},
		{Title: "Best asks", Table: v.orderTable("Best asks", asks.Items), Links: []anchor{asCSV("/v1/market/asks")}},
		{Title: "Best bids", Table: v.orderTable("Best bids", bids.Items), Links: []anchor{asCSV("/v1/market/bids")}},
		{Title: "Deals made", Table: v.tradeTable(trades.Items), Links: append(v.pager(trades.Next, "interval", v.param("interval")), asCSV("/v1/market/trades"))},
		{Title: "Prices by size and duration", Table: v.classTable(classes), Links: []anchor{asCSV("/v1/market/prices")}},
	}}, nil
}

func (v *visit) marketTiles(t *explorer.Ticker) []tile {
	out := []tile{{"Last price", v.priceOr(t.Last), nil}, {"Best bid", v.priceOr(t.Bid), nil}, {"Best ask", v.priceOr(t.Ask), nil}}
	if f := t.Figures; f != nil {
		out = append(out, tile{"High in 24 h", only(v.price(f.High)), []value{faint("low"), v.price(f.Low)}},
			tile{"Mean in 24 h", only(v.price(f.VWAP)), only(faint("weighted by size and duration"))},
			tile{"Traded in 24 h", only(bytesOf(f.Volume)), []value{faint("in"), number(f.Trades), faint("deals for"), amount(f.Total)}})
	}
	return out
}

// priceOr is a price that there may be none of.
func (v *visit) priceOr(a *chain.Amount) []value {
	if a == nil {
		return only(faint("none"))
	}
	return only(v.price(*a))
}

// priceSection draws the candles of the interval that is asked for.
func (v *visit) priceSection() (*section, error) {
	of := v.chosen(shownCandles)
	c, err := ask[explorer.Candles](v, "/v1/market/candles", "interval", of.name, "limit", strconv.Itoa(shownCandles))
	if err != nil {
		return nil, err
	}
	a := v.axisTo(of.length, shownCandles)
	s := &section{Title: "Prices", Choices: intervalChoices("/market", of.name), Chart: v.candleChart(c, a), Links: []anchor{asCSV("/v1/market/candles", "interval", of.name)}}
	if s.Chart == nil {
		s.Note = "No trades in the last " + span(a.length()) + "."
	}
	return s, nil
}

func (v *visit) levelTable(caption, empty string, levels []explorer.Level) *table {
	t := newTable(caption, empty, ">Price", ">Size", ">Size up to here", ">Orders")
	t.Slim = true
	sum := uint64(0)
	for _, l := range levels[:min(len(levels), listedLevels)] {
		sum += l.Size
		t.row(only(v.price(l.Price)), only(bytesOf(l.Size)), only(bytesOf(sum)), only(number(l.Orders)))
	}
	return t
}

func (v *visit) tradeTable(all []*explorer.Trade) *table {
	t := newTable("Deals as the book made them, newest first", "No deals yet.", "Deal", "Time", ">Price", ">Size", "Duration", ">Total", "Miner", "Client", "Note")
	for _, d := range all {
		t.row(only(numbered("deal", d.Deal)), only(moment(d.Time)), only(v.price(d.Price)), only(bytesOf(d.Size)), only(v.blocks(d.Duration)), only(amount(d.Total)),
			only(miner(d.Miner)), only(address(d.Client)), only(text(d.Cause), selfTrade(d.SelfTrade)))
	}
	return t
}

func (v *visit) classTable(c *explorer.ClassPrices) *table {
	t := newTable("Deals of the last "+strconv.Itoa(c.Days)+" days; each class reaches up to below twice its size and duration", "No deals yet.",
		">Size from", "Duration from", ">Mean price", ">Low", ">High", ">Deals", ">Volume")
	for _, k := range c.Items {
		t.row(only(bytesOf(k.Size)), only(v.blocks(k.Duration)), only(v.price(k.VWAP)), only(v.price(k.Low)), only(v.price(k.High)), only(number(k.Trades)), only(bytesOf(k.Volume)))
	}
	return t
}
