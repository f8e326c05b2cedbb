// Package index keeps the tables that the explorer asks: a flat mirror of the
// state's records with lists by every filter, and the history of blocks,
// messages and events, which outlives the state's retention.
//
// It follows the Updates of a state.Store. Each becomes one Pebble batch that
// holds the rows and the index's tip, so a crash leaves the rows of a whole
// block or none of them; what was lost is read again from the store. An index
// that starts late mirrors the oldest state that the store keeps and takes in
// all Updates from there: its history starts at the height after, which First
// tells. One that was off for longer than the store keeps Updates has its mirror
// made anew, keeps the history that it has, and tells the gap in it.
//
// Readers take a [Snapshot]: all that they read belongs to one height. Lists go
// by keyset: a [Page] names the last row that was seen, and goes both ways.
//
// # How a block comes in
//
// Its changes are read once ([change]: the record as it was before the block and
// as it is after it, decoded); then each of steps writes its rows, from the
// changes, the events and the messages. The rows of a record in lists are a
// function of the record (rowsOf), so what a change removes and adds there
// follows from the two forms. What stands under a subject and goes with the
// height is written by block.under, which notes the subject in the height's
// journal; prune finds the rows by it. Scans go through the same code: a block
// without messages and events in which records come from nothing or, if the mirror
// is made anew, from what it had.
//
// # Rows
//
// Numbers are big-endian, H is a height (8 bytes), N an index in its block (4),
// A an address and CID a CID, each behind its length, ID 8 bytes.
//
//	t                 tip: version, first height of the history, tip height, SHA-256 of the tip's Update, whether the
//	                  mirror is being made anew, gaps, chain ID
//	b H               Block
//	m H CHUNK         16 Messages, each behind its length
//	h hash            H N effect: where a message stands; the block in which it had an effect wins
//	e H CHUNK         16 events, the chain's and behind them the derived ones, each behind its length
//	E SUBJECT H       what a block says of a subject: the places of messages and of events, and a Balance. Account or
//	                  miner (a A), sector (s MINER NUMBER), deal (d ID), order (o ID), channel (c ID), validator (v A),
//	                  proposal (p ID), kind of events (k KIND). Messages of an address are those that it sent, that are
//	                  about it or that touched it
//	P MINER DEADLINE PARTITION H  what became of a partition's window (4 bytes each of DEADLINE and PARTITION)
//	R table ID        Record: as the state has it or, remembered, as it had it last
//	z H table ID      records that a block took out of the state and that are remembered: the first one, and
//	                  the others behind their lengths
//	D s STATE ID      deals by state; D r CID ID, D p CID ID by payload root and piece; D c A ID, D m MINER ID by
//	                  client and miner, with the state
//	D e END ID        active deals by end; D C A END ID, D M MINER END ID of a client and of a miner
//	S STATE MINER NUMBER  sectors by state
//	S e EXPIRATION MINER NUMBER  live sectors by expiration; S M MINER EXPIRATION MINER NUMBER of a miner
//	O s STATE SIDE ID orders by state and side; O o A by owner; O m MINER asks of a miner
//	C s STATE ID      channels by state; C f A, C t A, C a A by payer, payee and either
//	M o A ID          miners by owner; M w A by worker
//	x H CHUNK         16 Trades, each behind its length
//	k SECONDS TIME    Candle of the trades of a minute, an hour or a day (SECONDS has 4 bytes) from a time on
//	v DAY S D         Candle of a day's trades of about 2^S bytes for about 2^D blocks (Class)
//	L H N             Level
//	l SIDE PRICE      what stands in the book at a price: padded bytes, orders; the best price of a side first
//	F                 Now: the Point of the present minute, and what else there is one of
//	f SECONDS TIME    Point of the blocks of a minute, an hour or a day that is over
//	r A               Ledger of a miner or of the reward address of a genesis validator
//	r A SECONDS TIME  Earned: the ledger's sum at the end of an hour or a day
//	q LIST H N        Entry of the history of rewards (r) or faults (f); Q LIST A H N those about an address
//	B STEP ADDRESS    accounts by balance, as far as its step tells (3 bytes)
//	N POWER MINER     miners by power, which is subtracted from the greatest number
//	V H               Votes that a block brought, on the one before it
//	g H N             Amendment
//	j H               journal: the subjects under which a height has rows, each behind its length
//
// What is older than Keep heights goes with the blocks that come: blocks,
// messages, events, trades, what stands under subjects, and the records that
// left the state then. Candles and points of a minute, and sums at the end of
// hours, go after a month, points of an hour after two years (Config.Series says
// otherwise); those of days stay.
//
// # Figures
//
// What happened and how much there is of everything (Flows, Levels) is counted
// from the changes and the events as blocks come: a block reads and writes one
// Now, and one Ledger for each that earned something. The present minute joins
// its hour and its day when it is over; readers add it to them until then. A
// ledger only grows, and its sums at the end of hours stay, so that what was
// earned between two times is one difference, however long it was.
//
// # On the disk
//
// The directory holds one database for each generation, 000001 and so on, and in
// CURRENT-GENERATION the number of the one that is read.
package index
