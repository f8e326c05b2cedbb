package explorer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/explorer/live"
	"github.com/perdure/perdure/chain/index"
)

// feed is the chain as streams tell it: what the index holds. The index follows
// what the state has synced, so no stream tells what a crash could undo.
type feed struct {
	index *index.Index
	names
}

// Watch implements live.Feed.
func (f feed) Watch() (first, tip chain.Height, ok bool, changed <-chan struct{}) {
	changed = f.index.Moved() // before the tip is read, so that no move is missed
	first, tip, ok = f.index.Tip()
	return first, tip, ok, changed
}

// Block implements live.Feed. The items are the block, its messages, its
// events, its trades, the levels of the book that it changed, and last the
// events that the index derived.
func (f feed) Block(ctx context.Context, h chain.Height) (out *live.Block, err error) {
	s, err := f.index.Snapshot()
	if errors.Is(err, index.ErrBuilding) {
		return nil, live.ErrGone
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	b, err := s.Block(h)
	if err != nil {
		return nil, err
	}
	if b == nil {
		if gap := s.InGap(h); gap != nil {
			return nil, &live.GapError{Next: gap.To + 1}
		}
		return nil, live.ErrGone
	}
	t := &teller{names: f.names, ctx: ctx, s: s, parties: map[chain.Key][]string{}}
	return t.tell(b)
}

// Key implements live.Feed.
func (f feed) Key(topic string) (string, error) {
	kind, name, named := strings.Cut(topic, ":")
	switch {
	case !named && (kind == topicBlock || kind == topicMessage || kind == topicEvent || kind == topicTrades || kind == topicBook):
		return kind, nil
	case named && kind == "address":
		a, err := parseAddress("address", name)
		if err != nil {
			return "", err
		}
		return addressKey(a.Bytes()), nil
	case named && kind == "miner":
		id, err := f.parseMiner("miner", name)
		return minerKey(id), err
	case named && kind == "deal":
		id, err := parseNumber("deal", name)
		return dealKey(id), err
	case named && kind == "sector":
		m, number, _ := strings.Cut(name, "/")
		id, err := f.parseMiner("miner", m)
		if err != nil {
			return "", err
		}
		n, err := parseNumber("sector", number)
		return sectorKey(id, n), err
	}
	return "", badRequest("topic %q: want block, message, event, trades, book, address:ADDRESS, miner:%s, sector:%[2]s/7 or deal:5",
		clip(topic), f.minerText(chain.FirstMinerID))
}

// Topics that name nothing.
const (
	topicBlock   = "block"
	topicMessage = "message"
	topicEvent   = "event"
	topicTrades  = "trades"
	topicBook    = "book"
)

// addressKey is the key of an account or, by its address, of a miner.
func addressKey(a []byte) string { return "address:" + string(a) }

func minerKey(id chain.MinerID) string {
	a, err := chain.MinerAddress(id)
	if err != nil { // no miner has such an ID
		return ""
	}
	return addressKey(a.Bytes())
}

func dealKey(id uint64) string { return "deal:" + strconv.FormatUint(id, 10) }

func sectorKey(m chain.MinerID, number uint64) string {
	return "sector:" + strconv.FormatUint(uint64(m), 10) + "/" + strconv.FormatUint(number, 10)
}

// teller writes the items of one block.
type teller struct {
	names
	ctx     context.Context
	s       *index.Snapshot
	parties map[chain.Key][]string // keys of those whose an order, a deal or a channel is
	out     live.Block
}

func (t *teller) add(kind string, data any, keys ...string) {
	t.out.Items = append(t.out.Items, live.Item{Type: kind, Data: data, Keys: keys})
}

func (t *teller) tell(b *index.Block) (*live.Block, error) {
	t.out.Time = clock(b.Time)
	t.add(topicBlock, blockOf(b), topicBlock)
	events, err := t.events(b)
	if err == nil {
		err = t.messages(b, events)
	}
	if err != nil {
		return nil, err
	}
	chains := min(int(b.Events), len(events))
	t.out.Items = append(t.out.Items, events[:chains]...)
	if err := t.market(b.Height); err != nil {
		return nil, err
	}
	t.out.Items = append(t.out.Items, events[chains:]...)
	return &t.out, nil
}

// all goes through all of a list of the block.
func (t *teller) all(read func(index.Page) (next []byte, err error)) error {
	return through(t.ctx, index.Page{Limit: math.MaxInt, Upward: true}, read)
}

func (t *teller) events(b *index.Block) (items []live.Item, err error) {
	err = t.all(func(p index.Page) ([]byte, error) {
		return t.s.BlockEvents(b.Height, p, func(e *index.Event) (bool, error) {
			out := t.eventOf(&e.Event)
			keys, err := t.keys(&e.Event, out.Sector != nil)
			items = append(items, live.Item{Type: topicEvent, Data: out, Keys: append(keys, topicEvent)})
			return true, err
		})
	})
	if err == nil && uint64(len(items)) < b.Events {
		err = fmt.Errorf("block %d has %d events, the index holds %d", b.Height, b.Events, len(items))
	}
	return items, err
}

// messages tells the messages of a block. One belongs to who sent it, to the
// miner that it is about, and to all to whom its events belong; one without an
// effect may name anybody as its sender, and belongs to nobody.
func (t *teller) messages(b *index.Block, events []live.Item) error {
	of := map[uint64][]string{}
	for _, it := range events {
		if e := it.Data.(*Event); e.Message != nil {
			of[*e.Message] = append(of[*e.Message], it.Keys[:len(it.Keys)-1]...)
		}
	}
	n := uint64(0)
	err := t.all(func(p index.Page) ([]byte, error) {
		return t.s.BlockMessages(b.Height, p, func(m *index.Message) (bool, error) {
			keys := append(of[m.Index], topicMessage)
			if m.Effect() {
				keys = append(keys, addressKey(m.From))
				if m.Miner != 0 {
					keys = append(keys, minerKey(m.Miner))
				}
			}
			t.add(topicMessage, t.messageOf(m), keys...)
			n++
			return true, nil
		})
	})
	if err == nil && n != b.Messages {
		err = fmt.Errorf("block %d has %d messages, the index holds %d", b.Height, b.Messages, n)
	}
	return err
}

// BookLevel is what a block did to one price of one side of the order book.
type BookLevel struct {
	Side          string       `json:"side"`    // bid, ask
	Price         chain.Amount `json:"price"`   // per GiB per block
	Added         uint64       `json:"added"`   // padded bytes
	Removed       uint64       `json:"removed"` // padded bytes
	OrdersAdded   uint64       `json:"ordersAdded"`
	OrdersRemoved uint64       `json:"ordersRemoved"`
}

// market tells the trades of a block and what it did to the book.
func (t *teller) market(h chain.Height) error {
	err := t.all(func(p index.Page) ([]byte, error) {
		return t.s.BlockTrades(h, p, func(of *index.Trade) (bool, error) {
			t.add("trade", t.tradeOf(of), topicTrades)
			return true, nil
		})
	})
	if err != nil {
		return err
	}
	return t.all(func(p index.Page) ([]byte, error) {
		return t.s.Levels(h, p, func(l *index.Level) (bool, error) {
			out := &BookLevel{"ask", l.Price, l.Added, l.Removed, l.OrdersAdded, l.OrdersRemoved}
			if l.Bid {
				out.Side = "bid"
			}
			t.add("level", out, topicBook)
			return true, nil
		})
	})
}

// keys are the topics that an event belongs to, besides that of all events.
func (t *teller) keys(e *consensus.Event, sector bool) ([]string, error) {
	var keys []string
	for _, a := range [][]byte{e.From, e.To} {
		if len(a) > 0 {
			keys = append(keys, addressKey(a))
		}
	}
	if e.Miner != 0 {
		keys = append(keys, minerKey(e.Miner))
		if sector {
			keys = append(keys, sectorKey(e.Miner, e.Sector))
		}
	}
	if e.Deal != 0 {
		keys = append(keys, dealKey(e.Deal))
	}
	about := []chain.Key{}
	if e.Order != 0 {
		about = append(about, chain.OrderKey(e.Order))
	}
	if e.Deal != 0 {
		about = append(about, chain.DealKey(e.Deal))
	}
	if e.Channel != 0 {
		about = append(about, chain.ChannelKey(e.Channel))
	}
	switch e.Kind {
	case consensus.EventDealMatched:
		about = append(about, chain.OrderKey(e.Index)) // the ask
	case consensus.EventRepairEnded, consensus.EventRenewalEnded:
		if e.Index != 0 {
			keys = append(keys, dealKey(e.Index)) // the new deal
		}
	}
	for _, k := range about {
		parties, err := t.partiesOf(k)
		if err != nil {
			return nil, err
		}
		keys = append(keys, parties...)
	}
	return keys, nil
}

// partiesOf are the keys of those whose an order, a deal or a channel is. They
// never change, so it does not matter when they are looked up.
func (t *teller) partiesOf(k chain.Key) ([]string, error) {
	if found, ok := t.parties[k]; ok {
		return found, nil
	}
	r, err := t.s.Record(k)
	if err != nil || r == nil {
		return nil, err
	}
	var out []string
	switch k.Table {
	case chain.TableOrder:
		var o chain.Order
		err = r.Decode(&o)
		out = []string{addressKey(o.Owner.Bytes())}
		if o.Ask != nil {
			out = append(out, minerKey(o.Ask.Miner))
		}
	case chain.TableDeal:
		var d chain.Deal
		err = r.Decode(&d)
		out = []string{addressKey(d.Client.Bytes()), minerKey(d.Miner)}
	case chain.TableChannel:
		var c chain.Channel
		err = r.Decode(&c)
		out = []string{addressKey(c.Payer.Bytes()), addressKey(c.Payee.Bytes())}
	}
	if err != nil {
		return nil, err
	}
	t.parties[k] = out
	return out, nil
}
