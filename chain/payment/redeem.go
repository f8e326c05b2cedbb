package payment

import (
	"errors"
	"fmt"
	"slices"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
)

// Reasons why a claim is refused.
var (
	ErrForm     = errors.New("voucher is malformed")
	ErrElse     = errors.New("voucher is for another chain or channel")
	ErrExpired  = errors.New("voucher has expired")
	ErrStale    = errors.New("a newer voucher of the lane is redeemed")
	ErrConflict = errors.New("another voucher of the same nonce is redeemed")
	ErrTicks    = errors.New("more ticks than the voucher pays for")
	ErrNothing  = errors.New("nothing to redeem beyond what was paid")
	ErrOverdraw = errors.New("claim exceeds what the channel holds")
	ErrLanes    = errors.New("channel has no lane left")
)

// Claim is what a payee can show: a voucher and the newest tick revealed of it.
type Claim struct {
	Voucher chain.Voucher
	Ticks   uint64   // k; 0: none
	Tick    [32]byte // x_k; the anchor when k is 0
}

// Worth is what the claim is worth in total over its lane: Amount + Ticks x TickPrice.
func (c *Claim) Worth() (chain.Amount, error) { return worth(&c.Voucher, c.Ticks) }

func worth(v *chain.Voucher, ticks uint64) (chain.Amount, error) {
	sum, err := v.TickPrice.Mul(ticks)
	if err == nil {
		sum, err = v.Amount.Add(sum)
	}
	return sum, err
}

// Digest names a voucher's content: the SHA-256 of its encoding, unsigned.
func Digest(v *chain.Voucher) ([32]byte, error) {
	b, err := chain.Encode(v)
	return sha256.Sum256(b), err
}

// LaneOf returns a lane of a channel, or a new one that has redeemed nothing.
func LaneOf(c *chain.Channel, id uint64) chain.Lane {
	for _, l := range c.Lanes {
		if l.ID == id {
			return l
		}
	}
	return chain.Lane{ID: id}
}

// CheckVoucher checks what can be said of a voucher without its lane: version,
// chain, channel, bounds, and that it has not expired at height.
func CheckVoucher(c *chain.Channel, chainID string, height chain.Height, v *chain.Voucher) error {
	switch {
	case v.Version != chain.MessageVersion:
		return fmt.Errorf("%w: version %d, want %d", ErrForm, v.Version, chain.MessageVersion)
	case v.MaxTicks > chain.MaxTicks:
		return fmt.Errorf("%w: %d ticks, at most %d", ErrForm, v.MaxTicks, chain.MaxTicks)
	case v.ChainID != chainID || v.Channel != c.ID:
		return fmt.Errorf("%w: chain %q, channel %d", ErrElse, v.ChainID, v.Channel)
	case height > v.ExpiresAt:
		return fmt.Errorf("%w: height %d, valid to %d", ErrExpired, height, v.ExpiresAt)
	}
	return nil
}

// Hops is how many hashes redeeming a claim takes: from the newest redeemed
// tick of the same voucher, or from the anchor.
func Hops(c *chain.Channel, claim *Claim) uint64 {
	lane := LaneOf(c, claim.Voucher.Lane)
	if claim.Voucher.Nonce == lane.Nonce && claim.Ticks > lane.Ticks {
		return claim.Ticks - lane.Ticks
	}
	return claim.Ticks
}

// Redeem returns the channel after a claim was paid at height, and the amount.
// c stays as it is. The payer's signature is the caller's to check. Rules, in
// this order: form, chain and channel; not expired; nonce at least the lane's,
// and of an equal nonce the same voucher; ticks within bounds and in the hash
// chain; worth more than the lane has redeemed; the channel holds the difference.
func Redeem(c *chain.Channel, chainID string, height chain.Height, claim *Claim) (*chain.Channel, chain.Amount, error) {
	var none chain.Amount
	v := &claim.Voucher
	if err := CheckVoucher(c, chainID, height, v); err != nil {
		return nil, none, err
	}
	lane, err := advance(LaneOf(c, v.Lane), claim)
	if err != nil {
		return nil, none, err
	}
	total, err := claim.Worth()
	if err != nil {
		return nil, none, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if !lane.Redeemed.Less(total) {
		return nil, none, ErrNothing
	}
	pay, err := total.Sub(lane.Redeemed)
	if err != nil {
		return nil, none, err
	}
	if c.Balance.Less(pay) {
		return nil, none, fmt.Errorf("%w: %s attoPDR claimed, %s left", ErrOverdraw, pay, c.Balance)
	}
	lane.Redeemed = total
	next, err := settle(c, lane, pay)
	return next, pay, err
}

// advance checks nonce and tick and returns the lane with the claim's voucher
// and tick as its newest; Redeemed is still what it was.
func advance(lane chain.Lane, claim *Claim) (chain.Lane, error) {
	v := &claim.Voucher
	digest, err := Digest(v)
	if err != nil {
		return lane, err
	}
	fresh := lane.Digest == [32]byte{} || v.Nonce > lane.Nonce
	switch {
	case !fresh && v.Nonce < lane.Nonce:
		return lane, fmt.Errorf("%w: nonce %d, the lane is at %d", ErrStale, v.Nonce, lane.Nonce)
	case !fresh && digest != lane.Digest:
		return lane, fmt.Errorf("%w: nonce %d", ErrConflict, v.Nonce)
	case claim.Ticks > v.MaxTicks:
		return lane, fmt.Errorf("%w: %d of %d", ErrTicks, claim.Ticks, v.MaxTicks)
	case !fresh && claim.Ticks <= lane.Ticks:
		return lane, ErrNothing
	}
	from, hops := v.Anchor, claim.Ticks
	if !fresh {
		from, hops = lane.Tip, claim.Ticks-lane.Ticks
	}
	if err := CheckTick(from, hops, claim.Tick); err != nil {
		return lane, err
	}
	lane.Nonce, lane.Digest, lane.Ticks, lane.Tip = v.Nonce, digest, claim.Ticks, claim.Tick
	return lane, nil
}

// settle returns a copy of the channel with the lane in place and pay taken.
func settle(c *chain.Channel, lane chain.Lane, pay chain.Amount) (*chain.Channel, error) {
	next := *c
	next.Lanes = slices.Clone(c.Lanes)
	at := slices.IndexFunc(next.Lanes, func(l chain.Lane) bool { return l.ID == lane.ID })
	switch {
	case at >= 0:
		next.Lanes[at] = lane
	case len(next.Lanes) >= chain.MaxLanes:
		return nil, ErrLanes
	default:
		next.Lanes = append(next.Lanes, lane)
	}
	var err error
	if next.Balance, err = c.Balance.Sub(pay); err != nil {
		return nil, err
	}
	next.Redeemed, err = c.Redeemed.Add(pay)
	return &next, err
}
