package daemon

import (
	"context"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/seller"
)

// openMarket starts serving pieces, and taking what they earn to the chain.
func (d *Daemon) openMarket(context.Context) (err error) {
	cfg := d.opts.Config.Retrieval
	payee := d.send.address()
	terms := seller.Terms{Payee: &payee, Price: cfg.Price, FreeChunks: cfg.FreeChunks}
	if cfg.Price.IsZero() {
		terms.Payee = nil
	}
	log := d.log.With("part", "retrieval")
	d.redeemer, err = seller.NewRedeemer(seller.RedeemConfig{
		ChainID: d.params.ChainID, Ledger: d.ledger, Chain: ledgerChain{d}, Submit: d.send,
		Active:      func(channel, lane uint64) bool { return d.seller.Active(channel, lane) },
		SettleDelay: d.params.SettleDelay, Log: log,
	})
	if err != nil {
		return err
	}
	d.seller, err = seller.New(seller.Config{
		ChainID: d.params.ChainID, Source: newSource(d.records, d.disk), Chain: ledgerChain{d}, Ledger: d.ledger,
		Terms: terms, SettleDelay: d.params.SettleDelay, BytesPerSecond: cfg.BytesPerSecond,
		Ended: d.redeemer.Nudge, Log: log,
	})
	d.heights = make(chan chain.Height, 1)
	return err
}

// sell answers retrieval streams and redeems until ctx ends.
func (d *Daemon) sell(ctx context.Context) error {
	d.host.Serve(d.seller.Handle)
	return d.redeemer.Run(ctx, d.heights)
}

// ledgerChain is the chain as the seller asks it.
type ledgerChain struct{ d *Daemon }

// Channel implements seller.Chain.
func (c ledgerChain) Channel(ctx context.Context, id uint64) (*chain.Channel, error) {
	ch := new(chain.Channel)
	ok, err := c.d.node.Record(ctx, chain.ChannelKey(id), ch)
	if err != nil || !ok {
		return nil, err
	}
	return ch, nil
}

// Height implements seller.Chain.
func (c ledgerChain) Height(ctx context.Context) (chain.Height, error) {
	g, err := c.d.node.Global(ctx)
	if err != nil {
		return 0, err
	}
	return g.Height, nil
}
