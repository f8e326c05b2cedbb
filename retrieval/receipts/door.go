package receipts

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/ledger"
)

// Path is where a door shows receipts.
const Path = "/v1/receipts"

// Batch is a published batch.
type Batch struct {
	Root  string       `json:"root"` // hexadecimal
	Count uint64       `json:"count"`
	Bytes uint64       `json:"bytes"`
	From  chain.Height `json:"from"`           // the least height at which one of its receipts ends
	To    chain.Height `json:"to"`             // and the greatest
	Gone  bool         `json:"gone,omitempty"` // the miner says that it has not kept its receipts
}

// List is a page of batches.
type List struct {
	Miner string  `json:"miner"`
	Items []Batch `json:"items"`
	Next  uint64  `json:"next,omitempty"` // the after of the next page; 0: this is the last
}

// Contents are the receipts of a batch, each a SignedReceipt in its canonical
// encoding.
type Contents struct {
	Batch
	Receipts [][]byte `json:"receipts"` // base64
}

// Proof is one receipt with what shows that it is in a batch.
type Proof struct {
	Batch
	Index   uint64   `json:"index"`
	Receipt []byte   `json:"receipt"` // SignedReceipt, base64
	Path    []string `json:"path"`    // hexadecimal, from the lowest up
}

// pageSize is how many batches a page lists.
const pageSize = 1_000

// Door shows the receipts of a miner's ledger.
type Door struct {
	miner string
	book  *ledger.Ledger
}

// NewDoor makes a handler for Path and what is below it. An answer may take up a
// batch of receipts in memory: how many are under way is for the caller to bound.
func NewDoor(miner string, book *ledger.Ledger) http.Handler {
	d := &Door{miner: miner, book: book}
	mux := http.NewServeMux()
	for path, answer := range map[string]func(*http.Request) (any, error){
		Path: d.list, Path + "/{root}": d.batch, Path + "/{root}/{index}": d.one,
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { d.answer(w, r, answer) })
	}
	return mux
}

// refusal is an answer other than 200.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func (d *Door) answer(w http.ResponseWriter, r *http.Request, of func(*http.Request) (any, error)) {
	v, err := of(r)
	if err != nil {
		problem(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	json.NewEncoder(w).Encode(v) // the reader is gone if this fails
}

// problem answers with what is wrong (RFC 9457).
func problem(w http.ResponseWriter, err error) {
	p := &refusal{http.StatusInternalServerError, "the receipts could not be read"}
	errors.As(err, &p)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.status)
	json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(p.status), "status": p.status, "detail": p.text})
}

func (d *Door) list(r *http.Request) (any, error) {
	after := uint64(0)
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 63); err != nil {
			return nil, &refusal{http.StatusBadRequest, "after: want a number"}
		}
	}
	out := &List{Miner: d.miner, Items: []Batch{}}
	last := uint64(0)
	kept, err := d.book.KeptFrom()
	if err != nil {
		return nil, err
	}
	err = d.book.Batches(after, func(b *ledger.Batch) error {
		switch {
		case b.State != ledger.BatchPublished:
			return nil
		case len(out.Items) == pageSize:
			out.Next = last
			return errFull
		}
		item := batchOf(b)
		item.Gone = b.Number < kept
		out.Items, last = append(out.Items, item), b.Number
		return nil
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return out, err
}

var errFull = errors.New("page is full")

func batchOf(b *ledger.Batch) Batch {
	return Batch{Root: hex.EncodeToString(b.Root[:]), Count: b.Count, Bytes: b.Bytes, From: b.From, To: b.To}
}

// load reads the batch that a path names, with its receipts.
func (d *Door) load(r *http.Request) (Batch, [][]byte, error) {
	root, err := ParseRoot(r.PathValue("root"))
	if err != nil {
		return Batch{}, nil, &refusal{http.StatusBadRequest, err.Error()}
	}
	b, err := d.book.BatchOf(root)
	if err != nil {
		return Batch{}, nil, err
	}
	if b == nil || b.State != ledger.BatchPublished {
		return Batch{}, nil, &refusal{http.StatusNotFound, "no batch with that root was published by this miner"}
	}
	leaves, err := d.book.Leaves(b.Number)
	if err == nil && len(leaves) == 0 {
		err = &refusal{http.StatusGone, "only the receipts of newer batches are kept"}
	}
	return batchOf(b), leaves, err
}

func (d *Door) batch(r *http.Request) (any, error) {
	b, leaves, err := d.load(r)
	if err != nil {
		return nil, err
	}
	return &Contents{b, leaves}, nil
}

func (d *Door) one(r *http.Request) (any, error) {
	b, leaves, err := d.load(r)
	if err != nil {
		return nil, err
	}
	i, err := strconv.ParseUint(r.PathValue("index"), 10, 32)
	if err != nil || i >= uint64(len(leaves)) {
		return nil, &refusal{http.StatusNotFound, fmt.Sprintf("receipt %.20q: there are 0 to %d", r.PathValue("index"), len(leaves)-1)}
	}
	out := &Proof{Batch: b, Index: i, Receipt: leaves[i], Path: []string{}}
	for _, h := range chain.ReceiptPath(leaves, int(i)) {
		out.Path = append(out.Path, hex.EncodeToString(h[:]))
	}
	return out, nil
}

// ParseRoot reads a root in hexadecimal.
func ParseRoot(text string) (root [32]byte, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(root) {
		return root, fmt.Errorf("root %.80q: want 64 hexadecimal digits", text)
	}
	return [32]byte(raw), nil
}
