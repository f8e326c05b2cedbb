// Package segment puts several payloads into one piece and finds them again, in the
// data-segment layout that Filecoin's tools read (FRC-0058).
//
// A piece of padded size S holds segments and, at its end, their index. A segment
// is an archive (CARv1), fr32-padded like everything in a piece, and begins at a
// multiple of its own size, which is a power of two; zeros fill the rest. Because
// of that the piece commitment of a segment is a node of the piece's tree: that it
// is in the piece can be proven, and whoever holds the piece finds it by its index
// entry. SPEC.md has the bytes.
//
// The index has room for one segment in 128 KiB of the piece (and for four in the
// smallest). Payloads whose archives are small therefore share a segment: an
// archive with several roots, in which the blocks of one payload stand together,
// depth first, those of the first root first. That is an ordinary CAR as well.
//
// Pack plans and writes such a piece. Scan reads one, of whatever origin, and
// returns an index for every payload in it, each block of which was checked.
package segment
