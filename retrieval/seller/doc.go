// Package seller serves pieces to whoever pays for them, chunk by chunk, and to
// whoever a deal entitles to them for nothing.
//
// A session is one stream. Three goroutines share it: one reads what the buyer
// says, and notes each tick before it counts; one syncs the notes; and the one that
// called Serve sends. The sender asks before each chunk whether all of these hold:
//
//	unpaid in the session < retrieval.Window(paid in it, credit, owed)
//	unpaid in all sessions of the channel + owed < credit
//	ticks used + unpaid < ticks that the channel covers
//
// so that a buyer that stops paying costs at most one credit window, and the end of
// this process nothing beside. A crash of the machine may cost the ticks of the last
// 20 ms as well, until the buyer comes back. Redeemer takes the vouchers to the chain,
// well before they expire.
package seller
