package consensus

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestBaseFee: full blocks raise it by an eighth, empty ones lower it by as
// much, half-full ones leave it; the fuller of bytes and units counts.
func TestBaseFee(t *testing.T) {
	p := testParams()
	bytesTarget := (p.MaxBlockBytes - p.ProofLaneBytes()) / 2
	unitsTarget := (p.MaxBlockUnits - p.ProofLaneUnits()) / 2
	for name, c := range map[string]struct {
		used       lane
		fee, after uint64
	}{
		"empty":            {lane{}, 8_000_000, 7_000_000},
		"half of bytes":    {lane{bytes: bytesTarget}, 8_000_000, 8_000_000},
		"half of units":    {lane{units: unitsTarget}, 8_000_000, 8_000_000},
		"full of bytes":    {lane{bytes: 2 * bytesTarget}, 8_000_000, 9_000_000},
		"full of units":    {lane{bytes: 1, units: 2 * unitsTarget}, 8_000_000, 9_000_000},
		"units win":        {lane{bytes: bytesTarget / 2, units: unitsTarget * 3 / 2}, 8_000_000, 8_500_000},
		"bytes win":        {lane{bytes: bytesTarget * 3 / 2, units: unitsTarget / 2}, 8_000_000, 8_500_000},
		"down to floor":    {lane{}, 100_001, 100_000},
		"up from small":    {lane{bytes: 2 * bytesTarget}, 100_001, 112_502}, // rounded up: it always moves
		"a bit above half": {lane{bytes: bytesTarget + 1}, 100_000, 100_001},
	} {
		s := &state{params: p}
		s.global.BaseFee = chain.Atto(c.fee)
		must(t, s.updateBaseFee(c.used))
		if s.global.BaseFee != chain.Atto(c.after) {
			t.Errorf("%s: %d becomes %s, want %d", name, c.fee, s.global.BaseFee, c.after)
		}
	}
}

// TestLanes: ordinary messages fill their half of a block and no more; the one
// that does not fit has no effect.
func TestLanes(t *testing.T) {
	p := testParams()
	p.MaxMessageBytes, p.MaxBlockBytes = 1<<10, 4<<10
	n := newNetwork(t, p, fakeVerifier{}, []named{{"alice", chain.PDR(10)}})
	var messages [][]byte
	for i := range uint64(20) {
		messages = append(messages, n.message("alice", i, &chain.Transfer{To: addressOf(t, "bob"), Amount: chain.Atto(1)}))
	}
	fit := int(p.MaxBlockBytes-p.ProofLaneBytes()) / len(messages[0])
	before := n.global().BaseFee
	_, results := n.block(messages...)
	for i, r := range results {
		want := CodeOK
		if i == fit {
			want = CodeNoRoom
		} else if i > fit {
			want = CodeBadNonce // its predecessor did not make it
		}
		if r.Code != want {
			t.Errorf("message %d of %d bytes: %s, want %s", i, len(messages[0]), r.Code, want)
		}
	}
	if n.account("alice").Nonce != uint64(fit) {
		t.Errorf("alice's nonce is %d, want %d", n.account("alice").Nonce, fit)
	}
	if !before.Less(n.global().BaseFee) {
		t.Errorf("base fee did not rise after a full block: %s, then %s", before, n.global().BaseFee)
	}
}

func TestOversizeMessage(t *testing.T) {
	n := newNetwork(t, testParams(), fakeVerifier{}, []named{{"alice", chain.PDR(10)}})
	big := n.message("alice", 0, &chain.ProveCommit{Miner: 1000, Proof: make([]byte, n.params.MaxMessageBytes)})
	_, results := n.block(big, bytes.Repeat([]byte{0x80}, chain.MaxEncodedMessage+1))
	for i, r := range results {
		if r.Code != CodeMalformed {
			t.Errorf("message %d: %s %s", i, r.Code, r.Error)
		}
	}
}

