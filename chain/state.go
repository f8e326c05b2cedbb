package chain

import (
	"encoding/binary"
	"fmt"

	"github.com/minio/sha256-simd"
)

// Table is one table of the state tree.
type Table uint64

// The tables. Numbers are in Updates and in proofs: never reuse one.
const (
	TableGlobal    Table = 0  // one record: Global
	TableAccount   Table = 1  // by address bytes: Account
	TableMiner     Table = 2  // by miner ID: Miner
	TableSector    Table = 3  // by miner ID, number: Sector
	TablePartition Table = 4  // by miner ID, deadline<<32|index: Partition
	TableOrder     Table = 5  // by order ID: Order
	TableDeal      Table = 6  // by deal ID: Deal
	TableChannel   Table = 7  // by channel ID: Channel
	TableBeacon    Table = 8  // by height: Beacon
	TableQueue     Table = 9  // by height, index<<5|queue: QueueItem; index 0 is the QueueHead
	TableReplay    Table = 10 // by replay key, void key or failure key: Empty
	TableCopies    Table = 11 // by order ID of a bid: Copies
	TableVoters    Table = 12 // by the first height that it votes at: VoteSet; 0: the genesis validators
	TableVoteKey   Table = 13 // by consensus address: VoteKey
	TableCandidate Table = 14 // by 0, place in the heap, and by 1, miner ID: Candidate
	TableParams    Table = 15 // by 0: the parameters in force, if they were amended
	TableProposal  Table = 16 // by proposal ID: Proposal
	TableServed    Table = 17 // by miner ID: Served
	TableEnd       Table = 18
)

// Shape says how a table's keys look and so which tree holds it.
type Shape byte

// The shapes of tables.
const (
	ShapeSingle Shape = iota // one record, empty key
	ShapeBytes               // any bytes up to 64: a HAMT
	ShapeDense               // 8 bytes big-endian: an AMT
	ShapeOwned               // 16 bytes, two big-endian numbers (owner, index): an AMT of AMTs
)

// Shape returns the shape of a table's keys.
func (t Table) Shape() Shape {
	switch t {
	case TableGlobal:
		return ShapeSingle
	case TableAccount, TableReplay, TableVoteKey:
		return ShapeBytes
	case TableSector, TablePartition, TableQueue, TableCandidate:
		return ShapeOwned
	}
	return ShapeDense
}

var tableNames = [TableEnd]string{"global", "account", "miner", "sector", "partition", "order",
	"deal", "channel", "beacon", "queue", "replay", "copies", "voters", "voteKey", "candidate", "params", "proposal", "served"}

// String returns the table's name, as the command line and JSON use it.
func (t Table) String() string {
	if t >= TableEnd {
		return "unknown"
	}
	return tableNames[t]
}

// ParseTable returns the table of a name.
func ParseTable(name string) (Table, bool) {
	for i, n := range tableNames {
		if n == name {
			return Table(i), true
		}
	}
	return 0, false
}

// Key names one record of the state tree. ID's form is the table's Shape. Keys
// are comparable; their order is by Table, then ID as bytes.
type Key struct {
	Table Table
	ID    string
}

// Less is the order in which Updates list keys.
func (k Key) Less(o Key) bool {
	if k.Table != o.Table {
		return k.Table < o.Table
	}
	return k.ID < o.ID
}

func be64(b []byte, v uint64) []byte {
	for i := 7; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}

func dense(t Table, id uint64) Key { return Key{t, string(be64(nil, id))} }

func owned(t Table, a, b uint64) Key { return Key{t, string(be64(be64(nil, a), b))} }

// GlobalKey is the key of the Global record.
func GlobalKey() Key { return Key{Table: TableGlobal} }

// AccountKey is the key of an account.
func AccountKey(a Address) Key { return Key{TableAccount, string(a.Bytes())} }

// MinerKey is the key of a miner.
func MinerKey(id MinerID) Key { return dense(TableMiner, id) }

// SectorKey is the key of a sector.
func SectorKey(m MinerID, number uint64) Key { return owned(TableSector, m, number) }

// PartitionKey is the key of a partition.
func PartitionKey(m MinerID, deadline, index uint64) Key {
	return owned(TablePartition, m, deadline<<32|index)
}

// OrderKey is the key of an order.
func OrderKey(id uint64) Key { return dense(TableOrder, id) }

// DealKey is the key of a deal.
func DealKey(id uint64) Key { return dense(TableDeal, id) }

// CopiesKey is the key of what is known about the copies of a bid.
func CopiesKey(bid uint64) Key { return dense(TableCopies, bid) }

// ChannelKey is the key of a channel.
func ChannelKey(id uint64) Key { return dense(TableChannel, id) }

// ParamsKey is the key of the parameters in force.
func ParamsKey() Key { return dense(TableParams, 0) }

// ProposalKey is the key of a proposal.
func ProposalKey(id uint64) Key { return dense(TableProposal, id) }

// ServedKey is the key of what a miner claims to have served.
func ServedKey(id MinerID) Key { return dense(TableServed, id) }

// BeaconKey is the key of a height's beacon value.
func BeaconKey(h Height) Key { return dense(TableBeacon, uint64(h)) }

// ReplayKey is the key that an accepted window proof leaves behind.
func ReplayKey(p *SubmitWindowProof) Key {
	return Key{TableReplay, string(be64(be64(be64(be64(nil, p.Miner), p.Period), p.Deadline), p.Partition))}
}

