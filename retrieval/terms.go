package retrieval

import "github.com/perdure/perdure/chain"

// CheckVoucher says whether a voucher on a channel meets an offer on the chain
// with this ID. It checks what the voucher says, not its signature, nor whether
// the channel has the money: payment.Accept says that, knowing the other lanes.
func CheckVoucher(v *chain.Voucher, ch *chain.Channel, o *Offer, chainID string) error {
	switch {
	case v.ChainID != chainID:
		return Errorf(CodeVoucher, "voucher for chain %q, this is %q", v.ChainID, chainID)
	case v.Channel != ch.ID:
		return Errorf(CodeVoucher, "voucher on channel %d, the channel is %d", v.Channel, ch.ID)
	case o.Payee == nil || ch.Payee != *o.Payee:
		return Errorf(CodeVoucher, "channel %d pays somebody else than this seller", ch.ID)
	case ch.SettleAt != 0:
		return Errorf(CodeVoucher, "channel %d is being settled", ch.ID)
	case v.ChunkSize != o.ChunkSize:
		return Errorf(CodeVoucher, "voucher for chunks of %d bytes, offered are %d", v.ChunkSize, o.ChunkSize)
	case v.TickPrice != o.Price:
		return Errorf(CodeVoucher, "voucher pays %s attoPDR a chunk, the price is %s", v.TickPrice, o.Price)
	case v.ExpiresAt <= o.ExpireAfter:
		return Errorf(CodeVoucher, "voucher expires at height %d, it must live beyond %d", v.ExpiresAt, o.ExpireAfter)
	}
	return nil
}
