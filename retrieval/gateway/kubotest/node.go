// Package kubotest runs an ordinary IPFS node (kubo v0.40.1) for tests: as the one
// that fetches, or as the one to compare with. Its program is no part of the
// project; PERDURE_KUBO names it, and tests that need it are skipped without.
package kubotest

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Env is the environment variable that names the program.
const Env = "PERDURE_KUBO"

// Node is an IPFS node in a directory of its own.
type Node struct {
	t       testing.TB
	program string
	repo    string
}

// Program returns the program, or skips the test.
func Program(t testing.TB) string {
	t.Helper()
	program := os.Getenv(Env)
	if program == "" {
		t.Skipf("%s names no IPFS node (kubo v0.40.1); make kubo does", Env)
	}
	return program
}

// New makes a node that talks to nobody by itself.
func New(t testing.TB, program string) *Node {
	t.Helper()
	n := &Node{t, program, filepath.Join(t.TempDir(), "ipfs")}
	n.Run("init", "--profile=test")
	for key, value := range map[string]string{
		"Bootstrap": `[]`, "Addresses.Gateway": `"/ip4/127.0.0.1/tcp/0"`, "Addresses.API": `"/ip4/127.0.0.1/tcp/0"`,
		"Addresses.Swarm": `["/ip4/127.0.0.1/tcp/0"]`, "Routing.Type": `"none"`, "AutoConf.Enabled": `false`, "AutoTLS.Enabled": `false`,
		"Discovery.MDNS.Enabled": `false`, "Swarm.DisableNatPortMap": `true`, "Gateway.NoFetch": `false`, "DNS.Resolvers": `{}`,
		"Gateway.PublicGateways":   `{"localhost": {"Paths": ["/ipfs"], "UseSubdomains": true, "NoDNSLink": true, "DeserializedResponses": true}}`,
		"Routing.DelegatedRouters": `[]`, "Ipns.DelegatedPublishers": `[]`,
	} {
		n.Config(key, value)
	}
	return n
}

// Config sets a key of the node's config to a JSON value.
func (n *Node) Config(key, value string) { n.Run("config", "--json", key, value) }

func (n *Node) command(args ...string) *exec.Cmd {
	cmd := exec.Command(n.program, args...)
	cmd.Env = append(os.Environ(), "IPFS_PATH="+n.repo, "IPFS_TELEMETRY=off")
	return cmd
}

// Run runs a command of the node, which must succeed, and returns what it prints.
func (n *Node) Run(args ...string) string {
	n.t.Helper()
	out, err := n.Try(args...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// Try runs a command of the node and returns what it prints.
func (n *Node) Try(args ...string) (string, error) {
	cmd := n.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("ipfs %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// Import has the node take in an archive, whose roots must be whole.
func (n *Node) Import(archive []byte) error {
	path := filepath.Join(n.t.TempDir(), "fetched.car")
	if err := os.WriteFile(path, archive, 0o644); err != nil {
		n.t.Fatal(err)
	}
	_, err := n.Try("dag", "import", "--offline", "--timeout=20s", path)
	return err
}

// Daemon starts the node, which fetches nothing from anybody unless it is told
// to with flags, and returns the URL of its gateway.
func (n *Node) Daemon(flags ...string) string {
	n.t.Helper()
	if flags == nil {
		flags = []string{"--offline"}
	}
	cmd := n.command(append([]string{"daemon"}, flags...)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	n.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
	})
	for range 600 {
		select {
		case err := <-ended:
			ended <- err // Cleanup wants it, too
			n.t.Fatalf("the node ends: %v: %s", err, log.String())
		case <-time.After(100 * time.Millisecond): // another process starts
		}
		raw, err := os.ReadFile(filepath.Join(n.repo, "gateway"))
		if err != nil {
			continue
		}
		base := strings.TrimSpace(string(raw))
		if resp, err := http.Get(base + "/ipfs/bafkqaaa"); err == nil {
			resp.Body.Close()
			return base
		}
	}
	n.t.Fatalf("the node does not start: %s", log.String())
	return ""
}
