package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	unixfsio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/perdure/perdure/retrieval/dag"
)

// plantTree makes the directory tree of the tests. Its recipe stands in
// testdata/README.md: the golden CIDs hang on it.
func plantTree(t testing.TB) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	put := func(name string, mode fs.FileMode, data []byte) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, mode); err != nil {
			t.Fatal(err)
		}
	}
	link := func(name, target string) {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	put("empty", 0o644, nil)
	put("one", 0o644, bytesOf(t, 1, 1))
	put("run.sh", 0o755, bytesOf(t, 2, 100))
	put("sub/deeper/big", 0o600, bytesOf(t, 3, 3*262144+5))
	put("sub/copy of big", 0o644, bytesOf(t, 3, 3*262144+5))
	put(".hidden/.file", 0o644, bytesOf(t, 4, 10))
	put("name with spaces", 0o644, bytesOf(t, 5, 11))
	put("línea-\u65e5\u672c\u8a9e-\U0001f980", 0o644, bytesOf(t, 6, 12))
	put("new\nline\ttab", 0o644, bytesOf(t, 7, 13))
	put("quote\"back\\slash%20'", 0o644, bytesOf(t, 8, 14))
	put("no UTF-8 \xff\xfe", 0o644, bytesOf(t, 13, 19))
	put("-dash", 0o644, bytesOf(t, 9, 15))
	put(strings.Repeat("long", 60), 0o644, bytesOf(t, 10, 16))
	put("a", 0o644, bytesOf(t, 11, 17))
	put("a.txt", 0o644, bytesOf(t, 12, 18))
	if err := os.MkdirAll(filepath.Join(root, "hollow"), 0o755); err != nil {
		t.Fatal(err)
	}
	link("to-one", "one")
	link("sub/up", "../a.txt")
	link("nowhere", "/does/not/exist")
	link("to-dir", "sub")
	return root
}

