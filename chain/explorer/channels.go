package explorer

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
)

// Lane is a channel's sub-account.
type Lane struct {
	Lane     uint64       `json:"lane"`
	Nonce    uint64       `json:"nonce"`    // of the voucher redeemed last
	Redeemed chain.Amount `json:"redeemed"` // cumulative
	Ticks    uint64       `json:"ticks"`    // redeemed of that voucher
}

// Channel is a payment channel. One that is over is shown as it last was.
type Channel struct {
	ID       uint64       `json:"id"`
	State    string       `json:"state"` // open, settling, collected
	Payer    string       `json:"payer"`
	Payee    string       `json:"payee"`
	Balance  chain.Amount `json:"balance"`  // locked and not redeemed
	Redeemed chain.Amount `json:"redeemed"` // paid to the payee so far
	Opened   chain.Height `json:"opened"`
	SettleAt chain.Height `json:"settleAt,omitempty"` // from here on it can be collected
	Ended    chain.Height `json:"ended,omitempty"`    // block in which it was collected
	Lanes    []Lane       `json:"lanes"`
}

// ChannelDetail is a channel as of a height.
type ChannelDetail struct {
	*Channel
	AsOf
	Proof *Proof `json:"proof,omitempty"`
}

func (n names) channelOf(c *chain.Channel, k *index.Kept) *Channel {
	out := &Channel{ID: c.ID, State: "open", Payer: n.address(c.Payer), Payee: n.address(c.Payee), Balance: c.Balance, Redeemed: c.Redeemed,
		Opened: c.Opened, SettleAt: c.SettleAt, Ended: k.Ended, Lanes: []Lane{}}
	switch {
	case k.Ended != 0:
		out.State, out.Balance = "collected", chain.Amount{}
	case c.SettleAt != 0:
		out.State = "settling"
	}
	for _, l := range c.Lanes {
		out.Lanes = append(out.Lanes, Lane{l.ID, l.Nonce, l.Redeemed, l.Ticks})
	}
	return out
}

// loadChannel reads a channel as it is or, if it is over, as it last was.
func (q *query) loadChannel(id uint64) (*chain.Channel, *index.Kept, error) {
	c := new(chain.Channel)
	if ok, err := q.load(chain.ChannelKey(id), c); ok || err != nil {
		return c, &index.Kept{}, err
	}
	k, err := q.api.index.Kept(chain.ChannelKey(id))
	if err != nil || k == nil {
		return nil, nil, err
	}
	if k.Ended == 0 { // the index is behind
		k.Ended = q.global.Height
	}
	return c, k, chain.Decode(k.Record, c)
}

func (a *API) channels(q *query) (any, error) {
	if !q.given("address") {
		return nil, badRequest("address is missing: whose channels?")
	}
	who, err := parseAddress("address", q.values.Get("address"))
	if err != nil {
		return nil, err
	}
	return listOf(q, func(p index.Page, add func(*Channel)) ([]byte, error) {
		return a.index.ChannelsOf(who, p, func(id uint64) (bool, error) {
			c, k, err := q.loadChannel(id)
			if c == nil || err != nil {
				return false, err
			}
			add(q.channelOf(c, k))
			return true, nil
		})
	})
}

func (a *API) channel(q *query) (any, error) {
	id, err := q.number("channel")
	if err != nil {
		return nil, err
	}
	var r chain.Channel
	if out, ok, err := q.prove(answerChannel, chain.ChannelKey(id), &r, func(_ bool, at AsOf, p *Proof) (any, error) {
		return &ChannelDetail{q.channelOf(&r, &index.Kept{}), at, p}, nil
	}); ok {
		return out, err
	}
	c, k, err := q.loadChannel(id)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, notFound("there is no channel %d, or it was over before the index began", id)
	}
	return &ChannelDetail{q.channelOf(c, k), q.asOf(), nil}, nil
}
