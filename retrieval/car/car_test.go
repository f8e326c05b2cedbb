package car

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	carv2 "github.com/ipld/go-car/v2"
	mh "github.com/multiformats/go-multihash"
	"pgregory.net/rapid"
)

func cidOf(codec uint64, data []byte) cid.Cid {
	sum := sha256.Sum256(data)
	return cid.NewCidV1(codec, append(mh.Multihash{mh.SHA2_256, 32}, sum[:]...))
}

// sample is an archive of blocks of these sizes, and its writer's index.
func sample(t testing.TB, sizes ...int) ([]byte, *Index) {
	t.Helper()
	root := cidOf(cid.DagProtobuf, []byte("root"))
	var out bytes.Buffer
	w, err := NewWriter(&out, root)
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range sizes {
		data := bytes.Repeat([]byte{byte(i)}, size)
		codec := uint64(cid.Raw)
		if i%2 == 1 {
			codec = cid.DagProtobuf
		}
		if err := w.Put(cidOf(codec, data), data); err != nil {
			t.Fatal(err)
		}
	}
	if w.Size() != uint64(out.Len()) {
		t.Fatalf("Size %d, wrote %d", w.Size(), out.Len())
	}
	return out.Bytes(), w.Index()
}

// readAll reads an archive to its end.
func readAll(raw []byte, opts Options) ([]Block, error) {
	r, err := NewReader(bytes.NewReader(raw), opts)
	if err != nil {
		return nil, err
	}
	var out []Block
	for {
		b, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		b.Data = bytes.Clone(b.Data)
		out = append(out, b)
	}
}

// reference reads the same with go-car.
func reference(raw []byte, zeroEnds bool) ([]Block, error) {
	r, err := carv2.NewBlockReader(bytes.NewReader(raw), carv2.ZeroLengthSectionAsEOF(zeroEnds))
	if err != nil {
		return nil, err
	}
	var out []Block
	for {
		b, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Block{CID: b.Cid(), Data: b.RawData()})
	}
}

func sameBlocks(a, b []Block) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d blocks and %d", len(a), len(b))
	}
	for i := range a {
		if !a[i].CID.Equals(b[i].CID) || !bytes.Equal(a[i].Data, b[i].Data) {
			return fmt.Errorf("block %d differs", i)
		}
	}
	return nil
}

