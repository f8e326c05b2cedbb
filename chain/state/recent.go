package state

import (
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// recentBytes bounds what one of the two generations of records holds.
const recentBytes = 8 << 20

// recordOverhead is about what a record costs beside its key and value.
const recordOverhead = 96

// recent remembers records of the newest state, so that the blocks and
// messages that keep asking for the same ones do not walk the tree each time.
// What was asked for least lately goes a generation at a time.
type recent struct {
	mu       sync.Mutex
	height   chain.Height // of the newest state
	now, old map[chain.Key]record
	size     int // of now
}

// record is the value of a key, nil if it has none, in all states from a
// height to the newest.
type record struct {
	value []byte
	since chain.Height
}

// find returns a key's value in the state of a height, if it is known.
func (r *recent) find(k chain.Key, h chain.Height) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, fresh, known := r.look(k)
	if known && !fresh {
		r.keep(k, e)
	}
	return e.value, known && e.since <= h
}

// peek is find for readers who are not to keep a record in memory.
func (r *recent) peek(k chain.Key, h chain.Height) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, _, known := r.look(k)
	return e.value, known && e.since <= h
}

// look finds a record in either generation; fresh: in the new one.
func (r *recent) look(k chain.Key) (e record, fresh, known bool) {
	if e, fresh = r.now[k]; fresh {
		return e, true, true
	}
	e, known = r.old[k]
	return e, false, known
}

// learn remembers what was read from the state of a height, unless that is no
// longer the newest one.
func (r *recent) learn(k chain.Key, value []byte, h chain.Height) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h == r.height {
		r.keep(k, record{value, h})
	}
}

// advance makes the state after a block's changes the newest one.
func (r *recent) advance(changes []consensus.Change, h chain.Height) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.height = h
	for i := range changes {
		r.keep(changes[i].Key(), record{changes[i].Value, h})
	}
}

// forget starts anew, without a state.
func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.height, r.now, r.old, r.size = 0, nil, nil, 0
}

func (r *recent) keep(k chain.Key, e record) {
	if r.now == nil || r.size > recentBytes {
		r.now, r.old, r.size = map[chain.Key]record{}, r.now, 0
	}
	r.size += len(k.ID) + len(e.value) + recordOverhead
	r.now[k] = e
}
