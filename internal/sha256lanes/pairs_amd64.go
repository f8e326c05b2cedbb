package sha256lanes

import "slices"

// avx512Lanes is how many messages pairsAVX512 hashes in step.
const avx512Lanes = 16

// preferSHA says which kernel is the faster one of a processor that has both: where a 512-bit
// operation takes two turns, the SHA instructions are ahead (see BenchmarkPairs).
var preferSHA = hasSHA && (halves512 || !hasAVX512)

// pairs is Pairs by the fastest kernel that the processor can run.
func pairs(dst, src [][NodeSize]byte) {
	switch {
	case preferSHA:
		pairs4(dst, src)
	case hasAVX512:
		pairs16(dst, src)
	default:
		pairsPortable(dst, src)
	}
}

// machineKernels lists the kernels in machine code, the fastest first.
func machineKernels() []PairKernel {
	var kernels []PairKernel
	if hasAVX512 {
		kernels = append(kernels, PairKernel{"avx512", avx512Lanes, pairs16})
	}
	if hasSHA {
		kernels = append(kernels, PairKernel{"sha-ni", 4, pairs4})
	}
	if preferSHA {
		slices.Reverse(kernels)
	}
	return kernels
}

// pairs16 leaves what does not fill its lanes to another kernel.
func pairs16(dst, src [][NodeSize]byte) {
	groups := len(dst) / avx512Lanes
	if groups > 0 {
		pairsAVX512(&dst[0], &src[0], groups)
	}
	dst, src = dst[groups*avx512Lanes:], src[groups*avx512Lanes*2:]
	if hasSHA {
		pairs4(dst, src)
		return
	}
	pairsPortable(dst, src)
}

func pairs4(dst, src [][NodeSize]byte) {
	if len(dst) > 0 {
		pairsSHA(&dst[0], &src[0], len(dst))
	}
}
