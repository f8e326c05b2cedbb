package explorer

// figureRoutes are the operations that answer with figures: time series,
// ledgers, histories of rewards and faults. All are answered from the index.
func (a *API) figureRoutes() []route {
	return []route{
		{path: "/v1/stats", handle: a.stats, indexed: true},
		{path: "/v1/series", query: spanned("name"), handle: a.series, indexed: true, cost: 5},
		{path: "/v1/rewards", query: ordered("address"), handle: a.rewards, indexed: true},
		{path: "/v1/fees", query: ordered(), handle: a.fees, indexed: true},
		{path: "/v1/faults", query: ordered(), handle: a.faults, indexed: true},
		{path: "/v1/accounts", query: paged(), handle: a.accounts, indexed: true},
		{path: "/v1/accounts/{address}/balances", query: ordered(), handle: a.balances, indexed: true},
		{path: "/v1/miners/{miner}/rewards", query: spanned(), handle: a.minerRewards, indexed: true, cost: 3},
		{path: "/v1/miners/{miner}/calendar", query: []string{"from", "to", "format"}, handle: a.calendar, indexed: true, cost: 5},
		{path: "/v1/miners/{miner}/faults", query: ordered(), handle: a.minerFaults, indexed: true},
		{path: "/v1/blocks/{height}/votes", query: []string{"format"}, handle: a.votes, indexed: true},
		{path: "/v1/params/history", query: paged(), handle: a.paramHistory, indexed: true},
	}
}
