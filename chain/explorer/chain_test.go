package explorer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cometbft/cometbft/types"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"
	"github.com/minio/sha256-simd"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/porep/piece"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// trusting checks signatures; proofs are right if they say "ok".
type trusting struct{}

func (trusting) Message(m *chain.SignedMessage, raw []byte, _ chain.Hash, chainID string) error {
	return m.Verify(raw, chainID)
}
func (trusting) Signature(sig *crypto.Signature, signer chain.Address, message []byte) error {
	return chain.VerifySignature(sig, signer, message)
}
func (trusting) SealProof(_ *consensus.SealCheck, proof []byte) error     { return said(proof) }
func (trusting) WindowProof(_ *consensus.WindowCheck, proof []byte) error { return said(proof) }
func (trusting) Beacon(_, _, _ []byte) error                              { return errors.New("nobody contributes") }

func said(proof []byte) error {
	if !bytes.Equal(proof, []byte("ok")) {
		return errors.New("challenge 0: not ok")
	}
	return nil
}

// network is a chain in memory, made block by block by the rules themselves.
// It is the Backend of the API under test.
type network struct {
	t      testing.TB
	params *consensus.Params
	store  *state.Store

	mu      sync.Mutex
	blocks  map[chain.Height][][]byte
	pool    [][]byte
	refuse  error
	syncing bool
	headers []*types.LightBlock // from height 1

	genesis *consensus.Genesis
	blocked func() // called after each block; nil: it is not
	pace    uint64 // seconds between blocks
}

func seed(name string) []byte {
	h := sha256.Sum256([]byte("explorer test " + name))
	return h[:]
}

func addressOf(t testing.TB, name string) chain.Address {
	t.Helper()
	a, err := chain.AddressOfKey(seed(name))
	must(t, err)
	return a
}

func newNetwork(t testing.TB, change ...func(*consensus.Params)) *network {
	t.Helper()
	p := consensus.Devnet()
	p.ChainID, p.CollateralSpan = "explorer-test", 0
	for _, f := range change {
		f(p)
	}
	n := &network{t: t, params: p, pace: 1, blocks: map[chain.Height][][]byte{}}
	g := &consensus.Genesis{Params: *p}
	for _, name := range []string{"val", "client", "owner", "worker"} {
		g.Accounts = append(g.Accounts, consensus.GenesisAccount{Address: chain.FormatAddress(addressOf(t, name), p.Network), Balance: chain.PDR(10_000)})
	}
	g.Validators = []consensus.GenesisValidator{{PubKey: seed("val"), Power: 10, Reward: g.Accounts[0].Address}}
	n.genesis = g
	u, err := consensus.GenesisUpdate(g)
	must(t, err)
	n.store, err = state.Open(state.Config{Dir: "state", Params: p, FS: vfs.NewMem(), Cache: 1 << 20})
	must(t, err)
	t.Cleanup(func() { must(t, n.store.Close()) })
	_, err = n.store.Genesis(u)
	must(t, err)
	return n
}

// The network as a Backend.
func (n *network) Params() *consensus.Params {
	p, err := consensus.ParamsOf(n.params, n.store.View())
	if err != nil {
		panic(err) // requests of a fuzz target may not use the test that made the network
	}
	return p
}

func (n *network) Store() *state.Store { return n.store }
func (n *network) Peers() int          { return 3 }

func (n *network) Synced() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.syncing
}

func (n *network) Messages(_ context.Context, h chain.Height) ([][]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.blocks[h], nil
}

// Votes lets the only validator miss every fifth block.
func (n *network) Votes(_ context.Context, h chain.Height) (*index.Commit, error) {
	if h%5 == 0 {
		return &index.Commit{Round: 1, Nil: [][]byte{consensus.ConsensusAddress(seed("val"))}}, nil
	}
	return &index.Commit{For: [][]byte{consensus.ConsensusAddress(seed("val"))}}, nil
}

func (n *network) Submit(_ context.Context, raw []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pool = append(n.pool, raw)
	return n.refuse
}

// block makes one block and commits it.
func (n *network) block(messages ...[]byte) *consensus.Update {
	n.t.Helper()
	v := n.store.View()
	h := v.Height() + 1
	b := &consensus.Block{Height: h, Time: 1_700_000_000 + uint64(h)*n.pace, Messages: messages}
	sum := sha256.Sum256(seed("val"))
	b.Proposer = sum[:20]
	u, _, err := consensus.Apply(n.params, v, trusting{}, b)
	must(n.t, err)
	n.mu.Lock()
	if messages == nil {
		messages = [][]byte{}
	}
	n.blocks[h] = messages
	n.mu.Unlock()
	_, err = n.store.Stage(u)
	must(n.t, err)
	must(n.t, n.store.Commit())
	if n.blocked != nil {
		n.blocked()
	}
	return u
}

