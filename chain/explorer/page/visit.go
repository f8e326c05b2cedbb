package page

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// visit is one request on its way to a document, with what all pages need to
// know of the chain.
type visit struct {
	page  *Page
	r     *http.Request
	query url.Values

	identity *explorer.Identity // nil: there was no answer
	tip      chain.Height
	tipTime  time.Time
	millis   uint64 // between blocks
	network  chain.Network
}

func (p *Page) newVisit(r *http.Request) *visit { return &visit{page: p, r: r, query: r.URL.Query()} }

// visit asks whose chain it is and how long its blocks take.
func (p *Page) visit(r *http.Request) (*visit, error) {
	v := p.newVisit(r)
	var err error
	if v.identity, err = ask[explorer.Identity](v, "/v1/node/id"); err != nil {
		return nil, err
	}
	v.tip = v.identity.Height
	v.tipTime, _ = time.Parse(time.RFC3339, v.identity.Time)
	params, err := ask[explorer.Parameters](v, "/v1/params")
	if err != nil {
		return nil, err
	}
	v.millis, v.network = params.BlockMillis, params.Network
	return v, nil
}

func (v *visit) context() context.Context { return v.r.Context() }

// ask asks the API, as explorer.CallFor does.
func ask[T any](v *visit, path string, query ...string) (*T, error) {
	return explorer.CallFor[T](v.context(), v.page.source, path, query...)
}

// part is a part of the page's path, escaped for a path of the API.
func (v *visit) part(name string) string { return url.PathEscape(v.r.PathValue(name)) }

// param is a query parameter of the page.
func (v *visit) param(name string) string { return strings.TrimSpace(v.query.Get(name)) }

// pager links the pages of a list whose cursor is the page's own.
func (v *visit) pager(next string, query ...string) []anchor {
	return v.pagerBy("cursor", next, query...)
}

// pagerBy links the pages of a list whose cursor is a parameter of the page.
func (v *visit) pagerBy(param, next string, query ...string) []anchor {
	var out []anchor
	if v.param(param) != "" {
		out = append(out, anchor{"First page", at(v.r.URL.Path, query...)})
	}
	if next != "" {
		out = append(out, anchor{"Next page", at(v.r.URL.Path, append(query, param, next)...)})
	}
	return out
}

// at is a path with a query.
func at(path string, query ...string) string {
	if q := explorer.EncodeQuery(query...); q != "" {
		return path + "?" + q
	}
	return path
}

// frame is a document with what stands around it.
type frame struct {
	*document
	ChainID  string
	Known    bool // there is a chain to speak of
	Height   []value
	Query    string // what was searched for
	Sections []section
	Syncing  bool    // the node does not follow the head of the chain
	Groups   []entry // of pages
	Menu     []entry // the pages of the group that this one is of
}

func (v *visit) frame(d *document) *frame {
	f := &frame{document: d, Sections: d.Sections, Query: v.param("q")}
	if v.identity != nil {
		f.ChainID, f.Known, f.Syncing = v.identity.ChainID, true, v.identity.Syncing
		f.Height = []value{v.height(v.tip), clock(v.identity.Time)}
	}
	for i := range f.Sections {
		if s := &f.Sections[i]; s.Table != nil {
			s.Table.Quiet = s.Table.Caption == s.Title || s.Table.Caption == d.Title
		}
	}
	f.Groups, f.Menu = menuAt(v.r.URL.Path)
	return f
}
