package consensus

import (
	"math/bits"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep/piece"
)

// maxSectorNumber bounds the numbers that miners choose.
const maxSectorNumber = 1 << 32

// ProveBy is the last height at which a sector that was pre-committed at h can be proven.
func (p *Params) ProveBy(h chain.Height) chain.Height {
	return h + chain.Height(p.SeedDelay+p.ProveDue)
}

// LeastExpiration is the earliest expiration that a pre-commit at h may name:
// even if it is proven at the last moment, the sector lives for MinSectorLife.
func (p *Params) LeastExpiration(h chain.Height) chain.Height {
	return p.ProveBy(h) + chain.Height(p.MinSectorLife)
}

func preCommitUnits(s *state, b *chain.PreCommitSectors) uint64 {
	units := 2 * s.params.UnitWrite
	for i := range b.Sectors {
		pieces := uint64(len(b.Sectors[i].Pieces))
		units += 3*s.params.UnitWrite + pieces*(s.params.UnitWrite+pieceHashes*s.params.UnitHash)
	}
	return units
}

// pieceHashes bounds the SHA-256 hashes that a piece adds to computing CommD:
// one a level when the zeros before it are joined, one a level upward.
const pieceHashes = 2 * 31

// applyPreCommit announces sealed sectors: all of them or none.
//
// It does not look for two sectors with one CommR (economics.md, S3): CommR
// commits to a replica that depends on miner, number and ticket, and whoever
// claims another sector's CommR fails its seal proof.
func applyPreCommit(s *state, m *chain.Message, b *chain.PreCommitSectors) (uint64, error) {
	miner, err := s.workerOf(m, b.Miner)
	if err != nil {
		return 0, err
	}
	if len(b.Sectors) == 0 {
		return 0, refuse(CodeFailed, "no sectors named")
	}
	var total chain.Amount
	for i := range b.Sectors {
		sec, err := s.preCommit(miner, &b.Sectors[i])
		if err != nil {
			return 0, err
		}
		if total, err = total.Add(sec.Deposit); err != nil {
			return 0, err
		}
	}
	return 0, s.lockDeposits(b.Miner, total)
}

func (s *state) lockDeposits(id chain.MinerID, total chain.Amount) error {
	addr, err := chain.MinerAddress(id)
	if err != nil {
		return err
	}
	if err := s.lock(addr, total); err != nil {
		return err
	}
	return s.changeMiner(id, func(m *chain.Miner) (err error) {
		m.Deposits, err = m.Deposits.Add(total)
		return err
	})
}

// preCommit checks one sector and stores it.
func (s *state) preCommit(m *chain.Miner, p *chain.PreCommit) (*chain.Sector, error) {
	key := chain.SectorKey(m.ID, p.Number)
	switch {
	case p.Number >= maxSectorNumber:
		return nil, refuse(CodeFailed, "sector number %d, want less than 2^32", p.Number)
	case s.has(key):
		return nil, refuse(CodeFailed, "sector number %d is used already", p.Number)
	}
	sec := &chain.Sector{Miner: m.ID, Number: p.Number, State: chain.SectorPreCommitted, SealProof: m.SealProof,
		CommR: p.CommR, PreCommitted: s.global.Height, Pieces: p.Pieces, Expiration: p.Expiration,
		SeedHeight: s.global.Height + chain.Height(s.params.SeedDelay)}
	if err := s.checkLife(sec); err != nil {
		return nil, err
	}
	var err error
	if sec.Ticket, err = s.ticket(m.ID, p); err != nil {
		return nil, err
	}
	if err := s.fill(sec); err != nil {
		return nil, err
	}
	s.store(key, sec)
	s.enqueue(chain.QueuePreCommitEnd, s.params.ProveBy(sec.PreCommitted), chain.QueueItem{Owner: m.ID, ID: p.Number})
	s.emit(Event{Kind: EventSectorCommitted, Miner: m.ID, Sector: p.Number})
	return sec, nil
}

