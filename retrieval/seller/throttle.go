package seller

import (
	"context"
	"sync"

	"golang.org/x/time/rate"

	"github.com/perdure/perdure/retrieval"
)

// throttle bounds the bytes that are sent, in all and to each peer. One session
// of a peer at a time waits for the bound on all, which serves those that wait in
// turn: so the peers share it equally, whatever number of sessions each opens.
type throttle struct {
	all  *rate.Limiter // nil: no bound
	each int           // bytes per second to one peer; 0: no bound

	mu    sync.Mutex
	peers map[string]*quota
}

// quota is one peer's.
type quota struct {
	sessions int
	turn     chan struct{} // held by the session that waits
	limit    *rate.Limiter // nil: no bound
}

func newThrottle(all, each int) *throttle {
	return &throttle{all: limiter(all), each: each, peers: map[string]*quota{}}
}

// limiter allows bursts of a fiftieth of a second, at least of one chunk: what a
// link's own buffers would take.
func limiter(bytesPerSecond int) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), max(bytesPerSecond/50, retrieval.ChunkSize))
}

// join gives a session its peer's quota; leave returns it.
func (t *throttle) join(peer string) *quota {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.peers[peer]
	if q == nil {
		q = &quota{turn: make(chan struct{}, 1), limit: limiter(t.each)}
		t.peers[peer] = q
	}
	q.sessions++
	return q
}

func (t *throttle) leave(peer string, q *quota) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.sessions--; q.sessions == 0 {
		delete(t.peers, peer)
	}
}

// wait returns when n bytes may be sent.
func (t *throttle) wait(ctx context.Context, q *quota, n int) error {
	if t.all == nil && q.limit == nil {
		return nil
	}
	select {
	case q.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-q.turn }()
	if err := draw(ctx, q.limit, n); err != nil {
		return err
	}
	return draw(ctx, t.all, n)
}

// draw takes n bytes from a limiter, at most a burst at a time.
func draw(ctx context.Context, l *rate.Limiter, n int) error {
	for l != nil && n > 0 {
		part := min(n, l.Burst())
		if err := l.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}
