package main

import (
	"io"
	"testing"
)

// TestTypedPassphrase types passphrases: those of a first key twice.
func TestTypedPassphrase(t *testing.T) {
	for name, c := range map[string]struct {
		typed []string
		first bool
		want  string // empty: refused
	}{
		"known wallet":    {[]string{"horse"}, false, "horse"},
		"first key":       {[]string{"horse", "horse"}, true, "horse"},
		"slip":            {[]string{"horse", "hrose"}, true, ""},
		"nothing":         {[]string{""}, false, ""},
		"end of input":    {nil, false, ""},
		"end in between":  {[]string{"horse"}, true, ""},
		"nothing at last": {[]string{"horse", ""}, true, ""},
	} {
		left := c.typed
		got, err := typedPassphrase(func(string) (string, error) {
			if len(left) == 0 {
				return "", io.EOF
			}
			text := left[0]
			left = left[1:]
			return text, nil
		}, c.first)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
		if len(left) != 0 {
			t.Errorf("%s: %q was not asked for", name, left)
		}
	}
}
