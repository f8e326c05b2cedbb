package seller

import (
	"context"
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/car"
)

// cursor goes through the ordinals that a Want names.
type cursor struct {
	index *car.Index
	runs  []retrieval.Run
	begun bool // the first run is under way
	at    int
	left  uint64 // blocks left of the run; to the end if open
	open  bool
}

// next is the entry that is due; reason is not 0 at the end.
func (c *cursor) next() (e car.Entry, reason retrieval.Reason) {
	for len(c.runs) > 0 {
		if !c.begun {
			run := c.runs[0]
			c.begun, c.left, c.open = true, run.Count, run.Count == 0
			c.at = c.index.Len()
			if run.CID != nil {
				if i, ok := c.index.Find(*run.CID); ok {
					c.at = i
				}
			} else if run.First < uint64(c.index.Len()) {
				c.at = int(run.First)
			}
			if c.at == c.index.Len() && (run.CID != nil || run.First != uint64(c.at) || !c.open) {
				return e, retrieval.Missing
			}
		}
		if c.open || c.left > 0 {
			e, ok := c.index.At(c.at)
			switch {
			case ok:
				return e, 0
			case !c.open:
				return e, retrieval.Missing
			}
		}
		c.runs, c.begun = c.runs[1:], false
	}
	return e, retrieval.Complete
}

// place is an entry with its ordinal.
type place struct {
	car.Entry
	ordinal int
}

// step takes the entry that next gave.
func (c *cursor) step() {
	c.at++
	if !c.open {
		c.left--
	}
}

// answer sends what a Want asks for, and its End. A chunk is read while those
// before it are being paid for.
func (x *session) answer(ctx context.Context, w *want) error {
	c := cursor{index: x.piece.index, runs: w.Runs}
	end := &retrieval.End{Want: w.ID}
	if called, err := x.unseal(ctx, w); err != nil {
		return err
	} else if called {
		end.Reason = retrieval.Cancelled
	}
	for end.Reason == 0 {
		var entries []place
		entries, end.Reason = x.nextChunk(&c)
		if len(entries) == 0 {
			break
		}
		total, err := x.load(w.ID, entries)
		if err != nil {
			x.collect(ctx)
			return err
		}
		cancelled, err := x.credit(ctx, w)
		if err != nil {
			return err
		}
		if cancelled {
			end.Reason = retrieval.Cancelled
			break
		}
		if err := x.sendChunk(ctx, total); err != nil {
			return err
		}
		end.Blocks += uint64(len(entries))
	}
	return x.conn.Write(end)
}

// nextChunk collects the entries of one chunk. A reason comes with the last.
func (x *session) nextChunk(c *cursor) (entries []place, reason retrieval.Reason) {
	var p retrieval.Packer
	for {
		e, reason := c.next()
		if reason != 0 {
			return entries, reason
		}
		if !p.Fits(uint64(e.Length)) {
			return entries, 0
		}
		p.Add(uint64(e.Length))
		entries = append(entries, place{e, c.at})
		c.step()
	}
}

// load reads the blocks of a chunk straight into its frame and checks them. It
// returns how many bytes they have.
func (x *session) load(id uint64, entries []place) (total int, err error) {
	blocks := make([]retrieval.Block, len(entries))
	sizes := make([]uint32, len(entries))
	for i, e := range entries {
		blocks[i].CID, sizes[i] = e.CID, e.Length
	}
	x.buf = retrieval.ChunkFrame(id, blocks, sizes, x.buf)
	for i, e := range entries {
		if n, err := x.data.ReadAt(blocks[i].Data, int64(e.Offset)); n < len(blocks[i].Data) {
			return 0, fmt.Errorf("read block %s at %d of piece %s: %w", e.CID, e.Offset, x.offer.Piece, err)
		}
		if err := x.piece.check(e.ordinal, e.CID, blocks[i].Data); err != nil {
			return 0, fmt.Errorf("read block at %d of piece %s: %w", e.Offset, x.offer.Piece, err)
		}
		total += len(blocks[i].Data)
	}
	return total, nil
}

// sendChunk sends the frame that load made.
func (x *session) sendChunk(ctx context.Context, total int) error {
	if err := x.seller.throttle.wait(ctx, x.quota, total); err != nil {
		return err
	}
	x.seller.mu.Lock()
	x.chunks++
	x.bytes += uint64(total)
	x.seller.mu.Unlock()
	return x.conn.WriteRoomy(x.buf)
}

// credit waits until one more chunk may be sent, and counts it as due, or until
// the Want is called off.
func (x *session) credit(ctx context.Context, w *want) (cancelled bool, err error) {
	if x.offer.Price.IsZero() {
		err = x.await(ctx, 0, nil, func() bool { cancelled = w.cancelled; return true })
		return cancelled, err
	}
	if err := x.watchChannel(ctx); err != nil {
		return false, err
	}
	var barred error
	limit := x.seller.cfg.PayTimeout
	late := retrieval.Errorf(retrieval.CodeUnpaid, "no payment came within %s", limit)
	err = x.await(ctx, limit, late, func() bool {
		if cancelled = w.cancelled; !cancelled && x.free == 0 {
			barred = x.barred()
		}
		if cancelled || barred != nil {
			x.waits = false
			x.wakeOthers()
			return true
		}
		x.waits = !x.draw()
		return !x.waits
	})
	if err != nil {
		x.giveUp()
	}
	return cancelled, errors.Join(err, barred)
}

