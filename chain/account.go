package chain

// Account is the record of a key address.
type Account struct {
	Nonce    uint64 // of the next message
	Balance  Amount
	NoShows  uint64 // recent deals of its bids that went void before AcceptData
	NoShowAt Height // of the last one
}

// Transfer moves money to a key address or, as working balance, to a miner.
type Transfer struct {
	To     Address
	Amount Amount
}

// Kind implements Body.
func (*Transfer) Kind() Kind { return KindTransfer }
