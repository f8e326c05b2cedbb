package node

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestOffline asks the home of a stopped node for all of its blocks, and then
// starts the node again.
func TestOffline(t *testing.T) {
	home, c := newHome(t)
	o := Options{Home: home, Config: c, Pace: Pace{Commit: time.Millisecond, Hasty: true}}
	n, stop := run(t, o)
	awaitIndex(t, n, 4)
	if _, err := OpenOffline(home); err == nil {
		t.Error("the home of a node that runs was opened")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	off, err := OpenOffline(home)
	if err != nil {
		t.Fatal(err)
	}
	tip := off.store.View().Height()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, off.URL+"/v1/export/blocks", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", answer.Status, err)
	}
	if lines := strings.Count(string(body), "\n"); lines < 4 || lines > int(tip)+1 {
		t.Errorf("%d blocks of a chain of %d", lines, tip)
	}
	if err := answer.Body.Close(); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := off.Close(); err != nil {
		t.Fatal(err)
	}
	reach(t, o, tip+2)
}
