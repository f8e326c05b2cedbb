package consensus

import "github.com/perdure/perdure/chain"

// Money is either free (an account's or a miner's balance) or locked (in an
// order, deal, sector or channel, whose record says how much). Every movement
// goes through these functions, so that after each of them
// accounts + locked + burned = minted.

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

func (s *state) credit(to chain.Address, amount chain.Amount) error {
	return s.adjust(to, func(b chain.Amount) (chain.Amount, error) { return b.Add(amount) })
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
	if err := s.credit(to, amount); err != nil {
		return err
	}
	return shift(&s.global.Supply.Locked, &s.global.Supply.Accounts, amount)
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

// burnUpTo destroys as much of amount as is free, for charges that must not
// fail, and returns what it was.
func (s *state) burnUpTo(from chain.Address, amount chain.Amount) (chain.Amount, error) {
	free, err := s.balance(from)
	if err != nil {
		return chain.Amount{}, err
	}
	amount = amount.Min(free)
	return amount, s.burn(from, amount)
}
