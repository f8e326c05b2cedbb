package piece

import "fmt"

// Piece is what CommD depends on: a piece's commitment and its padded size in bytes.
type Piece struct {
	CommP      [32]byte
	PaddedSize uint64
}

// Piece returns the commitment and size that the info names. It fails if the CID is no piece CID.
func (i Info) Piece() (Piece, error) {
	commP, err := ParseUnsealedCID(i.CID)
	if err != nil {
		return Piece{}, err
	}
	return Piece{CommP: commP, PaddedSize: i.PaddedSize}, nil
}

// Layout places pieces of those padded sizes, in their order, in a sector of that padded size. Each
// starts at the next multiple of its own size; the offsets are in padded bytes. end is where the
// last one ends. It fails for a size that no piece has and if the pieces do not fit.
func Layout(sizes []uint64, sectorSize uint64) (offsets []uint64, end uint64, err error) {
	if err := CheckPadded(sectorSize); err != nil {
		return nil, 0, fmt.Errorf("lay out sector: %w", err)
	}
	offsets = make([]uint64, len(sizes))
	for i, size := range sizes {
		if err := CheckPadded(size); err != nil {
			return nil, 0, fmt.Errorf("lay out piece %d: %w", i, err)
		}
		start := alignUp(end, size)
		if start > sectorSize || size > sectorSize-start {
			return nil, 0, fmt.Errorf("lay out piece %d: %d bytes at %d do not fit a sector of %d", i, size, start, sectorSize)
		}
		offsets[i], end = start, start+size
	}
	return offsets, end, nil
}

// alignUp rounds n up to a multiple of a power of two.
func alignUp(n, size uint64) uint64 { return (n + size - 1) &^ (size - 1) }

// CommD returns the commitment of a sector of that padded size that holds the pieces, placed as
// Layout says, and zeros elsewhere. No pieces give the commitment of an empty sector.
func CommD(pieces []Piece, sectorSize uint64) ([32]byte, error) {
	sizes := make([]uint64, len(pieces))
	for i, p := range pieces {
		sizes[i] = p.PaddedSize
	}
	if _, _, err := Layout(sizes, sectorSize); err != nil {
		return [32]byte{}, err
	}
	if len(pieces) == 0 {
		return ZeroCommitment(sectorSize)
	}
	var tree stack
	for _, p := range pieces {
		tree.fill(level(p.PaddedSize))
		tree.push(p.CommP, level(p.PaddedSize))
	}
	tree.fill(level(sectorSize))
	return tree.nodes[0], nil
}
