package gateway

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kuboEnv names the program of an ordinary IPFS node (kubo). With it TestAnswers
// compares with the living node, too; with rewriteEnv it records what the node
// answers.
const (
	kuboEnv    = "PERDURE_KUBO"
	rewriteEnv = "PERDURE_REWRITE"
)

// TestAnswers asks the gateway what the public suite of gateway tests asks, of
// the suite's fixtures, and expects the answers that an ordinary IPFS node gave
// (kubo v0.40.1): status, headers that matter, bodies. `zcat testdata/answers.txt.gz`
// shows them.
func TestAnswers(t *testing.T) {
	store := importedFixtures(t)
	h, err := New(Config{Source: store, Subdomains: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	ours := httptest.NewServer(h)
	defer ours.Close()
	asks := talk(t, store)
	if kubo := os.Getenv(kuboEnv); kubo != "" {
		node := startKubo(t, kubo)
		node.run("dag", "import", "--pin-roots=false", fixtures)
		gateway := node.daemon()
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

// kubo is an IPFS node in a directory of its own.
type kubo struct {
	t       testing.TB
	program string
	repo    string
}

// startKubo makes a node that talks to nobody by itself.
func startKubo(t testing.TB, program string) *kubo {
	t.Helper()
	k := &kubo{t, program, filepath.Join(t.TempDir(), "ipfs")}
	k.run("init", "--profile=test")
	for key, value := range map[string]string{
		"Bootstrap": `[]`, "Addresses.Gateway": `"/ip4/127.0.0.1/tcp/0"`, "Addresses.API": `"/ip4/127.0.0.1/tcp/0"`,
		"Addresses.Swarm": `["/ip4/127.0.0.1/tcp/0"]`, "Routing.Type": `"none"`, "AutoConf.Enabled": `false`, "AutoTLS.Enabled": `false`,
		"Discovery.MDNS.Enabled": `false`, "Swarm.DisableNatPortMap": `true`, "Gateway.NoFetch": `false`, "DNS.Resolvers": `{}`,
		"Gateway.PublicGateways":   `{"localhost": {"Paths": ["/ipfs"], "UseSubdomains": true, "NoDNSLink": true, "DeserializedResponses": true}}`,
		"Routing.DelegatedRouters": `[]`, "Ipns.DelegatedPublishers": `[]`,
	} {
		k.run("config", "--json", key, value)
	}
	return k
}

func (k *kubo) command(args ...string) *exec.Cmd {
	cmd := exec.Command(k.program, args...)
	cmd.Env = append(os.Environ(), "IPFS_PATH="+k.repo, "IPFS_TELEMETRY=off")
	return cmd
}

// run runs a command of the node and returns what it prints.
func (k *kubo) run(args ...string) string {
	k.t.Helper()
	out, err := k.try(args...)
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

func (k *kubo) try(args ...string) (string, error) {
	cmd := k.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("ipfs %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// daemon starts the node, which fetches nothing from anybody unless it is told
// to with flags, and returns the URL of its gateway.
func (k *kubo) daemon(flags ...string) string {
	k.t.Helper()
	if flags == nil {
		flags = []string{"--offline"}
	}
	cmd := k.command(append([]string{"daemon"}, flags...)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	for range 600 {
		time.Sleep(100 * time.Millisecond) // another process starts
		raw, err := os.ReadFile(filepath.Join(k.repo, "gateway"))
		if err != nil {
			continue
		}
		base := strings.TrimSpace(string(raw))
		if resp, err := http.Get(base + "/ipfs/bafkqaaa"); err == nil {
			resp.Body.Close()
			return base
		}
	}
	k.t.Fatalf("the node does not start: %s", log.String())
	return ""
}
