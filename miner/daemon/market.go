package daemon

import (
	"context"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/retrieval/seller"
)

// openMarket starts serving pieces, and taking what they earn to the chain.
func (d *Daemon) openMarket(context.Context) (err error) {
	cfg := d.opts.Config.Retrieval
	if err := cfg.checkLimits(); err != nil {
		return err
	}
	if d.prices, err = newTariff(&cfg, &d.opts.Config.Public, d.records, d.send.address()); err != nil {
		return err
	}
	log := d.log.With("part", "retrieval")
	d.market = &ledgerChain{d: d}
	d.redeemer, err = seller.NewRedeemer(seller.RedeemConfig{
		ChainID: d.params.ChainID, Ledger: d.ledger, Chain: d.market, Submit: d.send, Least: d.market.worthAMessage,
		Active:      func(channel, lane uint64) bool { return d.seller.Active(channel, lane) },
		SettleDelay: d.params.SettleDelay, Log: log,
	})
	if err != nil {
		return err
	}
	d.seller, err = seller.New(seller.Config{
		ChainID: d.params.ChainID, Source: d.source, Chain: d.market, Ledger: d.ledger,
		Prices: d.prices, SettleDelay: d.params.SettleDelay, MaxSessions: cfg.Sessions, MaxPeerSessions: cfg.PeerSessions,
		BytesPerSecond: cfg.BytesPerSecond, PeerBytesPerSecond: cfg.PeerBytesPerSecond, FreeTotal: cfg.FreeTotal,
		Ended: d.redeemer.Nudge, Miner: cfg.receiptsFor(d.id), Log: log,
	})
	d.heights = make(chan chain.Height, 1)
	d.receipts = newPublisher(d)
	return err
}

// sell answers retrieval streams and redeems until ctx ends.
func (d *Daemon) sell(ctx context.Context) error {
	d.host.Serve(d.seller.Handle)
	return d.redeemer.Run(ctx, d.heights)
}

// ledgerChain is the chain as the seller asks it, chunk by chunk: from what the
// Updates told, so that no chunk waits for a node. It implements seller.Chain.
type ledgerChain struct {
	d *Daemon

	mu       sync.Mutex
	updates  uint64                      // that were seen
	channels map[chain.Key]chain.Channel // as of the last of them
}

// maxChannels bounds the channels held in memory.
const maxChannels = 4096

// saw forgets the channels that an Update changed: the node knows them better.
func (c *ledgerChain) saw(u *consensus.Update) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updates++
	for i := range u.Changes {
		delete(c.channels, u.Changes[i].Key())
	}
}

// forget forgets all: Updates were missed.
func (c *ledgerChain) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updates++
	c.channels = nil
}

// Channel implements seller.Chain.
func (c *ledgerChain) Channel(ctx context.Context, id uint64) (*chain.Channel, error) {
	key := chain.ChannelKey(id)
	c.mu.Lock()
	ch, ok := c.channels[key]
	updates := c.updates
	c.mu.Unlock()
	if ok {
		return &ch, nil
	}
	ok, err := c.d.node.Record(ctx, key, &ch)
	if err != nil || !ok {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.updates != updates {
		return &ch, nil // an Update that came meanwhile may have changed it
	}
	if c.channels == nil || len(c.channels) >= maxChannels {
		c.channels = map[chain.Key]chain.Channel{}
	}
	c.channels[key] = ch
	return &ch, nil
}

// Height implements seller.Chain.
func (c *ledgerChain) Height(ctx context.Context) (chain.Height, error) {
	if height := c.d.status.read().Height; height > 0 {
		return height, nil
	}
	g, err := c.d.node.Global(ctx) // no Update was taken in yet
	if err != nil {
		return 0, err
	}
	return g.Height, nil
}

// A redemption is paid by about redeemWork bytes and units, and is to cost at
// most a hundredth of what it brings.
const (
	redeemWork  = 6_000
	redeemShare = 100
)

// worthAMessage is the least that is redeemed before it has to be.
func (c *ledgerChain) worthAMessage(ctx context.Context) (chain.Amount, error) {
	g, err := c.d.node.Global(ctx)
	if err != nil {
		return chain.Amount{}, err
	}
	return g.BaseFee.Mul(redeemWork * redeemShare)
}
