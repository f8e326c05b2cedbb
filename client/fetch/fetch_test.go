package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// payload is packed content and its blocks.
type payload struct {
	root   cid.Cid
	blocks map[string][]byte
	order  []cid.Cid
}

func (p *payload) get(_ context.Context, c cid.Cid) ([]byte, error) {
	b, ok := p.blocks[c.KeyString()]
	if !ok {
		return nil, fmt.Errorf("no block %s", c)
	}
	return b, nil
}

// packed packs what is at path, public.
func packed(t *testing.T, path string) *payload {
	t.Helper()
	got, err := pack.Pack(t.Context(), path, pack.Options{Public: true, MaxPieceSize: 64 << 20, WorkDir: t.TempDir()})
	must(t, err)
	p := &payload{root: got.Root, blocks: map[string][]byte{}}
	for _, piece := range got.Pieces {
		f, err := os.Open(piece.CARPath)
		must(t, err)
		defer f.Close()
		r, err := car.NewReader(f, car.Options{Root: got.Root})
		must(t, err)
		for {
			b, err := r.Next()
			if err == io.EOF {
				break
			}
			must(t, err)
			p.blocks[b.CID.KeyString()] = bytes.Clone(b.Data)
			p.order = append(p.order, b.CID)
		}
	}
	return p
}

// randomFile packs a file of random bytes, followed by a repetition of its first
// half, so that leaves stand in several places.
func randomFile(t *testing.T, half int) (*payload, []byte) {
	t.Helper()
	data := make([]byte, half)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data)
	data = append(data, data...)
	path := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(path, data, 0o600))
	return packed(t, path), data
}

// leaves are the places of a file's leaves.
type leaf struct {
	c  cid.Cid
	at uint64
}

// deliver puts the nodes of a file into a store and returns the leaves that are
// still to be written, in their order.
func (p *payload) deliver(t *testing.T, s *Store) []leaf {
	t.Helper()
	r := s.Region(p.root)
	span, err := dag.FileSpan(p.root)
	must(t, err)
	var out []leaf
	var walk func(dag.Span)
	walk = func(x dag.Span) {
		block := p.blocks[x.CID.KeyString()]
		if x.Leaf() {
			out = append(out, leaf{x.CID, x.Offset})
			return
		}
		must(t, s.Put(x.CID, block))
		_, children, size, err := x.Expand(block)
		must(t, err)
		if x.Size == dag.UnknownSize {
			must(t, r.Start(size))
		}
		for _, c := range children {
			walk(c)
		}
	}
	walk(span)
	return out
}

func (p *payload) write(t *testing.T, s *Store, l leaf) {
	t.Helper()
	_, err := s.Region(p.root).WriteAt(p.blocks[l.c.KeyString()], int64(l.at))
	must(t, err)
}

// TestFile lets a file come in a random order while it is read, and become the
// file that it is.
func TestFile(t *testing.T) {
	p, data := randomFile(t, 1_000_000)
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "f.part"), p.root, 0o640)
	must(t, err)
	read := make(chan []byte, 1)
	go func() {
		r, err := s.Region(p.root).NewReader(context.Background(), 0, ^uint64(0))
		var got []byte
		if err == nil {
			got, err = io.ReadAll(r)
		}
		if err != nil {
			t.Error(err)
		}
		read <- got
	}()
	todo := p.deliver(t, s)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
	for _, l := range todo {
		p.write(t, s, l)
	}
	if !bytes.Equal(<-read, data) {
		t.Error("other bytes were read")
	}
	for _, c := range p.order {
		if b, err := s.Get(t.Context(), c); err != nil || !bytes.Equal(b, p.blocks[c.KeyString()]) {
			t.Errorf("block %s: %v", c, err)
		}
	}
	must(t, s.Finish(filepath.Join(dir, "f")))
	got, err := os.ReadFile(filepath.Join(dir, "f"))
	must(t, err)
	info, err := os.Stat(filepath.Join(dir, "f"))
	must(t, err)
	left, err := os.ReadDir(dir)
	must(t, err)
	if !bytes.Equal(got, data) || info.Mode().Perm() != 0o640 || len(left) != 1 {
		t.Errorf("finished with mode %v, beside it %v", info.Mode(), left)
	}
}

