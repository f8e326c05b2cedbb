package app

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state/snapshot"
)

// served is a snapshot as peers would serve it, in small chunks.
type served struct {
	t      testing.TB
	offer  *abci.RequestOfferSnapshot
	chunks [][]byte
}

// serve writes the snapshot of a member's newest state and takes it from the
// member's application as a peer would.
func serve(e *engine, m *member) *served {
	e.t.Helper()
	a, err := snapshot.Open(e.t.TempDir())
	if err != nil {
		e.t.Fatal(err)
	}
	if _, err := a.Write(e.t.Context(), m.store, chain.Height(e.height)); err != nil {
		e.t.Fatal(err)
	}
	peer := New(Config{Store: m.store, Params: e.params, Snapshots: a})
	list, err := peer.ListSnapshots(e.t.Context(), nil)
	if err != nil || len(list.Snapshots) != 1 || list.Snapshots[0].Height != uint64(e.height) {
		e.t.Fatalf("snapshots are %+v, %v", list, err)
	}
	s := list.Snapshots[0]
	var car []byte
	for i := range s.Chunks + 1 {
		r, err := peer.LoadSnapshotChunk(e.t.Context(), &abci.RequestLoadSnapshotChunk{Height: s.Height, Format: s.Format, Chunk: i})
		if err != nil || (r.Chunk == nil) != (i == s.Chunks) {
			e.t.Fatalf("chunk %d of %d: %d bytes, %v", i, s.Chunks, len(r.Chunk), err)
		}
		car = append(car, r.Chunk...)
	}
	out := &served{t: e.t, chunks: slices.Collect(slices.Chunk(car, 700))}
	out.offer = &abci.RequestOfferSnapshot{AppHash: m.store.View().AppHash()}
	out.describe(e.height)
	return out
}

// describe makes the offer of the chunks as they are.
func (s *served) describe(height int64) {
	s.t.Helper()
	m := &snapshot.Manifest{Format: snapshot.Format, Height: chain.Height(height), AppHash: s.offer.AppHash, ChunkSize: 700}
	for _, c := range s.chunks {
		sum := sha256.Sum256(c)
		m.Hashes, m.Size = append(m.Hashes, sum[:]...), m.Size+uint64(len(c))
	}
	raw, name, err := m.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	s.offer.Snapshot = &abci.Snapshot{Height: uint64(height), Format: snapshot.Format, Chunks: uint32(len(s.chunks)),
		Hash: name[:], Metadata: raw}
}

// accept offers the snapshot to an application, which must take it.
func (s *served) accept(a *App) {
	s.t.Helper()
	r, err := a.OfferSnapshot(s.t.Context(), s.offer)
	if err != nil || r.Result != abci.ResponseOfferSnapshot_ACCEPT {
		s.t.Fatalf("a good offer: %v, %v", r, err)
	}
}

