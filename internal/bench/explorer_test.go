package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/internal/bench/scale"
)

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

// frames are those that TestListeners has sent: of the stream itself, of a block
// with two messages, one of them long, and of one whose frame comes twice.
var frames = []string{
	`{"cursor":"c0","topic":"subscribed","type":"subscribed","tip":6,"data":{"topics":["block","message"]}}`,
	`{"cursor":"c1","topic":"block","type":"block","height":7,"time":"t","data":{"height":99}}`,
	`{"cursor":"c2","topic":"message","type":"message","height":7,"time":"t","data":{"text":"` + strings.Repeat("x", 100_000) + `"}}`,
	`{"cursor":"c3","topic":"message","type":"message","height":7,"time":"t","data":{}}`,
	`{"cursor":"c4","topic":"block","type":"block","height":8,"time":"t","data":{}}`,
	`{"cursor":"c4","topic":"block","type":"block","height":8,"time":"t","data":{}}`,
}

// TestListeners has listeners of each kind hear the same frames, once from a
// stream that ends and once until their time is over.
func TestListeners(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/events/stream", func(w http.ResponseWriter, r *http.Request) {
		for _, f := range frames {
			fmt.Fprintf(w, "id: x\ndata: %s\n\n", f)
		}
	})
	mux.HandleFunc("/v1/live", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		for _, f := range frames {
			if c.Write(r.Context(), websocket.MessageText, []byte(f)) != nil {
				return // a listener goes when another was cut off
			}
		}
		c.Close(websocket.StatusNormalClosure, "")
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	for _, of := range streams {
		all := []*listener{newListener(), newListener()}
		for _, l := range all {
			if err := l.listen(of.socket)(t.Context(), s.URL+of.path); err == nil {
				t.Errorf("%s: a listener does not say that its stream has ended", of.name)
			}
		}
		got := sum(all)
		for i, want := range []heard{{7, 2, 3, 3, 0, 0}, {8, 2, 2, 2, 2, 0}} {
			if len(got) != 2 || got[i].Last == 0 {
				t.Fatalf("%s: heard %+v", of.name, got)
			}
			got[i].Last = 0
			if got[i] != want {
				t.Errorf("%s: heard %+v, want %+v", of.name, got[i], want)
			}
		}
		c := &listenConfig{URL: s.URL + of.path, Socket: of.socket, Listeners: 3, Time: time.Minute}
		if _, err := runListeners(t.Context(), c); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("%s: listeners that are cut off: %v", of.name, err)
		}
	}
}

// TestLateness judges what listeners heard: heights at the ends do not count,
// and frames that are missing or came twice are errors.
func TestLateness(t *testing.T) {
	fresh := func() (all []heard, at stamps) {
		at = stamps{}
		for h := range 6 {
			at[chain.Height(h)] = stamp{int64(h) * 1e9, 3}
			all = append(all, heard{Height: chain.Height(h), Listeners: 2, Least: 3, Most: 3, Last: int64(h)*1e9 + int64(h)*1e6})
		}
		return all, at
	}
	all, at := fresh()
	late, err := lateness(all, at, 2)
	if err != nil || len(late) != 4 || late[0] != 1 || late[3] != 4 {
		t.Errorf("late by %v, %v; want 1 to 4 ms", late, err)
	}
	for name, of := range map[string]struct {
		spoil func(all []heard, at stamps) []heard
		want  string
	}{
		"one listener missed a frame": {func(all []heard, _ stamps) []heard { all[2].Least = 2; return all }, "height 2 of 3 frames"},
		"all missed a frame":          {func(all []heard, at stamps) []heard { at[2] = stamp{at[2].At, 4}; return all }, "height 2 of 4 frames"},
		"a frame came twice":          {func(all []heard, _ stamps) []heard { all[3].Doubles = 1; return all }, "1 of them twice"},
		"all missed a height":         {func(all []heard, _ stamps) []heard { return slices.Delete(all, 2, 3) }, "height 2"},
		"one missed a height":         {func(all []heard, _ stamps) []heard { all[2].Listeners = 1; return all }, "height 2"},
		"nothing is known of times":   {func(all []heard, at stamps) []heard { clear(at); return all }, "not known when"},
		"two blocks":                  {func(all []heard, _ stamps) []heard { return all[:2] }, "2 blocks only"},
	} {
		all, at := fresh()
		if _, err := lateness(of.spoil(all, at), at, 2); err == nil || !strings.Contains(err.Error(), of.want) {
			t.Errorf("%s: %v, want %q", name, err, of.want)
		}
	}
	at[2] = stamp{0, 3}
	if late, err := lateness(all, at, 2); err != nil || len(late) != 3 {
		t.Errorf("a block that was committed at no known time: late by %v, %v", late, err)
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

// TestChild asks the system what a process uses: this one, which has used some.
func TestChild(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it is read in /proc")
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	p := &child{cmd: &exec.Cmd{Process: self}}
	for until := p.processor() + 20*time.Millisecond; p.processor() < until; {
	}
	if said, own := p.processor(), processorTime(); said < 20*time.Millisecond || said > own+20*time.Millisecond {
		t.Errorf("the process has used %s, the system says %s", own, said)
	}
	if p.memory() < 1<<20 {
		t.Errorf("the process has had %d bytes", p.memory())
	}
}
