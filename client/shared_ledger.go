package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/ledger"
)

// sharedLedger is the payment ledger, open while anybody in this process pays.
type sharedLedger struct {
	home *files.Records

	mu   sync.Mutex
	uses int
	book *ledger.Ledger
	lock *files.Lock
}

// open returns the ledger. Another process that is paying is waited for.
func (s *sharedLedger) open(ctx context.Context) (*ledger.Ledger, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uses == 0 {
		lock, err := files.WaitLock(ctx, s.home.LedgerPath()+".lock")
		if err != nil {
			return nil, fmt.Errorf("open payment ledger: %w", err)
		}
		if err := s.take(lock); err != nil {
			return nil, err
		}
	}
	s.uses++
	return s.book, nil
}

// glance returns the ledger if it can be had at once, nil while another process
// is paying. What it returns is to be closed.
func (s *sharedLedger) glance() (*ledger.Ledger, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uses == 0 {
		lock, err := files.TakeLock(s.home.LedgerPath() + ".lock")
		if errors.Is(err, files.ErrLocked) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("open payment ledger: %w", err)
		}
		if err := s.take(lock); err != nil {
			return nil, err
		}
	}
	s.uses++
	return s.book, nil
}

// take opens the ledger under its lock.
func (s *sharedLedger) take(lock *files.Lock) error {
	book, err := ledger.Open(s.home.LedgerPath(), ledger.Options{})
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	s.book, s.lock = book, lock
	return nil
}

func (s *sharedLedger) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uses--; s.uses > 0 {
		return nil
	}
	return errors.Join(s.book.Close(), s.lock.Close())
}
