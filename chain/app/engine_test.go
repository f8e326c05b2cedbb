package app

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/mempool"
	"github.com/perdure/perdure/chain/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testChain = "app-test-1"

// secretOf is account n's private key.
func secretOf(n byte) []byte { return bytes.Repeat([]byte{n + 1}, chain.PrivateKeySize) }

func addressOf(t testing.TB, n byte) chain.Address {
	t.Helper()
	a, err := chain.AddressOfKey(secretOf(n))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// member is one validator of the test's engine.
type member struct {
	app     *App
	store   *state.Store
	fs      *vfs.MemFS
	key     ed25519.PublicKey
	secret  []byte
	address []byte
}

// engine does what CometBFT does, with all validators in step and without
// time: proposals in turn, votes with extensions, blocks.
type engine struct {
	t       testing.TB
	params  *consensus.Params
	verify  consensus.Verifier
	genesis []byte
	members []*member
	height  int64
	votes   []abci.ExtendedVoteInfo
	// offences are what the next blocks carry evidence of.
	offences []abci.Misbehavior
	blocks   [][][]byte
	// engineParams are what the last block told CometBFT of its parameters.
	engineParams *cmtproto.ConsensusParams
}

// newEngine starts a chain of n validators and ten accounts with 1,000 PDR each.
func newEngine(t testing.TB, n int, tune ...func(*consensus.Params)) *engine {
	t.Helper()
	p := consensus.Devnet()
	p.ChainID = testChain
	for _, f := range tune {
		f(p)
	}
	g := &consensus.Genesis{Params: *p}
	for i := range byte(10) {
		g.Accounts = append(g.Accounts, consensus.GenesisAccount{
			Address: chain.FormatAddress(addressOf(t, i), chain.Testnet), Balance: chain.PDR(1000)})
	}
	e := &engine{t: t, params: p, verify: consensus.Direct{}}
	for i := range n {
		m := &member{fs: vfs.NewCrashableMem()}
		m.key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32)).Public().(ed25519.PublicKey)
		var err error
		if m.secret, err = consensus.BeaconSecret(bytes.Repeat([]byte{byte(i + 1)}, 48)); err != nil {
			t.Fatal(err)
		}
		beaconKey, err := consensus.BeaconPublicKey(m.secret)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := consensus.ProveBeaconKey(m.secret)
		if err != nil {
			t.Fatal(err)
		}
		m.address = consensus.ConsensusAddress(m.key)
		g.Validators = append(g.Validators, consensus.GenesisValidator{PubKey: m.key, BeaconKey: beaconKey, BeaconProof: proof,
			Power: 10, Reward: chain.FormatAddress(addressOf(t, byte(i)), chain.Testnet)})
		e.members = append(e.members, m)
	}
	var err error
	if e.genesis, err = g.JSON(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, m := range e.members {
			m.store.Close()
		}
	})
	for _, m := range e.members {
		e.open(m)
		r, err := m.app.InitChain(t.Context(), &abci.RequestInitChain{ChainId: testChain, AppStateBytes: e.genesis, InitialHeight: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Validators) != n {
			t.Fatalf("InitChain names %d validators, want %d", len(r.Validators), n)
		}
	}
	return e
}

// open opens a member's store and makes its application anew.
func (e *engine) open(m *member) {
	e.t.Helper()
	var err error
	if m.store, err = state.Open(state.Config{Dir: "state", Params: e.params, FS: m.fs, Cache: 1 << 20}); err != nil {
		e.t.Fatal(err)
	}
	m.app = New(Config{Store: m.store, Params: e.params, ConsensusKey: m.key, BeaconSecret: m.secret, Workers: 2,
		Mempool: mempool.DefaultLimits(), Verify: e.verify})
}

func (e *engine) time() time.Time { return time.Unix(1_800_000_000+e.height, 0) }

// propose lets the next height's proposer prepare a block.
func (e *engine) propose() [][]byte {
	e.t.Helper()
	m := e.proposer()
	r, err := m.app.PrepareProposal(e.t.Context(), &abci.RequestPrepareProposal{Height: e.height + 1, Time: e.time(),
		MaxTxBytes: int64(e.params.MaxBlockBytes) + 1024, ProposerAddress: m.address,
		LocalLastCommit: abci.ExtendedCommitInfo{Votes: e.votes}})
	if err != nil {
		e.t.Fatal(err)
	}
	return r.Txs
}

func (e *engine) proposer() *member { return e.members[int(e.height)%len(e.members)] }

// accepts asks a member about a proposal.
func (e *engine) accepts(m *member, txs [][]byte) bool {
	e.t.Helper()
	r, err := m.app.ProcessProposal(e.t.Context(), &abci.RequestProcessProposal{Height: e.height + 1, Time: e.time(),
		ProposerAddress: e.proposer().address, Misbehavior: e.offences, Txs: txs})
	if err != nil {
		e.t.Fatal(err)
	}
	return r.IsAccepted()
}

// block decides the next block out of what its proposer prepares.
func (e *engine) block() []*abci.ExecTxResult {
	e.t.Helper()
	txs := e.propose()
	for i, m := range e.members {
		if !e.accepts(m, txs) {
			e.t.Fatalf("height %d: validator %d rejects an honest proposal", e.height+1, i)
		}
	}
	e.vote()
	return e.decide(txs)
}

