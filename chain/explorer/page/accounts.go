package page

import (
	"net/http"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

func account(v *visit) (*document, error) {
	given := v.r.PathValue("address")
	if _, err := chain.ParseMiner(given); err == nil {
		return nil, redirect(minerPath(given))
	}
	path := "/v1/accounts/" + v.part("address")
	a, err := ask[explorer.Account](v, path)
	if err != nil {
		return nil, err
	}
	d := &document{Kicker: "Account", Title: short(a.Address), Name: a.Address, Live: "address:" + a.Address}
	if who, err := chain.ParseAddress(given); err == nil {
		d.Claim = claimOf(path, "account", chain.AccountKey(who), a.Height)
	}
	about := section{Tiles: []tile{{"Balance", only(amount(a.Balance).of("balance")), nil}, {"Next nonce", only(number(a.Nonce).of("nonce")), nil},
		{"No-shows", only(number(a.NoShows).of("noShows")), only(faint("recent"))}}}
	if !a.Exists {
		about.Note = "This account was never used."
	}
	lists, err := v.accountLists(a.Address)
	if err != nil {
		return nil, err
	}
	happened, err := v.newestEvents(path+"/events", "account", v.r.PathValue("address"))
	if err != nil {
		return nil, err
	}
	moved, err := v.statement(v.part("address"))
	if err != nil {
		return nil, err
	}
	d.Sections = append(append([]section{about, *moved}, lists...), *happened)
	return d, nil
}

// accountLists are the beginnings of the lists of an account, without those
// that are empty.
func (v *visit) accountLists(a string) ([]section, error) {
	sent, err := ask[explorer.List[*explorer.Message]](v, "/v1/messages", "address", a, "limit", beside)
	if err != nil {
		return nil, err
	}
	bought, err := ask[explorer.List[*explorer.Deal]](v, "/v1/deals", "client", a, "limit", beside)
	if err != nil {
		return nil, err
	}
	placed, err := ask[explorer.List[*explorer.Order]](v, "/v1/orders", "owner", a, "state", "all", "limit", beside)
	if err != nil {
		return nil, err
	}
	owned, err := ask[explorer.List[*explorer.Miner]](v, "/v1/miners", "owner", a, "limit", beside)
	if err != nil {
		return nil, err
	}
	open, err := ask[explorer.List[*explorer.Channel]](v, "/v1/channels", "address", a, "limit", beside)
	if err != nil {
		return nil, err
	}
	out := []section{{Title: "Messages", Table: v.messageTable("Messages that touched the account, newest first", sent.Items, true),
		Links: rest(sent.Next, "All messages", "/messages", "address", a)}}
	if len(owned.Items) > 0 {
		out = append(out, section{Title: "Miners", Table: v.minerTable("Miners that it owns", owned.Items), Links: rest(owned.Next, "All its miners", "/miners", "owner", a)})
	}
	if len(bought.Items) > 0 {
		out = append(out, section{Title: "Deals", Table: v.dealTable("Deals as client, newest first", bought.Items), Links: append(rest(bought.Next, "All its deals", "/deals", "client", a), endsNext("client", a))})
	}
	if len(placed.Items) > 0 {
		out = append(out, section{Title: "Orders", Table: v.orderTable("Orders, newest first", placed.Items), Links: rest(placed.Next, "All its orders", "/orders", "owner", a, "state", "all")})
	}
	if len(open.Items) > 0 {
		out = append(out, section{Title: "Channels", Table: v.channelTable(open.Items), Links: rest(open.Next, "All its channels", "/channels", "address", a)})
	}
	return out, nil
}

func (v *visit) channelTable(all []*explorer.Channel) *table {
	t := newTable("Payment channels, newest first", "No channels.", "Channel", "State", "Payer", "Payee", ">Locked", ">Redeemed", "Opened")
	for _, c := range all {
		t.row(only(numbered("channel", c.ID)), only(badge(c.State)), only(address(c.Payer)), only(address(c.Payee)), only(amount(c.Balance)),
			only(amount(c.Redeemed)), only(v.height(c.Opened)))
	}
	return t
}

// channelList is the list of payment channels.
var channelList = &list{page: "/channels", api: "/v1/channels", ranged: true, order: byTime, filters: []field{{Name: "address", Label: "Payer or payee", Hint: "t1…"},
	{Name: "state", Label: "State", Words: anyOf("open", "settling", "collected")}}}

func channels(v *visit) (*document, error) {
	n := v.narrow(channelList)
	l, err := ask[explorer.List[*explorer.Channel]](v, "/v1/channels", n.asked(v)...)
	if err != nil {
		return nil, err
	}
	return &document{Title: "Channels", Sections: []section{{Form: n.form, Table: v.channelTable(l.Items), Links: n.links(v, l.Next)}}}, nil
}

func channel(v *visit) (*document, error) {
	path := "/v1/channels/" + v.part("channel")
	c, err := ask[explorer.ChannelDetail](v, path)
	if err != nil {
		return nil, err
	}
	t := newTable("Lanes", "Nothing was redeemed yet.", "Lane", ">Voucher", ">Ticks", ">Redeemed")
	for _, l := range c.Lanes {
		t.row(only(number(l.Lane)), only(number(l.Nonce)), only(number(l.Ticks)), only(amount(l.Redeemed)))
	}
	about := facts(
		fact{Label: "State", Values: only(badge(c.State).of("state"))},
		fact{Label: "Payer", Values: only(wholeAddress(c.Payer).of("payer"))},
		fact{Label: "Payee", Values: only(wholeAddress(c.Payee).of("payee"))},
		fact{Label: "Locked", Values: only(amount(c.Balance).of("balance")), Help: "and not redeemed"},
		fact{Label: "Redeemed", Values: only(amount(c.Redeemed).of("redeemed")), Help: "paid to the payee so far"},
		fact{Label: "Opened", Values: firstOf("opened", v.heightAt(c.Opened))},
		fact{Label: "Can be collected from", Values: firstOf("settleAt", v.heightAt(c.SettleAt))},
		fact{Label: "Collected", Values: v.heightAt(c.Ended)})
	all, links, err := v.happenings(path+"/events", "channel", v.r.PathValue("channel"), "channel")
	if err != nil {
		return nil, err
	}
	life := v.sumUp(all)
	if c.SettleAt > v.tip {
		life = append(life, v.coming(c.SettleAt, "Can be collected"))
	}
	d := &document{Kicker: "Payment channel", Title: "#" + group(c.ID), Sections: []section{{Facts: about}, {Title: "Life", Life: life, Links: links}, {Title: "Lanes", Table: t}}}
	d.claims(claimOf(path, "channel", chain.ChannelKey(c.ID), c.Height), c.Ended)
	return d, nil
}

// missing reports whether an error says that there is no such thing.
func missing(err error) bool {
	p, ok := err.(*explorer.Problem)
	return ok && (p.Status == http.StatusNotFound || p.Status == http.StatusGone || p.Status == http.StatusBadRequest)
}