func (s *served) apply(a *App, i int, chunk []byte, sender string) *abci.ResponseApplySnapshotChunk {
	s.t.Helper()
	r, err := a.ApplySnapshotChunk(s.t.Context(), &abci.RequestApplySnapshotChunk{Index: uint32(i), Chunk: chunk, Sender: sender})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// TestSnapshot starts a validator anew from a snapshot that one liar among its
// peers sends a wrong byte of: the chunk comes again from another, the liar is
// rejected, and the validator goes on as before.
func TestSnapshot(t *testing.T) {
	e := newEngine(t, 2)
	for nonce := range uint64(5) {
		e.submit(e.transfer(1, 7, nonce, 5))
		e.block()
	}
	s := serve(e, e.members[0])
	m := e.members[1]
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
	m.fs = vfs.NewCrashableMem()
	e.open(m)
	s.accept(m.app)
	for i, good := range s.chunks {
		if i == len(s.chunks)/2 {
			bad := bytes.Clone(good)
			bad[1] ^= 1
			r := s.apply(m.app, i, bad, "liar")
			if r.Result != abci.ResponseApplySnapshotChunk_RETRY || !slices.Equal(r.RefetchChunks, []uint32{uint32(i)}) ||
				!slices.Equal(r.RejectSenders, []string{"liar"}) {
				t.Fatalf("a wrong byte in chunk %d: %+v", i, r)
			}
		}
		if r := s.apply(m.app, i, good, "honest"); r.Result != abci.ResponseApplySnapshotChunk_ACCEPT {
			t.Fatalf("chunk %d: %+v", i, r)
		}
	}
	info, err := m.app.Info(t.Context(), nil)
	if err != nil || info.LastBlockHeight != e.height || !bytes.Equal(info.LastBlockAppHash, s.offer.AppHash) {
		t.Fatalf("state is %+v, %v", info, err)
	}
	e.submit(e.transfer(1, 7, 5, 5))
	for range 5 {
		e.block()
	}
	if got := e.account(1); got.Nonce != 6 {
		t.Errorf("sender's nonce is %d, want 6", got.Nonce)
	}
}

// TestLyingSnapshot offers a snapshot whose manifest agrees with its chunks,
// but not with the chain: it is refused with who sent it, nothing stays, and a
// good one is taken after it.
func TestLyingSnapshot(t *testing.T) {
	e := newEngine(t, 1)
	e.submit(e.transfer(1, 7, 0, 5))
	e.block()
	e.block()
	good, lie := serve(e, e.members[0]), serve(e, e.members[0])
	wrong := len(lie.chunks) / 2
	lie.chunks[wrong][100] ^= 1
	lie.describe(e.height)
	m := &member{fs: vfs.NewCrashableMem()}
	e.open(m)
	e.members = append(e.members, m) // closed with the others
	lie.accept(m.app)
	refused := false
	for i := 0; i < len(lie.chunks) && !refused; i++ {
		r := lie.apply(m.app, i, lie.chunks[i], "liar")
		switch r.Result {
		case abci.ResponseApplySnapshotChunk_ACCEPT:
		case abci.ResponseApplySnapshotChunk_REJECT_SNAPSHOT:
			refused = i >= wrong && slices.Equal(r.RejectSenders, []string{"liar"})
		default:
			t.Fatalf("chunk %d: %+v", i, r)
		}
	}
	if !refused || m.store.View() != nil {
		t.Fatalf("refused %v, state %v", refused, m.store.View())
	}
	if r := lie.apply(m.app, 0, lie.chunks[0], "liar"); r.Result != abci.ResponseApplySnapshotChunk_REJECT_SNAPSHOT {
		t.Errorf("a chunk of nothing: %+v", r)
	}
	good.accept(m.app)
	good.apply(m.app, 0, good.chunks[0], "honest")
	good.accept(m.app) // the engine begins it again
	for i, c := range good.chunks {
		good.apply(m.app, i, c, "honest")
	}
	if m.store.View() == nil || !bytes.Equal(m.store.View().AppHash(), good.offer.AppHash) {
		t.Error("a good snapshot after a refused one has another state")
	}
}

// TestBadOffers refuses what is no offer of the chain's state.
func TestBadOffers(t *testing.T) {
	e := newEngine(t, 1)
	e.block()
	app := e.members[0].app
	for name, change := range map[string]func(*abci.RequestOfferSnapshot){
		"format":   func(o *abci.RequestOfferSnapshot) { o.Snapshot.Format++ },
		"nothing":  func(o *abci.RequestOfferSnapshot) { o.Snapshot = nil },
		"manifest": func(o *abci.RequestOfferSnapshot) { o.Snapshot.Metadata = []byte("none") },
		"name":     func(o *abci.RequestOfferSnapshot) { o.Snapshot.Hash = []byte("none") },
		"height":   func(o *abci.RequestOfferSnapshot) { o.Snapshot.Height++ },
		"chunks":   func(o *abci.RequestOfferSnapshot) { o.Snapshot.Chunks++ },
		"app hash": func(o *abci.RequestOfferSnapshot) { o.AppHash = bytes.Repeat([]byte{1}, 36) },
	} {
		s := serve(e, e.members[0])
		change(s.offer)
		want := abci.ResponseOfferSnapshot_REJECT_SENDER
		if name == "format" {
			want = abci.ResponseOfferSnapshot_REJECT_FORMAT
		}
		if r, err := app.OfferSnapshot(t.Context(), s.offer); err != nil || r.Result != want {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	if e.members[0].store.View() == nil {
		t.Error("a bad offer took the state away")
	}
	if r, err := app.ListSnapshots(t.Context(), nil); err != nil || len(r.Snapshots) != 0 {
		t.Errorf("an application without an archive lists %v, %v", r, err)
	}
}
