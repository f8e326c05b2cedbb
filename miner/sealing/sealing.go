// Package sealing brings packed sectors onto the chain in the background: it
// seals their data, pre-commits, waits for the seed, proves each part and sees
// the sector become active. What it was doing is in the miner's records and in
// the sector's directory, so that it goes on after a kill where it was.
package sealing

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/miner/sector"
	"github.com/perdure/perdure/porep/seal"
)

// Config says whose sectors are sealed and with how much of the machine. What
// does not fit its limits waits.
type Config struct {
	Miner     chain.MinerID
	SealProof abi.RegisteredSealProof
	Parallel  int           // sectors sealed at once, together; 0 means 1
	Workers   int           // cores a sector may use; 0 means all
	Memory    uint64        // bytes that labelling sectors may take together; 0: no bound, see seal.Config
	Scratch   uint64        // bytes on disk of sectors that are on their way to the chain; 0: no bound
	Keep      seal.Keep     // of a sector that has reached the chain
	Retry     time.Duration // before work that failed is tried again; 0 means 10 s
	Log       *slog.Logger

	LayersInMemory int    // of each sector that is labelled: see seal.Config
	Parents        string // directory of the tables of parents; empty: none

	Capacity int // sectors without deals that are sealed and kept on the chain for their power
}

// Sealing works on all sectors that are on their way to the chain.
type Sealing struct {
	cfg     Config
	records miner.Records
	chain   miner.Chain
	send    miner.Sender
	disk    *disk.Disk

	limits limits
	wake   chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex
	busy    map[uint64]bool      // a goroutine works on it
	sealing map[uint64]bool      // it is being sealed
	waiting map[uint64]string    // why it is not being sealed yet
	retry   map[uint64]time.Time // not before
	tracks  map[uint64]*track    // of what is being sealed
	seconds map[seal.Step]float64
	nodes   map[seal.Step]uint64
}

// New returns a Sealing; Run starts it. It fails for a seal proof that this
// network does not take.
func New(cfg Config, records miner.Records, c miner.Chain, send miner.Sender, d *disk.Disk) (*Sealing, error) {
	if cfg.Retry == 0 {
		cfg.Retry = 10 * time.Second
	}
	limits, err := newLimits(cfg)
	if err != nil {
		return nil, fmt.Errorf("limits of sealing: %w", err)
	}
	return &Sealing{
		cfg: cfg, records: records, chain: c, send: send, disk: d,
		limits: limits, wake: make(chan struct{}, 1),
		busy: map[uint64]bool{}, sealing: map[uint64]bool{}, waiting: map[uint64]string{},
		retry: map[uint64]time.Time{}, tracks: map[uint64]*track{},
		seconds: map[seal.Step]float64{}, nodes: map[seal.Step]uint64{},
	}, nil
}

