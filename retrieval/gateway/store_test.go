package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
)

func TestMain(m *testing.M) {
	// The client of delegated routing counts its requests, by a routine that never ends.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// fixtures are those of the public suite of gateway tests.
const fixtures = "testdata/fixtures.car"

// fixtureBlocks lists the CIDs of the fixtures, in order.
func fixtureBlocks(t testing.TB) []cid.Cid {
	t.Helper()
	f, err := os.Open(fixtures)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := car.NewReader(f, car.Options{AnyRoots: true})
	if err != nil {
		t.Fatal(err)
	}
	var out []cid.Cid
	for {
		block, err := r.Next()
		if err != nil {
			return out
		}
		out = append(out, block.CID)
	}
}

// importedFixtures is a store that holds the fixtures and is ready.
func importedFixtures(t testing.TB) *Store {
	t.Helper()
	return storeOf(t, Terms{}, readFixtures(t))
}

func readFixtures(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile(fixtures)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func storeOf(t testing.TB, terms Terms, archives ...[]byte) *Store {
	t.Helper()
	s := OpenStore(t.TempDir(), false)
	for _, raw := range archives {
		if _, err := s.Import(t.Context(), bytes.NewReader(raw), terms); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// archiveOf writes an archive of raw blocks with the first one as its root.
func archiveOf(t testing.TB, blocks ...string) ([]byte, []cid.Cid) {
	t.Helper()
	var cids []cid.Cid
	for _, b := range blocks {
		hash, err := mh.Sum([]byte(b), mh.SHA2_256, -1)
		if err != nil {
			t.Fatal(err)
		}
		cids = append(cids, cid.NewCidV1(cid.Raw, hash))
	}
	var out bytes.Buffer
	w, err := car.NewWriter(&out, cids[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range blocks {
		if err := w.Put(cids[i], []byte(b)); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes(), cids
}

// TestImport: every block of the fixtures is found by its hash, whatever the
// CID's version and codec, also after the index was lost; the piece is the one
// that the bytes make.
func TestImport(t *testing.T) {
	s := importedFixtures(t)
	got := s.Imported()[0]
	if got.Blocks != 343 || len(got.Roots) != 1 || got.Size != uint64(len(readFixtures(t))) {
		t.Errorf("imported %+v", got)
	}
	want, err := piece.Commit(bytes.NewReader(readFixtures(t)))
	if err != nil || got.Piece != want.CID.String() || got.PaddedSize != want.PaddedSize {
		t.Errorf("piece %s of %d bytes, want %s of %d, %v", got.Piece, got.PaddedSize, want.CID, want.PaddedSize, err)
	}
	check := func(s *Store) {
		t.Helper()
		for _, c := range fixtureBlocks(t) {
			for _, as := range []cid.Cid{c, cid.NewCidV1(cid.Raw, c.Hash())} {
				data, err := s.Block(t.Context(), as)
				if err == nil {
					err = car.Verify(c, data)
				}
				if n, sizeErr := s.BlockSize(t.Context(), as); err != nil || sizeErr != nil || n != len(data) {
					t.Fatalf("block %s: %d bytes of %d, %v, %v", as, len(data), n, err, sizeErr)
				}
			}
		}
	}
	check(s)
	for _, spoil := range []func(string) error{os.Remove, func(p string) error { return os.WriteFile(p, []byte("GIDX\x01junk"), 0o644) }} {
		if err := spoil(filepath.Join(s.dir, got.Name+suffixIndex)); err != nil {
			t.Fatal(err)
		}
		again := OpenStore(s.dir, false)
		if err := again.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(again)
		if err := again.Close(); err != nil {
			t.Error(err)
		}
		if raw, err := os.ReadFile(filepath.Join(s.dir, got.Name+suffixIndex)); err != nil || len(raw) < 343*36 {
			t.Errorf("the index was not written again: %d bytes, %v", len(raw), err)
		}
	}
}

// TestImportAgain: the same bytes again are the same archive, with the newest
// terms, also for a store that serves it meanwhile.
func TestImportAgain(t *testing.T) {
	raw, cids := archiveOf(t, "one", "two", "one")
	s := storeOf(t, Terms{}, raw)
	for _, price := range []chain.Amount{chain.Atto(7), {}} {
		if _, err := s.Import(t.Context(), bytes.NewReader(raw), Terms{Price: price}); err != nil {
			t.Fatal(err)
		}
		if err := s.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all := s.Imported(); len(all) != 1 || all[0].Terms.Price != price || all[0].Blocks != 2 {
			t.Errorf("after an import for %s: %+v", price, all)
		}
		_, err := s.Block(t.Context(), cids[1])
		if errors.Is(err, ErrNotFound) == price.IsZero() {
			t.Errorf("a block of an archive for %s: %v", price, err)
		}
	}
	if err := s.Remove(s.Imported()[0].Name); err != nil {
		t.Fatal(err)
	}
	if err := s.Load(t.Context()); err != nil || len(s.Imported()) != 0 {
		t.Errorf("after removing it: %v, %v", s.Imported(), err)
	}
	for _, name := range []string{"../x", "never"} {
		if err := s.Remove(name); err == nil || !strings.Contains(err.Error(), "no such name") {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	if err := s.Remove("../x"); err == nil {
		t.Error("a path is taken for a name")
	}
}

// TestImportBroken: an archive with a fault is refused whole, and what was there
// stays there and is all that is there.
func TestImportBroken(t *testing.T) {
	good, cids := archiveOf(t, "kept")
	s := storeOf(t, Terms{}, good)
	raw := readFixtures(t)
	flipped := bytes.Clone(raw)
	flipped[len(raw)/2] ^= 1
	v2 := append([]byte("\x0a\xa1gversion\x02"), make([]byte, 40)...)
	for name, bad := range map[string][]byte{
		"empty": nil, "header cut": raw[:20], "last block cut": raw[:len(raw)-1], "byte flipped": flipped, "section of no bytes": append(bytes.Clone(raw), 0),
		"junk behind": append(bytes.Clone(raw), "junk"...), "version 2": v2, "no archive": []byte(strings.Repeat("x", 1000)),
	} {
		if _, err := s.Import(t.Context(), bytes.NewReader(bad), Terms{}); err == nil {
			t.Errorf("%s: imported", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Import(ctx, bytes.NewReader(raw), Terms{}); !errors.Is(err, context.Canceled) {
		t.Errorf("an import that was stopped: %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, partPrefix+"killed"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), bytes.NewReader(good), Terms{}); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		left = append(left, filepath.Ext(e.Name()))
	}
	if err != nil || !slices.Equal(left, []string{".lock", ".car", ".idx", ".json"}) {
		t.Errorf("there are files of kinds %v, %v", left, err)
	}
	if data, err := s.Block(t.Context(), cids[0]); err != nil || string(data) != "kept" {
		t.Errorf("the archive that was there gives %q, %v", data, err)
	}
}

// TestRottenBlock: a block that rotted on disk is an error, not content.
func TestRottenBlock(t *testing.T) {
	raw, cids := archiveOf(t, "something to read")
	s := storeOf(t, Terms{}, raw)
	path := filepath.Join(s.dir, s.Imported()[0].Name+suffixArchive)
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := Blockstore(s).Get(t.Context(), cids[0]); !errors.Is(err, car.ErrMismatch) {
		t.Errorf("got %v, %v", b, err)
	}
}

func TestIndexRoundTrip(t *testing.T) {
	x := index{"a": {1, 2}, "": {0, 0}, strings.Repeat("h", maxMultihash): {1 << 40, car.MaxBlockSize}}
	got, err := parseIndex(x.marshal(), 1<<41)
	if err != nil || len(got) != len(x) {
		t.Fatalf("%v, %v", got, err)
	}
	for k, p := range x {
		if got[k] != p {
			t.Errorf("%q at %v, want %v", k, got[k], p)
		}
	}
	if _, err := parseIndex(x.marshal(), 1<<40); err == nil {
		t.Error("a block behind the end is taken")
	}
}

// FuzzArchive: no bytes break the reader of archives, and the blocks that it finds
// are where it says and what their hashes say.
func FuzzArchive(f *testing.F) {
	good, _ := archiveOf(f, "one", "two")
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, x, err := readArchive(context.Background(), bytes.NewReader(raw), io.Discard)
		if err != nil {
			return
		}
		if in.Size != uint64(len(raw)) || in.Blocks != len(x) {
			t.Errorf("%d bytes and %d blocks of %d and %d", in.Size, in.Blocks, len(raw), len(x))
		}
		for hash, p := range x {
			c := cid.NewCidV1(cid.Raw, mh.Multihash(hash))
			if err := car.Verify(c, raw[p.offset:][:p.length]); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzIndex: no bytes break the reader of an index, and what it takes has one form.
func FuzzIndex(f *testing.F) {
	f.Add(index{"hash": {10, 20}}.marshal(), uint64(100))
	f.Fuzz(func(t *testing.T, raw []byte, size uint64) {
		x, err := parseIndex(raw, size)
		if err != nil {
			return
		}
		again, err := parseIndex(x.marshal(), size)
		if err != nil || len(again) != len(x) {
			t.Errorf("%d blocks become %d: %v", len(x), len(again), err)
		}
	})
}
