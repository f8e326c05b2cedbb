package index

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Page is a place in a list and how much of the list is wanted.
type Page struct {
	After []byte // the row after which it goes on: what the page before returned; nil: the list's start
	Limit int    // rows that are taken at most; at least 1
}

// maxVisits bounds the rows that one page looks at, taken or not.
const maxVisits = 10_000

// list goes through the rows under a prefix, newest (highest) first unless
// upward. each reports whether it takes a row. The place of the last row is
// returned, or nil at the list's end.
func (x *Index) list(prefix []byte, width int, upward bool, p Page, each func(row, value []byte) (bool, error)) (next []byte, err error) {
	if _, _, ok := x.Tip(); !ok {
		return nil, ErrBuilding
	}
	if p.After != nil && len(p.After) != width {
		return nil, ErrPlace
	}
	done, err := x.use()
	if err != nil {
		return nil, err
	}
	defer done()
	it, err := x.db.NewIter(bounds(prefix, upward, p.After))
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	start, step := it.Last, it.Prev
	if upward {
		start, step = it.First, it.Next
	}
	var last []byte
	taken, visits := 0, 0
	for ok := start(); ok; ok = step() {
		if taken >= max(p.Limit, 1) || visits == maxVisits {
			return last, it.Error()
		}
		row := it.Key()[len(prefix):]
		take, err := each(row, it.Value())
		if err != nil {
			return nil, err
		}
		if take {
			taken++
		}
		visits++
		last = append(last[:0], row...)
	}
	return nil, it.Error()
}

// bounds are those of the rows under a prefix that come after a place.
func bounds(prefix []byte, upward bool, after []byte) *pebble.IterOptions {
	from := append([]byte(nil), prefix...)
	to := append([]byte(nil), prefix...)
	for i := len(to) - 1; ; i-- { // prefixes start with a letter
		if to[i]++; to[i] != 0 {
			to = to[:i+1]
			break
		}
	}
	switch {
	case after == nil:
	case upward:
		from = append(append(from, after...), 0)
	default:
		to = append(append([]byte(nil), prefix...), after...)
	}
	return &pebble.IterOptions{LowerBound: from, UpperBound: to}
}

// ids is list for rows that are one number.
func (x *Index) ids(prefix []byte, upward bool, p Page, each func(id uint64) (bool, error)) ([]byte, error) {
	return x.list(prefix, 8, upward, p, func(row, _ []byte) (bool, error) { return each(binary.BigEndian.Uint64(row)) })
}

// nouns is list for rows that hold a noun.
func nouns[T any, P interface {
	*T
	chain.CBOR
}](x *Index, prefix []byte, width int, upward bool, p Page, each func(P) (bool, error)) ([]byte, error) {
	return x.list(prefix, width, upward, p, func(_, value []byte) (bool, error) {
		v := P(new(T))
		if err := chain.Decode(value, v); err != nil {
			return false, fmt.Errorf("decode row %c: %w", prefix[0], err)
		}
		return each(v)
	})
}

// Blocks lists the blocks of the history, newest first.
func (x *Index) Blocks(p Page, each func(*Block) (bool, error)) (next []byte, err error) {
	return nouns(x, []byte{'b'}, 8, false, p, each)
}

// Block returns a block of the history, or nil.
func (x *Index) Block(h chain.Height) (*Block, error) {
	b := new(Block)
	ok, err := x.noun(number([]byte{'b'}, uint64(h)), b)
	if !ok {
		return nil, err
	}
	return b, nil
}

// noun reads a row and reports whether there is one.
func (x *Index) noun(key []byte, v chain.CBOR) (bool, error) {
	raw, err := x.get(key)
	if err != nil {
		return false, fmt.Errorf("read index: %w", err)
	}
	if raw == nil {
		return false, nil
	}
	if err := chain.Decode(raw, v); err != nil {
		return false, fmt.Errorf("decode row %c: %w", key[0], err)
	}
	return true, nil
}

