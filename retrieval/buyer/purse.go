package buyer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/ledger"
)

// purse pays one session: a lane of a channel, leased until close.
type purse struct {
	buyer   *Buyer
	channel chain.Channel
	lane    uint64
	release func()
	promise *ledger.Promise // nil: none on the lane yet
	ticks   *payment.Ticks  // of the promise
	k       uint64          // newest tick revealed
	noted   uint64          // of them, in the ledger
	ready   bool            // the promise pays the session
	settled bool            // k is exact, also after a crash
}

// openPurse finds a channel to the offer's payee that has a free lane and, as
// far as this side knows, need attoPDR left; it tops one up or opens one.
func (b *Buyer) openPurse(ctx context.Context, o *retrieval.Offer, need chain.Amount) (*purse, error) {
	if b.cfg.Channels == nil || b.cfg.Signer == nil || b.cfg.Ledger == nil {
		return nil, ownError{errors.New("this buyer has no wallet to pay with")}
	}
	if err := b.lockChannels(ctx); err != nil {
		return nil, err
	}
	defer b.unlockChannels()
	channels, err := b.cfg.Channels.Find(ctx, *o.Payee)
	if err != nil {
		return nil, fmt.Errorf("find channels: %w", err)
	}
	best, left, err := b.richest(channels)
	if err != nil {
		return nil, err
	}
	if best == nil {
		return b.openChannel(ctx, *o.Payee, need)
	}
	if err := best.fill(ctx, left, need); err != nil {
		best.close()
		return nil, err
	}
	return best, nil
}

// richest leases a lane of the open channel that has most left, and says how much that
// is; nil if none has a free lane.
func (b *Buyer) richest(channels []chain.Channel) (best *purse, most chain.Amount, err error) {
	for _, c := range channels {
		if c.SettleAt != 0 {
			continue
		}
		p, left, err := b.leaseLeft(c)
		switch {
		case err != nil:
			best.close()
			return nil, most, err
		case p == nil:
		case best == nil || most.Less(left):
			best.close()
			best, most = p, left
		default:
			p.close()
		}
	}
	return best, most, nil
}

// leaseLeft is lease, with what is left for the lane.
func (b *Buyer) leaseLeft(c chain.Channel) (*purse, chain.Amount, error) {
	p, err := b.lease(c)
	if err != nil || p == nil {
		return nil, chain.Amount{}, err
	}
	left, err := p.left()
	if err != nil {
		p.close()
		return nil, left, err
	}
	return p, left, nil
}

// openChannel opens a channel with an amount in it and leases a lane.
func (b *Buyer) openChannel(ctx context.Context, payee chain.Address, amount chain.Amount) (*purse, error) {
	c, err := b.cfg.Channels.Open(ctx, payee, amount)
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", err)
	}
	p, err := b.lease(*c)
	if err == nil && p == nil {
		err = fmt.Errorf("channel %d has no free lane", c.ID)
	}
	return p, err
}

