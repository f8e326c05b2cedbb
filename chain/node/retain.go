package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// part is a store of the past: blocks, states or the index.
type part struct {
	name  string
	most  uint64        // heights that are kept at most
	least uint64        // and however little space there is
	limit atomic.Uint64 // that are kept now
	// size is the space that it takes, kept how many heights it holds, compact
	// gives back the space of what was deleted.
	size    func() uint64
	kept    func() uint64
	compact func(context.Context) error
	crowded bool // its limit was lowered since it was compacted
}

// keeper keeps the past within its bounds while the node runs, and writes snapshots.
type keeper struct {
	node                 *Node
	log                  *slog.Logger
	blocks, state, index *part
	budget               uint64 // bytes of the disk; 0: any
	interval, copies     uint64 // of snapshots
	looked               chain.Height
	tried                chain.Height // snapshot that was begun last
}

// lookEvery is how many heights pass between two looks at the disk.
const lookEvery = 50

// pruneStep is how many blocks the engine prunes at once: each time costs a sync.
const pruneStep = 10

// newKeeper reads the bounds of a config.
func newKeeper(n *Node) (*keeper, error) {
	k := &keeper{node: n, log: n.log.With("part", "keeper")}
	p, c := n.params, &n.config
	periods := 3 * p.Period()
	evidence := uint64(engineParams(p).Evidence.MaxAgeNumBlocks)
	for _, b := range []struct {
		to                     **part
		name                   string
		want, otherwise, least uint64
		because                string
		size, kept             func() uint64
		compact                func(context.Context) error
	}{
		{&k.blocks, "blocks", c.Retention.Blocks, max(p.StateRetention, evidence), max(periods, evidence),
			"three proving periods, and as long as evidence counts", n.blocksSize, n.keptBlocks, n.compactBlocks},
		{&k.state, "state", c.Retention.State, p.StateRetention, periods, "three proving periods",
			n.store.Size, n.keptStates, n.store.Compact},
		{&k.index, "index", c.Retention.Index, math.MaxUint64, periods, "three proving periods",
			n.indexSize, n.keptHistory, n.compactIndex},
	} {
		x := &part{name: b.name, most: b.otherwise, least: b.least, size: b.size, kept: b.kept, compact: b.compact}
		if b.want != 0 {
			x.most = b.want
		}
		if x.most < x.least {
			return nil, fmt.Errorf("config: retention.%s is %d, want at least %d: %s", b.name, x.most, x.least, b.because)
		}
		x.limit.Store(x.most)
		*b.to = x
	}
	if c.Retention.Disk != "" {
		var err error
		if k.budget, err = chain.ParseSize(c.Retention.Disk); err != nil {
			return nil, fmt.Errorf("config: retention.disk: %w", err)
		}
	}
	k.interval, k.copies = c.Snapshots.interval(p), c.Snapshots.Keep
	return k, nil
}

// interval is the heights between two snapshots.
func (c *SnapshotConfig) interval(p *consensus.Params) uint64 {
	if c.Interval != 0 {
		return c.Interval
	}
	return max(1, p.StateRetention/4)
}

// retain is the oldest block that the engine must keep after a height: a node
// that starts from the oldest snapshot needs what comes after it.
func (k *keeper) retain(tip chain.Height) chain.Height {
	keep := chain.Height(k.blocks.limit.Load())
	if tip <= keep {
		return 0
	}
	oldest := tip - keep
	if all := k.node.snapshots.List(); len(all) > 0 {
		oldest = min(oldest, all[0].Height)
	}
	return oldest - oldest%pruneStep
}

