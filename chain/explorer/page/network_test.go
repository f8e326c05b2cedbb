package page

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain/consensus"
)

// TestParameterUnits: what is said to be in blocks or bytes is a parameter, and a number.
func TestParameterUnits(t *testing.T) {
	kinds := map[string]reflect.Kind{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[consensus.Params]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		kinds[name] = f.Type.Kind()
	}
	for _, name := range slices.Concat(spans, sizes) {
		if kinds[name] != reflect.Uint64 {
			t.Errorf("%s is a parameter of kind %s", name, kinds[name])
		}
	}
}