// all makes a block whose messages must succeed.
func (n *network) all(messages ...[]byte) {
	n.t.Helper()
	u := n.block(messages...)
	for i, r := range u.Receipts {
		if r.Code != 0 {
			n.t.Fatalf("height %d: message %d (%s): %s", u.Height, i, r.Kind, r.Error)
		}
	}
}

func (n *network) load(k chain.Key, v chain.CBOR) {
	n.t.Helper()
	raw, err := n.store.View().Record(k)
	must(n.t, err)
	must(n.t, chain.Decode(raw, v))
}

// message signs a body with the account's next nonce, plus ahead.
func (n *network) message(from string, ahead uint64, body chain.Body) []byte {
	n.t.Helper()
	m := chain.Message{Version: chain.MessageVersion, From: addressOf(n.t, from), MaxFee: chain.PDR(1000), Kind: body.Kind()}
	if m.Kind != chain.KindSubmitWindowProof {
		var acc chain.Account
		n.load(chain.AccountKey(m.From), &acc)
		m.Nonce = acc.Nonce + ahead
	}
	var err error
	m.Body, err = chain.Encode(body)
	must(n.t, err)
	b, err := m.SignBytes(n.params.ChainID)
	must(n.t, err)
	sig, err := chain.Sign(seed(from), b)
	must(n.t, err)
	raw, err := chain.Encode(&chain.SignedMessage{Message: m, Signature: sig})
	must(n.t, err)
	return raw
}

const testMiner = chain.FirstMinerID

// commitment is a field element.
func commitment(name string) (c [32]byte) {
	copy(c[:31], seed(name))
	return c
}

var pieceCID = piece.UnsealedCID(commitment("piece"))

func rootCID(t testing.TB) cid.Cid {
	t.Helper()
	h, err := multihash.Encode(seed("root"), multihash.SHA2_256)
	must(t, err)
	return cid.NewCidV1(cid.DagProtobuf, h)
}

func (n *network) bid(price uint64) *chain.PlaceBid {
	return &chain.PlaceBid{Terms: chain.BidTerms{PieceCID: pieceCID, PaddedSize: 1 << 10, PayloadRoot: rootCID(n.t), Parts: 1,
		Duration: 60, MaxPrice: chain.PDR(price), Copies: 1, Expiry: n.store.View().Height() + 100, ClientPeer: []byte("client peer")}}
}

func (n *network) ask(price uint64) *chain.PlaceAsk {
	return &chain.PlaceAsk{Terms: chain.AskTerms{Miner: testMiner, Price: chain.PDR(price), Capacity: 4 << 10, MinPiece: 128, MaxPiece: 2 << 10,
		MinDuration: 60, MaxDuration: 600, Collateral: chain.PDR(1), Expiry: n.store.View().Height() + 1000}}
}

// populate makes one of everything: a miner, orders live and over, a deal in a
// proven sector, a sector that waits, channels open and collected, messages
// that succeed, fail and have no effect.
func (n *network) populate() {
	addr, err := multiaddr.NewMultiaddr("/ip4/127.0.0.1/tcp/4001")
	must(n.t, err)
	owner, worker := addressOf(n.t, "owner"), addressOf(n.t, "worker")
	n.all(n.message("owner", 0, &chain.CreateMiner{SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, Fund: chain.PDR(1000),
		Keys: chain.Keys{Owner: owner, Worker: worker, Beneficiary: owner}, Peer: chain.Peer{ID: []byte("miner peer"), Addrs: [][]byte{addr.Bytes()}}}))
	n.all(n.message("worker", 0, n.ask(2)), n.message("client", 0, n.bid(2)), n.message("client", 1, n.bid(1)),
		n.message("client", 2, n.bid(1)))
	for range n.params.MatchDelay + 1 {
		n.block()
	}
	n.all(n.message("worker", 0, &chain.AcceptData{Miner: testMiner, Deals: []uint64{1}}),
		n.message("client", 0, &chain.CancelOrder{Order: 3}))
	n.precommit(7, chain.SectorPiece{PieceCID: pieceCID, PaddedSize: 1 << 10, Deal: 1})
	for range n.params.SeedDelay {
		n.block()
	}
	n.all(n.message("worker", 0, &chain.ProveCommit{Miner: testMiner, Number: 7, Proof: []byte("ok")}))
	n.precommit(8)
	n.prove(7)
	n.channels()
	bad := n.message("client", 5, &chain.Transfer{To: owner, Amount: chain.PDR(1)})
	n.block(n.message("client", 0, &chain.Transfer{To: owner, Amount: chain.PDR(100_000)}), bad, []byte("no message"))
	n.block()
}

