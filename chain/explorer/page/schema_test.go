package page

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/perdure/perdure/chain/explorer"
)

var update = flag.Bool("update", false, "write what the tests compare with")

// TestSchema compares what the page's scripts know of records with the types
// of package chain.
func TestSchema(t *testing.T) {
	const path = "static/schema.js"
	want, err := explorer.Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s is not what package chain has: write it anew with -update", path)
	}
}
