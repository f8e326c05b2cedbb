package consensus

import (
	"github.com/perdure/perdure/chain"
)

// Admission is what a mempool needs to know of a message that may be admitted.
type Admission struct {
	Hash  chain.Hash
	Kind  chain.Kind
	From  chain.Address // who signed it
	Payer chain.Address // who pays its fee: From, or the miner of a window proof if it has enough

	Nonce uint64 // of From; 0 and unused for window proofs
	Next  uint64 // From's next nonce in the view; Nonce is at least this

	Tip    chain.Amount
	Fee    chain.Amount // base fee and tip, at the base fee of the next block
	MaxFee chain.Amount
	Spend  chain.Amount // what it takes from Payer's balance beside the fee, as of the view
	Size   uint64       // bytes
	Units  uint64

	Proof  bool         // a window proof: it goes into the proof lane
	Replay chain.Key    // of a window proof: at most one a key
	Opens  chain.Height // of a window proof: first height that may include it
	Closes chain.Height // of a window proof: first height that may not any more
}

// Validate says whether a message may be admitted to a mempool on top of a
// view: it runs the message's own rule on a state that is thrown away, in the
// block after the view. A nonce ahead of its turn is executed as if it were
// its turn (the caller bounds the gap), and a proof of a window that opens
// soon, once its challenges are known, as if it were open.
//
// The error of a message that is refused is a *Refusal; any other means that
// the view could not be read.
func Validate(p *Params, v View, verify Verifier, raw []byte) (*Admission, error) {
	s, err := newState(p, v, verify)
	if err != nil {
		return nil, err
	}
	s.global.Height++
	hash := chain.HashBytes(raw)
	a, err := s.decode(raw, hash)
	if err != nil {
		return nil, err
	}
	admission := &Admission{
		Hash: hash, Kind: a.signed.Message.Kind, From: a.signed.Message.From, Payer: a.payer,
		Nonce: a.signed.Message.Nonce, Tip: a.signed.Message.Tip, Fee: a.fee, MaxFee: a.signed.Message.MaxFee,
		Size: a.size, Units: a.units, Proof: a.isProof(),
	}
	if proof, ok := a.body.(*chain.SubmitWindowProof); ok {
		err = s.awaitWindow(admission, proof)
	} else {
		s.awaitNonce(admission)
	}
	if s.broken != nil {
		return nil, s.broken
	}
	if err != nil {
		return nil, err
	}
	err = s.try(admission, raw)
	if s.broken != nil { // whatever else went wrong followed from it
		return nil, s.broken
	}
	if err != nil {
		return nil, err
	}
	return admission, nil
}

// try runs the message and notes what it spends.
func (s *state) try(a *Admission, raw []byte) error {
	before, err := s.balance(a.Payer)
	if err != nil {
		return err
	}
	result, err := s.applyMessage(0, raw, a.Hash, chain.Address{}, &lanes{})
	if err != nil {
		return err
	}
	if result.Code != CodeOK {
		return &Refusal{Code: result.Code, Text: result.Error}
	}
	after, err := s.balance(a.Payer)
	if err != nil {
		return err
	}
	// A message that brings in more than it spends counts as one that spends nothing.
	if taken, err := before.Sub(after); err == nil && result.Fee.Less(taken) {
		if a.Spend, err = taken.Sub(result.Fee); err != nil {
			return err
		}
	}
	return nil
}

// awaitNonce makes it the message's turn if its nonce is ahead.
func (s *state) awaitNonce(a *Admission) {
	var acc chain.Account
	s.load(chain.AccountKey(a.From), &acc)
	a.Next = acc.Nonce
	if a.Nonce > acc.Nonce {
		acc.Nonce = a.Nonce
		s.store(chain.AccountKey(a.From), &acc)
	}
}

// awaitWindow moves on to the opening of a proof's window if the beacon that
// challenges it is known already.
func (s *state) awaitWindow(a *Admission, p *chain.SubmitWindowProof) error {
	miner, err := s.miner(p.Miner)
	if err != nil {
		return refuse(CodeMalformed, "%v", err)
	}
	if a.Payer, err = s.proofPayer(p.Miner, a.From, a.Fee); err != nil {
		return refuse(CodeMalformed, "%v", err)
	}
	a.Replay = chain.ReplayKey(p)
	schedule, start, height := s.params.Schedule(), uint64(miner.PeriodStart), uint64(s.global.Height)
	open, ok := schedule.At(start, height)
	if !ok || open.Index != p.Deadline || open.Period != p.Period {
		next, ok := schedule.Next(start, p.Deadline, height)
		if !ok || next.Period != p.Period || next.Challenge >= height {
			return nil // not open: the rule says so
		}
		s.global.Height = chain.Height(next.Open)
		open = next
	}
	a.Opens, a.Closes = chain.Height(open.Open), chain.Height(open.Close)
	return nil
}
