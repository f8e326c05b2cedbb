package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/perdure/perdure/retrieval/dag"
)

var fixedTime = time.Unix(1_000_000_000, 0)

func mkfifo(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreIsAllOrNothing breaks one block after the other and looks at the
// destination.
func TestRestoreIsAllOrNothing(t *testing.T) {
	for _, public := range []bool{true, false} {
		p, err := PackReader(t.Context(), content(5, 2*mib+7), options(t, public))
		if err != nil {
			t.Fatal(err)
		}
		get := store(t, p)
		opts := RestoreOptions{Root: p.Root, Key: p.Key}
		for i := range p.Pieces[0].Index.Len() {
			entry, _ := p.Pieces[0].Index.At(i)
			for name, broken := range map[string]dag.Get{
				"missing": func(ctx context.Context, c cid.Cid) ([]byte, error) {
					if c == entry.CID {
						return nil, errors.New("gone")
					}
					return get(ctx, c)
				},
				"flipped": func(ctx context.Context, c cid.Cid) ([]byte, error) {
					data, err := get(ctx, c)
					if c == entry.CID {
						data = bytes.Clone(data)
						data[len(data)/2] ^= 1
					}
					return data, err
				},
			} {
				dir := t.TempDir()
				dest := filepath.Join(dir, "out")
				if err := os.WriteFile(dest, []byte("before"), 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := Restore(t.Context(), broken, dest, opts); err == nil {
					t.Fatalf("block %d %s: restored", i, name)
				}
				if left, _ := os.ReadFile(dest); string(left) != "before" {
					t.Fatalf("block %d %s: destination changed", i, name)
				}
				if names, _ := os.ReadDir(dir); len(names) != 1 {
					t.Fatalf("block %d %s: left %v", i, name, names)
				}
			}
		}
		wrong := [32]byte{1}
		opts.SHA256 = &wrong
		dest := filepath.Join(t.TempDir(), "out")
		if _, err := Restore(t.Context(), get, dest, opts); !errors.Is(err, ErrDigest) {
			t.Fatalf("wrong digest: %v", err)
		}
		mustBeEmpty(t, filepath.Dir(dest))
	}
}

// packTar encrypts a hand-made tar as Pack does with a directory.
func packTar(t *testing.T, raw []byte) (*Packed, dag.Get) {
	t.Helper()
	p, err := PackReader(t.Context(), bytes.NewReader(raw), options(t, false))
	if err != nil {
		t.Fatal(err)
	}
	return p, store(t, p)
}

func handTar(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sparseTar holds a file of 1 TiB in a few hundred bytes.
func sparseTar(t *testing.T) []byte {
	t.Helper()
	raw := handTar(t, tar.Header{Name: "a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{
		"TNU.sparse.map": "0,0", "TNU.sparse.numblocks": "1", "TNU.sparse.size": "1099511627776",
	}})
	raw = bytes.ReplaceAll(raw, []byte("TNU.sparse"), []byte("GNU.sparse"))
	if h, err := tar.NewReader(bytes.NewReader(raw)).Next(); err != nil || h.Size != 1<<40 {
		t.Fatalf("no sparse file: %+v (%v)", h, err)
	}
	return raw
}

func TestHostileTars(t *testing.T) {
	outside := t.TempDir()
	whole := handTar(t, tar.Header{Name: "a", Typeflag: tar.TypeReg})
	cases := map[string][]byte{
		"absolute":      handTar(t, tar.Header{Name: "/etc/x", Typeflag: tar.TypeReg}),
		"up":            handTar(t, tar.Header{Name: "../x", Typeflag: tar.TypeReg}),
		"up inside":     handTar(t, tar.Header{Name: "a/", Typeflag: tar.TypeDir}, tar.Header{Name: "a/../../x", Typeflag: tar.TypeReg}),
		"dot":           handTar(t, tar.Header{Name: "./x", Typeflag: tar.TypeReg}),
		"no directory":  handTar(t, tar.Header{Name: "a/x", Typeflag: tar.TypeReg}),
		"through link":  handTar(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: outside}, tar.Header{Name: "a/x", Typeflag: tar.TypeReg}),
		"link replaced": handTar(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: outside + "/x"}, tar.Header{Name: "a", Typeflag: tar.TypeReg}),
		"link as dir":   handTar(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: outside}, tar.Header{Name: "a/", Typeflag: tar.TypeDir}),
		"twice":         handTar(t, tar.Header{Name: "a", Typeflag: tar.TypeReg}, tar.Header{Name: "a", Typeflag: tar.TypeReg}),
		"hard link":     handTar(t, tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}),
		"device":        handTar(t, tar.Header{Name: "a", Typeflag: tar.TypeChar}),
		"left dir":      handTar(t, tar.Header{Name: "a/", Typeflag: tar.TypeDir}, tar.Header{Name: "b/", Typeflag: tar.TypeDir}, tar.Header{Name: "a/x", Typeflag: tar.TypeReg}),
		"cut":           whole[:700],
		"tail":          append(bytes.Clone(whole), "tail"...),
		"no tar":        []byte("this is no tar"),
		"sparse":        sparseTar(t),
	}
	for name, raw := range cases {
		p, get := packTar(t, raw)
		dest := filepath.Join(t.TempDir(), "out")
		_, err := Restore(t.Context(), get, dest, RestoreOptions{Root: p.Root, Key: p.Key, Kind: KindDirectory})
		if err == nil {
			t.Errorf("%s: restored", name)
		}
		mustBeEmpty(t, filepath.Dir(dest))
		mustBeEmpty(t, outside)
	}
}

