package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
)

// Holding is a piece that a node holds, or held, and how it stands: Free or Priced
// if it is on disk.
type Holding struct {
	Piece  cid.Cid
	Root   cid.Cid // of the payload that the piece is a part of
	Status Status
	// Indexed says of a piece that is Waiting that it can be opened all the same: its
	// index is there, its bytes are not.
	Indexed bool
}

// Archive is the bytes of a piece.
type Archive interface {
	io.ReaderAt
	io.Closer
}

// ShelfConfig is what a Shelf is made of.
type ShelfConfig struct {
	// Holdings lists them all; a piece may come several times.
	Holdings func(context.Context) ([]Holding, error)
	// Open opens a piece that is on disk, with its index and, if it holds several
	// payloads, behind it that of each. The indexes may be shared, the archive is
	// closed by the caller.
	Open func(ctx context.Context, piece cid.Cid) ([]*car.Index, Archive, error)
	// Changes, if given, counts what changes the list: while it stays, nothing is listed
	// anew.
	Changes func() uint64
	// Deals finds providers; nil: none are known.
	Deals *Deals
	// Door is where the gateway itself is reached: HTTP multiaddrs that end in the node's
	// peer ID; nil: strangers are not told.
	Door []string
	Log  *slog.Logger
}

// Shelf is a Source over the pieces of a miner or a client. It lists them anew
// from time to time; the list itself never changes.
type Shelf struct {
	cfg  ShelfConfig
	list atomic.Pointer[shelfList] // nil before the first look
}

// NewShelf makes a Shelf that is not ready before it has looked.
func NewShelf(cfg ShelfConfig) *Shelf {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Shelf{cfg: cfg}
}

// shelfList is what there is at one time.
type shelfList struct {
	pieces []*shelved // on disk, the free ones first
	byCID  map[cid.Cid]*shelved
	// named is how things stand with pieces and with roots of payloads: the best of
	// all deals over each.
	named map[cid.Cid]Status
	roots []cid.Cid // of payloads that are free

	changes uint64    // that were counted before it was made
	at      time.Time // when it was made
	lacks   bool      // a piece could not be opened
}

// shelved is a piece on the shelf.
type shelved struct {
	*pieceNames
	status Status // Free, Priced, or Waiting if it is only indexed
}

// pieceNames is what is kept in memory of a piece: 8 bytes a block.
type pieceNames struct {
	cid    cid.Cid
	size   int64
	hashes []uint64  // the first 8 bytes of its blocks' digests, ascending
	roots  []cid.Cid // of the payloads in it, if they are several
}

// names are all that a holding is asked for by.
func (h *Holding) names(p *pieceNames) []cid.Cid {
	out := []cid.Cid{h.Piece, version1(h.Root)}
	if p != nil { // it is on disk
		out = append(out, p.roots...)
	}
	return out
}

// wait is when clients are told to ask again for a piece that cannot be opened.
const wait = 30 * time.Second

// look is how often a Shelf looks what has come and gone, glance how often where
// something counts the changes.
const (
	look   = 5 * time.Second
	glance = time.Second
)

