package consensus

import (
	"math/bits"

	"github.com/perdure/perdure/chain"
)

// publishReceiptsUnits pays for the record of what the miner has served.
func publishReceiptsUnits(s *state, _ *chain.PublishReceipts) uint64 { return s.params.UnitWrite }

// applyPublishReceipts adds to what a miner claims to have served. The chain sees
// the root alone: whether there are receipts, and whether those who signed them
// are the miner itself, nobody can tell, so that no rule may rest on it.
func applyPublishReceipts(s *state, m *chain.Message, b *chain.PublishReceipts) (uint64, error) {
	if _, err := s.workerOf(m, b.Miner); err != nil {
		return 0, err
	}
	var served chain.Served
	s.load(chain.ServedKey(b.Miner), &served)
	least := served.Through + 1
	switch {
	case b.Count == 0 || b.Count > chain.MaxReceipts:
		return 0, refuse(CodeFailed, "%d receipts, want 1 to %d", b.Count, chain.MaxReceipts)
	case b.Bytes < b.Count || b.Bytes > b.Count*chain.MaxReceiptBytes:
		return 0, refuse(CodeFailed, "%d bytes in %d receipts, want 1 to %d in each", b.Bytes, b.Count, uint64(chain.MaxReceiptBytes))
	case b.From < least || b.From > b.To || b.To >= s.global.Height:
		return 0, refuse(CodeFailed, "receipts from height %d to %d, want from %d, after those published before, to %d at most",
			b.From, b.To, least, s.global.Height-1)
	}
	bytes, over := bits.Add64(served.Bytes, b.Bytes, 0)
	if over != 0 {
		return 0, refuse(CodeFailed, "%d bytes on top of %d are more than a miner can have served", b.Bytes, served.Bytes)
	}
	s.store(chain.ServedKey(b.Miner), &chain.Served{Bytes: bytes, Receipts: served.Receipts + b.Count, Batches: served.Batches + 1,
		Through: b.To, Root: b.Root, All: chain.AllBatches(served.All, b)})
	s.emit(Event{Kind: EventReceiptsPublished, Miner: b.Miner, Index: b.Bytes})
	return 0, nil
}
