package explorer

import (
	"errors"
	"math"
	"math/big"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
)

// Figures of the network and its market, as every node tells them alike.
var (
	descBaseFee   = prometheus.NewDesc("perdure_chain_base_fee_attopdr", "Base fee per byte and per unit of the next block.", nil, nil)
	descSupply    = prometheus.NewDesc("perdure_chain_supply_pdr", "Money by where it is: free, locked, burned.", []string{"part"}, nil)
	descSectors   = prometheus.NewDesc("perdure_chain_sectors", "Sectors by state.", []string{"state"}, nil)
	descStored    = prometheus.NewDesc("perdure_chain_stored_bytes", "Padded bytes of active deals, each copy counted.", nil, nil)
	descDayFaults = prometheus.NewDesc("perdure_chain_faults_day", "Sectors that became faulty in the last 24 hours.", nil, nil)
	descDayFees   = prometheus.NewDesc("perdure_chain_fees_day_pdr", "Fees paid in the last 24 hours.", nil, nil)

	descByState   = prometheus.NewDesc("perdure_market_live_deals", "Deals that are not over, by state.", []string{"state"}, nil)
	descDayPay    = prometheus.NewDesc("perdure_market_deal_pay_day_pdr", "Released to miners for proven deals in the last 24 hours.", nil, nil)
	descDayServed = prometheus.NewDesc("perdure_market_served_day_bytes", "Bytes served in the last 24 hours, as miners claim with receipts.", nil, nil)
	descDepth     = prometheus.NewDesc("perdure_market_book_bytes", "Padded bytes of the orders in the order book, by side.", []string{"side"}, nil)
	descBest      = prometheus.NewDesc("perdure_market_best_price_attopdr", "Best price of a side of the order book, per GiB per block.", []string{"side"}, nil)
	descLast      = prometheus.NewDesc("perdure_market_last_price_attopdr", "Price of the newest trade, per GiB per block.", nil, nil)
	descDayTrades = prometheus.NewDesc("perdure_market_trades_day", "Trades of the last 24 hours, without those with oneself.", nil, nil)
	descDayVolume = prometheus.NewDesc("perdure_market_volume_day_bytes", "Padded bytes traded in the last 24 hours.", nil, nil)
	descDayTotal  = prometheus.NewDesc("perdure_market_turnover_day_pdr", "Total of the trades of the last 24 hours.", nil, nil)
)

// gaugesTime is for how long figures are told again that take a walk through
// the levels of the book or a day of the index.
const gaugesTime = 10 * time.Second

// gauges tells the figures of the network and its market.
type gauges struct {
	a *API

	mu   sync.Mutex
	told []prometheus.Metric
	at   time.Time // when they were worked out; zero: they are not whole
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descBaseFee, descSupply, descSectors, descStored, descDayFaults, descDayFees, descByState, descDayPay, descDayServed, descDepth, descBest,
		descLast, descDayTrades, descDayVolume, descDayTotal} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(to chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	view := g.a.node.Store().Visit()
	if view == nil {
		return
	}
	if time.Since(g.at) > gaugesTime {
		g.told, g.at = nil, time.Now()
		global, err := view.Global()
		if err == nil {
			g.money(global)
			err = g.indexed(global.Time)
		}
		if err != nil && !errors.Is(err, index.ErrBuilding) && !errors.Is(err, index.ErrOff) {
			to <- prometheus.NewInvalidMetric(descSupply, err)
			g.at = time.Time{}
			return
		}
	}
	for _, m := range g.told {
		to <- m
	}
}

func (g *gauges) tell(d *prometheus.Desc, v float64, labels ...string) {
	g.told = append(g.told, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
}

// inPDR and inAtto are amounts as numbers that are near enough for a chart.
func inPDR(a chain.Amount) float64 { return inAtto(a) / 1e18 }

func inAtto(a chain.Amount) float64 {
	f, _ := new(big.Float).SetInt(a.Big()).Float64()
	return f
}

func (g *gauges) money(global *chain.Global) {
	g.tell(descBaseFee, inAtto(global.BaseFee))
	s := &global.Supply
	g.tell(descSupply, inPDR(s.Accounts), "free")
	g.tell(descSupply, inPDR(s.Locked), "locked")
	g.tell(descSupply, inPDR(s.Burned), "burned")
}

// book sums up the sides of the order book.
func (g *gauges) book(s *index.Snapshot) error {
	for _, side := range []string{"bid", "ask"} {
		levels, err := s.Depth(side == "bid", math.MaxInt)
		if err != nil {
			return err
		}
		sum := 0.0
		for i := range levels {
			sum += float64(levels[i].Size)
		}
		g.tell(descDepth, sum, side)
		if len(levels) > 0 {
			g.tell(descBest, inAtto(levels[0].Price), side)
		}
	}
	return nil
}

// network tells how much there is of everything, and what the last day brought.
func (g *gauges) network(s *index.Snapshot, time uint64) error {
	day, err := s.Sum(before(time, index.Day))
	if err != nil {
		return err
	}
	now, err := s.Now()
	if err != nil {
		return err
	}
	l := &now.Point.Levels
	g.tell(descSectors, float64(l.PreCommitted), chain.SectorPreCommitted.String())
	g.tell(descSectors, float64(l.Active), chain.SectorActive.String())
	g.tell(descSectors, float64(l.Faulty), chain.SectorFaulty.String())
	g.tell(descByState, float64(l.Matched), chain.DealMatched.String())
	g.tell(descByState, float64(l.Accepted), chain.DealAccepted.String())
	g.tell(descByState, float64(l.ActiveDeals), chain.DealActive.String())
	g.tell(descStored, float64(l.Stored))
	g.tell(descDayFaults, float64(day.Flows.Faults))
	g.tell(descDayFees, inPDR(day.Flows.Fees))
	g.tell(descDayPay, inPDR(day.Flows.DealPay))
	g.tell(descDayServed, float64(day.Flows.Served))
	return nil
}

// indexed tells what only the index counts; time is that of the newest block.
func (g *gauges) indexed(time uint64) (err error) {
	s, err := g.a.index.Snapshot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := g.book(s); err != nil {
		return err
	}
	if err := g.network(s, time); err != nil {
		return err
	}
	day, err := traded(s, index.Minute, before(time, index.Day), time)
	if err != nil {
		return err
	}
	g.tell(descDayTrades, float64(day.Trades))
	g.tell(descDayVolume, float64(day.Size))
	g.tell(descDayTotal, inPDR(day.Total))
	last, err := s.LastCandle()
	if last != nil {
		g.tell(descLast, inAtto(last.Close))
	}
	return err
}
