package index

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// view is a database as it is between two writes. All snapshots taken then share
// it, and with it what is dear to make: its iterators, and records that every
// reader asks for.
type view struct {
	first, height chain.Height
	gaps          []Gap

	snap *pebble.Snapshot
	done func() // of the generation's users

	global func() (*chain.Global, error)
	now    func() (*Now, error)

	mu    sync.Mutex
	users int
	past  bool // a write came after it
	idle  []*pebble.Iterator
}

// maxIdle bounds the iterators of a view that wait for work. Each keeps a block of
// every level.
const maxIdle = 64

// show gives the view of the present, which must be let go.
func (g *generation) show() (*view, error) {
	g.showing.Lock()
	defer g.showing.Unlock()
	if g.shown == nil {
		v, err := g.newView()
		if err != nil {
			return nil, err
		}
		g.shown = v // which is a user, too
	} else if err := g.fatal.failed(); err != nil {
		return nil, err
	}
	g.shown.mu.Lock()
	defer g.shown.mu.Unlock()
	g.shown.users++
	return g.shown, nil
}

// hide makes the view one of the past: who comes now gets another.
func (g *generation) hide() error {
	g.showing.Lock()
	v := g.shown
	g.shown = nil
	g.showing.Unlock()
	if v == nil {
		return nil
	}
	v.mu.Lock()
	v.past = true
	idle := v.idle
	v.idle = nil
	v.mu.Unlock()
	return errors.Join(closeAll(idle), v.release())
}

func (g *generation) newView() (*view, error) {
	done, err := g.use()
	if err != nil {
		return nil, err
	}
	v := &view{snap: g.db.NewSnapshot(), done: done, users: 1}
	raw, err := valueOf(v.snap, tipKey)
	if err != nil {
		return nil, errors.Join(err, v.release())
	}
	t := parseTip(raw)
	if t == nil || t.pending {
		return nil, errors.Join(ErrBuilding, v.release())
	}
	v.first, v.height, v.gaps = t.first, t.height, t.gaps
	v.global = sync.OnceValues(v.readGlobal)
	v.now = sync.OnceValues(v.readNow)
	return v, nil
}

// release lets go of a view; the last one to do so closes it.
func (v *view) release() error {
	v.mu.Lock()
	v.users--
	last, idle := v.users == 0, v.idle
	if last {
		v.idle = nil
	}
	v.mu.Unlock()
	if !last {
		return nil
	}
	defer v.done()
	return errors.Join(closeAll(idle), v.snap.Close())
}

func closeAll(idle []*pebble.Iterator) (err error) {
	for _, it := range idle {
		err = errors.Join(err, it.Close())
	}
	return err
}

// iterator gives an iterator over the rows within bounds, which goes back to give.
func (v *view) iterator(b *pebble.IterOptions) (*pebble.Iterator, error) {
	v.mu.Lock()
	var it *pebble.Iterator
	if n := len(v.idle); n > 0 {
		it, v.idle = v.idle[n-1], v.idle[:n-1]
	}
	v.mu.Unlock()
	if it != nil {
		it.SetBounds(b.LowerBound, b.UpperBound)
		return it, nil
	}
	it, err := v.snap.NewIter(b)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	return it, nil
}

// give takes an iterator back and says what it failed with.
func (v *view) give(it *pebble.Iterator) error {
	err := it.Error()
	v.mu.Lock()
	keep := err == nil && !v.past && len(v.idle) < maxIdle
	if keep {
		v.idle = append(v.idle, it)
	}
	v.mu.Unlock()
	if keep {
		return nil
	}
	if failed := it.Close(); err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	return nil
}

// each goes through the rows within bounds; f may keep neither key nor value.
func (v *view) each(b *pebble.IterOptions, f func(key, value []byte) error) (err error) {
	it, err := v.iterator(b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.give(it)) }()
	return walk(it, f)
}

func (v *view) readGlobal() (*chain.Global, error) {
	g := new(chain.Global)
	row, err := valueOf(v.snap, recordKey(chain.GlobalKey()))
	if err == nil && row == nil {
		err = errors.New("the index has no global record")
	}
	if err != nil {
		return nil, err
	}
	return g, decodeRecord(chain.GlobalKey(), row, g)
}

func (v *view) readNow() (*Now, error) {
	n := new(Now)
	_, err := nounOf(v.snap, nowKey, n)
	return n, err
}
