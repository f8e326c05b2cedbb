// Package bench measures the sealing engine and retrieval beside references that do the same work, for
// `perdure bench`. Every figure is taken in one process, in short slices that alternate with the
// reference's, so that a machine that is noisy or throttled slows both; what is reported is the
// median of the rounds with the least and the greatest, and the ratio is the median of the rounds'
// ratios. Times are those of the processor, but for the steps of sealing, which use the disk.
//
// Retrieval is measured between two processes, beside the programs that people would use in its
// place, each for itself and all in turn; there times are those of the clock, and the processor
// time of both sides stands beside them.
//
// The explorer is measured over a big chain that package scale makes, between processes too: one
// serves, one asks or listens. Times are those of the clock, but for those of the index beside the
// execution of the same blocks.
package bench

import (
	"context"
	"runtime"

	"github.com/klauspost/cpuid/v2"
)

// Config says how long to measure.
type Config struct {
	Rounds int    // of each measurement; at least 1
	Dir    string // for files; must exist
	Size   uint64 // of the sector that is sealed, in bytes
	// Log is told what is being measured.
	Log func(format string, args ...any)
}

// Report is what one benchmark found.
type Report struct {
	Bench   string   `json:"bench"`
	Machine Machine  `json:"machine"`
	Rows    []Row    `json:"rows"`
	Notes   []string `json:"notes,omitempty"` // what was left out, and why
}

// Row is one measured figure.
type Row struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	Figure
	Reference string  `json:"reference,omitempty"` // what it is compared with
	Compared  *Figure `json:"compared,omitempty"`  // the reference's figure, in the same unit
	Ratio     *Figure `json:"ratio,omitempty"`     // how many times as fast as the reference
}

// Figure is the median of some rounds.
type Figure struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// Machine says where figures come from.
type Machine struct {
	CPU      string   `json:"cpu"`
	Cores    int      `json:"cores"`
	Features []string `json:"features"` // of those that the code makes use of
	Go       string   `json:"go"`
	OS       string   `json:"os"`
	Arch     string   `json:"arch"`
}

// ThisMachine describes the machine.
func ThisMachine() Machine {
	m := Machine{CPU: cpuid.CPU.BrandName, Cores: runtime.NumCPU(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	for _, f := range []cpuid.FeatureID{cpuid.SHA, cpuid.ADX, cpuid.AVX2, cpuid.AVX512F, cpuid.AVX512VL, cpuid.AVX512BW, cpuid.AVX512IFMA, cpuid.SHA2} {
		if cpuid.CPU.Supports(f) {
			m.Features = append(m.Features, f.String())
		}
	}
	return m
}

// Bench measures one part of the engine.
type Bench struct {
	Name  string
	Short string // what it measures, in a line
	Sized bool   // whether it reads Config.Size
	Run   func(ctx context.Context, cfg Config) ([]Row, error)
}

// All lists the benchmarks.
func All() []Bench {
	return []Bench{
		{Name: "sha256", Short: "the hashes of trees over data and of labels, by kernel, and the processor's limit", Run: SHA256},
		{Name: "commp", Short: "piece commitments", Run: CommP},
		{Name: "poseidon", Short: "the hashes of trees over sealed sectors", Run: Poseidon},
		{Name: "seal", Short: "every step of sealing", Sized: true, Run: Seal},
		{Name: "post", Short: "window proofs of a large sector", Run: PoSt},
	}
}
