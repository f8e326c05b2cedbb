package consensus

import (
	"slices"

	"github.com/perdure/perdure/chain"
)

// admitted is a message that decodes, whose turn it is and whose payer has the money.
type admitted struct {
	raw    []byte
	hash   chain.Hash // of raw
	signed *chain.SignedMessage
	body   chain.Body
	size   uint64
	units  uint64
	fee    chain.Amount // base fee and tip
	payer  chain.Address
	closes chain.Height // of a window proof: the first height after its window
}

func (a *admitted) isProof() bool { return a.signed.Message.Kind == chain.KindSubmitWindowProof }

// admit decodes a message and checks turn and money. What it returns beside
// an error is what could be read.
func (s *state) admit(raw []byte, hash chain.Hash) (*admitted, error) {
	a, err := s.decode(raw, hash)
	if err != nil {
		return a, err
	}
	m := &a.signed.Message
	if p, ok := a.body.(*chain.SubmitWindowProof); ok {
		err = s.admitProof(a, p)
	} else {
		err = s.admitNonce(m)
	}
	if err != nil {
		return a, err
	}
	if m.MaxFee.Less(a.fee) {
		return a, refuse(CodeUnderfunded, "fee is %s attoPDR, the message allows %s", a.fee, m.MaxFee)
	}
	free, err := s.balance(a.payer)
	if err != nil {
		return a, err
	}
	if free.Less(a.fee) {
		return a, refuse(CodeUnderfunded, "fee is %s attoPDR, %s has %s", a.fee,
			chain.FormatAddress(a.payer, s.params.Network), free)
	}
	return a, nil
}

// decode reads a message and works out what it costs now. hash is that of raw.
func (s *state) decode(raw []byte, hash chain.Hash) (*admitted, error) {
	if uint64(len(raw)) > s.params.MaxMessageBytes {
		return nil, refuse(CodeMalformed, "message of %d bytes exceeds %d", len(raw), s.params.MaxMessageBytes)
	}
	signed, err := chain.DecodeSigned(raw)
	if err != nil {
		return nil, refuse(CodeMalformed, "%v", err)
	}
	m := &signed.Message
	a := &admitted{raw: raw, hash: hash, signed: signed, size: uint64(len(raw)), payer: m.From}
	if !chain.IsKeyAddress(m.From) {
		return nil, refuse(CodeMalformed, "sender is not a key address")
	}
	if a.body, err = m.DecodeBody(); err != nil {
		return nil, refuse(CodeMalformed, "%v", err)
	}
	a.units = s.params.UnitSignature + s.params.UnitWrite + rules[m.Kind].units(s, a.body)
	price := s.global.BaseFee
	if a.isProof() {
		price = s.params.ProofFee
	}
	base, err := price.Mul(a.size + a.units)
	if err == nil {
		a.fee, err = base.Add(m.Tip)
	}
	if err != nil {
		return nil, refuse(CodeMalformed, "fee: %v", err)
	}
	return a, nil
}

func (s *state) admitNonce(m *chain.Message) error {
	var acc chain.Account
	s.load(chain.AccountKey(m.From), &acc)
	if m.Nonce != acc.Nonce {
		return refuse(CodeBadNonce, "nonce %d, the account's next is %d", m.Nonce, acc.Nonce)
	}
	return nil
}

// admitProof checks who may send a window proof and finds its payer.
func (s *state) admitProof(a *admitted, p *chain.SubmitWindowProof) error {
	miner, err := s.miner(p.Miner)
	if err != nil {
		return refuse(CodeMalformed, "%v", err)
	}
	from := a.signed.Message.From
	if from != miner.Keys.Worker && !slices.Contains(miner.Keys.Provers, from) {
		return refuse(CodeBadSignature, "%s may not send proofs of %s", chain.FormatAddress(from, s.params.Network),
			chain.FormatMiner(p.Miner, s.params.Network))
	}
	if a.signed.Message.Nonce != 0 {
		return refuse(CodeBadNonce, "a window proof has nonce 0")
	}
	if err := s.admitOnce(a, p, miner); err != nil {
		return err
	}
	a.payer, err = s.proofPayer(p.Miner, from, a.fee)
	return err
}

// proofPayer is who pays for a window proof: the miner, or its sender if the
// miner has too little free, so that a fine keeps no miner from proving what it has.
func (s *state) proofPayer(id chain.MinerID, from chain.Address, fee chain.Amount) (chain.Address, error) {
	addr, err := chain.MinerAddress(id)
	if err != nil {
		return addr, err
	}
	free, err := s.balance(addr)
	if err != nil || free.Less(fee) {
		return from, err
	}
	return addr, nil
}

// admitOnce stands in for the nonce: a proof counts in its window alone, once
// if it is right and, so that nobody can make the miner pay twice, once if not.
// After ProofTries failures the partition has no further one: what a miner can
// fill the proof lane with is a multiple of what the lane has room for.
func (s *state) admitOnce(a *admitted, p *chain.SubmitWindowProof, miner *chain.Miner) error {
	open, ok := s.params.Schedule().At(uint64(miner.PeriodStart), uint64(s.global.Height))
	if !ok || open.Period != p.Period || open.Index != p.Deadline {
		return refuse(CodeNotOpen, "deadline %d of period %d is not open at height %d", p.Deadline, p.Period, s.global.Height)
	}
	if !s.has(place{p.Miner, p.Deadline, p.Partition}.key()) {
		return refuse(CodeMalformed, "deadline %d has no partition %d", p.Deadline, p.Partition)
	}
	a.closes = chain.Height(open.Close)
	if s.has(chain.FailureKey(p, 1)) {
		key, err := s.voidKey(a)
		if err != nil {
			return err
		}
		if s.has(key) {
			return refuse(CodeReplay, "this proof already failed in this window")
		}
	}
	if s.has(chain.FailureKey(p, s.params.ProofTries)) {
		return refuse(CodeReplay, "%d proofs of deadline %d partition %d failed in period %d already",
			s.params.ProofTries, p.Deadline, p.Partition, p.Period)
	}
	if s.has(chain.ReplayKey(p)) {
		return refuse(CodeReplay, "deadline %d partition %d is already proven in period %d", p.Deadline, p.Partition, p.Period)
	}
	return nil
}

