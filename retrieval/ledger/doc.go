// Package ledger keeps what may not be lost about payments: the vouchers and
// ticks that this node promised as a payer and those that it holds as a payee.
// It is a Pebble database; both sides may share one.
//
// What is durable when:
//
//   - SavePromise returns after seed and voucher are on disk, before the
//     voucher is sent. Revealed ticks are noted without waiting: showing an old
//     tick again is harmless, and the payee shows the newest it has.
//   - SaveVoucher returns after the voucher is on disk, before the first chunk
//     leaves. NoteTick returns after the tick was written where it outlives the
//     process, if not the machine; a seller calls it for every tick. SyncNotes
//     and SaveTick return after it is on disk; a seller calls the one some
//     milliseconds later, the other at the end of a session.
//
// A voucher never takes the place of one that is worth more: the checks are
// made here once more, under the ledger's lock, whatever a caller believes.
package ledger