// run follows the chain until ctx ends.
func (k *keeper) run(ctx context.Context) {
	for {
		changed := k.node.store.Changed()
		if v := k.node.store.View(); v != nil {
			k.snapshot(ctx, v.Height())
			if v.Height() >= k.looked+lookEvery || v.Height() < k.looked {
				k.looked = v.Height()
				k.look(ctx)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// snapshot writes the snapshot that is due at a height. All nodes with one
// interval write the same ones.
func (k *keeper) snapshot(ctx context.Context, tip chain.Height) {
	due := tip - tip%chain.Height(k.interval)
	if k.copies == 0 || due == 0 || due == k.tried || due < k.node.store.Oldest() {
		return
	}
	k.tried = due
	m, err := k.node.snapshots.Write(ctx, k.node.store, due)
	if err == nil {
		k.log.Info("wrote a snapshot", "height", m.Height, "bytes", m.Size, "chunks", m.Chunks())
		err = k.node.snapshots.Keep(int(k.copies))
	}
	if err != nil && ctx.Err() == nil { // others have snapshots, too: no reason to stop
		k.log.Error("no snapshot of this height", "height", due, "error", err)
	}
}

// used is the space that everything takes.
func (k *keeper) used() uint64 {
	return k.blocks.size() + k.state.size() + k.index.size() + k.node.snapshots.Size()
}

// look compares the disk with the budget. What exceeds it is given back first,
// then the largest part that may be shorter loses an eighth of its heights;
// while there is room again, parts grow back.
func (k *keeper) look(ctx context.Context) {
	if k.budget == 0 {
		return
	}
	parts := []*part{k.blocks, k.state, k.index}
	used := k.used()
	for _, x := range parts {
		if used > k.budget && x.crowded {
			x.crowded = false
			if err := x.compact(ctx); err != nil && ctx.Err() == nil {
				k.log.Error("space was not given back", "part", x.name, "error", err)
			}
			used = k.used()
		}
	}
	switch {
	case used > k.budget:
		k.shorten(parts, used)
	case used < k.budget-k.budget/4:
		for _, x := range parts {
			if limit := x.limit.Load(); limit < x.most {
				k.set(x, min(x.most, limit+limit/8+1))
			}
		}
	}
}

// shorten takes heights from the largest part that has some to give.
func (k *keeper) shorten(parts []*part, used uint64) {
	var largest *part
	var size uint64
	for _, x := range parts {
		if min(x.limit.Load(), x.kept()) > x.least && (largest == nil || x.size() > size) {
			largest, size = x, x.size()
		}
	}
	if largest == nil {
		k.log.Warn("the disk budget is too small for what must be kept", "used", used, "budget", k.budget)
		return
	}
	kept := min(largest.limit.Load(), largest.kept())
	k.set(largest, max(largest.least, kept-kept/8-1))
	largest.crowded = true
	k.log.Info("keeping less of the past", "part", largest.name, "heights", largest.limit.Load(), "used", used, "budget", k.budget)
}

// set changes how many heights of a part are kept.
func (k *keeper) set(x *part, heights uint64) {
	x.limit.Store(heights)
	switch x {
	case k.state:
		k.node.store.Keep(heights)
	case k.index:
		if k.node.index != nil {
			k.node.index.Keep(heights)
		}
	}
}

// blocksSize is the space of the engine's files.
func (n *Node) blocksSize() uint64 {
	size, _ := sizeOf(filepath.Join(cometHome(n.home), "data")) // files that go meanwhile do not count
	return size
}

// sizeOf adds up the files below a directory.
func sizeOf(dir string) (sum uint64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			sum += uint64(info.Size())
		}
		return err
	})
	return sum, err
}

func (n *Node) keptBlocks() uint64 { return uint64(n.comet.BlockStore().Size()) }

func (n *Node) keptStates() uint64 {
	if v := n.store.View(); v != nil {
		return uint64(v.Height() - n.store.Oldest())
	}
	return 0
}

func (n *Node) keptHistory() uint64 {
	if n.index == nil {
		return 0
	}
	first, tip, ok := n.index.Tip()
	if !ok || tip < first {
		return 0
	}
	return uint64(tip-first) + 1
}

func (n *Node) indexSize() uint64 {
	if n.index == nil {
		return 0
	}
	return n.index.Size()
}

func (n *Node) compactIndex(ctx context.Context) error {
	if n.index == nil {
		return nil
	}
	return n.index.Compact(ctx)
}

// compactBlocks gives back the space of blocks that the engine pruned.
func (n *Node) compactBlocks(context.Context) error {
	for _, db := range n.databases {
		if err := db.Compact(nil, nil); err != nil {
			return fmt.Errorf("compact blocks: %w", err)
		}
	}
	return nil
}
