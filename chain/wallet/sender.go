package wallet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Node is what sending needs from a chain node; chain/rpc implements it.
type Node interface {
	// Params returns the network's parameters.
	Params(ctx context.Context) (*consensus.Params, error)
	// Global returns the newest global record.
	Global(ctx context.Context) (*chain.Global, error)
	// Account returns an account, in no older state than was shown before; an unused
	// address has the zero account.
	Account(ctx context.Context, a chain.Address) (*chain.Account, error)
	// Submit hands an encoded signed message to the node's mempool. A refusal
	// is an error whose consensus.CodeOf tells why.
	Submit(ctx context.Context, raw []byte) error
	// Await returns the receipt of a message once its block is committed.
	Await(ctx context.Context, hash chain.Hash) (*Inclusion, error)
}

// Inclusion is where and how a message ended.
type Inclusion struct {
	Height  chain.Height
	Receipt consensus.Receipt
}

// Err returns the message's failure, if it failed.
func (i *Inclusion) Err() error {
	if i.Receipt.Code == uint64(consensus.CodeOK) {
		return nil
	}
	return &consensus.Refusal{Code: consensus.Code(i.Receipt.Code), Text: i.Receipt.Error}
}

// feeHeadroom is by how many times the present fee a message may pay: the base
// fee can rise for eighteen full blocks in a row before a message is stuck.
const feeHeadroom = 8

// urgentHeadroom is the same for what costs the sender more than its fee if it
// comes late: forty full blocks. Only the fee of the block is ever paid.
const urgentHeadroom = 100

// headroom is how many times the present fee a kind of message may pay.
func headroom(k chain.Kind) uint64 {
	switch k {
	case chain.KindDeclareFaults, chain.KindDeclareRecoveries, chain.KindAcceptData, chain.KindProveCommit:
		return urgentHeadroom
	}
	return feeHeadroom
}

// Sender signs and sends the messages of one key. It may be used from many
// goroutines: nonces are handed out in order.
type Sender struct {
	node Node
	from chain.Address
	key  []byte
	tip  chain.Amount

	mu   sync.Mutex
	next uint64 // nonce of the next message; valid while ok
	ok   bool
	// doubted are messages, by nonce, that were sent and whose fate is not known:
	// a node that stopped may have forgotten them, and none after them can land.
	doubted []posted
}

// posted is a message as it was handed to the node.
type posted struct {
	nonce uint64
	raw   []byte
}

// NewSender returns a sender for a private key.
func NewSender(node Node, key []byte, tip chain.Amount) (*Sender, error) {
	from, err := chain.AddressOfKey(key)
	if err != nil {
		return nil, err
	}
	return &Sender{node: node, from: from, key: key, tip: tip}, nil
}

// Address is the sender's account.
func (s *Sender) Address() chain.Address { return s.from }

// Sign signs bytes other than a message, such as a voucher's.
func (s *Sender) Sign(message []byte) (chain.Signature, error) { return chain.Sign(s.key, message) }

// Post submits a message and returns its hash without waiting for its block.
func (s *Sender) Post(ctx context.Context, body chain.Body) (chain.Hash, error) {
	return s.PostKept(ctx, body, func([]byte, uint64) error { return nil })
}

// PostKept is Post for messages that must not be sent twice: keep is given the
// encoded message and its nonce and makes them durable before the node sees
// them. It is called again if the account shows that the nonce is used up; the
// message kept before can then never land.
func (s *Sender) PostKept(ctx context.Context, body chain.Body, keep func(raw []byte, nonce uint64) error) (chain.Hash, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for attempt := 0; ; attempt++ {
		nonce, err := s.nonce(ctx, body)
		if err != nil {
			return chain.Hash{}, err
		}
		raw, err := s.Encode(ctx, body, nonce)
		if err != nil {
			return chain.Hash{}, err
		}
		if err := keep(raw, nonce); err != nil {
			return chain.Hash{}, fmt.Errorf("keep %s: %w", body.Kind(), err)
		}
		err = s.node.Submit(ctx, raw)
		if err == nil {
			if body.Kind() != chain.KindSubmitWindowProof {
				s.next++
			}
			return chain.HashBytes(raw), nil
		}
		// Another process may use the same key.
		s.ok = false
		again := false
		if consensus.CodeOf(err) == consensus.CodeBadNonce && attempt == 0 {
			var failed error
			if again, failed = s.overtaken(ctx, nonce); failed != nil {
				return chain.Hash{}, fmt.Errorf("submit %s: %w; read nonce: %w", body.Kind(), err, failed)
			}
		}
		if !again {
			return chain.Hash{}, fmt.Errorf("submit %s: %w", body.Kind(), err)
		}
	}
}

// lag is how many heights what Node shows may be behind what a node refuses by:
// a light client shows a state when the header after it is there.
const lag = 2

