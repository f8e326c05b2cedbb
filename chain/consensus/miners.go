package consensus

import "github.com/perdure/perdure/chain"

// ed25519Size is the size of a consensus key in bytes.
const ed25519Size = 32

func createMinerUnits(s *state, _ *chain.CreateMiner) uint64 { return s.params.UnitWrite }

func applyCreateMiner(s *state, m *chain.Message, b *chain.CreateMiner) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func updateMinerUnits(s *state, _ *chain.UpdateMiner) uint64 { return s.params.UnitWrite }

func applyUpdateMiner(s *state, m *chain.Message, b *chain.UpdateMiner) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func (s *state) actPendingKeys(item *chain.QueueItem) error { return nil }
