package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/perdure/perdure/retrieval/car"
)

// The fixtures of the public suite of gateway tests (github.com/ipfs/gateway-conformance),
// by what the suite calls them.
const (
	fixDirListing   = "bafybeig6ka5mlwkl4subqhaiatalkcleo4jgnr3hqwvpmsqfca27cijp3i"
	fixRawBlock     = "bafybeie72edlprgtlwwctzljf6gkn2wnlrddqjbkxo3jomh4n7omwblxly"
	fixJSONCBOR     = "bafybeiafyvqlazbbbtjnn6how5d6h6l6rxbqc4qgpbmteaiskjrffmyy4a"
	fixPlainJSON    = "bagaaierajjsnhsxqlgfrvknlt7z2heoljcgfv37cn45tu7mhmr23x3ekiboq"
	fixPlainCBOR    = "bafireif3aymeikgfbofx533yf5vlx4kimzq6zmzmpra2mnzfsfnmv4hchm"
	fixDagJSON      = "baguqeeram5ujjqrwheyaty3w5gdsmoz6vittchvhk723jjqxk7hakxkd47xq"
	fixDagCBOR      = "bafyreibs4utpgbn7uqegmd2goqz4bkyflre2ek2iwv743fhvylwi4zeeim"
	fixPercent      = "bafybeig675grnxcmshiuzdaz2xalm6ef4thxxds6o6ypakpghm5kghpc34"
	fixTarInside    = "bafybeibfevfxlvxp5vxobr5oapczpf7resxnleb7tkqmdorc4gl5cdva3y"
	fixTarOutside   = "bafybeicaj7kvxpcv4neaqzwhrqqmdstu4dhrwfpknrgebq6nzcecfucvyu"
	fixDocument     = "bafybeia264q44a3kmfc2otctzu4egp2k235o3t7mslz2yjraymp4nv6asi"
	fixTwoFiles     = "bafybeietjm63oynimmv5yyqay33nui4y4wx6u3peezwetxgiwvfmelutzu"
	fixMixedFiles   = "bafybeidh6k2vzukelqtrjsmd4p52cpmltd2ufqrdtdg6yigi73in672fwu"
	fixDuplicates   = "bafybeihchr7vmgjaasntayyatmp5sv6xza57iy2h4xj7g46bpjij6yhrmy"
	fixSharded      = "bafybeidbclfqleg2uojchspzd4bob56dqetqjsj27gy2cq3klkkgxtpn4i"
	fixCache        = "bafybeib3ffl2teiqdncv3mkz4r23b5ctrwkzrrhctdbne6iboayxuxk5ui"
	fixSymlinkV1    = "bafybeid7rpbh2clkm6tj2zuq6oq4lyvmo5b6y7mf23h4kaqlfq4ulz4zje"
	fixMissingV1    = "bafybeiez7wpycgofbnbb5duh24ch625xzrgu2xh6z2tfqe73jp7pkbe3pe"
	cidNotHeld      = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
	cidHello        = "bafkqabtimvwgy3yk" // holds "hello\n" itself
	cidHelloLong    = "bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa"
	immutableForall = "public, max-age=29030400, immutable"
)

// suite asks a gateway that holds the fixtures.
type suite struct {
	*testing.T
	base  string
	store *Store
	nodes ipld.DAGService
}

// programEnv names the perdure program. With it a suite asks `perdure gateway run`
// instead of a handler in this process.
const programEnv = "PERDURE_PROGRAM"

// newSuite serves the fixtures, and other archives.
func newSuite(t *testing.T, cfg Config, more ...[]byte) *suite {
	t.Helper()
	archives := append(more, readFixtures(t))
	store := storeOf(t, Terms{}, archives...)
	cfg.Source = store
	s := &suite{T: t, store: store, nodes: merkledag.NewDAGService(offlineBlocks(store))}
	if program := os.Getenv(programEnv); program != "" {
		s.base = runProgram(t, program, cfg, archives)
	} else {
		s.base = serve(t, cfg).URL
	}
	return s
}

