package vectors

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGroupsAreComplete reads every file and checks that each vector can be told apart and has
// a question, an answer and an origin.
func TestGroupsAreComplete(t *testing.T) {
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	groups := 0
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".json")
		if name == "meta" {
			continue
		}
		groups++
		seen := map[string]bool{}
		for _, v := range Load(t, name) {
			if v.ID == "" || seen[v.ID] {
				t.Errorf("%s: ID %q is empty or twice there", name, v.ID)
			}
			seen[v.ID] = true
			if v.Kind != "published" && v.Kind != "derived" {
				t.Errorf("%s/%s: kind %q", name, v.ID, v.Kind)
			}
			if v.Source == "" || !json.Valid(v.Inputs) || !json.Valid(v.Expected) {
				t.Errorf("%s/%s: source, inputs or expected missing", name, v.ID)
			}
		}
	}
	if groups < 20 {
		t.Errorf("%d groups, want at least 20", groups)
	}
}

// TestCopyEqualsSource compares the files with the folder that they were copied from, where it
// stands beside the repository.
func TestCopyEqualsSource(t *testing.T) {
	source := filepath.Join("..", "..", "..", "shared", "vectors")
	theirs, err := os.ReadDir(source)
	if os.IsNotExist(err) {
		t.Logf("no %s to compare with", source)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range theirs {
		want, err := os.ReadFile(filepath.Join(source, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := files.ReadFile(e.Name())
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from its source: %v", e.Name(), err)
		}
	}
}
