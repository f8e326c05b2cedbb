package page

// routes has one line a page.
var routes = map[string]func(*visit) (*document, error){
	"/{$}":                        home,
	"/blocks":                     blocks,
	"/block/{height}":             block,
	"/block/{height}/messages":    blockMessages,
	"/block/{height}/events":      blockEvents,
	"/messages":                   messages,
	"/events":                     events,
	"/message/{hash}":             messagePage,
	"/accounts":                   accounts,
	"/account/{address}":          account,
	"/account/{address}/balances": balances,
	"/miners":                     miners,
	"/miner/{miner}":              minerPage,
	"/sectors":                    sectors,
	"/sector/{miner}/{number}":    sectorPage,
	"/deals":                      deals,
	"/deal/{deal}":                deal,
	"/orders":                     orders,
	"/order/{order}":              order,
	"/market":                     market,
	"/channels":                   channels,
	"/channel/{channel}":          channel,
	"/validators":                 validators,
	"/validator/{address}":        validatorPage,
	"/network":                    network,
	"/network/{series}":           seriesPage,
	"/faults":                     faults,
	"/supply":                     supply,
	"/params":                     params,
	"/status":                     status,
	"/search":                     search,
}

// beside is how many items of a list stand on a page about something else.
const beside = "10"
