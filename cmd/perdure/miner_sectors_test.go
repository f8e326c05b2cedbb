package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

const (
	chainSectors = `{"miner":"t01000","items":[
		{"number":1,"state":"active","deadline":2,"partition":0,"expiration":900},
		{"number":3,"state":"lost"}],"height":70}`
	ownSectors = `{"items":[
		{"number":1,"state":"active"},
		{"number":2,"state":"packed","step":"labels","done":2500,"total":10000,"percent":25,"rate":1000,"eta":"7.5s"},
		{"number":3,"state":"ended"},
		{"number":4,"state":"packed","waiting":"2 sectors are being sealed, sealing.parallel is 2"},
		{"number":5,"state":"packed","problem":"seal sector 5: tree-d: no space left on device","attempts":3}]}`
)

// minerHome is the home of a miner that runs, as far as the command looks.
func minerHome(t *testing.T) (home string) {
	t.Helper()
	serve := func(path, body string) string {
		mux := http.NewServeMux()
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		return server.URL
	}
	node := serve("/v1/miners/t01000/sectors", chainSectors)
	own := serve("/v1/sectors", ownSectors)
	home = t.TempDir()
	for name, text := range map[string]string{
		"config.toml": "miner = \"t01000\"\nnode = \"" + node + "\"\n",
		"miner.json":  `{"miner":"t01000","api":"` + own + `"}`,
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

func runCommand(t *testing.T, args ...string) string {
	t.Helper()
	root := newRoot()
	var out, problems bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&problems)
	if code := execute(context.Background(), root, args); code != 0 {
		t.Fatalf("perdure %q: exit code %d: %s", args, code, &problems)
	}
	return out.String()
}

// TestMinerSectors joins what the chain has with what the running miner says.
func TestMinerSectors(t *testing.T) {
	home := minerHome(t)
	table := runCommand(t, "miner", "sectors", "--home", home)
	for _, line := range []string{
		`(?m)^1 +active +- +- +- +- +- +900 +2 +0 +-$`,
		`(?m)^2 +packed +labels +25 +1000 +7.5s `,
		`(?m)^3 +lost `,
		`(?m)^4 +packed .*sealing.parallel is 2$`,
		`(?m)^5 +packed .*no space left on device$`,
	} {
		if !regexp.MustCompile(line).MatchString(table) {
			t.Errorf("no line %s in\n%s", line, table)
		}
	}
	var answer struct {
		Height int
		Items  []struct {
			Number                        int
			State, Step, Waiting, Problem string
			Percent                       float64
		}
	}
	if err := json.Unmarshal([]byte(runCommand(t, "miner", "sectors", "--home", home, "--json")), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Height != 70 || len(answer.Items) != 5 || answer.Items[1].Percent != 25 || answer.Items[3].Waiting == "" || answer.Items[4].Problem == "" {
		t.Errorf("answer is %+v", answer)
	}
	// Another miner, and one that does not run, is what the chain has.
	for _, args := range [][]string{{"t01000"}, nil} {
		if args == nil {
			if err := os.Remove(filepath.Join(home, "miner.json")); err != nil {
				t.Fatal(err)
			}
		}
		table := runCommand(t, append([]string{"miner", "sectors", "--home", home, "--node", nodeOf(t, home)}, args...)...)
		if regexp.MustCompile(`(?m)^2 `).MatchString(table) || !regexp.MustCompile(`(?m)^3 +lost `).MatchString(table) {
			t.Errorf("arguments %q:\n%s", args, table)
		}
	}
}

func nodeOf(t *testing.T, home string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(home, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(regexp.MustCompile(`node = "(.*)"`).FindSubmatch(raw)[1])
}
