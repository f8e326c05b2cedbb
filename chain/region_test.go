package chain

import (
	"strings"
	"testing"
)

func TestRegions(t *testing.T) {
	for _, tag := range []string{"eu", "eu-de", "us-ca-sf1", "0", strings.Repeat("a", MaxRegion)} {
		if err := CheckRegion(tag); err != nil {
			t.Errorf("%q: %v", tag, err)
		}
	}
	for _, tag := range []string{"", "-", "eu-", "-de", "eu--de", "EU", "eu_de", "eu de", "é", strings.Repeat("a", MaxRegion+1)} {
		if CheckRegion(tag) == nil {
			t.Errorf("%q is taken for a region", tag)
		}
	}
	for _, c := range []struct {
		claimed string
		wanted  []string
		meets   bool
	}{
		{"", nil, true}, {"eu", nil, true}, {"", []string{"eu"}, false}, {"eu", []string{"eu"}, true}, {"eu-de", []string{"eu"}, true},
		{"eu", []string{"eu-de"}, false}, {"eur", []string{"eu"}, false}, {"eu-de-be", []string{"eu-de"}, true},
		{"eu-den", []string{"eu-de"}, false}, {"us", []string{"eu", "us"}, true}, {"cn", []string{"eu", "us"}, false},
	} {
		if got := MeetsRegions(c.claimed, c.wanted); got != c.meets {
			t.Errorf("%q meets %q: %v", c.claimed, c.wanted, got)
		}
	}
}
