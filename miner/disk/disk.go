// Package disk knows where a miner's files are and whether there is room.
//
//	ROOT/sectors/s-t01000-7/   one sector: see porep/seal
//	ROOT/pieces/CID.car        pieces, as they came, for retrieval; their indexes beside them
//	ROOT/pieces/CID.unseal     a piece that is to be unsealed
package disk

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/internal/lifecycle"
)

// ErrFull is returned when a path has too little room for what is planned.
var ErrFull = errors.New("not enough disk space")

// Disk is a miner's directory tree.
type Disk struct {
	root    string
	miner   chain.MinerID
	reserve uint64
}

// New makes the directories below root. reserve is the bytes that Room leaves
// to others.
func New(root string, miner chain.MinerID, reserve uint64) (*Disk, error) {
	d := &Disk{root: root, miner: miner, reserve: reserve}
	for _, dir := range []string{d.sectors(), d.pieces()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make disk directory: %w", err)
		}
	}
	return d, nil
}

func (d *Disk) sectors() string { return filepath.Join(d.root, "sectors") }

func (d *Disk) pieces() string { return filepath.Join(d.root, "pieces") }

// Sector is the directory of a sector.
func (d *Disk) Sector(number uint64) string {
	return filepath.Join(d.sectors(), fmt.Sprintf("s-%s-%d", chain.FormatMiner(d.miner, chain.Testnet), number))
}

// Piece is the file of a piece.
func (d *Disk) Piece(c cid.Cid) string { return filepath.Join(d.pieces(), c.String()+".car") }

// PieceIndex is the file of a piece's block index.
func (d *Disk) PieceIndex(c cid.Cid) string { return filepath.Join(d.pieces(), c.String()+".idx") }

// PieceContents is the file that says which payloads a piece holds, if they are several.
func (d *Disk) PieceContents(c cid.Cid) string {
	return filepath.Join(d.pieces(), c.String()+".contents")
}

// order is the file that says that a piece is to be unsealed.
func (d *Disk) order(c cid.Cid) string { return filepath.Join(d.pieces(), c.String()+orderSuffix) }

const orderSuffix = ".unseal"

// Order notes, durably, that a piece is to be unsealed.
func (d *Disk) Order(c cid.Cid) error { return lifecycle.WriteFile(d.order(c), nil, 0o644) }

// OrderDone strikes that note.
func (d *Disk) OrderDone(c cid.Cid) error { return remove(d.order(c)) }

// Orders are the pieces that are to be unsealed, the oldest order first.
func (d *Disk) Orders() ([]cid.Cid, error) {
	paths, err := filepath.Glob(filepath.Join(d.pieces(), "*"+orderSuffix))
	if err != nil {
		return nil, err
	}
	ages := map[string]time.Time{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		ages[path] = info.ModTime()
	}
	slices.SortFunc(paths, func(a, b string) int {
		return cmp.Or(ages[a].Compare(ages[b]), strings.Compare(a, b))
	})
	var out []cid.Cid
	for _, path := range paths {
		c, err := cid.Decode(strings.TrimSuffix(filepath.Base(path), orderSuffix))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// Room reports ErrFull, with the path, unless bytes more fit beside the reserve.
func (d *Disk) Room(bytes uint64) error {
	free, err := d.Free()
	if err != nil {
		return err
	}
	if free < bytes || free-bytes < d.reserve {
		return fmt.Errorf("%s: %s free, %s needed beside %s kept: %w", d.root,
			chain.FormatSize(free), chain.FormatSize(bytes), chain.FormatSize(d.reserve), ErrFull)
	}
	return nil
}

// Free is the bytes that this process may still write.
func (d *Disk) Free() (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.root, &s); err != nil {
		return 0, fmt.Errorf("look at %s: %w", d.root, err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// SectorBytes is the size of the files of a sector; 0 if it has none.
func (d *Disk) SectorBytes(number uint64) (uint64, error) {
	entries, err := os.ReadDir(d.Sector(number))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at sector %d: %w", number, err)
	}
	var sum uint64
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // moved to its place meanwhile
		}
		if err != nil {
			return 0, fmt.Errorf("look at sector %d: %w", number, err)
		}
		if info.Mode().IsRegular() {
			sum += uint64(info.Size())
		}
	}
	return sum, nil
}

// RemoveSector deletes the files of a sector that has ended.
func (d *Disk) RemoveSector(number uint64) error { return os.RemoveAll(d.Sector(number)) }

// DropPiece deletes a piece that turned out to be another one, and what was derived from it.
func (d *Disk) DropPiece(c cid.Cid) error {
	return remove(d.Piece(c), d.PieceIndex(c), d.PieceContents(c), d.order(c))
}

// remove deletes files that may be there.
func remove(paths ...string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// RemovePiece deletes a piece, its index, and what an unfinished fetch left of it.
func (d *Disk) RemovePiece(c cid.Cid) error {
	parts, err := filepath.Glob(d.Piece(c) + ".*.part")
	if err != nil {
		return err
	}
	return errors.Join(remove(parts...), d.DropPiece(c))
}