// overtaken waits until the account is shown past a nonce that the node has
// refused, and reports false if it is not once all that was shown to be behind
// must have come.
func (s *Sender) overtaken(ctx context.Context, nonce uint64) (bool, error) {
	p, err := s.node.Params(ctx)
	if err != nil {
		return false, err
	}
	pause := time.NewTicker(max(time.Duration(p.BlockMillis)*time.Millisecond/4, time.Millisecond))
	defer pause.Stop()
	for first := chain.Height(0); ; {
		g, err := s.node.Global(ctx) // before the account, which is then at least as new
		if err != nil {
			return false, err
		}
		a, err := s.node.Account(ctx, s.from)
		if err != nil {
			return false, err
		}
		if a.Nonce > nonce {
			s.next, s.ok = a.Nonce, true
			return true, nil
		}
		if first == 0 {
			first = g.Height
		}
		if g.Height >= first+lag {
			return false, nil
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// Send submits a message and waits for its block. A message that the rules
// refused is an error; the inclusion is returned beside it. A message that was
// waited for in vain may still land: it is handed to the node again before the
// sender's next one.
func (s *Sender) Send(ctx context.Context, body chain.Body) (*Inclusion, error) {
	var sent posted
	hash, err := s.PostKept(ctx, body, func(raw []byte, nonce uint64) error {
		sent = posted{nonce, raw}
		return nil
	})
	if err != nil {
		return nil, err
	}
	in, err := s.node.Await(ctx, hash)
	if err != nil {
		if body.Kind() != chain.KindSubmitWindowProof {
			s.doubt(sent)
		}
		return nil, fmt.Errorf("wait for %s: %w", body.Kind(), err)
	}
	if err := in.Err(); err != nil {
		if consensus.CodeOf(err) != consensus.CodeFailed {
			s.forget() // it had no effect, its nonce is free again
		}
		return in, fmt.Errorf("%s: %w", body.Kind(), err)
	}
	return in, nil
}

func (s *Sender) forget() {
	s.mu.Lock()
	s.ok = false
	s.mu.Unlock()
}

// doubt remembers a message that may have been forgotten.
func (s *Sender) doubt(p posted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubted = append(s.doubted, p)
	slices.SortFunc(s.doubted, func(a, b posted) int { return cmp.Compare(a.nonce, b.nonce) })
}

// settle hands the doubted messages to the node again, which does nothing for
// those that wait there. One that the node now refuses gives its nonce, and
// those after it, back.
func (s *Sender) settle(ctx context.Context) error {
	if len(s.doubted) == 0 {
		return nil
	}
	a, err := s.node.Account(ctx, s.from)
	if err != nil {
		return fmt.Errorf("read nonce: %w", err)
	}
	s.doubted = slices.DeleteFunc(s.doubted, func(p posted) bool { return p.nonce < a.Nonce })
	for _, p := range s.doubted {
		err := s.node.Submit(ctx, p.raw)
		var refusal *consensus.Refusal
		switch {
		case errors.As(err, &refusal) && refusal.Code != consensus.CodeNoRoom:
			s.doubted, s.ok = nil, false
			return nil
		case err != nil:
			return fmt.Errorf("send a message of nonce %d again: %w", p.nonce, err)
		}
	}
	return nil
}

func (s *Sender) nonce(ctx context.Context, body chain.Body) (uint64, error) {
	if body.Kind() == chain.KindSubmitWindowProof {
		return 0, nil
	}
	if err := s.settle(ctx); err != nil {
		return 0, err
	}
	if !s.ok {
		a, err := s.node.Account(ctx, s.from)
		if err != nil {
			return 0, fmt.Errorf("read nonce: %w", err)
		}
		s.next, s.ok = a.Nonce, true
		if last := len(s.doubted) - 1; last >= 0 {
			s.next = max(s.next, s.doubted[last].nonce+1)
		}
	}
	return s.next, nil
}

// Encode signs a message with the given nonce. Its highest fee leaves room
// for the base fee to rise.
func (s *Sender) Encode(ctx context.Context, body chain.Body, nonce uint64) ([]byte, error) {
	params, err := s.node.Params(ctx)
	if err != nil {
		return nil, fmt.Errorf("read parameters: %w", err)
	}
	g, err := s.node.Global(ctx)
	if err != nil {
		return nil, fmt.Errorf("read base fee: %w", err)
	}
	b, err := chain.Encode(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", body.Kind(), err)
	}
	price := g.BaseFee
	if body.Kind() == chain.KindSubmitWindowProof {
		price = params.ProofFee
	}
	limit, err := price.Mul(headroom(body.Kind()) * (uint64(len(b)) + params.MostUnits(body.Kind())))
	if err == nil {
		limit, err = limit.Add(s.tip)
	}
	if err != nil {
		return nil, fmt.Errorf("fee: %w", err)
	}
	m := chain.Message{Version: chain.MessageVersion, From: s.from, Nonce: nonce, MaxFee: limit, Tip: s.tip, Kind: body.Kind(), Body: b}
	text, err := m.SignBytes(params.ChainID)
	if err != nil {
		return nil, err
	}
	sig, err := chain.Sign(s.key, text)
	if err != nil {
		return nil, err
	}
	return chain.Encode(&chain.SignedMessage{Message: m, Signature: sig})
}
