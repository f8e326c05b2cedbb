package view

import (
	"maps"
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/p2p"
)

// Funds is where the client's money is, as funds status shows it. Amounts
// are attoPDR; Total is Account, the balances of Channels and the amounts of
// Orders and Deals.
type Funds struct {
	Address  string         `json:"address"`
	Height   chain.Height   `json:"height"` // 0: read while blocks came in
	Account  chain.Amount   `json:"account"`
	Locked   chain.Amount   `json:"locked"`
	Total    chain.Amount   `json:"total"`
	Channels []ChannelFunds `json:"channels"`
	Orders   []Locked       `json:"orders"`
	Deals    []Locked       `json:"deals"`
	Spent    Spent          `json:"spent"`
}

// ChannelFunds is a payment channel and what is promised of it.
type ChannelFunds struct {
	Channel
	Promised *chain.Amount `json:"promised"` // of the balance, to the payee; null while another process pays
	Ahead    bool          `json:"ahead"`    // funded by a deposit: open until it is withdrawn
}

// Locked is what an order or a deal holds of the client's money.
type Locked struct {
	ID      uint64       `json:"id"`
	RootCID string       `json:"rootCid"`
	Amount  chain.Amount `json:"amount"`
}

// Spent is what fetching has cost, over the transfers on record.
type Spent struct {
	files.Sum
	Objects []SpentOn `json:"objects"` // dearest first
	Sellers []SpentOn `json:"sellers"`
}

// SpentOn is what fetching one object, or from one seller, has cost.
type SpentOn struct {
	RootCID string `json:"rootCid,omitempty"`
	Peer    string `json:"peer,omitempty"`
	Miner   string `json:"miner,omitempty"`
	files.Sum
}

// FundsOf gives the money and what was spent of it their JSON form.
func FundsOf(f *client.Funds, transfers []*files.Transfer) (Funds, error) {
	n := f.Network
	out := Funds{Address: chain.FormatAddress(f.Address, n), Height: f.Height, Account: f.Account, Locked: f.Locked, Total: f.Total,
		Channels: []ChannelFunds{}, Orders: locked(f.Orders), Deals: locked(f.Deals)}
	for i := range f.Channels {
		ch := &f.Channels[i]
		shown := ChannelFunds{Channel: ChannelOf(&ch.Channel, n), Ahead: ch.Ahead}
		if ch.Known {
			shown.Promised = &ch.Promised
		}
		out.Channels = append(out.Channels, shown)
	}
	var err error
	out.Spent, err = spent(transfers)
	return out, err
}

func locked(all []client.LockedFunds) []Locked {
	out := make([]Locked, len(all))
	for i, l := range all {
		out[i] = Locked{l.ID, l.Root, l.Amount}
	}
	return out
}

// spent adds transfers up, by object and by seller.
func spent(transfers []*files.Transfer) (Spent, error) {
	var out Spent
	objects, sellers := map[string]*SpentOn{}, map[string]*SpentOn{}
	for _, t := range transfers {
		if err := out.Add(t.Bytes, t.Chunks, t.Paid); err != nil {
			return out, err
		}
		o := objects[t.Root]
		if o == nil {
			o = &SpentOn{RootCID: t.Root}
			objects[t.Root] = o
		}
		if err := o.Add(t.Bytes, t.Chunks, t.Paid); err != nil {
			return out, err
		}
		for _, s := range t.Sellers {
			if s.Chunks == 0 {
				continue
			}
			of := sellers[s.Peer]
			if of == nil {
				of = &SpentOn{Peer: s.Peer}
				sellers[s.Peer] = of
			}
			if s.Miner != "" {
				of.Miner = s.Miner
			}
			if err := of.Add(s.Bytes, s.Chunks, s.Paid); err != nil {
				return out, err
			}
		}
	}
	out.Objects, out.Sellers = dearest(objects), dearest(sellers)
	return out, nil
}

// dearest sorts by what was paid, the most first.
func dearest(by map[string]*SpentOn) []SpentOn {
	out := make([]SpentOn, 0, len(by))
	for _, k := range slices.Sorted(maps.Keys(by)) {
		out = append(out, *by[k])
	}
	slices.SortStableFunc(out, func(a, b SpentOn) int { return b.Paid.Cmp(a.Paid) })
	return out
}

// Channel is a payment channel. Amounts are attoPDR.
type Channel struct {
	ID       uint64       `json:"id"`
	State    string       `json:"state"` // open, settling
	Payee    string       `json:"payee"`
	Balance  chain.Amount `json:"balance"`  // not redeemed
	Redeemed chain.Amount `json:"redeemed"` // paid to the payee so far
	Opened   chain.Height `json:"opened"`
	SettleAt chain.Height `json:"settleAt,omitempty"` // from here on it can be collected
}

// ChannelOf gives a channel its JSON form.
func ChannelOf(c *chain.Channel, n chain.Network) Channel {
	state := "open"
	if c.SettleAt != 0 {
		state = "settling"
	}
	return Channel{c.ID, state, chain.FormatAddress(c.Payee, n), c.Balance, c.Redeemed, c.Opened, c.SettleAt}
}

// Deposit is what funds deposit did. Amounts are attoPDR.
type Deposit struct {
	Channels []Deposited `json:"channels"`
	Skipped  []Skipped   `json:"skipped"`
}

// Deposited is what was put into one channel.
type Deposited struct {
	Channel uint64       `json:"channel"`
	Payee   string       `json:"payee"`
	Amount  chain.Amount `json:"amount"`
	Opened  bool         `json:"opened"`
}

// Skipped is a seller that got nothing, and why.
type Skipped struct {
	Peer   string `json:"peer"`
	Reason string `json:"reason"`
}

// DepositOf gives the result of a Deposit its JSON form.
func DepositOf(r *client.DepositResult) Deposit {
	out := Deposit{Channels: []Deposited{}, Skipped: []Skipped{}}
	for _, d := range r.Channels {
		out.Channels = append(out.Channels, Deposited{d.Channel, chain.FormatAddress(d.Payee, r.Network), d.Amount, d.Opened})
	}
	for _, s := range r.Skipped {
		out.Skipped = append(out.Skipped, Skipped{p2p.FormatPeer(s.Peer), s.Err.Error()})
	}
	return out
}

// Withdrawn is what funds withdraw did with one channel.
type Withdrawn struct {
	Channel  uint64       `json:"channel"`
	State    string       `json:"state"` // settling, collected
	Balance  chain.Amount `json:"balance"`
	SettleAt chain.Height `json:"settleAt,omitempty"`
}

// WithdrawnOf gives the result of a Withdraw its JSON form.
func WithdrawnOf(all []client.Withdrawn) []Withdrawn {
	out := make([]Withdrawn, len(all))
	for i, w := range all {
		out[i] = Withdrawn{w.Channel, "settling", w.Balance, w.SettleAt}
		if w.SettleAt == 0 {
			out[i].State = "collected"
		}
	}
	return out
}
