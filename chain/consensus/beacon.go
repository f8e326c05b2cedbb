package consensus

import (
	"github.com/perdure/perdure/chain"
)

// BeaconKept is how many heights back beacon values are kept: the oldest that
// any rule reads, and a proving period for queues that carry over.
func (p *Params) BeaconKept() uint64 {
	return max(p.TicketAge, p.ProveDue, p.ChallengeLookback+p.Window, p.MatchDelay) + p.Period()
}

// applyBeacon sets the block's beacon value: from the contribution if it is
// there and right, else by a skip, for which the drawn contributor and the
// proposer are charged.
func (s *state) applyBeacon(b *Block) error {
	var previous, base chain.Beacon
	s.load(chain.BeaconKey(b.Height-1), &previous)
	s.load(chain.BeaconKey(BeaconBase(b.Height)), &base)
	next := chain.Beacon{Value: SkippedBeacon(previous.Value, b.Height), Skipped: true}
	voters := s.voters(b.Height - 1)
	if i, ok := Contributor(voters, b.Height, base.Value); ok {
		v := &voters[i]
		message := BeaconMessage(s.params.ChainID, b.Height, base.Value)
		if err := s.checkContribution(v, message, b.Beacon); err == nil {
			next = chain.Beacon{Value: NextBeacon(previous.Value, b.Beacon)}
		} else if err := s.chargeSkip(v, b.Proposer, err.Error()); err != nil {
			return err
		}
	}
	s.store(chain.BeaconKey(b.Height), &next)
	if kept := chain.Height(s.params.BeaconKept()); b.Height > kept {
		s.remove(chain.BeaconKey(b.Height - kept - 1))
	}
	return s.broken
}

func (s *state) checkContribution(v *chain.Validator, message, signature []byte) error {
	if len(signature) == 0 {
		return refuse(CodeFailed, "contribution absent")
	}
	return s.verify.Beacon(v.BeaconKey, message, signature)
}

// chargeSkip burns BeaconCharge of the contributor and of the proposer each:
// nobody can tell whether the one did not send or the other left out. So to
// make another pay costs as much as it takes, and it is little.
func (s *state) chargeSkip(v *chain.Validator, proposer []byte, reason string) error {
	charged, err := s.chargeValidator(v.Reward, s.params.BeaconCharge)
	if err != nil {
		return err
	}
	other := s.rewardOf(proposer)
	if _, err := s.chargeValidator(other, s.params.BeaconCharge); err != nil {
		return err
	}
	s.emit(Event{Kind: EventBeaconSkipped, From: v.Reward.Bytes(), To: other.Bytes(), Amount: charged, Reason: reason})
	return nil
}

// chargeValidator burns amount of the reward address of a validator, as far as
// it goes; a storage validator owes its miner's rest.
func (s *state) chargeValidator(reward chain.Address, amount chain.Amount) (chain.Amount, error) {
	if id, err := chain.MinerIDOf(reward); err == nil {
		return s.penalize(id, amount)
	}
	if reward == (chain.Address{}) {
		return chain.Amount{}, nil
	}
	return s.burnUpTo(reward, amount)
}
