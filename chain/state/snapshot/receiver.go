package snapshot

import (
	"errors"
	"fmt"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state"
)

// ChunkError is returned for a chunk that is not what the manifest says, or
// not the state of the app hash. It is the fault of who sent it.
type ChunkError struct {
	Height chain.Height
	Chunk  int
	Err    error
}

// Error implements error.
func (e *ChunkError) Error() string {
	return fmt.Sprintf("chunk %d of the snapshot of height %d: %v", e.Chunk, e.Height, e.Err)
}

// Unwrap returns the cause.
func (e *ChunkError) Unwrap() error { return e.Err }

// ErrHash is wrapped by a ChunkError for a chunk of another hash than its
// manifest says: what came before it holds, and the right chunk may follow.
var ErrHash = errors.New("its hash is not the manifest's")

// Receiver puts a snapshot into a store, chunk by chunk.
type Receiver struct {
	manifest *Manifest
	restore  *state.Restore
	next     int
}

// Receive begins to put a snapshot into a store; what the store held is gone.
// Whether the manifest's app hash is the chain's is for the caller to know.
func Receive(s *state.Store, m *Manifest) (*Receiver, error) {
	r, err := s.Restore(m.Height, m.AppHash)
	if err != nil {
		return nil, err
	}
	return &Receiver{manifest: m, restore: r}, nil
}

// Next is the number of the chunk that comes next.
func (r *Receiver) Next() int { return r.next }

// Chunk takes the next chunk and reports whether it was the last one: then the
// store has the state, durably. After a *ChunkError with ErrHash the same chunk
// may be given again; after any other error the receiver must be aborted.
func (r *Receiver) Chunk(b []byte) (done bool, err error) {
	if r.next == r.manifest.Chunks() {
		return true, errors.New("the snapshot is whole already")
	}
	if sha256.Sum256(b) != r.manifest.hash(r.next) {
		return false, r.blame(ErrHash)
	}
	if _, err := r.restore.Write(b); err != nil {
		return false, r.blame(err)
	}
	if r.next < r.manifest.Chunks()-1 {
		r.next++
		return false, nil
	}
	if err := r.restore.Finish(); err != nil {
		return false, r.blame(err)
	}
	r.next++
	return true, nil
}

// blame makes a ChunkError of what is the sender's fault.
func (r *Receiver) blame(err error) error {
	if errors.Is(err, ErrHash) || errors.Is(err, state.ErrSnapshot) {
		return &ChunkError{r.manifest.Height, r.next, err}
	}
	return err
}

// Abort wipes away what came so far, unless the snapshot is whole.
func (r *Receiver) Abort() error { return r.restore.Abort() }
