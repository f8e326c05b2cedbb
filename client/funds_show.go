package client

import (
	"maps"
	"slices"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/p2p"
)

// FundsJSON is where the client's money is, as funds status shows it. Amounts
// are attoPDR; Total is Account, the balances of Channels and the amounts of
// Orders and Deals.
type FundsJSON struct {
	Address  string             `json:"address"`
	Height   chain.Height       `json:"height"` // 0: read while blocks came in
	Account  chain.Amount       `json:"account"`
	Locked   chain.Amount       `json:"locked"`
	Total    chain.Amount       `json:"total"`
	Channels []ChannelFundsJSON `json:"channels"`
	Orders   []LockedJSON       `json:"orders"`
	Deals    []LockedJSON       `json:"deals"`
	Spent    SpentJSON          `json:"spent"`
}

// ChannelFundsJSON is a payment channel and what is promised of it.
type ChannelFundsJSON struct {
	ChannelJSON
	Promised *chain.Amount `json:"promised"` // of the balance, to the payee; null while another process pays
	Ahead    bool          `json:"ahead"`    // funded by a deposit: open until it is withdrawn
}

// LockedJSON is what an order or a deal holds of the client's money.
type LockedJSON struct {
	ID      uint64       `json:"id"`
	RootCID string       `json:"rootCid"`
	Amount  chain.Amount `json:"amount"`
}

// SpentJSON is what fetching has cost, over the transfers on record.
type SpentJSON struct {
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

// ShowFunds gives the money and what was spent of it their JSON form.
func ShowFunds(f *Funds, transfers []*files.Transfer) (FundsJSON, error) {
	n := f.Network
	out := FundsJSON{Address: chain.FormatAddress(f.Address, n), Height: f.Height, Account: f.Account, Locked: f.Locked, Total: f.Total,
		Channels: []ChannelFundsJSON{}, Orders: lockedJSON(f.Orders), Deals: lockedJSON(f.Deals)}
	for i := range f.Channels {
		ch := &f.Channels[i]
		shown := ChannelFundsJSON{ChannelJSON: ShowChannel(&ch.Channel), Ahead: ch.Ahead}
		shown.Payee = chain.FormatAddress(ch.Payee, n)
		if ch.Known {
			shown.Promised = &ch.Promised
		}
		out.Channels = append(out.Channels, shown)
	}
	var err error
	out.Spent, err = spent(transfers)
	return out, err
}

func lockedJSON(all []LockedFunds) []LockedJSON {
	out := make([]LockedJSON, len(all))
	for i, l := range all {
		out[i] = LockedJSON{l.ID, l.Root, l.Amount}
	}
	return out
}

// spent adds transfers up, by object and by seller.
func spent(transfers []*files.Transfer) (SpentJSON, error) {
	var out SpentJSON
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

// TransferJSON is one fetch. Amounts are attoPDR.
type TransferJSON struct {
	Number  uint64         `json:"number"`
	State   string         `json:"state"` // done, failed, or open: under way, or its process was killed
	RootCID string         `json:"rootCid"`
	Path    string         `json:"path,omitempty"`
	Bytes   uint64         `json:"bytes"`
	Chunks  uint64         `json:"chunks"`
	Paid    chain.Amount   `json:"paid"`
	Started time.Time      `json:"started"`
	Ended   *time.Time     `json:"ended,omitempty"`
	Error   string         `json:"error,omitempty"`
	Sellers []files.Seller `json:"sellers"`
}

// ShowTransfer gives the record of a fetch its JSON form.
func ShowTransfer(t *files.Transfer) TransferJSON {
	out := TransferJSON{Number: t.Number, State: "done", RootCID: t.Root, Path: t.Path, Bytes: t.Bytes, Chunks: t.Chunks, Paid: t.Paid,
		Started: t.Started, Error: t.Error, Sellers: []files.Seller{}}
	switch {
	case t.Ended.IsZero():
		out.State = "open"
	case t.Error != "":
		out.State = "failed"
	}
	if !t.Ended.IsZero() {
		out.Ended = &t.Ended
	}
	out.Sellers = append(out.Sellers, t.Sellers...)
	return out
}

// DepositJSON is what funds deposit did. Amounts are attoPDR.
type DepositJSON struct {
	Channels []DepositedJSON `json:"channels"`
	Skipped  []SkippedJSON   `json:"skipped"`
}

// DepositedJSON is what was put into one channel.
type DepositedJSON struct {
	Channel uint64       `json:"channel"`
	Payee   string       `json:"payee"`
	Amount  chain.Amount `json:"amount"`
	Opened  bool         `json:"opened"`
}

// SkippedJSON is a seller that got nothing, and why.
type SkippedJSON struct {
	Peer   string `json:"peer"`
	Reason string `json:"reason"`
}

// ShowDeposit gives the result of a Deposit its JSON form.
func ShowDeposit(r *DepositResult) DepositJSON {
	out := DepositJSON{Channels: []DepositedJSON{}, Skipped: []SkippedJSON{}}
	for _, d := range r.Channels {
		out.Channels = append(out.Channels, DepositedJSON{d.Channel, chain.FormatAddress(d.Payee, r.Network), d.Amount, d.Opened})
	}
	for _, s := range r.Skipped {
		out.Skipped = append(out.Skipped, SkippedJSON{p2p.FormatPeer(s.Peer), s.Err.Error()})
	}
	return out
}

// WithdrawnJSON is what funds withdraw did with one channel.
type WithdrawnJSON struct {
	Channel  uint64       `json:"channel"`
	State    string       `json:"state"` // settling, collected
	Balance  chain.Amount `json:"balance"`
	SettleAt chain.Height `json:"settleAt,omitempty"`
}

// ShowWithdrawn gives the result of a Withdraw its JSON form.
func ShowWithdrawn(all []Withdrawn) []WithdrawnJSON {
	out := make([]WithdrawnJSON, len(all))
	for i, w := range all {
		out[i] = WithdrawnJSON{w.Channel, "settling", w.Balance, w.SettleAt}
		if w.SettleAt == 0 {
			out[i].State = "collected"
		}
	}
	return out
}
