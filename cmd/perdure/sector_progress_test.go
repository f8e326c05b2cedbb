package main

import (
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/porep/seal"
)

// TestSealProgress reports two sectors that are labelled together, then one of them alone.
func TestSealProgress(t *testing.T) {
	var out strings.Builder
	p := newSealProgress(&out)
	now := time.Unix(1000, 0)
	p.now = func() time.Time { return now }
	const mib = 1 << 15 // nodes
	p.of(1)(seal.StepLabels, 8*mib, 16*mib)
	p.of(2)(seal.StepLabels, 0, 16*mib)
	now = now.Add(8 * time.Second)
	p.of(1)(seal.StepLabels, 16*mib, 16*mib)
	now = now.Add(8 * time.Second)
	p.of(2)(seal.StepLabels, 16*mib, 16*mib)
	p.of(1)(seal.StepTreeC, 1, 100)
	p.of(2)(seal.StepTreeC, 1, 100)
	want := `sealing: labels of sector 1  50.0 %
sealing: labels of 2 sectors  50.0 %  1.0 MiB/s  16s left
sealing: labels of 2 sectors  100.0 %  1.5 MiB/s  took 16s
sealing: tree-c of sector 1  1.0 %
sealing: tree-c of sector 2  1.0 %
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
