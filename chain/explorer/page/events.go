package page

import (
	"net/url"
	"slices"
	"strings"

	"github.com/perdure/perdure/chain/explorer"
)

// about are the things whose events can be listed: the parameter of the page by
// which one is named, and where the API and the page have it.
var about = []struct{ name, label, api, page string }{
	{"account", "Account", "/v1/accounts/", "/account/"},
	{"miner", "Miner", "/v1/miners/", "/miner/"},
	{"sector", "Sector", "/v1/sectors/", "/sector/"},
	{"deal", "Deal", "/v1/deals/", "/deal/"},
	{"order", "Order", "/v1/orders/", "/order/"},
	{"channel", "Channel", "/v1/channels/", "/channel/"},
}

// pathName escapes the name of a thing for a path; sectors have two parts.
func pathName(s string) string {
	parts := strings.Split(s, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// events lists what happened: of a kind, or all of it, or to one thing.
func events(v *visit) (*document, error) {
	for _, a := range about {
		if name := v.param(a.name); name != "" {
			return v.eventsOf(a.label, a.name, name, a.api+pathName(name)+"/events", a.page+pathName(name))
		}
	}
	n := v.narrow(&list{page: "/events", api: "/v1/events", ranged: true, order: byTime, filters: []field{{Name: "kind", Label: "Kind", Words: anyOf(explorer.EventKinds()...)}}})
	l, err := ask[explorer.List[*explorer.Happening]](v, "/v1/events", n.asked(v)...)
	if err != nil {
		return nil, err
	}
	return &document{Title: "Events", Sections: []section{{Form: n.form, Note: v.gaps(l.Gaps),
		Table: v.happeningTable("Events of all blocks", l.Items), Links: n.links(v, l.Next)}}}, nil
}

// eventsOf lists those of a thing.
func (v *visit) eventsOf(label, param, name, api, page string) (*document, error) {
	n := v.narrow(&list{page: "/events", api: api, ranged: true, order: byTime, filters: []field{{Name: param, Label: label}}})
	l, err := ask[explorer.List[*explorer.Happening]](v, api, n.askedBut(v, param)...)
	if err != nil {
		return nil, err
	}
	links := append(v.pager(l.Next, n.query...), asCSV(api, n.without(param)...), anchor{label + " " + clip(name), page})
	return &document{Kicker: label + " " + clip(name), Title: "Events", Sections: []section{{Form: n.form, Note: v.gaps(l.Gaps),
		Table: v.happeningTable("Events", l.Items), Links: links}}}, nil
}

// gaps says of which heights a list knows nothing.
func (v *visit) gaps(all []explorer.Gap) string {
	if len(all) == 0 {
		return ""
	}
	var says []string
	for _, g := range all {
		says = append(says, group(uint64(g.From))+" to "+group(uint64(g.To)))
	}
	return "This node has no history of the heights " + strings.Join(says, ", ") + "."
}

// happeningTable lists events of several blocks.
func (v *visit) happeningTable(caption string, all []*explorer.Happening) *table {
	t := newTable(caption, "No events.", "Event", "About", "From", "To", ">Amount", "More", "Block", "Time")
	for _, e := range all {
		more := v.details(e.Event)
		if e.MessageHash != "" {
			more = append(more, faint("by"), message(e.MessageHash))
		}
		t.row(only(kindLink(e.Kind)), v.subjects(e.Event), only(address(e.From)), only(address(e.To)), only(some(e.Amount)), more,
			only(v.height(e.Height)), only(moment(e.Time)))
	}
	return t
}

// kindLink is a kind of events, with the list of them if there is one.
func kindLink(kind string) value {
	if !slices.Contains(explorer.EventKinds(), kind) {
		return text(title(kind))
	}
	return value{Text: title(kind), Href: at("/events", "kind", kind)}
}

// newestEvents is the beginning of the list of what happened to a thing.
func (v *visit) newestEvents(api, param, name string) (*section, error) {
	l, err := ask[explorer.List[*explorer.Happening]](v, api, "limit", beside)
	if err != nil {
		return nil, err
	}
	return &section{Title: "Events", Table: v.happeningTable("What happened to it, newest first", l.Items),
		Links: []anchor{{"All its events", at("/events", param, name)}, asCSV(api)}}, nil
}
