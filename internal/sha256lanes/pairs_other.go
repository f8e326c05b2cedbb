//go:build !amd64

package sha256lanes

func pairs(dst, src [][NodeSize]byte) { pairsPortable(dst, src) }

func machineKernels() []PairKernel { return nil }
