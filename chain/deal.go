package chain

import "github.com/ipfs/go-cid"

// AcceptData says that the miner holds the piece of a matched deal.
type AcceptData struct {
	Miner MinerID
	Deals []uint64 `cborgen:"maxlen=256"`
}

// Kind implements Body.
func (*AcceptData) Kind() Kind { return KindAcceptData }

// OfMiner implements MinerBody.
func (b *AcceptData) OfMiner() MinerID { return b.Miner }

// SettleDeals pays out what the deals' proofs have earned so far. Anybody may send it.
type SettleDeals struct {
	Deals []uint64 `cborgen:"maxlen=256"`
}

// Kind implements Body.
func (*SettleDeals) Kind() Kind { return KindSettleDeals }

// SetRenewal says how live deals of the sender's are renewed from now on: Renew
// as in a bid, nil: not at all. Deals are ascending; all of them or none.
type SetRenewal struct {
	Deals []uint64 `cborgen:"maxlen=256"`
	Renew *Renewal
}

// Kind implements Body.
func (*SetRenewal) Kind() Kind { return KindSetRenewal }

// DealState is a deal's place in its life.
type DealState uint64

// The states of a deal.
const (
	DealMatched   DealState = 1 // funded on both sides; the miner fetches the piece
	DealAccepted  DealState = 2 // the miner holds the piece and seals it
	DealActive    DealState = 3 // in a proven sector; earning unless the sector is faulty
	DealCompleted DealState = 4 // term over
	DealVoid      DealState = 5 // never active; repaid
	DealLost      DealState = 6 // its sector was lost
)

// String returns the state's name, as JSON shows it.
func (s DealState) String() string {
	names := [...]string{"unknown", "matched", "accepted", "active", "completed", "void", "lost"}
	if int(s) >= len(names) {
		return names[0]
	}
	return names[s]
}

// Deal is the record of a match: one copy of one piece on one miner. It stays for
// EndedRetention blocks after the deal has ended.
type Deal struct {
	ID            uint64
	Bid, Ask      uint64 // order IDs; Bid is the client's, also if the chain's own bid for a lost copy was matched
	State         DealState
	Client        Address
	ClientPeer    []byte `cborgen:"maxlen=128"`
	Miner         MinerID
	PieceCID      cid.Cid
	PaddedSize    uint64
	PayloadRoot   cid.Cid
	Part, Parts   uint64
	Public        bool // as the bid says
	Duration      uint64
	Price         Amount // attoPDR per GiB per block: the ask's
	Total         Amount // DealPrice(Price, PaddedSize, Duration)
	Unspent       Amount // of Total, still locked
	Collateral    Amount // the miner's, still locked
	ClientDeposit Amount // no-show deposit, still locked
	MinerDeposit  Amount // no-show deposit, still locked
	Matched       Height
	FetchBy       Height // void if not accepted by then
	ActivateBy    Height // void if not active by then
	Accepted      Height
	Committed     bool   // pieces of it are in sector Sector, pre-committed or active
	Sector        uint64 // meaningful if Committed
	Activated     Height
	End           Height      // Activated + Duration
	PaidThrough   Height      // pay is released up to and including here
	FaultBlocks   uint64      // heights of the term not paid because of faults
	Renew         *Renewal    // what is left of the bid's
	RenewAt       Height      // its renewal is due at the end of this block; 0: none is
	Succeeds      *Succession // of a deal that such a bid made
	SelfTrade     bool        // the client is the miner's owner, worker or beneficiary: no price that a market made

	// What the ask announced when it matched: claims that no rule checks.
	Region                      string
	RetrievalPrice, UnsealPrice Amount
}

// Ended reports whether the deal is over.
func (d *Deal) Ended() bool { return d.State >= DealCompleted }
