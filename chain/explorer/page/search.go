package page

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// find is a place where what was searched for may be: the page, and the path
// of the API that says whether it is there.
type find struct {
	Text string
	page string
	api  string
}

// search sends to the one thing that a text names. A number may name several:
// then it lists them.
func search(v *visit) (*document, error) {
	q := v.param("q")
	d := &document{Title: "Search", Sections: []section{{}}}
	s := &d.Sections[0]
	if q == "" {
		s.Note = searchable
		return d, nil
	}
	var found []find
	for _, f := range candidates(q, v.network) {
		_, err := v.page.source.Call(v.context(), f.api)
		switch {
		case err == nil:
			found = append(found, f)
		case !missing(err):
			return nil, err
		}
	}
	if len(found) == 1 {
		return nil, redirect(found[0].page)
	}
	if len(found) == 0 {
		return nil, newProblem(404, "nothing here is called %q. %s", clip(q), searchable)
	}
	s.Note = "Several things have that name:"
	for _, f := range found {
		s.Links = append(s.Links, anchor{f.Text, f.page})
	}
	return d, nil
}

const searchable = "Search for a height, the hash of a message, an address, a miner (t01000), a sector (t01000/7), the number of a deal, an order or a channel (deal 7), or the CID of content or of a piece."

// clip bounds what is repeated of a stranger's text.
func clip(s string) string {
	if len(s) <= 100 {
		return s
	}
	return strings.ToValidUTF8(s[:100], "") + "…"
}

// candidates are what a text may name, by its form.
func candidates(q string, n chain.Network) []find {
	kind, rest, _ := strings.Cut(strings.ToLower(q), " ")
	if number, err := strconv.ParseUint(strings.TrimLeft(strings.TrimSpace(rest), "#"), 10, 63); err == nil {
		return numberedAs(kind, number)
	}
	if number, err := strconv.ParseUint(strings.TrimPrefix(strings.ReplaceAll(q, ",", ""), "#"), 10, 63); err == nil {
		var out []find
		for _, kind := range []string{"block", "deal", "order", "channel"} {
			out = append(out, numberedAs(kind, number)...)
		}
		return append(out, minerCalled(chain.FormatMiner(number, n)))
	}
	if m, number, ok := strings.Cut(q, "/"); ok {
		return []find{{"Sector " + q, "/sector/" + url.PathEscape(m) + "/" + url.PathEscape(number), "/v1/sectors/" + url.PathEscape(m) + "/" + url.PathEscape(number)}}
	}
	var h chain.Hash
	if h.UnmarshalText([]byte(strings.TrimPrefix(strings.ToLower(q), "0x"))) == nil {
		return []find{{"Message " + h.String(), "/message/" + h.String(), "/v1/messages/" + h.String()}}
	}
	if _, err := chain.ParseMiner(q); err == nil {
		return []find{minerCalled(q)}
	}
	if _, err := chain.ParseAddress(q); err == nil {
		return []find{{"Account " + q, "/account/" + url.PathEscape(q), "/v1/accounts/" + url.PathEscape(q)}}
	}
	if c, err := cid.Decode(q); err == nil {
		if c.Type() == cid.FilCommitmentUnsealed {
			return []find{{"Piece " + q, at("/deals", "piece", q), at("/v1/deals", "piece", q)}}
		}
		return []find{{"Content " + q, at("/deals", "root", q), at("/v1/deals", "root", q)}}
	}
	return nil
}

func minerCalled(m string) find {
	return find{"Miner " + m, minerPath(m), "/v1/miners/" + url.PathEscape(m)}
}

// numberedAs is a thing by its kind and number.
func numberedAs(kind string, n uint64) []find {
	api := map[string]string{"block": "blocks", "deal": "deals", "order": "orders", "channel": "channels"}[kind]
	if api == "" {
		return nil
	}
	number := strconv.FormatUint(n, 10)
	return []find{{title(kind) + " " + group(n), "/" + kind + "/" + number, "/v1/" + api + "/" + number}}
}