func TestHeaderBytes(t *testing.T) {
	root := cid.MustParse("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
	want := "3aa265726f6f747381d82a582500" + fmt.Sprintf("%x", root.Bytes()) + "6776657273696f6e01"
	if got := fmt.Sprintf("%x", appendHeader(nil, []cid.Cid{root})); got != want {
		t.Fatalf("header %s, want %s", got, want)
	}
	if HeaderSize(root) != 59 {
		t.Fatalf("size %d", HeaderSize(root))
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 20).Draw(t, "blocks")
		root := cidOf(cid.Raw, rapid.SliceOf(rapid.Byte()).Draw(t, "root"))
		var out bytes.Buffer
		w, err := NewWriter(&out, root)
		if err != nil {
			t.Fatal(err)
		}
		size := HeaderSize(root)
		for _, data := range blocks {
			c := cidOf(cid.Raw, data)
			size += SectionSize(c, len(data))
			if err := w.Put(c, data); err != nil {
				t.Fatal(err)
			}
		}
		if w.Size() != size || uint64(out.Len()) != size {
			t.Fatalf("sizes %d, %d, %d", w.Size(), size, out.Len())
		}
		got, err := readAll(out.Bytes(), Options{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := reference(out.Bytes(), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := sameBlocks(got, theirs); err != nil {
			t.Fatal(err)
		}
		for i, b := range got {
			if !bytes.Equal(b.Data, blocks[i]) || !bytes.Equal(out.Bytes()[b.Offset:b.Offset+uint64(len(b.Data))], blocks[i]) {
				t.Fatalf("block %d differs", i)
			}
		}
	})
}

func TestRefused(t *testing.T) {
	good, _ := sample(t, 10, 20)
	root := cidOf(cid.DagProtobuf, []byte("root"))
	head := int(HeaderSize(root))
	other := cidOf(cid.Raw, []byte("other"))
	big := bytes.Repeat([]byte{1}, MaxBlockSize+1)
	section := func(c cid.Cid, data []byte) []byte {
		body := append(c.Bytes(), data...)
		return append(appendUvarint(uint64(len(body))), body...)
	}
	with := func(tail ...byte) []byte { return append(bytes.Clone(good), tail...) }
	sha1, _ := mh.Sum([]byte("x"), mh.SHA1, -1)
	short, _ := mh.Sum([]byte("x"), mh.SHA2_256, 20)
	cases := []struct {
		name string
		raw  []byte
		opts Options
		want error
	}{
		{"empty", nil, Options{}, io.ErrUnexpectedEOF},
		{"header cut", good[:head-1], Options{}, io.ErrUnexpectedEOF},
		{"section cut", good[:len(good)-1], Options{}, io.ErrUnexpectedEOF},
		{"length cut", with(0x80), Options{}, io.ErrUnexpectedEOF},
		{"long length", with(0x85, 0x00), Options{}, ErrMalformed},
		{"endless length", with(bytes.Repeat([]byte{0xff}, 12)...), Options{}, ErrMalformed},
		{"no CID", with(1, 7), Options{}, ErrMalformed},
		{"zero section", with(0), Options{}, ErrMalformed},
		{"dirty padding", with(0, 0, 1), Options{Padded: true}, ErrMalformed},
		{"other root", good, Options{Root: other}, ErrMalformed},
		{"no root", appendHeader(nil, nil), Options{}, ErrMalformed},
		{"two roots", appendHeader(nil, []cid.Cid{root, other}), Options{}, ErrMalformed},
		{"two roots, one due", appendHeader(nil, []cid.Cid{root, other}), Options{AnyRoots: true, Root: root}, ErrMalformed},
		{"huge header", append(appendUvarint(MaxHeaderSize+1), make([]byte, MaxHeaderSize+1)...), Options{}, ErrTooLarge},
		{"huge block", with(section(cidOf(cid.Raw, big), big)...), Options{}, ErrTooLarge},
		{"huge section", with(appendUvarint(1 << 40)...), Options{}, ErrTooLarge},
		{"wrong data", with(section(other, []byte("not it"))...), Options{}, ErrMismatch},
		{"sha1", with(section(cid.NewCidV1(cid.Raw, sha1), []byte("x"))...), Options{}, ErrHash},
		{"short sha2", with(section(cid.NewCidV1(cid.Raw, short), []byte("x"))...), Options{}, ErrHash},
		{"version 2", carV2Pragma, Options{AnyRoots: true}, ErrMalformed},
		{"long CBOR", longHeader(root), Options{}, ErrMalformed},
		{"other order", otherOrder(root), Options{}, ErrMalformed},
	}
	for _, c := range cases {
		if _, err := readAll(c.raw, c.opts); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

var carV2Pragma = []byte{0x0a, 0xa1, 0x67, 0x76, 0x65, 0x72, 0x73, 0x69, 0x6f, 0x6e, 0x02}

// longHeader is a header whose version is written in two bytes.
func longHeader(root cid.Cid) []byte {
	h := appendHeader(nil, []cid.Cid{root})
	h[0]++
	return append(h[:len(h)-1], 0x18, 1)
}

// otherOrder is a header with the version before the roots.
func otherOrder(root cid.Cid) []byte {
	h := appendHeader(nil, []cid.Cid{root})
	body := append([]byte{h[0], h[1]}, h[len(h)-9:]...)
	return append(body, h[2:len(h)-9]...)
}

func appendUvarint(n uint64) []byte {
	var out []byte
	for ; n >= 0x80; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}

func TestAccepted(t *testing.T) {
	good, _ := sample(t, 10, MaxBlockSize)
	if _, err := readAll(append(bytes.Clone(good), make([]byte, 10_000)...), Options{Padded: true}); err != nil {
		t.Errorf("padded: %v", err)
	}
	wrong := bytes.Clone(good)
	wrong[len(wrong)-1] ^= 1
	if _, err := readAll(wrong, Options{Unverified: true}); err != nil {
		t.Errorf("unverified: %v", err)
	}
	if _, err := readAll(appendHeader(nil, nil), Options{AnyRoots: true}); err != nil {
		t.Errorf("no roots: %v", err)
	}
	long, _ := mh.Sum([]byte("x"), mh.SHA2_512, -1)
	if err := Verify(cid.NewCidV1(cid.Raw, long), []byte("x")); err != nil {
		t.Errorf("sha2-512: %v", err)
	}
	if err := Verify(cid.NewCidV1(cid.Raw, long), []byte("y")); !errors.Is(err, ErrMismatch) {
		t.Errorf("sha2-512 of other data: %v", err)
	}
	identity, _ := mh.Sum([]byte("inline"), mh.IDENTITY, -1)
	c := cid.NewCidV1(cid.Raw, identity)
	if err := Verify(c, []byte("inline")); err != nil {
		t.Errorf("identity: %v", err)
	}
	if err := Verify(c, []byte("outline")); !errors.Is(err, ErrMismatch) {
		t.Errorf("identity with other data: %v", err)
	}
}

// TestEveryFlip changes each bit of an archive. Hardly anything may be left
// that reads: only a change of the root's digest and of a codec, which no hash
// covers.
func TestEveryFlip(t *testing.T) {
	good, _ := sample(t, 5, 7)
	want, err := readAll(good, Options{})
	if err != nil {
		t.Fatal(err)
	}
	root := cidOf(cid.DagProtobuf, []byte("root"))
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if blocks, err := readAll(bad, Options{Root: root}); err == nil {
				for k := range blocks {
					if !bytes.Equal(blocks[k].CID.Hash(), want[k].CID.Hash()) {
						t.Fatalf("byte %d bit %d: read as other blocks", i, bit)
					}
				}
			}
			if _, err := reference(bad, false); err != nil {
				if _, err := readAll(bad, Options{}); err == nil {
					t.Fatalf("byte %d bit %d: go-car refuses it, we read it", i, bit)
				}
			}
		}
	}
}

// TestReferenceFiles reads go-car's own samples: what go-car refuses we refuse,
// and where only the hashes (all of them BLAKE2b) keep us from reading one, we
// find the same blocks without them.
func TestReferenceFiles(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/ipld/go-car/v2").Output()
	if err != nil {
		t.Fatalf("find go-car: %v", err)
	}
	names, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "testdata", "*.car"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no samples (%v)", err)
	}
	read := 0
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		theirs, refErr := reference(raw, false)
		_, err = readAll(raw, Options{AnyRoots: true})
		if refErr != nil && err == nil {
			t.Errorf("%s: go-car refuses it (%v), we read it", filepath.Base(name), refErr)
		}
		if refErr != nil || !errors.Is(err, ErrHash) {
			continue
		}
		ours, err := readAll(raw, Options{AnyRoots: true, Unverified: true})
		if err == nil {
			err = sameBlocks(ours, theirs)
		}
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(name), err)
		}
		read++
	}
	if read == 0 {
		t.Error("not one sample was read")
	}
}

