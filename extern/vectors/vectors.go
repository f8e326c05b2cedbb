// Package vectors holds known answers of Filecoin's reference implementation of sealing and its
// proofs, and loads them for tests. ORIGIN.md says where each comes from.
//
// A file is a group of vectors on one subject. All 32-byte values are hex of the bytes as stored
// on disk (field elements little-endian, not in Montgomery form); names that end in _be are
// big-endian integers.
package vectors

import (
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

//go:embed *.json
var files embed.FS

// Vector is one known answer.
type Vector struct {
	// ID names the vector in its group.
	ID string `json:"id"`
	// Kind is "published" for a value that the reference implementation or a tool that
	// interoperates with it publishes, "derived" for one computed by an independent model.
	Kind string `json:"kind"`
	// Source says where the value was published, or how it was derived.
	Source string `json:"source"`
	// Note adds what a reader must know.
	Note string `json:"note"`
	// Inputs and Expected are the question and the answer; their form depends on the group.
	Inputs   json.RawMessage `json:"inputs"`
	Expected json.RawMessage `json:"expected"`
}

// Group returns the vectors of a group, which is a file's name without ".json".
func Group(name string) ([]Vector, error) {
	data, err := files.ReadFile(name + ".json")
	if err != nil {
		return nil, fmt.Errorf("load vectors %s: %w", name, err)
	}
	var group struct {
		Vectors []Vector `json:"vectors"`
	}
	if err := json.Unmarshal(data, &group); err != nil {
		return nil, fmt.Errorf("load vectors %s: %w", name, err)
	}
	if len(group.Vectors) == 0 {
		return nil, fmt.Errorf("load vectors %s: the group is empty", name)
	}
	return group.Vectors, nil
}

// Load is Group for tests: it ends the test on an error.
func Load(t testing.TB, group string) []Vector {
	t.Helper()
	all, err := Group(group)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Matching returns the vectors of a group whose ID begins with a prefix. A prefix that matches
// none ends the test.
func Matching(t testing.TB, group, prefix string) []Vector {
	t.Helper()
	var out []Vector
	for _, v := range Load(t, group) {
		if strings.HasPrefix(v.ID, prefix) {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no vector %s* in group %s", prefix, group)
	}
	return out
}

// Decode reads the inputs and the expected values into what the pointers point at; either may be
// nil. Fields that the targets do not name are ignored.
func (v Vector) Decode(t testing.TB, inputs, expected any) {
	t.Helper()
	for _, part := range []struct {
		name string
		data json.RawMessage
		into any
	}{{"inputs", v.Inputs, inputs}, {"expected", v.Expected, expected}} {
		if part.into == nil {
			continue
		}
		if err := json.Unmarshal(part.data, part.into); err != nil {
			t.Fatalf("vector %s: decode %s: %v", v.ID, part.name, err)
		}
	}
}

// Hex decodes a hex string of a vector.
func Hex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("vector value %q: %v", s, err)
	}
	return b
}

// Node decodes a 32-byte value of a vector.
func Node(t testing.TB, s string) [32]byte {
	t.Helper()
	b := Hex(t, s)
	if len(b) != 32 {
		t.Fatalf("vector value %q: %d bytes, want 32", s, len(b))
	}
	return [32]byte(b)
}
