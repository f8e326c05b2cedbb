package explorer

import (
	"math/bits"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/porep/piece"
)

// Piece is a piece in a sector.
type Piece struct {
	PieceCID   string `json:"pieceCid"`
	PaddedSize uint64 `json:"paddedSize"`
	Deal       uint64 `json:"deal,omitempty"` // absent: padding or the miner's own data
}

// Sector is a sealed sector and its place in its life.
type Sector struct {
	Miner        string       `json:"miner"`
	Number       uint64       `json:"number"`
	State        string       `json:"state"`
	SealProof    int64        `json:"sealProof"`
	SectorSize   uint64       `json:"sectorSize"`
	SealedCID    string       `json:"sealedCid"`
	UnsealedCID  string       `json:"unsealedCid"`
	CommR        string       `json:"commR"`
	CommD        string       `json:"commD"`
	Ticket       string       `json:"ticket"`
	PreCommitted chain.Height `json:"preCommitted"`
	SeedHeight   chain.Height `json:"seedHeight"`
	Pieces       []Piece      `json:"pieces"`
	PartsProven  int          `json:"partsProven"` // of the openings
	Parts        uint64       `json:"parts"`
	Deposit      chain.Amount `json:"deposit"` // until active
	Pledge       chain.Amount `json:"pledge"`
	Activated    chain.Height `json:"activated,omitempty"`
	Expiration   chain.Height `json:"expiration"`
	Deadline     *uint64      `json:"deadline,omitempty"` // where it is proven, while it is active or faulty
	Partition    *uint64      `json:"partition,omitempty"`
	Slot         *uint64      `json:"slot,omitempty"`
	FaultSince   chain.Height `json:"faultSince,omitempty"`
	PaidThrough  chain.Height `json:"paidThrough,omitempty"` // deal pay is settled up to here
	Ended        chain.Height `json:"ended,omitempty"`       // block in which it ended
	Reason       string       `json:"reason,omitempty"`      // why it ended
	Removed      chain.Height `json:"removed,omitempty"`     // block that took its record out of the state, which has no proof of it since
}

// SectorDetail is a sector as of a height.
type SectorDetail struct {
	*Sector
	AsOf
	Proof *Proof `json:"proof,omitempty"`
}

func (n names) sectorOf(s *chain.Sector, p *consensus.Params) *Sector {
	out := &Sector{Miner: n.minerText(s.Miner), Number: s.Number, State: s.State.String(), SealProof: int64(s.SealProof),
		SectorSize: sectorSize(s.SealProof), SealedCID: cidText(piece.SealedCID(s.CommR)), UnsealedCID: cidText(piece.UnsealedCID(s.CommD)),
		CommR: hexText(s.CommR[:]), CommD: hexText(s.CommD[:]), Ticket: hexText(s.Ticket[:]), PreCommitted: s.PreCommitted,
		SeedHeight: s.SeedHeight, Pieces: []Piece{}, PartsProven: bits.OnesCount64(s.Proven), Parts: p.SealParts(), Deposit: s.Deposit,
		Pledge: s.Pledge, Activated: s.Activated, Expiration: s.Expiration, FaultSince: s.FaultSince, PaidThrough: s.PaidThrough}
	for _, p := range s.Pieces {
		out.Pieces = append(out.Pieces, Piece{cidText(p.PieceCID), p.PaddedSize, p.Deal})
	}
	if s.Live() {
		out.Deadline, out.Partition, out.Slot = &s.Deadline, &s.Partition, &s.Slot
	}
	return out
}

// lastSector is a sector as it is or, if it ended, as it was then.
func (n names) lastSector(r *index.Record, s *chain.Sector, p *consensus.Params) *Sector {
	out := n.sectorOf(s, p)
	out.Ended, out.Reason, out.Removed = r.Ended, r.Reason, r.Gone
	return out
}

// sectorStates are the states in their order, from 1.
var sectorStates = []string{"preCommitted", "active", "faulty", "expired", "dropped", "lost", "terminated"}

func (a *API) sectorRoutes() []route {
	return []route{
		{path: "/v1/sectors", query: paged("miner", "state", "sortField", "sortDesc"), handle: a.sectors, indexed: true},
		{path: "/v1/miners/{miner}/sectors", query: paged("state", "sortField", "sortDesc"), handle: a.sectors, indexed: true},
		{path: "/v1/sectors/{miner}/{number}", query: proofQuery(), handle: a.sector, indexed: true},
	}
}

// sectors lists those of the miner that the path or the query names, or all.
func (a *API) sectors(q *query) (any, error) {
	var f index.SectorFilter
	if q.r.PathValue("miner") != "" {
		m, err := q.loadMiner()
		if err != nil {
			return nil, err
		}
		f.Miner = m.ID
	} else if err := optional(q, "miner", &f.Miner, q.parseMiner); err != nil {
		return nil, err
	}
	chosen, err := q.several("state", sectorStates...)
	if err != nil {
		return nil, err
	}
	l := recordList[chain.Sector, *chain.Sector, *Sector]{table: chain.TableSector, upward: true,
		show: func(r *index.Record, s *chain.Sector) (*Sector, error) { return q.lastSector(r, s, q.params()), nil }}
	switch by, err := q.choice("sortField", "number", "expiration"); {
	case err != nil:
		return nil, err
	case by == 1:
		if err := q.without("sortField=expiration", "state"); err != nil {
			return nil, err
		}
		l.lists = []index.List{index.SectorsByExpiration(f.Miner)}
		return l.answer(q)
	}
	if f.Miner != 0 {
		l.owner = 8
	}
	if chosen == nil {
		chosen = []int{-1}
	}
	for _, i := range chosen {
		f.State = chain.SectorState(i + 1)
		l.lists = append(l.lists, index.Sectors(f))
	}
	return l.answer(q)
}

func (a *API) sector(q *query) (any, error) {
	miner, err := q.miner()
	if err != nil {
		return nil, err
	}
	number, err := q.number("number")
	if err != nil {
		return nil, err
	}
	var s chain.Sector
	if out, ok, err := q.prove(answerSector, chain.SectorKey(miner, number), &s, func(_ bool, at AsOf, p *Proof) (any, error) {
		return &SectorDetail{q.sectorOf(&s, a.params), at, p}, nil
	}); ok {
		return out, err
	}
	r, is, err := q.loadSector()
	if err != nil {
		return nil, err
	}
	return &SectorDetail{q.lastSector(r, is, q.params()), q.asOf(), nil}, nil
}

// loadSector reads the sector that the path names.
func (q *query) loadSector() (*index.Record, *chain.Sector, error) {
	miner, err := q.miner()
	if err != nil {
		return nil, nil, err
	}
	number, err := q.number("number")
	if err != nil {
		return nil, nil, err
	}
	s := new(chain.Sector)
	r, err := q.recall(chain.SectorKey(miner, number), s)
	if err == nil && r == nil {
		err = notFound("miner %s has no sector %d, or its record went before the index began", q.minerText(miner), number)
	}
	return r, s, err
}
