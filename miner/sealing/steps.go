package sealing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/sector"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/seal"
)

// ticketMargin is the blocks that a ticket must have left to be pre-committed.
const ticketMargin = 20

// sealConfig describes a sector that is one of some that are sealed together; the
// bound of memory is that of all of them.
func (s *Sealing) sealConfig(number uint64, together int) seal.Config {
	return seal.Config{
		ProofType: s.cfg.SealProof, MinerID: s.cfg.Miner, Number: abi.SectorNumber(number),
		Dir: s.disk.Sector(number), Workers: s.cfg.Workers,
		Memory: uint64(together) * s.limits.share, LayersInMemory: s.cfg.LayersInMemory, Parents: s.cfg.Parents,
		Progress: func(step seal.Step, done, total uint64) { s.report(number, step, done, total) },
	}
}

// drawTicket fixes the ticket in the records before anything is sealed with
// it, and draws a new one if the old one has grown too old meanwhile.
func (s *Sealing) drawTicket(ctx context.Context, rec *miner.Sector, dir *seal.Sector) error {
	if rec.TicketHeight != 0 {
		fresh, err := s.ticketFresh(ctx, rec)
		if err != nil || fresh {
			return err
		}
	}
	if _, set := dir.Ticket(); set {
		if err := dir.Reset(); err != nil && !errors.Is(err, seal.ErrOrder) {
			return err
		}
	}
	g, err := s.chain.Global(ctx)
	if err != nil {
		return fmt.Errorf("draw ticket: %w", err)
	}
	var b chain.Beacon
	ok, err := s.chain.Record(ctx, chain.BeaconKey(g.Height), &b)
	if err != nil || !ok {
		return fmt.Errorf("draw ticket: no beacon value at height %d: %w", g.Height, err)
	}
	rec.TicketHeight, rec.Ticket = g.Height, consensus.SealTicket(b.Value, s.cfg.Miner)
	return s.replace(rec, rec.State)
}

func (s *Sealing) ticketFresh(ctx context.Context, rec *miner.Sector) (bool, error) {
	g, err := s.chain.Global(ctx)
	if err != nil {
		return false, err
	}
	p, err := s.chain.Params(ctx)
	if err != nil {
		return false, err
	}
	return uint64(g.Height)+ticketMargin <= uint64(rec.TicketHeight)+p.TicketAge, nil
}

// writeData pads the sector's pieces into it, each checked against its
// commitment by the step that follows.
func (s *Sealing) writeData(ctx context.Context, rec *miner.Sector, dir *seal.Sector) error {
	var pieces []seal.Piece
	var files []io.Closer
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for _, p := range rec.Pieces {
		commP, err := piece.ParseUnsealedCID(p.PieceCID)
		if err != nil {
			return err
		}
		f, err := os.Open(s.disk.Piece(p.PieceCID))
		if err != nil {
			return fmt.Errorf("piece of deal %d: %w", p.Deal, err)
		}
		files = append(files, f)
		pieces = append(pieces, seal.Piece{Data: f, PaddedSize: p.PaddedSize, CommP: commP})
	}
	return dir.WriteData(ctx, pieces)
}

// preCommit announces the sealed sector.
func (s *Sealing) preCommit(ctx context.Context, rec *miner.Sector) error {
	fresh, err := s.ticketFresh(ctx, rec)
	if err != nil {
		return err
	}
	if !fresh {
		return s.apply(rec, sector.TicketStale)
	}
	_, err = s.send.Send(ctx, &chain.PreCommitSectors{Miner: s.cfg.Miner, Sectors: []chain.PreCommit{{
		Number: rec.Number, CommR: rec.CommR, TicketHeight: rec.TicketHeight,
		Expiration: rec.Expiration, Pieces: rec.Pieces,
	}}})
	if err != nil {
		return fmt.Errorf("pre-commit sector %d: %w", rec.Number, err)
	}
	return s.apply(rec, sector.PreCommitted)
}

// prove opens the challenges part by part once their seed is known.
func (s *Sealing) prove(ctx context.Context, rec *miner.Sector, on *chain.Sector) error {
	if on == nil {
		return errWait // the pre-commit's block is not what we read yet
	}
	var b chain.Beacon
	ok, err := s.chain.Record(ctx, chain.BeaconKey(on.SeedHeight), &b)
	if err != nil {
		return fmt.Errorf("read seed of sector %d: %w", rec.Number, err)
	}
	if !ok {
		return errWait
	}
	params, err := s.chain.Params(ctx)
	if err != nil {
		return err
	}
	dir, err := seal.Find(s.disk.Sector(rec.Number))
	if err != nil {
		return err
	}
	seed := consensus.SealSeed(b.Value, s.cfg.Miner, rec.Number)
	left := false
	for part := range params.SealParts() {
		if on.Proven>>part&1 == 1 {
			continue
		}
		left = true
		if err := s.provePart(ctx, dir, seed, part, params); err != nil {
			return fmt.Errorf("prove part %d of sector %d: %w", part, rec.Number, err)
		}
	}
	if !left {
		return errWait
	}
	return nil // the next look at the chain finds it active
}

func (s *Sealing) provePart(ctx context.Context, dir *seal.Sector, seed [32]byte, part uint64, p *consensus.Params) error {
	first := part * consensus.PartChallenges
	count := min(consensus.PartChallenges, p.PoRepChallenges-first)
	proof, err := dir.Prove(ctx, seed, int(first), int(count))
	if err != nil {
		return err
	}
	statement, err := dir.Statement(seed, int(first), int(count))
	if err != nil {
		return err
	}
	if err := porep.Verify(statement, proof); err != nil {
		return fmt.Errorf("own check: %w", err)
	}
	_, err = s.send.Send(ctx, &chain.ProveCommit{
		Miner: s.cfg.Miner, Number: uint64(dir.Config().Number), Part: part, Proof: proof})
	return err
}
