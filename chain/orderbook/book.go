// Package orderbook matches bids and asks by price and time over an immutable,
// copy-on-write Book. Pure: the same orders give the same trades everywhere.
package orderbook

// Book is the ordered set of resting orders that may match. It never changes;
// its methods return new books that share what did not change.
type Book struct{}
