package receipts

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
)

// ErrFalse is wrapped when what a miner shows is not what it published.
var ErrFalse = errors.New("the miner shows other receipts than it published")

// ErrGone is wrapped when a miner has not kept the receipts of a batch.
var ErrGone = errors.New("the miner keeps these receipts no longer")

// The bounds on what a door answers with.
const (
	maxAnswer = 64 << 20 // bytes
	fetchTime = time.Minute
)

// Seen is what the checks of one miner's receipts are made against.
type Seen struct {
	ChainID string
	Miner   chain.MinerID
	Served  chain.Served // the chain's record
}

// Reader asks a miner's door.
type Reader struct {
	URL  string       // of the door, without Path
	HTTP *http.Client // nil: http.DefaultClient
}

// get reads one answer.
func (r Reader) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	url := strings.TrimRight(r.URL, "/") + Path + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask for receipts: %w", err)
	}
	client := r.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask for receipts: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusGone:
		return fmt.Errorf("ask for receipts: %s: %w", url, ErrGone)
	default:
		return fmt.Errorf("ask for receipts: %s: %s", url, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read receipts from %s: %w", url, err)
	}
	return nil
}

// Batches reads all batches that a miner shows, and checks that they are those which
// it published, none missing.
func (r Reader) Batches(ctx context.Context, s *Seen) ([]Batch, error) {
	var out []Batch
	var all [32]byte
	for after := uint64(0); ; {
		var page List
		if err := r.get(ctx, fmt.Sprintf("?after=%d", after), &page); err != nil {
			return nil, err
		}
		for _, b := range page.Items {
			said, err := b.message(s.Miner)
			if err != nil {
				return nil, err
			}
			if all = chain.AllBatches(all, said); uint64(len(out)) == s.Served.Batches {
				return nil, fmt.Errorf("more than %d batches: %w", s.Served.Batches, ErrFalse)
			}
			out = append(out, b)
		}
		if page.Next == 0 {
			break
		}
		if page.Next <= after {
			return nil, fmt.Errorf("pages of batches go in a circle: %w", ErrFalse)
		}
		after = page.Next
	}
	if uint64(len(out)) != s.Served.Batches || all != s.Served.All {
		return nil, fmt.Errorf("%d batches shown, %d published: %w", len(out), s.Served.Batches, ErrFalse)
	}
	return out, nil
}

// message is the message that published the batch.
func (b *Batch) message(m chain.MinerID) (*chain.PublishReceipts, error) {
	root, err := ParseRoot(b.Root)
	return &chain.PublishReceipts{Miner: m, Root: root, Count: b.Count, Bytes: b.Bytes, From: b.From, To: b.To}, err
}

// Receipts reads the receipts of a batch and checks each of them, and that they are
// all of it.
func (r Reader) Receipts(ctx context.Context, s *Seen, b Batch) ([]chain.SignedReceipt, error) {
	var c Contents
	if err := r.get(ctx, "/"+b.Root, &c); err != nil {
		return nil, err
	}
	if root := chain.ReceiptsRoot(c.Receipts); hex.EncodeToString(root[:]) != b.Root || uint64(len(c.Receipts)) != b.Count {
		return nil, fmt.Errorf("%d receipts with root %x, published were %d with %s: %w", len(c.Receipts), root, b.Count, b.Root, ErrFalse)
	}
	out := make([]chain.SignedReceipt, len(c.Receipts))
	nonces := map[string]bool{}
	sum := uint64(0)
	for i, raw := range c.Receipts {
		if err := s.check(&b, raw, &out[i]); err != nil {
			return nil, fmt.Errorf("receipt %d of batch %s: %w", i, b.Root, err)
		}
		of := &out[i].Receipt
		name := fmt.Sprint(of.Buyer, " ", of.Nonce)
		if nonces[name] {
			return nil, fmt.Errorf("receipt %d of batch %s is there twice: %w", i, b.Root, ErrFalse)
		}
		nonces[name] = true
		sum += of.Bytes
	}
	if sum != b.Bytes {
		return nil, fmt.Errorf("receipts of %d bytes, published were %d: %w", sum, b.Bytes, ErrFalse)
	}
	return out, nil
}

// check checks one receipt of a batch.
func (s *Seen) check(b *Batch, raw []byte, into *chain.SignedReceipt) error {
	if err := chain.Decode(raw, into); err != nil {
		return fmt.Errorf("%w: %w", ErrFalse, err)
	}
	if err := into.Check(s.ChainID); err != nil {
		return fmt.Errorf("%w: %w", ErrFalse, err)
	}
	switch r := &into.Receipt; {
	case r.Miner != s.Miner:
		return fmt.Errorf("it is for miner %d: %w", r.Miner, ErrFalse)
	case r.To < b.From || r.To > b.To:
		return fmt.Errorf("it ends at height %d, the batch is of %d to %d: %w", r.To, b.From, b.To, ErrFalse)
	}
	return nil
}

// Receipt reads one receipt of a batch and checks it and its path to the root.
func (r Reader) Receipt(ctx context.Context, s *Seen, b Batch, index uint64) (*chain.SignedReceipt, error) {
	var p Proof
	if err := r.get(ctx, fmt.Sprintf("/%s/%d", b.Root, index), &p); err != nil {
		return nil, err
	}
	root, err := ParseRoot(b.Root)
	if err != nil {
		return nil, err
	}
	path := make([][32]byte, len(p.Path))
	for i, text := range p.Path {
		if path[i], err = ParseRoot(text); err != nil {
			return nil, fmt.Errorf("path of receipt %d: %w", index, err)
		}
	}
	if err := chain.CheckReceiptPath(root, b.Count, index, p.Receipt, path); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFalse, err)
	}
	out := new(chain.SignedReceipt)
	return out, s.check(&b, p.Receipt, out)
}
