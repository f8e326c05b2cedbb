package app

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
)

// TestBlocks lets four validators make blocks of transfers: they land, in
// nonce order whatever the order of arrival, and the beacon never skips.
func TestBlocks(t *testing.T) {
	e := newEngine(t, 4)
	e.block()
	for _, nonce := range []uint64{2, 0, 1} {
		e.submit(e.transfer(1, 7, nonce, 5))
	}
	e.submit(e.transfer(2, 7, 0, 100))
	results := e.block()
	if len(results) != 5 {
		t.Fatalf("%d results, want a contribution and four messages", len(results))
	}
	for i, r := range results {
		if r.Code != 0 {
			t.Errorf("transaction %d: code %d: %s", i, r.Code, r.Log)
		}
	}
	want, err := chain.PDR(1000).Add(chain.Atto(115))
	if err != nil {
		t.Fatal(err)
	}
	if got := e.account(7); got.Balance != want {
		t.Errorf("recipient has %s, want %s", got.Balance, want)
	}
	if got := e.account(1); got.Nonce != 3 {
		t.Errorf("sender's nonce is %d, want 3", got.Nonce)
	}
	for range 8 {
		e.block()
	}
	for h := int64(2); h <= e.height; h++ { // nobody votes before height 1
		if e.beacon(h).Skipped {
			t.Errorf("beacon of height %d is skipped", h)
		}
	}
	if s := e.members[3].app.Stats(); s.Pending != 0 || s.Messages != 4 || s.Height != chain.Height(e.height) {
		t.Errorf("stats %+v", s)
	}
}

// TestFullBlocks submits more than blocks hold, by bytes and by units: every
// block stays within its limits, what is left waits, and all of it lands.
func TestFullBlocks(t *testing.T) {
	for name, tune := range map[string]func(*consensus.Params){
		"bytes": func(p *consensus.Params) { p.MaxMessageBytes, p.MaxBlockBytes = 1<<10, 2<<10 },
		"units": func(p *consensus.Params) { p.MaxBlockUnits = 4_000 },
	} {
		e := newEngine(t, 2, tune)
		const each = 10
		for from := range byte(4) {
			for nonce := range uint64(each) {
				e.submit(e.transfer(from+1, 9, nonce, 1))
			}
		}
		landed, blocks := 0, 0
		for ; landed < 4*each && blocks < 100; blocks++ {
			var bytes, units uint64
			for i, r := range e.block() {
				tx := e.blocks[len(e.blocks)-1][i]
				if tx[0] == beaconMark {
					continue
				}
				if r.Code != 0 {
					t.Fatalf("%s: height %d: %s", name, e.height, r.Log)
				}
				bytes, units = bytes+uint64(len(tx)), units+uint64(r.GasUsed)
				landed++
			}
			if p := e.params; bytes > p.MaxBlockBytes-p.ProofLaneBytes() || units > p.MaxBlockUnits-p.ProofLaneUnits() {
				t.Errorf("%s: height %d holds %d bytes and %d units", name, e.height, bytes, units)
			}
		}
		if landed != 4*each || blocks < 5 {
			t.Errorf("%s: %d messages landed in %d blocks", name, landed, blocks)
		}
	}
}

// TestEvents sees what subscribers select messages by.
func TestEvents(t *testing.T) {
	e := newEngine(t, 1)
	e.submit(e.transfer(1, 2, 0, 5))
	r := e.block()
	got := map[string]string{}
	for _, a := range r[len(r)-1].Events[0].Attributes {
		got[a.Key] = a.Value
	}
	if got["kind"] != "Transfer" || got["sender"] != chain.FormatAddress(addressOf(t, 1), chain.Testnet) {
		t.Errorf("events are %v", got)
	}
}

// TestRestart stops a validator between FinalizeBlock and Commit, with and
// without what it had not synced: it opens at the height before and the same
// block gives the same app hash.
func TestRestart(t *testing.T) {
	e := newEngine(t, 2)
	e.submit(e.transfer(1, 2, 0, 5))
	e.block()
	e.submit(e.transfer(1, 2, 1, 5))
	txs := e.propose()
	m := e.members[1]
	want := e.finalize(m, txs).AppHash
	before := m.store.View().AppHash()
	old := m.store
	m.fs = m.fs.CrashClone(vfs.CrashCloneCfg{})
	e.open(m)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := m.app.Info(t.Context(), &abci.RequestInfo{})
	if err != nil || info.LastBlockHeight != 1 || !bytes.Equal(info.LastBlockAppHash, before) {
		t.Fatalf("after a crash the state is at height %d, %x (%v)", info.LastBlockHeight, info.LastBlockAppHash, err)
	}
	if got := e.finalize(m, txs).AppHash; !bytes.Equal(got, want) {
		t.Errorf("app hash %x after a restart, %x before", got, want)
	}
	e.vote()
	e.decide(txs)
	e.block()
}

