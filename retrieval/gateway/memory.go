package gateway

import "sync"

// memory is how many bytes answers may still take up, all together. No client may
// take up more than it leaves to all others: one gets half, n that ask for all they
// can a part in n+1 each, and half of what is left is there for whoever comes next.
type memory struct {
	mu   sync.Mutex
	left int64
	held map[string]int64 // by client; none holds nothing
}

func newMemory(bytes int64) *memory { return &memory{left: bytes, held: map[string]int64{}} }

// take reports false, and takes nothing, if that is more than is left, or than the
// client may have.
func (m *memory) take(client string, n int64) bool {
	if n == 0 {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[client]+n > m.left-n {
		return false
	}
	m.left -= n
	m.held[client] += n
	return true
}

// give gives back what was taken.
func (m *memory) give(client string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left += n
	if m.held[client] -= n; m.held[client] <= 0 {
		delete(m.held, client)
	}
}
