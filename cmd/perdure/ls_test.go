package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/view"
)

// TestLsTable lists a file, pieces that several files share, and one all of whose files
// this home has forgotten.
func TestLsTable(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC)
	held := func(n int) (out []view.Held) {
		for i := range n {
			out = append(out, view.Held{RootCID: fmt.Sprint("bafy", i), Name: fmt.Sprint("f", i)})
		}
		return out
	}
	nameless := held(2)
	nameless[1].Name = ""
	var text strings.Builder
	err := writeTable(&text, []view.Object{
		{RootCID: "one", State: "open", Kind: "file", Name: "a.txt", Size: 10, Stored: at, Wanted: 2, Active: 1, Next: "waits for miners"},
		{RootCID: "two", State: "active", Kind: files.KindBatch, Stored: at, Holds: held(3)},
		{RootCID: "ten", State: "active", Kind: files.KindBatch, Stored: at, Holds: held(12)},
		{RootCID: "key", State: "active", Kind: files.KindBatch, Stored: at, Holds: nameless},
		{RootCID: "old", State: "active", Kind: files.KindBatch, Stored: at},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `ROOT  STATE   COPIES  SIZE  STORED            NAME                                    NEXT
one   open    1/2     10 B  2030-01-02 03:04  a.txt                                   waits for miners
two   active  0/0     0 B   2030-01-02 03:04  3 in one piece: f0, f1, f2
ten   active  0/0     0 B   2030-01-02 03:04  12 in one piece: f0, f1, f2 and 9 more
key   active  0/0     0 B   2030-01-02 03:04  2 in one piece: f0, bafy1
old   active  0/0     0 B   2030-01-02 03:04  several in one piece
`
	if got := regexp.MustCompile(` +\n`).ReplaceAllString(text.String(), "\n"); got != want {
		t.Errorf("the list is\n%swant\n%s", got, want)
	}
}
