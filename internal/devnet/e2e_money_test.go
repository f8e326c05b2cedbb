package devnet

import (
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/chain/wallet"
)

// promise is a channel between the wallet and a miner's owner, and the secret
// chain of ticks behind a voucher on it.
type promise struct {
	s       *stage
	payer   *wallet.Sender
	payee   *wallet.Sender
	channel uint64
	ticks   *payment.Ticks
	expires chain.Height
}

const tickPrice = 1_000_000

// newPromise opens a channel.
func (s *stage) newPromise(amount chain.Amount) *promise {
	s.t.Helper()
	p := &promise{s: s, payer: s.sender(s.Wallet), payee: s.sender(s.Miners[0].Home)}
	in := s.send(p.payer, &chain.OpenChannel{Payee: p.payee.Address(), Amount: amount})
	if err := in.Err(); err != nil {
		s.t.Fatal(err)
	}
	p.channel, p.expires = in.Receipt.ID, s.Height()+1_000
	var err error
	if p.ticks, err = payment.NewTicks([32]byte{1}, 100); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// redeem is the message that claims a voucher's amount and its first ticks.
func (p *promise) redeem(nonce uint64, amount chain.Amount, ticks uint64) *chain.RedeemVoucher {
	p.s.t.Helper()
	v := chain.Voucher{Version: chain.MessageVersion, ChainID: p.s.Params.ChainID, Channel: p.channel, Nonce: nonce, Amount: amount,
		Anchor: p.ticks.Anchor(), TickPrice: chain.Atto(tickPrice), MaxTicks: 100, ChunkSize: 256 << 10, ExpiresAt: p.expires}
	text, err := v.SignBytes()
	if err != nil {
		p.s.t.Fatal(err)
	}
	sig, err := p.payer.Sign(text)
	if err != nil {
		p.s.t.Fatal(err)
	}
	tick, err := p.ticks.Tick(ticks)
	if err != nil {
		p.s.t.Fatal(err)
	}
	return &chain.RedeemVoucher{Voucher: chain.SignedVoucher{Voucher: v, Signature: sig}, Ticks: ticks, Tick: tick}
}

// TestE2EDoubleRedeem redeems a voucher, the same one again, an older tick of
// it, one with an older nonce, and one again after the channel was collected:
// only the first pays.
func TestE2EDoubleRedeem(t *testing.T) {
	endToEnd(t)
	s := setStage(t, 1)
	p := s.newPromise(chain.PDR(1))
	first := p.redeem(1, chain.Amount{}, 10)
	stale := p.redeem(0, chain.Atto(5), 0)
	before := s.account(p.payee.Address()).Balance
	in := s.send(p.payee, first)
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	paid := chain.Atto(10 * tickPrice)
	if got := s.gain(p.payee, before, in); got != paid {
		t.Errorf("redeemed %s, want %s", got, paid)
	}
	for _, again := range []struct {
		name string
		body chain.Body
	}{{"the same", first}, {"an older tick", p.redeem(1, chain.Amount{}, 7)}, {"an older nonce", stale}} {
		s.refused(again.name, p.payee, again.body)
		if c := record[chain.Channel](s, chain.ChannelKey(p.channel)); c.Redeemed != paid {
			t.Errorf("%s: %s redeemed, want %s", again.name, c.Redeemed, paid)
		}
	}
	s.twice(p)
	paid = chain.Atto(25 * tickPrice)
	if c := record[chain.Channel](s, chain.ChannelKey(p.channel)); c.Redeemed != paid {
		t.Errorf("%s redeemed, want %s", c.Redeemed, paid)
	}
	if err := s.send(p.payer, &chain.SettleChannel{Channel: p.channel}).Err(); err != nil {
		t.Fatal(err)
	}
	s.refused("collect too early", p.payer, &chain.CollectChannel{Channel: p.channel})
	s.blocks(int(s.Params.SettleDelay))
	if err := s.send(p.payer, &chain.CollectChannel{Channel: p.channel}).Err(); err != nil {
		t.Fatal(err)
	}
	s.refused("redeem after it was collected", p.payee, p.redeem(1, chain.Amount{}, 50))
	collected := s.events(consensus.EventChannelCollected, func(e *consensus.Event) bool { return e.Channel == p.channel })
	if rest, err := chain.PDR(1).Sub(paid); err != nil || len(collected) != 1 || collected[0].Amount != rest {
		t.Errorf("collected %+v, want %s", collected, rest)
	}
	s.check()
}

// twice puts one claim into one block two times: the second one fails in it.
func (s *stage) twice(p *promise) {
	t := s.t
	t.Helper()
	claim := p.redeem(1, chain.Amount{}, 25)
	nonce := s.account(p.payee.Address()).Nonce
	var both [][]byte
	for i := range uint64(2) {
		raw, err := p.payee.Encode(s.ctx, claim, nonce+i)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, raw)
	}
	if _, r := s.apply(both...); r[0].Code != consensus.CodeOK || r[1].Code != consensus.CodeFailed {
		t.Errorf("the same claim twice in a block: %+v, want the second to fail", r)
	}
	if err := s.send(p.payee, claim).Err(); err != nil {
		t.Fatal(err)
	}
}

