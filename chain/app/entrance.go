package app

import (
	"context"
	"errors"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// entrance is the Verifier of one message on its way into the mempool. Checks
// of signatures and of proofs have slots of their own: a proof takes tens of
// milliseconds, a signature a fraction of one, and nobody pays for a proof that
// is refused here. So whoever sends wrong proofs soon has none checked.
type entrance struct {
	consensus.Verifier // the memo
	app                *App
	ctx                context.Context
	leave              func() // gives back the slot among signatures
	signer             chain.Address
	stopped            error // why no answer was computed
}

// errWrongProofs is a refusal for now: see strikes.
var errWrongProofs = &consensus.Refusal{Code: consensus.CodeNoRoom,
	Text: "too many wrong proofs of this sender: none is looked at for a few blocks"}

// Message notes whose message it is. The rules ask for it before any proof.
func (e *entrance) Message(m *chain.SignedMessage, raw []byte, hash chain.Hash, chainID string) error {
	e.signer = m.Message.From
	return e.Verifier.Message(m, raw, hash, chainID)
}

// SealProof implements consensus.Verifier.
func (e *entrance) SealProof(c *consensus.SealCheck, proof []byte) error {
	return asker{e.proof}.SealProof(c, proof)
}

// WindowProof implements consensus.Verifier.
func (e *entrance) WindowProof(c *consensus.WindowCheck, proof []byte) error {
	return asker{e.proof}.WindowProof(c, proof)
}

// proof answers the check of a proof that is new in one of the slots for proofs.
func (e *entrance) proof(c check) error {
	a := e.app
	if a.memo.knows(c.key()) {
		return a.memo.answer(c)
	}
	e.leave()
	select {
	case a.proofSlots <- struct{}{}:
		defer func() { <-a.proofSlots }()
	case <-e.ctx.Done():
		e.stopped = e.ctx.Err()
		return e.stopped
	}
	if a.strikes.out(e.signer) {
		e.stopped = errWrongProofs
		return e.stopped
	}
	err := a.memo.answer(c)
	if err != nil {
		a.strikes.add(e.signer)
	}
	return err
}

// validate is consensus.Validate for a message that asks to be let in.
func (a *App) validate(ctx context.Context, v consensus.View, raw []byte) (*consensus.Admission, error) {
	select {
	case a.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	leave := sync.OnceFunc(func() { <-a.slots })
	defer leave()
	e := &entrance{Verifier: a.memo.verifier(), app: a, ctx: ctx, leave: leave}
	admission, err := consensus.Validate(a.params, v, e, raw)
	if err != nil && e.stopped != nil {
		err = e.stopped
	}
	if refusal := (*consensus.Refusal)(nil); errors.As(err, &refusal) {
		a.counters.refused.Add(1)
	}
	return admission, err
}

// strikes counts the wrong proofs that senders have had checked. One is
// forgiven a block.
type strikes struct {
	mu sync.Mutex
	of map[chain.Address]int
}

// mostStrikes is after how many wrong proofs no more of a sender are checked.
const mostStrikes = 4

func (s *strikes) out(from chain.Address) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[from] >= mostStrikes
}

func (s *strikes) add(from chain.Address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[chain.Address]int{}
	}
	s.of[from]++
}

// forgive takes a strike off everybody.
func (s *strikes) forgive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for from := range s.of {
		if s.of[from]--; s.of[from] == 0 {
			delete(s.of, from)
		}
	}
}