func (n *network) precommit(number uint64, pieces ...chain.SectorPiece) {
	n.t.Helper()
	h := n.store.View().Height()
	n.all(n.message("worker", 0, &chain.PreCommitSectors{Miner: testMiner, Sectors: []chain.PreCommit{{Number: number,
		CommR: commitment("commr"), TicketHeight: h, Expiration: n.params.LeastExpiration(h+1) + 1000, Pieces: pieces}}}))
}

// prove waits for the sector's window and proves it.
func (n *network) prove(number uint64) {
	n.t.Helper()
	var m chain.Miner
	var s chain.Sector
	n.load(chain.MinerKey(testMiner), &m)
	n.load(chain.SectorKey(testMiner, number), &s)
	for {
		at, ok := n.params.Schedule().At(uint64(m.PeriodStart), uint64(n.store.View().Height())+1)
		if ok && at.Index == s.Deadline {
			n.all(n.message("worker", 0, &chain.SubmitWindowProof{Miner: testMiner, Period: at.Period, Deadline: at.Index,
				Partition: s.Partition, Proof: []byte("ok")}))
			return
		}
		n.block()
	}
}

// channels opens two channels, redeems a voucher of the first, and settles and
// collects the second.
func (n *network) channels() {
	n.t.Helper()
	worker := addressOf(n.t, "worker")
	n.all(n.message("client", 0, &chain.OpenChannel{Payee: worker, Amount: chain.PDR(5)}),
		n.message("client", 1, &chain.OpenChannel{Payee: worker, Amount: chain.PDR(6)}))
	ticks, err := payment.NewTicks([32]byte(seed("ticks")), 100)
	must(n.t, err)
	v := chain.Voucher{Version: chain.MessageVersion, ChainID: n.params.ChainID, Channel: 1, Nonce: 1, Anchor: ticks.Anchor(),
		TickPrice: chain.Atto(7), MaxTicks: 100, ChunkSize: 262_144, ExpiresAt: n.store.View().Height() + 100}
	b, err := v.SignBytes()
	must(n.t, err)
	sig, err := chain.Sign(seed("client"), b)
	must(n.t, err)
	tick, err := ticks.Tick(3)
	must(n.t, err)
	n.all(n.message("worker", 0, &chain.RedeemVoucher{Voucher: chain.SignedVoucher{Voucher: v, Signature: sig}, Ticks: 3, Tick: tick}),
		n.message("client", 0, &chain.SettleChannel{Channel: 2}))
	for range n.params.SettleDelay + 1 {
		n.block()
	}
	n.all(n.message("client", 0, &chain.CollectChannel{Channel: 2}))
}

// hashes stand for those of an engine, which the network has none of.
type hashes struct{ n *network }

// HashOf implements Hashes.
func (hashes) HashOf(h chain.Height) []byte {
	sum := chain.HashBytes(fmt.Appendf(nil, "block %d", h))
	return sum[:]
}

// Find implements Hashes.
func (f hashes) Find(hash []byte) (chain.Height, bool) {
	for h := chain.Height(1); h <= f.n.store.View().Height(); h++ {
		if bytes.Equal(f.HashOf(h), hash) {
			return h, true
		}
	}
	return 0, false
}

// serve starts the API over a network and waits until its index is at the tip.
func serve(t testing.TB, n *network, change ...func(*Config)) (*API, *httptest.Server) {
	t.Helper()
	x, err := index.Open(index.Config{Dir: "index", FS: vfs.NewMem(), ChainID: n.params.ChainID, Params: n.params})
	must(t, err)
	c := Config{Backend: n, Index: x, Hashes: hashes{n}, NodeID: "0badc0de", Listen: []string{"0badc0de@127.0.0.1:26656"},
		Version: "test", Registry: prometheus.NewRegistry(), Limits: Limits{PerSecond: 1e6, Burst: 1e6}}
	for _, f := range change {
		f(&c)
	}
	api, err := New(c)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Run(ctx) }()
	s := httptest.NewServer(api.Handler())
	t.Cleanup(func() {
		s.Client().CloseIdleConnections()
		s.Close()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
		must(t, api.Close())
	})
	for { // the index says how far it is; the test's deadline is the limit
		if _, h, ok := api.index.Tip(); ok && h == n.store.View().Height() {
			return api, s
		}
		select {
		case err := <-done:
			t.Fatal(err)
		default:
			runtime.Gosched()
		}
	}
}

