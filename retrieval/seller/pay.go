package seller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/ledger"
)

// takePay judges a voucher, makes it durable and answers with where the lane
// stands. The voucher pays from now on if it meets the offer.
func (x *session) takePay(ctx context.Context, p *retrieval.Pay) error {
	if x.offer.Price.IsZero() {
		return retrieval.Errorf(retrieval.CodeVoucher, "there is nothing to pay")
	}
	if x.crowded() {
		return retrieval.Errorf(retrieval.CodeMalformed, "the answers to %d Pays were not read", maxAnswers)
	}
	for patience := time.Now().Add(x.seller.cfg.Patience); ; {
		err := x.acceptPay(ctx, p)
		late := errors.Is(err, errNoChannel) || errors.Is(err, errUncovered) && !p.Resume
		if !late || !x.lookAgain(ctx, patience) {
			return err
		}
	}
}

// acceptPay is takePay by what this side knows of the channel now.
func (x *session) acceptPay(ctx context.Context, p *retrieval.Pay) error {
	v := &p.Voucher.Voucher
	key := laneKey{v.Channel, v.Lane}
	if _, err := x.checkSigned(ctx, &p.Voucher); err != nil {
		return err
	}
	if err := x.occupy(ctx, key); err != nil {
		return err
	}
	if err := x.storeTick(); err != nil {
		return err
	}
	// One voucher at a time, from the look at the channel on: what one session
	// is promised no other may count on.
	x.seller.paying.Lock()
	defer x.seller.paying.Unlock()
	c, err := x.channel(ctx, v.Channel)
	if err != nil {
		return err
	}
	held, recovered, err := x.recall(key, p)
	if err != nil {
		return err
	}
	covers, err := x.judge(ctx, c, key, held, p)
	if err != nil && p.Resume && retrieval.CodeOf(err) != retrieval.CodeBusy {
		covers, err = 0, nil
	}
	if err != nil {
		return err
	}
	if held == nil || covers > 0 && held.Voucher.Voucher.Nonce < v.Nonce {
		if covers == 0 { // a voucher of old that this seller does not hold
			x.answerPay(&retrieval.Standing{Channel: v.Channel, Lane: v.Lane, Tick: [32]byte{}})
			return nil
		}
		recovered = acknowledged(held, v)
		if held, err = x.keep(c.Payer, p); err != nil {
			return err
		}
	}
	if covers == 0 {
		recovered = 0 // it may have expired: what it pays is worth nothing
	}
	if err := x.forgive(key.channel, recovered); err != nil {
		return err
	}
	x.adopt(held, covers)
	return nil
}

// The payer may have seen a block in which it opened the channel, or topped it up,
// before this side has.
var (
	errNoChannel = errors.New("there is no such channel")
	errUncovered = errors.New("the channel has nothing left")
)

// lookEvery is how often a channel is looked up that has not come, or not enough
// in it.
const lookEvery = 50 * time.Millisecond

