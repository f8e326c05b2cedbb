// Package proving keeps a miner's sectors proven: it watches the deadlines,
// checks files before the cut-off, declares what is broken or mended, builds
// each partition's proof when its window opens, verifies it and submits until
// it is on chain.
package proving

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/post"
)

// Config says whose sectors are proven.
type Config struct {
	Miner     chain.MinerID
	SealProof abi.RegisteredSealProof
	Log       *slog.Logger
	// Alert, if not nil, is told of what an operator must look at.
	Alert func(sector uint64, err error)
}

// Submitter sends window proofs. A later call for the same partition may raise
// the tip.
type Submitter interface {
	SubmitProof(ctx context.Context, p *chain.SubmitWindowProof, attempt int) (*consensus.Receipt, error)
}

// Proving is the deadline watcher.
type Proving struct {
	cfg    Config
	window abi.RegisteredPoStProof
	chain  miner.Chain
	send   miner.Sender
	submit Submitter
	disk   *disk.Disk

	wake chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	proving map[task]bool // in flight
	checked map[check]bool
	first   map[uint64]uint64 // by deadline: partitions below are gone
	stats   Stats
}

// Stats counts since the process started.
type Stats struct {
	Proven   uint64 // accepted window proofs
	Failed   uint64 // attempts that did not land
	Skipped  uint64 // sectors left out of proofs because their files are broken
	LastDone chain.Height
}

// task is one partition in one period.
type task struct{ period, deadline, partition uint64 }

// check is one deadline's look at its files before a period's cut-off.
type check struct{ period, deadline uint64 }

// windowVersion is the first Filecoin network version with V1_1 window proofs.
const windowVersion = 19

// New returns a Proving; Run starts it.
func New(cfg Config, c miner.Chain, send miner.Sender, submit Submitter, d *disk.Disk) (*Proving, error) {
	window, err := cfg.SealProof.RegisteredWindowPoStProofByNetworkVersion(windowVersion)
	if err != nil {
		return nil, fmt.Errorf("window proof of %d: %w", cfg.SealProof, err)
	}
	return &Proving{
		cfg: cfg, window: window, chain: c, send: send, submit: submit, disk: d,
		wake: make(chan struct{}, 1), proving: map[task]bool{}, checked: map[check]bool{}, first: map[uint64]uint64{},
	}, nil
}

// Wake makes Run look at the deadlines: after each block.
func (p *Proving) Wake() {
	select {
	case p.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Stats returns the counts so far.
func (p *Proving) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Run watches until ctx ends, and returns when every goroutine that it started
// has ended. What goes wrong is logged and tried again at the next block.
func (p *Proving) Run(ctx context.Context) error {
	defer p.wg.Wait()
	for {
		if err := p.look(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("look at deadlines", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
	}
}

// view is the chain as one look sees it.
type view struct {
	params *consensus.Params
	next   uint64 // height of the block that a message sent now can be in
	miner  chain.Miner
}

func (p *Proving) read(ctx context.Context) (*view, error) {
	params, err := p.chain.Params(ctx)
	if err != nil {
		return nil, err
	}
	g, err := p.chain.Global(ctx)
	if err != nil {
		return nil, err
	}
	v := &view{params: params, next: uint64(g.Height) + 1}
	ok, err := p.chain.Record(ctx, chain.MinerKey(p.cfg.Miner), &v.miner)
	if err == nil && !ok {
		err = fmt.Errorf("no miner %s on this chain", chain.FormatMiner(p.cfg.Miner, params.Network))
	}
	return v, err
}

// look starts what is due now.
func (p *Proving) look(ctx context.Context) error {
	v, err := p.read(ctx)
	if err != nil {
		return err
	}
	schedule := v.params.Schedule()
	if d, open := schedule.At(uint64(v.miner.PeriodStart), v.next); open && p.assigned(v, d.Index) {
		if err := p.openWindow(ctx, v, d); err != nil {
			return err
		}
	}
	for index := range schedule.Deadlines {
		d, ok := schedule.Next(uint64(v.miner.PeriodStart), index, v.next)
		if ok && p.assigned(v, index) && v.next+checkLead >= d.Cutoff && v.next < d.Cutoff {
			p.startCheck(ctx, v, d)
		}
	}
	return nil
}

func (p *Proving) assigned(v *view, deadline uint64) bool {
	return deadline < uint64(len(v.miner.Deadlines)) && v.miner.Deadlines[deadline] > 0 && deadline < uint64(len(v.miner.Partitions))
}

// partitions calls visit with the partitions of a deadline that are there. They
// go when their sectors have ended, mostly in the order in which they came: those
// that went first are not asked for again.
func (p *Proving) partitions(ctx context.Context, v *view, deadline uint64, visit func(index uint64, part *chain.Partition) error) error {
	p.mu.Lock()
	first := p.first[deadline]
	p.mu.Unlock()
	for index := first; index < v.miner.Partitions[deadline]; index++ {
		part := new(chain.Partition)
		ok, err := p.chain.Record(ctx, chain.PartitionKey(p.cfg.Miner, deadline, index), part)
		if err != nil {
			return err
		}
		if !ok {
			if index == first {
				first++
			}
			continue
		}
		if err := visit(index, part); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first[deadline] = max(p.first[deadline], first)
	return nil
}

// openWindow starts a goroutine for each partition that is not proven yet.
func (p *Proving) openWindow(ctx context.Context, v *view, d post.Deadline) error {
	return p.partitions(ctx, v, d.Index, func(index uint64, part *chain.Partition) error {
		t := task{d.Period, d.Index, index}
		if part.ProvenPeriods > d.Period || part.Provable() == 0 || !p.claim(t) {
			return nil
		}
		p.wg.Go(func() {
			defer p.release(t)
			if err := p.prove(ctx, v, d, index, part); err != nil && ctx.Err() == nil {
				p.count(func(s *Stats) { s.Failed++ })
				p.cfg.Log.Error("window proof", "deadline", d.Index, "partition", index, "err", err)
			}
		})
		return nil
	})
}

func (p *Proving) claim(t task) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proving[t] {
		return false
	}
	p.proving[t] = true
	return true
}

// release lets the next block try again if the proof did not land.
func (p *Proving) release(t task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.proving, t)
}

func (p *Proving) count(change func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.stats)
}

func (p *Proving) alert(sector uint64, err error) {
	p.cfg.Log.Error("sector cannot be proven", "sector", sector, "err", err)
	if p.cfg.Alert != nil {
		p.cfg.Alert(sector, err)
	}
}
