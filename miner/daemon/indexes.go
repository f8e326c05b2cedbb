package daemon

import (
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
)

// maxIndexed bounds the blocks whose places are held in memory, at about 150 bytes each.
const maxIndexed = 1 << 20

// What is remembered of a piece: its own index, or those of the payloads in it.
type indexKind byte

const (
	wholeOnly indexKind = iota
	contents
)

type indexKey struct {
	piece cid.Cid
	kind  indexKind
}

// indexed is what is remembered, or is just being read. Only who reads it waits.
type indexed struct {
	ready  chan struct{} // closed when found and err are set
	found  []*car.Index
	err    error
	blocks int
	used   uint64 // when it was asked for last
}

// indexes remembers indexes, those asked for last. The zero value is ready for use.
type indexes struct {
	mu     sync.Mutex
	known  map[indexKey]*indexed
	clock  uint64
	blocks int
}

// of returns what is remembered of a piece, or else what read returns. Everybody else
// who asks for the same meanwhile waits for it, nobody else does.
func (x *indexes) of(piece cid.Cid, kind indexKind, read func() ([]*car.Index, error)) ([]*car.Index, error) {
	key := indexKey{piece, kind}
	x.mu.Lock()
	if x.known == nil {
		x.known = map[indexKey]*indexed{}
	}
	x.clock++
	one, there := x.known[key]
	if !there {
		one = &indexed{ready: make(chan struct{})}
		x.known[key] = one
	}
	one.used = x.clock
	x.mu.Unlock()
	if there {
		<-one.ready
		return one.found, one.err
	}
	one.found, one.err = read()
	close(one.ready)
	x.mu.Lock()
	defer x.mu.Unlock()
	if one.err != nil {
		delete(x.known, key) // the next one tries again
		return nil, one.err
	}
	for _, i := range one.found {
		one.blocks += i.Len()
	}
	x.blocks += one.blocks
	x.forget(key)
	return one.found, nil
}

// forget makes room, but not of what was asked for just now.
func (x *indexes) forget(but indexKey) {
	for x.blocks > maxIndexed {
		var oldest indexKey
		var found *indexed
		for k, one := range x.known {
			if one.blocks > 0 && k != but && (found == nil || one.used < found.used) {
				oldest, found = k, one
			}
		}
		if found == nil {
			return
		}
		x.blocks -= found.blocks
		delete(x.known, oldest)
	}
}
