package seal

import (
	"fmt"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/seal/layers"
)

// Scratch returns the bytes that a sector takes on the disk when it is sealed and
// not finalized yet, which is the most that it ever takes: about 7.2 times its
// size with 2 layers, 16.2 times with 11. What stands in no file of the sector,
// like a table of parents that sectors share, is not counted.
func Scratch(params porep.Params) (uint64, error) {
	sizes, err := fileSizes(params)
	if err != nil {
		return 0, fmt.Errorf("scratch space of a sector: %w", err)
	}
	var sum uint64
	for _, size := range sizes {
		sum += size
	}
	return sum, nil
}

// LeastMemory returns the bytes below which [Config].Memory does not suffice to
// label some sectors together, with so many layers of each held in memory. It is
// not more than that for one, times the sectors.
func LeastMemory(params porep.Params, sectors, layersInMemory int) uint64 {
	return layers.Least(sectors, params.SectorSize(), layersInMemory)
}

// fileSizes returns the size of every file that sealing leaves.
func fileSizes(p porep.Params) (map[string]uint64, error) {
	f, err := newForest(p)
	if err != nil {
		return nil, err
	}
	treeD, err := merkle.Binary.StoredSize(p.Nodes, 0)
	if err != nil {
		return nil, err
	}
	treeC, err := f.base.StoredSize(f.leaves, 0)
	if err != nil {
		return nil, err
	}
	treeR, err := f.base.StoredSize(f.leaves, f.discard()+1)
	if err != nil {
		return nil, err
	}
	sizes := map[string]uint64{
		unsealedFile: p.SectorSize(), treeDFile: treeD, sealedFile: p.SectorSize(), auxFile: 2 * porep.NodeSize,
	}
	for layer := 1; layer <= p.Layers; layer++ {
		sizes[layerFile(layer)] = p.SectorSize()
	}
	for _, name := range baseFiles(treeCFile, p.Shape) {
		sizes[name] = treeC
	}
	for _, name := range baseFiles(treeRLastFile, p.Shape) {
		sizes[name] = treeR
	}
	return sizes, nil
}
