package files

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// Transfer is one fetch: what came, from whom, and what it cost.
type Transfer struct {
	Number  uint64    `json:"number"` // counts the fetches of this home, from 1
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"` // zero: it is under way, or its process was killed

	Root string `json:"root"`           // CID of the payload, or of the piece
	Path string `json:"path,omitempty"` // inside the payload

	Bytes  uint64       `json:"bytes"`  // of blocks
	Chunks uint64       `json:"chunks"` // that they came in
	Paid   chain.Amount `json:"paid"`   // attoPDR

	Sellers []Seller `json:"sellers,omitempty"`
	Error   string   `json:"error,omitempty"` // why it ended early
}

// Seller is one seller's share of a Transfer.
type Seller struct {
	Peer   string       `json:"peer"`            // as text
	Miner  string       `json:"miner,omitempty"` // empty: not known as a miner's
	Bytes  uint64       `json:"bytes"`
	Chunks uint64       `json:"chunks"`
	Paid   chain.Amount `json:"paid"`            // attoPDR
	Fault  string       `json:"fault,omitempty"` // why it was dropped
}

// Sum is the money, the bytes and the chunks of several transfers.
type Sum struct {
	Transfers uint64       `json:"transfers"`
	Bytes     uint64       `json:"bytes"`
	Chunks    uint64       `json:"chunks"`
	Paid      chain.Amount `json:"paid"`
}

// Add counts one transfer, or one seller's share of it.
func (s *Sum) Add(bytes, chunks uint64, paid chain.Amount) error {
	total, err := s.Paid.Add(paid)
	if err != nil {
		return fmt.Errorf("add up transfers: %w", err)
	}
	s.Transfers, s.Bytes, s.Chunks, s.Paid = s.Transfers+1, s.Bytes+bytes, s.Chunks+chunks, total
	return nil
}

// keepTransfers is how many transfers are kept.
const keepTransfers = 10_000

// CreateTransfer stores a new transfer and gives it its number. The oldest one
// goes when there are too many.
func (r *Records) CreateTransfer(ctx context.Context, t *Transfer) error {
	return r.write(ctx, func(db *pebble.DB) error {
		last, err := number(db, keyTransfer)
		if err != nil {
			return err
		}
		t.Number = last + 1
		raw, err := json.Marshal(t)
		if err != nil {
			return err
		}
		b := db.NewBatch()
		defer b.Close()
		err = errors.Join(b.Set(key(tableTransfer, t.Number), raw, nil), b.Set(keyTransfer, binary.BigEndian.AppendUint64(nil, t.Number), nil))
		if t.Number > keepTransfers {
			err = errors.Join(err, b.Delete(key(tableTransfer, t.Number-keepTransfers), nil))
		}
		if err != nil {
			return err
		}
		return b.Commit(pebble.Sync)
	})
}

// SetTransfer stores a transfer as it is now.
func (r *Records) SetTransfer(ctx context.Context, t *Transfer) error {
	return r.write(ctx, func(db *pebble.DB) error {
		raw, err := json.Marshal(t)
		if err != nil {
			return err
		}
		return db.Set(key(tableTransfer, t.Number), raw, pebble.Sync)
	})
}

// Transfers returns the last ten thousand transfers, oldest first.
func (r *Records) Transfers(ctx context.Context) ([]*Transfer, error) {
	var out []*Transfer
	err := r.read(ctx, func(db *pebble.DB) error {
		return scan(db, tableTransfer, func(_ uint64, raw []byte) error {
			t := new(Transfer)
			out = append(out, t)
			return json.Unmarshal(raw, t)
		})
	})
	return out, err
}

// Channel is a payment channel that this home opened.
type Channel struct {
	ID uint64 `json:"-"`
	// Ahead: the user put money into it ahead of need. It stays open until it
	// is withdrawn, however idle it is.
	Ahead bool `json:"ahead,omitempty"`
}

// Channels returns the payment channels that this home opened, by ID.
func (r *Records) Channels(ctx context.Context) ([]Channel, error) {
	var out []Channel
	err := r.read(ctx, func(db *pebble.DB) error {
		return scan(db, tableChannel, func(id uint64, raw []byte) error {
			c := Channel{ID: id}
			out = append(out, c)
			if len(raw) == 0 {
				return nil
			}
			return json.Unmarshal(raw, &out[len(out)-1])
		})
	})
	return out, err
}

// AddChannel notes a channel and forgets the message that opened it.
func (r *Records) AddChannel(ctx context.Context, id uint64) error {
	return r.write(ctx, func(db *pebble.DB) error {
		b := db.NewBatch()
		defer b.Close()
		if err := errors.Join(b.Set(key(tableChannel, id), nil, nil), b.Delete(keyOpening, nil)); err != nil {
			return err
		}
		return b.Commit(pebble.Sync)
	})
}

// SetChannel notes what is known of a channel.
func (r *Records) SetChannel(ctx context.Context, c Channel) error {
	return r.write(ctx, func(db *pebble.DB) error {
		raw, err := json.Marshal(c)
		if err != nil {
			return err
		}
		return db.Set(key(tableChannel, c.ID), raw, pebble.Sync)
	})
}

// ForgetChannel forgets a channel that was collected.
func (r *Records) ForgetChannel(ctx context.Context, id uint64) error {
	return r.write(ctx, func(db *pebble.DB) error { return db.Delete(key(tableChannel, id), pebble.Sync) })
}

// SetLiar notes that the peer with this binary ID is not to be asked until then.
// Those whose time is over are forgotten.
func (r *Records) SetLiar(ctx context.Context, peer string, until time.Time) error {
	return r.write(ctx, func(db *pebble.DB) error {
		b := db.NewBatch()
		defer b.Close()
		err := eachLiar(db, func(k []byte, t time.Time) error {
			if time.Now().After(t) {
				return b.Delete(k, nil)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := b.Set(append([]byte{tableLiar}, peer...), binary.BigEndian.AppendUint64(nil, uint64(until.Unix())), nil); err != nil {
			return err
		}
		return b.Commit(pebble.Sync)
	})
}

// Liars returns until when which peers, by binary ID, are not to be asked.
func (r *Records) Liars(ctx context.Context) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	err := r.read(ctx, func(db *pebble.DB) error {
		return eachLiar(db, func(k []byte, until time.Time) error {
			if time.Now().Before(until) {
				out[string(k[1:])] = until
			}
			return nil
		})
	})
	return out, err
}

func eachLiar(db *pebble.DB, each func(k []byte, until time.Time) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableLiar}, UpperBound: []byte{tableLiar + 1}})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		if v := it.Value(); len(v) == 8 {
			if err := each(it.Key(), time.Unix(int64(binary.BigEndian.Uint64(v)), 0)); err != nil {
				return errors.Join(err, it.Close())
			}
		}
	}
	return errors.Join(it.Error(), it.Close())
}