// barred is why nothing is lent on the session's channel, whatever is paid for
// this session: earlier ones left a whole window unpaid. seller.mu is held, here
// and below.
func (x *session) barred() error {
	if x.held == nil || x.covers == 0 || x.owed < x.offer.Credit || x.lent() > 0 {
		return nil
	}
	return retrieval.Errorf(retrieval.CodeUnpaid, "sessions on channel %d that broke off left %d chunks unpaid", x.lane.channel, x.owed)
}

// lent is how many chunks all sessions on the channel were sent and have not
// paid.
func (x *session) lent() (chunks uint64) {
	for k, other := range x.seller.lanes {
		if k.channel == x.lane.channel {
			chunks += other.unpaid()
		}
	}
	return chunks
}

// draw takes the next chunk from what is free, or lends it.
func (x *session) draw() bool {
	if x.free > 0 {
		x.free--
		return true
	}
	if !x.mayLend() {
		return false
	}
	x.seller.turn++
	x.turn = x.seller.turn
	x.sent++ // before it is written: the tick for it may come at once
	x.wakeOthers()
	return true
}

// collect waits for what the buyer owes, before the session ends by this side's
// fault.
func (x *session) collect(ctx context.Context) {
	_ = x.await(ctx, x.seller.cfg.PayTimeout, nil, func() bool { return x.unpaid() == 0 })
}

// giveUp ends a wait for credit, for which others may have stood back.
func (x *session) giveUp() {
	x.seller.mu.Lock()
	defer x.seller.mu.Unlock()
	x.waits = false
	x.wakeOthers()
}

// wakeOthers makes the other sessions that are paid on the channel look again.
func (x *session) wakeOthers() {
	for k, other := range x.seller.lanes {
		if other != x && k.channel == x.lane.channel {
			other.signal()
		}
	}
}

// mayLend says whether the next chunk may be sent unpaid.
func (x *session) mayLend() bool {
	if x.held == nil || x.covers == 0 {
		return false
	}
	if unpaid := x.unpaid(); x.held.Ticks+unpaid >= x.covers {
		if unpaid == 0 && !x.told {
			x.told = true
			x.outbox = append(x.outbox, standingOf(x.held))
			x.signal()
		}
		return false
	}
	return x.hasWindow() && x.lent()+x.owed < x.offer.Credit && !x.yields()
}

// yields reports whether another session of the channel that waits, and could go
// on, goes first. It is woken by whatever woke this one.
func (x *session) yields() bool {
	for k, other := range x.seller.lanes {
		if k.channel == x.lane.channel && other != x && other.waits && other.before(x) && other.covered() && other.hasWindow() {
			return true
		}
	}
	return false
}

// covered reports whether the channel covers another chunk of the session.
func (x *session) covered() bool { return x.held != nil && x.held.Ticks+x.unpaid() < x.covers }

// hasWindow reports whether the session itself has credit left.
func (x *session) hasWindow() bool {
	return x.unpaid() < retrieval.Window(x.paid-x.unsealed, x.offer.Credit, x.owed)
}

// before reports whether the session goes before another one of its channel: who
// has less unpaid, then who was served longer ago, so that none waits for ever.
func (x *session) before(other *session) bool {
	if a, b := x.unpaid(), other.unpaid(); a != b {
		return a < b
	}
	return x.turn < other.turn
}

// unpaid is how many chunks are due and not paid.
func (x *session) unpaid() uint64 {
	if x.paid >= x.sent {
		return 0
	}
	return x.sent - x.paid
}

// watchChannel looks at the channel once a block: nothing more is lent on one
// that is being settled, or on a voucher that comes near its end.
func (x *session) watchChannel(ctx context.Context) error {
	height, err := x.seller.cfg.Chain.Height(ctx)
	if err != nil {
		return fmt.Errorf("ask height: %w", err)
	}
	x.seller.mu.Lock()
	held := x.held
	x.seller.mu.Unlock()
	if height == x.height || held == nil {
		return nil
	}
	x.height = height
	c, err := x.seller.cfg.Chain.Channel(ctx, held.Voucher.Voucher.Channel)
	switch {
	case err != nil:
		return fmt.Errorf("look up channel %d: %w", held.Voucher.Voucher.Channel, err)
	case c == nil || c.SettleAt != 0:
		return retrieval.Errorf(retrieval.CodeVoucher, "channel %d is being settled", held.Voucher.Voucher.Channel)
	case held.Voucher.Voucher.ExpiresAt < height+chain.Height(x.seller.life()):
		x.seller.mu.Lock()
		x.covers = 0
		if !x.told {
			x.told = true
			x.outbox = append(x.outbox, standingOf(held))
		}
		x.seller.mu.Unlock()
	}
	return nil
}
