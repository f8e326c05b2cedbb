package compat

import (
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestOpenAPIRoutes holds routes and document against each other, both ways,
// with their parameters, and the patterns that a node mounts against both.
func TestOpenAPIRoutes(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, r := range routes() {
		served[r.path] = true
		if !slices.ContainsFunc(Paths, func(p string) bool { return p == r.path || strings.HasSuffix(p, "/") && strings.HasPrefix(r.path, p) }) {
			t.Errorf("%s is under none of %v", r.path, Paths)
		}
		item := doc.Paths.Value(r.path)
		if item == nil || item.Get == nil {
			t.Errorf("%s is served, the document does not know it", r.path)
			continue
		}
		names := slices.Clone(r.query)
		for part := range strings.SplitSeq(r.path, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok {
				names = append(names, strings.TrimSuffix(name, "}"))
			}
		}
		slices.Sort(names)
		var want []string
		for _, p := range item.Get.Parameters {
			want = append(want, p.Value.Name)
		}
		slices.Sort(want)
		if !slices.Equal(want, names) {
			t.Errorf("%s takes %v, the document says %v", r.path, names, want)
		}
	}
	for path := range doc.Paths.Map() {
		if !served[path] {
			t.Errorf("%s is in the document, nothing serves it", path)
		}
	}
}

// TestShare are percentages, with two decimals.
func TestShare(t *testing.T) {
	for _, one := range []struct {
		part, whole uint64
		want        float64
	}{{0, 0, 0}, {1, 3, 33.33}, {2_000_000, 2_000_000, 100}, {1<<63 + 1, 1 << 63, 100}, {3, 2, 150}, {1 << 63, 1, 0}} {
		if got := share(one.part, one.whole); got != one.want {
			t.Errorf("%d of %d: %g %%, want %g", one.part, one.whole, got, one.want)
		}
	}
}

// TestConditions reads searches for messages.
func TestConditions(t *testing.T) {
	for text, want := range map[string]search{
		"tx.height=5":                                   {first: 5, last: 5},
		"tx.height<=9 AND tx.height=0":                  {first: 2, last: 1},
		"tx.height>='5' AND tx.height<='9'":             {first: 5, last: 9},
		"message.sender='t1abc'":                        {sender: "t1abc", touched: "t1abc"},
		"transfer.recipient = 't1abc' AND tx.height<=3": {last: 3, touched: "t1abc"},
		"": {},
	} {
		got, err := searchOf(strings.Split(text, " AND "))
		if err != nil || *got != want {
			t.Errorf("%s: %+v (%v), want %+v", text, got, err, want)
		}
	}
	for _, bad := range []string{"height", "tx.height=x", "tx.height=-1", "message.sender>='t1abc'", "message.action='send'", "tx.height=5 OR tx.height=6"} {
		if got, err := searchOf([]string{bad}); err == nil {
			t.Errorf("%s: %+v, want an error", bad, got)
		}
	}
}