// charge takes the fee and uses up the nonce; both stay if the message fails.
func (s *state) charge(a *admitted, reward chain.Address) error {
	m := &a.signed.Message
	base, err := a.fee.Sub(m.Tip)
	if err != nil {
		return err
	}
	if err := s.burn(a.payer, base); err != nil {
		return err
	}
	if err := s.payTip(a.payer, m.Tip, reward); err != nil {
		return err
	}
	if a.isProof() {
		return nil
	}
	var acc chain.Account
	s.load(chain.AccountKey(m.From), &acc)
	acc.Nonce++
	s.store(chain.AccountKey(m.From), &acc)
	return nil
}

// voidKey takes a hash of the whole proof.
func (s *state) voidKey(a *admitted) (chain.Key, error) {
	text, err := a.signed.SignBytesIn(a.raw, s.params.ChainID)
	if err != nil {
		return chain.Key{}, refuse(CodeMalformed, "%v", err)
	}
	return chain.VoidKey(text), nil
}

// void keeps a window proof that failed from being charged again, and counts it.
func (s *state) void(a *admitted) error {
	p := a.body.(*chain.SubmitWindowProof)
	proof, err := s.voidKey(a)
	if err != nil {
		return err
	}
	failures := uint64(1)
	for s.has(chain.FailureKey(p, failures)) {
		failures++
	}
	for _, key := range []chain.Key{proof, chain.FailureKey(p, failures)} {
		s.store(key, &chain.Empty{Present: true})
		s.enqueue(chain.QueueReplayForget, a.closes-1, chain.QueueItem{Key: []byte(key.ID)})
	}
	return nil
}

// payTip gives the tip to the proposer's reward address; without one it burns.
func (s *state) payTip(from chain.Address, tip chain.Amount, reward chain.Address) error {
	switch {
	case tip.IsZero():
		return nil
	case reward == chain.Address{}:
		return s.burn(from, tip)
	}
	return s.transfer(from, reward, tip)
}

// rewardOf returns the reward address of the validator that proposed a block,
// or the undefined address.
func (s *state) rewardOf(proposer []byte) chain.Address {
	for _, v := range s.voters(s.global.Height) {
		if slices.Equal(ConsensusAddress(v.PubKey), proposer) {
			return v.Reward
		}
	}
	return chain.Address{}
}

// lane counts what messages of one lane took of a block.
type lane struct{ bytes, units uint64 }

// lanes are the two halves of a block: window proofs and everything else.
type lanes struct {
	ordinary, proof lane
	proofs          map[chain.Key]bool
}

// take books a message into its lane, or refuses it when the lane is full.
// It counts before signatures are checked: work done is work counted.
func (l *lanes) take(p *Params, a *admitted) error {
	into, bytes, units := &l.ordinary, p.MaxBlockBytes-p.ProofLaneBytes(), p.MaxBlockUnits-p.ProofLaneUnits()
	if a.isProof() {
		into, bytes, units = &l.proof, p.ProofLaneBytes(), p.ProofLaneUnits()
		key := chain.ReplayKey(a.body.(*chain.SubmitWindowProof))
		if l.proofs[key] {
			return refuse(CodeReplay, "another proof of this partition stands earlier in the block")
		}
		if l.proofs == nil {
			l.proofs = map[chain.Key]bool{}
		}
		l.proofs[key] = true
	}
	if into.bytes+a.size > bytes || into.units+a.units > units {
		return refuse(CodeNoRoom, "block lane is full")
	}
	into.bytes += a.size
	into.units += a.units
	return nil
}

// baseFeeSteps is the inverse of the most that the base fee moves in a block.
const baseFeeSteps = 8

// updateBaseFee moves the base fee towards a half-full ordinary lane, by the
// fuller of bytes and units: fee x (1 + (used - target) / target / 8), as in EIP-1559.
func (s *state) updateBaseFee(used lane) error {
	p := s.params
	target, full := (p.MaxBlockBytes-p.ProofLaneBytes())/2, used.bytes
	// Compare used.units/unitTarget with used.bytes/target without division.
	if unitTarget := (p.MaxBlockUnits - p.ProofLaneUnits()) / 2; used.units*target > used.bytes*unitTarget {
		target, full = unitTarget, used.units
	}
	fee := s.global.BaseFee
	if full > target {
		step, err := fee.MulDivCeil(full-target, target*baseFeeSteps)
		if err != nil {
			return err
		}
		if s.global.BaseFee, err = fee.Add(step); err != nil {
			return err
		}
		return nil
	}
	step, err := fee.MulDiv(target-full, target*baseFeeSteps)
	if err != nil {
		return err
	}
	if s.global.BaseFee, err = fee.Sub(step); err != nil {
		return err
	}
	if s.global.BaseFee.Less(p.BaseFeeFloor) {
		s.global.BaseFee = p.BaseFeeFloor
	}
	return nil
}