// checkLife checks when a sector wants to end.
func (s *state) checkLife(sec *chain.Sector) error {
	least := s.params.LeastExpiration(s.global.Height)
	most := s.global.Height + chain.Height(s.params.MaxSectorLife)
	if sec.Expiration < least || sec.Expiration > most {
		return refuse(CodeFailed, "sector %d: expiration %d, want %d to %d", sec.Number, sec.Expiration, least, most)
	}
	return nil
}

// ticket draws the ticket that the sector was sealed with.
func (s *state) ticket(miner chain.MinerID, p *chain.PreCommit) ([32]byte, error) {
	now, age := s.global.Height, chain.Height(s.params.TicketAge)
	if p.TicketHeight >= now || p.TicketHeight+age < now {
		return [32]byte{}, refuse(CodeFailed, "sector %d: ticket of height %d, want %d to %d",
			p.Number, p.TicketHeight, now-min(now, age), now-1)
	}
	beacon, err := s.beacon(p.TicketHeight)
	if err != nil {
		return beacon, err
	}
	return SealTicket(beacon, miner), nil
}

// fill checks the pieces of a sector, computes CommD from them and binds their
// deals to it.
func (s *state) fill(sec *chain.Sector) error {
	size, err := sectorSize(sec.SealProof)
	if err != nil {
		return err
	}
	if sec.Deposit, err = chain.PerGiB(s.params.PreCommitDeposit, size); err != nil {
		return err
	}
	pieces := make([]piece.Piece, len(sec.Pieces))
	for i, p := range sec.Pieces {
		pieces[i].PaddedSize = p.PaddedSize
		if pieces[i].CommP, err = piece.ParseUnsealedCID(p.PieceCID); err != nil {
			return refuse(CodeFailed, "sector %d: piece %d: %v", sec.Number, i, err)
		}
	}
	if sec.CommD, err = piece.CommD(pieces, size); err != nil {
		return refuse(CodeFailed, "sector %d: %v", sec.Number, err)
	}
	for i := range sec.Pieces {
		if sec.Pieces[i].Deal == 0 {
			continue
		}
		if err := s.bindDeal(sec, &sec.Pieces[i]); err != nil {
			return err
		}
	}
	return nil
}

// bindDeal checks that a sector may hold a deal's piece and binds the deal to it.
func (s *state) bindDeal(sec *chain.Sector, p *chain.SectorPiece) error {
	var d chain.Deal
	if !s.load(chain.DealKey(p.Deal), &d) {
		return refuse(CodeFailed, "sector %d: no deal %d", sec.Number, p.Deal)
	}
	wrong := ""
	switch {
	case d.Miner != sec.Miner:
		wrong = "is another miner's"
	case d.State != chain.DealAccepted:
		wrong = "is " + d.State.String() + ", not accepted"
	case d.Committed:
		wrong = "is in a sector already"
	case d.PieceCID != p.PieceCID || d.PaddedSize != p.PaddedSize:
		wrong = "is about another piece"
	case d.ActivateBy <= sec.SeedHeight:
		wrong = "must be active before the sector can be proven"
	}
	if wrong != "" {
		return refuse(CodeFailed, "sector %d: deal %d %s", sec.Number, d.ID, wrong)
	}
	start := min(d.ActivateBy, s.params.ProveBy(s.global.Height))
	if sec.Expiration < start || uint64(sec.Expiration-start) < d.Duration {
		return refuse(CodeFailed, "sector %d: expiration %d cuts deal %d short, which may begin at %d and lasts %d blocks",
			sec.Number, sec.Expiration, d.ID, start, d.Duration)
	}
	d.Committed, d.Sector = true, sec.Number
	s.store(chain.DealKey(d.ID), &d)
	return nil
}

