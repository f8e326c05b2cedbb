package live

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/perdure/perdure/chain"
)

// encoded is a block with its items as frames that lack the cursor and the topic.
type encoded struct {
	frames [][]byte            // each from "type" on
	byKey  map[string][]uint32 // ascending places of a topic's items
	size   int                 // bytes, about
}

// encode writes the part of the frames that all readers get alike.
func encode(h chain.Height, b *Block) (*encoded, error) {
	out := &encoded{frames: make([][]byte, len(b.Items)), byKey: map[string][]uint32{}}
	clock, err := json.Marshal(b.Time)
	if err != nil {
		return nil, fmt.Errorf("time of block %d: %w", h, err)
	}
	for i := range b.Items {
		it := &b.Items[i]
		data, err := json.Marshal(it.Data)
		if err != nil {
			return nil, fmt.Errorf("item %d of block %d: %w", i, h, err)
		}
		f := make([]byte, 0, len(data)+len(clock)+64)
		f = append(f, `"type":`...)
		f = strconv.AppendQuote(f, it.Type)
		f = append(f, `,"height":`...)
		f = strconv.AppendUint(f, uint64(h), 10)
		f = append(append(f, `,"time":`...), clock...)
		f = append(append(f, `,"data":`...), data...)
		out.frames[i] = append(f, '}')
		out.size += len(f)
		for _, key := range it.Keys {
			if at := out.byKey[key]; len(at) == 0 || at[len(at)-1] != uint32(i) {
				out.byKey[key] = append(at, uint32(i))
				out.size += len(key) + 16
			}
		}
	}
	return out, nil
}

// slot is the place of a block in the ring, filled by who first needs it.
type slot struct {
	once  sync.Once
	block *encoded
	err   error
	size  int // of the block, under the ring's lock; 0: it is being read
}

// ring keeps the newest blocks encoded.
type ring struct {
	feed   Feed
	blocks chain.Height
	bytes  int
	reads  chan struct{} // held while a block is read that the ring does not keep

	mu    sync.Mutex
	slots map[chain.Height]*slot
	used  int
}

// readsAtOnce bounds how many blocks are read from the Feed for readers who
// come from far behind.
const readsAtOnce = 2

func newRing(feed Feed, l Limits) *ring {
	return &ring{feed: feed, blocks: chain.Height(l.Ring), bytes: l.RingBytes, reads: make(chan struct{}, readsAtOnce),
		slots: map[chain.Height]*slot{}}
}

// get returns a block that is not above the tip.
func (r *ring) get(ctx context.Context, h, tip chain.Height) (*encoded, error) {
	if h+r.blocks <= tip {
		select {
		case r.reads <- struct{}{}:
			defer func() { <-r.reads }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return r.read(ctx, h)
	}
	s := r.slot(h)
	s.once.Do(func() {
		s.block, s.err = r.read(context.WithoutCancel(ctx), h) // others wait for it
		r.fill(h, tip, s)
	})
	return s.block, s.err
}

func (r *ring) read(ctx context.Context, h chain.Height) (*encoded, error) {
	b, err := r.feed.Block(ctx, h)
	if err != nil {
		return nil, err
	}
	return encode(h, b)
}

func (r *ring) slot(h chain.Height) *slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.slots[h]
	if s == nil {
		s = new(slot)
		r.slots[h] = s
	}
	return s
}

// fill accounts for a block that was just read and drops what is too old. A
// slot that could not be filled is free again.
func (r *ring) fill(h, tip chain.Height, s *slot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.err != nil {
		delete(r.slots, h)
		return
	}
	s.size = max(s.block.size, 1)
	r.used += s.size
	for _, at := range slices.Sorted(maps.Keys(r.slots)) {
		if at >= h || at+r.blocks > tip && r.used <= r.bytes {
			break
		}
		if old := r.slots[at]; old.size > 0 {
			r.used -= old.size
			delete(r.slots, at)
		}
	}
}
