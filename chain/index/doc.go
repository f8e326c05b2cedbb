// Package index keeps the tables that the explorer asks and the state tree
// cannot answer: lists by root, client, miner or address, and the history of
// blocks, messages and events, which outlives the state's retention.
//
// It follows the Updates of a state.Store. Each becomes one Pebble batch that
// holds the rows and the index's tip, so a crash leaves the rows of a whole
// block or none of them; what was lost is read again from the store. An index
// that cannot go on (its next Update is pruned, or it belongs to another chain)
// is made anew from a scan of the state: then its lists are complete, and its
// history starts at the height after the scan, which First tells.
//
// # Rows
//
// Numbers are big-endian, H is a height (8 bytes), N an index in its block (4),
// A an address behind its length, ID 8 bytes.
//
//	t              tip: version, first height of the history, tip height, SHA-256 of the tip's Update, chain ID
//	b H            Block
//	m H N          Message
//	h hash         H N effect: where a message stands; the block in which it had an effect wins
//	a A H N        messages that an address sent or that touched it
//	e H N          consensus.Event
//	k table ID     Kept: the last form of an order or a channel, or of a sector or deal that has ended
//	d r ROOT ID    deals by payload root (CID behind its length)
//	d m MINER ID   deals by miner
//	d c A ID       deals by client
//	s MINER NUMBER sectors by miner
//	o ID           all orders that the index knows
//	l ID           orders that are live
//	p A ID         orders by owner
//	w A ID         miners by owner and by worker, also by those that they had before
//	c A ID         channels by payer and by payee
//	z H table ID   orders, channels, sectors and deals whose record a block deleted
//	x H N          Trade
//	y SECONDS TIME Candle of the trades of a minute, an hour or a day (SECONDS has 4 bytes) from a time on
//	v DAY S D      Candle of a day's trades of about 2^S bytes for about 2^D blocks (Class)
//
// What is older than Keep heights goes with the blocks that come: blocks,
// messages, events, trades, and what left the state then: orders and channels as
// they ended, deals and sectors some time after. Candles of a minute go after a
// month, the others stay.
//
// Lists are read by keyset: a [Page] names the last row that was seen.
package index
