package daemon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/gateway"
)

// shelf is what a miner shows to ordinary IPFS clients: the pieces on its disk. It
// is a gateway.Source over a list of them that is made anew from time to time and
// then never changes.
type shelf struct {
	records miner.Records
	disk    *disk.Disk
	pieces  *source
	terms   func(*chain.Deal) gateway.Terms // what the data of a deal costs
	log     *slog.Logger
	*gateway.Deals

	list atomic.Pointer[shelfList] // nil before the first look
}

// shelfList is what there is at one time.
type shelfList struct {
	pieces []*shelved // on disk, the free ones first
	// named is how things stand with pieces and with roots of payloads: the best of
	// all deals over each.
	named map[cid.Cid]gateway.Status
	roots []cid.Cid // of payloads that are free
}

// shelved is a piece on the shelf.
type shelved struct {
	*pieceNames
	status gateway.Status // Free or Priced
}

// pieceNames is what is kept in memory of a piece: 8 bytes a block.
type pieceNames struct {
	cid    cid.Cid
	size   int64
	hashes []uint64  // the first 8 bytes of its blocks' digests, ascending
	roots  []cid.Cid // of the payloads in it, if they are several
}

// names are all that a piece is asked for by. p is nil for one that is not on disk.
func (p *pieceNames) names(piece, root cid.Cid) []cid.Cid {
	out := []cid.Cid{piece, root}
	if p != nil {
		out = append(out, p.roots...)
	}
	return out
}

// look is how often the shelf looks what has come and gone; wait is what clients
// are told of pieces on their way.
const (
	look = 2 * time.Second
	wait = 30 * time.Second
)

