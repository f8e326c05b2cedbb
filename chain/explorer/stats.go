package explorer

import (
	"math"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
)

// Counts is how much of everything there is.
type Counts struct {
	PowerBytes          uint64 `json:"powerBytes"`  // proven bytes of all miners
	StoredBytes         uint64 `json:"storedBytes"` // padded bytes of active deals, each copy counted
	Accounts            uint64 `json:"accounts"`
	Miners              uint64 `json:"miners"`
	Validators          uint64 `json:"validators"` // that vote on the next block
	SectorsPreCommitted uint64 `json:"sectorsPreCommitted"`
	SectorsActive       uint64 `json:"sectorsActive"`
	SectorsFaulty       uint64 `json:"sectorsFaulty"`
	DealsMatched        uint64 `json:"dealsMatched"`  // that the miner does not hold yet
	DealsAccepted       uint64 `json:"dealsAccepted"` // that the miner holds and seals
	DealsActive         uint64 `json:"dealsActive"`
	Orders              uint64 `json:"orders"`   // live
	Channels            uint64 `json:"channels"` // not collected
}

// Totals is what happened in some time.
type Totals struct {
	Blocks         uint64       `json:"blocks"`
	Messages       uint64       `json:"messages"`
	Failed         uint64       `json:"failed"` // of them, without success
	Proofs         uint64       `json:"proofs"` // accepted window proofs
	Faults         uint64       `json:"faults"` // sectors that became faulty
	Recoveries     uint64       `json:"recoveries"`
	DealsMatched   uint64       `json:"dealsMatched"`
	DealsActivated uint64       `json:"dealsActivated"`
	DealsEnded     uint64       `json:"dealsEnded"`
	DealPay        chain.Amount `json:"dealPay"`     // released to miners
	ServedBytes    uint64       `json:"servedBytes"` // as miners claim
	Fees           chain.Amount `json:"fees"`
	FeesBurned     chain.Amount `json:"feesBurned"` // of them
	Tips           chain.Amount `json:"tips"`       // of them
	BlockRewards   chain.Amount `json:"blockRewards"`
	PowerRewards   chain.Amount `json:"powerRewards"`
	Fines          chain.Amount `json:"fines"`
	Trades         uint64       `json:"trades"`
	TradedBytes    uint64       `json:"tradedBytes"`
}

// Stats is the network at a glance.
type Stats struct {
	ChainID      string        `json:"chainId"`
	Network      string        `json:"network"`
	Counts       Counts        `json:"counts"`
	Day          Totals        `json:"last24h"`         // from the beginning of the hour of 24 hours ago
	Price        *chain.Amount `json:"price,omitempty"` // of the newest trade, per GiB per block; absent: there was none
	BaseFee      chain.Amount  `json:"baseFee"`         // attoPDR per byte and per unit
	Supply       Supply        `json:"supply"`
	Circulating  chain.Amount  `json:"circulating"`  // minted and not burned
	BlockSeconds float64       `json:"blockSeconds"` // mean of the last 100 blocks; 0: there are none
	First        chain.Height  `json:"first"`        // first height of the history that this node keeps
	AsOf
}

// pacedBlocks is over how many blocks the time between blocks is measured.
const pacedBlocks = 100

// stats answers with what the network is at a glance.
func (a *API) stats(q *query) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	return q.fromIndex(func(s *index.Snapshot, at AsOf) (any, error) {
		present, err := s.Now()
		if err != nil {
			return nil, err
		}
		l := &present.Point.Levels
		out := &Stats{ChainID: a.params.ChainID, Network: a.params.Name, Counts: countsOf(l), BaseFee: l.BaseFee, First: s.First, AsOf: at,
			Supply: Supply{l.Supply.Minted, l.Supply.Burned, l.Supply.Accounts, l.Supply.Locked, l.Unissued}}
		if out.Circulating, err = l.Supply.Minted.Sub(l.Supply.Burned); err != nil {
			return nil, err
		}
		if _, set, err := s.Voters(s.Height + 1); err != nil {
			return nil, err
		} else if set != nil {
			out.Counts.Validators = uint64(len(set.Validators))
		}
		if out.Day, err = lastDay(s, present.Time); err != nil {
			return nil, err
		}
		last, err := s.LastCandle()
		if err != nil {
			return nil, err
		}
		if last != nil {
			out.Price = &last.Close
		}
		out.BlockSeconds, err = pace(s, present.Time)
		return out, err
	})
}

func countsOf(l *index.Levels) Counts {
	return Counts{PowerBytes: l.Power, StoredBytes: l.Stored, Accounts: l.Accounts, Miners: l.Miners, SectorsPreCommitted: l.PreCommitted,
		SectorsActive: l.Active, SectorsFaulty: l.Faulty, DealsMatched: l.Matched, DealsAccepted: l.Accepted, DealsActive: l.ActiveDeals,
		Orders: l.Orders, Channels: l.Channels}
}

// lastDay sums up the last 24 hours.
func lastDay(s *index.Snapshot, time uint64) (out Totals, err error) {
	from := before(time, index.Day)
	p, err := s.Sum(from)
	if err != nil {
		return out, err
	}
	trades, err := traded(s, index.Hour, from-from%index.Hour, time)
	f := &p.Flows
	return Totals{Blocks: f.Blocks, Messages: f.Messages, Failed: f.Failed, Proofs: f.Proofs, Faults: f.Faults, Recoveries: f.Recovered,
		DealsMatched: f.Matched, DealsActivated: f.Activated, DealsEnded: f.Ended, DealPay: f.DealPay, ServedBytes: f.Served,
		Fees: f.Fees, FeesBurned: less(f.Fees, f.Tips), Tips: f.Tips, BlockRewards: f.BlockRewards, PowerRewards: f.PowerRewards, Fines: f.Fines,
		Trades: trades.Trades, TradedBytes: trades.Size}, err
}

// pace is the mean time between the last blocks, in seconds.
func pace(s *index.Snapshot, time uint64) (float64, error) {
	if s.Height <= s.First {
		return 0, nil
	}
	h := max(s.First, s.Height-min(s.Height, pacedBlocks))
	b, err := s.Block(h)
	if err != nil || b == nil || h == s.Height {
		return 0, err
	}
	return math.Round(float64(time-b.Time)/float64(s.Height-h)*1000) / 1000, nil
}
