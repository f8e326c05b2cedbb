package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

// stream is the deterministic content of the tests: byte i is byte i%32 of
// SHA-256(seed as u64be || i/32 as u64be).
type stream struct {
	seed, at, size uint64
}

func content(seed, size uint64) *stream { return &stream{seed: seed, size: size} }

func (s *stream) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && s.at < s.size {
		var in [16]byte
		binary.BigEndian.PutUint64(in[:], s.seed)
		binary.BigEndian.PutUint64(in[8:], s.at/32)
		block := sha256.Sum256(in[:])
		k := copy(p[n:], block[s.at%32:min(32, s.at%32+s.size-s.at)])
		n, s.at = n+k, s.at+uint64(k)
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func bytesOf(t testing.TB, seed, size uint64) []byte {
	t.Helper()
	out, err := io.ReadAll(content(seed, size))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func options(t testing.TB, public bool) Options {
	return Options{Public: public, MaxPieceSize: 8 * mib, WorkDir: t.TempDir()}
}

// store reads the CARs of a packed object through the strict reader, walking
// the payload as a receiver does, and returns its blocks.
func store(t testing.TB, p *Packed) dag.Get {
	t.Helper()
	blocks := map[cid.Cid][]byte{}
	w, err := dag.NewWalker(p.Root)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range p.Pieces {
		if part.Part != i || part.Parts != len(p.Pieces) {
			t.Fatalf("piece %d says part %d of %d", i, part.Part, part.Parts)
		}
		raw, err := os.ReadFile(part.CARPath)
		if err != nil {
			t.Fatal(err)
		}
		checkPiece(t, part, raw)
		r, err := car.NewReader(bytes.NewReader(raw), car.Options{Root: p.Root})
		if err != nil {
			t.Fatal(err)
		}
		var rebuilt bytes.Buffer
		again, err := car.NewWriter(&rebuilt, p.Root)
		if err != nil {
			t.Fatal(err)
		}
		err = w.AcceptCAR(r, func(b car.Block) error {
			blocks[b.CID] = bytes.Clone(b.Data)
			return again.Put(b.CID, b.Data)
		})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(rebuilt.Bytes(), raw) {
			t.Fatalf("CAR %d rebuilt from its blocks differs", i)
		}
	}
	if !w.Done() {
		t.Fatal("the CARs do not hold the whole payload")
	}
	if w.Blocks() != p.Blocks {
		t.Fatalf("%d blocks in the CARs, %d reported", w.Blocks(), p.Blocks)
	}
	return func(_ context.Context, c cid.Cid) ([]byte, error) {
		data, ok := blocks[c]
		if !ok {
			return nil, fmt.Errorf("no block %s", c)
		}
		return data, nil
	}
}

func checkPiece(t testing.TB, part Piece, raw []byte) {
	t.Helper()
	info, err := piece.Commit(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if info != part.Info || part.PayloadSize != uint64(len(raw)) {
		t.Fatalf("piece %v, its CAR of %d bytes commits to %v", part.Info, len(raw), info)
	}
	x, err := car.BuildIndex(bytes.NewReader(raw), car.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want, _ := x.MarshalBinary()
	if got, _ := part.Index.MarshalBinary(); !bytes.Equal(got, want) {
		t.Fatal("index differs from that of the CAR")
	}
}

func TestFileRoundTrip(t *testing.T) {
	for _, size := range []uint64{0, 1, 262143, 262144, 262145, mib + 1, 20 * mib} {
		for _, public := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d/public=%v", size, public), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "file.bin")
				want := bytesOf(t, size, size)
				if err := os.WriteFile(path, want, 0o640); err != nil {
					t.Fatal(err)
				}
				opts := options(t, public)
				p, err := Pack(t.Context(), path, opts)
				if err != nil {
					t.Fatal(err)
				}
				checkPacked(t, p, public, want)
				wantPieces := 1
				if size == 20*mib {
					wantPieces = 3
				}
				if len(p.Pieces) != wantPieces {
					t.Fatalf("%d pieces", len(p.Pieces))
				}
				get := store(t, p)
				dest := filepath.Join(dir, "back")
				got, err := Restore(t.Context(), get, dest, RestoreOptions{Root: p.Root, Key: p.Key, Kind: p.Kind, Mode: p.Mode, SHA256: &p.SHA256})
				if err != nil {
					t.Fatal(err)
				}
				if got.Size != size || got.SHA256 != p.SHA256 {
					t.Fatalf("restored %+v", got)
				}
				back, err := os.ReadFile(dest)
				if err != nil || !bytes.Equal(back, want) {
					t.Fatalf("content differs (%v)", err)
				}
				if err := p.Remove(); err != nil {
					t.Fatal(err)
				}
				mustBeEmpty(t, opts.WorkDir)
			})
		}
	}
}

func checkPacked(t *testing.T, p *Packed, public bool, want []byte) {
	t.Helper()
	if p.Kind != KindFile || p.Name != "file.bin" || p.Mode != 0o640 {
		t.Fatalf("packed %s %q %s", p.Kind, p.Name, p.Mode)
	}
	if p.Size != uint64(len(want)) || p.SHA256 != sha256.Sum256(want) {
		t.Fatal("size or digest of the plaintext is wrong")
	}
	if public != (p.Key == "") || !public && !strings.HasPrefix(p.Key, "AGE-SECRET-KEY-1") {
		t.Fatalf("key %q", p.Key)
	}
	var sum uint64
	for _, part := range p.Pieces {
		sum += part.PayloadSize
	}
	if p.PayloadSize != sum {
		t.Fatalf("payload size %d, pieces have %d", p.PayloadSize, sum)
	}
}

func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Fatalf("left behind: %v (%v)", left, err)
	}
}

