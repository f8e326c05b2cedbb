// Package payment is the arithmetic of payment channels: what a voucher and
// the newest tick of its hash chain are worth, what is left of a channel for a
// new voucher, and what a redemption changes. Pure; the rules of the chain and
// both sides of a retrieval use the same functions, so that what a seller
// accepts is what the chain pays.
//
// A payer signs one voucher and then pays each chunk by revealing the next
// link of a hash chain, the tick: 32 bytes and one hash.
//
//	tick k = x_k with SHA-256(x_k) = x_(k-1), x_0 = the voucher's Anchor
//	worth of a claim = Amount + k x TickPrice
//
// Amounts are cumulative over a lane's vouchers: a new voucher starts from
// what the one before was worth.
package payment