// gain is by how much an account grew with a message, without its fee.
func (s *stage) gain(of *wallet.Sender, before chain.Amount, in *wallet.Inclusion) chain.Amount {
	s.t.Helper()
	after, err := s.account(of.Address()).Balance.Add(in.Receipt.Fee)
	if err == nil {
		after, err = after.Sub(before)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return after
}

// refused offers a message that the rules refuse: no node takes it; in the block
// of a proposer that takes it nonetheless it costs its fee and changes nothing
// else. It returns the reason.
func (s *stage) refused(what string, from *wallet.Sender, body chain.Body) string {
	s.t.Helper()
	_, err := from.Post(s.ctx, body)
	if consensus.CodeOf(err) != consensus.CodeFailed || err == nil {
		s.t.Errorf("%s: the node says %v, want it refused", what, err)
	}
	nonce := s.account(from.Address()).Nonce
	payer := chain.AccountKey(from.Address())
	if proof, ok := body.(*chain.SubmitWindowProof); ok { // the miner's balance pays, the nonce is not used
		nonce, payer = 0, chain.MinerKey(proof.Miner)
	}
	raw, err := from.Encode(s.ctx, body, nonce)
	if err != nil {
		s.t.Fatal(err)
	}
	quiet, _ := s.apply()
	with, results := s.apply(raw)
	r := results[0]
	if r.Code != consensus.CodeFailed || r.Error == "" || strings.Contains(r.Error, "\n") || r.Fee.IsZero() || len(with.Events) != len(quiet.Events) {
		s.t.Errorf("%s: result %+v, %d events, want a failure in one line that costs its fee", what, r, len(with.Events)-len(quiet.Events))
	}
	before := map[chain.Key]string{}
	for _, c := range quiet.Changes {
		before[c.Key()] = string(c.Value)
	}
	paid := false
	for _, c := range with.Changes {
		switch k := c.Key(); {
		case k == payer:
			paid = true
		case k.Table == chain.TableGlobal, before[k] == string(c.Value):
		case nonce == 0 && (k.Table == chain.TableReplay || k.Table == chain.TableQueue): // so that it is not charged twice
		default:
			s.t.Errorf("%s: record %s %x changed", what, k.Table, k.ID)
		}
	}
	if !paid {
		s.t.Errorf("%s: its payer's record did not change", what)
	}
	s.t.Logf("%s: %s", what, r.Error)
	return r.Error
}

// apply executes what would be the next block over the present state.
func (s *stage) apply(messages ...[]byte) (*consensus.Update, []consensus.Result) {
	s.t.Helper()
	view := s.Nodes[0].Store().View()
	u, results, err := consensus.Apply(s.Params, view, consensus.Direct{}, &consensus.Block{Height: view.Height() + 1, Messages: messages})
	if err != nil {
		s.t.Fatal(err)
	}
	return u, results
}
