package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/miner/unsealing"
	"github.com/perdure/perdure/retrieval/seller"
)

// dormant is the archive of a piece that is only in a sector. It implements
// seller.Dormant.
type dormant struct {
	piece cid.Cid
	cost  chain.Amount
	from  *unsealing.Unsealing
	disk  *disk.Disk

	mu   sync.Mutex
	file *os.File // once it was unsealed
}

// Cost implements seller.Dormant.
func (d *dormant) Cost() chain.Amount { return d.cost }

// Wake implements seller.Dormant.
func (d *dormant) Wake(context.Context) error { return unavailable(d.from.Order(d.piece)) }

// Left implements seller.Dormant.
func (d *dormant) Left() time.Duration { return d.from.Left(d.piece) }

// Await implements seller.Dormant.
func (d *dormant) Await(ctx context.Context) error {
	if err := d.from.Await(ctx, d.piece); err != nil {
		return unavailable(err)
	}
	f, err := os.Open(d.disk.Piece(d.piece))
	if err != nil {
		return unavailable(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.file = f
	return nil
}

// ReadAt implements io.ReaderAt.
func (d *dormant) ReadAt(b []byte, off int64) (int, error) {
	d.mu.Lock()
	f := d.file
	d.mu.Unlock()
	if f == nil {
		return 0, fmt.Errorf("piece %s is sealed: %w", d.piece, seller.ErrUnavailable)
	}
	return f.ReadAt(b, off)
}

// Close implements io.Closer.
func (d *dormant) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}

func unavailable(err error) error {
	if err == nil || errors.Is(err, seller.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", seller.ErrUnavailable, err)
}

// openDormant returns the archive of a piece that has to be unsealed, nil if it is in
// no active sector.
func (s *source) openDormant(c cid.Cid) (*dormant, error) {
	if s.sealed == nil {
		return nil, nil
	}
	d := &dormant{piece: c, from: s.sealed, disk: s.disk}
	switch state, err := s.sealed.State(c); {
	case err != nil:
		return nil, err
	case state == unsealing.Ordered:
		return d, nil
	case state != unsealing.Sealed:
		return nil, nil
	}
	of, err := s.records.DealsOfPiece(c)
	if err != nil {
		return nil, err
	}
	d.cost, err = unsealCost(of)
	return d, err
}

// unsealCost is what it costs to unseal a piece: as the ask announced when the deal
// matched that the miner holds it by, the cheapest if they are several.
func unsealCost(of []*miner.Deal) (least chain.Amount, err error) {
	first := true
	for _, d := range of {
		if d.State != miner.DealActive {
			continue
		}
		cost, err := d.Deal.UnsealPrice.MulDivCeil(d.Deal.PaddedSize, chain.GiB)
		if err != nil {
			return least, fmt.Errorf("unseal price of deal %d: %w", d.ID, err)
		}
		if first || cost.Less(least) {
			least, first = cost, false
		}
	}
	return least, nil
}

// openUnsealing makes what drops copies of sealed pieces and gets them back.
func (d *Daemon) openUnsealing(context.Context) (err error) {
	idle := time.Duration(0)
	if text := d.opts.Config.Retrieval.DropIdle; text != "" {
		if idle, err = time.ParseDuration(text); err != nil || idle < time.Second {
			return fmt.Errorf("retrieval.drop_idle: %q, want a time of a second or more, like 24h", text)
		}
	}
	d.source = newSource(d.records, d.disk)
	d.unsealing, err = unsealing.New(unsealing.Config{Idle: idle, Describe: d.source.describe, Log: d.log.With("part", "unsealing")},
		d.records, d.disk)
	d.source.sealed = d.unsealing
	return err
}
