package consensus

import "github.com/perdure/perdure/chain"

func transferUnits(s *state, _ *chain.Transfer) uint64 { return 2 * s.params.UnitWrite }

func applyTransfer(s *state, m *chain.Message, t *chain.Transfer) (uint64, error) {
	if t.Amount.IsZero() {
		return 0, refuse(CodeFailed, "nothing to transfer")
	}
	if !chain.IsKeyAddress(t.To) {
		if _, err := chain.MinerIDOf(t.To); err != nil {
			return 0, refuse(CodeFailed, "recipient: %v", err)
		}
	}
	if err := s.transfer(m.From, t.To, t.Amount); err != nil {
		return 0, err
	}
	s.emit(Event{Kind: EventTransfer, From: m.From.Bytes(), To: t.To.Bytes(), Amount: t.Amount})
	return 0, nil
}
