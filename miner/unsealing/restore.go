package unsealing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/seal"
)

// place is where a piece is in a sector.
type place struct {
	sector uint64
	offset uint64 // of its first raw byte
	padded uint64 // size
}

// locate finds an active sector that holds a piece.
func (u *Unsealing) locate(c cid.Cid) (place, error) {
	of, err := u.records.DealsOfPiece(c)
	if err != nil {
		return place{}, err
	}
	for _, d := range of {
		if d.State != miner.DealActive {
			continue
		}
		s, err := u.records.Sector(d.Sector)
		if errors.Is(err, miner.ErrNoRecord) {
			continue
		}
		if err != nil {
			return place{}, err
		}
		if at, ok := offsetOf(s, c); ok {
			return place{sector: s.Number, offset: at, padded: d.Deal.PaddedSize}, nil
		}
	}
	return place{}, fmt.Errorf("piece %s: %w", c, ErrGone)
}

// offsetOf is where a piece's raw bytes begin in a sector: pieces stand in their
// order, each at the next multiple of its size.
func offsetOf(s *miner.Sector, c cid.Cid) (uint64, bool) {
	sizes := make([]uint64, len(s.Pieces))
	for i, p := range s.Pieces {
		sizes[i] = p.PaddedSize
	}
	offsets, _, err := piece.Layout(sizes, piece.MaxPadded)
	i := slices.IndexFunc(s.Pieces, func(p chain.SectorPiece) bool { return p.PieceCID.Equals(c) })
	if err != nil || i < 0 {
		return 0, false
	}
	return piece.MaxPayload(offsets[i]), true
}

// unsealSector reads a range of a sector's raw bytes.
func unsealSector(ctx context.Context, dir string, w io.Writer, offset, length uint64) error {
	s, err := seal.Find(dir)
	if err != nil {
		return err
	}
	return s.UnsealRange(ctx, w, offset, length)
}

// restore brings the copy of a piece back, from where an earlier try stopped.
func (u *Unsealing) restore(ctx context.Context, o *order) error {
	if _, err := os.Stat(u.disk.Piece(o.piece)); !errors.Is(err, os.ErrNotExist) {
		return err // an earlier process died when it was there
	}
	at, err := u.locate(o.piece)
	if err != nil {
		return err
	}
	size, err := u.cfg.Describe(ctx, o.piece)
	if err != nil {
		return err
	}
	if err := u.disk.Room(size); err != nil {
		return err
	}
	part := u.disk.Piece(o.piece) + ".unsealed.part"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	have, err := resume(f, size)
	if err != nil {
		return err
	}
	u.mu.Lock()
	o.size, o.have = size, have
	u.mu.Unlock()
	if err := u.cfg.Unseal(ctx, u.disk.Sector(at.sector), &counter{u, o, f}, at.offset+have, size-have); err != nil {
		return err
	}
	if err := checkCopy(f, o.piece, at.padded); err != nil {
		return errors.Join(err, f.Truncate(0))
	}
	if _, err := u.locate(o.piece); err != nil { // its deal has ended meanwhile
		return errors.Join(err, os.Remove(part))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, u.disk.Piece(o.piece)); err != nil {
		return err
	}
	return lifecycle.SyncDir(filepath.Dir(part))
}

// resume goes to the end of what an earlier try wrote.
func resume(f *os.File, size uint64) (uint64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	have := min(uint64(info.Size()), size)
	if err := f.Truncate(int64(have)); err != nil {
		return 0, err
	}
	_, err = f.Seek(int64(have), io.SeekStart)
	return have, err
}

// checkCopy says whether a file is the piece.
func checkCopy(f *os.File, want cid.Cid, padded uint64) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	got, err := piece.Commit(f)
	if err != nil {
		return err
	}
	if !got.CID.Equals(want) || got.PaddedSize != padded {
		return fmt.Errorf("what came out of the sector is piece %s of %d bytes, want %s of %d", got.CID, got.PaddedSize, want, padded)
	}
	return nil
}

// counter counts what is written for an order.
type counter struct {
	u *Unsealing
	o *order
	w io.Writer
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.u.mu.Lock()
	c.o.writes += uint64(n)
	c.u.mu.Unlock()
	return n, err
}

// drop removes the copies that nobody has read for a while, of pieces whose deals are
// all active: the sectors of others are still made of them.
func (u *Unsealing) drop(ctx context.Context) error {
	if u.cfg.Idle == 0 {
		return nil
	}
	active, err := u.records.DealsIn(miner.DealActive)
	if err != nil {
		return err
	}
	for _, d := range active {
		if ctx.Err() != nil {
			return nil
		}
		if err := u.dropIdle(ctx, d.Deal.PieceCID); err != nil {
			return fmt.Errorf("piece %s: %w", d.Deal.PieceCID, err)
		}
	}
	return nil
}

func (u *Unsealing) dropIdle(ctx context.Context, c cid.Cid) error {
	path := u.disk.Piece(c)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	u.mu.Lock()
	last := u.used[c]
	u.mu.Unlock()
	if last.Before(info.ModTime()) {
		last = info.ModTime()
	}
	if time.Since(last) < u.cfg.Idle {
		return nil
	}
	at, err := u.locate(c)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	of, err := u.records.DealsOfPiece(c)
	if err != nil {
		return err
	}
	for _, d := range of {
		if d.State != miner.DealActive && d.State != miner.DealEnded && d.State != miner.DealDiscarded {
			return nil
		}
	}
	if _, err := os.Stat(u.disk.Sector(at.sector)); err != nil {
		return err
	}
	if _, err := u.cfg.Describe(ctx, c); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	u.mu.Lock()
	delete(u.used, c)
	u.changes++
	u.mu.Unlock()
	u.cfg.Log.Info("copy of a sealed piece dropped: nobody read it", "piece", c, "sector", at.sector)
	return nil
}
