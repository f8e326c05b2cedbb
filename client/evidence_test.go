package client_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/clienttest"
	"github.com/perdure/perdure/client/files"
)

// stranger is the same network with another home, which knows of nothing.
func (w *world) stranger() *world {
	other := *w
	other.home = filepath.Join(w.dir, "stranger")
	return &other
}

// sharedFiles stores small public files in one piece and returns their records.
func (w *world) sharedFiles(n int) (objects []*files.Object, contents [][]byte) {
	w.t.Helper()
	paths, contents := w.files(n)
	r, err := w.client().PutMany(w.ctx, paths, client.PutOptions{Public: true})
	w.must(err)
	if !r.Complete() || len(r.Stored) != 1 {
		w.t.Fatalf("%d pieces", len(r.Stored))
	}
	return r.Objects, contents
}

// TestGetClaimed: a stranger fetches a small file by its own root from a miner that says
// that it is in one of its pieces, past one that says so and lies; where all lie there
// is no seller, and nothing is paid.
func TestGetClaimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	objects, contents := w.sharedFiles(4)
	path, _ := w.file(200_000)
	w.stored(w.client(), path, client.PutOptions{Copies: 1})
	all := w.chain.Deals()
	lie := all[len(all)-1]
	var holds []uint64
	for _, d := range all {
		if d.PieceCID != lie.PieceCID {
			holds = append(holds, d.ID)
		}
	}
	s := w.stranger()
	root, err := client.ParseRoot(objects[2].Root)
	w.must(err)
	get := func() (*client.GetResult, []byte, error) {
		var out bytes.Buffer
		r, err := s.client().Get(w.ctx, root, "", client.GetOptions{To: &out})
		return r, out.Bytes(), err
	}
	if _, _, err := get(); !errors.Is(err, client.ErrNotStored) {
		t.Fatalf("nobody says that it has it: %v", err)
	}
	before := w.balance()
	w.chain.Claims = func(of string) []uint64 { return []uint64{lie.ID, 999} }
	if _, _, err := get(); err == nil || w.balance() != before {
		t.Fatalf("a liar alone: %v, paid %s before %s", err, w.balance(), before)
	}
	w.chain.Claims = func(of string) []uint64 {
		if of != root.String() {
			return nil
		}
		return append([]uint64{lie.ID}, holds...)
	}
	r, got, err := get()
	w.must(err)
	if !bytes.Equal(got, contents[2]) || r.Chunks != 1 {
		t.Errorf("%d bytes in %d chunks, want %d in 1", len(got), r.Chunks, len(contents[2]))
	}
}

// TestGetPieceByDeals: a stranger fetches a piece by its CID from the miners whose deals
// the chain has, and one that no deal is over from a gateway, past one that sends
// something else and going on where a try before stopped.
func TestGetPieceByDeals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	path, _ := w.file(700_000)
	w.stored(w.client(), path, client.PutOptions{Public: true, Copies: 1})
	deal := w.chain.Deals()[0]
	s := w.stranger()
	dest := filepath.Join(w.dir, "piece")
	r, err := s.client().Get(w.ctx, deal.PieceCID, dest, client.GetOptions{})
	w.must(err)
	piece, err := os.ReadFile(dest)
	w.must(err)
	if r.Kind != client.KindPiece || r.Size != uint64(len(piece)) || r.Paid.IsZero() {
		t.Errorf("%+v for %d bytes", r, len(piece))
	}

	var asked []string
	gateway := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		asked = append(asked, req.URL.Path+" "+req.Header.Get("Range"))
		http.ServeContent(rw, req, "", time.Time{}, bytes.NewReader(piece))
	}))
	defer gateway.Close()
	liar := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.Write([]byte("something else")) }))
	defer liar.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	from := func(urls ...string) error {
		c, err := client.New(client.Config{Home: s.home, Chain: w.chain, Directory: hidden{w.chain}, Sender: s.sender(), Host: s.host(), Gateways: urls})
		w.must(err)
		defer c.Close()
		w.must(os.RemoveAll(dest))
		_, err = c.Get(w.ctx, deal.PieceCID, dest, client.GetOptions{})
		return err
	}
	if err := from(); !errors.Is(err, client.ErrNotStored) {
		t.Errorf("no deal and no gateway: %v", err)
	}
	if err := from(gone.URL, liar.URL); !errors.Is(err, client.ErrNotStored) {
		t.Errorf("no gateway has it: %v", err)
	}
	if _, err := os.Stat(dest); !errors.Is(err, os.ErrNotExist) {
		t.Error("what the liar sent was written")
	}
	w.must(from(gone.URL, liar.URL, gateway.URL+"/"))
	got, err := os.ReadFile(dest)
	w.must(err)
	if !bytes.Equal(got, piece) || len(asked) != 1 || asked[0] != "/piece/"+deal.PieceCID.String()+" " {
		t.Errorf("%d bytes of %d, asked %q", len(got), len(piece), asked)
	}
	w.must(os.MkdirAll(filepath.Join(s.home, "fetch"), 0o700))
	w.must(os.WriteFile(filepath.Join(s.home, "fetch", deal.PieceCID.String()+".piece"), piece[:300_000], 0o600))
	w.must(from(gateway.URL))
	if got, err = os.ReadFile(dest); err != nil || !bytes.Equal(got, piece) || len(asked) != 2 || asked[1] != "/piece/"+deal.PieceCID.String()+" bytes=300000-" {
		t.Errorf("%d bytes of %d, asked %q (%v)", len(got), len(piece), asked, err)
	}
}

// TestReceiptOfGet: a miner has the client's receipt for what a get fetched from it, with
// the deal that the client knows.
func TestReceiptOfGet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	path, _ := w.file(900_000)
	o := w.stored(w.client(), path, client.PutOptions{Copies: 1})
	var out bytes.Buffer
	got, err := w.client().Get(w.ctx, o, "", client.GetOptions{To: &out})
	w.must(err)
	buyer, err := chain.AddressOfKey(clienttest.Key(clienttest.ClientKey))
	w.must(err)
	all := w.miners[0].Receipts()
	sum := uint64(0)
	for _, r := range all {
		w.must(r.Check("clienttest"))
		sum += r.Receipt.Bytes
		if r.Receipt.Buyer != buyer || r.Receipt.Miner != w.miners[0].ID || r.Receipt.Deal != w.chain.Deals()[0].ID || r.Receipt.From == 0 {
			t.Errorf("receipt %+v", r.Receipt)
		}
	}
	if sum != got.Bytes || sum == 0 {
		t.Errorf("%d receipts for %d bytes, fetched were %d", len(all), sum, got.Bytes)
	}
}
