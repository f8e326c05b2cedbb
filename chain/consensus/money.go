package consensus

import "github.com/perdure/perdure/chain"

// Money is either free (an account's or a miner's balance) or locked (in an
// order, deal, sector or channel, whose record says how much). Every movement
// goes through these functions, so that after each of them
// accounts + locked + burned = minted.
//
// What a miner is fined and has not free it owes (Miner.Debt). A debt is paid
// first out of everything that becomes free for the miner, so that a miner in
// debt has nothing free: Debt and Balance are never both above zero.

// balance returns the free money of a key address or a miner.
func (s *state) balance(of chain.Address) (chain.Amount, error) {
	if id, err := chain.MinerIDOf(of); err == nil {
		m, err := s.miner(id)
		if err != nil {
			return chain.Amount{}, err
		}
		return m.Balance, nil
	}
	var a chain.Account
	s.load(chain.AccountKey(of), &a)
	return a.Balance, nil
}

// adjust sets the free money of a key address or a miner to change(balance).
func (s *state) adjust(of chain.Address, change func(chain.Amount) (chain.Amount, error)) error {
	if id, err := chain.MinerIDOf(of); err == nil {
		m, err := s.miner(id)
		if err != nil {
			return err
		}
		if m.Balance, err = change(m.Balance); err != nil {
			return err
		}
		s.store(chain.MinerKey(id), m)
		return nil
	}
	var a chain.Account
	s.load(chain.AccountKey(of), &a)
	var err error
	if a.Balance, err = change(a.Balance); err != nil {
		return err
	}
	s.store(chain.AccountKey(of), &a)
	return nil
}

func (s *state) debit(from chain.Address, amount chain.Amount) error {
	return s.adjust(from, func(b chain.Amount) (chain.Amount, error) {
		left, err := b.Sub(amount)
		if err != nil {
			return b, refuse(CodeFailed, "%s has %s attoPDR free, %s needed",
				chain.FormatAddress(from, s.params.Network), b, amount)
		}
		return left, nil
	})
}

// credit adds money that the supply counts as free; a miner's debt is paid first.
func (s *state) credit(to chain.Address, amount chain.Amount) error {
	if id, err := chain.MinerIDOf(to); err == nil {
		if amount, err = s.payDebt(id, amount); err != nil {
			return err
		}
	}
	return s.adjust(to, func(b chain.Amount) (chain.Amount, error) { return b.Add(amount) })
}

// payDebt burns of amount, on its way to a miner, what the miner owes, and
// returns the rest.
func (s *state) payDebt(id chain.MinerID, amount chain.Amount) (chain.Amount, error) {
	m, err := s.miner(id)
	if err != nil || m.Debt.IsZero() || amount.IsZero() {
		return amount, err
	}
	paid := amount.Min(m.Debt)
	if m.Debt, err = m.Debt.Sub(paid); err != nil {
		return amount, err
	}
	s.store(chain.MinerKey(id), m)
	if err := shift(&s.global.Supply.Accounts, &s.global.Supply.Burned, paid); err != nil {
		return amount, err
	}
	s.emit(Event{Kind: EventDebtPaid, Miner: id, Amount: paid})
	return amount.Sub(paid)
}

// transfer moves free money.
func (s *state) transfer(from, to chain.Address, amount chain.Amount) error {
	if err := s.debit(from, amount); err != nil {
		return err
	}
	return s.credit(to, amount)
}

// shift moves amount between two sums of the supply.
func shift(from, to *chain.Amount, amount chain.Amount) error {
	f, err := from.Sub(amount)
	if err != nil {
		return err
	}
	t, err := to.Add(amount)
	if err != nil {
		return err
	}
	*from, *to = f, t
	return nil
}

// mint makes new money, free from the start.
func (s *state) mint(to chain.Address, amount chain.Amount) (err error) {
	if s.global.Supply.Minted, err = s.global.Supply.Minted.Add(amount); err != nil {
		return err
	}
	if s.global.Supply.Accounts, err = s.global.Supply.Accounts.Add(amount); err != nil {
		return err
	}
	return s.credit(to, amount)
}

// lock takes free money out of circulation; the caller's record holds it.
func (s *state) lock(from chain.Address, amount chain.Amount) error {
	if err := s.debit(from, amount); err != nil {
		return err
	}
	return shift(&s.global.Supply.Accounts, &s.global.Supply.Locked, amount)
}

// unlock frees money that the caller's record held.
func (s *state) unlock(to chain.Address, amount chain.Amount) error {
	if err := shift(&s.global.Supply.Locked, &s.global.Supply.Accounts, amount); err != nil {
		return err
	}
	return s.credit(to, amount)
}

// burnLocked destroys money that the caller's record held.
func (s *state) burnLocked(amount chain.Amount) error {
	return shift(&s.global.Supply.Locked, &s.global.Supply.Burned, amount)
}

// burn destroys free money.
func (s *state) burn(from chain.Address, amount chain.Amount) error {
	if err := s.debit(from, amount); err != nil {
		return err
	}
	return shift(&s.global.Supply.Accounts, &s.global.Supply.Burned, amount)
}

// burnUpTo destroys as much of amount as an account has free, for charges that
// must not fail, and returns what it was.
func (s *state) burnUpTo(from chain.Address, amount chain.Amount) (chain.Amount, error) {
	free, err := s.balance(from)
	if err != nil {
		return chain.Amount{}, err
	}
	amount = amount.Min(free)
	return amount, s.burn(from, amount)
}

// penalize fines a miner: what it has free is burned, and what is missing of
// amount becomes its debt, so that nobody dodges a fine by withdrawing first. It
// returns what was burned at once. A debt that no Amount could hold stays at the
// most that one holds: a fine never stops the chain.
func (s *state) penalize(id chain.MinerID, amount chain.Amount) (paid chain.Amount, err error) {
	addr, err := chain.MinerAddress(id)
	if err != nil {
		return paid, err
	}
	if paid, err = s.burnUpTo(addr, amount); err != nil {
		return paid, err
	}
	owed, err := amount.Sub(paid)
	if err != nil || owed.IsZero() {
		return paid, err
	}
	return paid, s.changeMiner(id, func(m *chain.Miner) error {
		if debt, err := m.Debt.Add(owed); err == nil {
			m.Debt = debt
		} else {
			m.Debt = chain.MaxAmount()
		}
		return nil
	})
}
