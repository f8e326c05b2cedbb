package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/internal/bench/scale"
)

// TestLoad has callers ask a server, through the form in which another process
// is told to: every answer is counted once, those refused as such.
func TestLoad(t *testing.T) {
	var good, bad atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, _ *http.Request) { good.Add(1); fmt.Fprint(w, strings.Repeat("x", 5000)) })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) { bad.Add(1); http.Error(w, "no", http.StatusTeapot) })
	s := httptest.NewServer(mux)
	defer s.Close()
	in, err := json.Marshal(childConfig{Load: &Load{URL: s.URL, Callers: 3, Time: 50 * time.Millisecond,
		Routes: []LoadRoute{{"good", []string{"/good"}}, {"bad", []string{"/bad?a=1", "/bad?a=2"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := RunExplorerChild(t.Context(), bytes.NewReader(append(in, '\n')), &out); err != nil {
		t.Fatal(err)
	}
	var got []Loaded
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got) != 2 {
		t.Fatalf("%d routes, %v", len(got), err)
	}
	for i, want := range []struct {
		name    string
		answers int64
		refused bool
	}{{"good", good.Load(), false}, {"bad", bad.Load(), true}} {
		l := got[i]
		if l.Name != want.name || int64(l.Answers) != want.answers || (l.Refused == l.Answers) != want.refused || l.Median > l.P99 || l.P99 > l.Most {
			t.Errorf("%+v; want %d answers, refused %t", l, want.answers, want.refused)
		}
	}
	if want := 5000 * got[0].Answers; got[0].Bytes != want {
		t.Errorf("%d bytes, want %d", got[0].Bytes, want)
	}
	if err := RunExplorerChild(t.Context(), strings.NewReader("{}\n"), &out); err == nil {
		t.Error("a process that is told nothing did something")
	}
}

// TestRoutes asks the process that serves a small chain for every list and detail
// of the API: all answer, in every form, and what is left out is known to be neither.
func TestRoutes(t *testing.T) {
	open := served(t)
	routes, notes, err := answering(t.Context(), open.URL, routesOf(open.Names))
	if err != nil {
		t.Fatal(err)
	}
	for _, note := range notes {
		t.Error(note)
	}
	measured := map[string]bool{}
	for _, r := range routes {
		pattern, _, _ := strings.Cut(r.Name, "?")
		measured[pattern] = true
		for _, path := range r.Paths {
			if strings.Contains(path, "{") {
				t.Errorf("%s is asked as %s", r.Name, path)
			}
		}
	}
	paths := explorer.Paths()
	for _, pattern := range paths {
		if measured[pattern] == (unmeasured[pattern] != "") {
			t.Errorf("%s is measured: %t; left out as %q", pattern, measured[pattern], unmeasured[pattern])
		}
	}
	for _, table := range []map[string]string{unmeasured, required} {
		for pattern := range table {
			if !slices.Contains(paths, pattern) {
				t.Errorf("%s is no route of the API", pattern)
			}
		}
	}
	for pattern := range asked {
		if !measured[pattern] {
			t.Errorf("%s is asked in other forms, but not measured", pattern)
		}
	}
}

// served runs the process that serves a small chain on which blocks have come.
func served(t *testing.T) *serverOpen {
	t.Helper()
	config, err := json.Marshal(childConfig{Server: &serverConfig{t.TempDir(), scale.Of(1000), 20}})
	if err != nil {
		t.Fatal(err)
	}
	in, stop := io.Pipe()
	answer, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := RunExplorerChild(t.Context(), io.MultiReader(strings.NewReader(string(config)+"\n"), in), out)
		ended <- errors.Join(err, out.CloseWithError(err))
	}()
	t.Cleanup(func() {
		stop.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	open := new(serverOpen)
	if err := json.NewDecoder(answer).Decode(open); err != nil {
		t.Fatal(err)
	}
	return open
}

// TestFill puts names into patterns.
func TestFill(t *testing.T) {
	names := scale.Samples{"deal": {"7"}, "miner": {"t01000"}, "sector": {"t01001/5"}, "address": {"t1a"}, "height": {"3"}, "block": {"4"},
		"record": {"deal/00"}, "table": {"global"}, "validator": {"ab"}}
	for pattern, want := range map[string]string{"/v1/deals/{deal}": "/v1/deals/7", "/v1/sectors/{miner}/{number}/events": "/v1/sectors/t01001/5/events",
		"/v1/blocks/{height}/votes": "/v1/blocks/4/votes", "/v1/deals?client={address}&miner={miner}": "/v1/deals?client=t1a&miner=t01000", "/v1/deals": "/v1/deals",
		"/v1/state/{table}/{key}": "/v1/state/deal/00", "/v1/state/{table}/": "/v1/state/global/", "/v1/validators/{address}": "/v1/validators/ab",
		"/v1/orders/{order}": "/v1/orders/{order}"} {
		if have := fill(pattern, names, rand.New(rand.NewPCG(1, 2))); have != want {
			t.Errorf("%s is asked as %q, want %q", pattern, have, want)
		}
	}
}

// TestLateness judges what listeners heard: heights at the ends do not count,
// and frames that are missing or came twice are errors.
func TestLateness(t *testing.T) {
	at := stamps{}
	var all []heard
	for h := range 6 {
		at[chain.Height(h)] = int64(h) * 1e9
		all = append(all, heard{Height: chain.Height(h), Listeners: 2, Least: 3, Most: 3, Last: int64(h)*1e9 + int64(h)*1e6})
	}
	late, err := lateness(all, at, 2)
	if err != nil || len(late) != 4 || late[0] != 1 || late[3] != 4 {
		t.Errorf("late by %v, %v; want 1 to 4 ms", late, err)
	}
	all[2].Least, all[3].Doubles = 2, 1
	if _, err = lateness(all, at, 2); err == nil || strings.Count(err.Error(), "height") != 2 {
		t.Errorf("a missing and a double frame: %v", err)
	}
	if _, err := lateness(append(all[:2:2], all[3:]...), at, 2); err == nil || !strings.Contains(err.Error(), "height 2") {
		t.Errorf("a missing height: %v", err)
	}
	if _, err := lateness(all[:2], at, 2); err == nil {
		t.Error("two blocks are enough")
	}
}

// TestPart refuses a part that there is not, before anything is made.
func TestPart(t *testing.T) {
	if _, _, err := Explorer(t.Context(), ExplorerConfig{Parts: []string{"speed"}}); err == nil || !strings.Contains(err.Error(), "follow, rebuild") {
		t.Errorf("an unknown part: %v", err)
	}
	e := &explorerBench{ExplorerConfig: ExplorerConfig{Config: Config{Dir: t.TempDir(), Rounds: 1, Log: func(string, ...any) {}}, Blocks: 3, Messages: 10}}
	rows, err := e.rebuilding(t.Context())
	if err != nil || len(rows) != 1 || rows[0].Ratio == nil || rows[0].Median <= 0 {
		t.Errorf("rebuilding: %+v, %v", rows, err)
	}
	e.Process = []string{"false"}
	if _, err := e.exports(t.Context()); err == nil {
		t.Error("a process that ends at once serves")
	}
}
