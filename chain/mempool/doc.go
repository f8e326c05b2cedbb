// Package mempool orders the messages that wait for a block. It is pure: the
// application calls it under its own lock and tells it of blocks and accounts.
//
// Messages wait in two lanes. Window proofs are ordered by tip, then arrival;
// ordinary messages by what they tip per byte and unit, each sender's in the
// order of its nonces. A message replaces another of the same sender and nonce
// (or of the same partition) if it pays a tenth more.
//
// Of a sender's messages those are ready that a block could hold now: from the
// account's next nonce on without a gap, each within its MaxFee at the present
// base fee, all of them together within the balance. The others are blocked.
// Nobody holds room for nothing: a message is taken only if the balance pays for
// it and for all of the sender's before it; when the pool is full, blocked
// messages go before ready ones, whatever they offer; and what stays blocked for
// Limits.Patience blocks goes by itself.
package mempool

import (
	"container/list"
	"errors"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Limits bound what waits.
type Limits struct {
	Bytes     uint64 // of all messages
	Count     uint64 // of all messages
	PerSender uint64 // messages of one sender, and how far a nonce may lead
	// Again is the blocks after which a waiting proof is gossiped once more.
	Again uint64
	// Patience is the blocks after which a message that stayed blocked goes.
	Patience uint64
}

// DefaultLimits are what a node uses.
func DefaultLimits() Limits {
	return Limits{Bytes: 64 << 20, Count: 20_000, PerSender: 512, Again: 5, Patience: 100}
}

// Reasons for which Add refuses.
var (
	ErrKnown       = errors.New("message is waiting already")
	ErrUnderpriced = errors.New("a message of this nonce or partition waits: to replace it, pay a tenth more")
	ErrFull        = errors.New("mempool is full of messages that pay more")
	ErrSender      = errors.New("too many messages of this sender wait")
	ErrGap         = errors.New("nonce is too far ahead")
	ErrUnfunded    = errors.New("the balance does not pay for this message and those of the sender that wait before it")
)

// Account is what a sender's messages depend on.
type Account struct {
	Nonce uint64       // the next
	Free  chain.Amount // the balance
}

// Tx is a waiting message.
type Tx struct {
	consensus.Admission
	Raw []byte

	seq     uint64       // order of arrival
	since   chain.Height // newest block when it came
	blocked chain.Height // 1 + newest block when it was first found blocked; 0: it is ready

	due  chain.Height // when peers are to be given it
	line *list.List   // where it waits for that
	at   *list.Element
}
