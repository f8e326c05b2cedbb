package chain

import "github.com/ipfs/go-cid"

// BidTerms is a client's offer to pay for one piece.
type BidTerms struct {
	PieceCID      cid.Cid
	PaddedSize    uint64
	PayloadRoot   cid.Cid
	Part, Parts   uint64    // this piece is part Part (from 0) of Parts of the payload
	Duration      uint64    // blocks the piece is stored, counted from activation
	MaxPrice      Amount    // attoPDR per GiB per block
	Copies        uint64    // on distinct miners and owners
	MinCollateral Amount    // attoPDR per GiB that a miner must stake
	Expiry        Height    // last height at which the bid may match
	Allow         []MinerID `cborgen:"maxlen=64"` // only these, if any
	Deny          []MinerID `cborgen:"maxlen=64"`
	ClientPeer    []byte    `cborgen:"maxlen=128"` // libp2p peer ID that will dial the miner
}

// PlaceBid places a bid and locks Copies x (highest price + no-show deposit). The order's ID is the result's ID.
type PlaceBid struct{ Terms BidTerms }

// Kind implements Body.
func (*PlaceBid) Kind() Kind { return KindPlaceBid }

// AskTerms is a miner's offer to store.
type AskTerms struct {
	Miner                    MinerID
	Price                    Amount // attoPDR per GiB per block
	Capacity                 uint64 // padded bytes
	MinPiece, MaxPiece       uint64 // padded bytes
	MinDuration, MaxDuration uint64 // blocks
	Collateral               Amount // attoPDR per GiB, escrowed for the whole capacity when placed
	Expiry                   Height // last height at which the ask may match
}

// PlaceAsk places an ask and escrows its collateral and no-show deposit from the miner's balance.
type PlaceAsk struct{ Terms AskTerms }

// Kind implements Body.
func (*PlaceAsk) Kind() Kind { return KindPlaceAsk }

// CancelOrder takes what is left of an order out of the book and unlocks its funds.
type CancelOrder struct{ Order uint64 }

// Kind implements Body.
func (*CancelOrder) Kind() Kind { return KindCancelOrder }

// Order is the record of a resting order; it is deleted when filled, cancelled
// or expired. Exactly one of Bid and Ask is set.
type Order struct {
	ID        uint64
	Owner     Address // who placed it and is repaid
	Placed    Height
	Matchable Height   // from here on it may match
	Tie       [32]byte // SHA-256(beacon at Matchable || owner), set when Matchable is reached
	Locked    Amount   // funds still held for it
	Bid       *BidTerms
	Ask       *AskTerms
	Copies    uint64    // a bid's copies still to match
	Free      uint64    // an ask's padded bytes still to sell
	Miners    []MinerID `cborgen:"maxlen=64"` // a bid's miners so far
	Owners    []Address `cborgen:"maxlen=64"` // and their owners
}
