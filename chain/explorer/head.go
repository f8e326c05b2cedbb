package explorer

import (
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/state"
)

// head is what all answers that are given from one state have in common. Each part
// is worked out once, by whoever asks first; nobody changes it.
type head struct {
	height chain.Height
	global func() (*chain.Global, error)
	params func() *consensus.Params // that the next block has

	mu      sync.Mutex
	waiting *waiting
}

// head is that of a state.
func (a *API) head(v *state.View) *head {
	if h := a.newest.Load(); h != nil && h.height == v.Height() {
		return h
	}
	h := &head{height: v.Height(), global: sync.OnceValues(v.Global), params: sync.OnceValue(a.node.Params)}
	a.newest.Store(h)
	return h
}

// waiting are orders that are not in the book yet, as the index of a height and a
// state have them.
type waiting struct {
	indexed chain.Height
	orders  []*chain.Order
	all     bool // there are no others
}

// waiting are the orders that are not in the book yet.
func (q *query) waiting() (*waiting, error) {
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	h := q.api.head(q.view)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting == nil || h.waiting.indexed != s.Height {
		orders, next, err := q.findWaiting(s, index.Page{Limit: maxWaiting})
		if err != nil {
			return nil, err
		}
		h.waiting = &waiting{s.Height, orders, next == nil}
	}
	return h.waiting, nil
}

// findWaiting is a page of them, the newest first.
func (q *query) findWaiting(s *index.Snapshot, p index.Page) (orders []*chain.Order, next []byte, err error) {
	next, err = s.Records(index.Orders(index.OrderFilter{State: index.OrderWaiting}), p, func(r *index.Record) (bool, error) {
		o := new(chain.Order)
		ok, err := q.load(r.Key, o) // the book is of the state, which may be another than the index has seen
		if err != nil || !ok || o.State != chain.OrderWaiting {
			return false, err
		}
		orders = append(orders, o)
		return true, nil
	})
	return orders, next, err
}