// TestKilled stops at every stage a process that can end there: whatever of part
// and journal reached the disk, what a new Open believes is right, and what was
// written before is believed.
func TestKilled(t *testing.T) {
	p, data := randomFile(t, 1_000_000)
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	s, err := Open(whole, p.root, 0o600)
	must(t, err)
	todo := p.deliver(t, s)
	var ends []int64 // of the journal, after each leaf
	for _, l := range todo {
		p.write(t, s, l)
		ends = append(ends, s.end)
	}
	must(t, s.Close())
	journal, err := os.ReadFile(JournalPath(whole))
	must(t, err)
	part, err := os.ReadFile(whole)
	must(t, err)

	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		cut := rapid.IntRange(0, len(journal)).Draw(rt, "journal bytes")
		n++
		path := filepath.Join(dir, fmt.Sprint(n))
		torn := bytes.Clone(part)
		if rapid.Bool().Draw(rt, "damage") { // a disk that lost what was not synced
			at := rapid.IntRange(0, len(part)-1).Draw(rt, "at")
			torn[at] ^= 1
		}
		torn = torn[:rapid.IntRange(0, len(torn)).Draw(rt, "part bytes")]
		must(t, os.WriteFile(JournalPath(path), journal[:cut], 0o600))
		must(t, os.WriteFile(path, torn, 0o600))
		s, err := Open(path, p.root, 0o600)
		if err != nil {
			rt.Fatal(err)
		}
		for i, l := range todo {
			size := uint64(len(p.blocks[l.c.KeyString()]))
			right := uint64(len(torn)) >= l.at+size && bytes.Equal(torn[l.at:l.at+size], p.blocks[l.c.KeyString()])
			switch has := s.Region(p.root).Has(l.at, size); {
			case has && !right:
				rt.Fatalf("leaf %d is believed to be there", i)
			case !has && right && int64(cut) >= ends[i]:
				rt.Fatalf("leaf %d is lost", i)
			}
		}
		for _, l := range p.deliver(t, s) {
			if size := uint64(len(p.blocks[l.c.KeyString()])); !s.Region(p.root).Has(l.at, size) {
				p.write(t, s, l)
			}
		}
		dest := path + ".done"
		must(t, s.Finish(dest))
		if got, err := os.ReadFile(dest); err != nil || !bytes.Equal(got, data) {
			rt.Fatalf("other bytes in the end (%v)", err)
		}
		must(t, os.Remove(dest))
	})
}

// TestOpenRefuses keeps its hands off files of others.
func TestOpenRefuses(t *testing.T) {
	p, _ := randomFile(t, 1000)
	path := filepath.Join(t.TempDir(), "x.part")
	must(t, os.WriteFile(path, []byte("mine"), 0o600))
	if _, err := Open(path, p.root, 0o600); !errors.Is(err, ErrInTheWay) {
		t.Errorf("opened over another's file: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "mine" {
		t.Errorf("the file holds %q (%v)", got, err)
	}
	must(t, os.Remove(path))
	s, err := Open(path, p.root, 0o600)
	must(t, err)
	must(t, s.Put(p.order[0], p.blocks[p.order[0].KeyString()]))
	must(t, s.Close())
	other, _ := randomFile(t, 2000)
	s, err = Open(path, other.root, 0o600)
	must(t, err)
	if s.Has(p.order[0]) {
		t.Error("took over what was fetched of another payload")
	}
	r := s.Region(other.root)
	if _, err := r.WriteAt([]byte{1}, 0); err == nil {
		t.Error("wrote before the size was known")
	}
	must(t, r.Start(10))
	for _, off := range []int64{-1, 10, 1 << 62} {
		if _, err := r.WriteAt([]byte{1}, off); err == nil {
			t.Errorf("wrote at %d of 10 bytes", off)
		}
	}
	if err := r.Start(11); err == nil {
		t.Error("the size changed")
	}
	must(t, s.Remove())
}

// TestEnd tells those who wait why nothing more comes.
func TestEnd(t *testing.T) {
	p, _ := randomFile(t, 300_000)
	s, err := Open(filepath.Join(t.TempDir(), "x"), p.root, 0o600)
	must(t, err)
	defer s.Close()
	lost := errors.New("lost")
	waited := make(chan error, 2)
	go func() {
		_, err := s.Await(context.Background(), p.root)
		waited <- err
	}()
	go func() {
		_, err := s.Region(p.root).NewReader(context.Background(), 0, 1)
		waited <- err
	}()
	s.End(lost)
	for range 2 {
		if err := <-waited; !errors.Is(err, lost) {
			t.Errorf("waited for: %v", err)
		}
	}
	s.End(nil)
	if _, err := s.Await(t.Context(), p.root); !errors.Is(err, ErrAbsent) {
		t.Errorf("after the end: %v", err)
	}
}

// TestSpans compares runs of bytes with a bit for each.
func TestSpans(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s spans
		var bits [64]bool
		for range rapid.IntRange(0, 20).Draw(rt, "runs") {
			from := rapid.Int64Range(0, 63).Draw(rt, "from")
			to := rapid.Int64Range(0, 64).Draw(rt, "to")
			s.add(from, to)
			for i := from; i < to; i++ {
				bits[i] = true
			}
		}
		for i := 1; i < len(s); i++ {
			if s[i].from <= s[i-1].to {
				rt.Fatalf("runs touch: %v", s)
			}
		}
		for at := range int64(64) {
			run := int64(0)
			for at+run < 64 && bits[at+run] {
				run++
			}
			if s.from(at) != run {
				rt.Fatalf("%v: %d bytes from %d on, want %d", s, s.from(at), at, run)
			}
			any := false
			for i := at; i < min(at+5, 64); i++ {
				any = any || bits[i]
			}
			if s.touches(at, 5) != any {
				rt.Fatalf("%v touches 5 bytes from %d on: %v", s, at, !any)
			}
		}
	})
}

