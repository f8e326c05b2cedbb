package deals

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client/files"
)

// Fate is what became of a message that may have been sent: its receipt, or
// what it made. If it is empty the message can never land.
type Fate struct {
	Inclusion *wallet.Inclusion
	ID        uint64
	At        chain.Height
}

// errForgotten is wrapped when the chain may have forgotten what a message made.
var errForgotten = errors.New("it was sent so long ago that the chain has forgotten what it may have made")

// patience is how many blocks a message may take before it is looked after.
const patience = 40

// glance is how long a receipt that ought to be there is waited for: three
// blocks, a second and a half at most.
func glance(p *consensus.Params) time.Duration {
	return min(3*time.Duration(p.BlockMillis)*time.Millisecond+100*time.Millisecond, 1500*time.Millisecond)
}

// Await waits for the receipt of a message that was sent, for some forty blocks.
func Await(ctx context.Context, c wallet.Node, p *consensus.Params, raw []byte) (*wallet.Inclusion, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.BlockMillis*patience)*time.Millisecond+5*time.Second)
	defer cancel()
	return c.Await(ctx, chain.HashBytes(raw))
}

// Trace finds out what became of a message. It sends it again, as it is, while
// it may still land; a nonce is used once, so it can have its effect once. find
// looks on the chain for what the message would have made, for receipts that
// are no longer kept; 0 means that there is nothing.
func Trace(ctx context.Context, c wallet.Node, p *consensus.Params, from chain.Address, s *files.Sent, find func() (uint64, chain.Height, error)) (Fate, error) {
	for {
		quick, cancel := context.WithTimeout(ctx, glance(p))
		in, err := c.Await(quick, chain.HashBytes(s.Raw))
		cancel()
		if err == nil {
			return Fate{Inclusion: in}, nil
		}
		if ctx.Err() != nil {
			return Fate{}, ctx.Err()
		}
		acc, err := c.Account(ctx, from) // before find: what used the nonce is then found
		if err != nil {
			return Fate{}, err
		}
		id, at, err := find()
		if errors.Is(err, errForgotten) && acc.Nonce <= s.Nonce { // nothing has used its nonce
			err = nil
		}
		switch {
		case err != nil:
			return Fate{}, err
		case id != 0:
			return Fate{ID: id, At: at}, nil
		case acc.Nonce > s.Nonce: // another message has its place
			return Fate{}, nil
		case acc.Nonce < s.Nonce:
			return Fate{}, fmt.Errorf("it waits for the account's message with nonce %d; send any message with this key, then try again", acc.Nonce)
		}
		var refusal *consensus.Refusal
		if err := c.Submit(ctx, s.Raw); errors.As(err, &refusal) {
			switch refusal.Code {
			case consensus.CodeFailed:
				return Fate{}, nil // the next message has its nonce
			case consensus.CodeUnderfunded, consensus.CodeMalformed, consensus.CodeBadSignature:
				return Fate{}, fmt.Errorf("send it again: %w", err) // waiting changes nothing
			}
		}
		if in, err := Await(ctx, c, p, s.Raw); err == nil {
			return Fate{Inclusion: in}, nil
		}
	}
}
