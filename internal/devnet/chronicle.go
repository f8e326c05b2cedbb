package devnet

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
)

// Proof is one block's accepted window proofs of a miner.
type Proof struct {
	Miner   chain.MinerID
	Height  chain.Height
	Sectors []uint64 // proven, ascending
}

// holds reports whether a sector is among the proven ones.
func (p *Proof) holds(sector uint64) bool { return slices.Contains(p.Sectors, sector) }

// Happened is an event and the height of its block.
type Happened struct {
	Height chain.Height
	consensus.Event
}

// kept are the kinds of events that a Chronicle remembers as they are.
var kept = map[consensus.EventKind]bool{consensus.EventSectorFaulty: true, consensus.EventSectorEnded: true,
	consensus.EventRepairOrdered: true, consensus.EventRepairEnded: true, consensus.EventFetchRepaid: true}

// Chronicle is what a follower of the whole chain has seen. Its methods may be
// called from many goroutines.
type Chronicle struct {
	mu       sync.Mutex
	changed  chan struct{} // closed when the next Update is in
	height   chain.Height
	deals    map[uint64]chain.Deal
	proofs   []Proof
	happened []Happened
	payers   map[uint64]string       // by channel: address bytes
	redeemed map[uint64]chain.Amount // by channel
	messages uint64
	err      error
}

// NewChronicle returns an empty chronicle; Follow fills it.
func NewChronicle() *Chronicle {
	return &Chronicle{changed: make(chan struct{}), deals: map[uint64]chain.Deal{}, payers: map[uint64]string{}, redeemed: map[uint64]chain.Amount{}}
}

// Follow takes in the Updates of a node from a height on until ctx ends.
func (c *Chronicle) Follow(ctx context.Context, node *rpc.Client, from chain.Height) error {
	err := node.Follow(ctx, from, c.take)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = fmt.Errorf("follow the chain: %w", err)
	close(c.changed)
	c.changed = make(chan struct{})
	return err
}

func (c *Chronicle) take(u *consensus.Update) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range u.Changes {
		if change := &u.Changes[i]; change.Table == chain.TableDeal && change.Value != nil {
			d := new(chain.Deal)
			if err := chain.Decode(change.Value, d); err != nil {
				return fmt.Errorf("decode deal of update %d: %w", u.Height, err)
			}
			c.deals[d.ID] = *d
		}
	}
	for i := range u.Events {
		if err := c.event(u.Height, &u.Events[i]); err != nil {
			return err
		}
	}
	c.height = u.Height
	c.messages += uint64(len(u.Receipts))
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

func (c *Chronicle) event(h chain.Height, e *consensus.Event) (err error) {
	if kept[e.Kind] {
		c.happened = append(c.happened, Happened{h, *e})
	}
	switch e.Kind {
	case consensus.EventChannelOpened:
		c.payers[e.Channel] = string(e.From)
	case consensus.EventSectorProven:
		i := slices.IndexFunc(c.proofs, func(p Proof) bool { return p.Miner == e.Miner && p.Height == h })
		if i < 0 {
			c.proofs = append(c.proofs, Proof{Miner: e.Miner, Height: h})
			i = len(c.proofs) - 1
		}
		c.proofs[i].Sectors = append(c.proofs[i].Sectors, e.Sector)
		slices.Sort(c.proofs[i].Sectors)
	case consensus.EventVoucherRedeemed:
		c.redeemed[e.Channel], err = c.redeemed[e.Channel].Add(e.Amount)
	}
	return err
}

// Wait returns when ready holds for what has been seen, which it checks now
// and after every block.
func (c *Chronicle) Wait(ctx context.Context, ready func() bool) error {
	for {
		c.mu.Lock()
		changed, err := c.changed, c.err
		c.mu.Unlock()
		if ready() || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Height is that of the last Update.
func (c *Chronicle) Height() chain.Height {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.height
}

// Messages is the number of messages in blocks so far.
func (c *Chronicle) Messages() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.messages
}

// Deal returns a deal as the chain has it.
func (c *Chronicle) Deal(id uint64) (chain.Deal, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.deals[id]
	return d, ok
}

// Deals returns the deals that one client's payload has, by ID.
func (c *Chronicle) Deals(of func(*chain.Deal) bool) []chain.Deal {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []chain.Deal
	for _, d := range c.deals {
		if of(&d) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b chain.Deal) int { return int(a.ID) - int(b.ID) })
	return out
}

// Proofs returns all accepted window proofs so far, as they came.
func (c *Chronicle) Proofs() []Proof {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.proofs)
	for i := range out {
		out[i].Sectors = slices.Clone(out[i].Sectors)
	}
	return out
}

// Proven is the number of accepted window proofs that cover a sector.
func (c *Chronicle) Proven(miner chain.MinerID, sector uint64) int {
	n := 0
	for _, p := range c.Proofs() {
		if p.Miner == miner && p.holds(sector) {
			n++
		}
	}
	return n
}

// Happened returns the events of a kind so far, oldest first. It remembers
// faults, ends of sectors, and repairs.
func (c *Chronicle) Happened(kind consensus.EventKind) (out []Happened) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.happened {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// Redeemed is what payees took out of a payer's channels so far, attoPDR.
func (c *Chronicle) Redeemed(payer chain.Address) (chain.Amount, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sum chain.Amount
	for id, a := range c.redeemed {
		if c.payers[id] != string(payer.Bytes()) {
			continue
		}
		var err error
		if sum, err = sum.Add(a); err != nil {
			return sum, err
		}
	}
	return sum, nil
}
