package index

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
)

// Blocks lists the blocks of the history, the newest first unless the page goes
// upward, as all lists of a snapshot.
func (s *Snapshot) Blocks(p Page, each func(*Block) (bool, error)) (next []byte, err error) {
	return nouns(s, []byte{'b'}, 8, p, each)
}

// Block returns a block of the history, or nil.
func (s *Snapshot) Block(h chain.Height) (*Block, error) {
	b := new(Block)
	ok, err := s.noun(blockKey(h), b)
	if !ok {
		return nil, err
	}
	return b, nil
}

// InGap returns the gap that a height of the history lies in, or nil.
func (s *Snapshot) InGap(h chain.Height) *Gap {
	for i := range s.Gaps {
		if g := &s.Gaps[i]; g.From <= h && h <= g.To {
			return g
		}
	}
	return nil
}

// BlockMessages lists the messages of a block.
func (s *Snapshot) BlockMessages(h chain.Height, p Page, each func(*Message) (bool, error)) (next []byte, err error) {
	return nounsIn(s, number([]byte{messageTable}, uint64(h)), p, each)
}

// Messages lists the messages of the history.
func (s *Snapshot) Messages(p Page, each func(*Message) (bool, error)) (next []byte, err error) {
	return nounsIn(s, []byte{messageTable}, p, each)
}

// MessagesOf lists the messages that an account or a miner sent, that are about
// it or that touched it.
func (s *Snapshot) MessagesOf(a chain.Address, p Page, each func(*Message) (bool, error)) (next []byte, err error) {
	messages, err := s.chunks(messageTable)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, messages.close()) }()
	return s.places(OfAccount(a), p, itsMessages, func(at Place) (bool, error) {
		m := new(Message)
		if err := messages.load(at, m); err != nil {
			return false, err
		}
		return each(m)
	})
}

// MessageAt returns a message by its place, nil if there is none.
func (s *Snapshot) MessageAt(at Place) (*Message, error) {
	m := new(Message)
	if ok, err := s.entry(messageTable, at, m); !ok {
		return nil, err
	}
	return m, nil
}

// Message returns a message of the history by its hash, or nil.
func (s *Snapshot) Message(hash chain.Hash) (*Message, error) {
	raw, err := s.get(hashKey(hash))
	if err != nil {
		return nil, fmt.Errorf("read place of message %s: %w", hash, err)
	}
	at, ok := place(raw)
	if !ok {
		return nil, nil
	}
	return s.MessageAt(at)
}

// Trades lists the matches of the history.
func (s *Snapshot) Trades(p Page, each func(*Trade) (bool, error)) (next []byte, err error) {
	return nounsIn(s, []byte{tradeTable}, p, each)
}

// Candles goes through the candles of one resolution that begin from a time on
// and before another, as time goes. Times without a trade have none.
func (s *Snapshot) Candles(resolution, from, to uint64, each func(start uint64, c *Candle) error) error {
	return overRows(s, candleKey(resolution, from), candleKey(resolution, to), func(key []byte, c *Candle) error {
		return each(binary.BigEndian.Uint64(key[len(key)-8:]), c)
	})
}

// LastCandle returns the newest candle of a day, or nil.
func (s *Snapshot) LastCandle() (last *Candle, err error) {
	_, err = nouns(s, binary.BigEndian.AppendUint32([]byte{'k'}, uint32(Day)), 8, Page{Limit: 1}, func(c *Candle) (bool, error) {
		last = c
		return true, nil
	})
	return last, err
}

// Classes goes through the classes of trades of the days that begin from a
// time on and before another.
func (s *Snapshot) Classes(from, to uint64, each func(day uint64, of Class, c *Candle) error) error {
	return overRows(s, classKey(from, Class{}), classKey(to, Class{}), func(key []byte, c *Candle) error {
		return each(binary.BigEndian.Uint64(key[1:]), Class{key[9], key[10]}, c)
	})
}