// directoryNode makes a UnixFS directory with links of any names.
func directoryNode(t *testing.T, links map[string]cid.Cid) *merkledag.ProtoNode {
	t.Helper()
	node := unixfs.EmptyDirNode()
	if err := node.SetCidBuilder(cidPrefix); err != nil {
		t.Fatal(err)
	}
	for name, c := range links {
		if err := node.AddRawLink(name, &ipld.Link{Cid: c}); err != nil {
			t.Fatal(err)
		}
	}
	return node
}

func TestHostileDirectories(t *testing.T) {
	leaf := merkledag.NewRawNodeWPrefix
	data, err := leaf([]byte("x"), cid.Prefix{Version: 1, Codec: cid.Raw, MhType: cidPrefix.MhType, MhLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"..", ".", "", "a/b", "/etc", "nul\x00", "../x"} {
		node := directoryNode(t, map[string]cid.Cid{name: data.Cid()})
		get := func(_ context.Context, c cid.Cid) ([]byte, error) {
			if c == data.Cid() {
				return data.RawData(), nil
			}
			return node.RawData(), nil
		}
		dest := filepath.Join(t.TempDir(), "out")
		if _, err := Restore(t.Context(), get, dest, RestoreOptions{Root: node.Cid()}); !errors.Is(err, dag.ErrMalformed) {
			t.Errorf("name %q: %v", name, err)
		}
		mustBeEmpty(t, filepath.Dir(dest))
	}
}

func TestRestoreRefusesOtherKinds(t *testing.T) {
	file, err := PackReader(t.Context(), content(1, 10), options(t, true))
	if err != nil {
		t.Fatal(err)
	}
	get := store(t, file)
	for _, kind := range []Kind{KindDirectory, "socket"} {
		if _, err := RestoreTo(t.Context(), get, io.Discard, RestoreOptions{Root: file.Root, Kind: kind}); err == nil {
			t.Errorf("file restored as a %s", kind)
		}
	}
	if _, err := Restore(t.Context(), get, t.TempDir(), RestoreOptions{Root: file.Root}); err == nil {
		t.Error("file restored onto a directory")
	}
}

// TestModeAndUmask restores the permission bits of a file.
func TestModeAndUmask(t *testing.T) {
	p, err := PackReader(t.Context(), content(1, 10), options(t, true))
	if err != nil {
		t.Fatal(err)
	}
	dest := filepath.Join(t.TempDir(), "out")
	if _, err := Restore(t.Context(), store(t, p), dest, RestoreOptions{Root: p.Root, Mode: 0o700}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dest); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v (%v)", info.Mode(), err)
	}
}

