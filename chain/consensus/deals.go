package consensus

import "github.com/perdure/perdure/chain"

func acceptDataUnits(s *state, _ *chain.AcceptData) uint64 { return s.params.UnitWrite }

func applyAcceptData(s *state, m *chain.Message, b *chain.AcceptData) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func settleDealsUnits(s *state, _ *chain.SettleDeals) uint64 { return s.params.UnitWrite }

func applySettleDeals(s *state, m *chain.Message, b *chain.SettleDeals) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func (s *state) voidUnfetched(item *chain.QueueItem) error { return nil }

func (s *state) voidInactive(item *chain.QueueItem) error { return nil }

func (s *state) endDeal(item *chain.QueueItem) error { return nil }

func (s *state) activateDeals(sec *chain.Sector) error { return nil }

func (s *state) settleSectorDeals(sec *chain.Sector, through chain.Height) error { return nil }

func (s *state) loseDeals(sec *chain.Sector) error { return nil }
