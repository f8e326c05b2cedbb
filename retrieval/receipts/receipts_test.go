package receipts

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/ledger"
)

const chainID = "receipts-test"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func key(n byte) []byte { return bytes.Repeat([]byte{n}, chain.PrivateKeySize) }

// signed is a receipt that a buyer signed.
func signed(t testing.TB, buyer byte, nonce, size uint64, to chain.Height, change ...func(*chain.Receipt)) *chain.SignedReceipt {
	t.Helper()
	a, err := chain.AddressOfKey(key(buyer))
	must(t, err)
	r := &chain.SignedReceipt{Receipt: chain.Receipt{Version: chain.MessageVersion, ChainID: chainID, Miner: 1000, Deal: 3, Buyer: a,
		Nonce: nonce, Bytes: size, From: to - 2, To: to}}
	for _, f := range change {
		f(&r.Receipt)
	}
	text, err := r.Receipt.SignBytes()
	must(t, err)
	r.Signature, err = chain.Sign(key(buyer), text)
	must(t, err)
	return r
}

// shop is a miner's ledger with batches that the chain saw.
type shop struct {
	t    testing.TB
	book *ledger.Ledger
	seen Seen
}

func newShop(t testing.TB) *shop {
	book, err := ledger.Open("ledger", ledger.Options{FS: vfs.NewMem()})
	must(t, err)
	t.Cleanup(func() { must(t, book.Close()) })
	return &shop{t: t, book: book, seen: Seen{ChainID: chainID, Miner: 1000}}
}

// publish makes a batch of receipts and has the chain see it.
func (s *shop) publish(receipts ...*chain.SignedReceipt) {
	s.t.Helper()
	for _, r := range receipts {
		must(s.t, s.book.SaveReceipt(r))
	}
	b, err := s.book.MakeBatch(1<<40, 100)
	must(s.t, err)
	must(s.t, s.book.SetBatch(b.Number, ledger.BatchPublished))
	served := &s.seen.Served
	served.All = chain.AllBatches(served.All, &chain.PublishReceipts{Miner: 1000, Root: b.Root, Count: b.Count, Bytes: b.Bytes, From: b.From, To: b.To})
	served.Batches++
	served.Receipts += b.Count
	served.Bytes += b.Bytes
	served.Through, served.Root = b.To, b.Root
}

// TestRead reads what a miner shows and finds that all of it holds: list, batches, and
// each receipt by its path.
func TestRead(t *testing.T) {
	s := newShop(t)
	s.publish(signed(t, 1, 1, 100, 10), signed(t, 2, 1, 20, 11), signed(t, 1, 2, 3, 12))
	s.publish(signed(t, 3, 9, 7, 30))
	must(t, s.book.SaveReceipt(signed(t, 3, 10, 7, 40)))
	if _, err := s.book.MakeBatch(40, 1); err != nil { // pending: not shown
		t.Fatal(err)
	}
	server := httptest.NewServer(NewDoor("t01000", s.book))
	defer server.Close()
	r := Reader{URL: server.URL + "/", HTTP: server.Client()}
	all, err := r.Batches(t.Context(), &s.seen)
	must(t, err)
	if len(all) != 2 || all[0].Count != 3 || all[0].Bytes != 123 || all[0].From != 10 || all[0].To != 12 || all[1].Count != 1 {
		t.Fatalf("batches %+v", all)
	}
	sum := uint64(0)
	for _, b := range all {
		of, err := r.Receipts(t.Context(), &s.seen, b)
		must(t, err)
		for i := range of {
			sum += of[i].Receipt.Bytes
			one, err := r.Receipt(t.Context(), &s.seen, b, uint64(i))
			must(t, err)
			if one.Receipt != of[i].Receipt {
				t.Errorf("receipt %d is %+v, in the batch %+v", i, one.Receipt, of[i].Receipt)
			}
		}
	}
	if sum != s.seen.Served.Bytes || sum != 130 {
		t.Errorf("%d bytes, the chain says %d", sum, s.seen.Served.Bytes)
	}
	for path, want := range map[string]int{"/abc": 400, "/" + strings.Repeat("00", 32): 404, "/" + all[0].Root + "/3": 404, "/" + all[0].Root + "/x": 404, "?after=x": 400, "": 200} {
		resp, err := server.Client().Get(server.URL + Path + path)
		must(t, err)
		must(t, resp.Body.Close())
		if resp.StatusCode != want {
			t.Errorf("%q: %s, want %d", path, resp.Status, want)
		}
	}
}

