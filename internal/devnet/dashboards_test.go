package devnet

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner/daemon"
)

// dashboard is what the test reads of a Grafana dashboard.
type dashboard struct {
	Title  string
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
	}
}

// metricName is a metric of the program in an expression.
var metricName = regexp.MustCompile(`perdure_[a-z0-9_]+`)

// exposed are the names of the samples at a /metrics.
func exposed(t *testing.T, api string) map[string]bool {
	t.Helper()
	resp, err := http.Get(api + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s/metrics: %s %v", api, resp.Status, err)
	}
	names := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if name := metricName.FindString(line); name != "" && strings.HasPrefix(line, name) {
			names[name] = true
		}
	}
	return names
}

// TestDashboards brings a network so far that it has something of everything, and
// finds each metric that the dashboards of docs/grafana name at its node or its
// miner.
func TestDashboards(t *testing.T) {
	s := setStage(t, 1)
	p := s.newPatron()
	stop := p.serve()
	defer stop()
	_, ids := p.put(some(600, 1), 1)
	s.until("active", func() bool { return s.deal(ids[0]).State == chain.DealActive })
	node := s.chain.Base()
	miner, err := daemon.ReadInfo(s.Miners[0].Home)
	if err != nil {
		t.Fatal(err)
	}
	at := s.Height()
	s.until("indexed", func() bool {
		var status struct{ Index struct{ Height chain.Height } }
		return get(node+"/v1/status", &status) && status.Index.Height >= at
	})
	for file, api := range map[string]string{"node": node, "market": node, "miner": miner.API} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "grafana", file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		have, found := exposed(t, api), 0
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				names := metricName.FindAllString(target.Expr, -1)
				if len(names) == 0 {
					t.Errorf("%s, %s: %q names no metric", file, panel.Title, target.Expr)
				}
				for _, name := range names {
					found++
					if !have[name] {
						t.Errorf("%s, %s: there is no metric %s", file, panel.Title, name)
					}
				}
			}
		}
		if found < 10 {
			t.Errorf("%s names %d metrics", file, found)
		}
	}
}
