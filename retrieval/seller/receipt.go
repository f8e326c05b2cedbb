package seller

import (
	"context"
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/ledger"
)

// clockSkew is by how many blocks the heights of a receipt may differ from what this
// side saw: the two ask different nodes.
const clockSkew = 10

// checkReceipt says whether a receipt is for what this session sent.
func (x *session) checkReceipt(ctx context.Context, r *chain.SignedReceipt) error {
	s := x.seller
	if err := r.Check(s.cfg.ChainID); err != nil {
		return err
	}
	now, err := s.cfg.Chain.Height(ctx)
	if err != nil {
		return fmt.Errorf("ask height: %w", err)
	}
	s.mu.Lock()
	sent := x.bytes
	s.mu.Unlock()
	switch of := &r.Receipt; {
	case of.Miner != s.cfg.Miner:
		return fmt.Errorf("receipt for miner %d, this is %d", of.Miner, s.cfg.Miner)
	case of.Bytes > sent:
		return fmt.Errorf("receipt for %d bytes, %d were sent", of.Bytes, sent)
	case of.From+clockSkew < x.began || of.To > now+clockSkew:
		return fmt.Errorf("receipt from height %d to %d, the session was from %d to %d", of.From, of.To, x.began, now)
	}
	return nil
}

// keepReceipt makes the receipt that came with the Bye durable. One that is worth
// nothing changes nothing for the buyer, who takes leave: only the log hears of it.
func (x *session) keepReceipt(ctx context.Context) error {
	r := x.receipt
	if r == nil || x.offer.Miner == 0 {
		return nil
	}
	err := x.checkReceipt(ctx, r)
	if err == nil {
		err = x.seller.cfg.Ledger.SaveReceipt(r)
		if err != nil && !errors.Is(err, ledger.ErrReceipt) {
			return err
		}
	}
	if err != nil {
		x.seller.cfg.Log.Warn("receipt not kept", "session", x.offer.Session, "reason", err)
		return nil
	}
	x.seller.mu.Lock()
	x.attested = r.Receipt.Bytes
	x.seller.mu.Unlock()
	return nil
}