// plantLarge makes a directory of n files whose names have 220 bytes: each adds
// 256 to the estimate that decides about sharding, so 1024 of them are just not
// sharded.
func plantLarge(t testing.TB, n int) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "large")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		name, data := largeEntry(i)
		if err := os.WriteFile(filepath.Join(root, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func largeEntry(i int) (name string, data []byte) {
	return fmt.Sprintf("%0216d.bin", i), fmt.Appendf(nil, "%d\n", i%1000)
}

// largeTree is the directory of plantLarge without the disk.
func largeTree(n int) source {
	return func(_ context.Context, to sink) error {
		if err := to.enter(""); err != nil {
			return err
		}
		for i := range n {
			name, data := largeEntry(i)
			if err := copyFile(to, name, int64(len(data)), false, bytes.NewReader(data)); err != nil {
				return err
			}
		}
		return to.leave("")
	}
}

// TestRecallServesNodes lets boxo read a sharded directory out of what is kept of it.
func TestRecallServesNodes(t *testing.T) {
	path := plantLarge(t, 1025)
	blocks := newRecall(path)
	to := &directorySink{ctx: t.Context(), blocks: blocks}
	if err := localTree(path, nil)(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	root, err := blocks.Get(t.Context(), to.root.cid)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := unixfsio.NewDirectoryFromNode(blocks, root)
	if err != nil {
		t.Fatal(err)
	}
	links, err := dir.Links(t.Context())
	if err != nil || len(links) != 1025 {
		t.Fatalf("%d links (%v)", len(links), err)
	}
	name, want := largeEntry(77)
	node, err := dir.Find(t.Context(), name)
	if err != nil || !bytes.Equal(node.RawData(), want) {
		t.Fatalf("entry 77: %v", err)
	}
	if _, err := blocks.Get(t.Context(), cid.MustParse(hollowRoot)); !ipld.IsNotFound(err) {
		t.Fatalf("a block that is not there: %v", err)
	}
	if err := blocks.close(); err != nil {
		t.Fatal(err)
	}
}

// hollowRoot is the CID of the empty directory.
const hollowRoot = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"

func TestDirectoryRoundTrip(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "void")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"tree": plantTree(t), "large": plantLarge(t, 1025), "empty": empty} {
		for _, public := range []bool{true, false} {
			if name == "large" && !public {
				continue // its tar is no larger than others
			}
			t.Run(fmt.Sprintf("%s/public=%v", name, public), func(t *testing.T) {
				p, err := Pack(t.Context(), path, options(t, public))
				if err != nil {
					t.Fatal(err)
				}
				if p.Kind != KindDirectory || p.Name != filepath.Base(path) || public != (p.Key == "") {
					t.Fatalf("packed %+v", p)
				}
				sum, size, err := TarDigest(t.Context(), path)
				if err != nil || sum != p.SHA256 || size != p.Size {
					t.Fatalf("tar digest %x of %d bytes, packed %x of %d (%v)", sum, size, p.SHA256, p.Size, err)
				}
				get := store(t, p)
				dest := filepath.Join(t.TempDir(), "back")
				opts := RestoreOptions{Root: p.Root, Key: p.Key, Kind: p.Kind, SHA256: &p.SHA256}
				checkTarOut(t, get, opts, p)
				if name == "large" {
					return // a thousand synced files take long and show no more
				}
				got, err := Restore(t.Context(), get, dest, opts)
				if err != nil {
					t.Fatal(err)
				}
				if got.Kind != KindDirectory || got.SHA256 != p.SHA256 || got.Size != p.Size {
					t.Fatalf("restored %+v", got)
				}
				sameTree(t, path, dest, !public)
				if again, _, err := TarDigest(t.Context(), dest); err != nil || again != p.SHA256 {
					t.Fatalf("tar digest of what came back: %x (%v)", again, err)
				}
				if _, err := Restore(t.Context(), get, dest, opts); name != "empty" && err == nil {
					t.Fatal("restored over a directory with content")
				}
			})
		}
	}
}

// checkTarOut restores to a stream, which must be the tar of the digest.
func checkTarOut(t *testing.T, get dag.Get, opts RestoreOptions, p *Packed) {
	t.Helper()
	var out bytes.Buffer
	if _, err := RestoreTo(t.Context(), get, &out, opts); err != nil {
		t.Fatal(err)
	}
	if uint64(out.Len()) != p.Size || sha256.Sum256(out.Bytes()) != p.SHA256 {
		t.Fatal("the tar on the stream is not that of the digest")
	}
}

// sameTree compares two directories: names, kinds, contents, targets, and the
// execute bit if it must be there.
func sameTree(t *testing.T, want, got string, exec bool) {
	t.Helper()
	a, b := describe(t, want, exec), describe(t, got, exec)
	if len(a) != len(b) {
		t.Fatalf("%d entries, restored %d", len(a), len(b))
	}
	for name, what := range a {
		if b[name] != what {
			t.Fatalf("%q: %s, restored %s", name, what, b[name])
		}
	}
}

func describe(t *testing.T, root string, exec bool) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			out[rel] = "directory"
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			out[rel] = "link to " + target
			return err
		default:
			data, err := os.ReadFile(path)
			out[rel] = fmt.Sprintf("file %x %v", sha256.Sum256(data), exec && info.Mode()&0o100 != 0)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTarForm pins the deterministic tar, entry by entry.
func TestTarForm(t *testing.T) {
	root := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "a", "b"), 0o700),
		os.WriteFile(filepath.Join(root, "a", "x"), []byte("xx"), 0o755),
		os.WriteFile(filepath.Join(root, "a.txt"), []byte("text"), 0o600),
		os.Symlink("a/x", filepath.Join(root, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := localTree(root, nil)(t.Context(), newTarSink(&out, false)); err != nil {
		t.Fatal(err)
	}
	want := []string{"a/ 755 5", "a/b/ 755 5", "a/x 644 0", "a.txt 644 0", "link 644 2"}
	r := tar.NewReader(bytes.NewReader(out.Bytes()))
	for _, line := range want {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s %o %c", h.Name, h.Mode, h.Typeflag); got != line {
			t.Errorf("entry %q, want %q", got, line)
		}
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Format != tar.FormatUSTAR {
			t.Errorf("entry %q: %+v", h.Name, h)
		}
	}
	if out.Len() != 512*(5+2+2) {
		t.Errorf("%d bytes", out.Len())
	}
	sum, size, err := TarDigest(t.Context(), root)
	if err != nil || size != uint64(out.Len()) || sum != sha256.Sum256(out.Bytes()) {
		t.Errorf("digest %x of %d bytes (%v)", sum, size, err)
	}
}

