package page

import (
	"net/url"
	"strings"

	"github.com/perdure/perdure/chain/explorer"
)

// search sends to the one thing that a text names. If it names several, or is
// the beginning of several names, it lists them.
func search(v *visit) (*document, error) {
	q := v.param("q")
	d := &document{Title: "Search", Sections: []section{{}}}
	s := &d.Sections[0]
	if q == "" {
		s.Note = searchable
		return d, nil
	}
	l, err := ask[explorer.Search](v, "/v1/search", "q", q)
	if err != nil {
		return nil, err
	}
	exact := 0
	for exact < len(l.Items) && l.Items[exact].Exact { // what is called so comes first
		exact++
	}
	switch {
	case exact == 1 || len(l.Items) == 1:
		return nil, redirect(pageOf(&l.Items[0]))
	case len(l.Items) == 0:
		return nil, newProblem(404, "nothing here is called %q. %s", clip(q), searchable)
	}
	s.Note = "Several things are called so:"
	if exact == 0 {
		s.Note = "Several names begin so:"
	}
	s.Table = newTable("What was found", "", "Name", "What it is")
	s.Table.Slim = true
	for i := range l.Items {
		f := &l.Items[i]
		s.Table.row(only(value{Text: f.ID, Href: pageOf(f)}), only(text(f.Type)))
	}
	return d, nil
}

const searchable = "Search for a height, the hash of a message or a block, an address, a miner (t01000), a sector (t01000/7), the number of a deal, an order or a channel (deal 7), or the CID of content or of a piece; the beginning of a name will do."

// clip bounds what is repeated of a stranger's text.
func clip(s string) string {
	if len(s) <= 100 {
		return s
	}
	return strings.ToValidUTF8(s[:100], "") + "…"
}

// pageOf is where the page shows what a search found.
func pageOf(f *explorer.Found) string {
	switch f.Type {
	case "payload":
		return at("/deals", "root", f.ID)
	case "piece":
		return at("/deals", "piece", f.ID)
	}
	return "/" + url.PathEscape(f.Type) + "/" + pathName(f.ID)
}