// vote extends the votes for the next height and has every member verify them.
func (e *engine) vote() {
	e.t.Helper()
	var votes []abci.ExtendedVoteInfo
	for _, m := range e.members {
		r, err := m.app.ExtendVote(e.t.Context(), &abci.RequestExtendVote{Height: e.height + 1})
		if err != nil {
			e.t.Fatal(err)
		}
		for _, o := range e.members {
			if e.verifies(o, m, r.VoteExtension) != true {
				e.t.Fatalf("height %d: an honest extension is refused", e.height+1)
			}
		}
		votes = append(votes, abci.ExtendedVoteInfo{Validator: abci.Validator{Address: m.address, Power: 10},
			VoteExtension: r.VoteExtension})
	}
	e.votes = votes
}

func (e *engine) verifies(by, of *member, extension []byte) bool {
	e.t.Helper()
	r, err := by.app.VerifyVoteExtension(e.t.Context(), &abci.RequestVerifyVoteExtension{Height: e.height + 1,
		ValidatorAddress: of.address, VoteExtension: extension})
	if err != nil {
		e.t.Fatal(err)
	}
	return r.IsAccepted()
}

// decide finalizes and commits a block on all members, checks that they agree,
// and that a run that verifies everything on the spot agrees with them.
func (e *engine) decide(txs [][]byte) []*abci.ExecTxResult {
	e.t.Helper()
	b := blockOf(e.height+1, e.time(), e.proposer().address, e.offences, txs)
	direct, _, err := consensus.Apply(e.params, e.members[0].store.View(), e.verify, b)
	if err != nil {
		e.t.Fatal(err)
	}
	want, err := direct.Hash()
	if err != nil {
		e.t.Fatal(err)
	}
	var first *abci.ResponseFinalizeBlock
	for i, m := range e.members {
		r := e.finalize(m, txs)
		if first == nil {
			first = r
		}
		if !bytes.Equal(r.AppHash, first.AppHash) {
			e.t.Fatalf("height %d: app hash of validator %d differs", e.height+1, i)
		}
		if _, err := m.app.Commit(e.t.Context(), &abci.RequestCommit{}); err != nil {
			e.t.Fatal(err)
		}
		if m.store.View().UpdateHash() != want {
			e.t.Fatalf("height %d: the memo changes the result", e.height+1)
		}
	}
	e.height++
	e.blocks = append(e.blocks, txs)
	e.engineParams = first.ConsensusParamUpdates
	return first.TxResults
}

func (e *engine) finalize(m *member, txs [][]byte) *abci.ResponseFinalizeBlock {
	e.t.Helper()
	r, err := m.app.FinalizeBlock(e.t.Context(), &abci.RequestFinalizeBlock{Height: e.height + 1, Time: e.time(),
		ProposerAddress: e.proposer().address, Misbehavior: e.offences, Txs: txs})
	if err != nil {
		e.t.Fatal(err)
	}
	if len(r.TxResults) != len(txs) {
		e.t.Fatalf("%d results for %d transactions", len(r.TxResults), len(txs))
	}
	return r
}

// transfer signs a transfer of atto from one account to another.
func (e *engine) transfer(from, to byte, nonce, atto uint64) []byte {
	e.t.Helper()
	return e.sign(from, chain.Message{Nonce: nonce, MaxFee: chain.PDR(1)},
		&chain.Transfer{To: addressOf(e.t, to), Amount: chain.Atto(atto)})
}

// sign makes the encoded message of an account.
func (e *engine) sign(from byte, m chain.Message, body chain.Body) []byte {
	e.t.Helper()
	var err error
	if m.Body, err = chain.Encode(body); err != nil {
		e.t.Fatal(err)
	}
	m.Version, m.From, m.Kind = chain.MessageVersion, addressOf(e.t, from), body.Kind()
	text, err := m.SignBytes(testChain)
	if err != nil {
		e.t.Fatal(err)
	}
	sig, err := chain.Sign(secretOf(from), text)
	if err != nil {
		e.t.Fatal(err)
	}
	raw, err := chain.Encode(&chain.SignedMessage{Message: m, Signature: sig})
	if err != nil {
		e.t.Fatal(err)
	}
	return raw
}

// submit hands a message to all members, as gossip would.
func (e *engine) submit(raw []byte) {
	e.t.Helper()
	for i, m := range e.members {
		r, err := m.app.InsertTx(e.t.Context(), &abci.RequestInsertTx{Tx: raw})
		if i == 0 {
			var c *abci.ResponseCheckTx
			if c, err = m.app.CheckTx(e.t.Context(), &abci.RequestCheckTx{Tx: raw}); err == nil && c.Code != 0 {
				e.t.Fatalf("CheckTx: code %d: %s", c.Code, c.Log)
			}
		}
		if err != nil || r.Code != 0 {
			e.t.Fatalf("InsertTx: %v, %v", r, err)
		}
	}
}

// account reads an account of the first member's newest state.
func (e *engine) account(n byte) chain.Account {
	e.t.Helper()
	r, err := e.members[0].app.Query(e.t.Context(), &abci.RequestQuery{Path: "/record/account", Data: addressOf(e.t, n).Bytes()})
	if err != nil || r.Code != 0 {
		e.t.Fatalf("query: %v, %v", r, err)
	}
	var a chain.Account
	if r.Value != nil {
		if err := chain.Decode(r.Value, &a); err != nil {
			e.t.Fatal(err)
		}
	}
	return a
}

// beacon reads a height's beacon.
func (e *engine) beacon(h int64) chain.Beacon {
	e.t.Helper()
	raw, err := e.members[0].store.View().Record(chain.Key{Table: chain.TableBeacon,
		ID: string(binary.BigEndian.AppendUint64(nil, uint64(h)))})
	if err != nil {
		e.t.Fatal(err)
	}
	var b chain.Beacon
	if err := chain.Decode(raw, &b); err != nil {
		e.t.Fatal(err)
	}
	return b
}
