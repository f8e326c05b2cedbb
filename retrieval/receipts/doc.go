// Package receipts shows what buyers signed for what a miner served, and checks what
// a miner shows.
//
// A miner keeps the receipts (package ledger), publishes batches of them on chain as
// one root (chain.PublishReceipts), and serves at its HTTP door, to anybody:
//
//	GET /v1/receipts                 the published batches, oldest first, a page at a time
//	GET /v1/receipts/{root}          the receipts of one batch, in their order
//	GET /v1/receipts/{root}/{index}  one of them, with the path to the root
//
// Of old batches it may keep no more than that they were (Batch.Gone): their receipts
// are answered with 410.
//
// Whoever checks takes nothing on trust but the chain's record of the miner: its
// digest over all batches says whether the list is the one that was published, each
// root whether the receipts are, each signature whether a buyer's key signed. That
// the buyer is not the miner itself under another name no signature can say.
package receipts
