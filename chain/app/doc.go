// Package app is the chain as CometBFT sees it: ABCI calls in, calls of the
// rules out. It decides nothing about money or storage; package consensus does.
//
// A block's transactions are, first, the beacon's contribution if there is one
// (a zero byte, then the signature), then messages: window proofs, then all
// others. The story of a block:
//
//	PrepareProposal   chooses messages from the mempool and rehearses the block:
//	                  what would have no effect is left out, the rest proposed
//	ProcessProposal   rehearses the block over the previous state; form, order,
//	                  limits, turn, money and signatures must be right, the
//	                  contribution too
//	ExtendVote        adds the contribution to the next height's beacon, if drawn
//	FinalizeBlock     rehearses the block to learn what must be verified, verifies
//	                  it on all cores and stages the state; if a check says no, it
//	                  applies the block once more, with the answers
//	Commit            writes it, in one synced batch
//
// A rehearsal is consensus.Apply with a Verifier that says yes to everything
// and writes down what it was asked. The answers computed from that stand in a
// memo keyed by the hash of all arguments, which the real run asks first; what
// it does not find there is computed on the spot. So no order of events, and
// no content of the memo, changes a result. Where all answers are yes, the
// rehearsal was the real run, and one execution serves proposing, judging and
// finalizing.
//
// CheckTx (from RPC) and InsertTx (from peers) are one admission function over
// the newest committed state, and run beside everything else.
package app
