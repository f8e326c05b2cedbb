// Package retrieval is the protocol by which content moves on Perdure, and is
// paid for: chunk by chunk, each with one link of a hash chain, so that neither
// side ever risks more than a few chunks.
//
// A buyer opens a stream, asks for a piece and gets an offer. It pays a voucher
// in (a payer's signed promise on a payment channel), says which blocks it
// wants, and gets them in chunks; it checks each chunk and reveals the tick
// that pays for it. The seller sends ahead by at most the credit window. At
// price zero the same protocol carries a piece from a client to the miner of a
// deal: the deal is the authority, and nobody pays.
//
// This package holds what both sides must agree on: the messages and their
// bytes, the limits on everything that a stranger may send, what a chunk is,
// how much credit a session has, which vouchers meet an offer, and the errors
// that cross the wire. It has no sockets, clock or disk: retrieval/seller and
// retrieval/buyer drive it. SPEC.md beside this file has the exact bytes.
package retrieval

// Version is the version of the messages that this code speaks.
const Version = 2

// Protocol is the libp2p protocol ID of the streams.
const Protocol = "/perdure/retrieve/2.0.0"
