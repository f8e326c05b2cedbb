// Package state keeps the chain's state: the authenticated tree of records
// that package proof describes, its history back to StateRetention heights,
// and the Updates that made it, in one Pebble database.
//
// A block is two calls. Stage computes, in memory, the tree after an Update
// and returns its app hash; Commit writes everything of it (tree, Update,
// receipts, tip, and what it prunes) in one synced batch. A crash at any
// moment leaves the state of the last Commit that returned, or of the one
// that was running. Readers hold a [View]: one committed state that never
// changes, whatever is committed after it.
//
// # What is stored
//
//	t                   format version, tip height, root CID
//	n digest            block of the tree
//	r digest            references and height of the last drop; absent: one reference
//	j height digest     the block was dropped from the tree at this height
//	o height            root CID of a kept height
//	u height            encoded Update of a kept height
//	h hash              height, index and effect of a message's receipt
//	x                   a restore is under way
//
// # Pruning
//
// Think of the tree unfolded: each block once for every place where it hangs.
// The reference count of a block is the number of its places in the newest
// tree. A commit walks the old and the new tree together, only where they
// differ, and so learns by how much each count changes. A block whose count
// falls to zero at height d is in no tree from d on, until it is added again;
// it goes to the journal of d. When the last kept height is d or later, the
// blocks in the journal of d are deleted, except those that have references
// again or were dropped again later: a later journal names these. So no block
// of a kept height is ever deleted, and every other one is in time.
//
// # Snapshots and the way back
//
// An [Export] writes the tree of a kept height as a CAR, unfolded in one fixed
// order, out of a Pebble snapshot. A [Restore] fills an empty store from it: it
// knows from the app hash which block must come next, counts references as
// blocks come, and rebuilds the order book at the end. Package snapshot keeps
// such CARs as files. [Store.Rollback] makes the height before the tip the
// newest one.
package state
