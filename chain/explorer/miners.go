package explorer

import (
	"cmp"
	"errors"
	"math/bits"
	"strconv"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/post"
)

// Keys is the key set of a miner.
type Keys struct {
	Owner        string   `json:"owner"`
	Worker       string   `json:"worker"`
	Provers      []string `json:"provers"`
	Beneficiary  string   `json:"beneficiary"`
	ConsensusKey string   `json:"consensusKey,omitempty"` // ed25519, hexadecimal; absent: never votes
	BeaconKey    string   `json:"beaconKey,omitempty"`    // BLS12-381 G1, hexadecimal
}

// Peer is where a miner is reached.
type Peer struct {
	ID    string   `json:"id"`    // libp2p peer ID
	Addrs []string `json:"addrs"` // multiaddrs
}

// Miner is an actor that owns sectors.
type Miner struct {
	Miner         string       `json:"miner"`
	Keys          Keys         `json:"keys"`
	PendingKeys   *Keys        `json:"pendingKeys,omitempty"`
	PendingAt     chain.Height `json:"pendingAt,omitempty"` // height at which they act
	Peer          Peer         `json:"peer"`
	SealProof     int64        `json:"sealProof"` // registered proof
	SectorSize    uint64       `json:"sectorSize"`
	Created       chain.Height `json:"created"`
	PeriodStart   chain.Height `json:"periodStart"` // of its first proving period
	Balance       chain.Amount `json:"balance"`     // free
	Pledge        chain.Amount `json:"pledge"`      // locked for its sectors
	Bound         chain.Amount `json:"bound"`       // pledge of ended sectors, locked until what the miner voted for is beyond dispute
	Deposits      chain.Amount `json:"deposits"`    // locked for pre-commits
	Debt          chain.Amount `json:"debt"`        // fines not paid yet
	Sectors       uint64       `json:"sectors"`     // active or faulty
	Faulty        uint64       `json:"faulty"`      // of them
	PowerBytes    uint64       `json:"powerBytes"`
	Voting        bool         `json:"voting"`             // it is in the newest vote set
	Guilty        chain.Height `json:"guilty,omitempty"`   // block that brought evidence of equivocation: it never votes again
	NoShows       uint64       `json:"noShows"`            // recent deals that went void before they were active
	NoShowAt      chain.Height `json:"noShowAt,omitempty"` // of the last one
	Served        *Served      `json:"served,omitempty"`   // what the miner says that it served; absent: it says nothing
	*MinerFigures              // nil: there is no index
}

// Served is what a miner claims to have served, by receipts of its buyers that it can
// show. Nobody checked them, and a miner can be its own buyer.
type Served struct {
	Bytes    uint64       `json:"bytes"`
	Receipts uint64       `json:"receipts"`
	Batches  uint64       `json:"batches"`
	Through  chain.Height `json:"through"` // the height up to which they end
	Root     string       `json:"root"`    // of the last batch, hexadecimal
}

// servedOf reads what a miner claims.
func (q *query) servedOf(id chain.MinerID) (*Served, error) {
	var s chain.Served
	r, err := q.recall(chain.ServedKey(id), &s)
	if err != nil || r == nil {
		return nil, err
	}
	return &Served{s.Bytes, s.Receipts, s.Batches, s.Through, hexText(s.Root[:])}, nil
}

// MinerDetail is a miner as of a height.
type MinerDetail struct {
	*Miner
	AsOf
	Proof *Proof `json:"proof,omitempty"`
	*Outlook
}

func (n names) keysOf(k *chain.Keys) Keys {
	out := Keys{n.address(k.Owner), n.address(k.Worker), []string{}, n.address(k.Beneficiary), hexText(k.ConsensusKey), hexText(k.BeaconKey)}
	for _, p := range k.Provers {
		out.Provers = append(out.Provers, n.address(p))
	}
	return out
}

