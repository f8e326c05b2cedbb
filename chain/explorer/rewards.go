package explorer

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/explorer/export"
	"github.com/perdure/perdure/chain/index"
)

// RewardWindows sums up what was minted for and tipped to an address.
type RewardWindows struct {
	Day   chain.Amount `json:"rewards24h"`   // from the beginning of the hour of 24 hours ago
	Week  chain.Amount `json:"rewards7d"`    // likewise
	Month chain.Amount `json:"rewards30d"`   // likewise
	Total chain.Amount `json:"rewardsTotal"` // that the index has seen
}

func (q *query) rewardWindows(s *index.Snapshot, address []byte) (*RewardWindows, error) {
	l, err := s.Ledger(address)
	if err != nil {
		return nil, err
	}
	return q.windowsOf(s, address, l)
}

func (q *query) windowsOf(s *index.Snapshot, address []byte, l *index.Ledger) (*RewardWindows, error) {
	out := &RewardWindows{Total: l.Earned.Rewards()}
	for days, into := range map[uint64]*chain.Amount{1: &out.Day, 7: &out.Week, 30: &out.Month} {
		e, err := s.EarnedSince(address, l, before(q.global.Time, days*index.Day))
		if err != nil {
			return nil, err
		}
		*into = e.Rewards()
	}
	return out, nil
}

// before is a time some seconds before another.
func before(time, seconds uint64) uint64 { return time - min(time, seconds) }

// SectorCounts counts the sectors of a miner by state. What ended is counted as
// far as the index has seen it end.
type SectorCounts struct {
	PreCommitted uint64 `json:"preCommitted"`
	Active       uint64 `json:"active"`
	Faulty       uint64 `json:"faulty"`
	Expired      uint64 `json:"expired"`
	Dropped      uint64 `json:"dropped"`
	Lost         uint64 `json:"lost"`
	Terminated   uint64 `json:"terminated"`
}

// MinerFigures is what follows from a miner's history, and from those of others.
type MinerFigures struct {
	Rank           uint64       `json:"rank"` // by proven power, from 1; of equal power the older miner is before
	PowerShare     float64      `json:"powerShare"`
	SectorsByState SectorCounts `json:"sectorsByState"`
	*RewardWindows
}

func (q *query) minerFigures(s *index.Snapshot, m *chain.Miner) (*MinerFigures, error) {
	address, err := chain.MinerAddress(m.ID)
	if err != nil {
		return nil, err
	}
	l, err := s.Ledger(address.Bytes())
	if err != nil {
		return nil, err
	}
	if q.now == nil { // a list has many miners
		if q.now, err = s.Now(); err != nil {
			return nil, err
		}
	}
	present := q.now
	e := &l.Earned
	out := &MinerFigures{PowerShare: shareOf(m.Power, present.Point.Levels.Power), SectorsByState: SectorCounts{PreCommitted: l.PreCommitted,
		Active: m.Sectors - m.Faulty, Faulty: m.Faulty, Expired: e.Expired, Dropped: e.Dropped, Lost: e.Lost, Terminated: e.Terminated}}
	if out.Rank, err = q.api.ranks.of(q.context(), s, present.Ranked, m.ID); err != nil {
		return nil, err
	}
	out.RewardWindows, err = q.windowsOf(s, address.Bytes(), l)
	return out, err
}

// ranks remembers the ranks of all miners as the last change of power left them.
type ranks struct {
	mu sync.Mutex
	at chain.Height // block of that change
	by map[chain.MinerID]uint64
}

// of is the rank of a miner in a snapshot whose miners' power changed last in a block.
func (r *ranks) of(ctx context.Context, s *index.Snapshot, changed chain.Height, id chain.MinerID) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil || r.at != changed {
		by := map[chain.MinerID]uint64{}
		err := through(ctx, index.Page{Limit: rankPage}, func(p index.Page) ([]byte, error) {
			return s.Ranking(p, func(id chain.MinerID, _ uint64) (bool, error) {
				by[id] = uint64(len(by)) + 1
				return true, nil
			})
		})
		if err != nil {
			return 0, err
		}
		r.by, r.at = by, changed
	}
	return r.by[id], nil
}

