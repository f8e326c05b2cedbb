package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// ErrReceipt is wrapped by the reasons for which a receipt is not taken.
var ErrReceipt = errors.New("receipt is not taken")

// The reasons.
var (
	// ErrReceiptHeld is returned for one that waits already, by its buyer and nonce.
	ErrReceiptHeld = fmt.Errorf("%w: it is held already", ErrReceipt)
	// ErrReceiptLate is returned for one that ends before the newest batch does: it
	// cannot be published any more.
	ErrReceiptLate = fmt.Errorf("%w: it ends at heights that are published already", ErrReceipt)
	// ErrReceiptFull is returned for one that finds as many others waiting for a
	// batch as may.
	ErrReceiptFull = fmt.Errorf("%w: too many others wait to be published", ErrReceipt)
)

// receiptName tells receipts apart. It is kept for as long as the receipt waits: one
// that comes again after that is late.
func receiptName(r *chain.Receipt) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64(r.Buyer.Bytes(), r.Nonce))
}

func named(prefix []byte, name [32]byte) []byte { return append(prefix, name[:]...) }

// SaveReceipt makes a receipt durable until it stands in a batch. The caller has
// checked it. ErrReceipt is wrapped if it is not taken.
func (l *Ledger) SaveReceipt(r *chain.SignedReceipt) error {
	raw, err := chain.Encode(r)
	if err != nil {
		return fmt.Errorf("encode receipt: %w", err)
	}
	name := receiptName(&r.Receipt)
	l.mu.Lock()
	defer l.mu.Unlock()
	used := named([]byte{tableNonce}, name)
	switch held, err := l.get(used); {
	case err != nil:
		return err
	case held != nil:
		return ErrReceiptHeld
	}
	last, err := l.lastBatch()
	switch {
	case err != nil:
		return err
	case last != nil && r.Receipt.To <= last.To:
		return ErrReceiptLate
	case l.waiting >= l.maxWaiting:
		return ErrReceiptFull
	}
	b := l.db.NewBatch()
	defer b.Close()
	err = errors.Join(b.Set(used, []byte{recordVersion}, nil),
		b.Set(named(key(tableReceipt, uint64(r.Receipt.To)), name), append([]byte{recordVersion}, raw...), nil))
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("keep receipt: %w", err)
	}
	l.waiting++
	return nil
}

// countWaiting counts the receipts that are in no batch yet.
func (l *Ledger) countWaiting() error {
	return l.scan([]byte{tableReceipt}, func(_, _ []byte) error {
		l.waiting++
		return nil
	})
}

// OldestReceipt is the height at which the oldest receipt ends that is in no batch;
// ok is false if there is none.
func (l *Ledger) OldestReceipt() (to chain.Height, ok bool, err error) {
	err = l.first([]byte{tableReceipt}, func(k []byte) { to, ok = chain.Height(number(k, 0)), true })
	return to, ok, err
}
