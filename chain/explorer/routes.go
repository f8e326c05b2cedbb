package explorer

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/perdure/perdure/chain/explorer/access"
)

// route is one operation of the API. Its zero fields say the usual: a GET that
// anybody may ask, that is one request, and whose answer has an end.
type route struct {
	method string // empty: GET
	path   string
	query  []string // names of the query parameters that it knows
	handle func(*query) (any, error)

	indexed bool         // answered from the index, too
	cost    int          // requests that it counts as; 0: 1
	scope   access.Scope // that a token has to have; empty: none is needed
}

// paged are the query parameters of every list that is also read as a whole.
func paged(names ...string) []string { return append(names, "limit", "cursor", "format") }

// routes are those of each noun, whose file has one line an operation.
func (a *API) routes() []route {
	return slices.Concat(a.nodeRoutes(), a.indexRoutes(), a.blockRoutes(), a.messageRoutes(), a.searchRoutes(), a.lifeRoutes(), a.accountRoutes(), a.minerRoutes(), a.sectorRoutes(),
		a.dealRoutes(), a.orderRoutes(), a.validatorRoutes(), a.marketRoutes(), a.channelRoutes(), a.recordRoutes(), a.exportRoutes(), a.figureRoutes())
}

// pattern is how a router names the route.
func (r *route) pattern() string {
	if r.method == "" {
		return http.MethodGet + " " + r.path
	}
	return r.method + " " + r.path
}

// streams reports whether the answer to a request is a *Stream.
func (r *route) streams(req *http.Request) bool {
	return r.path == exportPath || r.isList() && formOf(req) != nil
}

// perCost is how many items of a list cost as much as the first ones.
const perCost = 100

// proofCost is what an answer with its proof costs.
const proofCost = 5

// rules are those of a request. A list costs more, the more of it is wanted.
func (r *route) rules(req *http.Request) *Rules {
	rules := &Rules{Name: r.pattern(), Cost: max(r.cost, 1), Scope: r.scope}
	if rules.Stream = r.streams(req); rules.Stream {
		rules.Cost = bulkCost
		return rules
	}
	if req.URL.RawQuery == "" {
		return rules
	}
	values := req.URL.Query()
	if values.Get("proof") == "true" {
		rules.Cost = max(rules.Cost, proofCost)
	}
	if n, err := strconv.Atoi(values.Get("limit")); err == nil && n > perCost {
		rules.Cost *= 1 + min(n, 5*perCost)/perCost
	}
	return rules
}