func (n names) minerOf(m *chain.Miner) *Miner {
	out := &Miner{Miner: n.minerText(m.ID), Keys: n.keysOf(&m.Keys), PendingAt: m.PendingAt,
		Peer: Peer{peerText(m.Peer.ID), addrTexts(m.Peer.Addrs)}, SealProof: int64(m.SealProof), SectorSize: sectorSize(m.SealProof),
		Created: m.Created, PeriodStart: m.PeriodStart, Balance: m.Balance, Pledge: m.Pledge, Bound: m.Bound, Deposits: m.Deposits, Debt: m.Debt,
		Sectors: m.Sectors, Faulty: m.Faulty, PowerBytes: m.Power, Voting: m.Voting, Guilty: m.Guilty, NoShows: m.NoShows, NoShowAt: m.NoShowAt}
	if m.PendingKeys != nil {
		k := n.keysOf(m.PendingKeys)
		out.PendingKeys = &k
	}
	return out
}

func (a *API) minerRoutes() []route {
	return []route{
		{path: "/v1/miners", query: paged("owner", "worker", "sortField", "sortDesc"), handle: a.miners, indexed: true},
		{path: "/v1/miners/{miner}", query: proofQuery(), handle: a.miner, indexed: true},
		{path: "/v1/miners/{miner}/deadlines", query: []string{"deadline", "format"}, handle: a.deadlines, indexed: true, cost: 5},
	}
}

func (a *API) miners(q *query) (any, error) {
	var f index.MinerFilter
	err := cmp.Or(optional(q, "owner", &f.Owner, parseAddress), optional(q, "worker", &f.Worker, parseAddress))
	if err != nil {
		return nil, err
	}
	if by, err := q.choice("sortField", "miner", "power"); err != nil {
		return nil, err
	} else if by == 1 {
		if err := q.without("sortField=power", "owner", "worker"); err != nil {
			return nil, err
		}
		return q.byPower()
	}
	l := recordList[chain.Miner, *chain.Miner, *Miner]{lists: []index.List{index.Miners(f)}, table: chain.TableMiner,
		show: func(_ *index.Record, m *chain.Miner) (*Miner, error) { return q.minerWith(m) }}
	return l.answer(q)
}

// byPower lists all miners by their power, the most powerful first.
func (q *query) byPower() (any, error) {
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	return listOf(q, func(p index.Page, add func(*Miner)) ([]byte, error) {
		if p.Upward, err = q.upward(false); err != nil {
			return nil, err
		}
		return s.Ranking(p, func(id chain.MinerID, _ uint64) (bool, error) {
			m := new(chain.Miner)
			if r, err := s.Load(chain.MinerKey(id), m); err != nil || r == nil {
				return false, errors.Join(err, index.ErrDamaged)
			}
			out, err := q.minerWith(m)
			if err == nil {
				add(out)
			}
			return err == nil, err
		})
	})
}

// minerWith is a miner with what stands beside its record.
func (q *query) minerWith(m *chain.Miner) (*Miner, error) {
	out := q.minerOf(m)
	var err error
	if out.Served, err = q.servedOf(m.ID); err != nil || q.snap == nil {
		return out, err
	}
	out.MinerFigures, err = q.minerFigures(q.snap, m)
	return out, err
}

// loadMiner reads the miner that the path names.
func (q *query) loadMiner() (*chain.Miner, error) {
	id, err := q.miner()
	if err != nil {
		return nil, err
	}
	m := new(chain.Miner)
	r, err := q.recall(chain.MinerKey(id), m)
	if err == nil && r == nil {
		err = notFound("there is no miner %s", q.minerText(id))
	}
	return m, err
}

func (a *API) miner(q *query) (any, error) {
	id, err := q.miner()
	if err != nil {
		return nil, err
	}
	var r chain.Miner
	if out, ok, err := q.prove(answerMiner, chain.MinerKey(id), &r, func(_ bool, at AsOf, p *Proof) (any, error) {
		return &MinerDetail{q.minerOf(&r), at, p, nil}, nil
	}); ok {
		return out, err
	}
	m, err := q.loadMiner()
	if err != nil {
		return nil, err
	}
	out, err := q.minerWith(m)
	if err != nil {
		return nil, err
	}
	next, err := q.outlookOf(m)
	return &MinerDetail{out, q.asOf(), nil, next}, err
}