// directory makes one with files below it, one large and one in a sharded directory.
func directory(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d")
	must(t, os.MkdirAll(filepath.Join(dir, "sub", "deep"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "sub", "deep", "small"), []byte("small\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "sub", "large"), bytes.Repeat([]byte("large\n"), 100_000), 0o644))
	must(t, os.Mkdir(filepath.Join(dir, "many"), 0o755))
	for i := range 4_500 { // names and CIDs beyond 262,144 bytes
		must(t, os.WriteFile(filepath.Join(dir, "many", fmt.Sprintf("file-with-a-long-name-%05d", i)), []byte{byte(i), byte(i >> 8)}, 0o644))
	}
	return dir
}

// TestTreeAndResolve fetches a directory window by window, and paths in it by the
// blocks on their way alone.
func TestTreeAndResolve(t *testing.T) {
	p := packed(t, directory(t))
	s, err := Open(filepath.Join(t.TempDir(), "x"), p.root, 0o600)
	must(t, err)
	defer s.Close()
	tree, err := s.NewTree(t.Context(), p.root)
	must(t, err)
	var files []cid.Cid
	for len(tree.Need()) > 0 {
		if len(tree.Need()) > window {
			t.Fatalf("%d blocks at one time", len(tree.Need()))
		}
		for _, c := range tree.Need() {
			must(t, s.Put(c, p.blocks[c.KeyString()]))
		}
		must(t, tree.Advance())
		files = append(files, tree.Files()...)
	}
	if len(files) != 1 || len(s.blocks)+3 != len(p.order) { // all but the leaves of the large file
		t.Errorf("%d large files, %d of %d blocks", len(files), len(s.blocks), len(p.order))
	}

	for path, want := range map[string]string{"sub/deep/small": "small\n", "many/file-with-a-long-name-04321": string([]byte{4321 & 255, 4321 >> 8})} {
		asked := 0
		_, names, err := SplitPath(p.root.String() + "/" + path)
		must(t, err)
		c, err := Resolve(t.Context(), func(ctx context.Context, c cid.Cid) ([]byte, error) { asked++; return p.get(ctx, c) }, p.root, names)
		if err != nil || string(p.blocks[c.KeyString()]) != want || asked > 4 {
			t.Errorf("%s is %s (%v), %d blocks were asked for", path, c, err, asked)
		}
	}
	for _, names := range [][]string{{"no"}, {"sub", "no"}, {"many", "no"}, {"sub", "large", "x"}} {
		if _, err := Resolve(t.Context(), p.get, p.root, names); err == nil {
			t.Errorf("%v was found", names)
		}
	}
}

func TestSplitPath(t *testing.T) {
	for text, want := range map[string][]string{"a": nil, "a/": nil, "/ipfs/a/b": {"b"}, "a/b/c/": {"b", "c"}} {
		if root, names, err := SplitPath(text); err != nil || root != "a" || fmt.Sprint(names) != fmt.Sprint(want) {
			t.Errorf("%q: %s %v %v", text, root, names, err)
		}
	}
	for _, text := range []string{"a//b", "a/../b", "a/./b"} {
		if _, _, err := SplitPath(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
