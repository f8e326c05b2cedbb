package app

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/mempool"
)

// texts is a Verifier to which a proof is right if it says so.
type texts struct{ consensus.Direct }

var errText = errors.New("the proof does not say ok")

func (texts) SealProof(_ *consensus.SealCheck, proof []byte) error     { return judgeText(proof) }
func (texts) WindowProof(_ *consensus.WindowCheck, proof []byte) error { return judgeText(proof) }

func judgeText(proof []byte) error {
	if bytes.HasPrefix(proof, []byte("ok")) {
		return nil
	}
	return errText
}

// minerAccount owns the miner of the tests below.
const minerAccount = 8

// newMiner starts a chain with a miner that has an active sector in each of
// its deadlines.
func newMiner(t testing.TB, validators int, tune ...func(*consensus.Params)) *engine {
	e := newEngine(t, validators, tune...)
	e.verify = texts{}
	for _, m := range e.members {
		m.app.memo.verify = e.verify
	}
	owner := addressOf(t, minerAccount)
	nonce := uint64(0)
	lands := func(bodies ...chain.Body) {
		t.Helper()
		for _, b := range bodies {
			e.submit(e.sign(minerAccount, chain.Message{Nonce: nonce, MaxFee: chain.PDR(1)}, b))
			nonce++
		}
		e.empty()
	}
	lands(&chain.CreateMiner{SealProof: e.params.SealProofs[0], Fund: chain.PDR(50),
		Keys: chain.Keys{Owner: owner, Worker: owner, Beneficiary: owner}})
	pre := &chain.PreCommitSectors{Miner: chain.FirstMinerID}
	var prove []chain.Body
	for i := range e.params.Deadlines {
		pre.Sectors = append(pre.Sectors, chain.PreCommit{Number: i, CommR: [32]byte{byte(i)}, TicketHeight: 1,
			Expiration: chain.Height(e.height) + 5000})
		prove = append(prove, &chain.ProveCommit{Miner: chain.FirstMinerID, Number: i, Proof: []byte("ok")})
	}
	lands(pre)
	for range e.params.SeedDelay + 1 {
		e.block()
	}
	lands(prove...)
	var m chain.Miner
	e.record(chain.MinerKey(chain.FirstMinerID), &m)
	if m.Sectors != e.params.Deadlines {
		t.Fatalf("the miner has %d active sectors, want %d", m.Sectors, e.params.Deadlines)
	}
	return e
}

// empty makes blocks until no message waits.
func (e *engine) empty() {
	e.t.Helper()
	for range 20 {
		e.block()
		if e.members[0].app.Stats().Pending == 0 {
			return
		}
	}
	e.t.Fatal("messages wait for 20 blocks")
}

