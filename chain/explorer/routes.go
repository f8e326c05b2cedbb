package explorer

import (
	"net/http"
)

// route is one operation of the API.
type route struct {
	method, path string
	query        []string // names of the query parameters that it knows
	handle       func(*query) (any, error)
	indexed      bool // answered from the index, too
}

// paged are the query parameters of every list.
func paged(names ...string) []string { return append(names, "limit", "cursor") }

// routes has one line an operation; each noun's file holds its functions.
func (a *API) routes() []route {
	return []route{
		{"GET", "/v1/status", nil, a.status, false},
		{"GET", "/v1/params", proofQuery(), a.parameters, false},
		{"GET", "/v1/proposals", nil, a.proposals, false},
		{"GET", "/v1/supply", proofQuery(), a.supply, false},
		{"GET", "/v1/node/id", nil, a.identity, false},
		{"GET", "/v1/blocks", paged(), a.blocks, true},
		{"GET", "/v1/blocks/{height}", nil, a.block, true},
		{"GET", "/v1/blocks/{height}/messages", paged(), a.blockMessages, true},
		{"GET", "/v1/blocks/{height}/events", paged(), a.blockEvents, true},
		{"GET", "/v1/messages", paged("address"), a.messages, true},
		{"POST", "/v1/messages", nil, a.submit, false},
		{"GET", "/v1/messages/{hash}", nil, a.message, true},
		{"GET", "/v1/accounts/{address}", proofQuery(), a.account, false},
		{"GET", "/v1/miners", paged("owner", "worker"), a.miners, true},
		{"GET", "/v1/miners/{miner}", proofQuery(), a.miner, false},
		{"GET", "/v1/miners/{miner}/sectors", paged("state"), a.sectors, true},
		{"GET", "/v1/miners/{miner}/deadlines", []string{"deadline"}, a.deadlines, false},
		{"GET", "/v1/sectors/{miner}/{number}", proofQuery(), a.sector, true},
		{"GET", "/v1/deals", paged("root", "piece", "miner", "client", "state"), a.deals, true},
		{"GET", "/v1/deals/{deal}", proofQuery(), a.deal, true},
		{"GET", "/v1/orders", paged("owner", "side", "state", "miner"), a.orders, true},
		{"GET", "/v1/orders/{order}", proofQuery(), a.order, true},
		{"GET", "/v1/validators", nil, a.validators, false},
		{"GET", "/v1/market/book", []string{"depth"}, a.book, false},
		{"GET", "/v1/market/asks", paged("piece_size", "duration", "collateral", "max_price", "region"), a.asks, true},
		{"GET", "/v1/market/bids", paged("price", "state"), a.bids, true},
		{"GET", "/v1/market/trades", paged(), a.trades, true},
		{"GET", "/v1/market/ticker", nil, a.ticker, true},
		{"GET", "/v1/market/candles", []string{"interval", "from", "to", "limit"}, a.candles, true},
		{"GET", "/v1/market/prices", []string{"days"}, a.prices, true},
		{"GET", "/v1/channels", paged("address"), a.channels, true},
		{"GET", "/v1/channels/{channel}", proofQuery(), a.channel, true},
		{"GET", "/v1/state/{table}/{$}", []string{"proof", "height"}, a.record, false},
		{"GET", "/v1/state/{table}/{key}", []string{"proof", "height"}, a.record, false},
		{"GET", "/v1/openapi.yaml", nil, a.openAPI, false},
		{"GET", "/health/livez", nil, a.livez, false},
		{"GET", "/health/readyz", nil, a.readyz, false},
	}
}

func (a *API) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) { a.answer(w, req, &r) })
	}
	return mux
}
