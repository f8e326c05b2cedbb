package buyer

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// Ordered is a File's To for a writer that takes bytes in their order, such as a
// pipe. What comes too early waits in memory: set Ahead to bound it.
type Ordered struct {
	w io.Writer

	mu    sync.Mutex
	next  int64
	early map[int64][]byte
	err   error
}

// NewOrdered begins at an offset of the file.
func NewOrdered(w io.Writer, offset int64) *Ordered {
	return &Ordered{w: w, next: offset, early: map[int64][]byte{}}
}

// WriteAt writes p on if its turn is now, and what waited for it, or keeps a
// copy.
func (o *Ordered) WriteAt(p []byte, off int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	if off != o.next {
		o.early[off] = bytes.Clone(p)
		return len(p), nil
	}
	for q := p; q != nil; q = o.early[o.next] {
		delete(o.early, o.next)
		n, err := o.w.Write(q)
		o.next += int64(n)
		if err != nil {
			o.err = fmt.Errorf("write on: %w", err)
			return 0, o.err
		}
		if len(q) == 0 {
			break
		}
	}
	return len(p), nil
}
