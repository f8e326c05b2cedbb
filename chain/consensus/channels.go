package consensus

import "github.com/perdure/perdure/chain"

func openChannelUnits(s *state, _ *chain.OpenChannel) uint64 { return s.params.UnitWrite }

func applyOpenChannel(s *state, m *chain.Message, b *chain.OpenChannel) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func topUpChannelUnits(s *state, _ *chain.TopUpChannel) uint64 { return s.params.UnitWrite }

func applyTopUpChannel(s *state, m *chain.Message, b *chain.TopUpChannel) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func redeemVoucherUnits(s *state, _ *chain.RedeemVoucher) uint64 { return s.params.UnitWrite }

func applyRedeemVoucher(s *state, m *chain.Message, b *chain.RedeemVoucher) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func settleChannelUnits(s *state, _ *chain.SettleChannel) uint64 { return s.params.UnitWrite }

func applySettleChannel(s *state, m *chain.Message, b *chain.SettleChannel) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func collectChannelUnits(s *state, _ *chain.CollectChannel) uint64 { return s.params.UnitWrite }

func applyCollectChannel(s *state, m *chain.Message, b *chain.CollectChannel) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}
