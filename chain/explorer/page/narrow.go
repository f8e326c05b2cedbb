package page

// list is a page that lists things: where it stands, where the API has it, and
// what it can be narrowed to.
type list struct {
	page, api string
	ranged    bool // by height, too
	order     []option
	filters   []field
}

// Orders of lists, as the API is asked for them; the first is the usual one.
var (
	byTime   = []option{{"", "newest first"}, {"false", "oldest first"}}
	byChoice = []option{{"", "as is usual"}, {"true", "highest first"}, {"false", "lowest first"}} // of lists that are sorted by one thing or another
)

// narrowed is what a visitor narrowed a list to.
type narrowed struct {
	form  *form
	query []string // names and values, without the cursor
	list  *list
}

// narrow reads from the address what a list is narrowed to.
func (v *visit) narrow(l *list) *narrowed {
	out := &narrowed{form: &form{Action: l.page, Submit: "Show"}, list: l}
	for _, f := range l.filters {
		out.form.Fields = append(out.form.Fields, out.take(v, f))
	}
	var more []field
	if l.ranged {
		more = append(more, field{Name: "minHeight", Label: "From height", Hint: "1"}, field{Name: "maxHeight", Label: "To height", Hint: "newest"})
	}
	if l.order != nil {
		more = append(more, field{Name: "sortDesc", Label: "Order", Words: l.order})
	}
	for _, f := range more {
		f = out.take(v, f)
		out.form.Open = out.form.Open || f.Value != ""
		out.form.More = append(out.form.More, f)
	}
	return out
}

func (n *narrowed) take(v *visit, f field) field {
	f.Value = v.param(f.Name)
	n.query = append(n.query, f.Name, f.Value)
	return f
}

// asked is the query for the API: the list's own page of it.
func (n *narrowed) asked(v *visit) []string {
	return append(append([]string{}, n.query...), "cursor", v.param("cursor"))
}

// links are those below the list.
func (n *narrowed) links(v *visit, next string) []anchor {
	return append(v.pager(next, n.query...), asCSV(n.list.api, n.query...))
}

// live are the topics that renew the list: none if it is not the beginning of
// what is newest.
func (n *narrowed) live(v *visit, topics string) string {
	if n.form.Open {
		return ""
	}
	return v.live(topics)
}

// asCSV links the whole of a list of the API as CSV.
func asCSV(path string, query ...string) anchor {
	return anchor{"All as CSV", at(path, append(append([]string{}, query...), "format", "csv")...)}
}

// without is the query without one of its parameters, which the path of the API
// has in itself.
func (n *narrowed) without(name string) []string {
	var out []string
	for i := 0; i+1 < len(n.query); i += 2 {
		if n.query[i] != name {
			out = append(out, n.query[i], n.query[i+1])
		}
	}
	return out
}

func (n *narrowed) askedBut(v *visit, name string) []string {
	return append(n.without(name), "cursor", v.param("cursor"))
}

// named is a link with another text.
func (a anchor) named(text string) anchor { return anchor{text, a.Href} }
