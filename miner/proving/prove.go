package proving

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/post"
	"github.com/perdure/perdure/post/prove"
)

// prove builds the proof of a partition, leaves out what cannot be read, and
// submits it.
func (p *Proving) prove(ctx context.Context, v *view, d post.Deadline, index uint64, part *chain.Partition) error {
	in, err := p.statement(ctx, v, d)
	if err != nil {
		return err
	}
	msg := &chain.SubmitWindowProof{Miner: p.cfg.Miner, Period: d.Period, Deadline: d.Index, Partition: index}
	for {
		if in.Sectors, err = p.sectors(ctx, part, msg.Skipped); err != nil {
			return err
		}
		if len(in.Sectors) == 0 {
			return fmt.Errorf("no sector of deadline %d partition %d can be proven", d.Index, index)
		}
		msg.Proof, err = p.build(ctx, in)
		if err == nil {
			break
		}
		slot, ok := p.unprovable(part, err)
		if !ok || msg.Skipped>>slot&1 == 1 {
			return err
		}
		msg.Skipped |= 1 << slot
	}
	return p.land(ctx, v, d, msg)
}

// statement is what the window asks, without its sectors.
func (p *Proving) statement(ctx context.Context, v *view, d post.Deadline) (post.WindowInput, error) {
	var b chain.Beacon
	ok, err := p.chain.Record(ctx, chain.BeaconKey(chain.Height(d.Challenge)), &b)
	if err == nil && !ok {
		err = fmt.Errorf("no beacon value at height %d", d.Challenge)
	}
	return post.WindowInput{
		ProofType:  p.window,
		Randomness: consensus.WindowRandomness(b.Value, p.cfg.Miner, d.Index),
		Challenges: int(v.params.WindowChallenges),
	}, err
}

// sectors lists what the proof covers, in slot order.
func (p *Proving) sectors(ctx context.Context, part *chain.Partition, skipped uint64) ([]post.Sector, error) {
	var out []post.Sector
	for slot, number := range part.Sectors {
		if part.Provable()&^skipped>>slot&1 == 0 {
			continue
		}
		on := new(chain.Sector)
		ok, err := p.chain.Record(ctx, chain.SectorKey(p.cfg.Miner, number), on)
		if err == nil && !ok {
			err = fmt.Errorf("no record of sector %d on the chain", number)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, post.Sector{Number: abi.SectorNumber(number), CommR: on.CommR})
	}
	return out, nil
}

// build makes the proof and checks it as the chain will.
func (p *Proving) build(ctx context.Context, in post.WindowInput) ([]byte, error) {
	dirs := make([]string, len(in.Sectors))
	for i, s := range in.Sectors {
		dirs[i] = p.disk.Sector(uint64(s.Number))
	}
	proof, err := prove.Window(ctx, in, dirs)
	if err != nil {
		return nil, err
	}
	if err := post.Verify(in, proof); err != nil {
		return nil, fmt.Errorf("own check: %w", err)
	}
	return proof, nil
}

// unprovable finds the slot of the sector that an error blames.
func (p *Proving) unprovable(part *chain.Partition, err error) (slot int, ok bool) {
	var read *prove.SectorError
	var wrong *post.SectorError
	var number uint64
	switch {
	case errors.As(err, &read):
		number = uint64(read.Sector)
	case errors.As(err, &wrong):
		number = uint64(wrong.Sector)
	default:
		return 0, false
	}
	for i, n := range part.Sectors {
		if n == number {
			p.alert(number, err)
			p.count(func(s *Stats) { s.Skipped++ })
			return i, true
		}
	}
	return 0, false
}

// land submits until the proof is on chain or the window is over.
func (p *Proving) land(ctx context.Context, v *view, d post.Deadline, msg *chain.SubmitWindowProof) error {
	for attempt := 0; ; attempt++ {
		receipt, err := p.submit.SubmitProof(ctx, msg, attempt)
		if err == nil {
			p.count(func(s *Stats) { s.Proven++; s.LastDone = chain.Height(d.Open) })
			p.cfg.Log.Info("proven", "deadline", d.Index, "partition", msg.Partition, "period", d.Period,
				"skipped", bits.OnesCount64(msg.Skipped), "fee", receipt.Fee)
			return nil
		}
		now, readErr := p.read(ctx)
		if readErr != nil || now.next >= d.Close || consensus.CodeOf(err) == consensus.CodeFailed {
			return err
		}
		if done, doneErr := p.landed(ctx, msg); doneErr != nil || done {
			return doneErr
		}
		p.cfg.Log.Warn("send window proof again", "deadline", d.Index, "partition", msg.Partition, "err", err)
	}
}

// landed reports whether the partition is proven, by whatever message.
func (p *Proving) landed(ctx context.Context, msg *chain.SubmitWindowProof) (bool, error) {
	part := new(chain.Partition)
	ok, err := p.chain.Record(ctx, chain.PartitionKey(msg.Miner, msg.Deadline, msg.Partition), part)
	return ok && part.ProvenPeriods > msg.Period, err
}
