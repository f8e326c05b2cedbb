// Package deals is the market side of a miner: it learns of matches, fetches
// the pieces from the clients, or buys those of repairs from other miners,
// accepts them on chain, packs them into sectors and lets go of what is over.
package deals

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/miner/sector"
)

// Config says whose deals these are.
type Config struct {
	Miner      chain.MinerID
	SectorSize uint64        // bytes
	PackDelay  uint64        // blocks that an accepted piece waits for others to share its sector
	Fetches    int           // pieces fetched at once; 0 means 2
	Retry      time.Duration // before a fetch that failed is tried again; 0 means 3 s
	Buyer      miner.Buyer   // of the pieces of repairs; nil: they are not fetched
	Log        *slog.Logger
	// Packed, if not nil, is called when a sector is ready to be sealed.
	Packed func()
}

// Deals works on all deals of a miner.
type Deals struct {
	cfg     Config
	records miner.Records
	chain   miner.Chain
	send    miner.Sender
	fetcher miner.Fetcher
	disk    *disk.Disk

	slots chan struct{}
	wake  chan struct{}
	wg    sync.WaitGroup

	writing  sync.Mutex // over read-modify-write of deal records
	mu       sync.Mutex
	fetching map[uint64]bool
	retry    map[uint64]time.Time
}

// New returns a Deals; Run starts it.
func New(cfg Config, records miner.Records, c miner.Chain, send miner.Sender, f miner.Fetcher, d *disk.Disk) *Deals {
	if cfg.Fetches == 0 {
		cfg.Fetches = 2
	}
	if cfg.Retry == 0 {
		cfg.Retry = 3 * time.Second
	}
	return &Deals{
		cfg: cfg, records: records, chain: c, send: send, fetcher: f, disk: d,
		slots: make(chan struct{}, cfg.Fetches), wake: make(chan struct{}, 1),
		fetching: map[uint64]bool{}, retry: map[uint64]time.Time{},
	}
}

// Wake makes Run look for work: after a block, or when a client connects.
func (d *Deals) Wake() {
	select {
	case d.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Apply takes in what an Update says of this miner's deals.
func (d *Deals) Apply(u *consensus.Update) error {
	for i := range u.Changes {
		c := &u.Changes[i]
		if c.Table != chain.TableDeal {
			continue
		}
		if c.Value == nil {
			if err := d.forget(binary.BigEndian.Uint64(c.ID)); err != nil {
				return err
			}
			continue
		}
		on := new(chain.Deal)
		if err := chain.Decode(c.Value, on); err != nil {
			return fmt.Errorf("decode deal of update %d: %w", u.Height, err)
		}
		if on.Miner != d.cfg.Miner {
			continue
		}
		if err := d.note(on); err != nil {
			return err
		}
	}
	return nil
}

// note brings the record of a deal up to the chain's.
func (d *Deals) note(on *chain.Deal) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	rec, err := d.find(on.ID)
	if err != nil {
		return err
	}
	rec.Deal = *on
	switch on.State {
	case chain.DealMatched:
		if rec.State == "" {
			rec.State = miner.DealFetching
			d.cfg.Log.Info("deal matched", "deal", on.ID, "piece", on.PieceCID, "price", on.Total)
		}
	case chain.DealAccepted:
		if rec.State == miner.DealFetching || rec.State == miner.DealFetched || rec.State == "" {
			rec.State = miner.DealAccepted
		}
	case chain.DealActive:
		if rec.State != miner.DealActive {
			d.cfg.Log.Info("deal active", "deal", on.ID, "sector", on.Sector)
		}
		rec.State, rec.Sector = miner.DealActive, on.Sector
	default:
		return d.end(rec, on.State.String())
	}
	return d.records.PutDeal(rec)
}

// end notes that a deal is over. The caller holds writing.
func (d *Deals) end(rec *miner.Deal, how string) error {
	packed := rec.State == miner.DealPacked
	rec.State = miner.DealEnded
	d.cfg.Log.Info("deal ended", "deal", rec.ID, "state", how)
	if packed {
		return errors.Join(d.records.PutDeal(rec), d.unpack(rec))
	}
	return d.records.PutDeal(rec)
}

// forget drops the record of a deal that has left the chain long after its end.
// If it ended while nobody looked, that is noted first: what it left is swept,
// and the record goes when the chain is asked for it again.
func (d *Deals) forget(id uint64) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	rec, err := d.find(id)
	switch {
	case err != nil || rec.State == "":
		return err
	case rec.State == miner.DealEnded || rec.State == miner.DealDiscarded:
		if err := d.letGo(rec); err != nil {
			return err
		}
		return d.records.DropDeal(id)
	}
	return d.end(rec, "forgotten by the chain")
}

// unpack gives up the sector of a deal that ended before it was on the chain,
// which would refuse the sector now, and lets the sector's other deals be
// packed again. What is already pre-committed goes its way.
func (d *Deals) unpack(over *miner.Deal) error {
	given := false
	err := d.records.UpdateSector(over.Sector, func(s *miner.Sector) error {
		if given = s.State == sector.Packed || s.State == sector.Sealed; given {
			s.State, s.Problem = sector.Ended, fmt.Sprintf("deal %d ended before the sector was on chain", over.ID)
		}
		return nil
	})
	if err != nil || !given {
		return err
	}
	all, err := d.records.DealsIn(miner.DealPacked)
	if err != nil {
		return err
	}
	for _, rec := range all {
		if rec.Sector == over.Sector {
			rec.State, rec.Sector = miner.DealAccepted, 0
			if err := d.records.PutDeal(rec); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Deals) find(id uint64) (*miner.Deal, error) {
	rec, err := d.records.Deal(id)
	if errors.Is(err, miner.ErrNoRecord) {
		return &miner.Deal{ID: id}, nil
	}
	return rec, err
}

// move sets the state of a deal if it is still in the expected one: the chain
// may have moved on meanwhile.
func (d *Deals) move(id uint64, from, to miner.DealState, problem string) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	rec, err := d.find(id)
	if err != nil || rec.State != from {
		return err
	}
	rec.State, rec.Problem = to, problem
	return d.records.PutDeal(rec)
}

// Run works until ctx ends, and returns when every goroutine that it started
// has ended.
func (d *Deals) Run(ctx context.Context) error {
	defer d.wg.Wait()
	tick := time.NewTicker(d.cfg.Retry)
	defer tick.Stop()
	for {
		if err := d.pass(ctx); err != nil && ctx.Err() == nil {
			d.cfg.Log.Error("work on deals", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		case <-tick.C:
		}
	}
}

// pass does what can be done now for every deal that waits for something.
func (d *Deals) pass(ctx context.Context) error {
	fetching, err := d.records.DealsIn(miner.DealFetching)
	if err != nil {
		return err
	}
	for _, rec := range fetching {
		d.startFetch(ctx, rec)
	}
	fetched, err := d.records.DealsIn(miner.DealFetched)
	if err == nil {
		err = d.accept(ctx, fetched)
	}
	if err != nil {
		return err
	}
	accepted, err := d.records.DealsIn(miner.DealAccepted)
	if err == nil {
		err = d.pack(ctx, accepted)
	}
	if err != nil {
		return err
	}
	return d.sweep()
}
