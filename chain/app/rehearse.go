package app

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// rehearsed is what becomes of a block if every check says yes.
type rehearsed struct {
	update  *consensus.Update
	results []consensus.Result
	checks  []check
}

// rehearse applies a block with a Verifier that says yes and writes down what
// it was asked. A block that was rehearsed already, when it was proposed or
// judged, is not executed again: v is the one state of the height before it.
func (a *App) rehearse(v consensus.View, b *consensus.Block) (*rehearsed, error) {
	key := blockKey(b)
	if r := a.rehearsals.find(key); r != nil {
		return r, nil
	}
	var questions rehearsal
	update, results, err := consensus.Apply(a.params, v, questions.verifier(), b)
	if err != nil {
		return nil, fmt.Errorf("rehearse height %d: %w", b.Height, err)
	}
	r := &rehearsed{update, results, questions.checks}
	a.rehearsals.keep(b.Height, key, r)
	return r, nil
}

// execute applies a block: a rehearsal finds what must be verified and all
// cores verify it. If every answer is yes, the rehearsal was the block's
// execution; or else the block is applied with the answers.
func (a *App) execute(v consensus.View, b *consensus.Block) (*consensus.Update, []consensus.Result, error) {
	r, err := a.rehearse(v, b)
	if err != nil {
		return nil, nil, err
	}
	if a.memo.prepare(r.checks) {
		return r.update, r.results, nil
	}
	return consensus.Apply(a.params, v, a.memo.verifier(), b)
}

// blockKey hashes everything that a block consists of.
func blockKey(b *consensus.Block) [32]byte {
	h := sha256.New()
	var n [8]byte
	number := func(v uint64) {
		binary.BigEndian.PutUint64(n[:], v)
		h.Write(n[:])
	}
	part := func(p []byte) {
		number(uint64(len(p)))
		h.Write(p)
	}
	number(uint64(b.Height))
	number(b.Time)
	part(b.Proposer)
	if b.Beacon == nil {
		number(0)
	} else {
		number(1)
		part(b.Beacon)
	}
	number(uint64(len(b.Evidence)))
	for i := range b.Evidence {
		part(b.Evidence[i].Address)
		number(uint64(b.Evidence[i].Height))
	}
	number(uint64(len(b.Messages)))
	for _, m := range b.Messages {
		part(m)
	}
	return [32]byte(h.Sum(nil))
}

// rehearsals remembers the newest blocks that were rehearsed over one height.
type rehearsals struct {
	mu     sync.Mutex
	height chain.Height
	order  [][32]byte
	blocks map[[32]byte]*rehearsed
}

// rehearsalsKept is how many blocks of a height are remembered: one is usual,
// more only if rounds fail.
const rehearsalsKept = 3

func (r *rehearsals) find(key [32]byte) *rehearsed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.blocks[key]
}

func (r *rehearsals) keep(h chain.Height, key [32]byte, block *rehearsed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.height != h || r.blocks == nil {
		r.height, r.order, r.blocks = h, nil, map[[32]byte]*rehearsed{}
	}
	if len(r.order) == rehearsalsKept {
		delete(r.blocks, r.order[0])
		r.order = r.order[1:]
	}
	r.order = append(r.order, key)
	r.blocks[key] = block
}

// forget drops what was rehearsed for a height that is committed.
func (r *rehearsals) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order, r.blocks = nil, nil
}

// hasEffect reports whether a message paid its fee.
func hasEffect(r *consensus.Result) bool {
	return r.Code == consensus.CodeOK || r.Code == consensus.CodeFailed
}
