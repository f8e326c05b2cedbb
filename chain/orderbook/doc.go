// Package orderbook matches bids and asks by price and time over an immutable,
// copy-on-write Book. Pure: the same orders give the same trades everywhere.
//
// # The rule
//
// Asks stand by price, the lowest first; bids by highest price, the highest
// first; at one price by the height at which they were placed, then by a tie
// drawn later, then by ID. Of a block, Match goes through all pairs of a bid and
// an ask whose price the bid allows and whose terms suit each other, bids in
// order and, for each bid, asks in order. It visits the pairs that an order's
// search has still to visit: a visit trades one copy if both sides can, at the
// ask's price, and does nothing otherwise.
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
// # Misfits
//
// Orders whose terms can never suit each other (size, duration, collateral,
// miner, region) are passed over by runs. A run is what of one group of orders
// fails the same condition, one after the other; passing over it is a hop,
// however long it is, and a search makes at most Rules.Hops of them a block.
// Groups are of orders whose terms are alike, so that a wall of misfits of many
// kinds by turns is a few runs. Trees whose nodes know the hull of the terms
// below them find the end of a run in logarithmic time; but groups and runs
// follow from the orders alone, not from how the trees have grown.
//
// Everything that Match needs stands in the orders' records: a Book rebuilt
// from them equals the one that was carried along.
package orderbook