func TestIndex(t *testing.T) {
	raw, written := sample(t, 0, 1, 1, 300, 70_000, 1)
	built, err := BuildIndex(bytes.NewReader(append(bytes.Clone(raw), 0, 0)), Options{Padded: true})
	if err != nil {
		t.Fatal(err)
	}
	bytesOf, err := written.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := UnmarshalIndex(bytesOf)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]*Index{"written": written, "built": built, "loaded": loaded} {
		if x.Len() != 6 || x.Size() != uint64(len(raw)) || x.Root() != cidOf(cid.DagProtobuf, []byte("root")) {
			t.Fatalf("%s: %d blocks, %d bytes", name, x.Len(), x.Size())
		}
		sizes := x.Sizes()
		blocks, err := readAll(raw, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range blocks {
			e, ok := x.At(i)
			if !ok || e.CID != b.CID || e.Offset != b.Offset || int(e.Length) != len(b.Data) || sizes[i] != e.Length {
				t.Fatalf("%s: block %d: %+v", name, i, e)
			}
			data, err := x.ReadBlock(bytes.NewReader(raw), i)
			if err != nil || !bytes.Equal(data, b.Data) {
				t.Fatalf("%s: block %d: %v", name, i, err)
			}
			if k, ok := x.Find(b.CID); !ok || k != i {
				t.Fatalf("%s: block %d found at %d", name, i, k)
			}
		}
		if _, ok := x.At(6); ok {
			t.Fatal("a seventh block")
		}
		if _, ok := x.Find(x.Root()); ok {
			t.Fatal("found what is not there")
		}
	}
}

