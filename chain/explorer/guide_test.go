package explorer

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// mentioned is a path of the API in a text.
var mentioned = regexp.MustCompile(`/(?:v1|health)/[A-Za-z0-9{}_./-]*`)

// TestGuide holds the paths that docs/api.md names against the document.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/api.md")
	must(t, err)
	known := documentPaths(document(t))
	count := 0
	for _, path := range mentioned.FindAllString(string(guide), -1) {
		path = strings.TrimRight(path, "./")
		if path == "/v1/raw" || path == "/v1/nothing" || path == "/v1/openapi-compat.yaml" { // a family, an error's example, a package beside
			continue
		}
		count++
		found := false
		for _, k := range known {
			found = found || fitsPath(k, path)
		}
		if !found {
			t.Errorf("docs/api.md speaks of %s, which the document does not know", path)
		}
	}
	if count < 30 {
		t.Errorf("docs/api.md names %d paths", count)
	}
}

// fitsPath reports whether a path is, part for part, one that the document
// describes: {x} stands for any part.
func fitsPath(described, path string) bool {
	a, b := strings.Split(described, "/"), strings.Split(path, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !strings.HasPrefix(a[i], "{") {
			return false
		}
	}
	return true
}