// Run keeps the list until ctx ends.
func (s *shelf) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// look makes the list anew. What was read of a piece before is taken over.
func (s *shelf) look(ctx context.Context) error {
	all, err := s.records.Deals()
	if err != nil {
		return fmt.Errorf("list pieces: %w", err)
	}
	next, shown := &shelfList{named: map[cid.Cid]gateway.Status{}}, map[cid.Cid]*pieceNames{}
	for _, d := range all {
		status := s.statusOf(d)
		if status.State == gateway.Unknown {
			continue
		}
		piece := d.Deal.PieceCID
		if onDisk := status.State == gateway.Free || status.State == gateway.Priced; onDisk && shown[piece] == nil {
			if shown[piece], err = s.shelve(ctx, piece); err != nil {
				s.log.Warn("piece is not shown", "piece", piece, "err", err)
				status = gateway.Status{State: gateway.Waiting, Retry: wait}
			}
		}
		for _, c := range shown[piece].names(piece, d.Deal.PayloadRoot) {
			if better(status.State, next.named[c].State) {
				next.named[c] = status
				if status.State == gateway.Free && c != piece { // once: nothing is better
					next.roots = append(next.roots, c)
				}
			}
		}
	}
	for piece, names := range shown {
		if names != nil {
			next.pieces = append(next.pieces, &shelved{names, next.named[piece]})
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

// statusOf says what clients may be told of a deal.
func (s *shelf) statusOf(d *miner.Deal) gateway.Status {
	switch {
	case held(d.State):
		if terms := s.terms(&d.Deal); !terms.Price.IsZero() {
			return gateway.Status{State: gateway.Priced, Terms: terms}
		}
		return gateway.Status{State: gateway.Free}
	case d.State == miner.DealFetching:
		return gateway.Status{State: gateway.Waiting, Retry: wait}
	case d.State == miner.DealEnded:
		return gateway.Status{State: gateway.Ended}
	}
	return gateway.Status{}
}

// better orders states by how much a client gets.
func better(a, b gateway.State) bool {
	order := []gateway.State{gateway.Unknown, gateway.Ended, gateway.Waiting, gateway.Priced, gateway.Free}
	return slices.Index(order, a) > slices.Index(order, b)
}

// shelve reads what is needed of a piece to find blocks in it.
func (s *shelf) shelve(ctx context.Context, piece cid.Cid) (*pieceNames, error) {
	if p := s.piece(piece); p != nil {
		return p.pieceNames, nil
	}
	all, archive, err := s.pieces.all(ctx, piece)
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
func (s *shelf) piece(c cid.Cid) *shelved {
	list := s.list.Load()
	if list == nil {
		return nil
	}
	if i := slices.IndexFunc(list.pieces, func(p *shelved) bool { return p.cid.Equals(c) }); i >= 0 {
		return list.pieces[i]
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

// Ready implements gateway.Source.
func (s *shelf) Ready() error {
	if s.list.Load() == nil {
		return errors.New("the pieces are being indexed")
	}
	return nil
}

// Status implements gateway.Source.
func (s *shelf) Status(ctx context.Context, root cid.Cid) (gateway.Status, error) {
	list := s.list.Load()
	if list == nil {
		return gateway.Status{State: gateway.Waiting, Retry: look}, nil
	}
	status := list.named[payload(root)]
	if status.State == gateway.Free {
		return status, nil
	}
	if p, _ := s.holder(ctx, list, root); p != nil && better(p.status.State, status.State) {
		return p.status, nil
	}
	return status, nil
}

// payload is how roots stand in deals: as CIDs of version 1.
func payload(c cid.Cid) cid.Cid {
	if c.Version() == 0 {
		return cid.NewCidV1(c.Type(), c.Hash())
	}
	return c
}

// place is a block in a piece.
type place struct {
	piece cid.Cid
	index *car.Index
	at    int
	size  int
}

// holder returns the piece that holds a block and its place there, a free one if
// any does, nil if none does. The hashes of a piece may name it wrongly; its index
// never does.
func (s *shelf) holder(ctx context.Context, list *shelfList, c cid.Cid) (*shelved, place) {
	want := prefix(c)
	for _, p := range list.pieces {
		if _, ok := slices.BinarySearch(p.hashes, want); !ok {
			continue
		}
		all, archive, err := s.pieces.all(ctx, p.cid)
		if err != nil {
			continue // it is on its way out, or the next look says what is wrong
		}
		archive.Close()
		for _, index := range all {
			for _, codec := range []uint64{c.Type(), cid.Raw, cid.DagProtobuf} {
				if at, ok := index.Find(cid.NewCidV1(codec, c.Hash())); ok {
					entry, _ := index.At(at)
					return p, place{p.cid, index, at, int(entry.Length)}
				}
			}
		}
	}
	return nil, place{}
}

// find is holder for what is given out for nothing.
func (s *shelf) find(ctx context.Context, c cid.Cid) (place, error) {
	if list := s.list.Load(); list != nil {
		if p, at := s.holder(ctx, list, c); p != nil && p.status.State == gateway.Free {
			return at, nil
		}
	}
	return place{}, gateway.ErrNotFound
}

// Block implements gateway.Source.
func (s *shelf) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	at, err := s.find(ctx, c)
	if err != nil {
		return nil, err
	}
	_, archive, err := s.pieces.all(ctx, at.piece)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	return at.index.ReadBlock(archive, at.at)
}

// BlockSize implements gateway.Source.
func (s *shelf) BlockSize(ctx context.Context, c cid.Cid) (int, error) {
	at, err := s.find(ctx, c)
	return at.size, err
}

// Piece implements gateway.Source.
func (s *shelf) Piece(_ context.Context, c cid.Cid) (gateway.Piece, error) {
	p := s.piece(c)
	if p == nil || p.status.State != gateway.Free {
		return nil, gateway.ErrNotFound
	}
	f, err := os.Open(s.disk.Piece(c))
	if errors.Is(err, os.ErrNotExist) {
		return nil, gateway.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open piece %s: %w", c, err)
	}
	return pieceFile{io.NewSectionReader(f, 0, p.size), f}, nil
}

// pieceFile is a piece up to where its archive ends.
type pieceFile struct {
	*io.SectionReader
	file *os.File
}

// Close implements io.Closer.
func (p pieceFile) Close() error { return p.file.Close() }

// Roots are the payloads that are held and free.
func (s *shelf) Roots() []cid.Cid {
	if list := s.list.Load(); list != nil {
		return list.roots
	}
	return nil
}

// dealChain is the chain as provider answers need it.
type dealChain struct{ d *Daemon }

// Peer implements gateway.Chain.
func (c dealChain) Peer(ctx context.Context, id chain.MinerID) (chain.Peer, error) {
	m := new(chain.Miner)
	_, err := c.d.node.Record(ctx, chain.MinerKey(id), m)
	return m.Peer, err
}
