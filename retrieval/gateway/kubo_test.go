package gateway

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/perdure/perdure/retrieval/gateway/kubotest"
)

// rewriteEnv has TestAnswers record what the node answers that PERDURE_KUBO names.
const rewriteEnv = "PERDURE_REWRITE"

// TestAnswers asks the gateway what the public suite of gateway tests asks, of
// the suite's fixtures, and expects the answers that an ordinary IPFS node gave
// (kubo v0.40.1): status, headers that matter, bodies. `zcat testdata/answers.txt.gz`
// shows them. With the node's program there it compares with the living node, too.
func TestAnswers(t *testing.T) {
	store := importedFixtures(t)
	h, err := New(Config{Source: store, Subdomains: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	ours := httptest.NewServer(h)
	defer ours.Close()
	asks := talk(t, store)
	if kubo := os.Getenv(kubotest.Env); kubo != "" {
		node := kubotest.New(t, kubo)
		node.Run("dag", "import", "--pin-roots=false", fixtures)
		gateway := node.Daemon()
		var lines []string
		for _, a := range asks {
			lines = append(lines, a.String()+" => "+put(t, gateway, a))
		}
		if os.Getenv(rewriteEnv) != "" {
			writeAnswers(t, lines)
		}
		answers := map[string]string{}
		for _, line := range lines {
			a, answer, _ := strings.Cut(line, " => ")
			answers[a] = answer
		}
		compare(t, "the node", ours.URL, asks, answers)
	}
	compare(t, "recorded", ours.URL, asks, readAnswers(t))
}

func compare(t *testing.T, who, base string, asks []ask, answers map[string]string) {
	t.Helper()
	if len(answers) != len(asks) {
		t.Errorf("%s: %d answers to %d requests", who, len(answers), len(asks))
	}
	for _, a := range asks {
		want, ok := answers[a.String()]
		if got := put(t, base, a); !ok || got != want {
			t.Errorf("%s\n   ours: %s\n   %s: %s", a, got, who, want)
		}
	}
}