// record reads a record of the first member's newest state.
func (e *engine) record(k chain.Key, v chain.CBOR) {
	e.t.Helper()
	raw, err := e.members[0].store.View().Record(k)
	if err == nil {
		err = chain.Decode(raw, v)
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// windowProof goes to the first height of the next window whose deadline has a
// sector and returns the miner's proof for it, as account from signs it.
func (e *engine) windowProof(from byte, text string) []byte {
	e.t.Helper()
	body := e.nextWindow()
	body.Proof = []byte(text)
	return e.sign(from, chain.Message{MaxFee: chain.PDR(1)}, body)
}

// nextWindow goes to the height before the next window opens.
func (e *engine) nextWindow() *chain.SubmitWindowProof {
	e.t.Helper()
	for {
		if due := e.opening(); due != nil {
			return due
		}
		e.block()
	}
}

// opening is the proof that is due in the next block, without its bytes, if that
// block opens a window in which the miner has a sector.
func (e *engine) opening() *chain.SubmitWindowProof {
	e.t.Helper()
	var m chain.Miner
	e.record(chain.MinerKey(chain.FirstMinerID), &m)
	height := uint64(e.height) + 1
	open, ok := e.params.Schedule().At(uint64(m.PeriodStart), height)
	if !ok || open.Open != height || m.Deadlines[open.Index] == 0 {
		return nil
	}
	return &chain.SubmitWindowProof{Miner: m.ID, Period: open.Period, Deadline: open.Index}
}

// small makes blocks that hold few transfers.
func small(p *consensus.Params) { p.MaxBlockUnits = 44_000 }

// inject puts a message into all mempools; a blind mempool believes that the
// message would pay any fee.
func (e *engine) inject(raw []byte, blind bool) {
	e.t.Helper()
	for _, m := range e.members {
		admission, err := consensus.Validate(e.params, m.store.View(), m.app.memo.verifier(), raw)
		if err != nil {
			e.t.Fatal(err)
		}
		if blind {
			admission.MaxFee = chain.PDR(1)
		}
		if err := m.app.add(&mempool.Tx{Admission: *admission, Raw: raw}); err != nil {
			e.t.Fatal(err)
		}
	}
}

// tight signs a message whose MaxFee is its fee in the next block.
func (e *engine) tight(from byte, m chain.Message, body chain.Body) []byte {
	e.t.Helper()
	m.MaxFee = e.fee(from, m, body)
	return e.sign(from, m, body)
}

// fee is what a message costs in the next block.
func (e *engine) fee(from byte, m chain.Message, body chain.Body) chain.Amount {
	e.t.Helper()
	m.MaxFee = chain.PDR(1)
	admission, err := consensus.Validate(e.params, e.members[0].store.View(), new(rehearsal).verifier(), e.sign(from, m, body))
	if err != nil {
		e.t.Fatal(err)
	}
	return admission.Fee
}

// landed reports whether a message succeeded in the newest block, of which
// results are given.
func (e *engine) landed(raw []byte, results []*abci.ExecTxResult) bool {
	i := slices.IndexFunc(e.blocks[len(e.blocks)-1], func(tx []byte) bool { return bytes.Equal(tx, raw) })
	return i >= 0 && results[i].Code == 0
}

// TestStarvation plays the cheap way to keep proofs out of blocks: long runs
// of messages whose MaxFee is the fee of today, all void once the base fee has
// risen. The proof lands in the next block all the same, and an honest transfer
// that offers less soon after; also if the mempool does not see that they are void.
func TestStarvation(t *testing.T) {
	const attackers, each = 16, 32
	for name, blind := range map[string]bool{"mempool sees it": false, "mempool is blind": true} {
		t.Run(name, func(t *testing.T) {
			e := newMiner(t, 1, small)
			for i := range byte(attackers) {
				e.submit(e.transfer(1, 20+i, uint64(i), 1_000_000_000_000_000))
			}
			e.empty()
			proof := e.windowProof(minerAccount, "ok")
			for i := range byte(attackers) {
				for nonce := range uint64(each) {
					e.inject(e.tight(20+i, chain.Message{Nonce: nonce, Tip: chain.Atto(1000)},
						&chain.Transfer{To: addressOf(t, 0), Amount: chain.Atto(1)}), blind)
				}
			}
			e.block() // full of those that pay
			honest := e.transfer(3, 4, 0, 5)
			e.submit(honest)
			e.submit(proof)
			results := e.block()
			if !e.landed(proof, results) {
				t.Errorf("the proof is not among the %d transactions of the next block", len(results))
			}
			for blocks := 1; !e.landed(honest, results); blocks++ {
				if blocks == attackers {
					t.Fatalf("the honest transfer does not land in %d blocks", blocks)
				}
				results = e.block()
			}
			if s := e.members[0].app.Stats(); s.Proofs != 1 || s.ProofsLeftOut != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestProofsUnderSaturation: while transfers fill every block and drive the
// base fee up, a proof that offers no more than before lands in the next block.
func TestProofsUnderSaturation(t *testing.T) {
	const senders, each = 6, 150
	e := newMiner(t, 1, small)
	first := e.nextWindow()
	first.Proof = []byte("ok")
	limit, err := e.fee(minerAccount, chain.Message{}, first).Mul(2)
	if err != nil {
		t.Fatal(err)
	}
	var before, after chain.Global
	e.record(chain.GlobalKey(), &before)
	for from := range byte(senders) {
		next := e.account(from).Nonce
		for nonce := range uint64(each) {
			e.submit(e.transfer(from, 9, next+nonce, 1))
		}
	}
	proofs := uint64(0)
	for proofs < 2 {
		if e.members[0].app.Stats().Pending == 0 {
			t.Fatal("the transfers ran out before two proofs were due")
		}
		body := e.opening()
		if body == nil {
			e.block()
			continue
		}
		body.Proof = []byte("ok")
		raw := e.sign(minerAccount, chain.Message{MaxFee: limit}, body)
		e.submit(raw)
		if results := e.block(); !e.landed(raw, results) || len(results) < 10 {
			t.Fatalf("height %d: of %d transactions none is the proof, or there is room left", e.height, len(results))
		}
		proofs++
	}
	e.record(chain.GlobalKey(), &after)
	if eightfold, err := before.BaseFee.Mul(8); err != nil || after.BaseFee.Less(eightfold) {
		t.Errorf("the base fee went from %s to %s: nothing was saturated", before.BaseFee, after.BaseFee)
	}
	if s := e.members[0].app.Stats(); s.Proofs != proofs || s.ProofsLeftOut != 0 {
		t.Errorf("stats %+v, want %d proofs", s, proofs)
	}
}

// slow is a Verifier whose window proofs are all wrong and take until end is closed.
type slow struct {
	texts
	begun chan struct{}
	end   chan struct{}
	asked atomic.Int64
}

func (s *slow) WindowProof(*consensus.WindowCheck, []byte) error {
	s.asked.Add(1)
	s.begun <- struct{}{}
	<-s.end
	return errText
}

// TestJunkProofs floods admission with wrong proofs of one miner: transfers are
// admitted meanwhile, few of the proofs are looked at, and after some blocks
// the miner's proofs are looked at again.
func TestJunkProofs(t *testing.T) {
	const junk = 20
	e := newMiner(t, 1)
	body := e.nextWindow()
	app := e.members[0].app
	verify := &slow{begun: make(chan struct{}, junk), end: make(chan struct{})}
	app.memo.verify = verify
	signed := func(text string) []byte {
		body.Proof = []byte(text)
		return e.sign(minerAccount, chain.Message{MaxFee: chain.PDR(1)}, body)
	}
	var wg sync.WaitGroup
	answers := make(chan error, junk)
	for i := range junk {
		raw := signed(fmt.Sprint("junk ", i))
		wg.Go(func() { answers <- app.Submit(t.Context(), raw) })
	}
	<-verify.begun
	for from := range byte(4) {
		if err := app.Submit(t.Context(), e.transfer(from, 9, e.account(from).Nonce, 1)); err != nil {
			t.Errorf("a transfer beside wrong proofs: %v", err)
		}
	}
	close(verify.end)
	wg.Wait()
	close(answers)
	put := 0
	for err := range answers {
		switch {
		case errors.Is(err, errWrongProofs):
			put++
		case consensus.CodeOf(err) != consensus.CodeFailed:
			t.Errorf("a wrong proof: %v", err)
		}
	}
	if n := verify.asked.Load(); n != mostStrikes || put != junk-mostStrikes {
		t.Errorf("%d wrong proofs were looked at and %d put off, want %d and %d", n, put, mostStrikes, junk-mostStrikes)
	}
	if err := app.Submit(t.Context(), signed("junk 0")); !errors.Is(err, errWrongProofs) && consensus.CodeOf(err) != consensus.CodeFailed {
		t.Errorf("a proof known to be wrong: %v", err)
	}
	app.memo.verify = texts{}
	right := signed("ok")
	if err := app.Submit(t.Context(), right); !errors.Is(err, errWrongProofs) {
		t.Errorf("a right proof right after: %v", err)
	}
	e.block()
	if err := app.Submit(t.Context(), right); err != nil {
		t.Errorf("a right proof a block later: %v", err)
	}
	if results := e.block(); !e.landed(right, results) {
		t.Error("the right proof does not land")
	}
}

// TestAskedOnce: who asks what is being computed waits for that answer.
func TestAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		verify := &slow{begun: make(chan struct{}, 8), end: make(chan struct{})}
		m := newMemo(verify, 4)
		check := &consensus.WindowCheck{SealProof: 1}
		for range 8 {
			go func() {
				if err := m.verifier().WindowProof(check, []byte("same")); err != errText {
					t.Errorf("answer %v", err)
				}
			}()
		}
		synctest.Wait()
		if n := verify.asked.Load(); n != 1 {
			t.Errorf("%d run at once", n)
		}
		close(verify.end)
		synctest.Wait()
		if n := verify.asked.Load(); n != 1 {
			t.Errorf("computed %d times", n)
		}
	})
}
