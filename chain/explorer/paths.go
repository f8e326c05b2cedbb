package explorer

import "strings"

// Paths lists the patterns of what the API answers to GET, with the names of
// parameters in braces: /v1/deals/{deal}.
func Paths() (patterns []string) {
	for _, r := range new(API).routes() {
		if r.method == "" {
			patterns = append(patterns, strings.TrimSuffix(r.path, "{$}"))
		}
	}
	return patterns
}
