package explorer

import (
	"net/http"
)

// route is one operation of the API.
type route struct {
	method, path string
	query        []string // names of the query parameters that it knows
	handle       func(*query) (any, error)
}

// paged are the query parameters of every list.
func paged(names ...string) []string { return append(names, "limit", "cursor") }

// routes has one line an operation; each noun's file holds its functions.
func (a *API) routes() []route {
	return []route{
		{"GET", "/v1/status", nil, a.status},
		{"GET", "/v1/params", nil, a.parameters},
		{"GET", "/v1/node/id", nil, a.identity},
		{"GET", "/v1/blocks", paged(), a.blocks},
		{"GET", "/v1/blocks/{height}", nil, a.block},
		{"GET", "/v1/blocks/{height}/messages", paged(), a.blockMessages},
		{"GET", "/v1/blocks/{height}/events", paged(), a.blockEvents},
		{"GET", "/v1/messages", paged("address"), a.messages},
		{"POST", "/v1/messages", nil, a.submit},
		{"GET", "/v1/messages/{hash}", nil, a.message},
		{"GET", "/v1/accounts/{address}", nil, a.account},
		{"GET", "/v1/miners", paged(), a.miners},
		{"GET", "/v1/miners/{miner}", nil, a.miner},
		{"GET", "/v1/miners/{miner}/sectors", paged("state"), a.sectors},
		{"GET", "/v1/miners/{miner}/deadlines", []string{"deadline"}, a.deadlines},
		{"GET", "/v1/sectors/{miner}/{number}", nil, a.sector},
		{"GET", "/v1/deals", paged("root", "miner", "client", "state"), a.deals},
		{"GET", "/v1/deals/{deal}", nil, a.deal},
		{"GET", "/v1/orders", paged("owner", "side", "state", "miner"), a.orders},
		{"GET", "/v1/orders/{order}", nil, a.order},
		{"GET", "/v1/market/book", []string{"depth"}, a.book},
		{"GET", "/v1/market/trades", paged(), a.trades},
		{"GET", "/v1/channels", paged("address"), a.channels},
		{"GET", "/v1/channels/{channel}", nil, a.channel},
		{"GET", "/v1/state/{table}/{$}", []string{"proof", "height"}, a.record},
		{"GET", "/v1/state/{table}/{key}", []string{"proof", "height"}, a.record},
		{"GET", "/v1/openapi.yaml", nil, a.openAPI},
		{"GET", "/health/livez", nil, a.livez},
		{"GET", "/health/readyz", nil, a.readyz},
	}
}

func (a *API) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) { a.answer(w, req, &r) })
	}
	return mux
}
