package page

import (
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// messageTable lists messages, with their blocks if they are of several.
func (v *visit) messageTable(caption string, all []*explorer.Message, several bool) *table {
	labels := []string{"Message", "What", "Outcome", "From", ">Size", ">Fee"}
	if several {
		labels = append(labels, "Block", "Time")
	}
	t := newTable(caption, "No messages.", labels...)
	for _, m := range all {
		kind := m.Kind
		if kind == "" {
			kind = "not a message"
		}
		cells := [][]value{only(message(m.Hash)), only(text(title(kind))), only(outcome(m.Code)), only(address(m.From)), only(bytesOf(m.Size)), only(amount(m.Fee))}
		if several {
			cells = append(cells, only(v.height(m.Height)), only(moment(m.Time)))
		}
		t.row(cells...)
	}
	return t
}

// eventTable lists events.
func (v *visit) eventTable(all []*explorer.Event) *table {
	t := newTable("Events in their order", "No events.", "Event", "About", "From", "To", ">Amount", "More")
	for _, e := range all {
		t.row(only(kindLink(e.Kind)), v.subjects(e), only(address(e.From)), only(address(e.To)), only(some(e.Amount)), v.details(e))
	}
	return t
}

// subjects are what an event is about, but for those of some kinds.
func (v *visit) subjects(e *explorer.Event, but ...string) []value {
	var out []value
	add := func(label string, one value) {
		if one.Text != "" && !slices.Contains(but, label) {
			out = append(out, faint(label), one)
		}
	}
	add("miner", miner(e.Miner))
	if e.Sector != nil && e.Miner != "" {
		add("sector", sector(e.Miner, *e.Sector))
	}
	add("order", numbered("order", e.Order))
	add("ask", numbered("order", e.Ask))
	add("deal", numbered("deal", e.Deal))
	add("bid", numbered("order", e.Bid))
	add("new deal", numbered("deal", e.NewDeal))
	add("channel", numbered("channel", e.Channel))
	return out
}

// details are what else an event tells.
func (v *visit) details(e *explorer.Event) []value {
	var out []value
	count := func(label string, n *uint64) {
		if n != nil {
			out = append(out, faint(label), number(*n))
		}
	}
	count("lane", e.Lane)
	count("part", e.Part)
	count("deadline", e.Line)
	count("period", e.Period)
	if e.Sectors > 0 {
		count("sectors", &e.Sectors)
	}
	if e.Expiration > 0 {
		out = append(out, faint("expires at"), v.height(e.Expiration))
	}
	if e.Reason != "" {
		out = append(out, text(e.Reason))
	}
	return out
}

// messageList is the list of messages.
var messageList = &list{page: "/messages", api: "/v1/messages", ranged: true, order: byTime,
	filters: []field{{Name: "address", Label: "Account or miner", Hint: "t1…, t01000"}}}

func messages(v *visit) (*document, error) {
	n := v.narrow(messageList)
	l, err := ask[explorer.List[*explorer.Message]](v, "/v1/messages", n.asked(v)...)
	if err != nil {
		return nil, err
	}
	return &document{Title: "Messages", Live: n.live(v, "message"), Sections: []section{{Form: n.form, Note: v.gaps(l.Gaps),
		Table: v.messageTable("Messages", l.Items, true), Links: n.links(v, l.Next)}}}, nil
}

func messagePage(v *visit) (*document, error) {
	m, err := ask[explorer.MessageDetail](v, "/v1/messages/"+v.part("hash"))
	if err != nil {
		return nil, err
	}
	about := facts(
		fact{Label: "Outcome", Values: only(outcome(m.Code), text(sentence(m.Error)))},
		fact{Label: "Block", Values: []value{v.height(m.Height), faint("message"), number(m.Index + 1)}},
		fact{Label: "Time", Values: only(clock(m.Time))},
		fact{Label: "From", Values: only(wholeAddress(m.From))},
		fact{Label: "Nonce", Values: only(number(m.Nonce))},
		fact{Label: "Made", Values: only(v.made(m.Message))},
		fact{Label: "Fee", Values: only(amount(m.Fee)), Help: "base fee and tip, paid"},
		fact{Label: "Fee at most", Values: only(some(m.MaxFee))},
		fact{Label: "Tip", Values: only(some(m.Tip))},
		fact{Label: "Units", Values: only(number(m.Units))},
		fact{Label: "Size", Values: only(bytesOf(m.Size))},
	)
	d := &document{Kicker: "Message", Title: title(m.Kind), Name: m.Hash, Sections: []section{{Facts: about}}}
	if m.Kind == "" {
		d.Title = "Not a message"
	}
	if m.Body != nil {
		d.Sections = append(d.Sections, section{Title: "Content", Tree: tree(m.Body)})
	}
	caused := section{Title: "Events", Table: v.eventTable(m.Events)}
	if m.Cut {
		caused.Note = "These are the first; the block's list has all."
		caused.Links = []anchor{{"All events of the block", blockPath(m.Height) + "/events"}}
	}
	d.Sections = append(d.Sections, caused)
	return d, nil
}

// made is the thing that a message made: of ID, what it is tells the kind.
func (v *visit) made(m *explorer.Message) value {
	switch {
	case m.ID == 0:
		return value{}
	case m.Kind == "CreateMiner":
		return miner(chain.FormatMiner(m.ID, v.network))
	case m.Kind == "PlaceBid" || m.Kind == "PlaceAsk":
		return numbered("order", m.ID)
	case m.Kind == "OpenChannel":
		return numbered("channel", m.ID)
	}
	return number(m.ID)
}
