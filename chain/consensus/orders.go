package consensus

import "github.com/perdure/perdure/chain"

func placeBidUnits(s *state, _ *chain.PlaceBid) uint64 { return s.params.UnitWrite }

func applyPlaceBid(s *state, m *chain.Message, b *chain.PlaceBid) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func placeAskUnits(s *state, _ *chain.PlaceAsk) uint64 { return s.params.UnitWrite }

func applyPlaceAsk(s *state, m *chain.Message, b *chain.PlaceAsk) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func cancelOrderUnits(s *state, _ *chain.CancelOrder) uint64 { return s.params.UnitWrite }

func applyCancelOrder(s *state, m *chain.Message, b *chain.CancelOrder) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func (s *state) matureOrder(item *chain.QueueItem) error { return nil }

func (s *state) expireOrder(item *chain.QueueItem) error { return nil }

func (s *state) matchOrders() error { return nil }
