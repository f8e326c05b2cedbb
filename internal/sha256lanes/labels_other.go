//go:build !amd64

package sha256lanes

// LabelKernels returns the ways to compute labels on this processor.
func LabelKernels() []LabelKernel { return []LabelKernel{portableKernel} }

func labels(run *Run, lanes []Lane) { portableLabels(run, lanes) }

// Rounds measures an instruction of other processors, and reports so.
func Rounds(chains, blocks int) bool { return false }
