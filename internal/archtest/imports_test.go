package archtest

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	pebble = "github.com/cockroachdb/pebble"
	comet  = "github.com/cometbft"
	libp2p = "github.com/libp2p"
)

// neverReached maps what a pure package must not reach to the reason (rule A).
var neverReached = []struct{ path, reason string }{
	{"net", "rules and formats are computed without a network"},
	{"net/http", "rules and formats are computed without a network"},
	{"os/exec", "no pure package starts a process"},
	{"os/signal", "no pure package listens to the operating system"},
	{"crypto/tls", "rules and formats are computed without a network"},
	{"log", "what went wrong is returned, not printed"},
	{"log/slog", "what went wrong is returned, not printed"},
	{"testing", "test code does not belong into a binary"},
	{pebble, "what a rule reads comes through View, never from a database"},
	{comet, "the rules do not know which engine orders the blocks"},
	{libp2p, "messages and prices need no sockets"},
}

// TestPureReach is rule A.
func TestPureReach(t *testing.T) {
	all := mustLoad(t)
	for _, from := range purePaths() {
		via := reach(all, from)
		for _, bad := range neverReached {
			for _, p := range slices.Sorted(maps.Keys(via)) {
				third := strings.Contains(bad.path, ".")
				if p == bad.path || third && strings.HasPrefix(p, bad.path) {
					t.Errorf("%s reaches %s: %s\n\t%s", strings.TrimPrefix(from, module+"/"), p, bad.reason, chainTo(via, p))
				}
			}
		}
	}
}

// neverImported maps what our pure packages must not import to the reason (rule B).
var neverImported = map[string]string{
	"os":            "no disk: files are read by machinery packages",
	"path/filepath": "no disk: files are read by machinery packages",
	"time":          "no clock: height is the only time the rules know",
	"math/rand":     "every node must compute the same",
	"math/rand/v2":  "every node must compute the same",
	"crypto/rand":   "every node must compute the same; randomness comes in as an argument",
	"syscall":       "no operating system",
	"sync":          "no goroutines, so nothing to lock",
}

// unsafePackage is the only one that may import unsafe.
const unsafePackage = "internal/sha256lanes"

// TestPureImports is rule B.
func TestPureImports(t *testing.T) {
	own := ownImports(t)
	for _, folder := range slices.Sorted(maps.Keys(own)) {
		for _, i := range own[folder] {
			if reason := neverImported[i]; reason != "" && slices.Contains(pure, folder) {
				t.Errorf("%s imports %s: %s", folder, i, reason)
			}
			if i == "unsafe" && folder != unsafePackage {
				t.Errorf("%s imports unsafe: only %s may", folder, unsafePackage)
			}
		}
	}
}

var update = flag.Bool("update", false, "rewrite testdata/thirdparty.txt, keeping its reasons")

// TestThirdParty is rule C: what the pure packages reach of other modules is
// testdata/thirdparty.txt, exactly. Its lines are "module: reason" and, below
// it, indented, the packages.
func TestThirdParty(t *testing.T) {
	all, err := loadReference()
	if err != nil {
		t.Fatal(err)
	}
	reached := map[string][]string{}
	for _, p := range all {
		if !p.Standard && p.Module != nil && p.Module.Path != module {
			reached[p.Module.Path] = append(reached[p.Module.Path], p.ImportPath)
		}
	}
	path := filepath.Join("testdata", "thirdparty.txt")
	allowed, reasons := readAllowed(t, path)
	if *update {
		writeAllowed(t, path, reached, reasons)
		return
	}
	for _, m := range slices.Sorted(maps.Keys(reached)) {
		slices.Sort(reached[m])
		for _, p := range reached[m] {
			if !slices.Contains(allowed[m], p) {
				t.Errorf("the pure packages reach %s, which is not in %s: name the module and why it must be trusted\n\t%s",
					p, path, anyChain(all, p))
			}
		}
	}
	for _, m := range slices.Sorted(maps.Keys(allowed)) {
		if len(reasons[m]) < 10 {
			t.Errorf("%s: module %s has no reason", path, m)
		}
		for _, p := range allowed[m] {
			if !slices.Contains(reached[m], p) {
				t.Errorf("%s lists %s, which is not reached any more: strike it", path, p)
			}
		}
	}
}

func anyChain(all map[string]*listed, to string) string {
	for _, from := range purePaths() {
		if via := reach(all, from); via[to] != "" {
			return chainTo(via, to)
		}
	}
	return to
}

func readAllowed(t *testing.T, path string) (packages map[string][]string, reasons map[string]string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	packages, reasons = map[string][]string{}, map[string]string{}
	current := ""
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		line := s.Text()
		switch {
		case strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "":
		case strings.HasPrefix(line, "\t"):
			packages[current] = append(packages[current], strings.TrimSpace(line))
		default:
			var reason string
			current, reason, _ = strings.Cut(line, ":")
			packages[current], reasons[current] = nil, strings.TrimSpace(reason)
		}
	}
	return packages, reasons
}

func writeAllowed(t *testing.T, path string, reached map[string][]string, reasons map[string]string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Third-party packages that the pure packages reach, by module, and why each is trusted.\n" +
		"# After a change: go test ./internal/archtest -run ThirdParty -update, then write the reasons.\n")
	for _, m := range slices.Sorted(maps.Keys(reached)) {
		slices.Sort(reached[m])
		fmt.Fprintf(&b, "%s: %s\n\t%s\n", m, reasons[m], strings.Join(reached[m], "\n\t"))
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// places says which of our packages, exactly, may name heavy modules (rule C).
var places = []struct {
	imports []string
	in      []string
	reason  string
}{
	{[]string{"github.com/filecoin-project/go-hamt-ipld", "github.com/filecoin-project/go-amt-ipld"},
		[]string{"chain/state", "chain/state/proof"}, "the state tree's form is chain/state's business alone"},
	{[]string{comet}, []string{"chain/app", "chain/node", "chain/rpc/light"},
		"the engine can be replaced only if few packages name it"},
	{[]string{libp2p + "/go-libp2p/p2p", libp2p + "/go-libp2p/core/host", libp2p + "/go-libp2p/core/network"},
		[]string{"retrieval/p2p", "miner/daemon", "client/daemon"}, "sockets belong to retrieval/p2p and the daemons"},
	{[]string{pebble}, []string{"chain/state", "chain/index", "miner/db", "client/files", "retrieval/ledger",
		"miner/minertest"}, "each database has one owner; minertest keeps one in memory for tests"},
}

// TestPlaces is the rest of rule C, for all of our packages.
func TestPlaces(t *testing.T) {
	own := ownImports(t)
	for _, folder := range slices.Sorted(maps.Keys(own)) {
		for _, i := range own[folder] {
			for _, p := range places {
				if within(i, p.imports...) && !slices.Contains(p.in, folder) {
					t.Errorf("%s imports %s, only %s may: %s", folder, i, strings.Join(p.in, ", "), p.reason)
				}
			}
			if i == libp2p+"/go-libp2p" && !slices.Contains([]string{"retrieval/p2p", "miner/daemon", "client/daemon"}, folder) {
				t.Errorf("%s makes a libp2p host: only retrieval/p2p and the daemons do", folder)
			}
		}
	}
}