// Deadline is the opening of a deadline that is open or comes next. The next
// block, Height + 1, is the first that can take a proof.
type Deadline struct {
	Deadline   uint64       `json:"deadline"`
	Period     uint64       `json:"period"` // of the miner, from 0
	Open       bool         `json:"open"`
	Opens      chain.Height `json:"opens"`     // first height that takes its proofs
	Closes     chain.Height `json:"closes"`    // last height that does
	Challenge  chain.Height `json:"challenge"` // whose beacon gives the challenges
	Cutoff     chain.Height `json:"cutoff"`    // from here on a fault is declared late
	Sectors    uint64       `json:"sectors"`   // assigned to it
	Partitions []Partition  `json:"partitions,omitempty"`
}

// Partition is up to 32 sectors that one message proves.
type Partition struct {
	Partition     uint64       `json:"partition"`
	State         string       `json:"state"` // empty, upcoming, due, proven (in the opening that stands beside)
	Live          int          `json:"live"`  // sectors
	Faulty        int          `json:"faulty"`
	Recovering    int          `json:"recovering"`
	ProvenThrough chain.Height `json:"provenThrough,omitempty"` // that accepted the last proof
}

// Deadlines is a miner's calendar.
type Deadlines struct {
	Miner       string      `json:"miner"`
	PeriodStart uint64      `json:"periodStart"`
	Period      uint64      `json:"period"` // blocks
	Window      uint64      `json:"window"` // blocks
	Listed      bool        `json:"listed"` // false: too many partitions to list, ask for one deadline
	Items       []*Deadline `json:"items"`
	AsOf
}

// maxPartitions is how many partitions a calendar lists unasked.
const maxPartitions = 1_024

func (a *API) deadlines(q *query) (any, error) {
	m, err := q.loadMiner()
	if err != nil {
		return nil, err
	}
	s := q.params().Schedule()
	out := &Deadlines{Miner: q.minerText(m.ID), PeriodStart: uint64(m.PeriodStart), Period: s.Period(), Window: s.Window,
		Items: []*Deadline{}, AsOf: q.asOf()}
	first, end := uint64(0), s.Deadlines
	if q.given("deadline") {
		first, err = strconv.ParseUint(q.values.Get("deadline"), 10, 32)
		if err != nil || first >= s.Deadlines {
			return nil, badRequest("deadline %q: want 0 to %d", clip(q.values.Get("deadline")), s.Deadlines-1)
		}
		end = first + 1
	}
	total := uint64(0)
	for _, n := range m.Partitions {
		total += n
	}
	out.Listed = total <= maxPartitions || end == first+1
	for i := first; i < end; i++ {
		d, err := q.deadlineOf(m, s, i, out.Listed)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, d)
	}
	return entire(q, out, out.Items)
}

// deadlineOf is the present or next opening of a deadline.
func (q *query) deadlineOf(m *chain.Miner, s post.Schedule, i uint64, listed bool) (*Deadline, error) {
	next := uint64(q.global.Height) + 1
	at, open := s.At(uint64(m.PeriodStart), next)
	if open = open && at.Index == i; !open {
		at, _ = s.Next(uint64(m.PeriodStart), i, next)
	}
	d := &Deadline{Deadline: i, Period: at.Period, Open: open, Opens: chain.Height(at.Open), Closes: chain.Height(at.Close - 1),
		Challenge: chain.Height(at.Challenge), Cutoff: chain.Height(at.Cutoff)}
	if i < uint64(len(m.Deadlines)) {
		d.Sectors = m.Deadlines[i]
	}
	if !listed || i >= uint64(len(m.Partitions)) {
		return d, nil
	}
	for n := range m.Partitions[i] {
		var part chain.Partition
		if ok, err := q.load(chain.PartitionKey(m.ID, i, n), &part); err != nil {
			return nil, err
		} else if ok {
			d.Partitions = append(d.Partitions, partitionOf(&part, n, d))
		}
	}
	return d, nil
}

func partitionOf(p *chain.Partition, n uint64, at *Deadline) Partition {
	out := Partition{Partition: n, State: "upcoming", Live: bits.OnesCount64(p.Live), Faulty: bits.OnesCount64(p.Faulty),
		Recovering: bits.OnesCount64(p.Recovering), ProvenThrough: p.ProvenThrough}
	switch {
	case p.Live == 0:
		out.State = "empty"
	case p.ProvenPeriods > at.Period:
		out.State = "proven"
	case at.Open && p.Provable() != 0:
		out.State = "due"
	}
	return out
}
