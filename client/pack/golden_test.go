package pack

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// goldenCase is one input of which the root CID is known.
type goldenCase struct {
	name  string
	plant func(t testing.TB) string
	quick func(to *directorySink) (ref, error) // the same without the disk and without pieces
}

func goldenCases() []goldenCase {
	file := func(size uint64) func(testing.TB) string {
		return func(t testing.TB) string { return plantFile(t, size) }
	}
	cases := []goldenCase{
		{"tree", plantTree, nil},
		{"empty-directory", func(t testing.TB) string { return t.TempDir() }, nil},
	}
	for _, n := range []int{1024, 1025, 5000} {
		plant := func(t testing.TB) string { return plantLarge(t, n) }
		cases = append(cases, goldenCase{fmt.Sprintf("large-%d", n), plant, func(to *directorySink) (ref, error) {
			err := largeTree(n)(to.ctx, to)
			return to.root, err
		}})
	}
	for _, size := range []uint64{
		0, 1, 262143, 262144, 262145, mib + 1, 174 * 262144, 174*262144 + 1, 20 * mib, 100 * mib,
	} {
		c := goldenCase{fmt.Sprintf("file-%d", size), file(size), nil}
		if size > 4*mib {
			c.quick = func(to *directorySink) (ref, error) {
				b := newFileBuilder(to.blocks)
				_, err := io.Copy(b, content(size, size))
				err = errors.Join(err, b.Close())
				return b.root, err
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// hugeCase is the golden input of 100 MiB.
const hugeCase = "file-104857600"

// plantFile makes a file of content(size, size).
func plantFile(t testing.TB, size uint64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, content(size, size)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestGoldenRoots compares the roots with those that kubo gave; see
// testdata/README.md.
func TestGoldenRoots(t *testing.T) {
	want := goldenRoots(t)
	cases := goldenCases()
	if len(want) != len(cases) {
		t.Fatalf("%d golden roots, %d cases", len(want), len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.name == hugeCase {
				return // TestMemory compares this one
			}
			if c.quick != nil {
				if got := quickRoot(t, c); got != want[c.name] {
					t.Fatalf("root %s, kubo says %s", got, want[c.name])
				}
				return
			}
			if got := planRoot(t, c.plant(t)); got != want[c.name] {
				t.Fatalf("root %s, kubo says %s", got, want[c.name])
			}
		})
	}
}

func quickRoot(t *testing.T, c goldenCase) string {
	t.Helper()
	root, err := c.quick(&directorySink{ctx: t.Context(), blocks: newRecall(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	return root.cid.String()
}

func planRoot(t *testing.T, path string) string {
	t.Helper()
	opts := options(t, true)
	opts.Plan = true
	p, err := Pack(t.Context(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p.Root.String()
}

func goldenRoots(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "kubo-roots.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	roots := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, root, ok := strings.Cut(lines.Text(), " "); ok {
			roots[name] = root
		}
	}
	return roots
}

// TestKubo runs the ipfs program that PERDURE_KUBO names over the same inputs.
// With PERDURE_REWRITE=1 it writes what it says down as golden.
func TestKubo(t *testing.T) {
	ipfs := os.Getenv("PERDURE_KUBO")
	if ipfs == "" {
		t.Skip("PERDURE_KUBO names no ipfs program")
	}
	k := kubo{ipfs, t.TempDir()}
	k.run(t, "init", "--profile=test")
	var golden strings.Builder
	for _, c := range goldenCases() {
		path := c.plant(t)
		want := k.run(t, "add", "--offline", "--only-hash", "-r", "-Q", "--hidden", "--cid-version=1", "--raw-leaves", path)
		fmt.Fprintf(&golden, "%s %s\n", c.name, want)
		if got := planRoot(t, path); got != want {
			t.Errorf("%s: root %s, kubo says %s", c.name, got, want)
		}
	}
	if os.Getenv("PERDURE_REWRITE") == "1" {
		if err := os.WriteFile(filepath.Join("testdata", "kubo-roots.txt"), []byte(golden.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKuboImportsCARs gives our CARs to the ipfs program and reads the content
// back from it.
func TestKuboImportsCARs(t *testing.T) {
	ipfs := os.Getenv("PERDURE_KUBO")
	if ipfs == "" {
		t.Skip("PERDURE_KUBO names no ipfs program")
	}
	k := kubo{ipfs, t.TempDir()}
	k.run(t, "init", "--profile=test")
	p, err := PackReader(t.Context(), content(1, 20*mib), options(t, true))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"dag", "import", "--offline", "--pin-roots=false"}
	for _, part := range p.Pieces {
		args = append(args, part.CARPath)
	}
	k.run(t, args...)
	out := filepath.Join(t.TempDir(), "out")
	k.run(t, "get", "--offline", "-o", out, p.Root.String())
	got, err := os.ReadFile(out)
	if err != nil || sha256.Sum256(got) != p.SHA256 {
		t.Fatalf("kubo reads other content (%v)", err)
	}
}

type kubo struct{ program, repo string }

func (k kubo) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), k.program, args...)
	cmd.Env = append(os.Environ(), "IPFS_PATH="+k.repo)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ipfs %s: %v", args[0], err)
	}
	return strings.TrimSpace(string(out))
}
