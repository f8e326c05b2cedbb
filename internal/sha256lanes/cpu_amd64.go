package sha256lanes

import "github.com/klauspost/cpuid/v2"

// What the processor can do, and the operating system saves the registers of.
var (
	// hasSHA is for the SHA-256 instructions, and the shuffles and blends that go with them.
	hasSHA = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4)
	// hasAVX512 is for 512-bit registers of dwords and bytes, and the same instructions on shorter ones.
	hasAVX512 = cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512VL)
)
