// Package mempool orders the messages that wait for a block. It is pure: the
// application calls it under its own lock and tells it heights and nonces.
//
// Messages wait in two lanes. Window proofs are ordered by tip, then arrival;
// ordinary messages by what they pay per byte and unit, each sender's in the
// order of its nonces. A message replaces another of the same sender and nonce
// (or of the same partition) if it pays a tenth more.
package mempool

import (
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
}

// DefaultLimits are what a node uses.
func DefaultLimits() Limits {
	return Limits{Bytes: 64 << 20, Count: 20_000, PerSender: 512, Again: 5}
}

// Reasons for which Add refuses.
var (
	ErrKnown       = errors.New("message is waiting already")
	ErrUnderpriced = errors.New("a message of this nonce or partition waits: to replace it, pay a tenth more")
	ErrFull        = errors.New("mempool is full of messages that pay more")
	ErrSender      = errors.New("too many messages of this sender wait")
	ErrGap         = errors.New("nonce is too far ahead")
)

// Tx is a waiting message.
type Tx struct {
	consensus.Admission
	Raw []byte

	seq      uint64       // order of arrival
	gossiped chain.Height // 1 + height at which it was last given to peers; 0: never
}

// slot is what at most one message may hold: a sender's nonce or a partition.
type slot struct {
	from   chain.Address
	nonce  uint64
	replay chain.Key
}

func (t *Tx) slot() slot {
	if t.Proof {
		return slot{replay: t.Replay}
	}
	return slot{from: t.From, nonce: t.Nonce}
}