// TestJunk feeds admission with what strangers send: all is refused with a
// code, and what may be right later is marked so.
func TestJunk(t *testing.T) {
	e := newEngine(t, 1)
	good := e.transfer(1, 2, 0, 5)
	forged := slices.Clone(good)
	forged[len(forged)-10] ^= 1
	other := e.transfer(1, 2, 0, 5)
	other[10] ^= 1
	for name, raw := range map[string][]byte{
		"empty": {}, "zero": {0}, "text": []byte("hello"), "cut": good[:len(good)-1], "longer": append(slices.Clone(good), 0),
		"forged": forged, "changed": other, "beacon": beaconTx(make([]byte, 96)), "huge": make([]byte, 3<<20),
	} {
		c, err := e.members[0].app.CheckTx(t.Context(), &abci.RequestCheckTx{Tx: raw})
		if err != nil || c.Code == 0 || c.Log == "" {
			t.Errorf("%s: CheckTx %v, %v", name, c, err)
		}
		i, err := e.members[0].app.InsertTx(t.Context(), &abci.RequestInsertTx{Tx: raw})
		if err != nil || i.Code == 0 {
			t.Errorf("%s: InsertTx %v, %v", name, i, err)
		}
	}
	far, err := e.members[0].app.InsertTx(t.Context(), &abci.RequestInsertTx{Tx: e.transfer(1, 2, 1<<40, 5)})
	if err != nil || far.Code != abci.CodeTypeRetry+uint32(consensus.CodeBadNonce) {
		t.Errorf("a far nonce: %v, %v", far, err)
	}
	if s := e.members[0].app.Stats(); s.Pending != 0 {
		t.Errorf("%d messages wait", s.Pending)
	}
}

// TestTotal finalizes blocks that no honest validator would accept: each has a
// result, and only the good message in it an effect.
func TestTotal(t *testing.T) {
	e := newEngine(t, 2)
	e.block()
	good := e.transfer(1, 2, 0, 5)
	results := e.decide([][]byte{{}, {0}, []byte("junk"), good, good, beaconTx(nil), e.transfer(3, 2, 9, 1)})
	var codes []consensus.Code
	for _, r := range results {
		codes = append(codes, consensus.Code(r.Code))
	}
	want := []consensus.Code{consensus.CodeMalformed, consensus.CodeMalformed, consensus.CodeMalformed, consensus.CodeOK,
		consensus.CodeBadNonce, consensus.CodeMalformed, consensus.CodeBadNonce}
	if !slices.Equal(codes, want) {
		t.Errorf("codes are %v, want %v", codes, want)
	}
	e.decide([][]byte{beaconTx([]byte("wrong"))})
	if !e.beacon(e.height).Skipped {
		t.Error("a wrong contribution made a beacon")
	}
	if e.decide(nil); !e.beacon(e.height).Skipped {
		t.Error("no contribution made a beacon")
	}
}