func TestTopLinkIsFollowed(t *testing.T) {
	root := plantTree(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	direct, err := Pack(t.Context(), root, options(t, true))
	if err != nil {
		t.Fatal(err)
	}
	linked, err := Pack(t.Context(), link, options(t, true))
	if err != nil || linked.Root != direct.Root || linked.Name != "link" {
		t.Fatalf("through the link %+v (%v)", linked, err)
	}
}

// hook calls back before the tree goes on, to change what is being read.
type hook struct {
	tee
	before func(path string)
}

func (h hook) symlink(path, target string) error {
	h.before(path)
	return h.tee.symlink(path, target)
}

func TestChangeWhileRead(t *testing.T) {
	grow := func(path string) error {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.Write([]byte("more"))
		return err
	}
	changes := map[string]func(path string) error{
		"grown":     grow,
		"truncated": func(path string) error { return os.Truncate(path, 1000) },
		"removed":   os.Remove,
		"replaced": func(path string) error {
			if err := os.Rename(path, path+".old"); err != nil {
				return err
			}
			return os.WriteFile(path, make([]byte, 3*mib), 0o600)
		},
		"touched": func(path string) error { return os.Chtimes(path, fixedTime, fixedTime) },
	}
	for name, change := range changes {
		for _, inDirectory := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/directory=%v", name, inDirectory), func(t *testing.T) {
				dir := t.TempDir()
				file := filepath.Join(dir, "file")
				if err := os.WriteFile(file, bytesOf(t, 1, 3*mib), 0o600); err != nil {
					t.Fatal(err)
				}
				path := file
				if inDirectory {
					path = dir
				}
				opts := options(t, true)
				done := false
				opts.Progress = func(stage Stage, n, _ uint64) {
					if stage == StageRead && n >= mib && !done {
						done = true
						if err := change(file); err != nil {
							t.Error(err)
						}
					}
				}
				_, err := Pack(t.Context(), path, opts)
				if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "file") {
					t.Fatalf("got %v", err)
				}
				mustBeEmpty(t, opts.WorkDir)
			})
		}
	}
}

// TestChangeBetweenReads alters a file of a public directory after its blocks were
// named and before they are written.
func TestChangeBetweenReads(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"rewritten": func(path string) error { return os.WriteFile(path, make([]byte, mib), 0o600) },
		"cut":       func(path string) error { return os.Truncate(path, 1000) },
		"removed":   os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "file")
			if err := os.WriteFile(file, bytesOf(t, 1, mib), 0o600); err != nil {
				t.Fatal(err)
			}
			opts := options(t, true)
			done := false
			opts.Progress = func(stage Stage, _, _ uint64) {
				if stage == StageCut && !done {
					done = true
					if err := change(file); err != nil {
						t.Error(err)
					}
				}
			}
			if _, err := Pack(t.Context(), dir, opts); !errors.Is(err, ErrChanged) || !done {
				t.Fatalf("got %v", err)
			}
			mustBeEmpty(t, opts.WorkDir)
		})
	}
}

func TestNewEntryWhileRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("x", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(dir, fixedTime, fixedTime); err != nil {
		t.Fatal(err)
	}
	to := hook{before: func(string) {
		if err := os.WriteFile(filepath.Join(dir, "late"), nil, 0o600); err != nil {
			t.Error(err)
		}
	}}
	if err := localTree(dir, nil)(t.Context(), to); !errors.Is(err, ErrChanged) {
		t.Fatalf("got %v", err)
	}
}

func TestSpecialFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	mkfifo(t, filepath.Join(dir, "pipe"))
	opts := options(t, true)
	if _, err := Pack(t.Context(), dir, opts); err == nil || !strings.Contains(err.Error(), "pipe") {
		t.Fatalf("got %v", err)
	}
	mustBeEmpty(t, opts.WorkDir)
}
