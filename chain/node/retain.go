package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state"
)

// part is a store of the past: blocks, states or the index.
type part struct {
	name    string
	want    uint64        // heights that the config asks for; 0: what the network keeps
	most    uint64        // heights that are kept at most
	least   uint64        // and however little space there is
	because string        // it is the least
	limit   atomic.Uint64 // heights that are kept now
	// size is the space that it takes, kept how many heights it holds, compact
	// gives back the space of what was deleted.
	size    func() uint64
	kept    func() uint64
	compact func(context.Context) error
	crowded bool // its limit was lowered since it was compacted
}

// bound sets how many heights are kept, usually and at least. A part that was
// shortened for want of space stays so, within them.
func (x *part) bound(usual, least uint64) {
	whole := x.limit.Load() >= x.most
	x.least, x.most = least, max(least, cmp.Or(x.want, usual))
	if whole {
		x.limit.Store(x.most)
		return
	}
	x.limit.Store(max(x.least, min(x.most, x.limit.Load())))
}

// keeper keeps the past within its bounds while the node runs, and writes snapshots.
type keeper struct {
	node                 *Node
	log                  *slog.Logger
	blocks, state, index *part
	budget               uint64  // bytes of the disk; 0: any
	interval, copies     uint64  // of snapshots
	params               cid.Cid // that the bounds follow from; undefined: those of genesis
	looked               chain.Height
	tried                chain.Height // snapshot that was begun last
}

// lookEvery is how many heights pass between two looks at the disk.
const lookEvery = 50

// pruneStep is how many blocks the engine prunes at once: each time costs a sync.
const pruneStep = 10

// newKeeper reads the bounds of a config, under the parameters in force.
func newKeeper(n *Node) (*keeper, error) {
	c := &n.config
	k := &keeper{node: n, log: n.log.With("part", "keeper"), copies: c.Snapshots.Keep}
	k.blocks = &part{name: "blocks", want: c.Retention.Blocks, because: "three proving periods, and as long as evidence counts",
		size: n.blocksSize, kept: n.keptBlocks, compact: n.compactBlocks}
	k.state = &part{name: "state", want: c.Retention.State, because: "three proving periods",
		size: n.store.Size, kept: n.keptStates, compact: n.store.Compact}
	k.index = &part{name: "index", want: c.Retention.Index, because: "three proving periods",
		size: n.indexSize, kept: n.keptHistory, compact: n.compactIndex}
	k.bound(n.params)
	if v := n.store.View(); v != nil {
		if _, err := k.adopt(v); err != nil {
			return nil, err
		}
	}
	for _, x := range k.parts() {
		if x.want != 0 && x.want < x.least {
			return nil, fmt.Errorf("config: retention.%s is %d, want at least %d: %s", x.name, x.want, x.least, x.because)
		}
	}
	if c.Retention.Disk != "" {
		var err error
		if k.budget, err = chain.ParseSize(c.Retention.Disk); err != nil {
			return nil, fmt.Errorf("config: retention.disk: %w", err)
		}
	}
	return k, nil
}

func (k *keeper) parts() []*part { return []*part{k.blocks, k.state, k.index} }

// bound sets the bounds that follow from parameters.
func (k *keeper) bound(p *consensus.Params) {
	periods := 3 * p.Period()
	k.blocks.bound(max(p.StateRetention, p.EvidenceAge), max(periods, p.EvidenceAge))
	k.state.bound(p.StateRetention, periods)
	k.index.bound(math.MaxUint64, periods)
	k.interval = cmp.Or(k.node.config.Snapshots.Interval, max(1, p.StateRetention/4))
}

// adopt takes over the bounds of a state's parameters, and reports whether they
// are others than before.
func (k *keeper) adopt(v *state.View) (bool, error) {
	if v.ParamsLink() == k.params {
		return false, nil
	}
	p, err := v.Params()
	if err != nil {
		return false, err
	}
	k.params = v.ParamsLink()
	k.bound(p)
	return true, nil
}

// follow brings what is kept in line with the parameters of a new state.
func (k *keeper) follow(v *state.View) error {
	changed, err := k.adopt(v)
	if err != nil || !changed {
		return err
	}
	for _, x := range k.parts() {
		if x.want != 0 && x.want < x.least {
			k.log.Warn("keeping more than the config asks for", "part", x.name, "config", x.want, "heights", x.least, "because", x.because)
		}
		k.set(x, x.limit.Load())
	}
	k.log.Info("keeping what the network's parameters say", "blocks", k.blocks.limit.Load(), "state", k.state.limit.Load(), "snapshots every", k.interval)
	return nil
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
			if err := k.follow(v); err != nil && ctx.Err() == nil {
				k.log.Error("what is kept does not follow the parameters", "error", err)
			}
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
	parts := k.parts()
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
