package node

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestPage opens a node's address as a browser and as a program do.
func TestPage(t *testing.T) {
	home, c := newHome(t)
	n, stop := run(t, Options{Home: home, Config: c, Pace: Pace{Commit: time.Millisecond, Hasty: true}})
	awaitHeight(n, 2)
	for _, one := range []struct {
		path, accept, content string
		status                int
	}{
		{"/", "text/html", "text/html; charset=utf-8", http.StatusOK},
		{"/params", "*/*", "text/html; charset=utf-8", http.StatusOK},
		{"/nothing", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8", http.StatusNotFound},
		{"/nothing", "*/*", "application/problem+json", http.StatusNotFound},
		{"/v1/nothing", "text/html", "application/problem+json", http.StatusNotFound},
		{"/v1/status", "text/html", "application/json", http.StatusOK},
		{"/health/livez", "", "application/json", http.StatusOK},
		{"/metrics", "", "text/plain", http.StatusOK},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r, err := http.NewRequestWithContext(t.Context(), method, n.API()+one.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", one.accept)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || answer.StatusCode != one.status || !strings.HasPrefix(answer.Header.Get("Content-Type"), one.content) {
				t.Errorf("%s %s as %q: %d %s (%v), want %d %s\n%.500s", method, one.path, one.accept, answer.StatusCode, answer.Header.Get("Content-Type"), err, one.status, one.content, body)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
