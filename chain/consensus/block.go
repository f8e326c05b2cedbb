package consensus

import (
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
)

// Block is what the engine agreed on: the input of Apply.
type Block struct {
	Height   chain.Height
	Time     uint64 // Unix seconds
	Proposer []byte // consensus address, see ConsensusAddress
	Evidence []Evidence
	Beacon   []byte   // the contribution; empty if absent
	Messages [][]byte // encoded signed messages, in order
}

// Code says how a message ended. Numbers are on the wire.
type Code uint32

// The codes. Messages with CodeOK and CodeFailed paid their fee.
const (
	CodeOK           Code = 0
	CodeMalformed    Code = 1 // does not decode, too large, wrong version: no effect
	CodeBadSignature Code = 2 // no effect
	CodeBadNonce     Code = 3 // no effect
	CodeUnderfunded  Code = 4 // cannot pay its fee: no effect
	CodeNoRoom       Code = 5 // over the block's limits: no effect
	CodeReplay       Code = 6 // this partition is already proven, or this proof already failed: no effect
	CodeFailed       Code = 7 // a rule refused it: fee paid, nothing else changed
	CodeNotOpen      Code = 8 // a window proof outside of its window: no effect
)

var codeNames = [...]string{"ok", "malformed", "badSignature", "badNonce", "underfunded", "noRoom", "replay", "failed",
	"notOpen"}

// String returns the code's name, as JSON shows it.
func (c Code) String() string {
	if int(c) >= len(codeNames) {
		return fmt.Sprintf("code%d", uint32(c))
	}
	return codeNames[c]
}

// Refusal is the error of a message that a rule refuses. Text is one line for people.
type Refusal struct {
	Code Code
	Text string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

func refuse(c Code, format string, args ...any) error {
	return &Refusal{Code: c, Text: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code that err stands for.
func CodeOf(err error) Code {
	var r *Refusal
	switch {
	case err == nil:
		return CodeOK
	case errors.As(err, &r):
		return r.Code
	}
	return CodeFailed
}

// Result is what became of one message.
type Result struct {
	Hash  chain.Hash
	From  chain.Address // who signed it; undefined if malformed
	Code  Code
	Error string       // one line; empty if ok
	Kind  chain.Kind   // 0 if malformed
	ID    uint64       // of what the message made: miner, order, channel
	Fee   chain.Amount // base fee and tip together
	Units uint64
}
