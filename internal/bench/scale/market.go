package scale

import (
	"crypto/sha256"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// sectorSize is that of the largest seal proof.
const sectorSize = 32 << 30

// priceUnit is what prices are multiples of, in attoPDR per GiB per block.
const priceUnit = 1 << 20

// duration of all deals, in blocks.
const duration = 100_000

// deal writes deal i, which is in sector i if there is one, and the events of its life.
func (k *chunk) deal(i uint64) {
	sector := i % k.Size.Sectors
	id, number := k.place(sector)
	client := k.address(i * 7)
	d := &chain.Deal{ID: i + 1, Bid: 2*i + 1, Ask: 2*i + 2, Client: client, ClientPeer: append([]byte{0, 36, 8, 1, 18, 32}, key("peer", i)...), Miner: id,
		PieceCID: pieceOf(i), PaddedSize: sizeOf(i), PayloadRoot: rootOf(i), Parts: 1, Public: i%3 == 0, Duration: duration,
		Price: chain.Atto((1000 + i%997) * priceUnit), Matched: k.u.Height, FetchBy: k.u.Height + chain.Height(k.Params.FetchBy),
		ActivateBy: k.u.Height + chain.Height(k.Params.ActivateBy), Region: "eu-de"}
	var err error
	if d.Total, err = chain.DealPrice(d.Price, d.PaddedSize, d.Duration); err != nil {
		k.fail(err)
	}
	k.event(consensus.Event{Kind: consensus.EventDealMatched, Deal: d.ID, Order: d.Bid, Index: d.Ask, Miner: id, From: client.Bytes(), Amount: d.Total})
	d.State = chain.DealMatched
	if state := stateOf(sector); state != chain.SectorPreCommitted || i%2 == 0 {
		d.State, d.Accepted = chain.DealAccepted, k.u.Height
		k.event(consensus.Event{Kind: consensus.EventDealAccepted, Deal: d.ID, Miner: id})
		if state != chain.SectorPreCommitted {
			k.live(d, state, number)
		}
	}
	if !d.Ended() {
		d.Unspent, d.Collateral = d.Total, chain.PDR(1)
		d.ClientDeposit, d.MinerDeposit = chain.Atto(priceUnit), chain.Atto(priceUnit)
		k.locked(d.Unspent, d.Collateral, d.ClientDeposit, d.MinerDeposit)
	}
	k.global.NextDeal = max(k.global.NextDeal, d.ID+1)
	k.set(chain.DealKey(d.ID), d)
}

// live brings a deal to where its sector is.
func (k *chunk) live(d *chain.Deal, sector chain.SectorState, number uint64) {
	d.State, d.Committed, d.Sector, d.Activated, d.End = chain.DealActive, true, number, k.u.Height, due
	d.PaidThrough = k.u.Height
	k.event(consensus.Event{Kind: consensus.EventDealActive, Deal: d.ID, Miner: d.Miner, Sector: number})
	switch sector {
	case chain.SectorExpired:
		d.State = chain.DealCompleted
		k.event(consensus.Event{Kind: consensus.EventDealPaid, Deal: d.ID, Miner: d.Miner, Amount: d.Total})
		k.event(consensus.Event{Kind: consensus.EventDealEnded, Deal: d.ID, Miner: d.Miner, Reason: "completed"})
	case chain.SectorLost, chain.SectorTerminated:
		d.State = chain.DealLost
		k.event(consensus.Event{Kind: consensus.EventDealEnded, Deal: d.ID, Miner: d.Miner, Reason: "lost"})
	}
}

// order writes order i at rest: asks from a price of 1,000 units on, bids below it.
func (k *chunk) order(i uint64) {
	o := &chain.Order{ID: 2*k.Size.Deals + 1 + i, Owner: k.address(i), Placed: k.u.Height, Matchable: k.u.Height, State: chain.OrderResting,
		Tie: sha256.Sum256(key("tie", i)), Locked: chain.PDR(1000), Deposit: k.Params.OrderDeposit}
	e := consensus.Event{Kind: consensus.EventOrderPlaced, Order: o.ID, From: o.Owner.Bytes(), Amount: o.Locked}
	if i%2 == 0 {
		o.Bid, o.Copies = k.bid(k.Size.Deals+i, 11+i/2%900, due), 1
	} else {
		e.Miner = chain.FirstMinerID + i/2%min(k.Size.Miners, uint64(k.global.NextMiner-chain.FirstMinerID))
		o.Ask = &chain.AskTerms{Miner: e.Miner, Price: chain.Atto((1000 + i/2%1000) * priceUnit), Capacity: 32 << 30, MinPiece: 128,
			MaxPiece: 32 << 30, MinDuration: k.Params.MinDuration, MaxDuration: 10_000_000, Expiry: due, Region: "eu-de"}
		o.Free = o.Ask.Capacity
	}
	k.locked(o.Locked, o.Deposit)
	k.global.NextOrder = o.ID + 1
	k.set(chain.OrderKey(o.ID), o)
	k.event(e)
}

// bid is for a piece of 1 MiB at a price in units.
func (c *Chain) bid(piece, price uint64, expiry chain.Height) *chain.BidTerms {
	return &chain.BidTerms{PieceCID: pieceOf(piece), PaddedSize: 1 << 20, PayloadRoot: rootOf(piece), Parts: 1, Duration: c.Params.MinDuration + piece%100,
		MaxPrice: chain.Atto(price * priceUnit), Copies: 1, Expiry: expiry, ClientPeer: append([]byte{0, 36, 8, 1, 18, 32}, key("peer", piece)...)}
}

// channel writes channel i.
func (k *chunk) channel(i uint64) {
	ch := &chain.Channel{ID: i + 1, Payer: k.address(i), Payee: k.address(i*3 + 1), Balance: chain.PDR(5), Redeemed: chain.Atto(i * 1000),
		Opened: k.u.Height, Lanes: []chain.Lane{{ID: 0, Nonce: 1, Redeemed: chain.Atto(i * 1000), Ticks: i % 1000}}}
	if i%10 == 9 {
		ch.SettleAt = due
	}
	k.global.NextChannel = ch.ID + 1
	k.locked(ch.Balance)
	k.set(chain.ChannelKey(ch.ID), ch)
	k.event(consensus.Event{Kind: consensus.EventChannelOpened, Channel: ch.ID, From: ch.Payer.Bytes(), To: ch.Payee.Bytes(), Amount: ch.Balance})
}