// provingMiner makes miner 1000 of "alice" with one active sector and goes to
// the first height of its window. It returns the proof's message body.
func provingMiner(t testing.TB, n *network) *chain.SubmitWindowProof {
	t.Helper()
	alice := addressOf(t, "alice")
	_, results := n.block(n.message("alice", 0, &chain.CreateMiner{SealProof: n.params.SealProofs[0], Fund: chain.PDR(50),
		Keys: chain.Keys{Owner: alice, Worker: alice, Beneficiary: alice}}))
	ok(t, results)
	_, results = n.block(n.message("alice", 0, &chain.PreCommitSectors{Miner: 1000, Sectors: []chain.PreCommit{{
		Number: 1, CommR: [32]byte{1}, TicketHeight: 1, Expiration: n.height + 1000}}}))
	ok(t, results)
	n.advance(int(n.params.SeedDelay) + 1)
	_, results = n.block(n.message("alice", 0, &chain.ProveCommit{Miner: 1000, Number: 1, Proof: []byte("ok")}))
	ok(t, results)
	var m chain.Miner
	n.record(chain.MinerKey(1000), &m)
	deadline := uint64(slices.Index(m.Deadlines, 1))
	open, found := n.params.Schedule().Next(uint64(m.PeriodStart), deadline, uint64(n.height)+1)
	if !found {
		t.Fatalf("miner %+v has no deadline with a sector", m)
	}
	n.advanceTo(chain.Height(open.Open - 1))
	return &chain.SubmitWindowProof{Miner: 1000, Period: open.Period, Deadline: deadline, Proof: []byte("ok")}
}

func ok(t testing.TB, results []Result) {
	t.Helper()
	for i, r := range results {
		if r.Code != CodeOK {
			t.Fatalf("message %d: %s %s", i, r.Code, r.Error)
		}
	}
}

// TestWindowProofsAreNotReplayed: without a nonce, a proof counts once, and one
// that fails is charged once, whoever sends it again and whenever.
func TestWindowProofsAreNotReplayed(t *testing.T) {
	n := newNetwork(t, testParams(), fakeVerifier{}, []named{{"alice", chain.PDR(100)}, {"mallory", chain.PDR(1)}})
	proof := provingMiner(t, n)
	balance := func() chain.Amount {
		var m chain.Miner
		n.record(chain.MinerKey(1000), &m)
		return m.Balance
	}
	bad := *proof
	bad.Proof = []byte("no")
	failing := n.message("alice", 0, &bad)
	start := balance()
	_, results := n.block(failing, failing)
	if results[0].Code != CodeFailed || results[1].Code != CodeReplay {
		t.Fatalf("failing proof: %s, again: %s", results[0].Code, results[1].Code)
	}
	paid := balance()
	if want, err := start.Sub(results[0].Fee); err != nil || paid != want {
		t.Fatalf("miner had %s and has %s, the fee was %s", start, paid, results[0].Fee)
	}
	right, foreign := n.message("alice", 0, proof), n.message("mallory", 0, proof)
	early := *proof
	early.Period++
	_, results = n.block(failing, foreign, n.message("alice", 0, &early), right, right)
	for i, want := range []Code{CodeReplay, CodeBadSignature, CodeNotOpen, CodeOK, CodeReplay} {
		if results[i].Code != want {
			t.Errorf("message %d: %s %s, want %s", i, results[i].Code, results[i].Error, want)
		}
	}
	if want, err := paid.Sub(results[3].Fee); err != nil || balance() != want {
		t.Errorf("miner had %s and has %s, the fee was %s", paid, balance(), results[3].Fee)
	}
	after := balance()
	for range n.params.Window {
		_, results = n.block(failing, right)
		if results[0].Code == CodeOK || results[0].Code == CodeFailed || results[1].Code == CodeOK {
			t.Fatalf("height %d: %s and %s", n.height, results[0].Code, results[1].Code)
		}
	}
	if balance() != after {
		t.Errorf("old proofs cost the miner: it had %s and has %s", after, balance())
	}
	if left := n.view.keys(chain.TableReplay); len(left) != 0 {
		t.Errorf("%d replay keys outlive the window", len(left))
	}
}

