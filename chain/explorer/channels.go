package explorer

import (
	"cmp"

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

func (n names) channelOf(c *chain.Channel, r *index.Record) *Channel {
	out := &Channel{ID: c.ID, State: index.ChannelStateOf(r, c).String(), Payer: n.address(c.Payer), Payee: n.address(c.Payee), Balance: c.Balance, Redeemed: c.Redeemed,
		Opened: c.Opened, SettleAt: c.SettleAt, Ended: r.Ended, Lanes: []Lane{}}
	if r.Gone != 0 {
		out.Balance = chain.Amount{}
	}
	for _, l := range c.Lanes {
		out.Lanes = append(out.Lanes, Lane{l.ID, l.Nonce, l.Redeemed, l.Ticks})
	}
	return out
}

func (a *API) channelRoutes() []route {
	return []route{
		{path: "/v1/channels", query: ordered("address", "payer", "payee", "state", "ids"), handle: a.channels, indexed: true},
		{path: "/v1/channels/{channel}", query: proofQuery(), handle: a.channel, indexed: true},
	}
}

// channelStates are the states in their order, from 1.
var channelStates = []string{"open", "settling", "collected"}

func (a *API) channels(q *query) (any, error) {
	var f index.ChannelFilter
	err := cmp.Or(
		optional(q, "address", &f.Address, parseAddress),
		optional(q, "payer", &f.Payer, parseAddress),
		optional(q, "payee", &f.Payee, parseAddress))
	if err != nil {
		return nil, err
	}
	chosen, err := q.several("state", channelStates...)
	if err != nil {
		return nil, err
	}
	l := recordList[chain.Channel, *chain.Channel, *Channel]{table: chain.TableChannel, born: func(c *chain.Channel) chain.Height { return c.Opened },
		show: func(r *index.Record, c *chain.Channel) (*Channel, error) { return q.channelOf(c, r), nil }}
	if chosen == nil {
		chosen = []int{-1}
	}
	for _, i := range chosen {
		f.State = index.ChannelState(i + 1)
		l.lists = append(l.lists, index.Channels(f))
	}
	return l.answer(q)
}

func (a *API) channel(q *query) (any, error) {
	id, err := q.number("channel")
	if err != nil {
		return nil, err
	}
	c := new(chain.Channel)
	if out, ok, err := q.prove(answerChannel, chain.ChannelKey(id), c, func(_ bool, at AsOf, p *Proof) (any, error) {
		return &ChannelDetail{q.channelOf(c, &index.Record{}), at, p}, nil
	}); ok {
		return out, err
	}
	r, c, err := q.loadChannel()
	if err != nil {
		return nil, err
	}
	return &ChannelDetail{q.channelOf(c, r), q.asOf(), nil}, nil
}

// loadChannel reads the channel that the path names.
func (q *query) loadChannel() (*index.Record, *chain.Channel, error) {
	id, err := q.number("channel")
	if err != nil {
		return nil, nil, err
	}
	v := new(chain.Channel)
	r, err := q.recall(chain.ChannelKey(id), v)
	if err == nil && r == nil {
		err = notFound("there is no channel %d, or it was over before the index began", id)
	}
	return r, v, err
}
