package consensus

import "github.com/perdure/perdure/chain"

func windowProofUnits(s *state, _ *chain.SubmitWindowProof) uint64 { return s.params.UnitWrite }

func applyWindowProof(s *state, m *chain.Message, b *chain.SubmitWindowProof) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func declareFaultsUnits(s *state, _ *chain.DeclareFaults) uint64 { return s.params.UnitWrite }

func applyDeclareFaults(s *state, m *chain.Message, b *chain.DeclareFaults) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func declareRecoveriesUnits(s *state, _ *chain.DeclareRecoveries) uint64 { return s.params.UnitWrite }

func applyDeclareRecoveries(s *state, m *chain.Message, b *chain.DeclareRecoveries) (uint64, error) {
	return 0, refuse(CodeFailed, "not built")
}

func (s *state) closeDeadline(item *chain.QueueItem) error { return nil }
