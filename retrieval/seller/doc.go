// Package seller serves pieces to whoever pays for them, chunk by chunk, and to
// whoever a deal entitles to them for nothing.
//
// A session is one stream. Three goroutines share it: one reads what the buyer
// says, one makes ticks durable, and the one that called Serve sends. The
// sender asks before each chunk whether the session has credit left:
//
//	sent - paid < retrieval.Window(paid, credit, owed)   over all sessions of the channel
//	ticks accepted - ticks durable < retrieval.MaxCredit
//	ticks used + chunks unpaid < ticks that the channel covers
//
// so that a buyer that stops paying, and a crash of this process, each cost at
// most one credit window. Redeemer takes the vouchers to the chain, well before
// they expire.
package seller
