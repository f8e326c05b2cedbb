package consensus

import (
	"slices"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// UpdateVersion is the version of Updates that this code writes.
const UpdateVersion = 1

// Change is one record as a block left it.
type Change struct {
	Table chain.Table
	ID    []byte `cborgen:"maxlen=64"`
	Value []byte `cborgen:"maxlen=2097152"` // nil: deleted
}

// Key returns the changed record's key.
func (c *Change) Key() chain.Key { return chain.Key{Table: c.Table, ID: string(c.ID)} }

// EventKind says what happened. Numbers are on the wire.
type EventKind uint64

// The kinds of events. Fields of Event that a kind does not name are zero.
const (
	EventTransfer          EventKind = 1  // From, To, Amount
	EventMinerCreated      EventKind = 2  // Miner, From, Amount: its first balance
	EventMinerUpdated      EventKind = 3  // Miner, Reason
	EventDebtPaid          EventKind = 4  // Miner, Amount: burned of what became free for it
	EventSectorCommitted   EventKind = 10 // Miner, Sector
	EventSectorPart        EventKind = 11 // Miner, Sector, Index: part
	EventSectorActive      EventKind = 12 // Miner, Sector, Index: deadline
	EventSectorProven      EventKind = 13 // Miner, Sector, Index: period: an accepted window proof covers it
	EventSectorFaulty      EventKind = 14 // Miner, Sector, Reason: declared, skipped, declared late or missed; Amount: fine, none if the budget covers it
	EventSectorRecovered   EventKind = 15 // Miner, Sector
	EventSectorEnded       EventKind = 16 // Miner, Sector, Reason: expired, lost, terminated or not proven in time; Amount: pledge or deposit burned
	EventSectorsFined      EventKind = 17 // Miner, Index: so many sectors of a partition were faulty all through a window, Amount: fine
	EventSectorExtended    EventKind = 18 // Miner, Sector, Index: its expiration
	EventOrderPlaced       EventKind = 20 // Order, From: its Owner, Miner: an ask's, Amount: locked
	EventOrderCancelled    EventKind = 21 // Order, Amount: repaid, Reason: cancelled or expired
	EventDealMatched       EventKind = 22 // Deal, Order: bid, Index: ask, Miner, From: client, Amount: total price, Reason: "self-trade" or empty
	EventDealAccepted      EventKind = 23 // Deal, Miner
	EventDealActive        EventKind = 24 // Deal, Miner, Sector
	EventDealPaid          EventKind = 25 // Deal, Miner, Amount
	EventDealEnded         EventKind = 26 // Deal, Miner, Reason: completed, lost or void: why
	EventOrderFilled       EventKind = 27 // Order, Amount: repaid
	EventOrderReduced      EventKind = 28 // Order, Amount: repaid
	EventChannelOpened     EventKind = 30 // Channel, From, To, Amount
	EventChannelToppedUp   EventKind = 31 // Channel, Amount
	EventVoucherRedeemed   EventKind = 32 // Channel, To, Amount, Index: lane
	EventChannelSettling   EventKind = 33 // Channel
	EventChannelCollected  EventKind = 34 // Channel, To, Amount
	EventBeaconSkipped     EventKind = 40 // Reason, From: the contributor's reward address, Amount: burned of it; To: the proposer's, which is charged likewise
	EventVotesChanged      EventKind = 41 // Index: first height of the new vote set, Reason
	EventEquivocation      EventKind = 42 // From: consensus address, Miner: 0 for a genesis validator, Index: height of the offence, Amount: slashed
	EventRepairOrdered     EventKind = 50 // Order: the chain's bid, Deal: the lost one, Index: the client's bid, From: client, Amount: escrow
	EventRepairEnded       EventKind = 51 // Deal: the lost one, Index: the new one if there is one, Miner: its, To: client, Amount: repaid to it, Reason
	EventFetchRepaid       EventKind = 52 // Deal, Miner, Amount: its allowance for having bought the data
	EventRenewalOrdered    EventKind = 53 // Order: the chain's bid, Deal: the one that will end, Index: the client's bid, From: client, Amount: locked
	EventRenewalEnded      EventKind = 54 // Deal: the one before, Index: the new one if there is one, Miner: its, To: client, Amount: repaid to it, Reason
	EventRefreshSkipped    EventKind = 55 // Order: the ask that is not placed again, Miner, Reason
	EventRenewalSet        EventKind = 56 // Deal, From: client, Index: further terms, none: it renews no more, Amount: highest price of them
	EventReceiptsPublished EventKind = 57 // Miner, Index: bytes that it claims to have served
	EventBlockReward       EventKind = 60 // To: reward address of the block's proposer, Amount: minted
	EventProposed          EventKind = 70 // From, Index: proposal
	EventApproved          EventKind = 71 // From, Index: proposal
	EventAdopted           EventKind = 72 // Index: proposal
	EventProposalEnded     EventKind = 73 // Index: proposal, Reason: in force, not adopted or what stands against it
	EventRulesChanged      EventKind = 74 // Index: version of the rules from this height on
	EventPowerReward       EventKind = 61 // Miner, Index: deadline whose partition was proven, Amount: minted
)

var eventNames = map[EventKind]string{
	EventTransfer: "transfer", EventMinerCreated: "minerCreated", EventMinerUpdated: "minerUpdated", EventDebtPaid: "debtPaid",
	EventSectorCommitted: "sectorCommitted", EventSectorPart: "sectorPart", EventSectorActive: "sectorActive",
	EventSectorProven: "sectorProven", EventSectorFaulty: "sectorFaulty", EventSectorRecovered: "sectorRecovered",
	EventSectorsFined: "sectorsFined", EventSectorExtended: "sectorExtended",
	EventSectorEnded: "sectorEnded", EventOrderPlaced: "orderPlaced", EventOrderCancelled: "orderCancelled",
	EventOrderFilled: "orderFilled", EventOrderReduced: "orderReduced",
	EventRenewalSet: "renewalSet", EventReceiptsPublished: "receiptsPublished",
	EventDealMatched: "dealMatched", EventDealAccepted: "dealAccepted", EventDealActive: "dealActive",
	EventDealPaid: "dealPaid", EventDealEnded: "dealEnded", EventChannelOpened: "channelOpened",
	EventChannelToppedUp: "channelToppedUp", EventVoucherRedeemed: "voucherRedeemed",
	EventChannelSettling: "channelSettling", EventChannelCollected: "channelCollected", EventBeaconSkipped: "beaconSkipped",
	EventVotesChanged: "votesChanged", EventEquivocation: "equivocation",
	EventBlockReward: "blockReward", EventPowerReward: "powerReward",
	EventProposed: "proposed", EventApproved: "approved", EventAdopted: "adopted", EventProposalEnded: "proposalEnded", EventRulesChanged: "rulesChanged",
	EventRepairOrdered: "repairOrdered", EventRepairEnded: "repairEnded", EventFetchRepaid: "fetchRepaid",
	EventRenewalOrdered: "renewalOrdered", EventRenewalEnded: "renewalEnded", EventRefreshSkipped: "refreshSkipped",
}

// String returns the kind's name, as JSON shows it.
func (k EventKind) String() string { return eventNames[k] }

// Event is something that a reader may want to know beyond the changed
// records. It is flat: what its kind does not name is zero.
type Event struct {
	Kind    EventKind
	Message uint64 // 1 + index of the message that caused it; 0: the block itself
	Miner   chain.MinerID
	Sector  uint64
	Order   uint64
	Deal    uint64
	Channel uint64
	Index   uint64
	From    []byte `cborgen:"maxlen=64"` // address bytes
	To      []byte `cborgen:"maxlen=64"`
	Amount  chain.Amount
	Reason  string
}

// Receipt is a Result as the Update carries it.
type Receipt struct {
	Hash  [32]byte
	Code  uint64
	Error string
	Kind  chain.Kind
	ID    uint64
	Fee   chain.Amount
	Units uint64
}

// Update is everything a block did: what every follower reads. Changes are
// ordered by key, Events as they happened, Receipts as the messages stood.
type Update struct {
	Version  uint64
	Height   chain.Height
	Time     uint64
	Proposer []byte    `cborgen:"maxlen=32"`
	Changes  []Change  `cborgen:"maxlen=1000000"`
	Events   []Event   `cborgen:"maxlen=1000000"`
	Receipts []Receipt `cborgen:"maxlen=1000000"`

	book *orderbook.Book // see Book
}

// Bare is the update without the texts for people (Receipt.Error, Event.Reason):
// what Hash covers, so that a clearer sentence in a later version is no fork.
func (u *Update) Bare() *Update {
	bare := *u
	bare.Events, bare.Receipts = slices.Clone(u.Events), slices.Clone(u.Receipts)
	for i := range bare.Events {
		bare.Events[i].Reason = ""
	}
	for i := range bare.Receipts {
		bare.Receipts[i].Error = ""
	}
	return &bare
}

// Hash is what the state's root commits to: the SHA-256 of Bare's encoding.
func (u *Update) Hash() ([32]byte, error) {
	b, err := chain.Encode(u.Bare())
	return sha256.Sum256(b), err
}
