package index

import (
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// Side is a side of the market.
type Side byte

// The sides.
const (
	AnySide Side = 0
	BidSide Side = 'b'
	AskSide Side = 'a'
)

// OrderState is where an order is in its life, its end included.
type OrderState byte

// The states of orders; 0 stands for any. The first three are live.
const (
	OrderWaiting              = OrderState(chain.OrderWaiting)
	OrderSearching            = OrderState(chain.OrderSearching)
	OrderResting              = OrderState(chain.OrderResting)
	OrderFilled    OrderState = 4
	OrderCancelled OrderState = 5
	OrderExpired   OrderState = 6
	OrderOver      OrderState = 7 // ended in another way
)

var allOrderStates = []OrderState{OrderWaiting, OrderSearching, OrderResting, OrderFilled, OrderCancelled, OrderExpired, OrderOver}

var orderStates = [...]string{"", "waiting", "searching", "resting", "filled", "cancelled", "expired", "ended"}

// String returns the state's name, as JSON shows it.
func (s OrderState) String() string { return orderStates[s] }

// ParseOrderState returns the state of a name.
func ParseOrderState(name string) (OrderState, bool) {
	for i, n := range orderStates {
		if i > 0 && n == name {
			return OrderState(i), true
		}
	}
	return 0, false
}

// OrderStateOf is where an order is.
func OrderStateOf(r *Record, o *chain.Order) OrderState {
	if r.Gone == 0 {
		return OrderState(o.State)
	}
	if s, ok := ParseOrderState(r.Reason); ok && s > OrderResting {
		return s
	}
	return OrderOver
}

// ChannelState is where a channel is in its life.
type ChannelState byte

// The states of channels; 0 stands for any.
const (
	ChannelOpen      ChannelState = 1
	ChannelSettling  ChannelState = 2
	ChannelCollected ChannelState = 3
)

var channelStates = [...]string{"", "open", "settling", "collected"}

// String returns the state's name, as JSON shows it.
func (s ChannelState) String() string { return channelStates[s] }

// ChannelStateOf is where a channel is.
func ChannelStateOf(r *Record, c *chain.Channel) ChannelState {
	switch {
	case r.Gone != 0:
		return ChannelCollected
	case c.SettleAt != 0:
		return ChannelSettling
	}
	return ChannelOpen
}

// List is a list of records of one table, by the bytes of their IDs: IDs in
// their order, sectors by miner and number. Several filters together give the
// records that all of them take.
type List struct {
	table chain.Table
	owner []byte     // the beginning of all IDs, if no row names them
	width int        // of an ID in rows; 0: any
	rows  [][][]byte // an ID must stand under one prefix of each
	due   []byte     // in place of them the prefix of rows in which a height stands before the ID
}

// where adds a filter's rows.
func (l *List) where(given bool, prefix func() []byte) {
	if given {
		l.rows = append(l.rows, [][]byte{prefix()})
	}
}

// All lists the records of a mirrored table, by ID: chain.TableAccount,
// chain.TableVoters and the like. Those that left the state are among them.
func All(t chain.Table) List {
	l := List{table: t}
	switch t.Shape() {
	case chain.ShapeDense:
		l.width = 8
	case chain.ShapeOwned:
		l.width = 16
	}
	return l
}

// DealFilter says which deals are wanted; what is zero takes all.
type DealFilter struct {
	State  chain.DealState
	Miner  chain.MinerID
	Client chain.Address
	Root   cid.Cid // of the payload
	Piece  cid.Cid
}

// Deals lists deals by ID.
func Deals(f DealFilter) List {
	l := All(chain.TableDeal)
	none := chain.Address{}
	state := byte(f.State)
	l.where(f.Root.Defined(), func() []byte { return byCID('D', 'r', f.Root) })
	l.where(f.Piece.Defined(), func() []byte { return byCID('D', 'p', f.Piece) })
	l.where(f.Client != none, func() []byte { return append(byAddress('D', 'c', f.Client), state) })
	l.where(f.Miner != 0, func() []byte { return append(byNumber('D', 'm', f.Miner), state) })
	l.where(f.State != 0 && (f.Client == none && f.Miner == 0), func() []byte { return []byte{'D', 's', state} })
	return l
}

// DealsByEnd lists the active deals in the order of their ends; those of a client or
// of a miner if one is given. Places in it are END ID.
func DealsByEnd(client chain.Address, miner chain.MinerID) List {
	l := All(chain.TableDeal)
	none := chain.Address{}
	switch {
	case client != none:
		l.due = byAddress('D', 'C', client)
	case miner != 0:
		l.due = byNumber('D', 'M', miner)
	default:
		l.due = []byte{'D', 'e'}
	}
	return l
}

// SectorFilter says which sectors are wanted; what is zero takes all.
type SectorFilter struct {
	Miner chain.MinerID
	State chain.SectorState
}

// Sectors lists sectors by miner and number.
func Sectors(f SectorFilter) List {
	l := All(chain.TableSector)
	var owner []byte
	if f.Miner != 0 {
		owner = number(nil, f.Miner)
	}
	if f.State == 0 {
		l.owner = owner
		return l
	}
	l.owner = owner
	l.where(true, func() []byte { return append([]byte{'S', byte(f.State)}, owner...) })
	return l
}

// SectorsByExpiration lists the live sectors in the order in which they expire;
// those of a miner if one is given. Places in it are EXPIRATION MINER NUMBER.
func SectorsByExpiration(miner chain.MinerID) List {
	l := All(chain.TableSector)
	if l.due = []byte{'S', 'e'}; miner != 0 {
		l.due = byNumber('S', 'M', miner)
	}
	return l
}

// Partitions lists a miner's partitions by deadline and index.
func Partitions(m chain.MinerID) List {
	l := All(chain.TablePartition)
	l.owner = number(nil, m)
	return l
}

// OrderFilter says which orders are wanted; what is zero takes all.
type OrderFilter struct {
	Live  bool // those that are not over
	State OrderState
	Side  Side
	Owner chain.Address
	Miner chain.MinerID // asks of it
}

// Orders lists orders by ID.
func Orders(f OrderFilter) List {
	l := All(chain.TableOrder)
	l.where(f.Owner != chain.Address{}, func() []byte { return byAddress('O', 'o', f.Owner) })
	l.where(f.Miner != 0, func() []byte { return byNumber('O', 'm', f.Miner) })
	if f.State != 0 {
		l.rows = append(l.rows, ordersIn(f.Side, f.State))
	}
	if f.Live {
		l.rows = append(l.rows, ordersIn(f.Side, OrderWaiting, OrderSearching, OrderResting))
	}
	if f.Side != 0 && f.State == 0 && !f.Live {
		l.rows = append(l.rows, ordersIn(f.Side, allOrderStates...))
	}
	return l
}

// ordersIn are the rows of the orders of a side, or of both, in any of some states.
func ordersIn(side Side, states ...OrderState) (rows [][]byte) {
	for _, state := range states {
		for _, s := range []Side{BidSide, AskSide} {
			if side == AnySide || side == s {
				rows = append(rows, []byte{'O', 's', byte(state), byte(s)})
			}
		}
	}
	return rows
}

// ChannelFilter says which channels are wanted; what is zero takes all.
type ChannelFilter struct {
	Address chain.Address // payer or payee
	Payer   chain.Address
	Payee   chain.Address
	State   ChannelState
}

// Channels lists channels by ID.
func Channels(f ChannelFilter) List {
	l := All(chain.TableChannel)
	none := chain.Address{}
	l.where(f.Address != none, func() []byte { return byAddress('C', 'a', f.Address) })
	l.where(f.Payer != none, func() []byte { return byAddress('C', 'f', f.Payer) })
	l.where(f.Payee != none, func() []byte { return byAddress('C', 't', f.Payee) })
	l.where(f.State != 0, func() []byte { return []byte{'C', 's', byte(f.State)} })
	return l
}

// MinerFilter says which miners are wanted; what is zero takes all.
type MinerFilter struct {
	Owner, Worker chain.Address // as their keys are now
}

// Miners lists miners by ID.
func Miners(f MinerFilter) List {
	l := All(chain.TableMiner)
	none := chain.Address{}
	l.where(f.Owner != none, func() []byte { return byAddress('M', 'o', f.Owner) })
	l.where(f.Worker != none, func() []byte { return byAddress('M', 'w', f.Worker) })
	return l
}

// rowsOf are the rows of a record in lists, in one order: of equal records the
// same. v is its noun.
func rowsOf(r *Record, v chain.CBOR) [][]byte {
	switch v := v.(type) {
	case *chain.Deal:
		return dealRows(r, v)
	case *chain.Sector:
		return sectorRows(r, v)
	case *chain.Order:
		return orderRows(r, v)
	case *chain.Channel:
		id := v.ID
		rows := [][]byte{number([]byte{'C', 's', byte(ChannelStateOf(r, v))}, id),
			number(byAddress('C', 'f', v.Payer), id), number(byAddress('C', 't', v.Payee), id), number(byAddress('C', 'a', v.Payer), id)}
		if v.Payee != v.Payer {
			rows = append(rows, number(byAddress('C', 'a', v.Payee), id))
		}
		return rows
	case *chain.Miner:
		return [][]byte{number(byAddress('M', 'o', v.Keys.Owner), v.ID), number(byAddress('M', 'w', v.Keys.Worker), v.ID)}
	}
	return nil
}

// dealRows has two rows for a client and for a miner: under the deal's state,
// and under 0 for all states. An active deal stands by its end, too.
func dealRows(r *Record, d *chain.Deal) [][]byte {
	state := byte(d.State)
	rows := [][]byte{
		number(byCID('D', 'r', d.PayloadRoot), d.ID), number(byCID('D', 'p', d.PieceCID), d.ID),
		number(append(byAddress('D', 'c', d.Client), 0), d.ID), number(append(byNumber('D', 'm', d.Miner), 0), d.ID),
		number(append(byAddress('D', 'c', d.Client), state), d.ID), number(append(byNumber('D', 'm', d.Miner), state), d.ID),
		number([]byte{'D', 's', state}, d.ID),
	}
	if d.State != chain.DealActive || r.Gone != 0 {
		return rows
	}
	end := uint64(d.End)
	return append(rows, number(number([]byte{'D', 'e'}, end), d.ID),
		number(number(byAddress('D', 'C', d.Client), end), d.ID), number(number(byNumber('D', 'M', d.Miner), end), d.ID))
}

// sectorRows has a row under the sector's state. A live sector stands by its
// expiration, too.
func sectorRows(r *Record, s *chain.Sector) [][]byte {
	rows := [][]byte{append([]byte{'S', byte(s.State)}, r.Key.ID...)}
	if !s.Live() || r.Gone != 0 {
		return rows
	}
	return append(rows, append(number([]byte{'S', 'e'}, uint64(s.Expiration)), r.Key.ID...),
		append(number(byNumber('S', 'M', s.Miner), uint64(s.Expiration)), r.Key.ID...))
}

// orderRows has one row that changes with the order, under its state and side:
// who asks for several of either looks under each.
func orderRows(r *Record, o *chain.Order) [][]byte {
	side := AskSide
	if o.Bid != nil {
		side = BidSide
	}
	rows := [][]byte{number(byAddress('O', 'o', o.Owner), o.ID),
		number([]byte{'O', 's', byte(OrderStateOf(r, o)), byte(side)}, o.ID)}
	if o.Ask != nil {
		rows = append(rows, number(byNumber('O', 'm', o.Ask.Miner), o.ID))
	}
	return rows
}
