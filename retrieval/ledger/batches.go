package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// BatchState is how far a batch of receipts is.
type BatchState byte

// The states of a batch.
const (
	BatchPending   BatchState = 1 // made, and not known to be on chain
	BatchPublished BatchState = 2
	BatchRefused   BatchState = 3 // the chain will never take it
)

// Batch is a batch of receipts, as one message publishes it.
type Batch struct {
	Number   uint64 // from 1
	State    BatchState
	Root     [32]byte
	Count    uint64
	Bytes    uint64
	From, To chain.Height
	Total    uint64 // receipts in all batches up to this one, those refused aside
}

// MakeBatch puts the receipts that end by a height into a batch: about most of them
// if there are more, whole heights at a time, since no later batch can take up a
// height again. A batch that is still pending is returned as it is; nil: there is
// nothing to publish. It is durable when it returns.
func (l *Ledger) MakeBatch(through chain.Height, most int) (*Batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, err := l.lastBatch()
	if err != nil || last != nil && last.State == BatchPending {
		return last, err
	}
	next := &Batch{Number: 1, State: BatchPending}
	if last != nil {
		next.Number, next.Total = last.Number+1, last.Total
	}
	b := l.db.NewBatch()
	defer b.Close()
	leaves, err := l.collect(b, next, through, most)
	if err != nil || len(leaves) == 0 {
		return nil, err
	}
	next.Root, next.Total = chain.ReceiptsRoot(leaves), next.Total+next.Count
	err = errors.Join(b.Set(key(tableBatch, next.Number), encodeBatch(next), nil),
		b.Set(named([]byte{tableRoot}, next.Root), encodeNumbers(next.Number), nil))
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		return nil, fmt.Errorf("keep batch %d of receipts: %w", next.Number, err)
	}
	l.waiting -= len(leaves)
	return next, nil
}

// collect moves receipts into a batch and sums them up. l.mu is held.
func (l *Ledger) collect(b *pebble.Batch, into *Batch, through chain.Height, most int) (leaves [][]byte, err error) {
	err = l.scan([]byte{tableReceipt}, func(k, value []byte) error {
		to := chain.Height(number(k, 0))
		if to > through || len(leaves) >= most && to != into.To {
			return errEnough
		}
		raw, err := body(value, 1)
		if err != nil {
			return err
		}
		var r chain.SignedReceipt
		if err := chain.Decode(raw, &r); err != nil {
			return fmt.Errorf("read receipt: %w", err)
		}
		if len(leaves) == 0 {
			into.From = to
		}
		leaf := append([]byte(nil), raw...)
		err = errors.Join(b.Set(key(tableLeaf, into.Number, uint64(len(leaves))), append([]byte{recordVersion}, leaf...), nil),
			b.Delete(append([]byte(nil), k...), nil), b.Delete(append([]byte{tableNonce}, k[9:]...), nil))
		leaves = append(leaves, leaf)
		into.To, into.Count, into.Bytes = to, into.Count+1, into.Bytes+r.Receipt.Bytes
		return err
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return leaves, err
}

// SetBatch notes how far the newest batch is. The receipts of one that is refused
// are of no use any more and go.
func (l *Ledger) SetBatch(n uint64, s BatchState) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, err := l.batch(n)
	if err != nil {
		return err
	}
	b := l.db.NewBatch()
	defer b.Close()
	if of.State = s; s == BatchRefused {
		of.Total -= of.Count
		err = errors.Join(dropLeaves(b, n), b.Delete(named([]byte{tableRoot}, of.Root), nil))
	}
	err = errors.Join(err, b.Set(key(tableBatch, n), encodeBatch(of), nil))
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("note batch %d of receipts: %w", n, err)
	}
	return nil
}

func dropLeaves(b *pebble.Batch, n uint64) error {
	leaves := key(tableLeaf, n)
	return b.DeleteRange(leaves, after(leaves), nil)
}

