package explorer

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/filecoin-project/go-address"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer/export"
	"github.com/perdure/perdure/chain/index"
)

// exportPath answers with whole tables.
const exportPath = "/v1/export/{table}"

// table is a table that is exported whole. Its rows are what lists and details of
// the API answer with, in the order of their heights or IDs.
type table struct {
	name   string
	row    reflect.Type
	ranged bool // its rows have heights, by which they can be chosen
	rows   func(q *query, within heights) rows
}

var tables = []table{
	{"accounts", reflect.TypeFor[*Account](), false, (*query).accountRows},
	{"blocks", reflect.TypeFor[*Block](), true, (*query).blockRows},
	{"channels", reflect.TypeFor[*Channel](), true, (*query).channelRows},
	{"deals", reflect.TypeFor[*Deal](), true, (*query).dealRows},
	{"events", reflect.TypeFor[*Happening](), true, (*query).eventRows},
	{"messages", reflect.TypeFor[*Message](), true, (*query).messageRows},
	{"miners", reflect.TypeFor[*Miner](), true, (*query).minerRows},
	{"orders", reflect.TypeFor[*Order](), true, (*query).orderRows},
	{"sectors", reflect.TypeFor[*Sector](), true, (*query).sectorRows},
	{"trades", reflect.TypeFor[*Trade](), true, (*query).tradeRows},
}

// TableNames are the tables that are exported, in alphabetical order.
func TableNames() (names []string) {
	for _, t := range tables {
		names = append(names, t.name)
	}
	return names
}

// TableRow is the type of a table's rows, a pointer to a struct; nil if there is
// no such table.
func TableRow(name string) reflect.Type {
	if t := tableNamed(name); t != nil {
		return t.row
	}
	return nil
}

func tableNamed(name string) *table {
	i := slices.IndexFunc(tables, func(t table) bool { return t.name == name })
	if i < 0 {
		return nil
	}
	return &tables[i]
}

func (a *API) exportRoutes() []route {
	return []route{{path: exportPath, query: []string{"from", "to", "format"}, handle: a.exportTable, indexed: true}}
}

func (a *API) exportTable(q *query) (any, error) {
	t := tableNamed(q.r.PathValue("table"))
	if t == nil {
		return nil, notFound("no table %q: want %s", clip(q.r.PathValue("table")), strings.Join(TableNames(), ", "))
	}
	within, err := q.within(t)
	if err == nil {
		_, err = q.indexed()
	}
	if err != nil {
		return nil, err
	}
	if _, err := q.choice("format", "csv", "ndjson"); err != nil {
		return nil, err
	}
	f := q.form
	if f == nil {
		f = formNamed(func(f *form) bool { return f.name == "ndjson" })
	}
	return q.stream(f, t.name, export.ColumnsOf(t.row), t.rows(q, within))
}

// within reads from and to.
func (q *query) within(t *table) (heights, error) {
	for _, name := range []string{"from", "to"} {
		if q.given(name) && !t.ranged {
			return allHeights, badRequest("%s: %s have no height", name, t.name)
		}
	}
	return q.between("from", "to", allHeights)
}

// listed are the rows of a list of records, the lowest ID first; row makes one, or nil.
func listed[V any, T any, P interface {
	*V
	chain.CBOR
}](q *query, l index.List, row func(*index.Record, P) (*T, error)) rows {
	return func(ctx context.Context, add func(any) error) error {
		return through(ctx, index.Page{Limit: bulkPage, Upward: true}, func(p index.Page) ([]byte, error) {
			return q.snap.Records(l, p, func(r *index.Record) (bool, error) {
				v := P(new(V))
				if err := r.Decode(v); err != nil {
					return false, err
				}
				out, err := row(r, v)
				if out != nil && err == nil {
					err = add(out)
				}
				return true, err
			})
		})
	}
}

func (q *query) accountRows(heights) rows {
	now := q.asOf()
	return listed(q, index.All(chain.TableAccount), func(r *index.Record, a *chain.Account) (*Account, error) {
		who, err := address.NewFromBytes([]byte(r.Key.ID))
		return &Account{Address: q.address(who), Exists: true, Nonce: a.Nonce, Balance: a.Balance, NoShows: a.NoShows, NoShowAt: a.NoShowAt, AsOf: now}, err
	})
}

func (q *query) channelRows(within heights) rows {
	return listed(q, index.All(chain.TableChannel), func(r *index.Record, c *chain.Channel) (*Channel, error) {
		if !within.has(c.Opened) {
			return nil, nil
		}
		return q.channelOf(c, r), nil
	})
}

func (q *query) dealRows(within heights) rows {
	return listed(q, index.All(chain.TableDeal), func(r *index.Record, d *chain.Deal) (*Deal, error) {
		if !within.has(d.Matched) {
			return nil, nil
		}
		return q.lastDeal(r, d), nil
	})
}

func (q *query) minerRows(within heights) rows {
	return listed(q, index.All(chain.TableMiner), func(_ *index.Record, m *chain.Miner) (out *Miner, err error) {
		if !within.has(m.Created) {
			return nil, nil
		}
		return q.minerWith(m)
	})
}

func (q *query) orderRows(within heights) rows {
	return listed(q, index.All(chain.TableOrder), func(r *index.Record, o *chain.Order) (*Order, error) {
		if !within.has(o.Placed) {
			return nil, nil
		}
		return q.lastOrder(o, r)
	})
}

func (q *query) sectorRows(within heights) rows {
	params := q.params()
	return listed(q, index.All(chain.TableSector), func(r *index.Record, s *chain.Sector) (*Sector, error) {
		if !within.has(s.PreCommitted) {
			return nil, nil
		}
		return q.lastSector(r, s, params), nil
	})
}

// byHeight are the rows of a list whose keys begin with heights, in a range of them.
func byHeight[V any](within heights, width int, read func(index.Page, func(V) (bool, error)) ([]byte, error), at func(V) chain.Height,
	row func(V) any) rows {
	return func(ctx context.Context, add func(any) error) error {
		return through(ctx, within.begin(index.Page{Limit: bulkPage, Upward: true}, width), func(p index.Page) ([]byte, error) {
			return ended(read(p, func(v V) (bool, error) {
				if !within.has(at(v)) {
					return false, errBeyond
				}
				return true, add(row(v))
			}))
		})
	}
}

func (q *query) blockRows(within heights) rows {
	return byHeight(within, 8, q.snap.Blocks, func(b *index.Block) chain.Height { return b.Height }, func(b *index.Block) any { return blockOf(b) })
}

func (q *query) messageRows(within heights) rows {
	return byHeight(within, 12, q.snap.Messages, func(m *index.Message) chain.Height { return m.Height }, func(m *index.Message) any { return q.messageOf(m) })
}

func (q *query) tradeRows(within heights) rows {
	return byHeight(within, 12, q.snap.Trades, func(t *index.Trade) chain.Height { return t.Height }, func(t *index.Trade) any { return q.tradeOf(t) })
}

func (q *query) eventRows(within heights) rows {
	happening := q.happening()
	return byHeight(within, 12, q.snap.AllEvents, func(e *index.Event) chain.Height { return e.Height }, func(e *index.Event) any { return happening(e) })
}
