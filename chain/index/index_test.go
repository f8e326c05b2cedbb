package index

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state"
)

// fatalEnv marks the child process that TestFullDisk runs in: a database that
// stopped cannot be closed.
const fatalEnv = "PERDURE_TEST_FATAL"

func TestMain(m *testing.M) {
	if os.Getenv(fatalEnv) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world makes random blocks in a store: sectors, orders, deals and channels
// come, change and go, messages succeed and fail. It keeps what the index
// should know, in slow and obvious form.
type world struct {
	t      testing.TB
	r      *rand.Rand
	store  *state.Store
	mu     sync.Mutex // of blocks, which an index reads while it follows
	blocks map[chain.Height][][]byte

	deals, live, channels map[uint64][]byte // records
	dead                  []uint64          // orders
	next                  uint64
	sent                  map[chain.Hash]Place // messages with an effect
}

const (
	roots   = 3
	clients = 3
	miners  = 2
)

func rootOf(i uint64) cid.Cid {
	h, _ := multihash.Sum(binary.BigEndian.AppendUint64(nil, i), multihash.SHA2_256, -1)
	return cid.NewCidV1(cid.Raw, h)
}

func clientOf(t testing.TB, i uint64) chain.Address {
	t.Helper()
	a, err := chain.AddressOfKey(bytes.Repeat([]byte{byte(i + 1)}, chain.PrivateKeySize))
	must(t, err)
	return a
}

func newWorld(t testing.TB, retention uint64) *world {
	t.Helper()
	p := consensus.Devnet()
	p.ChainID, p.StateRetention = "index-test", retention
	w := &world{t: t, r: rand.New(rand.NewPCG(1, 2)), blocks: map[chain.Height][][]byte{}, deals: map[uint64][]byte{},
		live: map[uint64][]byte{}, channels: map[uint64][]byte{}, next: 1, sent: map[chain.Hash]Place{}}
	var err error
	w.store, err = state.Open(state.Config{Dir: "state", Params: p, FS: vfs.NewMem(), Cache: 1 << 20})
	must(t, err)
	t.Cleanup(func() { must(t, w.store.Close()) })
	_, err = w.store.Genesis(w.update(0))
	must(t, err)
	return w
}

func (w *world) encode(v chain.CBOR) []byte {
	w.t.Helper()
	b, err := chain.Encode(v)
	must(w.t, err)
	return b
}

// update is an Update that holds only the Global record.
func (w *world) update(h chain.Height) *consensus.Update {
	return &consensus.Update{Version: consensus.UpdateVersion, Height: h, Time: uint64(h) + 1000, Changes: []consensus.Change{
		{Table: chain.TableGlobal, Value: w.encode(&chain.Global{RuleVersion: 1, Height: h})}}}
}

func writes(u *consensus.Update, k chain.Key, v []byte) {
	u.Changes = append(u.Changes, consensus.Change{Table: k.Table, ID: []byte(k.ID), Value: v})
}

// block makes and commits a block.
func (w *world) block() {
	w.t.Helper()
	h := w.store.View().Height() + 1
	u := w.update(h)
	pick := func(n uint64) uint64 { return w.r.Uint64N(n) }
	miner := chain.FirstMinerID + pick(miners)
	d := &chain.Deal{ID: w.next, Miner: miner, Client: clientOf(w.t, pick(clients)), PayloadRoot: rootOf(pick(roots)), PieceCID: rootOf(100 + pick(roots)),
		State: chain.DealMatched, Unspent: chain.Atto(7), Collateral: chain.Atto(3)}
	w.deals[d.ID] = w.encode(d)
	writes(u, chain.DealKey(d.ID), w.deals[d.ID])
	u.Events = append(u.Events, consensus.Event{Kind: consensus.EventDealMatched, Deal: d.ID, Miner: miner})
	o := &chain.Order{ID: w.next, Owner: clientOf(w.t, pick(clients)), Placed: h, State: chain.OrderWaiting, Ask: &chain.AskTerms{Miner: miner}}
	w.live[o.ID] = w.encode(o)
	writes(u, chain.OrderKey(o.ID), w.live[o.ID])
	if id := pick(w.next) + 1; w.live[id] != nil && id != o.ID {
		writes(u, chain.OrderKey(id), nil)
		u.Events = append(u.Events, consensus.Event{Kind: consensus.EventOrderCancelled, Order: id, Reason: "expired"})
		delete(w.live, id)
		w.dead = append(w.dead, id)
	}
	c := &chain.Channel{ID: w.next, Payer: clientOf(w.t, pick(clients)), Payee: clientOf(w.t, pick(clients)), Opened: h}
	w.channels[c.ID] = w.encode(c)
	writes(u, chain.ChannelKey(c.ID), w.channels[c.ID])
	sector := w.encode(&chain.Sector{Miner: miner, Number: w.next})
	writes(u, chain.SectorKey(miner, w.next), sector)
	w.next++
	w.lives(u)
	w.messages(u)
	slices.SortFunc(u.Changes, func(a, b consensus.Change) int {
		if a.Key().Less(b.Key()) {
			return -1
		}
		return 1
	})
	_, err := w.store.Stage(u)
	must(w.t, err)
	must(w.t, w.store.Commit())
}

// lives moves a deal on, proves and misses windows of a partition of each miner,
// and writes an account and a miner.
func (w *world) lives(u *consensus.Update) {
	if id := w.r.Uint64N(w.next) + 1; w.deals[id] != nil && id != w.next-1 {
		d := new(chain.Deal)
		must(w.t, chain.Decode(w.deals[id], d))
		if d.State = min(d.State+1, chain.DealCompleted); d.State == chain.DealCompleted {
			d.Unspent = chain.Amount{}
			u.Events = append(u.Events, consensus.Event{Kind: consensus.EventDealEnded, Deal: id, Miner: d.Miner, Reason: "completed"})
		}
		w.deals[id] = w.encode(d)
		writes(u, chain.DealKey(id), w.deals[id])
	}
	const window = 4
	p := chain.Partition{Sectors: []uint64{0, 1}, Live: 3, Closes: (u.Height/window + 1) * window}
	if old, err := w.store.View().Record(chain.PartitionKey(chain.FirstMinerID, 0, 0)); err == nil && old != nil {
		must(w.t, chain.Decode(old, &p))
	}
	if w.r.Uint64N(3) == 0 {
		p.ProvenThrough, p.Earning = u.Height, 1+w.r.Uint64N(3)
	}
	if u.Height == p.Closes {
		p.Closes += window
	}
	writes(u, chain.PartitionKey(chain.FirstMinerID, 0, 0), w.encode(&p))
	writes(u, chain.AccountKey(clientOf(w.t, 0)), w.encode(&chain.Account{Nonce: uint64(u.Height), Balance: chain.Atto(uint64(u.Height))}))
	writes(u, chain.MinerKey(chain.FirstMinerID), w.encode(&chain.Miner{ID: chain.FirstMinerID, Power: uint64(u.Height),
		Keys: chain.Keys{Owner: clientOf(w.t, uint64(u.Height)%clients), Worker: clientOf(w.t, 0), Beneficiary: clientOf(w.t, 0)}}))
}

// messages adds a transfer that succeeds, twice, so that the second has no
// effect, one that is not signed right, and bytes that are no message.
func (w *world) messages(u *consensus.Update) {
	from, to := clientOf(w.t, w.r.Uint64N(clients)), clientOf(w.t, w.r.Uint64N(clients))
	m := chain.SignedMessage{Message: chain.Message{Version: 1, From: from, Nonce: uint64(u.Height), Kind: chain.KindTransfer,
		Body: w.encode(&chain.Transfer{To: to, Amount: chain.Atto(1)})}}
	m.Signature.Type = 1
	m.Signature.Data = make([]byte, 65)
	good := w.encode(&m)
	m.Message.Nonce += 1000
	bad := w.encode(&m)
	raw := [][]byte{bad, good, good, []byte("none")}
	w.mu.Lock()
	w.blocks[u.Height] = raw
	w.mu.Unlock()
	for i, code := range []consensus.Code{consensus.CodeBadSignature, consensus.CodeOK, consensus.CodeBadNonce, consensus.CodeMalformed} {
		u.Receipts = append(u.Receipts, consensus.Receipt{Hash: chain.HashBytes(raw[i]), Code: uint64(code), Kind: chain.KindTransfer,
			Fee: chain.Atto(uint64(i)), Units: 10})
	}
	w.sent[chain.HashBytes(good)] = Place{u.Height, 1}
	u.Events = append(u.Events, consensus.Event{Kind: consensus.EventTransfer, Message: 2, From: from.Bytes(), To: to.Bytes(), Amount: chain.Atto(1)})
}

func (w *world) source() Source {
	return Source{Store: w.store, Messages: func(_ context.Context, h chain.Height) ([][]byte, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.blocks[h], nil
	}}
}

func open(t testing.TB, fs vfs.FS, chainID string) *Index {
	t.Helper()
	p := consensus.Devnet()
	p.Deadlines, p.Window = 1, 4
	x, err := Open(Config{Dir: "index", ChainID: chainID, Params: p, FS: fs})
	must(t, err)
	return x
}

// follow runs the index until it is at the store's tip.
func follow(t testing.TB, x *Index, src Source) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx, src) }()
	for {
		if _, h, ok := x.Tip(); ok && h == src.Store.View().Height() {
			break
		}
		select {
		case err := <-done:
			t.Fatal(err)
		default:
			runtime.Gosched()
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// look reads from a snapshot.
func look(t testing.TB, x *Index, read func(*Snapshot)) {
	t.Helper()
	s, err := x.Snapshot()
	must(t, err)
	read(s)
	must(t, s.Close())
}

// pages reads a list to its end by pages of two.
func pages(t testing.TB, upward bool, read func(p Page, take func(uint64)) (next []byte, err error)) []uint64 {
	t.Helper()
	var out []uint64
	p := Page{Limit: 2, Upward: upward}
	for {
		n := 0
		next, err := read(p, func(id uint64) {
			out = append(out, id)
			n++
		})
		must(t, err)
		if n > 2 {
			t.Fatalf("page of %d rows, limit 2", n)
		}
		if next == nil {
			return out
		}
		p.After = next
	}
}

// ids are the last numbers of the IDs of a list, the highest first, which is the
// same as upward in reverse.
func ids(t testing.TB, x *Index, l List) (out []uint64) {
	t.Helper()
	look(t, x, func(s *Snapshot) {
		read := func(p Page, take func(uint64)) ([]byte, error) {
			return s.Records(l, p, func(r *Record) (bool, error) {
				take(binary.BigEndian.Uint64([]byte(r.Key.ID[len(r.Key.ID)-8:])))
				return true, nil
			})
		}
		out = pages(t, false, read)
		up := pages(t, true, read)
		slices.Reverse(up)
		same(t, "list upward", up, out)
	})
	return out
}

// record is a record of the index, nil if it has none.
func record(t testing.TB, x *Index, k chain.Key) (r *Record) {
	t.Helper()
	look(t, x, func(s *Snapshot) {
		var err error
		r, err = s.Record(k)
		must(t, err)
	})
	return r
}

// compare holds the index against the world; history says from which height on
// it knows blocks.
func (w *world) compare(x *Index, history chain.Height) {
	t := w.t
	t.Helper()
	for i := range uint64(max(roots, clients, miners)) {
		client, miner := clientOf(t, i), chain.FirstMinerID+i
		for name, by := range map[string]struct {
			list DealFilter
			is   func(*chain.Deal) bool
		}{
			"root":   {DealFilter{Root: rootOf(i)}, func(d *chain.Deal) bool { return d.PayloadRoot == rootOf(i) }},
			"piece":  {DealFilter{Piece: rootOf(100 + i)}, func(d *chain.Deal) bool { return d.PieceCID == rootOf(100+i) }},
			"client": {DealFilter{Client: client}, func(d *chain.Deal) bool { return d.Client == client }},
			"miner":  {DealFilter{Miner: miner}, func(d *chain.Deal) bool { return d.Miner == miner }},
			"state":  {DealFilter{State: chain.DealState(i)}, func(d *chain.Deal) bool { return i == 0 || d.State == chain.DealState(i) }},
			"miner, client and root": {DealFilter{Miner: miner, Client: client, Root: rootOf(i)},
				func(d *chain.Deal) bool { return d.Miner == miner && d.Client == client && d.PayloadRoot == rootOf(i) }},
			"miner and state": {DealFilter{Miner: miner, State: chain.DealActive}, func(d *chain.Deal) bool { return d.Miner == miner && d.State == chain.DealActive }},
		} {
			same(t, fmt.Sprintf("deals by %s %d", name, i), ids(t, x, Deals(by.list)), descending(t, w.deals, by.is))
		}
		same(t, "channels", ids(t, x, Channels(ChannelFilter{Address: client})),
			descending(t, w.channels, func(c *chain.Channel) bool { return c.Payer == client || c.Payee == client }))
		var sectors []uint64
		must(t, w.store.View().ForEach(chain.TableSector, func(_ string, raw []byte) error {
			var s chain.Sector
			must(t, chain.Decode(raw, &s))
			if s.Miner == miner {
				sectors = append(sectors, s.Number)
			}
			return nil
		}))
		slices.Reverse(sectors)
		same(t, "sectors", ids(t, x, Sectors(SectorFilter{Miner: miner})), sectors)
	}
	same(t, "live orders", ids(t, x, Orders(OrderFilter{Live: true})), descending(t, w.live, func(*chain.Order) bool { return true }))
	look(t, x, func(s *Snapshot) { w.compareHistory(s, history) })
}

func (w *world) compareHistory(x *Snapshot, history chain.Height) {
	t := w.t
	t.Helper()
	tip := w.store.View().Height()
	var heights []uint64
	for h := tip; h >= history && h > 0; h-- {
		if x.InGap(h) == nil {
			heights = append(heights, uint64(h))
		}
	}
	same(t, "blocks", pages(t, false, func(p Page, take func(uint64)) ([]byte, error) {
		return x.Blocks(p, func(b *Block) (bool, error) {
			if b.Messages != 4 || b.Failed != 3 || b.Deals != 1 || b.Units != 40 || b.Fees != chain.Atto(6) || b.Time != uint64(b.Height)+1000 ||
				b.Bytes == 0 || b.Changes < 5 || b.Events < 2 {
				t.Errorf("block %+v", *b)
			}
			take(uint64(b.Height))
			return true, nil
		})
	}), heights)
	for hash, at := range w.sent {
		m, err := x.Message(hash)
		must(t, err)
		if (m != nil) != (at.Height >= history && x.InGap(at.Height) == nil) || m != nil && (m.Height != at.Height || m.Index != uint64(at.Index) || !m.Effect()) {
			t.Errorf("message %s is at %+v, index says %+v", hash, at, m)
		}
	}
	for i := range uint64(clients) {
		_, err := x.MessagesOf(clientOf(t, i), Page{Limit: 1 << 20}, func(m *Message) (bool, error) {
			if m.Index != 1 {
				t.Errorf("message %d of a block stands in an address's list", m.Index)
			}
			return true, nil
		})
		must(t, err)
	}
}

// descending are the IDs of the records that a filter takes, the highest first.
func descending[T any, P interface {
	*T
	chain.CBOR
}](t testing.TB, records map[uint64][]byte, takes func(P) bool) []uint64 {
	t.Helper()
	var out []uint64
	for id, raw := range records {
		v := P(new(T))
		must(t, chain.Decode(raw, v))
		if takes(v) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

func same(t testing.TB, what string, got, want []uint64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: index has %v, want %v", what, got, want)
	}
}

// TestFollow follows a chain with restarts in between and holds the index
// against what the chain holds.
func TestFollow(t *testing.T) {
	w, fs := newWorld(t, 1000), vfs.NewMem()
	for range 8 {
		for range 7 {
			w.block()
		}
		x := open(t, fs, "index-test")
		follow(t, x, w.source())
		w.compare(x, 1)
		for _, id := range w.dead {
			if r := record(t, x, chain.OrderKey(id)); r == nil || r.Ended == 0 || r.Gone != r.Ended || r.Reason != "expired" {
				t.Errorf("order %d: %+v", id, r)
			}
		}
		must(t, x.Close())
	}
}

// TestScan starts late, when Updates are pruned, with the oldest state that is
// kept, and comes back too late: the history of before stays, and the gap in it
// is told.
func TestScan(t *testing.T) {
	w, fs := newWorld(t, 20), vfs.NewMem()
	for range 40 {
		w.block()
	}
	x := open(t, fs, "index-test")
	follow(t, x, w.source())
	w.compare(x, 21)
	w.block()
	follow(t, x, w.source())
	w.compare(x, 21)
	for range 40 {
		w.block()
	}
	follow(t, x, w.source())
	w.compare(x, 21)
	look(t, x, func(s *Snapshot) {
		if s.First != 21 || s.Height != 81 || !slices.Equal(s.Gaps, []Gap{{42, 61}}) {
			t.Errorf("history from %d to %d, gaps %v", s.First, s.Height, s.Gaps)
		}
		if s.InGap(41) != nil || s.InGap(42) == nil || s.InGap(61) == nil || s.InGap(62) != nil {
			t.Error("the gap has other ends")
		}
	})
	live := ids(t, x, Orders(OrderFilter{Live: true}))
	over := len(ids(t, x, Orders(OrderFilter{}))) - len(live)
	if known := len(ids(t, x, Orders(OrderFilter{State: OrderExpired}))) + len(ids(t, x, Orders(OrderFilter{State: OrderOver}))); known != over || over == 0 {
		t.Errorf("%d orders are over, lists by state have %d", over, known)
	}
	x.Keep(30) // the gap counts as heights, and goes at once
	for range 16 {
		w.block()
		follow(t, x, w.source())
	}
	look(t, x, func(s *Snapshot) {
		if s.First != 68 || s.Height != 97 || s.Gaps != nil {
			t.Errorf("history from %d to %d, gaps %v", s.First, s.Height, s.Gaps)
		}
	})
	w.compare(x, 68)
	must(t, x.Close())
}

// TestStrangers opens an index of another chain, and one that is ahead of its
// chain, or on another branch of it, which is set aside.
func TestStrangers(t *testing.T) {
	w, fs := newWorld(t, 1000), vfs.NewMem()
	for range 5 {
		w.block()
	}
	x := open(t, fs, "index-test")
	follow(t, x, w.source())
	must(t, x.Close())
	var stranger *StrangerError
	if _, err := Open(Config{Dir: "index", ChainID: "other-chain", FS: fs}); !errors.As(err, &stranger) || stranger.Have != "index-test" {
		t.Errorf("the index of another chain is opened: %v", err)
	}
	for _, blocks := range []int{3, 5, 8} {
		other := newWorld(t, 1000)
		other.r = rand.New(rand.NewPCG(7, uint64(blocks)))
		for range blocks {
			other.block()
		}
		x = open(t, fs, "index-test")
		if _, _, ok := x.Tip(); !ok {
			t.Fatal("index is lost")
		}
		follow(t, x, other.source())
		other.compare(x, 1)
		aside := fmt.Sprintf("index.aside-%d", x.current().number-1)
		if _, err := fs.Stat(aside); err != nil {
			t.Errorf("the index of another branch is not set aside: %v", err)
		}
		must(t, x.Close())
	}
}

// TestApply checks what cannot follow, and that it changes nothing.
func TestApply(t *testing.T) {
	w := newWorld(t, 1000)
	for range 4 {
		w.block()
	}
	x := open(t, vfs.NewMem(), "index-test")
	defer x.Close()
	raw := func(h chain.Height) []byte {
		b, err := w.store.Update(h)
		must(t, err)
		return b
	}
	if err := x.Apply(Committed{Update: raw(1)}); !errors.Is(err, ErrBuilding) {
		t.Errorf("Apply before a scan: %v", err)
	}
	genesis, err := w.store.Export(0)
	must(t, err)
	defer genesis.Close()
	must(t, x.Scan(t.Context(), genesis))
	must(t, x.Apply(Committed{Update: raw(1), Messages: w.blocks[1]}))
	var gap *GapError
	for _, h := range []chain.Height{0, 1, 3} {
		if err := x.Apply(Committed{Update: raw(h), Messages: w.blocks[h]}); !errors.As(err, &gap) || gap.Tip != 1 || gap.Got != h {
			t.Errorf("update %d after 1: %v", h, err)
		}
	}
	for name, messages := range map[string][][]byte{"another block's": w.blocks[3], "too few": w.blocks[2][:2], "none of four": {}} {
		if err := x.Apply(Committed{Update: raw(2), Messages: messages}); err == nil {
			t.Errorf("messages that are %s are taken", name)
		}
	}
	if err := x.Apply(Committed{Update: []byte("x")}); err == nil {
		t.Error("an update that does not decode is taken")
	}
	if _, h, _ := x.Tip(); h != 1 {
		t.Errorf("tip moved to %d", h)
	}
	must(t, x.Apply(Committed{Update: raw(2)})) // a block that is not kept
	look(t, x, func(s *Snapshot) {
		m, err := s.Message(chain.HashBytes(w.blocks[2][1]))
		if err != nil || m == nil || len(m.From) != 0 || m.Size != 0 {
			t.Errorf("message of a block that is not kept: %+v, %v", m, err)
		}
		for _, l := range []List{All(chain.TableOrder), Orders(OrderFilter{Live: true}), Sectors(SectorFilter{Miner: 1})} {
			if _, err := s.Records(l, Page{After: []byte{1}, Limit: 1}, nil); !errors.Is(err, ErrPlace) {
				t.Errorf("place of another width: %v", err)
			}
		}
	})
	must(t, x.Close())
	if _, err := x.Snapshot(); !errors.Is(err, ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
}

// TestCrash cuts off what was not synced at any block: the index is whole at
// some earlier height and follows again.
func TestCrash(t *testing.T) {
	w, fs := newWorld(t, 1000), vfs.NewCrashableMem()
	w.block()
	x := open(t, fs, "index-test")
	follow(t, x, w.source())
	for i := range uint64(20) {
		w.block()
		follow(t, x, w.source())
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(i%5) * 25, RNG: rand.New(rand.NewPCG(3, i))})
		y := open(t, crashed, "index-test")
		if _, h, ok := y.Tip(); ok && h > w.store.View().Height() {
			t.Fatalf("tip %d after a crash at %d", h, w.store.View().Height())
		}
		follow(t, y, w.source())
		w.compare(y, 1)
		must(t, y.Close())
	}
	must(t, x.Close())
}

// TestFullDisk fails every write from some point on: the index answers with
// errors, never ends the process, and opens again as a whole.
func TestFullDisk(t *testing.T) {
	if os.Getenv(fatalEnv) == "" {
		child := exec.Command(os.Args[0], "-test.run", "^TestFullDisk$", "-test.v")
		child.Env = append(os.Environ(), fatalEnv+"=1")
		out, err := child.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFullDisk")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	w := newWorld(t, 1000)
	for range 6 {
		w.block()
	}
	stopped := 0
	for after := range int64(12) {
		mem := vfs.NewCrashableMem()
		var left atomic.Int64
		left.Store(1 << 40)
		x := open(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && left.Add(-1) < 0 {
				return errorfs.ErrInjected
			}
			return nil
		})), "index-test")
		follow(t, x, w.source())
		left.Store(after)
		w.block()
		h := w.store.View().Height()
		raw, err := w.store.Update(h)
		must(t, err)
		err = x.Apply(Committed{Update: raw, Messages: w.blocks[h]})
		for err == nil { // the index does not sync; a sync meets the failing disk
			g := x.current()
			err = g.fatal.guard(func() error { return g.db.LogData([]byte("sync"), pebble.Sync) })
		}
		if _, err := x.Snapshot(); errors.Is(err, ErrStopped) {
			stopped++
		}
		if err := x.Close(); err == nil {
			t.Errorf("after %d writes: Close says nothing", after)
		}
		y := open(t, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}), "index-test")
		follow(t, y, w.source())
		w.compare(y, 1)
		must(t, y.Close())
	}
	if stopped == 0 {
		t.Error("no database stopped: the test fails nothing")
	}
}

// BenchmarkApply measures one block of the test's world.
func BenchmarkApply(b *testing.B) {
	w := newWorld(b, 1<<40)
	for range 200 {
		w.block()
	}
	x := open(b, vfs.NewMem(), "index-test")
	defer x.Close()
	genesis, err := w.store.Export(0)
	must(b, err)
	defer genesis.Close()
	at := chain.Height(200)
	for b.Loop() {
		if at == 200 {
			must(b, x.Scan(b.Context(), genesis))
			at = 0
		}
		at++
		raw, err := w.store.Update(at)
		must(b, err)
		must(b, x.Apply(Committed{Update: raw, Messages: w.blocks[at]}))
	}
}
