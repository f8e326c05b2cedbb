package devnet

import (
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/client/view"
	"github.com/perdure/perdure/retrieval"
)

// close brings every seller back, has the buyers close their channels, and
// waits until they are collected.
func (b *bazaar) close() {
	b.t.Helper()
	for i := range bazaarSellers {
		b.await(fmt.Sprintf("seller %d", i), func() bool {
			var status struct{ Height chain.Height }
			return b.ask(i, "/v1/status", &status) && status.Height > 0
		})
	}
	for i := range bazaarBuyers + 1 {
		b.eachChannel(i, func(c view.Channel) {
			if c.State == "open" {
				b.run(nil, "channel", "settle", fmt.Sprint(c.ID), "--home", b.home(buyerName(i)), "--node", b.apis[0])
			}
		})
	}
	for i := range bazaarBuyers + 1 {
		b.eachChannel(i, func(c view.Channel) {
			b.reach(0, c.SettleAt)
			b.run(nil, "channel", "collect", fmt.Sprint(c.ID), "--home", b.home(buyerName(i)), "--node", b.apis[0])
		})
	}
}

func (b *bazaar) eachChannel(buyer int, each func(view.Channel)) {
	b.t.Helper()
	var all struct{ Items []view.Channel }
	b.run(&all, "channel", "list", "--home", b.home(buyerName(buyer)), "--node", b.apis[0])
	for _, c := range all.Items {
		each(c)
	}
}

// books is what became of the money of an account, as the chain's history has it.
type books struct {
	in, redeemed, back, fees chain.Amount
}

// judge compares what everybody paid and got with what it was due.
func (b *bazaar) judge(control chain.Amount) {
	b.t.Helper()
	node := rpc.New(b.apis[0])
	defer node.Close()
	for last := b.height(0); <-b.told < last; {
		if b.ctx.Err() != nil {
			b.t.Fatal(b.ctx.Err())
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	price, err := control.MulDiv(1, b.allChunks())
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range bazaarBuyers + 1 {
		a := b.addressOf(buyerName(i))
		k := b.accounts[string(a.Bytes())]
		if err := b.feesOf(a, &k.fees); err != nil {
			b.t.Fatal(err)
		}
		now, err := node.Account(b.ctx, a)
		if err != nil {
			b.t.Fatal(err)
		}
		spent, err := genesisMoney.Sub(now.Balance)
		if err != nil {
			b.t.Fatal(err)
		}
		out, err := chain.Sum(k.redeemed, k.fees)
		if err != nil || out != spent {
			b.t.Errorf("%s spent %s attoPDR: %s redeemed by sellers and %s of fees are %s, %v", buyerName(i), spent, k.redeemed, k.fees, out, err)
		}
		if rest, err := chain.Sum(k.redeemed, k.back); err != nil || rest != k.in {
			b.t.Errorf("%s put %s into channels; %s was redeemed and %s came back", buyerName(i), k.in, k.redeemed, k.back)
		}
		mine := 0
		if i < bazaarBuyers {
			mine = b.incidents[i]*bazaarSellers + b.kills
		}
		window, err := price.Mul(uint64(mine) * retrieval.MaxCredit)
		if err != nil {
			b.t.Fatal(err)
		}
		lost, who := k.redeemed, "the buyer paid more"
		if lost.Less(control) {
			lost, err = control.Sub(k.redeemed)
			who = "its sellers got less"
		} else {
			lost, err = k.redeemed.Sub(control)
		}
		b.t.Logf("%s: %s attoPDR to sellers, %s undisturbed; %s by %s, at most %s for %d incidents", buyerName(i), k.redeemed, control, who, lost, window, mine)
		if err != nil || window.Less(lost) {
			b.t.Errorf("%s: %s by %s attoPDR; %d incidents allow for %s", buyerName(i), who, lost, mine, window)
		}
	}
}

func (b *bazaar) allChunks() (n uint64) {
	for i := range b.goods {
		n += b.goods[i].chunks
	}
	return n
}

func (b *bazaar) addressOf(name string) chain.Address {
	b.t.Helper()
	a, err := Keystore(b.home(name)).Default()
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// keep follows the chain and keeps the buyers' books until the test ends. After
// each block it tells the height to whoever wants to know.
func (b *bazaar) keep(node *rpc.Client) {
	payer := map[uint64]*books{}
	err := node.Follow(b.ctx, 1, func(u *consensus.Update) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		for i := range u.Events {
			e := &u.Events[i]
			if e.Kind == consensus.EventChannelOpened {
				payer[e.Channel] = b.accounts[string(e.From)]
			}
			k := payer[e.Channel]
			if e.Channel == 0 || k == nil {
				continue
			}
			switch e.Kind {
			case consensus.EventChannelOpened, consensus.EventChannelToppedUp:
				k.in = b.plus(k.in, e.Amount)
			case consensus.EventVoucherRedeemed:
				k.redeemed = b.plus(k.redeemed, e.Amount)
			case consensus.EventChannelCollected:
				k.back = b.plus(k.back, e.Amount)
			}
		}
		select {
		case b.told <- u.Height:
		default:
		}
		return nil
	})
	if err != nil && b.ctx.Err() == nil {
		b.t.Errorf("keep the books: %v", err)
	}
}

func (b *bazaar) plus(x, y chain.Amount) chain.Amount {
	sum, err := x.Add(y)
	if err != nil {
		b.t.Error(err)
	}
	return sum
}

// feesOf sums the fees of an account's messages.
func (b *bazaar) feesOf(a chain.Address, sum *chain.Amount) error {
	text := chain.FormatAddress(a, chain.Testnet)
	for cursor := ""; ; {
		var page struct {
			Items []struct {
				From string
				Fee  chain.Amount
			}
			Next string
		}
		url := b.apis[0] + "/v1/messages?limit=500&address=" + text
		if cursor != "" {
			url += "&cursor=" + cursor
		}
		if !get(url, &page) {
			return fmt.Errorf("read messages of %s", text)
		}
		for _, m := range page.Items {
			if m.From == text {
				*sum = b.plus(*sum, m.Fee)
			}
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
	}
}
