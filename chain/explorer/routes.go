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

// streams reports whether the answer is a *Stream.
func (q question) streams() bool { return q.of.path == exportPath || q.form != nil }

// perCost is how many items of a list cost as much as the first ones.
const perCost = 100

// proofCost is what an answer with its proof costs.
const proofCost = 5

// rules are those of a request. A list costs more, the more of it is wanted.
func (q question) rules() *Rules {
	rules := &Rules{Name: q.of.pattern(), Cost: max(q.of.cost, 1), Scope: q.of.scope}
	if rules.Stream = q.streams(); rules.Stream {
		rules.Cost = bulkCost
		return rules
	}
	if q.values.Get("proof") == "true" {
		rules.Cost = max(rules.Cost, proofCost)
	}
	if limit := q.values.Get("limit"); limit != "" {
		if n, err := strconv.Atoi(limit); err == nil && n > perCost {
			rules.Cost *= 1 + min(n, 5*perCost)/perCost
		}
	}
	return rules
}
