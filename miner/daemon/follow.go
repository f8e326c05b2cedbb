package daemon

import (
	"context"
	"errors"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
)

// follow takes in every Update and then wakes what may have work from it. The
// tip is written after the records, whose writes may be repeated.
func (d *Daemon) follow(ctx context.Context) error {
	for {
		tip, err := d.records.Tip()
		if err != nil {
			return err
		}
		err = d.node.Follow(ctx, max(tip+1, d.miner.Created), d.take)
		var pruned *rpc.PrunedError
		if !errors.As(err, &pruned) {
			return err
		}
		d.log.Warn("was away for longer than the chain keeps Updates: reading the records again", "oldest", pruned.Oldest)
		if err := d.resync(ctx); err != nil {
			return err
		}
		d.market.forget()
	}
}

func (d *Daemon) take(u *consensus.Update) error {
	if err := d.deals.Apply(u); err != nil {
		return err
	}
	if err := d.sealing.Apply(u); err != nil {
		return err
	}
	if err := d.records.SetTip(u.Height); err != nil {
		return err
	}
	d.market.saw(u)
	d.status.saw(u)
	d.wake()
	return nil
}

func (d *Daemon) wake() {
	d.sealing.Wake()
	d.proving.Wake()
	d.deals.Wake()
	d.asks.Wake()
	d.channels.Wake()
	d.receipts.Wake()
	select {
	case d.heights <- 0: // the redeemer asks for the height itself
	default:
	}
}

// resync reads what the chain has of the deals and sectors that the records
// name, or that it has none of them any more. A match that came and went meanwhile
// is void by now: deals not fetched within FetchBy are, and Updates are kept for longer.
func (d *Daemon) resync(ctx context.Context) error {
	g, err := d.node.Global(ctx)
	if err != nil {
		return err
	}
	u := &consensus.Update{Height: g.Height}
	add := func(k chain.Key, v chain.CBOR) error {
		ok, err := d.node.Record(ctx, k, v)
		if err != nil {
			return err
		}
		c := consensus.Change{Table: k.Table, ID: []byte(k.ID)}
		if ok {
			c.Value, err = chain.Encode(v)
		}
		u.Changes = append(u.Changes, c)
		return err
	}
	known, err := d.records.Deals()
	if err != nil {
		return err
	}
	for _, rec := range known {
		if err := add(chain.DealKey(rec.ID), new(chain.Deal)); err != nil {
			return err
		}
	}
	sectors, err := d.records.Sectors()
	if err != nil {
		return err
	}
	for _, rec := range sectors {
		if err := add(chain.SectorKey(d.id, rec.Number), new(chain.Sector)); err != nil {
			return err
		}
	}
	return d.take(u)
}