// TestProofTries: a partition's proofs may fail ProofTries times in a window,
// each paid for; further ones, right or wrong, have no effect until the next
// window. A partition that is not there cannot fail at all.
func TestProofTries(t *testing.T) {
	n := newNetwork(t, testParams(), fakeVerifier{}, []named{{"alice", chain.PDR(100)}})
	proof := provingMiner(t, n)
	send := func(text string, partition uint64) Result {
		body := *proof
		body.Proof, body.Partition = []byte(text), partition
		_, results := n.block(n.message("alice", 0, &body))
		return results[0]
	}
	if r := send("ok", 1); r.Code != CodeMalformed {
		t.Errorf("a partition that is not there: %s %s", r.Code, r.Error)
	}
	for i := range n.params.ProofTries {
		if r := send(fmt.Sprintf("wrong %d", i), 0); r.Code != CodeFailed || r.Fee.IsZero() {
			t.Fatalf("wrong proof %d: %s %s", i, r.Code, r.Error)
		}
	}
	for _, text := range []string{"wrong again", "ok"} {
		if r := send(text, 0); r.Code != CodeReplay || !r.Fee.IsZero() {
			t.Errorf("%q after %d failures: %s %s", text, n.params.ProofTries, r.Code, r.Error)
		}
	}
	n.advance(int(n.params.Window))
	if left := n.view.keys(chain.TableReplay); len(left) != 0 {
		t.Errorf("%d replay records outlive the window", len(left))
	}
}

// TestProofPrice: a window proof costs the same whatever the base fee is.
func TestProofPrice(t *testing.T) {
	n := newNetwork(t, testParams(), fakeVerifier{}, []named{{"alice", chain.PDR(100)}})
	proof := provingMiner(t, n)
	raw := n.message("alice", 0, proof)
	g := n.global()
	g.BaseFee = chain.PDR(1)
	encoded, err := chain.Encode(&g)
	must(t, err)
	n.view.records[chain.GlobalKey()] = encoded
	_, results := n.block(raw, n.message("alice", 0, &chain.Transfer{To: addressOf(t, "alice"), Amount: chain.Atto(1)}))
	want, err := n.params.ProofFee.Mul(uint64(len(raw)) + results[0].Units)
	must(t, err)
	if results[0].Code != CodeOK || results[0].Fee != want {
		t.Errorf("proof: %s %s, fee %s, want %s", results[0].Code, results[0].Error, results[0].Fee, want)
	}
	if results[1].Code != CodeUnderfunded {
		t.Errorf("a transfer at a base fee of a coin a unit: %s", results[1].Code)
	}
}

// TestQueueCarriesOver: what is due beyond QueueItems is worked off in the
// next blocks, in order, nothing twice and nothing lost.
func TestQueueCarriesOver(t *testing.T) {
	p := testParams()
	p.QueueItems, p.KeyDelay = 3, 5
	n := newNetwork(t, p, fakeVerifier{}, []named{{"alice", chain.PDR(10)}, {"bob", chain.PDR(1)}})
	alice, bob := addressOf(t, "alice"), addressOf(t, "bob")
	keys := chain.Keys{Owner: alice, Worker: alice, Beneficiary: alice}
	var create, change [][]byte
	for i := range uint64(8) {
		create = append(create, n.message("alice", i, &chain.CreateMiner{Keys: keys, SealProof: p.SealProofs[0]}))
	}
	_, results := n.block(create...)
	ok(t, results)
	keys.Worker = bob
	for i := range uint64(8) {
		change = append(change, n.message("alice", i, &chain.UpdateMiner{Miner: 1000 + i, Keys: &keys}))
	}
	_, results = n.block(change...)
	ok(t, results)
	if events := n.advance(4); len(events) != 0 {
		t.Fatalf("keys acted before their time: %v", events)
	}
	next := chain.MinerID(1000)
	for _, want := range []int{3, 3, 2, 0} {
		events := n.advance(1)
		if len(events) != want {
			t.Errorf("height %d: %d items, want %d", n.height, len(events), want)
		}
		for _, e := range events {
			if e.Miner != next {
				t.Errorf("miner %d acts, it is the turn of %d", e.Miner, next)
			}
			next++
		}
	}
	if left := n.view.keys(chain.TableQueue); len(left) != 0 {
		t.Errorf("%d queue records are left", len(left))
	}
}
