package app

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// check is one question to a Verifier: its name among all questions, and how
// it is answered.
type check struct {
	kind uint64
	key  [32]byte
	run  func(consensus.Verifier) error
}

// The kinds of checks, first in what their keys hash.
const (
	checkSignature = iota + 1
	checkSeal
	checkWindow
	checkBeacon
)

// keyOf hashes all arguments of a check: numbers, then parts with their lengths.
func keyOf(kind uint64, numbers []uint64, parts ...[]byte) [32]byte {
	b := binary.BigEndian.AppendUint64(nil, kind)
	b = binary.BigEndian.AppendUint64(b, uint64(len(numbers)))
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
	}
	return sha256.Sum256(b)
}

// asker turns a Verifier's questions into checks.
type asker struct {
	ask func(check) error
}

var _ consensus.Verifier = asker{}

// Signature implements consensus.Verifier.
func (a asker) Signature(sig *crypto.Signature, signer chain.Address, message []byte) error {
	key := keyOf(checkSignature, []uint64{uint64(sig.Type)}, sig.Data, signer.Bytes(), message)
	return a.ask(check{checkSignature, key, func(v consensus.Verifier) error { return v.Signature(sig, signer, message) }})
}

// SealProof implements consensus.Verifier.
func (a asker) SealProof(c *consensus.SealCheck, proof []byte) error {
	key := keyOf(checkSeal, []uint64{uint64(c.ProofType), c.Miner, c.Number, c.First, c.Count},
		c.Ticket[:], c.Seed[:], c.CommD[:], c.CommR[:], proof)
	question := *c
	return a.ask(check{checkSeal, key, func(v consensus.Verifier) error { return v.SealProof(&question, proof) }})
}

// WindowProof implements consensus.Verifier.
func (a asker) WindowProof(c *consensus.WindowCheck, proof []byte) error {
	var sectors []byte
	for i := range c.Sectors {
		sectors = binary.BigEndian.AppendUint64(sectors, c.Sectors[i].Number)
		sectors = append(sectors, c.Sectors[i].CommR[:]...)
	}
	key := keyOf(checkWindow, []uint64{uint64(c.SealProof), c.Challenges}, c.Randomness[:], sectors, proof)
	question := *c
	return a.ask(check{checkWindow, key, func(v consensus.Verifier) error { return v.WindowProof(&question, proof) }})
}

// Beacon implements consensus.Verifier.
func (a asker) Beacon(key, message, signature []byte) error {
	k := keyOf(checkBeacon, nil, key, message, signature)
	return a.ask(check{checkBeacon, k, func(v consensus.Verifier) error { return v.Beacon(key, message, signature) }})
}

// memoSize is how many answers one generation of the memo holds.
const memoSize = 1 << 15

// memo remembers answers. Old ones go a generation at a time.
type memo struct {
	verify  consensus.Verifier
	workers int

	mu       sync.Mutex
	now, old map[[32]byte]error
	running  map[[32]byte]chan struct{} // closed when the answer is there
}

func newMemo(v consensus.Verifier, workers int) *memo {
	return &memo{verify: v, workers: workers, now: map[[32]byte]error{}, running: map[[32]byte]chan struct{}{}}
}

// answer gives the remembered answer, or computes and remembers it. Who asks
// what another is computing waits for that.
func (m *memo) answer(c check) error {
	m.mu.Lock()
	for {
		if err, known := m.recall(c.key); known {
			m.mu.Unlock()
			return err
		}
		computed, busy := m.running[c.key]
		if !busy {
			break
		}
		m.mu.Unlock()
		<-computed
		m.mu.Lock()
	}
	computed := make(chan struct{})
	m.running[c.key] = computed
	m.mu.Unlock()
	err := c.run(m.verify)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(c.key, err)
	delete(m.running, c.key)
	close(computed)
	return err
}

// knows reports whether an answer is remembered.
func (m *memo) knows(key [32]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.recall(key)
	return known
}

func (m *memo) recall(key [32]byte) (answer error, known bool) {
	if answer, known = m.now[key]; known {
		return answer, true
	}
	if answer, known = m.old[key]; known {
		m.keep(key, answer)
	}
	return answer, known
}

func (m *memo) keep(key [32]byte, err error) {
	if len(m.now) >= memoSize {
		m.old, m.now = m.now, map[[32]byte]error{}
	}
	m.now[key] = err
}

// verifier is the memo as a Verifier.
func (m *memo) verifier() consensus.Verifier { return asker{m.answer} }

// prepare answers all checks, on as many goroutines as the memo has workers,
// and reports whether every answer is yes.
func (m *memo) prepare(checks []check) bool {
	var next, wrong atomic.Int64
	var wg sync.WaitGroup
	for range min(m.workers, len(checks)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(checks)); i = next.Add(1) - 1 {
				if m.answer(checks[i]) != nil {
					wrong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return wrong.Load() == 0
}

// rehearsal says yes to every question and writes it down.
type rehearsal struct{ checks []check }

func (r *rehearsal) verifier() consensus.Verifier {
	return asker{func(c check) error {
		r.checks = append(r.checks, c)
		return nil
	}}
}
