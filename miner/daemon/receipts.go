package daemon

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/retrieval/ledger"
)

// publisher tells the chain how much the miner has served: batches of buyers'
// receipts, each as one root in one message.
type publisher struct {
	id    chain.MinerID
	every uint64 // blocks that a receipt waits for others to share its message; 0: nothing is published
	keep  uint64 // published receipts that are kept to be shown; 0: all
	book  *ledger.Ledger
	chain recorder
	send  miner.Sender
	log   *slog.Logger

	wake  chan struct{}
	after chain.Height // when to try again what failed
}

// recorder reads records of the chain's state; ok is false where there is none.
type recorder interface {
	Record(ctx context.Context, k chain.Key, into chain.CBOR) (ok bool, err error)
}

// The bounds of a batch. One receipt of a session whose buyer sees an older height
// may come receiptLag blocks after its end, and is lost to publication behind that.
const (
	batchReceipts = 4_096
	receiptLag    = 10
	publishPause  = 20 // blocks
)

func newPublisher(d *Daemon) *publisher {
	cfg := d.opts.Config.Retrieval
	return &publisher{id: d.id, every: cfg.PublishEvery, keep: cfg.KeepReceipts, book: d.ledger, chain: d.node, send: d.send,
		log: d.log.With("part", "receipts"), wake: make(chan struct{}, 1)}
}

// receiptsFor is the miner that buyers sign receipts for: 0, which is nobody, if none
// is ever published.
func (c *RetrievalConfig) receiptsFor(id chain.MinerID) chain.MinerID {
	if c.PublishEvery == 0 {
		return 0
	}
	return id
}

// Wake makes Run look whether something is due: after each block.
func (p *publisher) Wake() {
	select {
	case p.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run publishes until ctx ends; height is the newest.
func (p *publisher) Run(ctx context.Context, height func() chain.Height) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
		if err := p.look(ctx, height()); err != nil && ctx.Err() == nil {
			p.log.Warn("publish receipts; tried again", "err", err)
			p.after = height() + publishPause
		}
	}
}

// look drops a batch of receipts that need not be shown any more, and publishes one
// if the oldest receipt has waited long enough, or one was begun before.
func (p *publisher) look(ctx context.Context, now chain.Height) error {
	if err := p.drop(); err != nil {
		return err
	}
	if p.every == 0 || now < p.after || now <= receiptLag {
		return nil
	}
	oldest, ok, err := p.book.OldestReceipt()
	if err != nil {
		return err
	}
	through := now - receiptLag
	if !ok || uint64(now) < uint64(oldest)+p.every {
		through = 0 // only what is pending
	}
	b, err := p.book.MakeBatch(through, batchReceipts)
	if err != nil || b == nil || b.State != ledger.BatchPending {
		return err
	}
	return p.publish(ctx, b)
}

// drop keeps the receipts that are shown from growing, a batch at a time.
func (p *publisher) drop() error {
	if p.keep == 0 {
		return nil
	}
	b, err := p.book.DropReceipts(p.keep)
	if b != nil {
		p.log.Info("receipts dropped: enough newer ones are kept", "receipts", b.Count, "through", b.To)
	}
	return err
}

// publish sends a batch, unless an earlier process did before it died.
func (p *publisher) publish(ctx context.Context, b *ledger.Batch) error {
	var served chain.Served
	if _, err := p.chain.Record(ctx, chain.ServedKey(p.id), &served); err != nil {
		return err
	}
	switch {
	case served.Through == b.To && served.Root == b.Root:
		return p.book.SetBatch(b.Number, ledger.BatchPublished)
	case served.Through >= b.From: // by a ledger that was put back to what it was before
		p.log.Error("receipts cannot be published any more", "from", b.From, "to", b.To, "published", served.Through)
		return p.book.SetBatch(b.Number, ledger.BatchRefused)
	}
	r, err := p.send.Send(ctx, &chain.PublishReceipts{Miner: p.id, Root: b.Root, Count: b.Count, Bytes: b.Bytes, From: b.From, To: b.To})
	if err != nil {
		return fmt.Errorf("batch %d: %w", b.Number, err)
	}
	if r.Code != uint64(consensus.CodeOK) {
		return fmt.Errorf("batch %d: %s", b.Number, r.Error)
	}
	p.log.Info("receipts published", "receipts", b.Count, "bytes", b.Bytes, "root", fmt.Sprintf("%x", b.Root))
	return p.book.SetBatch(b.Number, ledger.BatchPublished)
}
