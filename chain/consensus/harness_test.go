package consensus

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/filecoin-project/go-state-types/crypto"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// mapView is a committed state in memory.
type mapView struct {
	records map[chain.Key][]byte
	book    *orderbook.Book
}

func (v *mapView) Record(k chain.Key) ([]byte, error) { return v.records[k], nil }
func (v *mapView) Book() *orderbook.Book              { return v.book }

// after returns the state that an update leaves; v stays as it is.
func (v *mapView) after(u *Update) *mapView {
	next := &mapView{records: maps.Clone(v.records), book: v.book}
	if next.records == nil {
		next.records = map[chain.Key][]byte{}
	}
	next.take(u)
	return next
}

// take applies an update to v itself.
func (v *mapView) take(u *Update) {
	v.book = bookAfter(v.book, v.records, u)
	for _, c := range u.Changes {
		if c.Value == nil {
			delete(v.records, c.Key())
			continue
		}
		v.records[c.Key()] = c.Value
	}
}

// keys lists the keys of a table in order.
func (v *mapView) keys(t chain.Table) []chain.Key {
	var out []chain.Key
	for k := range v.records {
		if k.Table == t {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b chain.Key) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
	return out
}

// network is one chain under the test's hand.
type network struct {
	t      testing.TB
	params *Params
	view   *mapView
	verify Verifier // answers the first execution of a block
	height chain.Height
	secret map[string][]byte // beacon secrets by validator name
	vals   []string          // validators' names, in order
	newest []chain.Validator // the newest vote set before the last block
	guilty bool              // the last block brought evidence
	quiet  bool              // blocks are executed once, in place and unchecked: for large states to begin with
	minted chain.Amount      // by genesis
}

// testParams are devnet's. Nothing is issued and asks stake what they like,
// unless a test asks for it, so that a script shows the money of its messages alone.
func testParams() *Params {
	p := Devnet()
	p.ChainID = "perdure-test"
	p.IssuanceTotal, p.CollateralSpan = chain.Amount{}, 0
	p.FaultFee, p.SkipFee = chain.Atto(chain.AttoPerPDR/10), chain.Atto(chain.AttoPerPDR/20)
	return p
}

// named is an account's or validator's name and amount.
type named struct {
	name    string
	balance chain.Amount
}

// newNetwork starts a chain. Without validators there is one, "val", with a
// beacon key and 1000 PDR.
func newNetwork(t testing.TB, p *Params, verify Verifier, accounts []named, validators ...string) *network {
	t.Helper()
	n := &network{t: t, params: p, verify: verify, secret: map[string][]byte{}}
	if len(validators) == 0 {
		validators = []string{"val"}
	}
	n.vals = validators
	g := &Genesis{Params: *p}
	for _, v := range validators {
		secret, err := BeaconSecret(seed("beacon", v))
		must(t, err)
		key, err := BeaconPublicKey(secret)
		must(t, err)
		proof, err := ProveBeaconKey(secret)
		must(t, err)
		n.secret[v] = secret
		g.Validators = append(g.Validators, GenesisValidator{PubKey: consensusKeyOf(v).Public().(ed25519.PublicKey), BeaconKey: key, BeaconProof: proof,
			Power: 10, Reward: chain.FormatAddress(addressOf(t, v), p.Network)})
		if !slices.ContainsFunc(accounts, func(a named) bool { return a.name == v }) {
			accounts = append(accounts, named{v, chain.PDR(1000)})
		}
	}
	for _, a := range accounts {
		g.Accounts = append(g.Accounts, GenesisAccount{chain.FormatAddress(addressOf(t, a.name), p.Network), a.balance})
	}
	u, err := GenesisUpdate(g)
	must(t, err)
	n.view = new(mapView).after(u)
	n.minted = n.global().Supply.Minted
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seed is 32 bytes that a test's name stands for.
func seed(use, name string) []byte {
	h := sha256.Sum256([]byte("perdure/test/" + use + "/" + name))
	return h[:]
}

// keyOf is the private key of a named account.
func keyOf(name string) []byte { return seed("key", name) }

// addresses remembers what addressOf computed.
var addresses sync.Map

// addressOf is the address of a named account.
func addressOf(t testing.TB, name string) chain.Address {
	t.Helper()
	if a, ok := addresses.Load(name); ok {
		return a.(chain.Address)
	}
	a, err := chain.AddressOfKey(keyOf(name))
	must(t, err)
	addresses.Store(name, a)
	return a
}

// sign makes the encoded message of a named account.
func (n *network) sign(signer string, m chain.Message, body chain.Body) []byte {
	n.t.Helper()
	var err error
	m.Version, m.Kind = chain.MessageVersion, body.Kind()
	m.Body, err = chain.Encode(body)
	must(n.t, err)
	b, err := m.SignBytes(n.params.ChainID)
	must(n.t, err)
	sig, err := chain.Sign(keyOf(signer), b)
	must(n.t, err)
	raw, err := chain.Encode(&chain.SignedMessage{Message: m, Signature: sig})
	must(n.t, err)
	return raw
}

// message signs body with the account's next nonce (plus what of its messages
// stands before it in the block) and a fee limit that is no limit.
func (n *network) message(from string, ahead uint64, body chain.Body) []byte {
	n.t.Helper()
	m := chain.Message{From: addressOf(n.t, from), MaxFee: chain.PDR(1000)}
	if body.Kind() != chain.KindSubmitWindowProof {
		m.Nonce = n.account(from).Nonce + ahead
	}
	return n.sign(from, m, body)
}

// beaconMode says what the drawn contributor does.
type beaconMode string

const (
	beaconGiven  beaconMode = ""
	beaconAbsent beaconMode = "absent"
	beaconWrong  beaconMode = "wrong"
)

// contribution is what the contributor drawn for the next block sends.
func (n *network) contribution(mode beaconMode) []byte {
	h := n.height + 1
	var base chain.Beacon
	n.record(chain.BeaconKey(BeaconBase(h)), &base)
	voters := n.voters(n.height)
	i, ok := Contributor(voters, h, base.Value)
	switch {
	case !ok || mode == beaconAbsent:
		return nil
	case mode == beaconWrong:
		return bytes.Repeat([]byte{1}, BeaconSignatureSize)
	}
	message := BeaconMessage(n.params.ChainID, h, base.Value)
	if f, ok := n.verify.(interface {
		signBeacon(key, message []byte) []byte
	}); ok {
		return f.signBeacon(voters[i].BeaconKey, message)
	}
	sig, err := SignBeacon(n.secret[n.vals[i]], message)
	must(n.t, err)
	return sig
}

// voters are the members of the vote set of a height that the newest state knows.
func (n *network) voters(h chain.Height) []chain.Validator {
	n.t.Helper()
	voters, err := Voters(n.view, h)
	must(n.t, err)
	return voters
}

// proposerOf is the consensus address of a validator.
func proposerOf(name string) []byte {
	return ConsensusAddress(consensusKeyOf(name).Public().(ed25519.PublicKey))
}

// block executes one block, twice, commits it and checks all invariants.
func (n *network) block(messages ...[]byte) (*Update, []Result) {
	n.t.Helper()
	return n.blockWith(&Block{Beacon: n.contribution(beaconGiven), Messages: messages})
}

// blockWith is block with Height, Time and Proposer filled in where they are zero.
func (n *network) blockWith(b *Block) (*Update, []Result) {
	n.t.Helper()
	b.Height = n.height + 1
	b.Time = 1_700_000_000 + uint64(b.Height)
	if b.Proposer == nil {
		b.Proposer = proposerOf(n.vals[0])
	}
	if n.quiet {
		u, results, err := Apply(n.params, n.view, n.verify, b)
		must(n.t, err)
		n.view.take(u)
		n.height = b.Height
		return u, results
	}
	memo := &memoVerifier{answers: map[string]error{}, ask: n.verify}
	u, results, err := Apply(n.params, n.view, memo, b)
	must(n.t, err)
	memo.ask = nil // from here on only what was asked before, with the same arguments
	again, _, err := Apply(n.params, n.view, memo, b)
	must(n.t, err)
	sameUpdate(n.t, u, again)
	n.newest, n.guilty = n.newestVoters(), len(b.Evidence) != 0
	n.view, n.height = n.view.after(u), b.Height
	n.checkInvariants()
	return u, results
}

func sameUpdate(t testing.TB, a, b *Update) {
	t.Helper()
	x, err := chain.Encode(a)
	must(t, err)
	y, err := chain.Encode(b)
	must(t, err)
	if !bytes.Equal(x, y) {
		t.Fatalf("block %d: two executions differ", a.Height)
	}
	decoded := new(Update)
	must(t, chain.Decode(x, decoded))
}

// advance makes empty blocks and returns their events.
func (n *network) advance(blocks int) []Event {
	n.t.Helper()
	var events []Event
	for range blocks {
		u, _ := n.block()
		events = append(events, u.Events...)
	}
	return events
}

// advanceTo makes empty blocks until height h is committed.
func (n *network) advanceTo(h chain.Height) []Event {
	n.t.Helper()
	if h < n.height {
		n.t.Fatalf("height %d is over, the chain is at %d", h, n.height)
	}
	return n.advance(int(h - n.height))
}

// record decodes a committed record and reports whether there is one.
func (n *network) record(k chain.Key, v chain.CBOR) bool {
	n.t.Helper()
	b := n.view.records[k]
	if b == nil {
		return false
	}
	must(n.t, chain.Decode(b, v))
	return true
}

func (n *network) global() (g chain.Global) {
	n.t.Helper()
	n.record(chain.GlobalKey(), &g)
	return g
}

func (n *network) account(name string) (a chain.Account) {
	n.t.Helper()
	n.record(chain.AccountKey(addressOf(n.t, name)), &a)
	return a
}

// errUnasked is memoVerifier's answer to a question that the first execution did not ask.
var errUnasked = errors.New("the first execution of this block did not ask this")

// memoVerifier remembers answers by all arguments; without ask it gives only those.
type memoVerifier struct {
	answers map[string]error
	ask     Verifier
}

func (m *memoVerifier) memo(question string, ask func() error) error {
	if err, ok := m.answers[question]; ok {
		return err
	}
	if m.ask == nil {
		panic(errUnasked)
	}
	m.answers[question] = ask()
	return m.answers[question]
}

func (m *memoVerifier) Message(s *chain.SignedMessage, raw []byte, hash chain.Hash, chainID string) error {
	return m.memo(fmt.Sprintf("message %x %s", raw, chainID), func() error { return m.ask.Message(s, raw, hash, chainID) })
}

func (m *memoVerifier) Signature(sig *crypto.Signature, signer chain.Address, message []byte) error {
	return m.memo(fmt.Sprintf("signature %d %x %x %x", sig.Type, sig.Data, signer.Bytes(), message),
		func() error { return m.ask.Signature(sig, signer, message) })
}

func (m *memoVerifier) SealProof(c *SealCheck, proof []byte) error {
	return m.memo(fmt.Sprintf("seal %+v %x", *c, proof), func() error { return m.ask.SealProof(c, proof) })
}

func (m *memoVerifier) WindowProof(c *WindowCheck, proof []byte) error {
	return m.memo(fmt.Sprintf("window %+v %x", *c, proof), func() error { return m.ask.WindowProof(c, proof) })
}

func (m *memoVerifier) Beacon(key, message, signature []byte) error {
	return m.memo(fmt.Sprintf("beacon %x %x %x", key, message, signature),
		func() error { return m.ask.Beacon(key, message, signature) })
}

// fakeVerifier checks signatures of messages for real. Proofs are text: those
// that start with "ok" are right, others are refused with their own text.
// Beacon contributions are hashes, which are a thousand times cheaper.
type fakeVerifier struct{}

func (fakeVerifier) Message(m *chain.SignedMessage, raw []byte, _ chain.Hash, chainID string) error {
	return m.Verify(raw, chainID)
}

func (fakeVerifier) Signature(sig *crypto.Signature, signer chain.Address, message []byte) error {
	return chain.VerifySignature(sig, signer, message)
}

func (fakeVerifier) SealProof(_ *SealCheck, proof []byte) error     { return fakeProof(proof) }
func (fakeVerifier) WindowProof(_ *WindowCheck, proof []byte) error { return fakeProof(proof) }

func fakeProof(proof []byte) error {
	if bytes.HasPrefix(proof, []byte("ok")) {
		return nil
	}
	return fmt.Errorf("challenge 0: %s", proof)
}

func (fakeVerifier) signBeacon(key, message []byte) []byte {
	h := sha256.Sum256(slices.Concat(key, message))
	return bytes.Repeat(h[:], 3)
}

func (f fakeVerifier) Beacon(key, message, signature []byte) error {
	if !bytes.Equal(signature, f.signBeacon(key, message)) {
		return ErrBeaconSignature
	}
	return nil
}