// Run keeps the list until ctx ends.
func (s *Shelf) Run(ctx context.Context) error {
	often := look
	if s.cfg.Changes != nil {
		often = glance
	}
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		if s.stale() {
			if err := s.Look(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// stale reports whether the list may be another now. A piece that could not be opened
// may be there after a while, whatever is counted.
func (s *Shelf) stale() bool {
	list := s.list.Load()
	return list == nil || s.cfg.Changes == nil || s.cfg.Changes() != list.changes || list.lacks && time.Since(list.at) > wait
}

// Look makes the list anew. What was read of a piece before is taken over.
func (s *Shelf) Look(ctx context.Context) error {
	next := &shelfList{named: map[cid.Cid]Status{}, byCID: map[cid.Cid]*shelved{}, at: time.Now()}
	if s.cfg.Changes != nil {
		next.changes = s.cfg.Changes()
	}
	all, err := s.cfg.Holdings(ctx)
	if err != nil {
		return fmt.Errorf("list pieces: %w", err)
	}
	shown := map[cid.Cid]*pieceNames{}
	for _, h := range all {
		if h.Status.State == Free || h.Status.State == Priced || h.Indexed {
			if shown[h.Piece] == nil {
				if shown[h.Piece], err = s.shelve(ctx, h.Piece); err != nil {
					s.cfg.Log.Warn("piece is not shown", "piece", h.Piece, "err", err)
					h.Status, next.lacks = Status{State: Waiting, Retry: wait}, true
				}
			}
		}
		for _, c := range h.names(shown[h.Piece]) {
			if better(h.Status.State, next.named[c].State) {
				next.named[c] = h.Status
				if h.Status.State == Free && c != h.Piece { // once: nothing is better
					next.roots = append(next.roots, c)
				}
			}
		}
	}
	for piece, names := range shown {
		if names != nil {
			next.byCID[piece] = &shelved{names, next.named[piece]}
			next.pieces = append(next.pieces, next.byCID[piece])
		}
	}
	slices.SortFunc(next.pieces, func(a, b *shelved) int {
		if better(a.status.State, b.status.State) {
			return -1
		}
		if better(b.status.State, a.status.State) {
			return 1
		}
		return strings.Compare(a.cid.KeyString(), b.cid.KeyString())
	})
	s.list.Store(next)
	return nil
}

// better orders states by how much a client gets.
func better(a, b State) bool {
	order := []State{Unknown, Ended, Waiting, Priced, Free}
	return slices.Index(order, a) > slices.Index(order, b)
}

// shelve reads what is needed of a piece to find blocks in it.
func (s *Shelf) shelve(ctx context.Context, piece cid.Cid) (*pieceNames, error) {
	if p := s.piece(piece); p != nil {
		return p.pieceNames, nil
	}
	all, archive, err := s.cfg.Open(ctx, piece)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	p := &pieceNames{cid: piece, size: int64(all[0].Size())}
	for n, index := range all {
		if n > 0 {
			p.roots = append(p.roots, index.Root())
		}
		for i := range index.Len() {
			entry, _ := index.At(i)
			p.hashes = append(p.hashes, prefix(entry.CID))
		}
	}
	slices.Sort(p.hashes)
	p.hashes = slices.Compact(p.hashes)
	return p, nil
}

// piece returns a piece that is on the shelf, or nil.
func (s *Shelf) piece(c cid.Cid) *shelved {
	if list := s.list.Load(); list != nil {
		return list.byCID[c]
	}
	return nil
}

// prefix is the first 8 bytes of a CID's digest, or fewer.
func prefix(c cid.Cid) uint64 {
	hash := c.Hash()
	var b [8]byte
	copy(b[:], hash[min(2, len(hash)):])
	return binary.BigEndian.Uint64(b[:])
}

// Ready implements Source.
func (s *Shelf) Ready() error {
	if s.list.Load() == nil {
		return errors.New("the pieces are being indexed")
	}
	return nil
}

// Status implements Source.
func (s *Shelf) Status(ctx context.Context, root cid.Cid) (Status, error) {
	list := s.list.Load()
	if list == nil {
		return Status{State: Waiting, Retry: look}, nil
	}
	status := list.named[version1(root)]
	if status.State == Free {
		return status, nil
	}
	if p, _ := s.holder(ctx, list, root); p != nil && better(p.status.State, status.State) {
		return p.status, nil
	}
	return status, nil
}

// version1 is how roots stand in lists: as CIDs of version 1.
func version1(c cid.Cid) cid.Cid {
	if c.Version() == 0 {
		return cid.NewCidV1(c.Type(), c.Hash())
	}
	return c
}

// spot is a block in a piece.
type spot struct {
	piece cid.Cid
	index *car.Index
	at    int
	size  int
}

// holder returns the piece that holds a block and its place there, a free one if
// any does, nil if none does. The hashes of a piece may name it wrongly; its index
// never does.
func (s *Shelf) holder(ctx context.Context, list *shelfList, c cid.Cid) (*shelved, spot) {
	want := prefix(c)
	for _, p := range list.pieces {
		if _, ok := slices.BinarySearch(p.hashes, want); !ok {
			continue
		}
		all, archive, err := s.cfg.Open(ctx, p.cid)
		if err != nil {
			continue // it is on its way out, or the next look says what is wrong
		}
		archive.Close()
		for _, index := range all {
			for _, codec := range []uint64{c.Type(), cid.Raw, cid.DagProtobuf} {
				if at, ok := index.Find(cid.NewCidV1(codec, c.Hash())); ok {
					entry, _ := index.At(at)
					return p, spot{p.cid, index, at, int(entry.Length)}
				}
			}
		}
	}
	return nil, spot{}
}

// find is holder for what is given out for nothing.
func (s *Shelf) find(ctx context.Context, c cid.Cid) (spot, error) {
	if list := s.list.Load(); list != nil {
		if p, at := s.holder(ctx, list, c); p != nil && p.status.State == Free {
			return at, nil
		}
	}
	return spot{}, ErrNotFound
}

// Block implements Source.
func (s *Shelf) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	at, err := s.find(ctx, c)
	if err != nil {
		return nil, err
	}
	_, archive, err := s.cfg.Open(ctx, at.piece)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	return at.index.ReadBlock(archive, at.at)
}

// BlockSize implements Source.
func (s *Shelf) BlockSize(ctx context.Context, c cid.Cid) (int, error) {
	at, err := s.find(ctx, c)
	return at.size, err
}

// Piece implements Source.
func (s *Shelf) Piece(ctx context.Context, c cid.Cid) (Piece, error) {
	p := s.piece(c)
	if p == nil || p.status.State != Free {
		return nil, ErrNotFound
	}
	_, archive, err := s.cfg.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	return openPiece{io.NewSectionReader(archive, 0, p.size), archive}, nil
}

// openPiece is a piece up to where its archive ends.
type openPiece struct {
	*io.SectionReader
	io.Closer
}

// Providers implements Source. What the node gives away it is said to give at its door,
// too; what it sells is not: to an IPFS client that asks for a block, 402 is the answer
// of a broken server, which it then leaves alone for everything.
func (s *Shelf) Providers(ctx context.Context, root cid.Cid) ([]Provider, error) {
	if s.cfg.Deals == nil {
		return nil, nil
	}
	found, err := s.cfg.Deals.Providers(ctx, root)
	if err != nil || len(s.cfg.Door) == 0 {
		return found, err
	}
	self := slices.IndexFunc(found, func(p Provider) bool { return samePeer(p.Addrs[0], s.cfg.Door[0]) })
	if self < 0 {
		return found, nil
	}
	if status, err := s.Status(ctx, root); err != nil || status.State != Free {
		return found, err
	}
	found = slices.Clone(found) // others read it, too
	found[self] = Provider{Addrs: slices.Concat(found[self].Addrs, s.cfg.Door), Protocols: slices.Concat(found[self].Protocols, []string{protocolGateway})}
	return found, nil
}

// Roots are the payloads that are held and free.
func (s *Shelf) Roots() []cid.Cid {
	if list := s.list.Load(); list != nil {
		return list.roots
	}
	return nil
}
