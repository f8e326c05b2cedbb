// Package proof reads the state tree and checks proofs about it, without any
// database: all it needs is a way to get a block by its CID.
//
// The tree of a height hangs under a [Root], whose CID is the app hash in the
// next block's header. Every block of it is dag-cbor under a CIDv1 with
// sha2-256. A table is held by its shape:
//
//	single  the record itself stands in the Root
//	bytes   HAMT: bit width 5, SHA-256 of the key, at most 3 entries a bucket
//	dense   AMT of bit width 3, by number
//	owned   AMT of bit width 3 by the first number, whose values are links to
//	        AMTs of bit width 3 by the second
//
// Values are the records' own canonical CBOR. An empty table has no block: its
// link is null. A proof of a record, or of its absence, is the blocks between
// the root and the record as a CARv1, in the order in which a reader meets
// them; [Verify] accepts exactly these and no others.
package proof