// BlockMessages lists the messages of a block in their order.
func (x *Index) BlockMessages(h chain.Height, p Page, each func(*Message) (bool, error)) (next []byte, err error) {
	return nouns(x, number([]byte{'m'}, uint64(h)), 4, true, p, each)
}

// BlockEvents lists the events of a block as they happened.
func (x *Index) BlockEvents(h chain.Height, p Page, each func(*consensus.Event) (bool, error)) (next []byte, err error) {
	return nouns(x, number([]byte{'e'}, uint64(h)), 4, true, p, each)
}

// Messages lists the messages of the history, newest first.
func (x *Index) Messages(p Page, each func(*Message) (bool, error)) (next []byte, err error) {
	return nouns(x, []byte{'m'}, 12, false, p, each)
}

// MessagesOf lists the messages that an account or a miner sent or that
// touched it, newest first.
func (x *Index) MessagesOf(a chain.Address, p Page, each func(*Message) (bool, error)) (next []byte, err error) {
	return x.list(addressPrefix(a.Bytes()), 12, false, p, func(row, _ []byte) (bool, error) {
		m := new(Message)
		raw, err := x.get(append([]byte{'m'}, row...))
		if err == nil {
			err = chain.Decode(raw, m)
		}
		if err != nil {
			return false, fmt.Errorf("read message %x: %w", row, err)
		}
		return each(m)
	})
}

// Message returns a message of the history by its hash, or nil.
func (x *Index) Message(hash chain.Hash) (*Message, error) {
	raw, err := x.get(hashKey(hash))
	if err != nil {
		return nil, fmt.Errorf("read place of message %s: %w", hash, err)
	}
	at, ok := place(raw)
	if !ok {
		return nil, nil
	}
	m := new(Message)
	if ok, err := x.noun(in([]byte{'m'}, at.Height, at.Index), m); !ok {
		return nil, err
	}
	return m, nil
}

// Deals lists the IDs of deals, newest first.
func (x *Index) Deals(by DealsBy, p Page, each func(id uint64) (bool, error)) (next []byte, err error) {
	return x.ids(by.prefix, false, p, each)
}

// Sectors lists the numbers of a miner's sectors, ascending.
func (x *Index) Sectors(m chain.MinerID, p Page, each func(number uint64) (bool, error)) (next []byte, err error) {
	return x.ids(sectorPrefix(m), true, p, each)
}

// MinersOf lists the IDs of the miners whose owner or worker an account is, or
// was before their keys changed, newest first.
func (x *Index) MinersOf(a chain.Address, p Page, each func(id uint64) (bool, error)) (next []byte, err error) {
	return x.ids(minerPrefix(a.Bytes()), false, p, each)
}

// Orders lists the IDs of all orders, newest first.
func (x *Index) Orders(p Page, each func(id uint64) (bool, error)) (next []byte, err error) {
	return x.ids([]byte{'o'}, false, p, each)
}

// LiveOrders lists the IDs of the orders that are not over, newest first.
func (x *Index) LiveOrders(p Page, each func(id uint64) (bool, error)) (next []byte, err error) {
	return x.ids([]byte{'l'}, false, p, each)
}

// OrdersOf lists the IDs of an owner's orders, newest first.
func (x *Index) OrdersOf(owner chain.Address, p Page, each func(id uint64) (bool, error)) (next []byte, err error) {
	return x.ids(ownerPrefix(owner.Bytes()), false, p, each)
}

// ChannelsOf lists the IDs of the channels that an account pays or is paid by,
// newest first.
func (x *Index) ChannelsOf(a chain.Address, p Page, each func(id uint64) (bool, error)) (next []byte, err error) {
	return x.ids(channelPrefix(a.Bytes()), false, p, each)
}

// Kept returns the last form of an order, a channel, or of a sector or deal that
// has ended, or nil.
func (x *Index) Kept(k chain.Key) (*Kept, error) {
	v := new(Kept)
	ok, err := x.noun(keptKey(k), v)
	if !ok {
		return nil, err
	}
	return v, nil
}