func (b *Buyer) lockChannels(ctx context.Context) error {
	select {
	case b.opening <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *Buyer) unlockChannels() { <-b.opening }

// lease takes the first free lane of a channel, nil if there is none.
func (b *Buyer) lease(c chain.Channel) (*purse, error) {
	for lane := range uint64(chain.MaxLanes) {
		release, ok := b.cfg.Ledger.Lease(c.ID, lane)
		if !ok {
			continue
		}
		p := &purse{buyer: b, channel: c, lane: lane, release: release}
		promise, err := b.cfg.Ledger.Promise(c.ID, lane)
		if err == nil && promise != nil {
			err = p.load(promise)
		}
		if err != nil {
			release()
			return nil, err
		}
		return p, nil
	}
	return nil, nil
}

// load makes a kept promise the present one.
func (p *purse) load(promise *ledger.Promise) error {
	ticks, err := payment.NewTicks(promise.Seed, promise.Voucher.Voucher.MaxTicks)
	if err != nil {
		return err
	}
	if ticks.Anchor() != promise.Voucher.Voucher.Anchor {
		return fmt.Errorf("promise on lane %d of channel %d: its seed does not give its anchor", p.lane, p.channel.ID)
	}
	p.promise, p.ticks, p.k, p.noted = promise, ticks, promise.Revealed, promise.Revealed
	p.settled = promise.Settled
	return nil
}

// rest is how many ticks of the promise were not revealed yet.
func (p *purse) rest() uint64 { return p.promise.Voucher.Voucher.MaxTicks - p.k }

// note keeps how many ticks were revealed. What a crash makes of it is at most a
// credit window too low; the seller tells the newest tick, which proves itself.
func (p *purse) note() error {
	if p.promise == nil || p.noted == p.k {
		return nil
	}
	v := &p.promise.Voucher.Voucher
	p.noted = p.k
	return p.buyer.cfg.Ledger.SaveRevealed(v.Channel, v.Lane, v.Nonce, p.k)
}

// unsettle says that more ticks may be revealed from now on.
func (p *purse) unsettle() error {
	if !p.settled {
		return nil
	}
	v := &p.promise.Voucher.Voucher
	p.settled = false
	return p.buyer.cfg.Ledger.Unsettle(v.Channel, v.Lane, v.Nonce, p.k)
}

// close gives the lane back, with an exact count of what was revealed. An error
// is that of a ledger which cannot be written any more, and a later call will
// meet it.
func (p *purse) close() {
	if p == nil {
		return
	}
	if p.promise != nil && !p.settled {
		v := &p.promise.Voucher.Voucher
		_ = p.buyer.cfg.Ledger.Settle(v.Channel, v.Lane, v.Nonce, p.k)
	}
	p.release()
}

// worth is what the lane has been promised so far.
func (p *purse) worth() (chain.Amount, error) {
	worth := payment.LaneOf(&p.channel, p.lane).Redeemed
	if p.promise == nil {
		return worth, nil
	}
	claim := payment.Claim{Voucher: p.promise.Voucher.Voucher, Ticks: p.k}
	own, err := claim.Worth()
	if worth.Less(own) {
		worth = own
	}
	return worth, err
}

// left is what a new voucher of the lane may add: what the channel holds less
// what its lanes were promised. Lanes in use by other sessions count in full.
func (p *purse) left() (chain.Amount, error) {
	promises, err := p.buyer.cfg.Ledger.Promises(p.channel.ID)
	if err != nil {
		return chain.Amount{}, err
	}
	var claims []payment.Claim
	for _, other := range promises {
		v := other.Voucher.Voucher
		if v.Lane == p.lane {
			continue
		}
		claim := payment.Claim{Voucher: v, Ticks: other.Revealed}
		if p.buyer.cfg.Ledger.Leased(v.Channel, v.Lane) {
			claim.Ticks = v.MaxTicks
		}
		claims = append(claims, claim)
	}
	total, err := payment.Left(&p.channel, claims, p.lane)
	if err != nil {
		return total, err
	}
	worth, err := p.worth()
	if err != nil {
		return worth, err
	}
	return total.Sub(worth.Min(total))
}

// fill tops the channel up so that need is left of it, given what is.
func (p *purse) fill(ctx context.Context, left, need chain.Amount) error {
	if !left.Less(need) {
		return nil
	}
	more, err := need.Sub(left)
	if err != nil {
		return err
	}
	c, err := p.buyer.cfg.Channels.TopUp(ctx, p.channel.ID, more)
	if err != nil {
		return fmt.Errorf("top up channel %d: %w", p.channel.ID, err)
	}
	p.channel = *c
	return nil
}

// issue signs a new voucher of the lane for up to chunks more chunks, and makes
// it durable.
func (p *purse) issue(ctx context.Context, o *retrieval.Offer, chunks uint64) error {
	chunks = min(max(chunks, 1), chain.MaxTicks)
	need, err := retrieval.Cost(o.Price, chunks)
	if err != nil {
		return err
	}
	if err := p.buyer.lockChannels(ctx); err != nil {
		return err
	}
	defer p.buyer.unlockChannels() // until the promise is kept: others count it
	left, err := p.left()
	if err == nil {
		err = p.fill(ctx, left, need)
	}
	if err != nil {
		return err
	}
	promise, ticks, err := p.draft(ctx, o, chunks)
	if err != nil {
		return err
	}
	if err := p.buyer.cfg.Ledger.SavePromise(promise); err != nil {
		return err
	}
	p.promise, p.ticks, p.k, p.noted, p.settled = promise, ticks, 0, 0, false
	return nil
}

// draft signs the next voucher of the lane, from what the lane was promised so far on.
func (p *purse) draft(ctx context.Context, o *retrieval.Offer, chunks uint64) (*ledger.Promise, *payment.Ticks, error) {
	amount, err := p.worth()
	if err != nil {
		return nil, nil, err
	}
	height, err := p.buyer.cfg.Channels.Height(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("ask height: %w", err)
	}
	promise := &ledger.Promise{}
	if _, err := rand.Read(promise.Seed[:]); err != nil {
		return nil, nil, err
	}
	ticks, err := payment.NewTicks(promise.Seed, chunks)
	if err != nil {
		return nil, nil, err
	}
	nonce := payment.LaneOf(&p.channel, p.lane).Nonce
	if p.promise != nil {
		nonce = max(nonce, p.promise.Voucher.Voucher.Nonce)
	}
	promise.Voucher.Voucher = chain.Voucher{
		Version: chain.MessageVersion, ChainID: p.buyer.cfg.ChainID, Channel: p.channel.ID, Lane: p.lane,
		Nonce: nonce + 1, Amount: amount, Anchor: ticks.Anchor(), TickPrice: o.Price, MaxTicks: chunks,
		ChunkSize: retrieval.ChunkSize, ExpiresAt: max(o.ExpireAfter+1, height) + chain.Height(p.buyer.cfg.VoucherLife),
	}
	if promise.Voucher.Signature, err = p.buyer.cfg.Signer.SignVoucher(ctx, &promise.Voucher.Voucher); err != nil {
		return nil, nil, fmt.Errorf("sign voucher: %w", err)
	}
	return promise, ticks, nil
}

// show is the Pay of the present promise.
func (p *purse) show(resume bool) (*retrieval.Pay, error) {
	x, err := p.ticks.Tick(p.k)
	if err != nil {
		return nil, err
	}
	return &retrieval.Pay{Voucher: p.promise.Voucher, Ticks: p.k, Tick: x, Resume: resume}, nil
}

// meets says whether the present promise can pay more chunks of the offer.
func (p *purse) meets(ctx context.Context, o *retrieval.Offer) (bool, error) {
	height, err := p.buyer.cfg.Channels.Height(ctx)
	if err != nil {
		return false, fmt.Errorf("ask height: %w", err)
	}
	v := &p.promise.Voucher.Voucher
	fresh := v.ExpiresAt > max(o.ExpireAfter, height)
	return fresh && p.k < v.MaxTicks && retrieval.CheckVoucher(v, &p.channel, o, p.buyer.cfg.ChainID) == nil, nil
}
