// Package archtest is the layering of the house as failing tests. It has four
// rules, each failure printing its reason:
//
//	A  the pure packages reach no network, process, log, test or database code;
//	B  they import no clock, randomness, file or lock directly, and unsafe stands in one package;
//	C  third-party packages are a checked-in list with reasons, and the heavy ones stay in their places;
//	D  their source starts no goroutine, computes no float and depends on no map's order.
//
// A range over a map whose order changes nothing says so in the line above:
//
//	//perdure:unordered REASON
package archtest