// TestPlanEqualsPack: a plan gives the same pieces and writes nothing. Of a stream that
// does not end soon it gives their sizes.
func TestPlanEqualsPack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	if err := os.MkdirAll(filepath.Join(dir, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]uint64{"a": 3 * mib, "b": 5 * mib, filepath.Join("below", "c"): 100, filepath.Join("below", "none"): 0} {
		if err := os.WriteFile(filepath.Join(dir, name), bytesOf(t, size, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := plantFile(t, 9*mib)
	for name, pack := range map[string]func(Options) (*Packed, error){
		"file":      func(o Options) (*Packed, error) { return Pack(t.Context(), file, o) },
		"directory": func(o Options) (*Packed, error) { return Pack(t.Context(), dir, o) },
		"stream":    func(o Options) (*Packed, error) { return PackReader(t.Context(), content(9*mib, 9*mib), o) },
		"short":     func(o Options) (*Packed, error) { return PackReader(t.Context(), content(1, peek), o) },
	} {
		t.Run(name, func(t *testing.T) {
			kept, err := pack(options(t, true))
			if err != nil {
				t.Fatal(err)
			}
			plan := options(t, true)
			plan.Plan, plan.WorkDir = true, filepath.Join(plan.WorkDir, "must not be needed")
			got, err := pack(plan)
			if err != nil {
				t.Fatal(err)
			}
			if got.Dir != "" || len(got.Pieces) != len(kept.Pieces) || got.Root != kept.Root || got.PayloadSize != kept.PayloadSize || got.SHA256 != kept.SHA256 {
				t.Fatalf("plan %+v, packed %+v", got, kept)
			}
			for i, part := range got.Pieces {
				want := kept.Pieces[i].Info
				if name == "stream" {
					want.CID = cid.Undef
				}
				if part.Info != want || part.CARPath != "" {
					t.Fatalf("piece %d: %+v, want %+v", i, part.Info, want)
				}
			}
		})
	}
}

// TestPrivatePlan: how long a private payload gets is known before it is made.
func TestPrivatePlan(t *testing.T) {
	for _, path := range []string{plantTree(t), plantFile(t, 3*mib+1)} {
		kept, err := Pack(t.Context(), path, options(t, false))
		if err != nil {
			t.Fatal(err)
		}
		store(t, kept)
		opts := options(t, false)
		opts.Plan = true
		plan, err := Pack(t.Context(), path, opts)
		if err != nil || plan.PayloadSize != kept.PayloadSize || plan.SHA256 != kept.SHA256 || plan.Size != kept.Size {
			t.Errorf("plan %+v (%v), packed %+v", plan, err, kept)
		}
	}
}

// patchwork is content that repeats itself: leaf i is the one that its digits name.
func patchwork(leaves string) []byte {
	var out []byte
	for _, c := range leaves {
		out = append(out, bytes.Repeat([]byte{byte(c)}, chunkSize)...)
	}
	return out
}

// TestOnePassEqualsTwo packs the same bytes when their length is known and when it is
// not, also such as repeat whole nodes.
func TestOnePassEqualsTwo(t *testing.T) {
	zeros := strings.Repeat("0", maxLinks)
	for name, data := range map[string][]byte{
		"random":         bytesOf(t, 1, 5*mib+77),
		"repeated leaf":  patchwork("0102003400567890"),
		"repeated nodes": patchwork(zeros + "12" + zeros[2:] + zeros + zeros + "ab"),
		"nodes at last":  patchwork("1" + zeros[1:] + zeros + zeros),
		"nodes of nodes": append(patchwork(zeros), 1),
	} {
		for _, most := range []uint64{512 << 10, 64 << 20} {
			t.Run(fmt.Sprintf("%s/%d", name, most), func(t *testing.T) {
				opts := options(t, true)
				opts.MaxPieceSize = most
				packed := func(read func(*packer) error) *Packed {
					p := &Packed{Kind: KindFile}
					if err := run(t.Context(), opts, p, read); err != nil {
						t.Fatal(err)
					}
					return p
				}
				one := packed(func(p *packer) error { return p.sized(bytes.NewReader(data), uint64(len(data))) })
				two := packed(func(p *packer) error { return p.stream(bytes.NewReader(data)) })
				store(t, one)
				if one.Root != two.Root || one.SHA256 != two.SHA256 || len(one.Pieces) != len(two.Pieces) || one.Blocks != two.Blocks {
					t.Fatalf("one pass %+v, two %+v", one, two)
				}
				for i := range one.Pieces {
					if one.Pieces[i].Info != two.Pieces[i].Info {
						t.Errorf("piece %d: %+v, want %+v", i, one.Pieces[i].Info, two.Pieces[i].Info)
					}
				}
			})
		}
	}
}

// TestGapThatBeganACAR closes a gap for which a new CAR was begun: the next leaf still
// has room in the one before.
func TestGapThatBeganACAR(t *testing.T) {
	p := &packer{ctx: t.Context(), opts: Options{MaxPieceSize: 2 << 10, Plan: true}, out: &Packed{}}
	work := newWorkers()
	a, err := p.newArchive(1, work)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.add(car.LeafCID([32]byte{1}), make([]byte, 1000), 1000); err != nil {
		t.Fatal(err)
	}
	at, err := a.reserve(someNode, 1000)
	if err != nil || len(a.parts) != 2 {
		t.Fatalf("%d CARs, %v", len(a.parts), err)
	}
	if err := a.retract(at); err != nil || len(a.parts) != 1 {
		t.Fatalf("%d CARs, %v", len(a.parts), err)
	}
	if next, err := a.reserve(someLeaf, 800); err != nil || len(a.parts) != 1 || next.offset != headerSize+car.SectionSize(someLeaf, 1000) {
		t.Fatalf("%d CARs, %+v, %v", len(a.parts), next, err)
	}
	if err := a.abandon(); err != nil {
		t.Fatal(err)
	}
}

// TestOtherSize: content whose blocks are other ones than its size said is refused, also
// if nobody else noticed.
func TestOtherSize(t *testing.T) {
	for _, size := range []int{0, chunkSize, 2*chunkSize + 1, 3*chunkSize + 1} {
		p := &packer{ctx: t.Context(), opts: Options{Public: true, MaxPieceSize: 8 * mib, Plan: true}, out: &Packed{}}
		err := p.once(2*chunkSize, func(to io.Writer) error {
			_, err := to.Write(make([]byte, size))
			return err
		})
		if !errors.Is(err, ErrChanged) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestPrivate makes sure that two packings share nothing and that the
// plaintext is in no block.
func TestPrivate(t *testing.T) {
	plain := bytes.Repeat([]byte("a secret that must not show. "), 20000)
	a, err := PackReader(t.Context(), bytes.NewReader(plain), options(t, false))
	if err != nil {
		t.Fatal(err)
	}
	b, err := PackReader(t.Context(), bytes.NewReader(plain), options(t, false))
	if err != nil {
		t.Fatal(err)
	}
	if a.Key == b.Key || a.Root == b.Root {
		t.Fatal("two packings with one key or one root")
	}
	raw, err := os.ReadFile(a.Pieces[0].CARPath)
	if err != nil || bytes.Contains(raw, []byte("secret that must")) {
		t.Fatalf("plaintext in the CAR (%v)", err)
	}
	get := store(t, a)
	for name, key := range map[string]string{"other key": b.Key, "no key at all": "AGE-SECRET-KEY-1"} {
		dest := filepath.Join(t.TempDir(), "out")
		if _, err := Restore(t.Context(), get, dest, RestoreOptions{Root: a.Root, Key: key}); err == nil {
			t.Errorf("restored with %s", name)
		} else if strings.Contains(err.Error(), b.Key) {
			t.Errorf("the error shows the key: %v", err)
		}
		mustBeEmpty(t, filepath.Dir(dest))
	}
}

func TestBadPaths(t *testing.T) {
	dir := t.TempDir()
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	paths := []string{filepath.Join(dir, "nothing"), loop, filepath.Join(file, "below"), "", os.DevNull}
	if os.Geteuid() != 0 { // root reads everything
		paths = append(paths, secret)
	}
	for _, path := range paths {
		opts := options(t, true)
		_, err := Pack(t.Context(), path, opts)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", path)) {
			t.Errorf("%q: %v", path, err)
		}
		mustBeEmpty(t, opts.WorkDir)
	}
	if _, err := Pack(t.Context(), filepath.Join(dir, "nothing"), options(t, true)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing path: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, size := range []uint64{0, 64, 127, 8*mib - 1, 128, 2048} {
		opts := options(t, true)
		opts.MaxPieceSize = size
		if _, err := PackReader(t.Context(), content(1, 5000), opts); err == nil {
			t.Errorf("pieces of %d bytes accepted", size)
		}
		mustBeEmpty(t, opts.WorkDir)
	}
	opts := options(t, true)
	opts.WorkDir = filepath.Join(opts.WorkDir, "missing")
	if _, err := PackReader(t.Context(), content(1, 1), opts); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing work directory: %v", err)
	}
}

func TestReadErrorLeavesNothing(t *testing.T) {
	boom := errors.New("boom")
	opts := options(t, false)
	src := io.MultiReader(content(1, 3*mib), failing{boom})
	if _, err := PackReader(t.Context(), src, opts); !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	mustBeEmpty(t, opts.WorkDir)

	ctx, cancel := context.WithCancel(t.Context())
	opts.Progress = func(stage Stage, done, _ uint64) {
		if stage == StageCut && done > mib {
			cancel()
		}
	}
	if _, err := PackReader(ctx, content(1, 5*mib), opts); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	mustBeEmpty(t, opts.WorkDir)
}

type failing struct{ err error }

func (r failing) Read([]byte) (int, error) { return 0, r.err }