// rankPage is how many miners are ranked at a time.
const rankPage = 1 << 13

// RewardItem is what an address earned in an hour or a day.
type RewardItem struct {
	Start        string       `json:"start"`        // RFC 3339
	Timestamp    uint64       `json:"timestamp"`    // the same in Unix milliseconds
	Final        bool         `json:"final"`        // no more blocks come into it
	Rewards      chain.Amount `json:"rewards"`      // blockRewards + powerRewards + tips
	BlockRewards chain.Amount `json:"blockRewards"` // minted for blocks that it proposed
	PowerRewards chain.Amount `json:"powerRewards"` // minted for its proven power
	Tips         chain.Amount `json:"tips"`         // of the messages in blocks that it proposed
	DealPay      chain.Amount `json:"dealPay"`      // released to it
	Fines        chain.Amount `json:"fines"`        // charged, and pledge and deposits burned
	Blocks       uint64       `json:"blocks"`       // that it proposed
	Proofs       uint64       `json:"proofs"`       // accepted window proofs
	Faults       uint64       `json:"faults"`       // sectors that became faulty
	Recoveries   uint64       `json:"recoveries"`   // sectors that were proven again
	Served       uint64       `json:"served"`       // bytes, as it claims
}

// MinerRewards is what a miner earned over time.
type MinerRewards struct {
	Miner    string `json:"miner"`
	Interval string `json:"interval"`
	RewardWindows
	Items []RewardItem `json:"items"` // as time goes; hours or days without any are left out
	AsOf
}

// minerRewards answers with what a miner earned by hour or by day.
func (a *API) minerRewards(q *query) (any, error) {
	m, err := q.loadMiner()
	if err != nil {
		return nil, err
	}
	form, err := q.bulk()
	if err != nil {
		return nil, err
	}
	of, from, to, err := q.spanOf(rewardIntervals, "1d", form != nil)
	if err != nil {
		return nil, err
	}
	address, err := chain.MinerAddress(m.ID)
	if err != nil {
		return nil, err
	}
	return q.fromIndex(func(s *index.Snapshot, at AsOf) (any, error) {
		present, err := s.Now()
		if err != nil {
			return nil, err
		}
		each := func(add func(*RewardItem) error) error {
			return s.Rewards(address.Bytes(), of.of, from, to, func(start uint64, e *index.Earned) error {
				return add(&RewardItem{clock(start), start * 1000, start+of.seconds <= present.Time, e.Rewards(), e.BlockRewards, e.PowerRewards,
					e.Tips, e.DealPay, e.Fines, e.Blocks, e.Proofs, e.Faults, e.Recovered, e.Served})
			})
		}
		if form != nil {
			return wholeSpan(q, form, export.ColumnsOf(reflect.TypeFor[RewardItem]()), each)
		}
		windows, err := q.rewardWindows(s, address.Bytes())
		if err != nil {
			return nil, err
		}
		out := &MinerRewards{Miner: q.minerText(m.ID), Interval: of.name, RewardWindows: *windows, Items: []RewardItem{}, AsOf: at}
		return out, each(func(item *RewardItem) error {
			out.Items = append(out.Items, *item)
			return nil
		})
	})
}

// rewardIntervals are the lengths by which what somebody earned is summed up.
var rewardIntervals = []interval{{"1h", 3600, index.Hour, 0}, {"1d", 86400, index.Day, 0}}

// Reward is what a block or a proof earned.
type Reward struct {
	Height   chain.Height `json:"height"`
	Time     string       `json:"time"`
	Kind     string       `json:"kind"`               // block: its proposer's part; power: of a window proof
	Address  string       `json:"address"`            // that got it: a miner or, of a genesis validator, an account
	Deadline *uint64      `json:"deadline,omitempty"` // that was proven
	Minted   chain.Amount `json:"minted"`
	Tips     chain.Amount `json:"tips"` // that came with it
}

