package chain

import "github.com/filecoin-project/go-state-types/abi"

// Keys is the key set of a miner. Changes of keys act after a delay.
type Keys struct {
	Owner          Address   // cold: may change everything
	Worker         Address   // pre-commits, proves commits, trades; pays fees from its account
	Provers        []Address `cborgen:"maxlen=16"` // may send window proofs beside the worker
	Beneficiary    Address   // receives withdrawals
	ConsensusKey   []byte    `cborgen:"maxlen=32"` // ed25519, 32 bytes; empty: never votes
	ConsensusProof []byte    `cborgen:"maxlen=64"` // proof of possession of ConsensusKey for this owner and worker, 64 bytes
	BeaconKey      []byte    `cborgen:"maxlen=48"` // BLS12-381 G1, compressed, 48 bytes; empty: never contributes
	BeaconProof    []byte    `cborgen:"maxlen=96"` // proof of possession of BeaconKey, G2, 96 bytes
}

// Peer is where a miner is reached.
type Peer struct {
	ID    []byte   `cborgen:"maxlen=128"` // libp2p peer ID, binary
	Addrs [][]byte `cborgen:"maxlen=16"`  // multiaddrs, binary
}

// CreateMiner registers a miner. Its ID is the result's ID.
type CreateMiner struct {
	Keys      Keys
	Peer      Peer
	SealProof abi.RegisteredSealProof // fixes the sector size for good
	Fund      Amount                  // moved from the sender to the miner's balance
}

// Kind implements Body.
func (*CreateMiner) Kind() Kind { return KindCreateMiner }

// UpdateMiner changes what is given; nil leaves as it is. Keys need the owner,
// Peer the worker or the owner, Withdraw the owner or the beneficiary.
type UpdateMiner struct {
	Miner    MinerID
	Keys     *Keys
	Peer     *Peer
	Withdraw *Amount // from the miner's balance to the beneficiary
}

// Kind implements Body.
func (*UpdateMiner) Kind() Kind { return KindUpdateMiner }

// OfMiner implements MinerBody.
func (b *UpdateMiner) OfMiner() MinerID { return b.Miner }

// Budget is how much a miner has proven and failed to prove of late, in parts of
// 1/65,536 of a sector-window; both are counted down from period to period.
type Budget struct {
	Period uint64 // of the miner: the counts are as of it
	Proven uint64
	Used   uint64 // by faults that cost no fine; a worse fault counts more than once
}

// Miner is the record of a miner.
type Miner struct {
	ID          MinerID
	Keys        Keys
	PendingKeys *Keys  // act at PendingAt
	PendingAt   Height // 0: nothing pending
	Peer        Peer
	SealProof   abi.RegisteredSealProof
	Created     Height
	PeriodStart Height   // start of its first proving period; periods follow without gap
	Balance     Amount   // free: pays proof fees, deposits, pledge, ask collateral
	Pledge      Amount   // locked for active and faulty sectors
	Deposits    Amount   // locked for pre-commits
	Debt        Amount   // fines not paid yet: paid first out of whatever becomes free; above zero only if Balance is zero
	Sectors     uint64   // sectors that are active or faulty
	Faulty      uint64   // of them, faulty
	Power       uint64   // proven bytes
	Deadlines   []uint64 `cborgen:"maxlen=96"` // live sectors assigned to each deadline
	Partitions  []uint64 `cborgen:"maxlen=96"` // partitions ever made in each deadline
	Budget      Budget   // for faults that cost no fine
	NoShows     uint64   // recent deals that went void before they were active
	NoShowAt    Height   // of the last one
	VoteFrom    Height   // first height whose vote-epoch border may give its keys votes
	Voting      bool     // it is in the newest vote set
	VotedUntil  Height   // last height that it voted at before it left the vote sets
	Bound       Amount   // pledge of ended sectors, locked until what it voted for is beyond dispute
	Guilty      Height   // block that brought evidence of equivocation by it: it never votes again; 0: none
}