// lookAgain waits a little, unless patience is at its end.
func (x *session) lookAgain(ctx context.Context, patience time.Time) bool {
	if time.Now().After(patience) {
		return false
	}
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// channel looks up a channel that must be there.
func (x *session) channel(ctx context.Context, id uint64) (*chain.Channel, error) {
	c, err := x.seller.cfg.Chain.Channel(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("look up channel %d: %w", id, err)
	}
	if c == nil {
		return nil, fmt.Errorf("%w: %w", errNoChannel, retrieval.Errorf(retrieval.CodeVoucher, "there is no channel %d", id))
	}
	return c, nil
}

// checkSigned looks up the channel and checks that its payer signed the
// voucher and that it pays this seller.
func (x *session) checkSigned(ctx context.Context, sv *chain.SignedVoucher) (*chain.Channel, error) {
	v := &sv.Voucher
	if v.ChainID != x.seller.cfg.ChainID {
		return nil, retrieval.Errorf(retrieval.CodeVoucher, "voucher for chain %q, this is %q", v.ChainID, x.seller.cfg.ChainID)
	}
	c, err := x.channel(ctx, v.Channel)
	if err != nil {
		return nil, err
	}
	if c.Payee != *x.offer.Payee {
		return nil, retrieval.Errorf(retrieval.CodeVoucher, "channel %d pays somebody else than this seller", c.ID)
	}
	message, err := v.SignBytes()
	if err != nil {
		return nil, retrieval.Errorf(retrieval.CodeVoucher, "voucher: %s", err)
	}
	if err := chain.VerifySignature(&sv.Signature, c.Payer, message); err != nil {
		return nil, retrieval.Errorf(retrieval.CodeVoucher, "voucher on channel %d: %s", c.ID, err)
	}
	return c, nil
}

// occupy makes the session the one that is paid on the lane. An older session
// on it, whose connection was lost without this side knowing, is ended: only
// the payer can show the lane's voucher.
func (x *session) occupy(ctx context.Context, key laneKey) error {
	s := x.seller
	s.mu.Lock()
	if x.placed && x.lane != key {
		s.mu.Unlock()
		return retrieval.Errorf(retrieval.CodeVoucher, "a session is paid on one lane")
	}
	for s.lanes[key] != nil && s.lanes[key] != x {
		old := s.lanes[key]
		s.mu.Unlock()
		old.fail(retrieval.Errorf(retrieval.CodeBusy, "the lane is paid on in a newer session"))
		old.conn.Abort()
		select {
		case <-old.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
	}
	s.lanes[key] = x
	x.lane, x.placed = key, true
	s.mu.Unlock()
	debt, err := s.cfg.Ledger.Debt(key.channel)
	if err != nil {
		return err
	}
	s.mu.Lock()
	x.owed = debt.Unpaid
	s.mu.Unlock()
	return nil
}

// recall returns what is held of the lane. If the buyer shows a newer tick of
// it than is held (one that was lost on the way, or in a crash), that is kept
// and counted as recovered.
func (x *session) recall(key laneKey, p *retrieval.Pay) (held *ledger.Holding, recovered uint64, err error) {
	held, err = x.seller.cfg.Ledger.Holding(key.channel, key.lane)
	if held == nil || err != nil {
		return nil, 0, err
	}
	old, v := &held.Voucher.Voucher, &p.Voucher.Voucher
	if v.Nonce < old.Nonce {
		return nil, 0, retrieval.Errorf(retrieval.CodeVoucher, "voucher %d of the lane, the newest is %d", v.Nonce, old.Nonce)
	}
	if v.Nonce > old.Nonce {
		return held, 0, nil
	}
	was, err := payment.Digest(old)
	if err != nil {
		return nil, 0, err
	}
	if is, err := payment.Digest(v); err != nil || is != was {
		return nil, 0, retrieval.Errorf(retrieval.CodeVoucher, "another voucher of the lane has nonce %d", v.Nonce)
	}
	if p.Ticks <= held.Ticks {
		return held, 0, nil
	}
	if err := payment.CheckTick(held.Tick, p.Ticks-held.Ticks, p.Tick); err != nil {
		return nil, 0, retrieval.Errorf(retrieval.CodeVoucher, "tick %d: %s", p.Ticks, err)
	}
	if err := x.seller.cfg.Ledger.SaveTick(key.channel, key.lane, v.Nonce, p.Ticks, p.Tick); err != nil {
		return nil, 0, err
	}
	recovered = p.Ticks - held.Ticks
	held.Ticks, held.Tick = p.Ticks, p.Tick
	return held, recovered, nil
}

// acknowledged is how many chunks a new voucher pays for, by where it begins,
// whose ticks are not held: they were lost on the way, or in a crash.
func acknowledged(held *ledger.Holding, v *chain.Voucher) uint64 {
	if held == nil {
		return 0
	}
	claim := held.Claim()
	worth, err := claim.Worth()
	if err != nil {
		return 0
	}
	more, err := v.Amount.Sub(worth)
	price := held.Voucher.Voucher.TickPrice
	if err != nil || price.IsZero() {
		return 0
	}
	lost := uint64(0)
	for ; lost < retrieval.MaxCredit && !more.Less(price); lost++ {
		more, _ = more.Sub(price)
	}
	return lost
}

// judge says how many ticks of the voucher the channel covers, or why it does
// not meet the offer.
func (x *session) judge(ctx context.Context, c *chain.Channel, key laneKey, held *ledger.Holding, p *retrieval.Pay) (uint64, error) {
	v := &p.Voucher.Voucher
	height, err := x.seller.cfg.Chain.Height(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask height: %w", err)
	}
	offer := x.offer
	offer.ExpireAfter = height + chain.Height(x.seller.life()) - 1
	if err := retrieval.CheckVoucher(v, c, &offer, x.seller.cfg.ChainID); err != nil {
		return 0, err
	}
	claims, err := x.claims(key.channel, height)
	if err != nil {
		return 0, err
	}
	covers, err := payment.Accept(c, claims, v, x.seller.cfg.ChainID, height, x.seller.life())
	switch {
	case (errors.Is(err, payment.ErrOverdraw) || err == nil && covers == 0) && p.Resume && x.shared(key):
		return 0, retrieval.Errorf(retrieval.CodeBusy, "what channel %d has left is promised on lanes of other sessions", c.ID)
	case errors.Is(err, payment.ErrOverdraw) || err == nil && covers == 0:
		return 0, fmt.Errorf("%w: %w", errUncovered, retrieval.Errorf(retrieval.CodeVoucher, "channel %d has nothing left", c.ID))
	case err != nil:
		return 0, retrieval.Errorf(retrieval.CodeVoucher, "%s", err)
	case held == nil && p.Ticks > 0:
		if err := payment.CheckTick(v.Anchor, p.Ticks, p.Tick); err != nil {
			return 0, retrieval.Errorf(retrieval.CodeVoucher, "tick %d: %s", p.Ticks, err)
		}
	case held != nil && v.Nonce > held.Voucher.Voucher.Nonce && p.Ticks > 0:
		return 0, retrieval.Errorf(retrieval.CodeVoucher, "a new voucher begins with its anchor")
	}
	return covers, nil
}

// shared reports whether another session is paid on the channel.
func (x *session) shared(key laneKey) bool {
	x.seller.mu.Lock()
	defer x.seller.mu.Unlock()
	for k := range x.seller.lanes {
		if k.channel == key.channel && k != key {
			return true
		}
	}
	return false
}

// claims are the newest claims on the channel's lanes. Lanes that other
// sessions are being paid on count with all that these may yet earn.
func (x *session) claims(channel uint64, height chain.Height) ([]payment.Claim, error) {
	held, err := x.seller.cfg.Ledger.HoldingsOf(channel)
	if err != nil {
		return nil, err
	}
	x.seller.mu.Lock()
	defer x.seller.mu.Unlock()
	var out []payment.Claim
	for _, h := range held {
		v := &h.Voucher.Voucher
		claim := h.Claim()
		other := x.seller.lanes[laneKey{channel, v.Lane}]
		if other != nil && other != x && other.held != nil && other.held.Voucher.Voucher.Nonce == v.Nonce {
			claim.Ticks = max(other.held.Ticks, other.covers)
		}
		if v.ExpiresAt >= height || v.Lane == x.lane.lane {
			out = append(out, claim)
		}
	}
	return out, nil
}

// keep makes a new voucher durable, and the tick that came with it.
func (x *session) keep(payer chain.Address, p *retrieval.Pay) (*ledger.Holding, error) {
	v := &p.Voucher.Voucher
	err := x.seller.cfg.Ledger.SaveVoucher(payer, &p.Voucher)
	switch {
	case errors.Is(err, ledger.ErrStale), errors.Is(err, ledger.ErrConflict):
		return nil, retrieval.Errorf(retrieval.CodeVoucher, "%s", err)
	case err != nil:
		return nil, err
	}
	if p.Ticks > 0 {
		if err := x.seller.cfg.Ledger.SaveTick(v.Channel, v.Lane, v.Nonce, p.Ticks, p.Tick); err != nil {
			return nil, err
		}
	}
	return &ledger.Holding{Payer: payer, Voucher: p.Voucher, Ticks: p.Ticks, Tick: p.Tick}, nil
}

// adopt makes a holding the one that pays the session.
func (x *session) adopt(held *ledger.Holding, covers uint64) {
	x.seller.mu.Lock()
	x.held, x.covers, x.told = held, covers, false
	if held.Ticks >= held.Voucher.Voucher.MaxTicks {
		x.told = true // the answer says so; that the channel covers less it does not
	}
	x.seller.mu.Unlock()
	x.answerPay(standingOf(held))
}

func (x *session) answerPay(m retrieval.Message) {
	x.seller.mu.Lock()
	x.outbox = append(x.outbox, m)
	x.seller.mu.Unlock()
	x.signal()
}

// maxAnswers is how many answers to Pays may wait for a buyer to read them.
const maxAnswers = 16

// crowded reports whether so many wait.
func (x *session) crowded() bool {
	x.seller.mu.Lock()
	defer x.seller.mu.Unlock()
	return len(x.outbox) >= maxAnswers
}
