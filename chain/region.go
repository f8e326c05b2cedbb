package chain

import (
	"fmt"
	"slices"
	"strings"
)

// MaxRegion is the length of the longest region tag in bytes.
const MaxRegion = 24

// CheckRegion refuses what is no region tag: words of lower-case letters and
// digits, the wider region first, with a hyphen between them, such as "eu" or
// "eu-de-be". Nobody checks that a miner stands where its tag says.
func CheckRegion(tag string) error {
	if len(tag) > MaxRegion {
		return fmt.Errorf("region of %d bytes, want at most %d", len(tag), MaxRegion)
	}
	for word := range strings.SplitSeq(tag, "-") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return fmt.Errorf("region %q, want words of a-z and 0-9 with hyphens between them, like eu-de", tag)
		}
	}
	return nil
}

// MeetsRegions reports whether a claimed region lies in one of those that are
// wanted, "eu-de" in "eu" or in "eu-de"; if none is wanted any will do.
func MeetsRegions(claimed string, wanted []string) bool {
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool {
		rest, ok := strings.CutPrefix(claimed, w)
		return ok && (rest == "" || rest[0] == '-')
	})
}
