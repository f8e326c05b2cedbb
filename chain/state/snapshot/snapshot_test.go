package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB) *state.Store {
	t.Helper()
	p := consensus.Devnet()
	p.ChainID = "snapshot-test"
	s, err := state.Open(state.Config{Dir: "db", Params: p, FS: vfs.NewMem(), Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// filled is a store with some heights, the first of which has 500 accounts.
func filled(t testing.TB, heights int) *state.Store {
	t.Helper()
	s := open(t)
	for h := range heights {
		global, err := chain.Encode(&chain.Global{RuleVersion: 1, Height: chain.Height(h)})
		if err != nil {
			t.Fatal(err)
		}
		u := &consensus.Update{Version: consensus.UpdateVersion, Height: chain.Height(h),
			Changes: []consensus.Change{{Table: chain.TableGlobal, Value: global}}}
		if h > 0 {
			if _, err := s.Stage(u); err != nil {
				t.Fatal(err)
			}
			if err := s.Commit(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for i := range uint64(500) {
			b, err := chain.Encode(&chain.QueueHead{Count: i})
			if err != nil {
				t.Fatal(err)
			}
			u.Changes = append(u.Changes, consensus.Change{Table: chain.TableAccount, ID: binary.BigEndian.AppendUint64([]byte{1}, i), Value: b})
		}
		if _, err := s.Genesis(u); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// archive opens a directory with small chunks.
func archive(t testing.TB, dir string) *Archive {
	t.Helper()
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	a.chunk = 1000
	return a
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		out = append(out, f.Name())
	}
	return out
}

// TestArchive writes snapshots, serves their chunks, and finds them again.
func TestArchive(t *testing.T) {
	s, dir := filled(t, 5), filepath.Join(t.TempDir(), "snapshots")
	a := archive(t, dir)
	for _, h := range []chain.Height{1, 3, 4, 3} {
		m, err := a.Write(t.Context(), s, h)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := s.At(h)
		if err != nil {
			t.Fatal(err)
		}
		if m.Height != h || !bytes.Equal(m.AppHash, tree.AppHash()) || m.Chunks() < 5 {
			t.Fatalf("manifest of height %d is %+v", h, m)
		}
		var car []byte
		for i := range m.Chunks() {
			b, err := a.Chunk(h, i)
			if err != nil || i < m.Chunks()-1 && len(b) != 1000 {
				t.Fatalf("chunk %d has %d bytes, %v", i, len(b), err)
			}
			car = append(car, b...)
		}
		file, err := os.ReadFile(filepath.Join(dir, a.carName(h)))
		if err != nil || !bytes.Equal(file, car) || uint64(len(car)) != m.Size {
			t.Fatalf("chunks of height %d are not the file: %v", h, err)
		}
	}
	if b, err := a.Chunk(3, a.Find(3).Chunks()); b != nil || err != nil {
		t.Errorf("a chunk beyond the last: %d bytes, %v", len(b), err)
	}
	if b, err := a.Chunk(2, 0); b != nil || err != nil {
		t.Errorf("a chunk of no snapshot: %d bytes, %v", len(b), err)
	}
	if err := a.Keep(2); err != nil {
		t.Fatal(err)
	}
	want := []string{"3.car", "3.manifest", "4.car", "4.manifest"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("files are %v, want %v", got, want)
	}
	if _, err := a.Write(t.Context(), s, 9); err == nil {
		t.Error("wrote a snapshot of the future")
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Write(stopped, s, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("write of a stopped node: %v", err)
	}
	for _, stray := range []string{".new-1", "7.car", "8.manifest"} {
		if err := os.WriteFile(filepath.Join(dir, stray), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "3.car"), 10); err != nil {
		t.Fatal(err)
	}
	again := archive(t, dir)
	if all := again.List(); len(all) != 1 || all[0].Height != 4 || again.Size() < all[0].Size {
		t.Errorf("found %+v", all)
	}
	if got := names(t, dir); !slices.Equal(got, want[2:]) {
		t.Errorf("files are %v, want %v", got, want[2:])
	}
}

// TestDamagedFile serves no chunk that is not what it was.
func TestDamagedFile(t *testing.T) {
	s, dir := filled(t, 2), t.TempDir()
	a := archive(t, dir)
	if _, err := a.Write(t.Context(), s, 1); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "1.car")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[2500] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := a.Chunk(1, 2); err == nil || b != nil {
		t.Errorf("a damaged chunk is served: %v", err)
	}
	if _, err := a.Chunk(1, 1); err != nil {
		t.Errorf("a good chunk is not: %v", err)
	}
}

// TestSame gives two nodes the same snapshot of one height.
func TestSame(t *testing.T) {
	var first []byte
	for range 2 {
		m, err := archive(t, t.TempDir()).Write(t.Context(), filled(t, 3), 2)
		if err != nil {
			t.Fatal(err)
		}
		raw, _, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = raw
		}
		if !bytes.Equal(first, raw) {
			t.Error("two nodes have different snapshots of one height")
		}
	}
}

// TestReceiver takes a snapshot, with one wrong byte in each chunk once: the
// chunk is named and may come again, and the state is the same in the end.
func TestReceiver(t *testing.T) {
	s, a := filled(t, 3), archive(t, t.TempDir())
	m, err := a.Write(t.Context(), s, 2)
	if err != nil {
		t.Fatal(err)
	}
	to := open(t)
	r, err := Receive(to, m)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Chunks() {
		good, err := a.Chunk(2, i)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 4
		var blame *ChunkError
		if _, err := r.Chunk(bad); !errors.As(err, &blame) || blame.Chunk != i || !errors.Is(err, ErrHash) {
			t.Fatalf("a wrong byte in chunk %d: %v", i, err)
		}
		if done, err := r.Chunk(good); err != nil || done != (i == m.Chunks()-1) {
			t.Fatalf("chunk %d: %v, %v", i, done, err)
		}
	}
	if !bytes.Equal(to.View().AppHash(), m.AppHash) {
		t.Error("the state received is another one")
	}
}

// TestLyingManifest takes a snapshot whose manifest agrees with its chunks but
// whose tree is not the app hash's: it is refused at the chunk that leaves the
// tree, and nothing stays.
func TestLyingManifest(t *testing.T) {
	s, a := filled(t, 3), archive(t, t.TempDir())
	m, err := a.Write(t.Context(), s, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []int{0, m.Chunks() / 2, m.Chunks() - 1} {
		lie := *m
		chunks := make([][]byte, m.Chunks())
		for i := range chunks {
			if chunks[i], err = a.Chunk(2, i); err != nil {
				t.Fatal(err)
			}
		}
		chunks[wrong][len(chunks[wrong])/2] ^= 1
		lie.Hashes = nil
		for _, b := range chunks {
			sum := sha256.Sum256(b)
			lie.Hashes = append(lie.Hashes, sum[:]...)
		}
		to := open(t)
		r, err := Receive(to, &lie)
		if err != nil {
			t.Fatal(err)
		}
		refusedAt := -1
		for i := range chunks {
			var blame *ChunkError
			if _, err := r.Chunk(chunks[i]); errors.As(err, &blame) {
				if !errors.Is(err, state.ErrSnapshot) || errors.Is(err, ErrHash) {
					t.Errorf("refused with %v", err)
				}
				refusedAt = blame.Chunk
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		// A block that begins in the wrong chunk may end in the next one.
		if refusedAt != wrong && refusedAt != wrong+1 {
			t.Errorf("a wrong block in chunk %d is refused at %d", wrong, refusedAt)
		}
		if err := r.Abort(); err != nil {
			t.Fatal(err)
		}
		if to.View() != nil {
			t.Error("a refused snapshot left a state")
		}
	}
}

// TestManifest refuses what describes no possible snapshot.
func TestManifest(t *testing.T) {
	m, err := archive(t, t.TempDir()).Write(t.Context(), filled(t, 2), 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Manifest){
		"format":       func(m *Manifest) { m.Format = 2 },
		"app hash":     func(m *Manifest) { m.AppHash = m.AppHash[1:] },
		"half a hash":  func(m *Manifest) { m.Hashes = m.Hashes[1:] },
		"no chunk":     func(m *Manifest) { m.Hashes, m.Size = nil, 0 },
		"empty chunks": func(m *Manifest) { m.ChunkSize = 0 },
		"large chunks": func(m *Manifest) { m.ChunkSize = ChunkSize + 1 },
		"a chunk less": func(m *Manifest) { m.Hashes = m.Hashes[hashSize:] },
		"a chunk more": func(m *Manifest) { m.Size -= m.ChunkSize },
	} {
		bad := *m
		change(&bad)
		raw, _, err := bad.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(raw); err == nil || (name == "format") != errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	raw, _, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Parse(raw); err != nil || again.Height != 1 || again.Chunks() != m.Chunks() {
		t.Errorf("a good manifest: %+v, %v", again, err)
	}
}

// FuzzManifest parses bytes of strangers: none panics, and what is accepted
// has chunks within bounds.
func FuzzManifest(f *testing.F) {
	m, err := archive(f, f.TempDir()).Write(f.Context(), filled(f, 2), 1)
	if err != nil {
		f.Fatal(err)
	}
	raw, _, err := m.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw)
		if err != nil {
			return
		}
		var sum uint64
		for i := range m.Chunks() {
			sum += m.length(i)
			if m.length(i) == 0 || m.length(i) > ChunkSize {
				t.Fatalf("chunk %d of %d bytes", i, m.length(i))
			}
		}
		if sum != m.Size {
			t.Fatalf("chunks of %d bytes in all, want %d", sum, m.Size)
		}
	})
}
