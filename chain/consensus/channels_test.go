package consensus

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
)

func init() {
	verbs["open"] = func(s *script, a args) chain.Body {
		return &chain.OpenChannel{Payee: a.address("payee"), Amount: a.amount("amount")}
	}
	verbs["top-up"] = func(s *script, a args) chain.Body {
		return &chain.TopUpChannel{Channel: a.number("channel"), Amount: a.amount("amount")}
	}
	verbs["settle-channel"] = func(s *script, a args) chain.Body { return &chain.SettleChannel{Channel: a.number("channel")} }
	verbs["collect-channel"] = func(s *script, a args) chain.Body { return &chain.CollectChannel{Channel: a.number("channel")} }
	verbs["redeem"] = redeemVerb
}

// redeemVerb: channel= lane= nonce of the voucher= amount= price= ticks=
// expires= payer=NAME chain=ID; seed=N another hash chain; tick=wrong.
// The voucher's nonce is vnonce=, the tick revealed k=.
func redeemVerb(s *script, a args) chain.Body {
	ticks, err := payment.NewTicks([32]byte{byte(a.number("seed", 0))}, a.number("ticks", 100))
	must(s.t, err)
	v := chain.Voucher{Version: chain.MessageVersion, ChainID: s.params.ChainID, Channel: a.number("channel"),
		Lane: a.number("lane", 0), Nonce: a.number("vnonce", 1), Amount: a.amount("amount"), Anchor: ticks.Anchor(),
		TickPrice: a.amount("price"), MaxTicks: a.number("ticks", 100), ChunkSize: 262144,
		ExpiresAt: chain.Height(a.number("expires", 1000))}
	if a.has("chain") {
		v.ChainID = a.text("chain")
	}
	b, err := v.SignBytes()
	must(s.t, err)
	sig, err := chain.Sign(keyOf(a.text("payer")), b)
	must(s.t, err)
	k := a.number("k", 0)
	tick, err := ticks.Tick(k)
	must(s.t, err)
	if a.has("tick") {
		tick[0] ^= 1
	}
	return &chain.RedeemVoucher{Voucher: chain.SignedVoucher{Voucher: v, Signature: sig}, Ticks: k, Tick: tick}
}