// VoidKey is the key that a failed window proof leaves behind until its window
// closes, so that nobody can make the miner pay for it twice: 0xff || SHA-256 of its sign-bytes.
func VoidKey(signBytes []byte) Key {
	h := sha256.Sum256(signBytes)
	return Key{TableReplay, string(append([]byte{0xff}, h[:]...))}
}

// FailureKey is the key that the nth failure of a partition's proof in a window,
// from 1, leaves behind until the window closes.
func FailureKey(p *SubmitWindowProof, n uint64) Key {
	k := ReplayKey(p)
	k.ID += string(be64(nil, n))
	return k
}

// Queue names what is due at a height.
type Queue uint64

// The queues, in the order in which a block works them off.
const (
	QueueMinerKeys      Queue = 1  // Owner: miner whose pending keys act
	QueuePreCommitEnd   Queue = 2  // Owner, ID: sector; dropped if not proven
	QueueDeadlineClose  Queue = 3  // Owner: miner, ID: deadline<<32|index of the partition whose window closes
	QueueSectorExpire   Queue = 4  // Owner, ID: sector
	QueueOrderMature    Queue = 5  // ID: order that may match from now on
	QueueOrderExpire    Queue = 6  // ID: order
	QueueDealFetchBy    Queue = 7  // ID: deal
	QueueDealActivateBy Queue = 8  // ID: deal
	QueueDealEnd        Queue = 9  // ID: deal
	QueueReplayForget   Queue = 10 // Key: replay key
	QueuePledgeFree     Queue = 11 // Owner: miner, Key: amount of pledge that is bound no longer, big-endian
	QueueDealRenew      Queue = 12 // ID: deal whose renewal is ordered
	QueueProposal       Queue = 13 // ID: proposal, at the last height before its effect
	QueueSectorForget   Queue = 14 // Owner, ID: sector that has ended and whose record goes
	QueueDealForget     Queue = 15 // ID: deal that has ended and whose record goes
	QueueChannelForget  Queue = 16 // ID: channel that is settled and that nobody has collected
	QueueEnd            Queue = 17
)

// QueueHead counts what was put into a queue for a height.
type QueueHead struct{ Count uint64 }

// QueueItem is one thing due.
type QueueItem struct {
	Owner uint64
	ID    uint64
	Key   []byte `cborgen:"maxlen=64"`
}

// QueueKey is the key of item index (from 1) of a queue at a height; index 0 is its head.
// What is due at neighbouring heights lies side by side in the tree, so that
// looking for it costs a block the same however much is due later.
func QueueKey(q Queue, h Height, index uint64) Key {
	return owned(TableQueue, uint64(h), index<<queueBits|uint64(q))
}

// queueBits is how many bits of a queue's key tell which queue it is.
const queueBits = 5

// ParseQueueID reads the key of the queue table that QueueKey has made.
func ParseQueueID(id string) (q Queue, h Height, index uint64) {
	n := binary.BigEndian.Uint64([]byte(id[8:]))
	return Queue(n & (1<<queueBits - 1)), Height(binary.BigEndian.Uint64([]byte(id[:8]))), n >> queueBits
}

// Cursor is how far a queue is worked off: everything below Height, and at
// Height the items before Index.
type Cursor struct {
	Height Height
	Index  uint64
}

// Beacon is a height's randomness.
type Beacon struct {
	Value   [32]byte
	Skipped bool // no contribution: derived from the value before
}

// Empty is the record of a key whose presence is all that counts.
type Empty struct{ Present bool }

// Supply sums all money. After every block Accounts + Locked + Burned = Minted.
type Supply struct {
	Minted   Amount
	Burned   Amount
	Accounts Amount // free: accounts and miners' balances
	Locked   Amount // orders, deals, pledge, deposits, channels
}

// Check reports money that does not add up.
func (s *Supply) Check() error {
	sum, err := Sum(s.Accounts, s.Locked, s.Burned)
	if err != nil {
		return fmt.Errorf("sum supply: %w", err)
	}
	if sum != s.Minted {
		return fmt.Errorf("supply does not add up: accounts %s + locked %s + burned %s, minted %s",
			s.Accounts, s.Locked, s.Burned, s.Minted)
	}
	return nil
}

// Issuance is how far new money is issued.
type Issuance struct {
	Unissued Amount // still to be issued: neither minted nor booked for power
	Index    Amount // what a byte proven since genesis has earned, in attoPDR / 2^32
}

// Global is the record of everything there is one of.
type Global struct {
	RuleVersion  uint64
	Height       Height
	Time         uint64 // Unix seconds of the block; for readers, no rule uses it
	Supply       Supply
	Issuance     Issuance
	BaseFee      Amount // attoPDR per byte and per unit of the next block's ordinary lane
	Power        uint64 // proven bytes of all miners
	NextMiner    MinerID
	NextOrder    uint64
	NextDeal     uint64
	NextChannel  uint64
	NextProposal uint64
	Upgrade      Upgrade  // announced; RuleVersion 0: none
	Cursors      []Cursor `cborgen:"maxlen=32"` // by Queue
	VotersFrom   []Height `cborgen:"maxlen=16"` // first heights of the vote sets that vote at Height or later, ascending
	Candidates   uint64   // miners that may vote: places taken of the heap in TableCandidate
	ProofLoad    []uint64 `cborgen:"maxlen=96"` // proof lane bytes taken by windows opening in each slot of the period
}
