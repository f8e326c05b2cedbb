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
	owner []byte   // the beginning of all IDs, if no row names them
	width int      // of an ID in rows; 0: any
	rows  []filter // an ID must stand under one prefix of each
	due   []byte   // in place of them the prefix of rows in which a height stands before the ID
}

// filter is a condition of a list.
type filter struct {
	prefixes [][]byte // no ID stands under two of them
	state    byte     // that a row has to hold; 0: any, or none
}

// where adds a filter's rows.
func (l *List) where(given bool, prefix func() []byte) { l.whereState(given, 0, prefix) }

// whereState is where for rows that hold states.
func (l *List) whereState(given bool, state byte, prefix func() []byte) {
	if given {
		l.rows = append(l.rows, filter{[][]byte{prefix()}, state})
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
	l.whereState(f.Client != none, state, func() []byte { return byAddress('D', 'c', f.Client) })
	l.whereState(f.Miner != 0, state, func() []byte { return byNumber('D', 'm', f.Miner) })
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
func ordersIn(side Side, states ...OrderState) (rows filter) {
	for _, state := range states {
		for _, s := range []Side{BidSide, AskSide} {
			if side == AnySide || side == s {
				rows.prefixes = append(rows.prefixes, []byte{'O', 's', byte(state), byte(s)})
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

// row is one of a record in a list.
type row struct {
	key   []byte
	state byte // that it holds, which may change while it stands; 0: none
}

func (r row) value() []byte {
	if r.state == 0 {
		return nil
	}
	return []byte{r.state}
}

// rowsOf are the rows of a record in lists, in one order: of equal records the
// same. v is its noun.
func rowsOf(r *Record, v chain.CBOR) []row {
	var keys [][]byte
	switch v := v.(type) {
	case *chain.Deal:
		return dealRows(r, v)
	case *chain.Sector:
		keys = sectorRows(r, v)
	case *chain.Order:
		keys = orderRows(r, v)
	case *chain.Channel:
		id := v.ID
		keys = [][]byte{number([]byte{'C', 's', byte(ChannelStateOf(r, v))}, id),
			number(byAddress('C', 'f', v.Payer), id), number(byAddress('C', 't', v.Payee), id), number(byAddress('C', 'a', v.Payer), id)}
		if v.Payee != v.Payer {
			keys = append(keys, number(byAddress('C', 'a', v.Payee), id))
		}
	case *chain.Miner:
		keys = [][]byte{number(byAddress('M', 'o', v.Keys.Owner), v.ID), number(byAddress('M', 'w', v.Keys.Worker), v.ID)}
	}
	return plainRows(make([]row, 0, len(keys)), keys...)
}

// plainRows adds rows that hold no state.
func plainRows(rows []row, keys ...[]byte) []row {
	for _, k := range keys {
		rows = append(rows, row{key: k})
	}
	return rows
}

// dealRows has one row for a client and one for a miner, which hold the deal's state:
// it changes more often than anybody asks for one of theirs. An active deal stands by
// its end, too.
func dealRows(r *Record, d *chain.Deal) []row {
	state := byte(d.State)
	rows := make([]row, 0, 8)
	rows = append(rows, row{number(byAddress('D', 'c', d.Client), d.ID), state}, row{number(byNumber('D', 'm', d.Miner), d.ID), state})
	rows = plainRows(rows, number(byCID('D', 'r', d.PayloadRoot), d.ID), number(byCID('D', 'p', d.PieceCID), d.ID),
		number([]byte{'D', 's', state}, d.ID))
	if d.State != chain.DealActive || r.Gone != 0 {
		return rows
	}
	end := uint64(d.End)
	return plainRows(rows, number(number([]byte{'D', 'e'}, end), d.ID),
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