// rewards lists what blocks and proofs earned.
func (a *API) rewards(q *query) (any, error) {
	var about []byte
	if q.given("address") {
		who, err := parseAddress("address", q.values.Get("address"))
		if err != nil {
			return nil, err
		}
		about = who.Bytes()
	}
	return history(q, 12, func(s *index.Snapshot, p index.Page, each func(*index.Entry) (bool, error)) ([]byte, error) {
		return s.History(index.RewardHistory, about, p, each)
	}, func(e *index.Entry) (chain.Height, *Reward) { return e.Height, q.rewardOf(e) })
}

func (n names) rewardOf(e *index.Entry) *Reward {
	out := &Reward{Height: e.Height, Time: clock(e.Time), Kind: "block", Address: n.addressBytes(e.Event.To), Minted: e.Event.Amount, Tips: e.Tips}
	if e.Event.Kind == consensus.EventPowerReward {
		out.Kind, out.Address, out.Deadline = "power", n.minerText(e.Event.Miner), &e.Event.Index
	}
	return out
}

// Fault is a line of the history of faults.
type Fault struct {
	Height  chain.Height `json:"height"`
	Time    string       `json:"time"`
	Kind    string       `json:"kind"`              // sectorFaulty, sectorRecovered, sectorsFined, sectorEnded or equivocation, as events are called
	Miner   string       `json:"miner,omitempty"`   // absent: a genesis validator
	Sector  *uint64      `json:"sector,omitempty"`  // absent: it is about several, or about none
	Sectors uint64       `json:"sectors,omitempty"` // that it is about, if it is about several
	Reason  string       `json:"reason,omitempty"`
	Amount  chain.Amount `json:"amount"` // fined or burned
}

func (n names) faultOf(e *index.Entry) *Fault {
	v := &e.Event
	out := &Fault{Height: e.Height, Time: clock(e.Time), Kind: v.Kind.String(), Miner: n.minerOrNone(v.Miner), Reason: v.Reason, Amount: v.Amount}
	switch v.Kind {
	case consensus.EventSectorsFined:
		out.Sectors = v.Index
	case consensus.EventEquivocation:
		out.Reason = fmt.Sprintf("two votes at height %d", v.Index)
	default:
		out.Sector = &v.Sector
	}
	return out
}

// faults lists faults, recoveries, fines, sectors that ended badly and offences.
func (a *API) faults(q *query) (any, error) { return a.faultsOf(q, nil) }

// minerFaults lists those of a miner.
func (a *API) minerFaults(q *query) (any, error) {
	m, err := q.loadMiner()
	if err != nil {
		return nil, err
	}
	address, err := chain.MinerAddress(m.ID)
	if err != nil {
		return nil, err
	}
	return a.faultsOf(q, address.Bytes())
}

func (a *API) faultsOf(q *query, about []byte) (any, error) {
	return history(q, 12, func(s *index.Snapshot, p index.Page, each func(*index.Entry) (bool, error)) ([]byte, error) {
		return s.History(index.FaultHistory, about, p, each)
	}, func(e *index.Entry) (chain.Height, *Fault) { return e.Height, q.faultOf(e) })
}

// BlockFees is what the messages of a block paid.
type BlockFees struct {
	Height   chain.Height `json:"height"`
	Time     string       `json:"time"`
	Messages uint64       `json:"messages"`
	Bytes    uint64       `json:"bytes"`
	Units    uint64       `json:"units"`
	Fees     chain.Amount `json:"fees"` // burned + tips
	Burned   chain.Amount `json:"burned"`
	Tips     chain.Amount `json:"tips"`    // to the proposer
	BaseFee  chain.Amount `json:"baseFee"` // of the next block
}

// fees lists what blocks' messages paid.
func (a *API) fees(q *query) (any, error) {
	return history(q, 8, (*index.Snapshot).Blocks, func(b *index.Block) (chain.Height, *BlockFees) {
		return b.Height, &BlockFees{b.Height, clock(b.Time), b.Messages, b.Bytes, b.Units, b.Fees, less(b.Fees, b.Tips), b.Tips, b.BaseFee}
	})
}

// less is what is left of a sum without a part of it.
func less(sum, part chain.Amount) chain.Amount {
	rest, err := sum.Sub(part)
	if err != nil { // the index counts both from one message
		return chain.Amount{}
	}
	return rest
}