// Wake makes Run look for work: after a block, or when a sector was packed.
func (s *Sealing) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run works until ctx ends, and returns when every goroutine that it started
// has ended.
func (s *Sealing) Run(ctx context.Context) error {
	defer s.wg.Wait()
	if err := s.tidyAll(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(s.cfg.Retry)
	defer tick.Stop()
	for {
		if err := s.start(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// start gives every sector that needs work and has none a goroutine.
func (s *Sealing) start(ctx context.Context) error {
	all, err := s.records.Sectors()
	if err != nil {
		return fmt.Errorf("look for sectors to seal: %w", err)
	}
	if packed, err := s.packCapacity(ctx, all); err != nil {
		s.cfg.Log.Error("no capacity packed", "err", err, "again", s.cfg.Retry)
	} else if packed {
		s.Wake()
	}
	for _, rec := range all {
		if !rec.State.Sealing() || rec.State == sector.Packed || !s.claim(rec.Number) {
			continue
		}
		s.wg.Go(func() {
			err := s.work(ctx, rec.Number)
			s.release(ctx, rec.Number, err)
		})
	}
	s.startRound(ctx, all)
	return nil
}

// free reports whether nobody works on a sector and it need not wait for its
// next try. The caller holds the mutex.
func (s *Sealing) free(number uint64) bool {
	return !s.busy[number] && !time.Now().Before(s.retry[number])
}

func (s *Sealing) claim(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.free(number) {
		return false
	}
	s.busy[number] = true
	return true
}

// release notes what came of the work; a problem parks the sector until the
// next try.
func (s *Sealing) release(ctx context.Context, number uint64, err error) {
	if errors.Is(err, errPacked) {
		defer s.Wake()
	}
	if errors.Is(err, errWait) || errors.Is(err, errMoved) || errors.Is(err, errPacked) || ctx.Err() != nil {
		err = nil
	}
	if err != nil {
		s.cfg.Log.Error("sector parked", "sector", number, "err", err, "again", s.cfg.Retry)
	}
	if noteErr := s.note(number, err); noteErr != nil {
		s.cfg.Log.Error("note problem", "sector", number, "err", noteErr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, number)
	s.forget(number)
	if err != nil {
		s.retry[number] = time.Now().Add(s.cfg.Retry)
	}
}

func (s *Sealing) note(number uint64, problem error) error {
	return s.records.UpdateSector(number, func(rec *miner.Sector) error {
		rec.Problem = ""
		if problem != nil {
			rec.Problem = problem.Error()
			rec.Attempts++
		}
		return nil
	})
}

// errWait says that the next step needs a later block, errMoved that the
// sector's state was changed by somebody else meanwhile.
var (
	errWait  = errors.New("waiting for the chain")
	errMoved = errors.New("sector has moved on")
	// errPacked says that a sector takes part in a round again: its ticket was stale.
	errPacked = errors.New("sector is to be sealed again")
)

// work takes a sector that is sealed as far as it goes now.
func (s *Sealing) work(ctx context.Context, number uint64) error {
	for {
		rec, err := s.records.Sector(number)
		if err != nil {
			return err
		}
		onChain, err := s.reconcile(ctx, rec)
		if err != nil {
			return err
		}
		switch rec.State {
		case sector.Packed:
			return errPacked
		case sector.Sealed:
			err = s.preCommit(ctx, rec)
		case sector.Committed:
			err = s.prove(ctx, rec, onChain)
		default:
			s.tidy(rec)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// reconcile moves a sector to where the chain has it: a message may have
// landed although its sender died before it knew.
func (s *Sealing) reconcile(ctx context.Context, rec *miner.Sector) (*chain.Sector, error) {
	on := new(chain.Sector)
	ok, err := s.chain.Record(ctx, chain.SectorKey(s.cfg.Miner, rec.Number), on)
	if err != nil {
		return nil, fmt.Errorf("read sector %d from the chain: %w", rec.Number, err)
	}
	if !ok {
		return nil, nil
	}
	return on, s.apply(rec, onChain[on.State]...)
}

// apply moves the record through events and stores it if that changed it.
// Events that an earlier run has seen are passed over.
func (s *Sealing) apply(rec *miner.Sector, events ...sector.Event) error {
	before := rec.State
	for _, e := range events {
		if next, err := sector.Next(rec.State, e); err == nil {
			rec.State = next
		}
	}
	if rec.State == before {
		return nil
	}
	rec.Problem = ""
	err := s.replace(rec, before)
	if err == nil {
		s.cfg.Log.Info("sector", "sector", rec.Number, "state", rec.State)
	}
	return err
}

// replace stores the record unless the stored one has left the state that the
// work on it started from.
func (s *Sealing) replace(rec *miner.Sector, from sector.State) error {
	return s.records.UpdateSector(rec.Number, func(stored *miner.Sector) error {
		if stored.State != from {
			return errMoved
		}
		*stored = *rec
		return nil
	})
}

// Apply takes in what an Update says of this miner's sectors that have reached
// the chain; those on their way there look for themselves.
func (s *Sealing) Apply(u *consensus.Update) error {
	for i := range u.Changes {
		c := &u.Changes[i]
		if c.Table != chain.TableSector {
			continue
		}
		if c.Value == nil {
			if err := s.gone(c.ID); err != nil {
				return err
			}
			continue
		}
		on := new(chain.Sector)
		if err := chain.Decode(c.Value, on); err != nil {
			return fmt.Errorf("decode sector of update %d: %w", u.Height, err)
		}
		if on.Miner != s.cfg.Miner {
			continue
		}
		rec, err := s.records.Sector(on.Number)
		if errors.Is(err, miner.ErrNoRecord) || err == nil && rec.State.Sealing() {
			continue
		}
		if err != nil {
			return err
		}
		if err := s.apply(rec, onChain[on.State]...); err != nil {
			return err
		}
	}
	return nil
}

// gone takes in that a sector, of whichever miner, has left the chain long after
// its end: files and record of one of this miner's go as well. Its key is miner
// and number.
func (s *Sealing) gone(id []byte) error {
	number := binary.BigEndian.Uint64(id[8:])
	if binary.BigEndian.Uint64(id) != s.cfg.Miner {
		return nil
	}
	rec, err := s.records.Sector(number)
	switch {
	case errors.Is(err, miner.ErrNoRecord) || err == nil && (rec.State == sector.Packed || rec.State == sector.Sealed):
		return nil // not on the chain yet
	case err != nil:
		return err
	}
	if err := s.disk.RemoveSector(number); err != nil {
		s.cfg.Log.Error("remove files of an ended sector", "sector", number, "err", err)
		return nil
	}
	s.cfg.Log.Info("sector forgotten", "sector", number)
	return s.records.DropSector(number)
}

// onChain is what a sector's state on the chain says has happened to it.
var onChain = map[chain.SectorState][]sector.Event{
	chain.SectorPreCommitted: {sector.PreCommitted},
	chain.SectorActive:       {sector.PreCommitted, sector.Activated, sector.Recovered},
	chain.SectorFaulty:       {sector.PreCommitted, sector.Activated, sector.Failed},
	chain.SectorDropped:      {sector.PreCommitted, sector.Dropped},
	chain.SectorExpired:      {sector.PreCommitted, sector.Activated, sector.Over},
	chain.SectorLost:         {sector.PreCommitted, sector.Activated, sector.Over},
	chain.SectorTerminated:   {sector.PreCommitted, sector.Activated, sector.Over},
}
