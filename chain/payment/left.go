package payment

import (
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
)

// Reasons why a payee refuses a voucher that the chain may yet redeem.
var (
	ErrSettling  = errors.New("channel is settling")
	ErrShortLife = errors.New("voucher expires too soon")
	ErrBehind    = errors.New("voucher does not follow the one held")
)

// Left is the most that a voucher of a lane may be worth in total (over the
// lane) so that it and every other claim that the payee holds can be redeemed:
// what the lane has redeemed, plus what the channel holds, less what the
// newest claims of the other lanes are still to be paid. held has at most one
// claim a lane, the newest.
func Left(c *chain.Channel, held []Claim, lane uint64) (chain.Amount, error) {
	left := c.Balance
	for i := range held {
		if held[i].Voucher.Lane == lane {
			continue
		}
		due, err := Due(c, &held[i])
		if err != nil {
			return chain.Amount{}, err
		}
		if left, err = left.Sub(due.Min(left)); err != nil {
			return chain.Amount{}, err
		}
	}
	return left.Add(LaneOf(c, lane).Redeemed)
}

// Due is what a claim is worth beyond what its lane has redeemed.
func Due(c *chain.Channel, claim *Claim) (chain.Amount, error) {
	total, err := claim.Worth()
	if err != nil {
		return total, err
	}
	paid := LaneOf(c, claim.Voucher.Lane).Redeemed
	return total.Sub(paid.Min(total))
}

// Accept is a payee's check of a voucher that is offered at height: that it is
// well-formed, lives for at least life blocks more (the settle delay and a
// margin), follows what was redeemed and what is held of its lane, and is
// covered by what is left of the channel. It returns how many of its ticks are
// covered, at most MaxTicks: deliver no more. The payer's signature, the payee
// and the price are the caller's to check.
func Accept(c *chain.Channel, held []Claim, v *chain.Voucher, chainID string, height chain.Height, life uint64) (uint64, error) {
	if c.SettleAt != 0 {
		return 0, fmt.Errorf("%w: since height %d", ErrSettling, c.SettleAt)
	}
	if err := CheckVoucher(c, chainID, height, v); err != nil {
		return 0, err
	}
	if uint64(v.ExpiresAt-height) < life {
		return 0, fmt.Errorf("%w: in %d blocks, want %d", ErrShortLife, v.ExpiresAt-height, life)
	}
	if lane := LaneOf(c, v.Lane); lane.Digest == [32]byte{} && len(c.Lanes) >= chain.MaxLanes {
		return 0, ErrLanes
	}
	if err := follows(c, held, v); err != nil {
		return 0, err
	}
	left, err := Left(c, held, v.Lane)
	if err != nil {
		return 0, err
	}
	return covered(v, left)
}

// follows checks nonce and amount against the lane's newest voucher, redeemed or held.
func follows(c *chain.Channel, held []Claim, v *chain.Voucher) error {
	lane := LaneOf(c, v.Lane)
	if lane.Digest != [32]byte{} {
		if err := succeeds(v, lane.Nonce, lane.Digest, lane.Redeemed); err != nil {
			return err
		}
	}
	for i := range held {
		if held[i].Voucher.Lane != v.Lane {
			continue
		}
		digest, err := Digest(&held[i].Voucher)
		if err != nil {
			return err
		}
		total, err := held[i].Worth()
		if err != nil {
			return err
		}
		if err := succeeds(v, held[i].Voucher.Nonce, digest, total); err != nil {
			return err
		}
	}
	return nil
}

// succeeds checks that v is the voucher named by nonce and digest, or a later
// one that starts at least from what that was worth.
func succeeds(v *chain.Voucher, nonce uint64, digest [32]byte, total chain.Amount) error {
	switch {
	case v.Nonce < nonce:
		return fmt.Errorf("%w: nonce %d, the lane is at %d", ErrStale, v.Nonce, nonce)
	case v.Nonce > nonce && v.Amount.Less(total):
		return fmt.Errorf("%w: starts from %s attoPDR, the lane is at %s", ErrBehind, v.Amount, total)
	case v.Nonce > nonce:
		return nil
	}
	if got, err := Digest(v); err != nil || got != digest {
		return fmt.Errorf("%w: nonce %d", ErrConflict, v.Nonce)
	}
	return nil
}

// covered is how many ticks of v fit under a total of left.
func covered(v *chain.Voucher, left chain.Amount) (uint64, error) {
	if left.Less(v.Amount) {
		return 0, fmt.Errorf("%w: voucher starts from %s attoPDR, %s left", ErrOverdraw, v.Amount, left)
	}
	low, high := uint64(0), v.MaxTicks // the worth of low ticks fits
	for low < high {
		middle := low + (high-low+1)/2
		total, err := worth(v, middle)
		if err != nil || left.Less(total) {
			high = middle - 1
		} else {
			low = middle
		}
	}
	return low, nil
}
