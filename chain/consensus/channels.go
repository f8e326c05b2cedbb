package consensus

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
)

func (s *state) channel(id uint64) (*chain.Channel, error) {
	c := new(chain.Channel)
	if !s.load(chain.ChannelKey(id), c) {
		return nil, refuse(CodeFailed, "no channel %d", id)
	}
	return c, nil
}

func openChannelUnits(s *state, _ *chain.OpenChannel) uint64 { return 2 * s.params.UnitWrite }

func applyOpenChannel(s *state, m *chain.Message, b *chain.OpenChannel) (uint64, error) {
	switch {
	case !chain.IsKeyAddress(b.Payee):
		return 0, refuse(CodeFailed, "payee is not a key address")
	case b.Payee == m.From:
		return 0, refuse(CodeFailed, "payer and payee are the same")
	case b.Amount.IsZero():
		return 0, refuse(CodeFailed, "a channel holds more than nothing")
	}
	if err := s.lock(m.From, b.Amount); err != nil {
		return 0, err
	}
	c := &chain.Channel{ID: s.global.NextChannel, Payer: m.From, Payee: b.Payee, Balance: b.Amount, Opened: s.global.Height}
	s.global.NextChannel++
	s.store(chain.ChannelKey(c.ID), c)
	s.emit(Event{Kind: EventChannelOpened, Channel: c.ID, From: c.Payer.Bytes(), To: c.Payee.Bytes(), Amount: b.Amount})
	return c.ID, nil
}

func topUpChannelUnits(s *state, _ *chain.TopUpChannel) uint64 { return 2 * s.params.UnitWrite }

func applyTopUpChannel(s *state, m *chain.Message, b *chain.TopUpChannel) (uint64, error) {
	c, err := s.channel(b.Channel)
	if err != nil {
		return 0, err
	}
	switch {
	case m.From != c.Payer:
		return 0, refuse(CodeFailed, "only its payer tops up channel %d", c.ID)
	case c.SettleAt != 0:
		return 0, refuse(CodeFailed, "channel %d is settling", c.ID)
	case b.Amount.IsZero():
		return 0, refuse(CodeFailed, "nothing to add")
	}
	if err := s.lock(m.From, b.Amount); err != nil {
		return 0, err
	}
	if c.Balance, err = c.Balance.Add(b.Amount); err != nil {
		return 0, refuse(CodeFailed, "top up channel %d: %v", c.ID, err)
	}
	s.store(chain.ChannelKey(c.ID), c)
	s.emit(Event{Kind: EventChannelToppedUp, Channel: c.ID, Amount: b.Amount})
	return 0, nil
}

func claimOf(b *chain.RedeemVoucher) *payment.Claim {
	return &payment.Claim{Voucher: b.Voucher.Voucher, Ticks: b.Ticks, Tick: b.Tick}
}

// redeemVoucherUnits counts the hashes from the newest redeemed tick, so that
// a payee may redeem often.
func redeemVoucherUnits(s *state, b *chain.RedeemVoucher) uint64 {
	var c chain.Channel
	s.load(chain.ChannelKey(b.Voucher.Voucher.Channel), &c)
	hops := min(payment.Hops(&c, claimOf(b)), chain.MaxTicks)
	return 2*s.params.UnitWrite + s.params.UnitSignature + hops*s.params.UnitHash
}

// applyRedeemVoucher pays the payee. Nobody else may send it: a payer could
// otherwise redeem a voucher of its own with a higher nonce, worth nothing,
// and so void the one that the payee holds. It works until the channel is collected.
func applyRedeemVoucher(s *state, m *chain.Message, b *chain.RedeemVoucher) (uint64, error) {
	v := &b.Voucher.Voucher
	c, err := s.channel(v.Channel)
	if err != nil {
		return 0, err
	}
	if m.From != c.Payee {
		return 0, refuse(CodeFailed, "only its payee redeems from channel %d", c.ID)
	}
	signed, err := v.SignBytes()
	if err != nil {
		return 0, refuse(CodeFailed, "voucher: %v", err)
	}
	next, pay, err := payment.Redeem(c, s.params.ChainID, s.global.Height, claimOf(b))
	if err != nil {
		return 0, refuse(CodeFailed, "redeem from channel %d: %v", c.ID, err)
	}
	if err := s.verify.Signature(&b.Voucher.Signature, c.Payer, signed); err != nil {
		return 0, refuse(CodeFailed, "voucher: signature: %v", err)
	}
	s.store(chain.ChannelKey(c.ID), next)
	if err := s.unlock(c.Payee, pay); err != nil {
		return 0, err
	}
	s.emit(Event{Kind: EventVoucherRedeemed, Channel: c.ID, To: c.Payee.Bytes(), Amount: pay, Index: v.Lane})
	return 0, nil
}

func settleChannelUnits(s *state, _ *chain.SettleChannel) uint64 { return 2 * s.params.UnitWrite }

// applySettleChannel starts the delay in which the payee may still redeem.
// It starts once: nobody can shorten or prolong it. A channel that neither side
// collects for EndedRetention blocks after the delay is collected by the chain.
func applySettleChannel(s *state, m *chain.Message, b *chain.SettleChannel) (uint64, error) {
	c, err := s.channel(b.Channel)
	if err != nil {
		return 0, err
	}
	switch {
	case m.From != c.Payer && m.From != c.Payee:
		return 0, refuse(CodeFailed, "only payer or payee settle channel %d", c.ID)
	case c.SettleAt != 0:
		return 0, refuse(CodeFailed, "channel %d is settling, it can be collected from height %d", c.ID, c.SettleAt)
	}
	c.SettleAt = s.global.Height + chain.Height(s.params.SettleDelay)
	s.store(chain.ChannelKey(c.ID), c)
	s.enqueue(chain.QueueChannelForget, c.SettleAt+chain.Height(s.params.EndedRetention), chain.QueueItem{ID: c.ID})
	s.emit(Event{Kind: EventChannelSettling, Channel: c.ID})
	return 0, nil
}

func collectChannelUnits(s *state, _ *chain.CollectChannel) uint64 { return 2 * s.params.UnitWrite }

// applyCollectChannel repays the payer. Either side may send it.
func applyCollectChannel(s *state, m *chain.Message, b *chain.CollectChannel) (uint64, error) {
	c, err := s.channel(b.Channel)
	if err != nil {
		return 0, err
	}
	switch {
	case m.From != c.Payer && m.From != c.Payee:
		return 0, refuse(CodeFailed, "only payer or payee collect channel %d", c.ID)
	case c.SettleAt == 0:
		return 0, refuse(CodeFailed, "channel %d is open: settle it first", c.ID)
	case s.global.Height < c.SettleAt:
		return 0, refuse(CodeFailed, "channel %d can be collected from height %d", c.ID, c.SettleAt)
	}
	return 0, s.collect(c)
}

// collect repays the payer of a channel what is left, and deletes it.
func (s *state) collect(c *chain.Channel) error {
	s.remove(chain.ChannelKey(c.ID))
	if err := s.unlock(c.Payer, c.Balance); err != nil {
		return err
	}
	s.emit(Event{Kind: EventChannelCollected, Channel: c.ID, To: c.Payer.Bytes(), Amount: c.Balance})
	return nil
}