func TestIndexReadsNoWrongBlock(t *testing.T) {
	raw, x := sample(t, 50, 60)
	raw[len(raw)-1] ^= 1
	if _, err := x.ReadBlock(bytes.NewReader(raw), 1); !errors.Is(err, ErrMismatch) {
		t.Errorf("changed: %v", err)
	}
	if _, err := x.ReadBlock(bytes.NewReader(raw[:len(raw)-1]), 1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %v", err)
	}
	if _, err := x.ReadBlock(bytes.NewReader(raw), 2); err == nil {
		t.Error("block 2 of two")
	}
}

func TestIndexOfRepeatedAndOtherCIDs(t *testing.T) {
	root := cidOf(cid.Raw, []byte("r"))
	identity, _ := mh.Sum([]byte("inline"), mh.IDENTITY, -1)
	v0 := cid.NewCidV0(cidOf(cid.DagProtobuf, []byte("node")).Hash())
	var out bytes.Buffer
	w, err := NewWriter(&out, root)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []Block{
		{CID: root, Data: []byte("r")},
		{CID: cid.NewCidV1(cid.DagCBOR, identity), Data: []byte("inline")},
		{CID: v0, Data: []byte("node")},
		{CID: root, Data: []byte("r")},
	} {
		if err := w.Put(b.CID, b.Data); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := w.Index().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	x, err := UnmarshalIndex(raw)
	if err != nil || x.Len() != 4 {
		t.Fatalf("%v", err)
	}
	if i, ok := x.Find(root); !ok || i != 0 {
		t.Fatalf("first copy found at %d", i)
	}
	for i := range 4 {
		if _, err := x.ReadBlock(bytes.NewReader(out.Bytes()), i); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIndexGolden pins the stored form.
func TestIndexGolden(t *testing.T) {
	_, x := sample(t, 1, 300)
	raw, err := x.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	const indexGolden = "2ed3ae7d80e9f029876eaf031e72e2dbba5741d5f35929221d5ccf1aadc79aad"
	if sum := fmt.Sprintf("%x", sha256.Sum256(raw)); sum != indexGolden {
		t.Fatalf("stored form changed: SHA-256 %s, %d bytes", sum, len(raw))
	}
}

func TestIndexRefused(t *testing.T) {
	_, x := sample(t, 1, 300)
	good, err := x.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if _, err := UnmarshalIndex(bad); !errors.Is(err, ErrMalformed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := UnmarshalIndex(good[:i]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	if _, err := NewWriter(io.Discard, cid.Undef); err == nil {
		t.Error("no root")
	}
	w, err := NewWriter(io.Discard, cidOf(cid.Raw, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(cid.Undef, nil); err == nil {
		t.Error("no CID")
	}
	big := make([]byte, MaxBlockSize+1)
	if err := w.Put(cidOf(cid.Raw, big), big); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large block: %v", err)
	}
	full := errors.New("disk full")
	w, err = NewWriter(&limited{room: 100, err: full}, cidOf(cid.Raw, nil))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Put(cidOf(cid.Raw, big[:50]), big[:50]); !errors.Is(err, full) {
			t.Errorf("full disk: %v", err)
		}
	}
}

type limited struct {
	room int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.room {
		return 0, l.err
	}
	l.room -= len(p)
	return len(p), nil
}

func BenchmarkRead(b *testing.B) {
	var out bytes.Buffer
	w, _ := NewWriter(&out, cidOf(cid.Raw, nil))
	data := make([]byte, 256<<10)
	rng := rand.NewChaCha8([32]byte{})
	for range 32 {
		rng.Read(data)
		w.Put(cidOf(cid.Raw, data), data)
	}
	b.SetBytes(int64(out.Len()))
	for b.Loop() {
		if _, err := BuildIndex(bytes.NewReader(out.Bytes()), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