// DropReceipts drops the receipts of the oldest batch that has them if there are as
// many as keep, at least one, in the batches behind it. It returns that batch, nil if
// there was none. What batches there were, and their roots, stays: the list of them
// is what the chain's digest speaks of.
func (l *Ledger) DropReceipts(keep uint64) (*Batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.KeptFrom()
	if err != nil || n == math.MaxUint64 {
		return nil, err
	}
	oldest, err := l.batch(n)
	if err != nil {
		return nil, err
	}
	last, err := l.lastBatch()
	if err != nil || last.Total-oldest.Total < max(keep, 1) {
		return nil, err
	}
	b := l.db.NewBatch()
	defer b.Close()
	if err = dropLeaves(b, n); err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		return nil, fmt.Errorf("drop the receipts of batch %d: %w", n, err)
	}
	return oldest, nil
}

// KeptFrom is the number of the oldest batch whose receipts are kept; the greatest
// number there is if none is.
func (l *Ledger) KeptFrom() (uint64, error) {
	from := uint64(math.MaxUint64)
	err := l.first([]byte{tableLeaf}, func(k []byte) { from = number(k, 0) })
	return from, err
}

// Batches calls visit with the batches behind number after, in order; its error ends
// that and is returned.
func (l *Ledger) Batches(after uint64, visit func(*Batch) error) error {
	return l.scan([]byte{tableBatch}, func(k, value []byte) error {
		n := number(k, 0)
		if n <= after {
			return nil
		}
		b, err := decodeBatch(n, value)
		if err != nil {
			return err
		}
		return visit(b)
	})
}

// BatchOf returns the batch with a root, nil if there is none.
func (l *Ledger) BatchOf(root [32]byte) (*Batch, error) {
	value, err := l.get(named([]byte{tableRoot}, root))
	if value == nil || err != nil {
		return nil, err
	}
	n, err := body(value, 8)
	if err != nil {
		return nil, err
	}
	return l.batch(binary.BigEndian.Uint64(n))
}

// Leaves returns the encoded receipts of a batch, in order; none if they were dropped.
func (l *Ledger) Leaves(n uint64) (out [][]byte, err error) {
	err = l.scan(key(tableLeaf, n), func(_, value []byte) error {
		raw, err := body(value, 1)
		out = append(out, append([]byte(nil), raw...))
		return err
	})
	return out, err
}

// lastBatch is the newest batch, nil if there is none.
func (l *Ledger) lastBatch() (last *Batch, err error) {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableBatch}, UpperBound: after([]byte{tableBatch})})
	if err != nil {
		return nil, fmt.Errorf("read payment ledger: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.Last() {
		return nil, it.Error()
	}
	return decodeBatch(number(it.Key(), 0), it.Value())
}

func (l *Ledger) batch(n uint64) (*Batch, error) {
	value, err := l.get(key(tableBatch, n))
	if err == nil && value == nil {
		err = fmt.Errorf("there is no batch %d of receipts", n)
	}
	if err != nil {
		return nil, err
	}
	return decodeBatch(n, value)
}

func encodeBatch(b *Batch) []byte {
	out := append([]byte{recordVersion, byte(b.State)}, b.Root[:]...)
	return append(out, encodeNumbers(b.Count, b.Bytes, uint64(b.From), uint64(b.To), b.Total)[1:]...)
}

func decodeBatch(n uint64, value []byte) (*Batch, error) {
	raw, err := body(value, 1+32+5*8)
	if err != nil {
		return nil, fmt.Errorf("read batch %d of receipts: %w", n, err)
	}
	b := &Batch{Number: n, State: BatchState(raw[0]), Root: [32]byte(raw[1:33])}
	figures := raw[33:]
	b.Count, b.Bytes = binary.BigEndian.Uint64(figures), binary.BigEndian.Uint64(figures[8:])
	b.From, b.To = chain.Height(binary.BigEndian.Uint64(figures[16:])), chain.Height(binary.BigEndian.Uint64(figures[24:]))
	b.Total = binary.BigEndian.Uint64(figures[32:])
	return b, nil
}
