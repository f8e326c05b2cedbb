package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state/snapshot"
)

// receiving is the snapshot that comes from peers, if one does.
type receiving struct {
	mu sync.Mutex
	to *snapshot.Receiver
}

// ListSnapshots implements abci.Application: what peers may take from here.
func (a *App) ListSnapshots(context.Context, *abci.RequestListSnapshots) (*abci.ResponseListSnapshots, error) {
	r := &abci.ResponseListSnapshots{}
	if a.snapshots == nil {
		return r, nil
	}
	for _, m := range a.snapshots.List() {
		raw, name, err := m.Encode()
		if err != nil {
			return nil, fmt.Errorf("list snapshots: %w", err)
		}
		r.Snapshots = append(r.Snapshots, &abci.Snapshot{Height: uint64(m.Height), Format: uint32(m.Format),
			Chunks: uint32(m.Chunks()), Hash: name[:], Metadata: raw})
	}
	return r, nil
}

// LoadSnapshotChunk implements abci.Application. A chunk that is not there, or
// damaged, is an empty answer.
func (a *App) LoadSnapshotChunk(_ context.Context, req *abci.RequestLoadSnapshotChunk) (*abci.ResponseLoadSnapshotChunk, error) {
	r := &abci.ResponseLoadSnapshotChunk{}
	if a.snapshots == nil || req.Format != snapshot.Format {
		return r, nil
	}
	b, err := a.snapshots.Chunk(chain.Height(req.Height), int(req.Chunk))
	if err != nil {
		a.log.Error("a peer asks for a chunk that cannot be read", "error", err)
		return r, nil
	}
	r.Chunk = b
	return r, nil
}

// OfferSnapshot implements abci.Application. The engine offers snapshots only
// to a node that has no blocks, with the app hash that its light client
// verified; whatever the state held is of no use then.
func (a *App) OfferSnapshot(_ context.Context, req *abci.RequestOfferSnapshot) (*abci.ResponseOfferSnapshot, error) {
	a.receiving.mu.Lock()
	defer a.receiving.mu.Unlock()
	answer := func(result abci.ResponseOfferSnapshot_Result) (*abci.ResponseOfferSnapshot, error) {
		return &abci.ResponseOfferSnapshot{Result: result}, nil
	}
	if err := a.receiving.abort(); err != nil {
		return nil, a.fail(err)
	}
	m, err := offered(req)
	switch {
	case errors.Is(err, snapshot.ErrFormat):
		return answer(abci.ResponseOfferSnapshot_REJECT_FORMAT)
	case err != nil:
		a.log.Warn("refused an offered snapshot and who offered it", "error", err)
		return answer(abci.ResponseOfferSnapshot_REJECT_SENDER)
	}
	if a.receiving.to, err = snapshot.Receive(a.store, m); err != nil {
		return nil, a.fail(err)
	}
	a.log.Info("receiving a snapshot", "height", m.Height, "bytes", m.Size, "chunks", m.Chunks())
	return answer(abci.ResponseOfferSnapshot_ACCEPT)
}

// offered reads the manifest of an offer and compares it with the offer.
func offered(req *abci.RequestOfferSnapshot) (*snapshot.Manifest, error) {
	s := req.Snapshot
	if s == nil {
		return nil, errors.New("offer without a snapshot")
	}
	if s.Format != snapshot.Format {
		return nil, snapshot.ErrFormat
	}
	m, err := snapshot.Parse(s.Metadata)
	if err != nil {
		return nil, err
	}
	_, name, err := m.Encode()
	switch {
	case err != nil:
		return nil, err
	case !bytes.Equal(s.Hash, name[:]) || s.Height != uint64(m.Height) || int(s.Chunks) != m.Chunks():
		return nil, fmt.Errorf("offer of height %d: its manifest is of another snapshot", s.Height)
	case !bytes.Equal(m.AppHash, req.AppHash):
		return nil, fmt.Errorf("offer of height %d: app hash %x, the chain's is %x", s.Height, m.AppHash, req.AppHash)
	}
	return m, nil
}

// ApplySnapshotChunk implements abci.Application. A chunk that is not the
// manifest's is fetched again from somebody else; one that is, but does not
// lead to the app hash, means that the manifest lies: nothing of it stays.
func (a *App) ApplySnapshotChunk(_ context.Context, req *abci.RequestApplySnapshotChunk) (*abci.ResponseApplySnapshotChunk, error) {
	a.receiving.mu.Lock()
	defer a.receiving.mu.Unlock()
	to := a.receiving.to
	if to == nil || int(req.Index) != to.Next() {
		return &abci.ResponseApplySnapshotChunk{Result: abci.ResponseApplySnapshotChunk_REJECT_SNAPSHOT}, a.abortReceiving()
	}
	done, err := to.Chunk(req.Chunk)
	var bad *snapshot.ChunkError
	switch {
	case errors.Is(err, snapshot.ErrHash):
		a.log.Warn("refused a chunk of a snapshot and who sent it", "error", err, "peer", req.Sender)
		return &abci.ResponseApplySnapshotChunk{Result: abci.ResponseApplySnapshotChunk_RETRY,
			RefetchChunks: []uint32{req.Index}, RejectSenders: []string{req.Sender}}, nil
	case errors.As(err, &bad):
		a.log.Warn("refused a snapshot and who sent it", "error", err, "peer", req.Sender)
		return &abci.ResponseApplySnapshotChunk{Result: abci.ResponseApplySnapshotChunk_REJECT_SNAPSHOT,
			RejectSenders: []string{req.Sender}}, a.abortReceiving()
	case err != nil:
		return nil, a.fail(errors.Join(err, a.receiving.abort()))
	}
	if done {
		a.receiving.to = nil
		a.log.Info("received a snapshot", "height", a.store.View().Height())
	}
	return &abci.ResponseApplySnapshotChunk{Result: abci.ResponseApplySnapshotChunk_ACCEPT}, nil
}

// abortReceiving drops the snapshot that comes in; the node must stop if that fails.
func (a *App) abortReceiving() error {
	if err := a.receiving.abort(); err != nil {
		return a.fail(err)
	}
	return nil
}

// abort wipes away what was received so far.
func (r *receiving) abort() error {
	if r.to == nil {
		return nil
	}
	to := r.to
	r.to = nil
	return to.Abort()
}
