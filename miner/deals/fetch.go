package deals

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/porep/piece"
)

// startFetch gets a piece in the background, unless that is under way or was
// tried a moment ago.
func (d *Deals) startFetch(ctx context.Context, rec *miner.Deal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fetching[rec.ID] || time.Now().Before(d.retry[rec.ID]) {
		return
	}
	d.fetching[rec.ID] = true
	d.wg.Go(func() {
		err := d.fetch(ctx, rec)
		d.mu.Lock()
		delete(d.fetching, rec.ID)
		if err != nil && !errors.Is(err, miner.ErrNoClient) { // for whom the next block looks again
			d.retry[rec.ID] = time.Now().Add(d.cfg.Retry)
		}
		d.mu.Unlock()
		switch {
		case ctx.Err() != nil, errors.Is(err, miner.ErrNoClient):
		case err != nil:
			d.cfg.Log.Warn("fetch piece", "deal", rec.ID, "err", err)
		default:
			d.Wake()
		}
	})
}

// fetch gets a piece, unless it is here already, and checks that it is the one
// that the bid names.
func (d *Deals) fetch(ctx context.Context, rec *miner.Deal) error {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	path := d.disk.Piece(rec.Deal.PieceCID)
	bought, err := d.obtain(ctx, rec, path)
	if err != nil {
		return fmt.Errorf("piece of deal %d: %w", rec.ID, err)
	}
	got, err := commitFile(path)
	if err != nil {
		return err
	}
	if got.CID == rec.Deal.PieceCID && got.PaddedSize == rec.Deal.PaddedSize {
		return d.move(rec.ID, miner.DealFetching, miner.DealFetched, "")
	}
	problem := fmt.Sprintf("sent was piece %s of %d bytes, the deal is for %s of %d",
		got.CID, got.PaddedSize, rec.Deal.PieceCID, rec.Deal.PaddedSize)
	d.cfg.Log.Error("wrong piece dropped", "deal", rec.ID, "problem", problem)
	if rec.Deal.Succeeds != nil {
		return errors.Join(d.disk.DropPiece(rec.Deal.PieceCID), d.wrongPurchase(rec, bought, problem))
	}
	return errors.Join(d.disk.DropPiece(rec.Deal.PieceCID), d.move(rec.ID, miner.DealFetching, miner.DealDiscarded, problem))
}

// obtain brings the piece to path unless it is there: from the deal's client,
// or for a repair from the holders of other copies.
func (d *Deals) obtain(ctx context.Context, rec *miner.Deal, path string) (miner.Purchase, error) {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return miner.Purchase{}, err
	}
	if err := d.disk.Room(rec.Deal.PaddedSize); err != nil {
		return miner.Purchase{}, err
	}
	if rec.Deal.Succeeds == nil {
		return miner.Purchase{}, d.fetcher.Fetch(ctx, &rec.Deal, path)
	}
	if d.cfg.Buyer == nil {
		return miner.Purchase{}, miner.ErrNoSeller
	}
	return d.buy(ctx, rec, path)
}

func commitFile(path string) (piece.Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return piece.Info{}, fmt.Errorf("commit piece: %w", err)
	}
	defer f.Close()
	info, err := piece.Commit(f)
	if err != nil {
		return piece.Info{}, fmt.Errorf("commit piece %s: %w", path, err)
	}
	return info, nil
}

// acceptBatch is the most deals of one AcceptData.
const acceptBatch = 64

// accept tells the chain of all fetched pieces in one message.
func (d *Deals) accept(ctx context.Context, fetched []*miner.Deal) error {
	if len(fetched) == 0 {
		return nil
	}
	msg := &chain.AcceptData{Miner: d.cfg.Miner}
	for _, rec := range fetched[:min(len(fetched), acceptBatch)] {
		on := new(chain.Deal)
		ok, err := d.chain.Record(ctx, chain.DealKey(rec.ID), on)
		if err != nil {
			return fmt.Errorf("read deal %d: %w", rec.ID, err)
		}
		if !ok {
			continue
		}
		if on.State != chain.DealMatched { // the Update that says so is on its way
			if err := d.note(on); err != nil {
				return err
			}
			continue
		}
		msg.Deals = append(msg.Deals, rec.ID)
	}
	if len(msg.Deals) == 0 {
		return nil
	}
	if _, err := d.send.Send(ctx, msg); err != nil {
		return fmt.Errorf("accept deals %v: %w", msg.Deals, err)
	}
	d.cfg.Log.Info("data accepted", "deals", msg.Deals)
	return nil
}