// TestOpenRanges reads random ranges of private content from no more than the
// blocks that CipherSpans name.
func TestOpenRanges(t *testing.T) {
	for _, size := range []uint64{0, 1, cryptSegment, cryptSegment + 1, 5*cryptSegment - 1, 3 * mib} {
		want := bytesOf(t, size, size)
		p, err := PackReader(t.Context(), bytes.NewReader(want), options(t, false))
		if err != nil {
			t.Fatal(err)
		}
		all := store(t, p)
		if file, err := dag.OpenFile(t.Context(), all, p.Root); err != nil || file.Size() != CipherSize(size) {
			t.Fatalf("ciphertext of %d bytes, computed %d (%v)", file.Size(), CipherSize(size), err)
		}
		rng := rand.New(rand.NewPCG(1, size))
		for range 20 {
			off, n := rng.Uint64N(size+1), rng.Uint64N(200_000)
			some := fetch(t, all, p.Root, CipherSpans(off, n, size))
			c, err := Open(t.Context(), some, p.Root, p.Key)
			if err != nil || c.Size != size {
				t.Fatalf("open: size %d (%v)", c.Size, err)
			}
			n = min(n, size-off)
			got := make([]byte, n)
			if k, err := c.ReadAt(got, int64(off)); uint64(k) != n || err != nil && err != io.EOF {
				t.Fatalf("read %d at %d of %d: %d, %v", n, off, size, k, err)
			}
			if !bytes.Equal(got, want[off:off+n]) {
				t.Fatalf("read %d at %d of %d: content differs", n, off, size)
			}
		}
	}
}

// fetch gets the blocks of the spans, and gives out no other.
func fetch(t *testing.T, all dag.Get, root cid.Cid, spans []Span) dag.Get {
	t.Helper()
	have := map[cid.Cid][]byte{}
	for _, s := range spans {
		whole, err := dag.FileSpan(root)
		if err != nil {
			t.Fatal(err)
		}
		for todo := []dag.Span{whole}; len(todo) > 0; todo = todo[1:] {
			at := todo[0]
			if have[at.CID], err = all(t.Context(), at.CID); err != nil {
				t.Fatal(err)
			}
			_, children, _, err := at.Expand(have[at.CID])
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range children {
				if c.Offset < s.Offset+s.Length && s.Offset < c.Offset+c.Size {
					todo = append(todo, c)
				}
			}
		}
	}
	return func(_ context.Context, c cid.Cid) ([]byte, error) {
		if data, ok := have[c]; ok {
			return data, nil
		}
		return nil, errors.New("not fetched")
	}
}

func FuzzTarTree(f *testing.F) {
	var seed bytes.Buffer
	s := newTarSink(&seed, true)
	for _, err := range []error{s.enter(""), s.enter("d"), s.symlink("d/l", "../x"), s.leave("d"), s.leave("")} {
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Add(seed.Bytes())
	f.Add([]byte(strings.Repeat("\x00", 1024)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := recorder{t: t}
		err := tarTree(bytes.NewReader(raw))(t.Context(), &r)
		if err == nil && (len(r.open) != 0 || !r.ended) {
			t.Fatalf("ended with %q open", r.open)
		}
	})
}

// recorder is a sink that demands what a sink may rely on.
type recorder struct {
	t     *testing.T
	open  []string
	ended bool
}

func (r *recorder) name(name string) {
	dir, base := path.Split(name)
	if len(r.open) == 0 || strings.TrimSuffix(dir, "/") != r.open[len(r.open)-1] {
		r.t.Fatalf("%q while %q are open", name, r.open)
	}
	if base == "" || base == "." || base == ".." || strings.ContainsRune(base, 0) {
		r.t.Fatalf("name %q", name)
	}
}

func (r *recorder) enter(name string) error {
	if name != "" {
		r.name(name)
	} else if len(r.open) > 0 {
		r.t.Fatal("the root entered twice")
	}
	r.open = append(r.open, name)
	return nil
}

func (r *recorder) leave(name string) error {
	if len(r.open) == 0 || r.open[len(r.open)-1] != name {
		r.t.Fatalf("left %q while %q are open", name, r.open)
	}
	r.open = r.open[:len(r.open)-1]
	r.ended = len(r.open) == 0
	return nil
}

func (r *recorder) symlink(name, _ string) error {
	r.name(name)
	return nil
}

func (r *recorder) file(name string, size int64, _ bool) (io.WriteCloser, error) {
	r.name(name)
	if size < 0 {
		r.t.Fatalf("%q has %d bytes", name, size)
	}
	return recorded{}, nil
}

type recorded struct{}

func (recorded) Write(p []byte) (int, error) { return len(p), nil }
func (recorded) Close() error                { return nil }