// TestProposals shows validators proposals of a bad proposer.
func TestProposals(t *testing.T) {
	e := newEngine(t, 2)
	e.block()
	e.submit(e.transfer(1, 2, 0, 5))
	honest := e.propose()
	if len(honest) != 2 || honest[0][0] != beaconMark {
		t.Fatalf("an honest proposal of %d transactions", len(honest))
	}
	forged := slices.Clone(honest[1])
	forged[len(forged)-20] ^= 1
	flipped := slices.Clone(honest[0])
	flipped[50] ^= 1
	for name, txs := range map[string][][]byte{
		"junk": {[]byte("junk")}, "forged signature": {honest[0], forged}, "wrong contribution": {flipped, honest[1]},
		"contribution last": {honest[1], honest[0]}, "twice": {honest[0], honest[1], honest[1]},
		"nonce ahead": {honest[0], e.transfer(1, 2, 1, 5)}, "empty transaction": {honest[0], {}},
	} {
		if e.accepts(e.members[0], txs) {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, txs := range map[string][][]byte{"all": honest, "no contribution": honest[1:], "nothing": nil,
		"a stranger's message": {e.transfer(5, 2, 0, 1)}} {
		if !e.accepts(e.members[0], txs) {
			t.Errorf("%s: rejected", name)
		}
	}
}

// TestForeignContributions shows validators contributions that are signatures
// of the right kind, but another validator's or another height's.
func TestForeignContributions(t *testing.T) {
	e := newEngine(t, 3)
	e.block()
	e.vote()
	m := e.members[0]
	c, drawn, err := m.app.contributionTo(chain.Height(e.height)+1, m.store.View())
	if err != nil || !drawn {
		t.Fatalf("nobody is drawn: %v", err)
	}
	later := consensus.BeaconMessage(testChain, chain.Height(e.height)+2, [32]byte(c.message[len(c.message)-32:]))
	for _, o := range e.members {
		for message, right := range map[string]bool{string(c.message): bytes.Equal(o.key, c.validator.PubKey), string(later): false} {
			signature, err := consensus.SignBeacon(o.secret, []byte(message))
			if err != nil {
				t.Fatal(err)
			}
			if got := e.accepts(m, [][]byte{beaconTx(signature)}); got != right {
				t.Errorf("a contribution of the drawn validator and height: %t, accepted: %t", right, got)
			}
		}
	}
}

// TestLimitsOfProposals shows validators blocks that are one message too full
// for their lane, by bytes and by units, and that hold the same one message less.
func TestLimitsOfProposals(t *testing.T) {
	for name, tune := range map[string]func(*consensus.Params){
		"bytes": func(p *consensus.Params) { p.MaxMessageBytes, p.MaxBlockBytes = 1<<10, 2<<10 },
		"units": func(p *consensus.Params) { p.MaxBlockUnits = 12_000 },
	} {
		e := newEngine(t, 1, tune)
		var txs [][]byte
		for nonce := uint64(0); ; nonce++ {
			txs = append(txs, e.transfer(1, 2, nonce, 1))
			if e.accepts(e.members[0], txs) {
				continue
			}
			b := blockOf(e.height+1, e.time(), e.proposer().address, nil, txs)
			r, err := e.members[0].app.rehearse(e.members[0].store.View(), b)
			if err != nil {
				t.Fatal(err)
			}
			if nonce < 2 || r.results[nonce].Code != consensus.CodeNoRoom {
				t.Errorf("%s: message %d of a block is refused: %s", name, nonce, r.results[nonce].Error)
			}
			break
		}
	}
}

// TestProofsFirst shows validators window proofs in places where none may stand.
func TestProofsFirst(t *testing.T) {
	e := newMiner(t, 1)
	proof, pay := e.windowProof(minerAccount, "ok"), e.transfer(1, 2, 0, 5)
	other := e.sign(minerAccount, chain.Message{MaxFee: chain.PDR(1), Tip: chain.Atto(1)}, e.opening())
	for name, c := range map[string]struct {
		txs  [][]byte
		want bool
	}{
		"proof, transfer":           {[][]byte{proof, pay}, true},
		"transfer, proof":           {[][]byte{pay, proof}, false},
		"the proof twice":           {[][]byte{proof, proof}, false},
		"two of one partition":      {[][]byte{proof, other}, false},
		"wrong proof, its own cost": {[][]byte{other, pay}, true},
	} {
		if got := e.accepts(e.members[0], c.txs); got != c.want {
			t.Errorf("%s: accepted: %t", name, got)
		}
	}
}

// TestExtensions shows validators vote extensions of bad voters.
func TestExtensions(t *testing.T) {
	e := newEngine(t, 3)
	e.block()
	e.vote()
	contributor, other := -1, -1
	for i, v := range e.votes {
		if len(v.VoteExtension) > 0 {
			contributor = i
		} else {
			other = i
		}
	}
	if contributor < 0 || other < 0 {
		t.Fatal("want one contributor among three")
	}
	good := e.votes[contributor].VoteExtension
	bad := slices.Clone(good)
	bad[3] ^= 1
	m := e.members
	for name, refused := range map[string]bool{
		"another's": e.verifies(m[0], m[other], good), "wrong": e.verifies(m[0], m[contributor], bad),
		"long": e.verifies(m[0], m[contributor], append(slices.Clone(good), 0)),
	} {
		if refused {
			t.Errorf("%s: accepted", name)
		}
	}
	if !e.verifies(m[0], m[contributor], nil) {
		t.Error("an absent contribution voids a vote")
	}
}

// TestCleanProposal offers the proposer messages that cannot all succeed: it
// leaves out what would have no effect and keeps what merely waits.
func TestCleanProposal(t *testing.T) {
	e := newEngine(t, 1)
	e.submit(e.transfer(1, 2, 0, 999_900_000_000_000_000)) // of 1,000 PDR
	app := e.members[0].app
	for nonce := uint64(2); nonce < 4; nonce++ { // one in the middle is lost
		e.submit(e.transfer(1, 2, nonce, 5))
	}
	if got := len(e.block()); got != 1 {
		t.Fatalf("%d messages proposed, want the one whose turn it is", got)
	}
	if s := app.Stats(); s.Pending != 2 {
		t.Errorf("%d messages wait, want 2 behind the gap", s.Pending)
	}
	if n, err := app.Pending(addressOf(t, 1)); err != nil || n != 1 {
		t.Errorf("pending nonce %d, %v; want 1", n, err)
	}
	e.submit(e.transfer(1, 2, 1, 6))
	if got := len(e.block()); got != 4 {
		t.Errorf("%d transactions, want the contribution and three messages", got)
	}
}

// TestForget sorts out rehearsed messages.
func TestForget(t *testing.T) {
	e := newEngine(t, 1)
	var hashes [6]chain.Hash
	for i := range hashes {
		raw := e.transfer(byte(1+i/3), 2, uint64(i%3), 5)
		e.submit(raw)
		hashes[i] = chain.HashBytes(raw)
	}
	app := e.members[0].app
	for _, step := range []struct {
		what    string
		results []consensus.Result
		dropped int
		wait    []bool
	}{
		{"full", []consensus.Result{{Hash: hashes[0]}, {Hash: hashes[1], Code: consensus.CodeNoRoom},
			{Hash: hashes[2], Code: consensus.CodeBadNonce}}, 0, []bool{true, true, true, true, true, true}},
		{"failed", []consensus.Result{{Hash: hashes[0], Code: consensus.CodeFailed}}, 0, []bool{true, true, true, true, true, true}},
		{"unpaid", []consensus.Result{{Hash: hashes[0]}, {Hash: hashes[1], Code: consensus.CodeUnderfunded},
			{Hash: hashes[2], Code: consensus.CodeBadNonce}, {Hash: hashes[3]}}, 1, []bool{true, false, false, true, true, true}},
		{"wrong nonce", []consensus.Result{{Hash: hashes[3], Code: consensus.CodeBadNonce}}, 1, []bool{true, false, false, false, false, false}},
	} {
		if got := app.forget(step.results); got != step.dropped {
			t.Errorf("%s: %d dropped, want %d", step.what, got, step.dropped)
		}
		for i, want := range step.wait {
			if app.pool.Has(hashes[i]) != want {
				t.Errorf("%s: message %d waits: %t", step.what, i, !want)
			}
		}
	}
}

// TestQuery reads records with proofs, of old heights too.
func TestQuery(t *testing.T) {
	e := newEngine(t, 1)
	e.block()
	e.submit(e.transfer(1, 2, 0, 5))
	e.block()
	app, key := e.members[0].app, chain.AccountKey(addressOf(t, 2))
	for h := int64(1); h <= 2; h++ {
		r, err := app.Query(t.Context(), &abci.RequestQuery{Path: "/record/account", Data: []byte(key.ID), Height: h, Prove: true})
		if err != nil || r.Code != 0 || r.Height != h {
			t.Fatalf("query at %d: %v, %v", h, r, err)
		}
		tree, err := e.members[0].store.At(chain.Height(h))
		if err != nil {
			t.Fatal(err)
		}
		got, err := proof.Verify(r.ProofOps.Ops[0].Data, tree.AppHash(), key)
		if err != nil || !bytes.Equal(got, r.Value) {
			t.Errorf("proof at %d shows %x, %v; want %x", h, got, err, r.Value)
		}
	}
	for _, req := range []*abci.RequestQuery{{}, {Path: "/record/nothing"}, {Path: "/record/miner", Data: []byte("x")},
		{Path: "/record/global", Height: 99}, {Path: "/store"}} {
		if r, err := app.Query(t.Context(), req); err != nil || r.Code == 0 || r.Log == "" {
			t.Errorf("query %+v: %v, %v", req, r, err)
		}
	}
}

// TestConcurrentAdmission submits from many goroutines while blocks are made.
func TestConcurrentAdmission(t *testing.T) {
	e := newEngine(t, 1)
	app := e.members[0].app
	var wg sync.WaitGroup
	var all [][]byte
	for from := range byte(8) {
		for nonce := range uint64(5) {
			all = append(all, e.transfer(from, 9, nonce, 1))
		}
	}
	for i := range 4 {
		wg.Go(func() {
			for j := i; j < len(all); j += 4 {
				if _, err := app.InsertTx(t.Context(), &abci.RequestInsertTx{Tx: all[j]}); err != nil {
					t.Error(err)
				}
				if _, err := app.ReapTxs(t.Context(), &abci.RequestReapTxs{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		e.block()
	}
	wg.Wait()
	e.block()
	if got, want := e.account(9).Balance, chain.PDR(1000); got.Cmp(want) <= 0 {
		t.Errorf("recipient has %s", got)
	}
	if s := app.Stats(); s.Messages != 40 || s.Failed != 0 || s.Pending != 0 {
		t.Errorf("stats %+v, want all 40 in blocks", s)
	}
}

// TestBadStart refuses genesis documents and heights that do not fit.
func TestBadStart(t *testing.T) {
	e := newEngine(t, 1)
	app := e.members[0].app
	for _, req := range []*abci.RequestInitChain{
		{ChainId: "other", AppStateBytes: e.genesis, InitialHeight: 1},
		{ChainId: testChain, AppStateBytes: []byte("{}"), InitialHeight: 1},
		{ChainId: testChain, AppStateBytes: e.genesis, InitialHeight: 7},
	} {
		if _, err := app.InitChain(t.Context(), req); err == nil {
			t.Errorf("genesis of %q at %d accepted", req.ChainId, req.InitialHeight)
		}
	}
	select {
	case <-app.Failed():
	default:
		t.Error("a bad genesis does not stop the node")
	}
	if _, err := app.FinalizeBlock(t.Context(), &abci.RequestFinalizeBlock{Height: 9}); err == nil {
		t.Error("a block of the wrong height was finalized")
	}
	if _, err := New(Config{Store: e.members[0].store, Params: e.params}).Commit(t.Context(), nil); err == nil {
		t.Error("commit of nothing")
	}
}

// counting is a Verifier that counts and, for one key, fails.
type counting struct {
	consensus.Direct
	mu    sync.Mutex
	asked int
}

var errNo = errors.New("no")

func (c *counting) Beacon(key, message, signature []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked++; bytes.Equal(signature, []byte("bad")) {
		return errNo
	}
	return nil
}

// TestMemo asks each question once and tells questions apart by every argument.
func TestMemo(t *testing.T) {
	v := &counting{}
	m := newMemo(v, 2)
	ask := m.verifier().Beacon
	for range 3 {
		if err := ask([]byte("k"), []byte("m"), []byte("s")); err != nil {
			t.Fatal(err)
		}
		if err := ask([]byte("k"), []byte("m"), []byte("bad")); !errors.Is(err, errNo) {
			t.Fatal("a wrong answer is remembered as right")
		}
	}
	if v.asked != 2 {
		t.Errorf("%d questions reached the verifier, want 2", v.asked)
	}
	seen := map[[32]byte]bool{}
	r := rehearsal{}
	q := r.verifier()
	seal := consensus.SealCheck{ProofType: 1, Miner: 2, Number: 3, First: 4, Count: 5}
	window := consensus.WindowCheck{SealProof: 1, Challenges: 2, Sectors: []consensus.WindowSector{{Number: 3}}}
	ask2 := func(change func()) { change(); q.SealProof(&seal, []byte("p")); q.WindowProof(&window, []byte("p")) }
	for _, change := range []func(){func() {}, func() { seal.ProofType++; window.SealProof++ }, func() { seal.Miner++; window.Challenges++ },
		func() { seal.Number++; window.Sectors[0].Number++ }, func() { seal.Ticket[0]++; window.Sectors[0].CommR[0]++ },
		func() { seal.Seed[0]++; window.Randomness[0]++ }, func() { seal.CommD[0]++; window.Sectors = append(window.Sectors, window.Sectors[0]) },
		func() { seal.CommR[0]++; window.Sectors = nil }, func() { seal.First++; window.SealProof++ }, func() { seal.Count++; window.Challenges++ }} {
		ask2(change)
	}
	for _, split := range [][3]string{{"ab", "", ""}, {"a", "b", ""}, {"", "ab", ""}, {"a", "", "b"}} {
		q.Beacon([]byte(split[0]), []byte(split[1]), []byte(split[2]))
	}
	for _, c := range r.checks {
		seen[c.key()] = true
	}
	if len(seen) != len(r.checks) {
		t.Errorf("%d questions have %d keys", len(r.checks), len(seen))
	}
}

// FuzzBlock finalizes a block of any two transactions: no bytes stop a node.
func FuzzBlock(f *testing.F) {
	f.Add([]byte{0}, []byte("junk"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		e := newEngine(t, 1)
		e.decide([][]byte{first, second})
		e.block()
	})
}
