package app

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state"
)

// The state that the benchmarks below stand on, besides sectors and deals.
const (
	scaleMinerSectors = 320        // of one miner: ten partitions
	scaleAccounts     = 200        // the first half sends, the other receives
	scaleChunk        = 50_000     // sectors and deals written by one Update
	scaleDue          = 10_000_000 // height from which anything is due
)

// scaleSizes are the numbers of sectors and of deals: 1,000 and 100,000, and
// what PERDURE_BENCH_STATE says, separated by commas.
func scaleSizes(b *testing.B) []uint64 {
	sizes := []uint64{1_000, 100_000}
	for _, text := range strings.Split(os.Getenv("PERDURE_BENCH_STATE"), ",") {
		if text == "" {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			b.Fatalf("PERDURE_BENCH_STATE: %v", err)
		}
		sizes = append(sizes, n)
	}
	return sizes
}

// scaled is an application over a state of many sectors and deals of which
// nothing is due.
type scaled struct {
	b       *testing.B
	params  *consensus.Params
	store   *state.Store
	app     *App
	height  int64
	nonce   uint64
	sectors uint64
}

// scaleKey is the private key of an account.
func scaleKey(i uint64) []byte {
	d := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("scale"), i))
	return d[:]
}

func scaleAddress(b *testing.B, i uint64) chain.Address {
	b.Helper()
	a, err := chain.AddressOfKey(scaleKey(i))
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// newScaled makes the chain and writes its state past the rules.
func newScaled(b *testing.B, sectors uint64) *scaled {
	b.Helper()
	s := &scaled{b: b, params: consensus.Devnet(), sectors: sectors}
	s.params.ChainID = testChain
	g := &consensus.Genesis{Params: *s.params}
	for i := range uint64(scaleAccounts) {
		g.Accounts = append(g.Accounts, consensus.GenesisAccount{
			Address: chain.FormatAddress(scaleAddress(b, i), chain.Testnet), Balance: chain.PDR(1000)})
	}
	g.Validators = []consensus.GenesisValidator{{PubKey: scaleKey(0), Power: 10, Reward: g.Accounts[0].Address}}
	genesis, err := g.JSON()
	s.must(err)
	s.store, err = state.Open(state.Config{Dir: b.TempDir(), Params: s.params})
	s.must(err)
	b.Cleanup(func() { s.must(s.store.Close()) })
	s.app = New(Config{Store: s.store, Params: s.params})
	_, err = s.app.InitChain(b.Context(), &abci.RequestInitChain{ChainId: testChain, AppStateBytes: genesis, InitialHeight: 1})
	s.must(err)
	for from := uint64(0); from < sectors; from += scaleChunk {
		s.write(from, min(from+scaleChunk, sectors))
	}
	s.finalize(nil) // works off the empty queues up to here
	return s
}

func (s *scaled) must(err error) {
	if err != nil {
		s.b.Helper()
		s.b.Fatal(err)
	}
}

// write commits the records of sectors and deals as one height's.
func (s *scaled) write(from, to uint64) {
	s.b.Helper()
	s.height++
	var changes []consensus.Change
	set := func(k chain.Key, v chain.CBOR) {
		raw, err := chain.Encode(v)
		s.must(err)
		changes = append(changes, consensus.Change{Table: k.Table, ID: []byte(k.ID), Value: raw})
	}
	global, err := s.store.View().Global()
	s.must(err)
	global.NextDeal, global.NextMiner = to+1, chain.FirstMinerID+(to+scaleMinerSectors-1)/scaleMinerSectors
	for i := from; i < to; i++ {
		s.writeSector(i, set)
	}
	s.commit(global, changes)
}

// commit writes a state of the next height past the rules.
func (s *scaled) commit(global *chain.Global, changes []consensus.Change) {
	s.b.Helper()
	set := func(k chain.Key, v chain.CBOR) {
		raw, err := chain.Encode(v)
		s.must(err)
		changes = append(changes, consensus.Change{Table: k.Table, ID: []byte(k.ID), Value: raw})
	}
	global.Height = chain.Height(s.height)
	set(chain.GlobalKey(), global)
	set(chain.BeaconKey(global.Height), &chain.Beacon{Value: sha256.Sum256([]byte{byte(s.height)})})
	slices.SortFunc(changes, func(a, b consensus.Change) int {
		if a.Key().Less(b.Key()) {
			return -1
		}
		return 1
	})
	u := &consensus.Update{Version: consensus.UpdateVersion, Height: global.Height, Changes: changes}
	_, err := s.store.Stage(u)
	s.must(err)
	s.must(s.store.Commit())
}

// writeSector writes sector i, its deal, what is due at their ends, and its
// miner and partition if it is their first.
func (s *scaled) writeSector(i uint64, set func(chain.Key, chain.CBOR)) {
	commitment := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
	digest, err := multihash.Encode(commitment[:], multihash.SHA2_256)
	s.must(err)
	content := cid.NewCidV1(cid.Raw, digest)
	proof := s.params.SealProofs[0]
	id, number := chain.FirstMinerID+i/scaleMinerSectors, i%scaleMinerSectors
	deadline, slot := number/chain.PartitionSectors%s.params.Deadlines, number%chain.PartitionSectors
	partition := number / chain.PartitionSectors / s.params.Deadlines
	due := chain.Height(scaleDue + i/8)
	owner := scaleAddress(s.b, i%scaleAccounts)
	if number == 0 {
		set(chain.MinerKey(id), &chain.Miner{ID: id, Keys: chain.Keys{Owner: owner, Worker: owner, Beneficiary: owner}, SealProof: proof,
			Balance: chain.PDR(10), Pledge: chain.PDR(10), Sectors: scaleMinerSectors, Power: 2 << 10 * scaleMinerSectors,
			Deadlines: []uint64{128, 96, 96}, Partitions: []uint64{4, 3, 3}, PeriodStart: scaleDue})
	}
	if slot == 0 {
		part := &chain.Partition{Live: 1<<chain.PartitionSectors - 1, Closes: scaleDue}
		for j := range uint64(chain.PartitionSectors) {
			part.Sectors = append(part.Sectors, number+j)
		}
		set(chain.PartitionKey(id, deadline, partition), part)
	}
	set(chain.SectorKey(id, number), &chain.Sector{Miner: id, Number: number, State: chain.SectorActive, SealProof: proof,
		CommR: commitment, CommD: commitment, Ticket: commitment, Pieces: []chain.SectorPiece{{PieceCID: content, PaddedSize: 2 << 10, Deal: i + 1}},
		Pledge: chain.PDR(1), Activated: 1, Expiration: due, Deadline: deadline, Partition: partition, Slot: slot})
	set(chain.DealKey(i+1), &chain.Deal{ID: i + 1, Bid: 2*i + 1, Ask: 2*i + 2, State: chain.DealActive, Client: owner, ClientPeer: make([]byte, 38),
		Miner: id, PieceCID: content, PaddedSize: 2 << 10, PayloadRoot: content, Parts: 1, Duration: scaleDue, Price: chain.Atto(1),
		Total: chain.Atto(20), Unspent: chain.Atto(20), Collateral: chain.Atto(20), Committed: true, Sector: number, Activated: 1, End: due})
	for queue, item := range map[chain.Queue]*chain.QueueItem{
		chain.QueueSectorExpire: {Owner: id, ID: number}, chain.QueueDealEnd: {ID: i + 1}} {
		set(chain.QueueKey(queue, due, 1+i%8), item)
		if i%8 == 0 {
			set(chain.QueueKey(queue, due, 0), &chain.QueueHead{Count: min(8, s.sectors-i)})
		}
	}
}

// transfers are so many messages for the next block, one of each account that sends.
func (s *scaled) transfers(n uint64) [][]byte {
	s.b.Helper()
	return s.messages(n, func(i uint64) chain.Body {
		return &chain.Transfer{To: scaleAddress(s.b, scaleAccounts/2+(i*7+s.nonce)%(scaleAccounts/2)), Amount: chain.Atto(1)}
	})
}

// messages are so many messages for the next block, one of each account that sends.
func (s *scaled) messages(n uint64, of func(i uint64) chain.Body) [][]byte {
	s.b.Helper()
	var txs [][]byte
	for i := range n {
		b := of(i)
		body, err := chain.Encode(b)
		s.must(err)
		m := chain.Message{Version: chain.MessageVersion, From: scaleAddress(s.b, i), Nonce: s.nonce, MaxFee: chain.PDR(1),
			Kind: b.Kind(), Body: body}
		text, err := m.SignBytes(testChain)
		s.must(err)
		signature, err := chain.Sign(scaleKey(i), text)
		s.must(err)
		raw, err := chain.Encode(&chain.SignedMessage{Message: m, Signature: signature})
		s.must(err)
		txs = append(txs, raw)
	}
	if n > 0 {
		s.nonce++
	}
	return txs
}

// finalize executes and commits the next block and returns how long executing took.
func (s *scaled) finalize(txs [][]byte) time.Duration {
	s.b.Helper()
	s.height++
	began := time.Now()
	r, err := s.app.FinalizeBlock(s.b.Context(), &abci.RequestFinalizeBlock{Height: s.height, Time: time.Unix(s.height, 0),
		ProposerAddress: consensus.ConsensusAddress(scaleKey(0)), Txs: txs})
	took := time.Since(began)
	s.must(err)
	for i, x := range r.TxResults {
		if x.Code != 0 {
			s.b.Fatalf("height %d: message %d: %s", s.height, i, x.Log)
		}
	}
	_, err = s.app.Commit(s.b.Context(), &abci.RequestCommit{})
	s.must(err)
	return took
}

// BenchmarkStateSize executes and commits blocks with no message, and with 100
// transfers, over states of 1,000 and 100,000 sectors and as many deals, of which
// nothing is due: work that a block does must not grow with the state. "execute-ns"
// is FinalizeBlock alone (the Update, the tree, the app hash), of the fastest tenth of
// the blocks, which what else the machine does disturbs least; "times" compares it
// with the smallest state's. PERDURE_BENCH_STATE=1000000 adds a larger state.
func BenchmarkStateSize(b *testing.B) {
	whole, smallest := b, map[uint64]float64{} // by messages
	for _, sectors := range scaleSizes(b) {
		var s *scaled // made once for both, as soon as one of them is run
		for _, messages := range []uint64{0, scaleAccounts / 2} {
			b.Run(fmt.Sprintf("sectors=%d/transfers=%d", sectors, messages), func(b *testing.B) {
				if s == nil {
					s = newScaled(whole, sectors)
				}
				s.b = b
				var took []time.Duration
				for b.Loop() {
					b.StopTimer()
					txs := s.transfers(messages)
					b.StartTimer()
					took = append(took, s.finalize(txs))
				}
				slices.Sort(took)
				fast := float64(took[len(took)/10])
				if smallest[messages] == 0 {
					smallest[messages] = fast
				}
				b.ReportMetric(fast, "execute-ns")
				b.ReportMetric(fast/smallest[messages], "times")
			})
		}
	}
}
