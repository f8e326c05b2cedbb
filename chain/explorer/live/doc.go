// Package live streams what blocks do to those who follow it: over WebSockets
// and as server-sent events, in the same frames, which are JSON:
//
//	{"cursor": "...", "topic": "miner:t01000", "type": "event", "height": 12, "time": "2026-01-02T03:04:05Z", "data": {...}}
//
// Frames "subscribed" and "heartbeat" are of no block: they have the cursor, the
// node's tip and, the first, the topics.
//
// A block is a list of items whose order is fixed by the block alone, so the
// place of each has a name that every node knows and that lasts: its cursor
// says what comes after it. Who comes back with the last cursor that it saw
// gets the next item, neither one less nor one again.
//
// # No reader is waited for
//
// Nothing is queued for a reader. It is a place in the chain and a set of
// topics; what it has not read yet is read for it when it takes more: out of a
// ring of the newest blocks, which are encoded once for all, or from the Feed.
// A reader that was at the head and falls too far behind it is cut with a code
// and its cursor. One that takes nothing at all is cut by a deadline.
//
// There is no goroutine but that of each connection, and a second one that
// listens to a WebSocket's reader.
package live
