package consensus

func (s *state) applyBeacon(b *Block) error { return nil }
