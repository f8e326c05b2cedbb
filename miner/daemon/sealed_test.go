package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner/unsealing"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/gateway"
	"github.com/perdure/perdure/retrieval/p2p"
)

// TestGatewayOfSealed: what has to be unsealed costs its price over HTTP, is not there
// yet while it is unsealed, with when to ask again, and then there, if it is free.
func TestGatewayOfSealed(t *testing.T) {
	r := newPieceRig(t)
	piece := r.deal.Deal.PieceCID
	identity, err := p2p.LoadIdentity(filepath.Join(t.TempDir(), "identity"))
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{records: r.records, disk: r.disk, params: consensus.Devnet(), source: newSource(r.records, r.disk)}
	if d.host, err = p2p.New(p2p.Config{Identity: identity}); err != nil {
		t.Fatal(err)
	}
	defer d.host.Close()
	if d.prices, err = newTariff(&RetrievalConfig{}, &PublicConfig{Free: []string{"all"}}, r.records, testAddress(t)); err != nil {
		t.Fatal(err)
	}
	going := make(chan struct{})
	d.unsealing, err = unsealing.New(unsealing.Config{Describe: d.source.describe, Unseal: func(_ context.Context, _ string, w io.Writer, offset, length uint64) error {
		<-going
		_, err := w.Write(r.data[offset : offset+length])
		return err
	}}, r.records, r.disk)
	if err != nil {
		t.Fatal(err)
	}
	d.source.sealed = d.unsealing
	shelf := gateway.NewShelf(gateway.ShelfConfig{
		Holdings: func(ctx context.Context) ([]gateway.Holding, error) { return holdings(ctx, d.records, d.publicStatus) },
		Open: func(ctx context.Context, piece cid.Cid) ([]*car.Index, gateway.Archive, error) {
			return d.source.all(ctx, piece)
		},
	})
	handler, err := gateway.New(gateway.Config{Source: shelf})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string, want int) *httptest.ResponseRecorder {
		t.Helper()
		if err := shelf.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want {
			t.Fatalf("%s: %d, want %d: %s", path, w.Code, want, w.Body)
		}
		return w
	}
	whole, one := "/piece/"+piece.String(), "/ipfs/"+r.roots[0].String()+"?format=raw"
	ask(whole, http.StatusOK)
	if err := os.Remove(r.disk.Piece(piece)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{whole, one} {
		var p struct {
			Terms struct {
				Price  chain.Amount  `json:"price"`
				Unseal *chain.Amount `json:"unsealPrice"`
			} `json:"terms"`
		}
		w := ask(path, http.StatusPaymentRequired)
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		want, err := chain.PDR(1).MulDivCeil(r.deal.Deal.PaddedSize, chain.GiB)
		if err != nil || !p.Terms.Price.IsZero() || p.Terms.Unseal == nil || *p.Terms.Unseal != want {
			t.Errorf("%s: terms %+v, want %s for unsealing (%v)", path, p.Terms, want, err)
		}
	}
	if err := d.unsealing.Order(piece); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.unsealing.Run(ctx) }()
	for _, path := range []string{whole, one} {
		w := ask(path, http.StatusServiceUnavailable)
		if n, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || n < 1 {
			t.Errorf("%s: Retry-After %q", path, w.Header().Get("Retry-After"))
		}
	}
	close(going)
	if err := d.unsealing.Await(t.Context(), piece); err != nil {
		t.Fatal(err)
	}
	if w := ask(whole, http.StatusOK); w.Body.String() != string(r.data) {
		t.Error("other bytes came back")
	}
	if w := ask(one, http.StatusOK); w.Body.String() != "one" {
		t.Errorf("payload is %q", w.Body)
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