// dropPreCommit ends a pre-commit that was not proven in time: its deposit is
// burned and its deals are free for another sector.
func (s *state) dropPreCommit(item *chain.QueueItem) error {
	sec := new(chain.Sector)
	key := chain.SectorKey(item.Owner, item.ID)
	if !s.load(key, sec) || sec.State != chain.SectorPreCommitted || s.params.ProveBy(sec.PreCommitted) > s.global.Height {
		return nil // proven, or another sector of that number
	}
	deposit := sec.Deposit
	err := s.changeMiner(sec.Miner, func(m *chain.Miner) (err error) {
		m.Deposits, err = m.Deposits.Sub(deposit)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.burnLocked(deposit); err != nil {
		return err
	}
	for _, p := range sec.Pieces {
		var d chain.Deal
		if p.Deal != 0 && s.load(chain.DealKey(p.Deal), &d) && d.Committed && d.Miner == sec.Miner && d.Sector == sec.Number {
			d.Committed, d.Sector = false, 0
			s.store(chain.DealKey(p.Deal), &d)
		}
	}
	sec.State, sec.Deposit = chain.SectorDropped, chain.Amount{}
	s.storeEnded(sec)
	s.emit(Event{Kind: EventSectorEnded, Miner: sec.Miner, Sector: sec.Number, Amount: deposit, Reason: "not proven in time"})
	return nil
}

func proveCommitUnits(s *state, b *chain.ProveCommit) uint64 {
	var sec chain.Sector
	if !s.load(chain.SectorKey(b.Miner, b.Number), &sec) {
		return s.params.UnitWrite
	}
	_, count := s.params.partChallenges(b.Part)
	// The last part writes sector, partition, miner and two queue items, and each deal and its queue item.
	return s.params.sealUnits(sec.SealProof, count) + (7+2*uint64(len(sec.Pieces)))*s.params.UnitWrite
}

// partChallenges is what one part of a sector's openings covers; no challenges
// if there is no such part.
func (p *Params) partChallenges(part uint64) (first, count uint64) {
	if part >= p.SealParts() {
		return 0, 0
	}
	first = part * PartChallenges
	return first, min(PartChallenges, p.PoRepChallenges-first)
}

// applyProveCommit takes one part of a sector's openings; the last missing one
// makes the sector active.
func applyProveCommit(s *state, m *chain.Message, b *chain.ProveCommit) (uint64, error) {
	if _, err := s.workerOf(m, b.Miner); err != nil {
		return 0, err
	}
	sec := new(chain.Sector)
	key := chain.SectorKey(b.Miner, b.Number)
	if !s.load(key, sec) || sec.State != chain.SectorPreCommitted {
		return 0, refuse(CodeFailed, "%s has no sector %d to prove", chain.FormatMiner(b.Miner, s.params.Network), b.Number)
	}
	if err := s.checkPart(sec, b); err != nil {
		return 0, err
	}
	sec.Proven |= 1 << b.Part
	s.emit(Event{Kind: EventSectorPart, Miner: sec.Miner, Sector: sec.Number, Index: b.Part})
	if uint64(bits.OnesCount64(sec.Proven)) < s.params.SealParts() {
		s.store(key, sec)
		return 0, nil
	}
	return 0, s.activate(sec)
}

// checkPart verifies one part of the openings, cheap checks first.
func (s *state) checkPart(sec *chain.Sector, b *chain.ProveCommit) error {
	first, count := s.params.partChallenges(b.Part)
	by := s.params.ProveBy(sec.PreCommitted)
	switch {
	case count == 0:
		return refuse(CodeFailed, "sector %d: part %d, want 0 to %d", sec.Number, b.Part, s.params.SealParts()-1)
	case sec.Proven>>b.Part&1 != 0:
		return refuse(CodeFailed, "sector %d: part %d is proven already", sec.Number, b.Part)
	case s.global.Height <= sec.SeedHeight || s.global.Height > by:
		return refuse(CodeFailed, "sector %d can be proven at heights %d to %d", sec.Number, sec.SeedHeight+1, by)
	}
	beacon, err := s.beacon(sec.SeedHeight)
	if err != nil {
		return err
	}
	check := &SealCheck{ProofType: sec.SealProof, Miner: sec.Miner, Number: sec.Number, Ticket: sec.Ticket,
		Seed: SealSeed(beacon, sec.Miner, sec.Number), CommD: sec.CommD, CommR: sec.CommR, First: first, Count: count}
	if err := s.verify.SealProof(check, b.Proof); err != nil {
		return refuse(CodeFailed, "sector %d: seal proof: %v", sec.Number, err)
	}
	return nil
}

// activate makes a proven sector live: deposit back, pledge locked, a place in a
// deadline, power, and its deals begin.
func (s *state) activate(sec *chain.Sector) error {
	if err := s.pledge(sec); err != nil {
		return err
	}
	sec.State, sec.Activated, sec.PaidThrough = chain.SectorActive, s.global.Height, s.global.Height
	err := s.changeMiner(sec.Miner, func(m *chain.Miner) error {
		if err := s.assign(m, sec); err != nil {
			return err
		}
		end := s.lastWindow(m, sec.Deadline, sec.Expiration)
		s.enqueue(chain.QueueSectorExpire, end, chain.QueueItem{Owner: m.ID, ID: sec.Number})
		m.Sectors++
		return s.addPower(m, 1)
	})
	if err != nil {
		return err
	}
	s.store(chain.SectorKey(sec.Miner, sec.Number), sec)
	s.emit(Event{Kind: EventSectorActive, Miner: sec.Miner, Sector: sec.Number, Index: sec.Deadline})
	return s.activateDeals(sec)
}

// pledge turns a sector's deposit into its pledge.
func (s *state) pledge(sec *chain.Sector) error {
	size, err := sectorSize(sec.SealProof)
	if err != nil {
		return err
	}
	pledge, err := chain.PerGiB(s.params.SectorPledge, size)
	if err != nil {
		return err
	}
	addr, err := chain.MinerAddress(sec.Miner)
	if err != nil {
		return err
	}
	if err := s.unlock(addr, sec.Deposit); err != nil {
		return err
	}
	if err := s.lock(addr, pledge); err != nil {
		return err
	}
	deposit := sec.Deposit
	sec.Deposit, sec.Pledge = chain.Amount{}, pledge
	return s.changeMiner(sec.Miner, func(m *chain.Miner) (err error) {
		if m.Deposits, err = m.Deposits.Sub(deposit); err != nil {
			return err
		}
		m.Pledge, err = m.Pledge.Add(pledge)
		return err
	})
}

// expireSector ends a sector whose term is over, at the last height of the
// first window that opens at or after its expiration: until then the windows of
// its term, and so of its deals, are all proven.
func (s *state) expireSector(item *chain.QueueItem) error {
	sec := new(chain.Sector)
	key := chain.SectorKey(item.Owner, item.ID)
	if !s.load(key, sec) || !sec.Live() {
		return nil
	}
	if err := s.catchUp(placeOf(sec), s.global.Height); err != nil {
		return err
	}
	part := new(chain.Partition)
	if !s.load(key, sec) || !sec.Live() || !s.load(placeOf(sec).key(), part) {
		return nil
	}
	miner, err := s.miner(sec.Miner)
	if err != nil {
		return err
	}
	if s.lastWindow(miner, sec.Deadline, sec.Expiration) > s.global.Height {
		return nil // it was extended, or is another of that number: there is another item for it
	}
	if err := s.settle(sec, s.provenThrough(sec)); err != nil {
		return err
	}
	if err := s.unseat(sec, part); err != nil {
		return err
	}
	s.store(placeOf(sec).key(), part)
	if err := s.releasePledge(sec.Miner, sec.Pledge); err != nil {
		return err
	}
	sec.State, sec.Pledge, sec.FaultSince = chain.SectorExpired, chain.Amount{}, 0
	s.storeEnded(sec)
	s.emit(Event{Kind: EventSectorEnded, Miner: sec.Miner, Sector: sec.Number, Reason: "expired"})
	return nil
}
