package consensus

import "github.com/perdure/perdure/chain"

func preCommitUnits(s *state, _ *chain.PreCommitSectors) uint64 { return s.params.UnitWrite }

func applyPreCommit(s *state, m *chain.Message, b *chain.PreCommitSectors) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func proveCommitUnits(s *state, _ *chain.ProveCommit) uint64 { return s.params.UnitWrite }

func applyProveCommit(s *state, m *chain.Message, b *chain.ProveCommit) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func (s *state) dropPreCommit(item *chain.QueueItem) error { return nil }

func (s *state) expireSector(item *chain.QueueItem) error { return nil }
