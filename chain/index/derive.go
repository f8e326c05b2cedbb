package index

import (
	"fmt"
	"math/bits"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// The kinds of events that the index derives from how a block changed records:
// what happened to money and duties, and no event of the chain says. They stand
// behind the chain's events of the block. Fields that a kind does not name are zero.
const (
	DepositLocked    consensus.EventKind = 1001 // Miner, Sector, Amount: for its pre-commit
	PledgeLocked     consensus.EventKind = 1002 // Miner, Sector, Amount: for the active sector, in place of the deposit
	PledgeReturned   consensus.EventKind = 1003 // Miner, Sector, Amount: of an ended sector; bound for a while if the miner voted
	RecoveryDeclared consensus.EventKind = 1004 // Miner, Sector
	WindowMissed     consensus.EventKind = 1005 // Miner, Index: deadline<<32 | partition, Amount: so many sectors
	DealDepositBack  consensus.EventKind = 1010 // Deal, Miner, To: client, Amount: no-show deposit, as the miner has the data
	MinerDepositBack consensus.EventKind = 1011 // Deal, Miner, Amount: no-show deposit, as the deal is active
	DealRefunded     consensus.EventKind = 1012 // Deal, Miner, To: client, Amount: of the price, at the deal's end
	CollateralBack   consensus.EventKind = 1013 // Deal, Miner, Amount: at the deal's end
	DealBurned       consensus.EventKind = 1014 // Deal, Miner, Amount: of the miner's collateral and deposit, at the deal's end
	ClientBurned     consensus.EventKind = 1015 // Deal, From: client, Amount: its no-show deposit, at the deal's end
	OrderBurned      consensus.EventKind = 1016 // Order, Amount: deposit of one that was cancelled before it rested
)

var derivedNames = map[consensus.EventKind]string{
	DepositLocked: "depositLocked", PledgeLocked: "pledgeLocked", PledgeReturned: "pledgeReturned", RecoveryDeclared: "recoveryDeclared",
	WindowMissed: "windowMissed", DealDepositBack: "dealDepositReturned", MinerDepositBack: "minerDepositReturned",
	DealRefunded: "dealRefunded", CollateralBack: "collateralReturned", DealBurned: "dealBurned", ClientBurned: "clientDepositBurned",
	OrderBurned: "orderDepositBurned",
}

// KindName is the name of a kind of events, of the chain or derived.
func KindName(k consensus.EventKind) string {
	if name := derivedNames[k]; name != "" {
		return name
	}
	return k.String()
}

// KindOf returns the kind of a name.
func KindOf(name string) (consensus.EventKind, bool) {
	for k := range consensus.EventKind(2000) {
		if KindName(k) == name && name != "" {
			return k, true
		}
	}
	return 0, false
}

// Kinds are the names of all kinds of events, in the order of their numbers.
func Kinds() (names []string) {
	for k := range consensus.EventKind(2000) {
		if name := KindName(k); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// derive adds the derived events, in the order of the changed keys.
func (b *block) derive() error {
	d := deriver{b: b, paid: map[uint64]chain.Amount{}, escrow: map[uint64]chain.Amount{}, back: map[uint64]chain.Amount{},
		burned: map[chain.Key]chain.Amount{}, cancelled: map[uint64]bool{}}
	if err := d.sums(); err != nil {
		return err
	}
	b.events = b.u.Events[:len(b.u.Events):len(b.u.Events)]
	for i := range b.changes {
		c := &b.changes[i]
		var err error
		switch c.key.Table {
		case chain.TableSector:
			err = d.sector(formerly[chain.Sector](c), now[chain.Sector](c))
		case chain.TablePartition:
			err = d.partition(c, formerly[chain.Partition](c), now[chain.Partition](c))
		case chain.TableDeal:
			err = d.deal(formerly[chain.Deal](c), now[chain.Deal](c))
		case chain.TableOrder:
			err = d.order(formerly[chain.Order](c), now[chain.Order](c))
		}
		if err != nil {
			return fmt.Errorf("derive events of %s %x: %w", c.key.Table, c.key.ID, err)
		}
	}
	return nil
}

// deriver derives a block's events.
type deriver struct {
	b         *block
	paid      map[uint64]chain.Amount    // by deal, in this block
	escrow    map[uint64]chain.Amount    // by deal before: what went on into its repair or renewal
	back      map[uint64]chain.Amount    // by order: repaid
	burned    map[chain.Key]chain.Amount // by sector
	cancelled map[uint64]bool            // orders, by their owners
}

// sums collects what the chain's events tell.
func (d *deriver) sums() error {
	for i := range d.b.u.Events {
		e := &d.b.u.Events[i]
		var err error
		switch e.Kind {
		case consensus.EventDealPaid:
			err = add(d.paid, e.Deal, e.Amount)
		case consensus.EventRepairOrdered, consensus.EventRepairEnded:
			err = add(d.escrow, e.Deal, e.Amount)
		case consensus.EventOrderCancelled, consensus.EventOrderFilled, consensus.EventOrderReduced:
			err = add(d.back, e.Order, e.Amount)
			if e.Kind == consensus.EventOrderCancelled && e.Reason == OrderCancelled.String() {
				d.cancelled[e.Order] = true
			}
		case consensus.EventSectorEnded:
			err = add(d.burned, chain.SectorKey(e.Miner, e.Sector), e.Amount)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func add[K comparable](to map[K]chain.Amount, k K, v chain.Amount) (err error) {
	to[k], err = to[k].Add(v)
	return err
}

// emit adds an event, unless it is about no money.
func (d *deriver) emit(e consensus.Event) {
	if !e.Amount.IsZero() {
		d.b.events = append(d.b.events, e)
	}
}

func (d *deriver) sector(was, is *chain.Sector) error {
	if is == nil {
		return nil
	}
	e := consensus.Event{Miner: is.Miner, Sector: is.Number}
	switch {
	case is.State == chain.SectorPreCommitted && was == nil:
		e.Kind, e.Amount = DepositLocked, is.Deposit
	case is.Live() && (was == nil || was.State == chain.SectorPreCommitted):
		e.Kind, e.Amount = PledgeLocked, is.Pledge
	case is.Ended() && was != nil && was.Live():
		e.Kind, e.Amount = PledgeReturned, less(was.Pledge, d.burned[chain.SectorKey(is.Miner, is.Number)])
	}
	d.emit(e)
	return nil
}

// less is what is left, or nothing.
func less(a, b chain.Amount) chain.Amount {
	left, err := a.Sub(b)
	if err != nil {
		return chain.Amount{}
	}
	return left
}

// partition derives recoveries, and what a window should have proven that closed
// with the block.
func (d *deriver) partition(c *change, was, is *chain.Partition) error {
	if was == nil {
		return nil
	}
	miner, line, n := partitionOf(c.key)
	if is != nil {
		for set := is.Recovering &^ was.Recovering; set != 0; set &= set - 1 {
			if slot := bits.TrailingZeros64(set); slot < len(is.Sectors) {
				d.b.events = append(d.b.events, consensus.Event{Kind: RecoveryDeclared, Miner: miner, Sector: is.Sectors[slot]})
			}
		}
	}
	if due := d.b.missed(was, is); due != 0 {
		d.emit(consensus.Event{Kind: WindowMissed, Miner: miner, Index: line<<32 | n, Amount: chain.Atto(uint64(bits.OnesCount64(due)))})
	}
	return nil
}

// deal derives what became of the money of a deal. Its price is refunded when it
// ends, less what it paid, and less what goes on into a repair.
func (d *deriver) deal(was, is *chain.Deal) error {
	if was == nil || is == nil {
		return nil
	}
	e := consensus.Event{Deal: is.ID, Miner: is.Miner}
	with := func(kind consensus.EventKind, amount chain.Amount) consensus.Event {
		e := e
		e.Kind, e.Amount = kind, amount
		return e
	}
	client := is.Client.Bytes()
	unfetched := is.State == chain.DealVoid && was.State == chain.DealMatched
	if !was.ClientDeposit.IsZero() && is.ClientDeposit.IsZero() {
		if unfetched {
			e := consensus.Event{Kind: ClientBurned, Deal: is.ID, From: client, Amount: was.ClientDeposit}
			d.emit(e)
		} else {
			back := with(DealDepositBack, was.ClientDeposit)
			back.To = client
			d.emit(back)
		}
	}
	if !was.MinerDeposit.IsZero() && is.MinerDeposit.IsZero() {
		kind := MinerDepositBack
		if is.State == chain.DealVoid {
			kind = DealBurned
		}
		d.emit(with(kind, was.MinerDeposit))
	}
	if !is.Ended() || was.Ended() {
		return nil
	}
	return d.dealEnd(was, is, with)
}

// dealEnd derives who got what a deal still held. A repair or renewal that came
// to nothing gives its price to the next bid; a lost deal gives its price and
// what is not burned of its collateral.
func (d *deriver) dealEnd(was, is *chain.Deal, with func(consensus.EventKind, chain.Amount) consensus.Event) error {
	price := less(was.Unspent, d.paid[is.ID])
	refund := with(DealRefunded, price)
	refund.To = is.Client.Bytes()
	switch {
	case is.State == chain.DealLost:
		held, err := price.Add(was.Collateral)
		if err != nil {
			return err
		}
		d.emit(with(DealBurned, less(held, d.escrow[is.ID])))
		return nil
	case was.Succeeds == nil || is.State == chain.DealCompleted:
		d.emit(refund)
	}
	burned := chain.Amount{}
	if is.State == chain.DealVoid && was.State == chain.DealAccepted {
		p, err := d.b.params()
		if err != nil || p == nil {
			return err
		}
		if burned, err = was.Collateral.MulDiv(p.VoidBurn, 100); err != nil {
			return err
		}
	}
	d.emit(with(DealBurned, burned))
	d.emit(with(CollateralBack, less(was.Collateral, burned)))
	return nil
}

// order derives the deposit that is burned of an order that its owner cancels
// before it has looked through the book.
func (d *deriver) order(was, is *chain.Order) error {
	if was == nil || is != nil || !d.cancelled[was.ID] {
		return nil
	}
	held, err := was.Locked.Add(was.Deposit)
	if err != nil {
		return err
	}
	d.emit(consensus.Event{Kind: OrderBurned, Order: was.ID, Amount: less(held, d.back[was.ID])})
	return nil
}

// params are the parameters in force in the block, nil if they are not known.
func (b *block) params() (*consensus.Params, error) {
	raw, err := b.g.get(recordKey(chain.ParamsKey()))
	if err != nil || raw == nil {
		return b.g.params, err
	}
	r, err := parseRecord(chain.ParamsKey(), raw)
	if err != nil {
		return nil, err
	}
	p := new(consensus.Params)
	return p, r.Decode(p)
}
