// Package orderbook matches bids and asks by price and time over an immutable,
// copy-on-write Book. Pure: the same orders give the same trades everywhere.
//
// # The rule
//
// Asks stand by price, the lowest first; bids by highest price, the highest
// first; at one price by the height at which they were placed, then by a tie
// drawn later, then by ID. Of a block, Match goes through all pairs of a bid and
// an ask whose price the bid allows, bids in order and, for each bid, asks in
// order. It visits the pairs that an order's search has still to visit: a visit
// trades one copy if both sides allow it, at the ask's price, and does nothing
// otherwise.
//
// Whether a pair trades depends on the visits of better asks to the same bid
// and of better bids to the same ask alone, and all of these stand before it.
// So the outcome is that of every bid, best first, taking the best asks that it
// may take, and equally that of every ask, best first, taking the best bids.
//
// # Searches
//
// An order that enters the book searches the other side from its best order to
// the last one that its price allows; then it rests. In a block it visits at
// most Rules.Visits orders and goes on after the last one, Order.From, in the
// next. A pair is visited by the bid's search if the ask stands after the bid's
// From, else by the ask's search. No pair needs a second visit: capacity,
// copies and time only run out, so what did not trade once never will.
//
// Everything that Match needs stands in the orders' records: a Book rebuilt
// from them equals the one that was carried along.
package orderbook
