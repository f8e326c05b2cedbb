package bench

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

// shopEnv makes the test binary the process that sells.
const shopEnv = "PERDURE_BENCH_SHOP"

func TestMain(m *testing.M) {
	if os.Getenv(shopEnv) != "" {
		if err := RunShop(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestRetrieval runs the benchmark of retrieval on a small file without other programs: the file moves
// by every way, both sides' processor time is counted, and first bytes take the round trips that they
// must.
func TestRetrieval(t *testing.T) {
	t.Setenv(shopEnv, "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := Retrieval(t.Context(), RetrievalConfig{Shop: []string{self}, Shaped: 1 << 30,
		Config: Config{Rounds: 1, Dir: t.TempDir(), Size: 6 << 20, Log: t.Logf}})
	if err != nil {
		t.Fatal(err)
	}
	units := map[string]int{}
	for _, r := range rows {
		units[r.Unit]++
		if r.Median < 0 || r.Unit == "MB/s" && r.Median == 0 || r.Reference != "" && r.Ratio == nil {
			t.Errorf("%+v", r)
		}
		if r.Unit == "round trips" && (r.Median < 2 || strings.HasSuffix(r.Name, "connecting") && r.Median < 4) {
			t.Errorf("%s: %.1f", r.Name, r.Median)
		}
	}
	if units["MB/s"] != 6 || units["s/GiB"] != 12 || units["round trips"] != 4 {
		t.Errorf("rows by unit: %v", units)
	}
}
