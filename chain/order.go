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
	Allow         []MinerID `cborgen:"maxlen=64"`  // only these, if any; ascending
	Deny          []MinerID `cborgen:"maxlen=64"`  // none of these; ascending
	Regions       []string  `cborgen:"maxlen=16"`  // only miners that claim one of these, see MeetsRegions; none: anywhere; ascending
	ClientPeer    []byte    `cborgen:"maxlen=128"` // libp2p peer ID that will dial the miner
	Public        bool      // anybody may fetch the piece: a wish, which lets miners serve it for nothing
	Renew         *Renewal  // nil: each deal ends with its term
}

// Renewal has the chain bid for another term of each copy before its deal ends,
// with money that the bid's owner has free then.
type Renewal struct {
	Count    uint64 // of each copy, one after the other
	MaxPrice Amount // attoPDR per GiB per block
	Duration uint64 // blocks, of each further term
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
	Refresh                  uint64 // how often it is placed again, for as long and with all of its capacity, when it has expired or is sold out
	Region                   string // where the miner says that it is, see CheckRegion; empty: it does not say. A claim that nobody checks
	RetrievalPrice           Amount // attoPDR per GiB fetched: announced, no rule enforces it
	UnsealPrice              Amount // attoPDR per GiB (padded) that must be unsealed to be fetched: announced as well
}

// PlaceAsk places an ask and escrows its collateral and no-show deposit from the miner's balance.
type PlaceAsk struct{ Terms AskTerms }

// Kind implements Body.
func (*PlaceAsk) Kind() Kind { return KindPlaceAsk }

// OfMiner implements MinerBody.
func (b *PlaceAsk) OfMiner() MinerID { return b.Terms.Miner }

// CancelOrder takes what is left of an order out of the book and unlocks its funds.
type CancelOrder struct{ Order uint64 }

// Kind implements Body.
func (*CancelOrder) Kind() Kind { return KindCancelOrder }

// ReplaceOrder makes an order want or offer less, or end sooner, and leaves it
// its place in the book. What is 0 stays as it is. Whatever else is to change,
// the order has to be cancelled and another placed.
type ReplaceOrder struct {
	Order    uint64
	Copies   uint64 // of a bid, those that have matched counted
	Capacity uint64 // of an ask, padded bytes, those that are sold counted
	Expiry   Height // last height at which it may match
}

// Kind implements Body.
func (*ReplaceOrder) Kind() Kind { return KindReplaceOrder }

// OrderState is an order's place in its life.
type OrderState uint64

// The states of an order.
const (
	OrderWaiting   OrderState = 1 // placed; not in the book before Matchable
	OrderSearching OrderState = 2 // in the book, looking through the other side, up to From so far
	OrderResting   OrderState = 3 // in the book; has looked at everything, is looked at by what comes later
)

// String returns the state's name, as JSON shows it.
func (s OrderState) String() string {
	names := [...]string{"unknown", "waiting", "searching", "resting"}
	if int(s) >= len(names) {
		return names[0]
	}
	return names[s]
}

// Place is where an order stands on its side of the book: asks by price
// ascending, bids by highest price descending; then both by Placed, Tie and
// ID, ascending. The zero Place, which no order has, is before all of them.
type Place struct {
	Price  Amount // attoPDR per GiB per block
	Placed Height
	Tie    [32]byte
	ID     uint64
}

// Order is the record of a resting order; it is deleted when filled, cancelled
// or expired. Exactly one of Bid and Ask is set.
type Order struct {
	ID        uint64
	Owner     Address // a bid's sender, who is repaid; an ask's miner's owner when it was placed (the miner's balance is repaid)
	Placed    Height
	Matchable Height // from here on it may match
	State     OrderState
	Tie       [32]byte // SHA-256(beacon at Matchable || owner), set when Matchable is reached
	Locked    Amount   // funds still held for it
	Deposit   Amount   // held beside them, repaid unless it is cancelled before it rests
	NoShows   uint64   // recent no-shows of its side when it was placed: its deposits are 1 + NoShows times the rate
	Bid       *BidTerms
	Ask       *AskTerms
	Copies    uint64      // a bid's copies still to match
	Free      uint64      // an ask's padded bytes still to sell
	Miners    []MinerID   `cborgen:"maxlen=256"` // a bid's miners so far; of an order of the chain's own, those that it must not match
	Owners    []Address   `cborgen:"maxlen=256"` // and their owners
	From      Place       // while searching: the last order of the other side that it has passed; zero: none
	Succeeds  *Succession // of a bid that the chain placed itself
}

// Succession is what a bid has that the chain placed by itself, and the deal
// that comes of it: a copy of a piece that others hold already, in the place of
// one that is lost (a repair) or about to end (a renewal).
type Succession struct {
	Deal    uint64 // the deal before
	Bid     uint64 // the client's bid: both deals are copies of it
	Renewal bool   // the deal before ends by itself
	Term    Height // of a repair: the last height of the lost deal's term; the new one is for what is left
	By      Height // the last height at which a bid for it may match
	Price   Amount // of the lost deal, or the highest of a renewal, attoPDR per GiB per block
	Fetch   Amount // what the new miner gets for having bought the data, once its sector is active
	Reserve Amount // of a deal, still locked beyond its price: Fetch, and the rest is the client's. A bid's is in Locked
}

// Copies says who has deals for copies of the piece of a bid, for as long as
// there are any, and what the bid asks of miners. A bid for one copy that does
// not renew itself and takes any miner has none. Its key is the bid's ID.
type Copies struct {
	Holders       []Holder  `cborgen:"maxlen=128"`
	Orders        []uint64  `cborgen:"maxlen=128"` // bids of the chain's own for other copies
	Barred        []Address `cborgen:"maxlen=64"`  // owners that lost a copy or did not fetch one, the latest last: they get no other
	Allow         []MinerID `cborgen:"maxlen=64"`  // as the bid says
	Deny          []MinerID `cborgen:"maxlen=64"`
	Regions       []string  `cborgen:"maxlen=16"`
	MinCollateral Amount
}

// Holder is a live deal for one copy.
type Holder struct {
	Deal  uint64
	Miner MinerID
	Owner Address // of Miner, when its ask was placed
	Holds bool    // the miner said that it has the piece, by AcceptData
}
