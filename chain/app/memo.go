package app

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// check is one question to a Verifier: its name among all questions, which
// takes a hash of all of it, and how it is answered.
type check struct {
	kind uint64
	key  func() [32]byte
	run  func(consensus.Verifier) error
}

// The kinds of checks, first in what their keys hash.
const (
	checkMessage = iota + 1
	checkSignature
	checkSeal
	checkWindow
	checkBeacon
)

// keyOf hashes all arguments of a check: numbers, then parts with their lengths.
func keyOf(kind uint64, numbers []uint64, parts ...[]byte) [32]byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 64), kind)
	b = binary.BigEndian.AppendUint64(b, uint64(len(numbers)))
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	h := sha256.New()
	h.Write(b)
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(b[:0], uint64(len(p))))
		h.Write(p)
	}
	h.Sum(b[:0])
	return [32]byte(b[:32])
}

// asker turns a Verifier's questions into checks.
type asker struct {
	ask func(check) error
}

var _ consensus.Verifier = asker{}

// Message implements consensus.Verifier.
func (a asker) Message(m *chain.SignedMessage, raw []byte, hash chain.Hash, chainID string) error {
	key := func() [32]byte { return keyOf(checkMessage, nil, hash[:], []byte(chainID)) }
	return a.ask(check{checkMessage, key, func(v consensus.Verifier) error { return v.Message(m, raw, hash, chainID) }})
}

// Signature implements consensus.Verifier.
func (a asker) Signature(sig *crypto.Signature, signer chain.Address, message []byte) error {
	key := func() [32]byte {
		return keyOf(checkSignature, []uint64{uint64(sig.Type)}, sig.Data, signer.Bytes(), message)
	}
	return a.ask(check{checkSignature, key, func(v consensus.Verifier) error { return v.Signature(sig, signer, message) }})
}

// SealProof implements consensus.Verifier.
func (a asker) SealProof(c *consensus.SealCheck, proof []byte) error {
	question := *c
	key := func() [32]byte {
		q := &question
		return keyOf(checkSeal, []uint64{uint64(q.ProofType), q.Miner, q.Number, q.First, q.Count},
			q.Ticket[:], q.Seed[:], q.CommD[:], q.CommR[:], proof)
	}
	return a.ask(check{checkSeal, key, func(v consensus.Verifier) error { return v.SealProof(&question, proof) }})
}

// WindowProof implements consensus.Verifier.
func (a asker) WindowProof(c *consensus.WindowCheck, proof []byte) error {
	question := *c
	question.Sectors = slices.Clone(c.Sectors)
	key := func() [32]byte {
		q := &question
		var sectors []byte
		for i := range q.Sectors {
			sectors = binary.BigEndian.AppendUint64(sectors, q.Sectors[i].Number)
			sectors = append(sectors, q.Sectors[i].CommR[:]...)
		}
		return keyOf(checkWindow, []uint64{uint64(q.SealProof), q.Challenges}, q.Randomness[:], sectors, proof)
	}
	return a.ask(check{checkWindow, key, func(v consensus.Verifier) error { return v.WindowProof(&question, proof) }})
}

// Beacon implements consensus.Verifier.
func (a asker) Beacon(key, message, signature []byte) error {
	name := func() [32]byte { return keyOf(checkBeacon, nil, key, message, signature) }
	return a.ask(check{checkBeacon, name, func(v consensus.Verifier) error { return v.Beacon(key, message, signature) }})
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
	key := c.key()
	m.mu.Lock()
	for {
		if err, known := m.recall(key); known {
			m.mu.Unlock()
			return err
		}
		computed, busy := m.running[key]
		if !busy {
			break
		}
		m.mu.Unlock()
		<-computed
		m.mu.Lock()
	}
	computed := make(chan struct{})
	m.running[key] = computed
	m.mu.Unlock()
	err := c.run(m.verify)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(key, err)
	delete(m.running, key)
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

// crew answers checks on as many goroutines as the memo has workers.
type crew struct {
	checks chan check
	work   sync.WaitGroup
	wrong  atomic.Bool
}

// crewBacklog is how many checks may wait for a crew before whoever asks waits.
const crewBacklog = 1024

func (m *memo) hire() *crew {
	c := &crew{checks: make(chan check, crewBacklog)}
	for range m.workers {
		c.work.Go(func() {
			for question := range c.checks {
				if m.answer(question) != nil {
					c.wrong.Store(true)
				}
			}
		})
	}
	return c
}

// done waits for the answers and reports whether every one is yes.
func (c *crew) done() bool {
	close(c.checks)
	c.work.Wait()
	return !c.wrong.Load()
}

// prepare answers all checks and reports whether every answer is yes.
func (m *memo) prepare(checks []check) bool {
	c := m.hire()
	for _, question := range checks {
		c.checks <- question
	}
	return c.done()
}

// rehearsal says yes to every question and writes it down. Each question is
// handed to the crew at once, if there is one.
type rehearsal struct {
	checks []check
	crew   *crew
}

func (r *rehearsal) verifier() consensus.Verifier {
	return asker{func(c check) error {
		r.checks = append(r.checks, c)
		if r.crew != nil {
			r.crew.checks <- c
		}
		return nil
	}}
}
