package bench

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/internal/bench/scale"
)

// instead are parts of patterns whose names are drawn together, or from another
// kind than their parameter says.
var instead = []struct{ part, before, sample string }{
	{"{miner}/{number}", "", "sector"}, {"{table}/{key}", "", "record"}, {"blocks/{height}", "blocks/", "block"},
	{"validators/{address}", "validators/", "validator"},
}

// required are the queries without which a route has no answer: it is asked so in
// place of its bare path.
var required = map[string]string{
	"/v1/search":         "q={deal}",
	"/v1/search/suggest": "q={deal}",
}

// asked are the forms in which routes are asked beside that: with the filters
// that people use.
var asked = map[string][]string{
	"/v1/deals":                  {"client={address}", "miner={miner}", "root={root}", "piece={piece}", "state=active", "state=void", "miner={miner}&state=lost"},
	"/v1/messages":               {"address={address}", "address={miner}"},
	"/v1/miners":                 {"owner={address}", "worker={address}"},
	"/v1/miners/{miner}/sectors": {"state=active", "state=faulty"},
	"/v1/orders":                 {"owner={address}", "side=bid", "miner={miner}", "state=all"},
	"/v1/channels":               {"address={address}"},
	"/v1/market/asks":            {"pieceSize=1048576&duration=10000&collateral=0"},
	"/v1/market/candles":         {"interval=1h"},
	"/v1/events":                 {"kind=dealMatched", "kind=sectorFaulty", "sortDesc=false"},
	"/v1/rewards":                {"address={address}"},
	"/v1/series":                 {"name=price", "name=dealsActive"},
	"/v1/sectors":                {"state=faulty", "state=active,expired"},
	"/v1/search/suggest":         {"q={address}"},
	"/v1/search":                 {"q={address}", "q={root}", "q={hash}", "q={miner}"},
}

// unmeasured are the GETs that are neither a list nor a detail, and why each is
// left out. All others are measured.
var unmeasured = map[string]string{
	"/v1/openapi.yaml":   "a file",
	"/v1/export/{table}": "a whole table: the part export has it",
	"/health/livez":      "a sign of life",
	"/health/readyz":     "a sign of life",
}

// leftOut says what of the API is not measured.
func leftOut() (notes []string) {
	for _, pattern := range slices.Sorted(maps.Keys(unmeasured)) {
		notes = append(notes, fmt.Sprintf("not measured: %s: %s", pattern, unmeasured[pattern]))
	}
	return append(notes, "not measured: answers with ?proof=true: headers and signed votes are an engine's, and this chain has none",
		"not measured by this part: streams (see live), lists as CSV (see export), the page and the routes for other tools' explorers")
}

// forms are the queries with which a route is asked.
func forms(pattern string) []string { return append([]string{required[pattern]}, asked[pattern]...) }

// routesOf makes the load of all lists and details from the API's routes: each
// with paths for names drawn by chance, no path twice.
func routesOf(names scale.Samples) (out []loadRoute) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, pattern := range explorer.Paths() {
		if unmeasured[pattern] != "" {
			continue
		}
		for _, query := range forms(pattern) {
			r := loadRoute{Name: pattern}
			if query != "" {
				r.Name += "?" + query
			}
			template := r.Name
			for range samplesOf {
				path := fill(template, names, random)
				r.Paths = append(r.Paths, path)
				if path == template { // nothing to choose
					break
				}
			}
			slices.Sort(r.Paths)
			r.Paths = slices.Compact(r.Paths) // of some kinds there are few names
			out = append(out, r)
		}
	}
	return out
}

// fill puts names into a pattern. What there is no name for stays.
func fill(pattern string, names scale.Samples, random *rand.Rand) string {
	draw := func(kind string) string {
		if len(names[kind]) == 0 {
			return ""
		}
		return names[kind][random.IntN(len(names[kind]))]
	}
	for _, i := range instead {
		if before, after, ok := strings.Cut(pattern, i.part); ok {
			pattern = before + i.before + draw(i.sample) + after
		}
	}
	for from := 0; ; {
		start := strings.Index(pattern[from:], "{")
		if start < 0 {
			return pattern
		}
		start += from
		end := start + strings.Index(pattern[start:], "}")
		name := draw(pattern[start+1 : end])
		if name == "" {
			from = end
			continue
		}
		pattern = pattern[:start] + name + pattern[end+1:]
		from = start + len(name)
	}
}

// answering asks one path of each route and keeps those that answer 200, lists
// also at pages behind the first; notes are about the others.
func answering(ctx context.Context, base string, routes []loadRoute) (out []loadRoute, notes []string, err error) {
	for _, r := range routes {
		status, body, err := fetch(ctx, base+r.Paths[0])
		if err != nil {
			return nil, nil, err
		}
		if status != http.StatusOK {
			notes = append(notes, fmt.Sprintf("not measured: %s: %s is answered %d: %.120s", r.Name, r.Paths[0], status, body))
			continue
		}
		if r.Paths, err = deeper(ctx, base, r.Paths, body); err != nil {
			return nil, nil, err
		}
		out = append(out, r)
	}
	return out, notes, nil
}

// pagesDeep is how many further pages of a list are asked.
const pagesDeep = 20

// deeper adds the pages that follow the first one of a list without a name in its path.
func deeper(ctx context.Context, base string, paths []string, body string) ([]string, error) {
	if len(paths) > 1 {
		return paths, nil
	}
	first := paths[0]
	for range pagesDeep {
		_, rest, ok := strings.Cut(body, `"next":"`)
		if !ok {
			break
		}
		cursor, _, _ := strings.Cut(rest, `"`)
		separator := "?"
		if strings.Contains(first, "?") {
			separator = "&"
		}
		path := first + separator + "cursor=" + cursor
		status, next, err := fetch(ctx, base+path)
		if err != nil {
			return nil, err
		}
		if status != http.StatusOK {
			return nil, fmt.Errorf("%s: %d: %.120s", path, status, next)
		}
		paths, body = append(paths, path), next
	}
	return paths, nil
}

func fetch(ctx context.Context, url string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(raw), err
}
