package state

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestSpecTables: SPEC.md says how many tables the root has, and lists each
// under its shape.
func TestSpecTables(t *testing.T) {
	raw, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("| tables | array of %d,", chain.TableEnd); !strings.Contains(string(raw), want) {
		t.Errorf("SPEC.md does not say %q", want)
	}
	for name, shape := range map[string]chain.Shape{"bytes": chain.ShapeBytes, "dense": chain.ShapeDense, "owned": chain.ShapeOwned} {
		var want []string
		for table := range chain.TableEnd {
			if table.Shape() == shape {
				want = append(want, table.String())
			}
		}
		m := regexp.MustCompile(`- \*\*` + name + `\*\* \(([^)]*)\)`).FindSubmatch(raw)
		if m == nil {
			t.Errorf("SPEC.md has no line of the %s tables", name)
			continue
		}
		got := strings.FieldsFunc(string(m[1]), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("SPEC.md lists %v as the %s tables, want %v", got, name, want)
		}
	}
}
