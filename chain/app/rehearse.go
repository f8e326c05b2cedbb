package app

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/perdure/perdure/chain/consensus"
)

// rehearsed is what becomes of a block if every check says yes.
type rehearsed struct {
	block   *consensus.Block
	update  *consensus.Update
	results []consensus.Result
	checks  []check
}

// rehearse applies a block with a Verifier that says yes and writes down what
// it was asked. A block that was rehearsed already, when it was proposed or
// judged, is not executed again: v is the one state of the height before it.
func (a *App) rehearse(v consensus.View, b *consensus.Block) (*rehearsed, error) {
	if r := a.rehearsals.find(b); r != nil {
		return r, nil
	}
	return a.run(v, b, &rehearsal{})
}

func (a *App) run(v consensus.View, b *consensus.Block, questions *rehearsal) (*rehearsed, error) {
	update, results, err := consensus.Apply(a.params, v, questions.verifier(), b)
	if err != nil {
		return nil, fmt.Errorf("rehearse height %d: %w", b.Height, err)
	}
	r := &rehearsed{b, update, results, questions.checks}
	a.rehearsals.keep(r)
	return r, nil
}

// examine rehearses a block and has all cores answer what it asks, while it
// asks. It reports whether every answer is yes.
func (a *App) examine(v consensus.View, b *consensus.Block) (r *rehearsed, sound bool, err error) {
	if r = a.rehearsals.find(b); r != nil {
		return r, a.memo.prepare(r.checks), nil
	}
	crew := a.memo.hire()
	r, err = a.run(v, b, &rehearsal{crew: crew})
	sound = crew.done()
	return r, sound, err
}

// execute applies a block. If every answer is yes, its rehearsal was its
// execution; or else the block is applied with the answers.
func (a *App) execute(v consensus.View, b *consensus.Block) (*consensus.Update, []consensus.Result, error) {
	r, sound, err := a.examine(v, b)
	if err != nil {
		return nil, nil, err
	}
	if sound {
		return r.update, r.results, nil
	}
	return consensus.Apply(a.params, v, a.memo.verifier(), b)
}

// sameBlock compares everything that a block consists of.
func sameBlock(a, b *consensus.Block) bool {
	return a.Height == b.Height && a.Time == b.Time && bytes.Equal(a.Proposer, b.Proposer) &&
		(a.Beacon == nil) == (b.Beacon == nil) && bytes.Equal(a.Beacon, b.Beacon) &&
		slices.EqualFunc(a.Messages, b.Messages, bytes.Equal) &&
		slices.EqualFunc(a.Evidence, b.Evidence, func(x, y consensus.Evidence) bool {
			return x.Height == y.Height && bytes.Equal(x.Address, y.Address)
		})
}

// rehearsals remembers the newest blocks that were rehearsed over one height.
type rehearsals struct {
	mu     sync.Mutex
	blocks []*rehearsed
}

// rehearsalsKept is how many blocks of a height are remembered: one is usual,
// more only if rounds fail.
const rehearsalsKept = 3

func (r *rehearsals) find(b *consensus.Block) *rehearsed {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.blocks {
		if sameBlock(known.block, b) {
			return known
		}
	}
	return nil
}

func (r *rehearsals) keep(block *rehearsed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.blocks) == rehearsalsKept {
		r.blocks = slices.Delete(r.blocks, 0, 1)
	}
	r.blocks = append(r.blocks, block)
}

// forget drops what was rehearsed for a height that is committed.
func (r *rehearsals) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blocks = nil
}

// hasEffect reports whether a message paid its fee.
func hasEffect(r *consensus.Result) bool {
	return r.Code == consensus.CodeOK || r.Code == consensus.CodeFailed
}
