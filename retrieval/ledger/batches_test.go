package ledger

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
)

// shop is a ledger of a seller in a test, on a disk that can crash.
type shop struct {
	*Ledger
	t  *testing.T
	fs *vfs.MemFS
	o  Options
}

func newShop(t *testing.T, o Options) *shop {
	s := &shop{t: t, fs: vfs.NewCrashableMem(), o: o}
	s.open()
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func (s *shop) open() {
	s.t.Helper()
	s.o.FS = s.fs
	l, err := Open("ledger", s.o)
	must(s.t, err)
	s.Ledger = l
}

// crash goes on with what is surely on disk.
func (s *shop) crash() {
	s.t.Helper()
	s.fs = s.fs.CrashClone(vfs.CrashCloneCfg{})
	must(s.t, s.Close())
	s.open()
}

// publish saves receipts that end at a height and makes a batch of them that the
// chain takes, or does not.
func (s *shop) publish(to chain.Height, n int, as BatchState) *Batch {
	s.t.Helper()
	for i := range n {
		must(s.t, s.SaveReceipt(receiptOf(s.t, 1, uint64(i), 10, to)))
	}
	b, err := s.MakeBatch(to, n)
	must(s.t, err)
	must(s.t, s.SetBatch(b.Number, as))
	return b
}

// drop drops what it may and returns the numbers of the batches.
func (s *shop) drop(keep uint64) (dropped []uint64) {
	s.t.Helper()
	for {
		b, err := s.DropReceipts(keep)
		must(s.t, err)
		if b == nil {
			return dropped
		}
		dropped = append(dropped, b.Number)
	}
}

// count is how many records a table has.
func (s *shop) count(table byte) (n int) {
	s.t.Helper()
	must(s.t, s.scan([]byte{table}, func(_, _ []byte) error { n++; return nil }))
	return n
}

// TestDropReceipts drops the oldest receipts, whole batches of them, and nothing that
// is still of use: what was published last, what is being published, what waits, the
// list of all batches, and what keeps a receipt from being published twice.
func TestDropReceipts(t *testing.T) {
	s := newShop(t, Options{})
	if got := s.drop(1); got != nil {
		t.Fatalf("batches %v of none were dropped", got)
	}
	for i := range 5 {
		s.publish(chain.Height(10*i+10), 4, BatchPublished)
	}
	if got := s.drop(100); got != nil {
		t.Errorf("batches %v were dropped, and 20 receipts are less than 100", got)
	}
	if got := s.drop(7); len(got) != 3 || got[0] != 1 || got[2] != 3 { // 8 are left
		t.Errorf("batches %v were dropped, want 1 to 3", got)
	}
	s.crash()
	if from, err := s.KeptFrom(); from != 4 || err != nil {
		t.Errorf("kept from batch %d, %v", from, err)
	}
	numbers := 0
	must(t, s.Batches(0, func(b *Batch) error {
		numbers++
		leaves, err := s.Leaves(b.Number)
		must(t, err)
		found, err := s.BatchOf(b.Root)
		must(t, err)
		if b.Number >= 4 && chain.ReceiptsRoot(leaves) != b.Root || b.Number < 4 && leaves != nil || *found != *b {
			t.Errorf("batch %+v: %d receipts, by its root %+v", b, len(leaves), found)
		}
		return nil
	}))
	if numbers != 5 {
		t.Errorf("%d batches are listed", numbers)
	}
	for _, again := range []chain.Height{10, 50} { // dropped, and still there
		if err := s.SaveReceipt(receiptOf(t, 1, 0, 10, again)); !errors.Is(err, ErrReceiptLate) {
			t.Errorf("a receipt of height %d again: %v", again, err)
		}
	}

	must(t, s.SaveReceipt(receiptOf(t, 1, 0, 10, 60)))
	pending, err := s.MakeBatch(60, 1)
	must(t, err)
	must(t, s.SaveReceipt(receiptOf(t, 1, 0, 10, 70))) // waits
	if got := s.drop(1); len(got) != 2 || got[1] != 5 {
		t.Errorf("batches %v were dropped, want 4 and 5", got)
	}
	s.crash()
	if again, err := s.MakeBatch(60, 1); err != nil || *again != *pending {
		t.Errorf("the pending batch is %+v, %v", again, err)
	}
	if leaves, err := s.Leaves(pending.Number); err != nil || chain.ReceiptsRoot(leaves) != pending.Root {
		t.Errorf("the pending batch has %d receipts, %v", len(leaves), err)
	}
	if to, ok, err := s.OldestReceipt(); to != 70 || !ok || err != nil {
		t.Errorf("what waits ends at %d, %v, %v", to, ok, err)
	}
}

// TestRefusedBatch: the receipts of a batch that the chain will never take go at once,
// and do not count as kept.
func TestRefusedBatch(t *testing.T) {
	s := newShop(t, Options{})
	s.publish(10, 3, BatchPublished)
	refused := s.publish(20, 50, BatchRefused)
	s.publish(30, 2, BatchPublished)
	if leaves, err := s.Leaves(refused.Number); leaves != nil || err != nil {
		t.Errorf("%d receipts of a refused batch, %v", len(leaves), err)
	}
	if b, err := s.BatchOf(refused.Root); b != nil || err != nil {
		t.Errorf("a refused batch is found by its root: %+v, %v", b, err)
	}
	if got := s.drop(3); got != nil {
		t.Errorf("batches %v were dropped, and 2 receipts are less than 3", got)
	}
	if got := s.drop(2); len(got) != 1 || got[0] != 1 {
		t.Errorf("batches %v were dropped, want 1", got)
	}
}

// TestReceiptsBounded serves for long: records and bytes on disk stay as few as what
// is kept, beside a line for each batch.
func TestReceiptsBounded(t *testing.T) {
	const rounds, each, keep = 150, 40, 200
	s := newShop(t, Options{})
	for i := range rounds {
		s.publish(chain.Height(i+1), each, BatchPublished)
		if _, err := s.DropReceipts(keep); err != nil { // one batch at most
			t.Fatal(err)
		}
		if n := s.count(tableLeaf); n > keep+each || i > 10 && n < keep {
			t.Fatalf("round %d: %d receipts, want %d to %d", i, n, keep, keep+each)
		}
		if n, m := s.count(tableReceipt), s.count(tableNonce); n+m != 0 {
			t.Fatalf("round %d: %d receipts and %d names wait", i, n, m)
		}
	}
	must(t, s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false))
	used, err := s.db.EstimateDiskUsage([]byte{0}, []byte{0xff})
	must(t, err)
	if most := uint64((keep+each)*300 + rounds*200); used > most {
		t.Errorf("%d bytes on disk, want at most %d", used, most)
	}
}

// TestWaitingBounded: no more receipts wait than may, also after a restart, and those
// that stand in a batch make room.
func TestWaitingBounded(t *testing.T) {
	s := newShop(t, Options{MaxWaiting: 3})
	fill := func(to chain.Height, room int) {
		t.Helper()
		for i := range room {
			must(t, s.SaveReceipt(receiptOf(t, 2, uint64(i), 1, to+chain.Height(i))))
		}
		if err := s.SaveReceipt(receiptOf(t, 2, 99, 1, to)); !errors.Is(err, ErrReceiptFull) || !errors.Is(err, ErrReceipt) {
			t.Errorf("one too many: %v", err)
		}
	}
	fill(10, 3)
	s.crash()
	fill(10, 0)
	b, err := s.MakeBatch(11, 10)
	must(t, err)
	if b.Count != 2 {
		t.Fatalf("%d receipts in the batch", b.Count)
	}
	fill(20, 2)
}
