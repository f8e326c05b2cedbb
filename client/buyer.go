package client

import (
	"context"

	"github.com/perdure/perdure/retrieval/buyer"
)

// buyer makes a buyer that pays from this home's channels, or one that pays
// nothing at all. done lets go of the payment ledger.
func (c *Client) buyer(ctx context.Context, free bool) (*buyer.Buyer, func(), error) {
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg := c.cfg.Buyer
	cfg.ChainID, cfg.Dialer = p.ChainID, c.cfg.Host
	done := func() {}
	if !free {
		book, err := c.ledger.open(ctx)
		if err != nil {
			return nil, nil, err
		}
		done = func() {
			if err := c.ledger.close(); err != nil {
				c.log.Error("close payment ledger", "err", err)
			}
		}
		cfg.Channels, cfg.Signer, cfg.Ledger = channels{c}, signer{c.cfg.Sender}, book
	}
	b, err := buyer.New(cfg)
	if err != nil {
		done()
		return nil, nil, err
	}
	return b, done, nil
}
