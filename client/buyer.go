package client

import (
	"context"
	"time"

	"github.com/perdure/perdure/retrieval/buyer"
)

// buyer makes a buyer that pays from this home's channels, or one that pays
// nothing at all. It signs receipts for the miners among the sources; nil: none. done lets
// go of the payment ledger.
func (c *Client) buyer(ctx context.Context, free bool, from *sources) (*buyer.Buyer, func(), error) {
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg := c.cfg.Buyer
	cfg.ChainID, cfg.Dialer = p.ChainID, c.cfg.Host
	if c.cfg.Sender != nil && from != nil {
		cfg.Witness = witness{c, from}
	}
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
	if err == nil {
		err = c.recall(ctx, b)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return b, done, nil
}

// shunFor is how long a seller that lied is not asked by any process of this home.
const shunFor = 24 * time.Hour

// recall tells a buyer of the sellers that lied to earlier ones.
func (c *Client) recall(ctx context.Context, b *buyer.Buyer) error {
	liars, err := c.records.Liars(ctx)
	for peer, until := range liars {
		b.Remember(peer, until)
	}
	return err
}

// denounce keeps who lied, for later buyers.
func (c *Client) denounce(s buyer.Stats) {
	for _, of := range s.Sellers {
		if !of.Lied {
			continue
		}
		if err := c.records.SetLiar(context.Background(), of.Peer, time.Now().Add(shunFor)); err != nil {
			c.log.Error("keep that a seller lied", "err", err)
		}
	}
}
