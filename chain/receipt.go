package chain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/minio/sha256-simd"
)

// Receipt is what a buyer signs for a seller once it has fetched and checked
// content: so many bytes, between two heights. It proves that whoever holds the
// buyer's key says so, and no more: a seller can be its own buyer.
type Receipt struct {
	Version  uint64
	ChainID  string
	Miner    MinerID // who served
	Deal     uint64  // of the content; 0: of none that the buyer knows
	Buyer    Address // key address that signs
	Nonce    uint64  // by which a buyer's receipts in one batch are told apart: each counts once
	Bytes    uint64  // of blocks, each checked against its CID
	From, To Height  // of the chain at the first and at the last of them
}

// SignedReceipt is a receipt with its buyer's secp256k1 signature.
type SignedReceipt struct {
	Receipt   Receipt
	Signature crypto.Signature
}

// SignBytes returns what the buyer signs.
func (r *Receipt) SignBytes() ([]byte, error) {
	return SignBytes(DomainReceipt, r.Version, r.ChainID, r)
}

// MaxReceiptBytes is the most that one receipt may say was served.
const MaxReceiptBytes = 1 << 40

// Check refuses a receipt that is of another chain or version, says nothing, or
// that its buyer did not sign.
func (s *SignedReceipt) Check(chainID string) error {
	r := &s.Receipt
	switch {
	case r.Version != MessageVersion:
		return fmt.Errorf("receipt version %d, want %d", r.Version, MessageVersion)
	case r.ChainID != chainID:
		return fmt.Errorf("receipt of chain %q, want %q", r.ChainID, chainID)
	case r.Bytes == 0 || r.Bytes > MaxReceiptBytes:
		return fmt.Errorf("receipt for %d bytes, want 1 to %d", r.Bytes, uint64(MaxReceiptBytes))
	case r.From > r.To:
		return fmt.Errorf("receipt from height %d to %d: it ends before it begins", r.From, r.To)
	}
	text, err := r.SignBytes()
	if err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	if err := VerifySignature(&s.Signature, r.Buyer, text); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return nil
}

// PublishReceipts says how much a miner has served, by a batch of receipts that
// it can show: Root is their ReceiptsRoot. The miner says so itself and no rule
// pays for it.
type PublishReceipts struct {
	Miner    MinerID
	Root     [32]byte
	Count    uint64 // receipts in the batch
	Bytes    uint64 // all of them together
	From, To Height // the least and the greatest To of them
}

// MaxReceipts is the most receipts in a batch.
const MaxReceipts = 1 << 20

// Kind implements Body.
func (*PublishReceipts) Kind() Kind { return KindPublishReceipts }

// OfMiner implements MinerBody.
func (b *PublishReceipts) OfMiner() MinerID { return b.Miner }

// Served is the record of what a miner claims to have served.
type Served struct {
	Bytes    uint64
	Receipts uint64
	Batches  uint64
	Through  Height   // To of the last batch: receipts of the next one end after it
	Root     [32]byte // of the last batch
	All      [32]byte // AllBatches of all of them
}

// AllBatches is the digest over all batches of a miner once b is published, given
// that over those before (zero for none): SHA-256 of before, Root, and Count,
// Bytes, From and To as u64be. By it whoever is shown all of the batches knows
// that these are those which the chain saw.
func AllBatches(before [32]byte, b *PublishReceipts) [32]byte {
	text := append(before[:], b.Root[:]...)
	for _, n := range []uint64{b.Count, b.Bytes, uint64(b.From), uint64(b.To)} {
		text = binary.BigEndian.AppendUint64(text, n)
	}
	return sha256.Sum256(text)
}

// ReceiptsRoot is the Merkle tree hash of RFC 6962 over the encodings of signed
// receipts, in the miner's order; of none it is SHA-256 of nothing.
func ReceiptsRoot(receipts [][]byte) [32]byte {
	switch n := len(receipts); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, receipts[0]...))
	default:
		k := leftLeaves(n)
		return parentHash(ReceiptsRoot(receipts[:k]), ReceiptsRoot(receipts[k:]))
	}
}

// leftLeaves is how many of n leaves, two at least, stand in the left half: the
// greatest power of two below n.
func leftLeaves(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

func parentHash(left, right [32]byte) [32]byte {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// ReceiptPath is what shows that receipt i belongs to the root of all: the
// hashes beside its way up, the lowest first.
func ReceiptPath(receipts [][]byte, i int) [][32]byte {
	if len(receipts) < 2 {
		return nil
	}
	k := leftLeaves(len(receipts))
	if i < k {
		return append(ReceiptPath(receipts[:k], i), ReceiptsRoot(receipts[k:]))
	}
	return append(ReceiptPath(receipts[k:], i-k), ReceiptsRoot(receipts[:k]))
}

// ErrReceiptPath is returned for a path that does not lead to the root.
var ErrReceiptPath = errors.New("receipt does not belong to the published root")

// CheckReceiptPath checks that an encoded receipt is the one of index i among
// count with that root.
func CheckReceiptPath(root [32]byte, count, i uint64, receipt []byte, path [][32]byte) error {
	var rights []bool // from the root down: whether the way goes right
	first, n := uint64(0), count
	if i >= count || count > 1<<32 {
		return fmt.Errorf("receipt %d of %d: %w", i, count, ErrReceiptPath)
	}
	for n > 1 {
		k := uint64(leftLeaves(int(n)))
		right := i-first >= k
		if right {
			first, n = first+k, n-k
		} else {
			n = k
		}
		rights = append(rights, right)
	}
	if len(path) != len(rights) {
		return fmt.Errorf("receipt %d of %d: path of %d hashes, want %d: %w", i, count, len(path), len(rights), ErrReceiptPath)
	}
	at := ReceiptsRoot([][]byte{receipt})
	for j, beside := range path {
		if rights[len(rights)-1-j] {
			at = parentHash(beside, at)
		} else {
			at = parentHash(at, beside)
		}
	}
	if at != root {
		return fmt.Errorf("receipt %d of %d: %w", i, count, ErrReceiptPath)
	}
	return nil
}
