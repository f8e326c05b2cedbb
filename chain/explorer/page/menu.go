package page

import (
	"slices"
	"strings"
)

// entry is a link of which one of several is where the visitor is. Of others it
// says how near: page, if it is this page, true if it leads to its kind.
type entry struct {
	anchor
	Here string
}

// chapter is a group of pages in the menu. The first of them stands for all.
type chapter struct {
	name  string
	pages []anchor
}

var chapters = []chapter{
	{"Home", []anchor{{"Home", "/"}}},
	{"Chain", []anchor{{"Blocks", "/blocks"}, {"Messages", "/messages"}, {"Events", "/events"}, {"Validators", "/validators"}, {"Parameters", "/params"}}},
	{"Storage", []anchor{{"Miners", "/miners"}, {"Sectors", "/sectors"}, {"Deals", "/deals"}, {"Faults", "/faults"}}},
	{"Market", []anchor{{"Order book", "/market"}, {"Orders", "/orders"}, {"Channels", "/channels"}}},
	{"Network", []anchor{{"Over time", "/network"}, {"Accounts", "/accounts"}, {"Supply", "/supply"}, {"Status", "/status"}}},
}

// kinds are the pages about one thing, and the lists that lead to them.
var kinds = map[string]string{"block": "/blocks", "message": "/messages", "validator": "/validators", "miner": "/miners", "sector": "/sectors", "deal": "/deals",
	"order": "/orders", "channel": "/channels", "account": "/accounts", "network": "/network"}

// menuAt is the menu at a page: all chapters, and the pages of its own.
func menuAt(path string) (groups, pages []entry) {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	list, thing := kinds[first]
	for _, c := range chapters {
		i := slices.IndexFunc(c.pages, func(a anchor) bool { return a.Href == path || thing && a.Href == list })
		e := entry{anchor{c.name, c.pages[0].Href}, ""}
		if i >= 0 {
			e.Here = here(c.pages[0].Href == path)
		}
		groups = append(groups, e)
		if i < 0 || len(c.pages) == 1 {
			continue
		}
		for k, a := range c.pages {
			e := entry{a, ""}
			if k == i {
				e.Here = here(a.Href == path)
			}
			pages = append(pages, e)
		}
	}
	return groups, pages
}

// here is how aria-current says it.
func here(exactly bool) string {
	if exactly {
		return "page"
	}
	return "true"
}

// choice is an entry among alternatives.
func choice(text, href string, chosen bool) entry {
	if chosen {
		return entry{anchor{text, href}, "true"}
	}
	return entry{anchor{text, href}, ""}
}
