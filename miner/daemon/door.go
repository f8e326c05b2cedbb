package daemon

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/hints"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/retrieval/gateway"
	"github.com/perdure/perdure/retrieval/receipts"
)

// The door is what a miner says of itself beside the gateway, on the same listener:
// which payloads are in its pieces, and what its buyers signed.

// Requests for receipts that are answered at one time, of all and of one client: each
// may hold a batch.
const receiptsAtOnce, receiptsEach = 8, 2

// doors are the handlers of what the miner says of itself, by pattern.
func (d *Daemon) doors() map[string]http.Handler {
	said := gateway.Limit(receiptsAtOnce, receiptsEach, receipts.NewDoor(chain.FormatMiner(d.id, d.params.Network), d.ledger))
	return map[string]http.Handler{hints.Path: &contentsDoor{records: d.records}, receipts.Path: said, receipts.Path + "/": said}
}

// contentsRecords is what the list of contents is made of; a db.DB has it.
type contentsRecords interface {
	Changes() uint64
	Contents(each func(piece cid.Cid, roots []cid.Cid) error) error
	DealsOfPiece(piece cid.Cid) ([]*miner.Deal, error)
}

// contentsDoor lists the pieces that hold several payloads, those of the newest deals
// first. It is made anew when the records have changed, and that not too often.
type contentsDoor struct {
	records contentsRecords

	mu      sync.Mutex
	made    time.Time
	changes uint64
	list    []byte
	etag    string
}

// contentsAge is how long a list stands that is not of the newest records.
const contentsAge = 5 * time.Second

// ServeHTTP implements http.Handler.
func (c *contentsDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	list, etag, err := c.read()
	if err != nil {
		http.Error(w, "the records could not be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Etag", etag)
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(list))
}

// read returns the list, made anew if it has to be.
func (c *contentsDoor) read() ([]byte, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.records.Changes()
	if !c.made.IsZero() && (now == c.changes || time.Since(c.made) < contentsAge) {
		return c.list, c.etag, nil
	}
	list, err := listContents(c.records)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(list)
	c.list, c.etag, c.changes, c.made = list, `"`+hex.EncodeToString(sum[:16])+`"`, now, time.Now()
	return c.list, c.etag, nil
}

// listContents writes the lines of the list.
func listContents(records contentsRecords) ([]byte, error) {
	type content struct {
		newest uint64 // deal
		piece  cid.Cid
		roots  []cid.Cid
	}
	var all []content
	err := records.Contents(func(piece cid.Cid, roots []cid.Cid) error {
		of, err := records.DealsOfPiece(piece)
		if err != nil {
			return err
		}
		newest := uint64(0)
		for _, d := range of {
			if held(d.State) {
				newest = max(newest, d.ID)
			}
		}
		if newest > 0 {
			all = append(all, content{newest, piece, roots})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list contents: %w", err)
	}
	slices.SortFunc(all, func(a, b content) int { return int(int64(b.newest) - int64(a.newest)) })
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	for _, c := range all {
		for some := range slices.Chunk(c.roots, hints.MaxRoots) {
			line := hints.Line{Piece: c.piece.String()}
			for _, root := range some {
				line.Roots = append(line.Roots, root.String())
			}
			if err := lines.Encode(line); err != nil {
				return nil, err
			}
		}
	}
	return out.Bytes(), nil
}

// self is where the miner is reached, its door among the addresses if it has one that
// others can dial.
func (d *Daemon) self() (chain.Peer, error) {
	p := d.host.Self()
	cfg := d.opts.Config.Public
	var door []byte
	switch {
	case cfg.HTTP == "":
		return p, nil
	case cfg.Door != "":
		var err error
		if door, err = hints.ParseDoor(cfg.Door); err != nil {
			return p, fmt.Errorf("public.door: %w", err)
		}
	default:
		var ok bool
		if door, ok = hints.DoorAddr(d.GatewayAddr()); !ok {
			return p, nil
		}
	}
	p.Addrs = append(slices.Clone(p.Addrs[:min(len(p.Addrs), maxPeerAddrs-1)]), door)
	return p, nil
}

// maxPeerAddrs is the most addresses of a peer on chain.
const maxPeerAddrs = 16