// get asks the handler directly.
func get(t testing.TB, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// paths asks every GET operation at least once.
func paths(n *network) []string {
	root := rootCID(n.t)
	client, worker := chain.FormatAddress(addressOf(n.t, "client"), n.params.Network), chain.FormatAddress(addressOf(n.t, "worker"), n.params.Network)
	hash := chain.HashBytes(n.blocks[1][0]).String()
	return []string{"/v1/status", "/v1/stats", "/v1/series", "/v1/series?name=power,fees,price,trades&interval=1m&limit=9", "/v1/params", "/v1/params/history",
		"/v1/proposals?state=all", "/v1/blocks/2/votes", "/v1/fees", "/v1/rewards", "/v1/rewards?address=t01000&limit=1", "/v1/faults", "/v1/accounts", "/v1/accounts?limit=1",
		"/v1/accounts/" + client + "/balances", "/v1/accounts/t01000/balances?limit=2", "/v1/miners/t01000/rewards", "/v1/miners/t01000/rewards?interval=1h&limit=5",
		"/v1/miners/t01000/faults", "/v1/miners/t01000/calendar", "/v1/miners/t01000/calendar?from=60&to=70", "/v1/validators?height=3", "/v1/validators/" + hexText(consensus.ConsensusAddress(seed("val"))),
		"/v1/supply", "/v1/proposals", "/v1/supply?height=3", "/v1/node/id", "/v1/index", "/v1/search?q=1", "/v1/search/suggest?q=t01", "/v1/blocks", "/v1/blocks/latest", "/v1/blocks/2",
		"/v1/blocks/2/messages", "/v1/blocks/2/messages?content=true", "/v1/blocks/2/events", "/v1/messages", "/v1/messages?content=true&sortDesc=false&limit=30", "/v1/messages?address=" + client, "/v1/messages?address=t01000",
		"/v1/messages/" + hash, "/v1/accounts/" + client, "/v1/miners", "/v1/miners/t01000", "/v1/miners/t01000/sectors",
		"/v1/miners/t01000/sectors?state=active", "/v1/miners/t01000/deadlines", "/v1/miners/t01000/deadlines?deadline=1",
		"/v1/sectors/t01000/7", "/v1/sectors", "/v1/sectors?state=active,faulty&miner=t01000", "/v1/blocks?minHeight=2&maxHeight=4&sortDesc=false", "/v1/orders?state=filled,cancelled", "/v1/sectors/t01000/8", "/v1/events", "/v1/events?kind=dealPaid", "/v1/events?kind=pledgeLocked&sortDesc=false", "/v1/accounts/" + client + "/events", "/v1/miners/t01000/events", "/v1/sectors/t01000/7/events", "/v1/sectors/t01000/7/proofs", "/v1/deals/1/events", "/v1/deals/1/proofs", "/v1/deals/1/payments", "/v1/orders/2/events", "/v1/channels/1/events", "/v1/deals", "/v1/deals?root=" + root.String(),
		"/v1/deals?root=" + cid.NewCidV0(root.Hash()).String() + "&state=active&miner=t01000&client=" + client, "/v1/deals/1",
		"/v1/orders", "/v1/orders?state=all", "/v1/orders?side=bid&owner=" + client, "/v1/orders?miner=t01000", "/v1/orders/1",
		"/v1/orders/2", "/v1/orders/3", "/v1/validators", "/v1/market/book", "/v1/market/book?depth=1", "/v1/market/trades",
		"/v1/market/asks", "/v1/market/asks?piece_size=1024&duration=100&collateral=0&max_price=1000000&region=eu,us&limit=3",
		"/v1/market/bids", "/v1/market/bids?price=1&state=new&limit=1",
		"/v1/market/ticker", "/v1/market/candles", "/v1/market/candles?interval=1w&limit=3", "/v1/market/candles?from=2020-01-01T00:00:00Z&interval=5m&to=1800000000",
		"/v1/market/prices", "/v1/market/prices?days=7",
		"/v1/channels?address=" + client, "/v1/channels?address=" + worker, "/v1/channels/1", "/v1/channels/2",
		"/v1/accounts/" + client + "?proof=true", "/v1/miners/t01000?proof=true", "/v1/sectors/t01000/7?proof=true", "/v1/deals/1?proof=true",
		"/v1/orders/1?proof=true", "/v1/channels/1?proof=true", "/v1/supply?proof=true", "/v1/params?proof=true", "/v1/deals/1?proof=true&height=60",
		"/v1/state/global/?proof=true", "/v1/state/deal/0000000000000001?proof=true", "/v1/state/deal/0000000000000001?height=3",
		"/v1/state/miner/00000000000003e8", "/v1/state/order/0000000000000001", "/v1/state/channel/0000000000000001",
		"/v1/state/sector/00000000000003e80000000000000007", "/health/livez", "/health/readyz", "/v1/openapi.yaml",
		"/v1/export/deals?from=1&to=90&format=csv"}
}
