package proving

import (
	"context"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/post"
	"github.com/perdure/perdure/post/prove"
)

// checkLead is how many blocks before the cut-off a deadline's files are
// looked at: enough to declare what is found in time.
const checkLead = 8

// checkSamples is the leaves of each sector that are read.
const checkSamples = 3

// startCheck looks at a deadline's files once a period, and again at the next
// block if it cannot finish or what it found cannot be sent.
func (p *Proving) startCheck(ctx context.Context, v *view, d post.Deadline) {
	c := check{d.Period, d.Index}
	p.mu.Lock()
	seen := p.checked[c]
	p.checked[c] = true
	delete(p.checked, check{d.Period - 2, d.Index})
	p.mu.Unlock()
	if seen {
		return
	}
	p.wg.Go(func() {
		err := p.checkDeadline(ctx, v, d)
		if err == nil || ctx.Err() != nil {
			return
		}
		p.cfg.Log.Error("check sectors before the cut-off", "deadline", d.Index, "err", err)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.checked, c)
	})
}

// checkDeadline declares sectors that are broken, and those that are whole again.
func (p *Proving) checkDeadline(ctx context.Context, v *view, d post.Deadline) error {
	var faults, recoveries []uint64
	err := p.partitions(ctx, v, d.Index, func(_ uint64, part *chain.Partition) error {
		for slot, number := range part.Sectors {
			bit := uint64(1) << slot
			if part.Live&bit == 0 {
				continue
			}
			broken, err := p.checkSector(ctx, number)
			switch {
			case err != nil:
				return err
			case broken != nil && part.Provable()&bit != 0:
				p.alert(number, broken)
				faults = append(faults, number)
			case broken == nil && part.Provable()&bit == 0:
				recoveries = append(recoveries, number)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.declare(ctx, faults, recoveries)
}

// checkSector returns what is broken about a sector's files, apart from what
// kept it from looking.
func (p *Proving) checkSector(ctx context.Context, number uint64) (broken, err error) {
	on := new(chain.Sector)
	ok, err := p.chain.Record(ctx, chain.SectorKey(p.cfg.Miner, number), on)
	if err == nil && !ok {
		err = fmt.Errorf("no record of sector %d on the chain", number)
	}
	if err != nil {
		return nil, err
	}
	sector := post.Sector{Number: abi.SectorNumber(number), CommR: on.CommR}
	broken = prove.Check(ctx, p.window, sector, p.disk.Sector(number), checkSamples)
	return broken, ctx.Err()
}

// declare sends what the check found.
func (p *Proving) declare(ctx context.Context, faults, recoveries []uint64) error {
	if len(faults) > 0 {
		if _, err := p.send.Send(ctx, &chain.DeclareFaults{Miner: p.cfg.Miner, Sectors: faults}); err != nil {
			return fmt.Errorf("declare faults of %v: %w", faults, err)
		}
		p.cfg.Log.Warn("faults declared", "sectors", faults)
	}
	if len(recoveries) > 0 {
		if _, err := p.send.Send(ctx, &chain.DeclareRecoveries{Miner: p.cfg.Miner, Sectors: recoveries}); err != nil {
			return fmt.Errorf("declare recoveries of %v: %w", recoveries, err)
		}
		p.cfg.Log.Info("recoveries declared", "sectors", recoveries)
	}
	return nil
}
