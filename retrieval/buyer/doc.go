// Package buyer fetches content from sellers that nobody needs to trust. Every
// block is checked against the CID that must come next before it is paid for or
// handed on; a seller that lies, stalls or is too slow is dropped and
// remembered, and another goes on from the same block.
//
// A Transfer gets files, ranges of them and blocks from several sellers at once,
// and writes them where they belong; FetchFile is one file by a Transfer of its
// own. Fetch gets parts of a payload in order from one seller at a time, FetchPiece
// a whole archive, for nothing under a deal or for pay.
//
// Money leaves only as ticks for chunks that were checked; what a seller that
// then breaks off has got too much is nothing, what it has sent for nothing at
// most the credit window.
package buyer
