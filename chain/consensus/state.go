package consensus

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// state is the working state of one block over its View. Records are held
// encoded, so that a reader's copy never aliases another's; a message writes
// into its own layer, which is merged when it succeeds and dropped when not.
type state struct {
	params *Params
	view   View
	verify Verifier

	global chain.Global
	book   *orderbook.Book
	booked []rebooked           // what is to change in the book, in order
	block  map[chain.Key][]byte // nil: deleted
	tx     map[chain.Key][]byte // of the current message; nil outside of one
	events []Event
	moved  []chain.MinerID // noted by powerChanged
	saved  savepoint
	index  uint64 // 1 + index of the current message
	broken error  // first failure to read the view: the block has no result
}

// savepoint is what a dropped message restores beside its layer.
type savepoint struct {
	global chain.Global
	booked int
	events int
}

func newState(p *Params, v View, verify Verifier) (*state, error) {
	p, err := ParamsOf(p, v)
	if err != nil {
		return nil, err
	}
	s := &state{params: p, view: v, verify: verify, book: v.Book(), block: map[chain.Key][]byte{}}
	if !s.load(chain.GlobalKey(), &s.global) {
		if s.broken != nil {
			return nil, s.broken
		}
		return nil, fmt.Errorf("read state: no global record")
	}
	s.global.Cursors = slices.Clone(s.global.Cursors)
	return s, nil
}

// begin opens a message's layer.
func (s *state) begin(index int) {
	s.tx = map[chain.Key][]byte{}
	s.index = uint64(index) + 1
	s.saved = savepoint{s.global, len(s.booked), len(s.events)}
	s.saved.global.Cursors = slices.Clone(s.global.Cursors)
}

// commit merges the message's layer.
func (s *state) commit() {
	//perdure:unordered every key is written once, the order changes nothing
	for k, v := range s.tx {
		s.block[k] = v
	}
	s.tx, s.index = nil, 0
}

// rollback drops the message's layer.
func (s *state) rollback() {
	s.tx, s.index = nil, 0
	s.global, s.booked, s.events = s.saved.global, s.booked[:s.saved.booked], s.events[:s.saved.events]
}

func (s *state) raw(k chain.Key) []byte {
	if b, ok := s.tx[k]; ok {
		return b
	}
	if b, ok := s.block[k]; ok {
		return b
	}
	b, err := s.view.Record(k)
	if err != nil && s.broken == nil {
		s.broken = fmt.Errorf("read %s record: %w", k.Table, err)
	}
	return b
}

// load reads a record into v and reports whether there is one. Each call
// decodes a fresh copy: change it, then store it.
func (s *state) load(k chain.Key, v chain.CBOR) bool {
	b := s.raw(k)
	if b == nil {
		return false
	}
	if err := v.UnmarshalCBOR(bytes.NewReader(b)); err != nil {
		if s.broken == nil {
			s.broken = fmt.Errorf("decode %s record: %w", k.Table, err)
		}
		return false
	}
	return true
}

// store writes a record.
func (s *state) store(k chain.Key, v chain.CBOR) {
	b, err := chain.Encode(v)
	if err != nil {
		if s.broken == nil {
			s.broken = fmt.Errorf("encode %s record: %w", k.Table, err)
		}
		return
	}
	s.write(k, b)
}

// remove deletes a record.
func (s *state) remove(k chain.Key) { s.write(k, nil) }

func (s *state) write(k chain.Key, b []byte) {
	if s.tx != nil {
		s.tx[k] = b
		return
	}
	s.block[k] = b
}

func (s *state) has(k chain.Key) bool { return s.raw(k) != nil }

func (s *state) emit(e Event) {
	e.Message = s.index
	s.events = append(s.events, e)
}

// changes lists what the block changed, by key; records written back as they
// were are left out.
func (s *state) changes() ([]Change, error) {
	keys := make([]chain.Key, 0, len(s.block))
	//perdure:unordered sorted below
	for k := range s.block {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b chain.Key) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
	var out []Change
	for _, k := range keys {
		was, err := s.view.Record(k)
		if err != nil {
			return nil, fmt.Errorf("read %s record: %w", k.Table, err)
		}
		if now := s.block[k]; !bytes.Equal(was, now) || (was == nil) != (now == nil) {
			out = append(out, Change{Table: k.Table, ID: []byte(k.ID), Value: now})
		}
	}
	return out, nil
}

// miner loads a miner or refuses.
func (s *state) miner(id chain.MinerID) (*chain.Miner, error) {
	m := new(chain.Miner)
	if !s.load(chain.MinerKey(id), m) {
		return nil, refuse(CodeFailed, "no miner %s", chain.FormatMiner(id, s.params.Network))
	}
	return m, nil
}

// beacon returns the value of a height that is not older than TicketAge.
func (s *state) beacon(h chain.Height) ([32]byte, error) {
	var b chain.Beacon
	if !s.load(chain.BeaconKey(h), &b) {
		return b.Value, refuse(CodeFailed, "no beacon value is kept for height %d", h)
	}
	return b.Value, nil
}
