package sha256lanes

import "github.com/klauspost/cpuid/v2"

// What the processor can do, and the operating system saves the registers of.
var (
	// hasSHA is for the SHA-256 instructions, and others on 128 bits in their two- and three-operand
	// forms.
	hasSHA = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4, cpuid.AVX)
	// hasAVX512 is for 512-bit registers of dwords and bytes, and the same instructions on shorter ones.
	hasAVX512 = cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512VL)
	// halves512 says that operations on 512 bits take two turns: AMD before its family 26 (Zen 5).
	halves512 = cpuid.CPU.IsVendor(cpuid.AMD) && cpuid.CPU.Family < 26
)