// runProgram imports archives and serves them as a user would.
func runProgram(t *testing.T, program string, cfg Config, archives [][]byte) string {
	t.Helper()
	home := t.TempDir()
	for i, archive := range archives {
		path := filepath.Join(home, fmt.Sprintf("%d.car", i))
		if err := os.WriteFile(path, archive, 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(program, "--home", home, "gateway", "import", path).CombinedOutput(); err != nil {
			t.Fatalf("gateway import: %v: %s", err, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--home", home, "gateway", "run", "--listen", address, fmt.Sprintf("--convert-codecs=%v", cfg.ConvertCodecs))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("gateway run: %v", err)
		}
	})
	for range 600 {
		if resp, err := http.Get("http://" + address + "/health/readyz"); err == nil {
			resp.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			if resp.StatusCode == http.StatusOK {
				return "http://" + address
			}
		}
		time.Sleep(100 * time.Millisecond) // another process starts
	}
	t.Fatal("gateway run is not ready")
	return ""
}

// part runs some of the suite under a name.
func (s *suite) part(name string, run func(*suite)) {
	s.Run(name, func(t *testing.T) { run(&suite{t, s.base, s.store, s.nodes}) })
}

// node finds a node below a root by the names of the UnixFS directories on the way.
func (s *suite) node(root string, names ...string) ipld.Node {
	s.Helper()
	c, err := cid.Decode(root)
	if err != nil {
		s.Fatal(err)
	}
	node, err := s.nodes.Get(s.Context(), c)
	for _, name := range names {
		if err != nil {
			break
		}
		var dir uio.Directory
		if dir, err = uio.NewDirectoryFromNode(s.nodes, node); err == nil {
			node, err = dir.Find(s.Context(), name)
		}
	}
	if err != nil {
		s.Fatalf("%s%q: %v", root, names, err)
	}
	return node
}

func (s *suite) cid(root string, names ...string) string {
	return s.node(root, names...).Cid().String()
}

func (s *suite) raw(root string, names ...string) string {
	return string(s.node(root, names...).RawData())
}

// below lists the nodes below a node, each before its own, in the order of links.
func (s *suite) below(root string, names ...string) []string {
	s.Helper()
	var out []string
	for _, link := range s.node(root, names...).Links() {
		out = append(append(out, link.Cid.String()), s.below(link.Cid.String())...)
	}
	return out
}

// shards lists the shards below a sharded directory; with a name, those in which
// it stands.
func (s *suite) shards(root, name string) []string {
	s.Helper()
	var out []string
	for _, link := range s.node(root).Links() {
		shard := len(link.Name) == 2
		if name == "" && shard {
			out = append(append(out, link.Cid.String()), s.shards(link.Cid.String(), "")...)
		}
		if name != "" && !shard && link.Name[2:] == name {
			return []string{}
		}
		if name != "" && shard {
			if way := s.shards(link.Cid.String(), name); way != nil {
				return append([]string{link.Cid.String()}, way...)
			}
		}
	}
	return out
}

// got is an answer, whose body may have broken off.
type got struct {
	*http.Response
	body []byte
	torn error
}

// want is what an answer has to be.
type want func(got) error

// ask sends a request, of which the path goes out as it is written.
func (s *suite) ask(line string, headers ...string) got {
	s.Helper()
	method, path, _ := strings.Cut(line, " ")
	req, err := http.NewRequest(method, s.base+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.Fatal(err)
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return got{resp, body, err}
}

// expect sends a request and holds the answer against what it has to be.
func (s *suite) expect(line string, headers []string, wants ...want) {
	s.Helper()
	answer := s.ask(line, headers...)
	for _, w := range wants {
		if err := w(answer); err != nil {
			s.Errorf("%s %q: %v", line, headers, err)
		}
	}
}

func accepting(media string) []string { return []string{"Accept: " + media} }

func status(codes ...int) want {
	return func(g got) error {
		if !slices.Contains(codes, g.StatusCode) {
			return fmt.Errorf("%s, want %v; %.200s", g.Status, codes, g.body)
		}
		return nil
	}
}

// is demands a header of one value.
func is(name, value string) want {
	return func(g got) error {
		if all := g.Header.Values(name); len(all) != 1 || all[0] != value {
			return fmt.Errorf("%s: %q, want %q", name, all, value)
		}
		return nil
	}
}

// matches demands a header of one value of some form.
func matches(name, form string) want {
	return func(g got) error {
		if all := g.Header.Values(name); len(all) != 1 || !regexp.MustCompile(form).MatchString(all[0]) {
			return fmt.Errorf("%s: %q, want %q", name, all, form)
		}
		return nil
	}
}

// holds demands a header that has something in it.
func holds(name, part string) want { return matches(name, regexp.QuoteMeta(part)) }

// lists demands a header with some elements among others.
func lists(name string, elements ...string) want {
	return func(g got) error {
		all := strings.Split(strings.ReplaceAll(strings.Join(g.Header.Values(name), ","), " ", ""), ",")
		for _, e := range elements {
			if !slices.Contains(all, e) {
				return fmt.Errorf("%s: %q lacks %s", name, all, e)
			}
		}
		return nil
	}
}

func lacks(name string) want {
	return func(g got) error {
		if all := g.Header.Values(name); len(all) > 0 {
			return fmt.Errorf("%s: %q, want none", name, all)
		}
		return nil
	}
}

// either demands one of two things.
func either(a, b want) want {
	return func(g got) error {
		if err := a(g); err != nil {
			if b(g) == nil {
				return nil
			}
			return err
		}
		return nil
	}
}

func all(wants ...want) want {
	return func(g got) error {
		var errs []error
		for _, w := range wants {
			errs = append(errs, w(g))
		}
		return errors.Join(errs...)
	}
}

func body(text string) want {
	return func(g got) error {
		if g.torn != nil || string(g.body) != text {
			return fmt.Errorf("body %.200q, %v; want %.200q", g.body, g.torn, text)
		}
		return nil
	}
}

func says(parts ...string) want {
	return func(g got) error {
		for _, part := range parts {
			if !bytes.Contains(g.body, []byte(part)) {
				return fmt.Errorf("%s, %v: body lacks %q: %.300q", g.Status, g.torn, part, g.body)
			}
		}
		return nil
	}
}

func silentOn(part string) want {
	return func(g got) error {
		if bytes.Contains(g.body, []byte(part)) {
			return fmt.Errorf("body has %q", part)
		}
		return nil
	}
}

// ranges asks for something whole, for a range of it, and for two, of which a
// gateway may give the first, both, or everything.
func (s *suite) ranges(line string, headers []string, media, data string, wants ...want) {
	s.Helper()
	size := len(data)
	s.expect(line, headers, append(wants, status(200), body(data))...)
	first := all(status(206), is("Content-Range", fmt.Sprintf("bytes 7-9/%d", size)), body(data[7:10]))
	whole := all(status(200), body(data))
	s.expect(line, append([]string{"Range: bytes=7-9"}, headers...), append(wants, either(first, whole))...)
	multipart := all(status(206), holds("Content-Type", "multipart/byteranges"), says("Content-Type: "+media,
		fmt.Sprintf("Content-Range: bytes 7-9/%d", size), data[7:10], fmt.Sprintf("Content-Range: bytes 1-3/%d", size), data[1:4]))
	typed := is("Content-Type", media)
	s.expect(line, append([]string{"Range: bytes=7-9,1-3"}, headers...),
		append(wants, either(all(first, typed), either(all(whole, typed), multipart)))...)
}

// archived demands an archive of these blocks, in this order.
func archived(blocks ...string) want {
	return func(g got) error {
		found, err := blocksIn(g)
		if err == nil && !slices.Equal(found, blocks) {
			err = fmt.Errorf("blocks %q, want %q", found, blocks)
		}
		return err
	}
}

// archivedSomehow demands an archive of these blocks, in any order, any of them
// several times.
func archivedSomehow(blocks ...string) want {
	return func(g got) error {
		found, err := blocksIn(g)
		slices.Sort(found)
		blocks = slices.Clone(blocks)
		slices.Sort(blocks)
		if found = slices.Compact(found); err == nil && !slices.Equal(found, slices.Compact(blocks)) {
			err = fmt.Errorf("blocks %q, want %q", found, blocks)
		}
		return err
	}
}

func blocksIn(g got) ([]string, error) {
	if g.torn != nil {
		return nil, g.torn
	}
	r, err := car.NewReader(bytes.NewReader(g.body), car.Options{AnyRoots: true})
	if err != nil {
		return nil, err
	}
	var out []string
	for {
		block, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, block.CID.String())
	}
}

// chained puts CIDs and lists of CIDs into one list.
func chained(parts ...any) []string {
	var out []string
	for _, part := range parts {
		switch part := part.(type) {
		case string:
			out = append(out, part)
		case []string:
			out = append(out, part...)
		}
	}
	return out
}

// workshop is where tests make content that the fixtures lack.
type workshop struct {
	blockstore.Blockstore
	ipld.DAGService
}

func newWorkshop() workshop {
	store := blockstore.NewBlockstore(datastore.NewMapDatastore())
	return workshop{store, merkledag.NewDAGService(blockservice.New(store, offline.Exchange(store)))}
}

// directory makes a directory of small files, named as they are, with their names
// as content.
func (w workshop) directory(t testing.TB, names ...string) *merkledag.ProtoNode {
	t.Helper()
	dir := emptyDirectory()
	for _, name := range names {
		leaf := merkledag.NewRawNode([]byte(name))
		w.add(t, leaf)
		if err := dir.AddNodeLink(name, leaf); err != nil {
			t.Fatal(err)
		}
	}
	w.add(t, dir)
	return dir
}

func (w workshop) add(t testing.TB, node ipld.Node) {
	t.Helper()
	if err := w.DAGService.Add(context.Background(), node); err != nil {
		t.Fatal(err)
	}
}

// put adds a block as it is.
func (w workshop) put(t testing.TB, c cid.Cid, data []byte) {
	t.Helper()
	block, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := car.Verify(c, data); err != nil {
		t.Fatal(err)
	}
	if err := w.Blockstore.Put(context.Background(), block); err != nil {
		t.Fatal(err)
	}
}

// archive writes everything that was made into an archive.
func (w workshop) archive(t testing.TB) []byte {
	t.Helper()
	keys, err := w.AllKeysChan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var archive *car.Writer
	for c := range keys {
		block, err := w.Blockstore.Get(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if archive == nil {
			if archive, err = car.NewWriter(&out, c); err != nil {
				t.Fatal(err)
			}
		}
		if err := archive.Put(c, block.RawData()); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}
