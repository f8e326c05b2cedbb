package chain

import (
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
)

// PartitionSectors is the most sectors of a partition: one window proof covers one partition.
const PartitionSectors = 32

// SectorPiece is a piece placed in a sector, in order. Deal 0 is padding or the miner's own data.
type SectorPiece struct {
	PieceCID   cid.Cid
	PaddedSize uint64
	Deal       uint64
}

// PreCommit announces one sealed sector.
type PreCommit struct {
	Number       uint64 // chosen by the miner, below 2^32; no record of a sector has it
	CommR        [32]byte
	TicketHeight Height // whose beacon value was the ticket
	Expiration   Height
	Pieces       []SectorPiece `cborgen:"maxlen=256"` // CommD follows from them; none: zeros
}

// PreCommitSectors announces sealed sectors, before the challenge seed exists.
type PreCommitSectors struct {
	Miner   MinerID
	Sectors []PreCommit `cborgen:"maxlen=64"`
}

// Kind implements Body.
func (*PreCommitSectors) Kind() Kind { return KindPreCommitSectors }

// OfMiner implements MinerBody.
func (b *PreCommitSectors) OfMiner() MinerID { return b.Miner }

// ProveCommit carries one part of a sector's PoRep openings: challenges
// Part*18 to Part*18+17, or fewer in the last part.
type ProveCommit struct {
	Miner  MinerID
	Number uint64
	Part   uint64
	Proof  []byte `cborgen:"maxlen=2097152"`
}

// Kind implements Body.
func (*ProveCommit) Kind() Kind { return KindProveCommit }

// OfMiner implements MinerBody.
func (b *ProveCommit) OfMiner() MinerID { return b.Miner }

// SubmitWindowProof proves one partition in its open window. It has no nonce;
// its replay key is (miner, period, deadline, partition), and its fee comes
// from the miner's balance, or from the sender's if that is too small.
type SubmitWindowProof struct {
	Miner     MinerID
	Period    uint64 // index of the miner's proving period, from 0
	Deadline  uint64
	Partition uint64
	Skipped   uint64 // bit i: sector slot i of the partition is not proven
	Proof     []byte `cborgen:"maxlen=2097152"`
}

// Kind implements Body.
func (*SubmitWindowProof) Kind() Kind { return KindSubmitWindowProof }

// OfMiner implements MinerBody.
func (b *SubmitWindowProof) OfMiner() MinerID { return b.Miner }

// DeclareFaults says, before the cut-off, that sectors will not be proven.
type DeclareFaults struct {
	Miner   MinerID
	Sectors []uint64 `cborgen:"maxlen=512"`
}

// Kind implements Body.
func (*DeclareFaults) Kind() Kind { return KindDeclareFaults }

// OfMiner implements MinerBody.
func (b *DeclareFaults) OfMiner() MinerID { return b.Miner }

// DeclareRecoveries says, before the cut-off, that faulty sectors will be
// proven in the next window again.
type DeclareRecoveries struct {
	Miner   MinerID
	Sectors []uint64 `cborgen:"maxlen=512"`
}

// Kind implements Body.
func (*DeclareRecoveries) Kind() Kind { return KindDeclareRecoveries }

// OfMiner implements MinerBody.
func (b *DeclareRecoveries) OfMiner() MinerID { return b.Miner }

// TerminateSectors ends active or faulty sectors before their term, at a price.
type TerminateSectors struct {
	Miner   MinerID
	Sectors []uint64 `cborgen:"maxlen=64"`
}

// Kind implements Body.
func (*TerminateSectors) Kind() Kind { return KindTerminateSectors }

// OfMiner implements MinerBody.
func (b *TerminateSectors) OfMiner() MinerID { return b.Miner }

// ExtendSectors moves the expiration of active sectors to a later height.
type ExtendSectors struct {
	Miner      MinerID
	Sectors    []uint64 `cborgen:"maxlen=512"`
	Expiration Height
}

// Kind implements Body.
func (*ExtendSectors) Kind() Kind { return KindExtendSectors }

// OfMiner implements MinerBody.
func (b *ExtendSectors) OfMiner() MinerID { return b.Miner }

// SectorState is a sector's place in its life.
type SectorState uint64

// The states of a sector.
const (
	SectorPreCommitted SectorState = 1
	SectorActive       SectorState = 2
	SectorFaulty       SectorState = 3
	SectorExpired      SectorState = 4 // term over
	SectorDropped      SectorState = 5 // pre-commit expired unproven
	SectorLost         SectorState = 6 // faulty for FaultMaxAge periods
	SectorTerminated   SectorState = 7 // ended by its miner before its term
)

// String returns the state's name, as JSON shows it.
func (s SectorState) String() string {
	names := [...]string{"unknown", "preCommitted", "active", "faulty", "expired", "dropped", "lost", "terminated"}
	if int(s) >= len(names) {
		return names[0]
	}
	return names[s]
}

// Sector is the record of a sector. It stays for EndedRetention blocks after the
// sector has ended; then it goes, and the number is free again.
type Sector struct {
	Miner        MinerID
	Number       uint64
	State        SectorState
	SealProof    abi.RegisteredSealProof
	CommR        [32]byte
	CommD        [32]byte
	Ticket       [32]byte // drawn from the beacon value of the pre-commit's ticket height
	PreCommitted Height
	SeedHeight   Height        // whose beacon value seeds the PoRep challenges
	Pieces       []SectorPiece `cborgen:"maxlen=256"`
	Proven       uint64        // bit i: part i of the openings is proven
	Deposit      Amount        // until active
	Pledge       Amount        // from then on
	Activated    Height        // 0: not yet
	Expiration   Height
	Deadline     uint64
	Partition    uint64
	Slot         uint64 // place in the partition
	FaultSince   Height // from which its fault counts, earlier ones that are not forgiven included; 0: not faulty
	FaultAge     uint64 // blocks of fault that counted when it last recovered, of which proven heights forgive a part
	PaidThrough  Height // deal pay of this sector is settled up to and including here
}

// Partition is the record of up to 32 sectors proven by one message. The masks
// have bit i for slot i. It goes when its last sector has ended and that one's
// last window has closed; its index is not used again.
type Partition struct {
	Sectors       []uint64 `cborgen:"maxlen=32"` // numbers by slot; slots are not reused
	Live          uint64   // to be proven or faulty
	Faulty        uint64   // without power
	Recovering    uint64   // faulty, and to be proven in the next window
	Charged       uint64   // faulty, and the window that closes next is settled: fined, covered by the budget or proven before
	ProvenPeriods uint64   // 1 + index of the last period that was proven or had nothing to prove; 0: none
	ProvenThrough Height   // height that accepted the last proof
	Earning       uint64   // slots that the last accepted proof covered: they earn until the next
	RewardIndex   Amount   // Issuance.Index when it was accepted
	Closes        Height   // last height of the window that closes next
}

// Provable is the mask of slots that the next proof of the partition covers,
// unless it skips them: live, and not faulty or declared recovering.
func (p *Partition) Provable() uint64 { return p.Live & (^p.Faulty | p.Recovering) }

// Live reports whether the sector has a place in a partition: active or faulty.
func (s *Sector) Live() bool { return s.State == SectorActive || s.State == SectorFaulty }

// Ended reports whether the sector's life is over.
func (s *Sector) Ended() bool { return s.State >= SectorExpired }
