package node

import (
	"sync"

	dbm "github.com/cometbft/cometbft-db"
)

// engineDB is a database of CometBFT's that may be read after it is closed.
// CometBFT does not wait for the routines of its peers when it stops; one that
// wakes up a second later and finds its database closed would panic and take
// the whole process with it. Here it finds nothing, and ends.
type engineDB struct {
	dbm.DB
	mu     sync.RWMutex
	closed bool
}

// Get implements dbm.DB.
func (d *engineDB) Get(key []byte) ([]byte, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return nil, nil
	}
	return d.DB.Get(key)
}

// Has implements dbm.DB.
func (d *engineDB) Has(key []byte) (bool, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return false, nil
	}
	return d.DB.Has(key)
}

// Close implements dbm.DB. It may be called more than once.
func (d *engineDB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.DB.Close()
}