// TestGone: of batches whose receipts were dropped the list stays whole, so that the
// chain's digest still holds; who asks for their receipts is told that they are gone.
func TestGone(t *testing.T) {
	s := newShop(t)
	s.publish(signed(t, 1, 1, 100, 10), signed(t, 2, 1, 20, 11))
	s.publish(signed(t, 3, 9, 7, 30))
	s.publish(signed(t, 3, 10, 8, 40))
	dropped, err := s.book.DropReceipts(2)
	must(t, err)
	if dropped == nil || dropped.Number != 1 {
		t.Fatalf("dropped %+v", dropped)
	}
	server := httptest.NewServer(NewDoor("t01000", s.book))
	defer server.Close()
	r := Reader{URL: server.URL, HTTP: server.Client()}
	all, err := r.Batches(t.Context(), &s.seen)
	must(t, err)
	for i, b := range all {
		if b.Gone != (i == 0) {
			t.Errorf("batch %d: gone %v", i, b.Gone)
		}
		_, batch := r.Receipts(t.Context(), &s.seen, b)
		_, one := r.Receipt(t.Context(), &s.seen, b, 0)
		for _, err := range []error{batch, one} {
			if errors.Is(err, ErrGone) != b.Gone || err != nil && !b.Gone {
				t.Errorf("batch %d: %v", i, err)
			}
		}
	}
	if len(all) != 3 {
		t.Errorf("%d batches are listed", len(all))
	}
}

// TestLies finds each thing that a miner could show in place of what it published.
func TestLies(t *testing.T) {
	s := newShop(t)
	s.publish(signed(t, 1, 1, 100, 10), signed(t, 2, 1, 20, 11))
	s.publish(signed(t, 3, 9, 7, 30))
	honest := NewDoor("t01000", s.book)
	// A batch whose receipts are no receipts was published all the same.
	forged := func(change func(*chain.Receipt)) *shop {
		f := newShop(t)
		f.publish(signed(t, 1, 1, 5, 10, change))
		return f
	}
	twice := newShop(t)
	twice.publish(signed(t, 1, 1, 5, 10), signed(t, 1, 2, 5, 10, func(r *chain.Receipt) { r.Deal = 4 }))
	edit := func(path string, change func(map[string]any)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			record := httptest.NewRecorder()
			honest.ServeHTTP(record, r)
			if !strings.HasPrefix(r.URL.RequestURI(), Path+path) {
				w.Write(record.Body.Bytes())
				return
			}
			var v map[string]any
			must(t, json.Unmarshal(record.Body.Bytes(), &v))
			change(v)
			must(t, json.NewEncoder(w).Encode(v))
		})
	}
	first := func(v map[string]any) map[string]any { return v["items"].([]any)[0].(map[string]any) }
	read := func(h http.Handler, seen *Seen) error {
		server := httptest.NewServer(h)
		defer server.Close()
		r := Reader{URL: server.URL, HTTP: server.Client()}
		all, err := r.Batches(t.Context(), seen)
		if err != nil {
			return err
		}
		for _, b := range all {
			if _, err := r.Receipts(t.Context(), seen, b); err != nil {
				return err
			}
			if _, err := r.Receipt(t.Context(), seen, b, 0); err != nil {
				return err
			}
		}
		return nil
	}
	must(t, read(honest, &s.seen))
	for name, h := range map[string]http.Handler{
		"a batch is missing":    edit("?", func(v map[string]any) { v["items"] = v["items"].([]any)[1:] }),
		"a batch too many":      edit("?", func(v map[string]any) { v["items"] = append(v["items"].([]any), first(v)) }),
		"batches in a circle":   edit("?", func(v map[string]any) { v["items"], v["next"] = []any{}, 1 }),
		"another count":         edit("?", func(v map[string]any) { first(v)["count"] = 3 }),
		"more bytes":            edit("?", func(v map[string]any) { first(v)["bytes"] = 1000 }),
		"another root":          edit("?", func(v map[string]any) { first(v)["root"] = strings.Repeat("ab", 32) }),
		"a receipt is missing":  edit("/", func(v map[string]any) { shorten(v) }),
		"a receipt of another":  edit("/", func(v map[string]any) { swap(t, v) }),
		"a path that leads off": edit("/", func(v map[string]any) { derail(v) }),
	} {
		if err := read(h, &s.seen); err == nil {
			t.Errorf("%s: nobody noticed", name)
		} else if !errors.Is(err, ErrFalse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*chain.Receipt){
		"of another chain": func(r *chain.Receipt) { r.ChainID = "elsewhere" },
		"of another miner": func(r *chain.Receipt) { r.Miner = 1001 },
		"ends before":      func(r *chain.Receipt) { r.From = r.To + 1 },
	} {
		f := forged(change)
		if err := read(NewDoor("t01000", f.book), &f.seen); !errors.Is(err, ErrFalse) {
			t.Errorf("a receipt %s: %v", name, err)
		}
	}
	must(t, read(NewDoor("t01000", twice.book), &twice.seen))
	other := s.seen
	other.Served.All = [32]byte{1}
	if err := read(honest, &other); !errors.Is(err, ErrFalse) {
		t.Errorf("another digest on chain: %v", err)
	}
}

func shorten(v map[string]any) {
	if all, ok := v["receipts"].([]any); ok && len(all) > 1 {
		v["receipts"] = all[1:]
	}
}

// swap shows a receipt that another key signed.
func swap(t testing.TB, v map[string]any) {
	if all, ok := v["receipts"].([]any); ok {
		raw, err := chain.Encode(signed(t, 9, 1, 100, 10))
		must(t, err)
		all[0] = raw
	}
}

func derail(v map[string]any) {
	if path, ok := v["path"].([]any); ok && len(path) > 0 {
		path[0] = strings.Repeat("cd", 32)
	}
}
