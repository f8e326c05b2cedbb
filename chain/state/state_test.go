package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
)

func TestMain(m *testing.M) {
	if os.Getenv(fatalEnv) != "" {
		os.Exit(m.Run()) // a database that stopped cannot be closed
	}
	goleak.VerifyTestMain(m)
}

// testParams are devnet's with a retention short enough to see pruning.
func testParams(retention uint64) *consensus.Params {
	p := consensus.Devnet()
	p.ChainID = "state-test"
	p.StateRetention = retention
	return p
}

func openMem(t testing.TB, fs vfs.FS, retention uint64) *Store {
	t.Helper()
	s, err := Open(Config{Dir: "db", Params: testParams(retention), FS: fs, Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// records is the slow, obvious state.
type records map[chain.Key][]byte

// update makes the Update that leads from r to next at a height, and puts a
// Global record of that height into next.
func update(t interface{ Fatal(...any) }, r, next records, h chain.Height) *consensus.Update {
	b, err := chain.Encode(&chain.Global{RuleVersion: 1, Height: h})
	if err != nil {
		t.Fatal(err)
	}
	next[chain.GlobalKey()] = b
	u := &consensus.Update{Version: consensus.UpdateVersion, Height: h}
	for k, v := range next {
		if !bytes.Equal(r[k], v) {
			u.Changes = append(u.Changes, consensus.Change{Table: k.Table, ID: []byte(k.ID), Value: v})
		}
	}
	for k := range r {
		if _, ok := next[k]; !ok {
			u.Changes = append(u.Changes, consensus.Change{Table: k.Table, ID: []byte(k.ID)})
		}
	}
	slices.SortFunc(u.Changes, func(a, b consensus.Change) int {
		if a.Key().Less(b.Key()) {
			return -1
		}
		return 1
	})
	return u
}

// apply stages and commits, and checks that both speak of one app hash.
func apply(t interface{ Fatal(...any) }, s *Store, u *consensus.Update) []byte {
	hash, err := s.Stage(u)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.View().AppHash(), hash) {
		t.Fatal("committed app hash is not the staged one")
	}
	return hash
}

// check compares a tree with the map, through Record and through ForEach.
func check(t interface{ Fatal(...any) }, tree *Tree, want records) {
	got := records{}
	for table := range chain.TableEnd {
		err := tree.ForEach(table, func(id string, b []byte) error {
			got[chain.Key{Table: table, ID: id}] = slices.Clone(b)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !maps.EqualFunc(got, want, bytes.Equal) {
		t.Fatal(fmt.Sprintf("height %d: tree has %d records, want %d, or other values", tree.Height(), len(got), len(want)))
	}
	for k, v := range want {
		b, err := tree.Record(k)
		if err != nil || !bytes.Equal(b, v) {
			t.Fatal(fmt.Sprintf("%s %x is %x (%v), want %x", k.Table, k.ID, b, err, v))
		}
	}
}

// drawKey draws from few keys, so that records are overwritten and deleted,
// and from far apart numbers, so that AMTs grow and shrink.
func drawKey(t *rapid.T) chain.Key {
	table := rapid.SampledFrom([]chain.Table{chain.TableAccount, chain.TableMiner, chain.TableSector,
		chain.TablePartition, chain.TableBeacon, chain.TableReplay}).Draw(t, "table")
	number := rapid.SampledFrom([]uint64{0, 1, 2, 7, 8, 9, 63, 64, 65, 511, 512, 4096, 1 << 33})
	a, b := number.Draw(t, "a"), number.Draw(t, "b")
	id := binary.BigEndian.AppendUint64(nil, a)
	if table.Shape() == chain.ShapeOwned {
		id = binary.BigEndian.AppendUint64(id, b)
	}
	return chain.Key{Table: table, ID: string(id)}
}

// drawValue draws canonical CBOR from few values, so that blocks are shared.
func drawValue(t *rapid.T) []byte {
	b, err := chain.Encode(&chain.QueueHead{Count: rapid.Uint64Range(0, 3).Draw(t, "value")})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stored lists the blocks that the database holds.
func stored(t interface{ Fatal(...any) }, s *Store) map[cid.Cid]bool {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefixNode}, UpperBound: []byte{prefixNode + 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	out := map[cid.Cid]bool{}
	for it.First(); it.Valid(); it.Next() {
		out[proof.LinkOfDigest([32]byte(it.Key()[1:]))] = true
	}
	return out
}

// reached lists the blocks under the roots of all kept heights, by walking
// each whole tree with a comparison against nothing.
func reached(t interface{ Fatal(...any) }, s *Store) map[cid.Cid]bool {
	out := map[cid.Cid]bool{}
	for h := s.Oldest(); h <= s.View().Height(); h++ {
		tree, err := s.At(h)
		if err != nil {
			t.Fatal(err)
		}
		d := &differ{blocks: s, delta: map[cid.Cid]int{}}
		if err := d.roots(cid.Undef, tree.cid, nil, tree.root); err != nil {
			t.Fatal(err)
		}
		for c := range d.delta {
			out[c] = true
		}
	}
	return out
}

// TestAgainstMap drives a store with random changes beside a map of maps: all
// kept heights stay readable and right, nothing else stays stored, the tree
// does not depend on its history, and reopening changes nothing.
func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const retention = 3
		fs := vfs.NewMem()
		s, err := Open(Config{Dir: "db", Params: testParams(retention), FS: fs, Cache: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { s.Close() }()
		history := []records{{}}
		if _, err := s.Genesis(update(t, records{}, history[0], 0)); err != nil {
			t.Fatal(err)
		}
		for h := 1; h <= rapid.IntRange(1, 10).Draw(t, "heights"); h++ {
			next := maps.Clone(history[h-1])
			for range rapid.IntRange(0, 12).Draw(t, "changes") {
				k := drawKey(t)
				if next[k] != nil && rapid.Bool().Draw(t, "delete") {
					delete(next, k)
				} else {
					next[k] = drawValue(t)
				}
			}
			apply(t, s, update(t, history[h-1], next, chain.Height(h)))
			history = append(history, next)
			if rapid.IntRange(0, 7).Draw(t, "reopen") == 0 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = Open(Config{Dir: "db", Params: testParams(retention), FS: fs, Cache: 1 << 20}); err != nil {
					t.Fatal(err)
				}
			}
			if want := chain.Height(max(0, h-retention)); s.Oldest() != want {
				t.Fatal(fmt.Sprintf("oldest is %d, want %d", s.Oldest(), want))
			}
			for _, kept := range []chain.Height{s.Oldest(), chain.Height(h)} {
				tree, err := s.At(kept)
				if err != nil {
					t.Fatal(err)
				}
				check(t, tree, history[kept])
			}
			if have, want := stored(t, s), reached(t, s); !maps.Equal(have, want) {
				t.Fatal(fmt.Sprintf("%d blocks are stored, %d are reached", len(have), len(want)))
			}
		}
		fresh(t, s, history[len(history)-1])
	})
}

// fresh builds the same records in one step and compares the tables' roots.
func fresh(t *rapid.T, s *Store, all records) {
	o := newOverlay(s)
	r := &proof.Root{}
	if err := applyChanges(o, r, update(t, records{}, maps.Clone(all), s.View().Height()).Changes); err != nil {
		t.Fatal(err)
	}
	if r.Tables != s.View().root.Tables {
		t.Fatal("the tree depends on its history")
	}
}

// TestGolden freezes the form of the tables: a change of these links changes
// the app hash of every chain.
func TestGolden(t *testing.T) {
	var changes []consensus.Change
	for i := range uint64(100) {
		b, err := chain.Encode(&chain.QueueHead{Count: i})
		if err != nil {
			t.Fatal(err)
		}
		id := string(binary.BigEndian.AppendUint64(nil, i*i))
		for _, k := range []chain.Key{{Table: chain.TableAccount, ID: id}, {Table: chain.TableDeal, ID: id},
			chain.SectorKey(1000+i%7, i)} {
			changes = append(changes, consensus.Change{Table: k.Table, ID: []byte(k.ID), Value: b})
		}
	}
	slices.SortFunc(changes, func(a, b consensus.Change) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), bytes.Compare(a.ID, b.ID))
	})
	o := newOverlay(nil)
	r := &proof.Root{Schema: proof.Schema, RuleVersion: 1, Params: proof.LinkOf([]byte("params")), UpdateHash: [32]byte{1}, Single: []byte{0x80}}
	if err := applyChanges(o, r, changes); err != nil {
		t.Fatal(err)
	}
	root, err := chain.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	for what, links := range map[string][2]string{
		"accounts": {r.Tables[chain.TableAccount].String(), "bafyreihdmomzlkpoi32sxuyo3glrzbzzoxfx4qilumf74p3o574llpfspy"},
		"deals":    {r.Tables[chain.TableDeal].String(), "bafyreie57742lgmbzv73cegh6lrzzdyaop5pxxfdgpt56rvziltitp6mwe"},
		"sectors":  {r.Tables[chain.TableSector].String(), "bafyreid3kaobgloov54n2jdua36ppcrlfqsy5ln3kzhdpbbdw7mgpdiwmm"},
		"root":     {proof.LinkOf(root).String(), "bafyreidf7hxpecz6ytey7ni6swlbveo3skmbsdlwv37wgfijc6wehxu4xy"},
	} {
		if links[0] != links[1] {
			t.Errorf("%s are %s, want %s", what, links[0], links[1])
		}
	}
}

// TestRefusals covers the ways in which the store is used wrongly.
func TestRefusals(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs, 2)
	if _, err := s.Stage(&consensus.Update{Height: 1}); !errors.Is(err, ErrNoGenesis) {
		t.Errorf("stage before genesis: %v", err)
	}
	if _, err := s.At(0); !errors.Is(err, ErrNoGenesis) {
		t.Errorf("read before genesis: %v", err)
	}
	now := records{}
	first := update(t, records{}, now, 0)
	hash, err := s.Genesis(first)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Genesis(first); err != nil || !bytes.Equal(again, hash) {
		t.Errorf("genesis again: %x, %v; want %x", again, err, hash)
	}
	other := update(t, records{}, records{chain.BeaconKey(0): []byte{0x80}}, 0)
	if _, err := s.Genesis(other); err == nil {
		t.Error("another genesis was accepted")
	}
	if err := s.Commit(); err == nil {
		t.Error("commit of nothing was accepted")
	}
	if _, err := s.Stage(&consensus.Update{Height: 2}); err == nil {
		t.Error("a gap was accepted")
	}
	bad := update(t, now, maps.Clone(now), 1)
	bad.Changes = append(bad.Changes, consensus.Change{Table: chain.TableMiner, ID: []byte("short"), Value: []byte{0}})
	if _, err := s.Stage(bad); err == nil {
		t.Error("a key of the wrong shape was accepted")
	}
	for h := chain.Height(1); h <= 4; h++ {
		next := maps.Clone(now)
		apply(t, s, update(t, now, next, h))
		now = next
	}
	if _, err := s.At(1); !errors.Is(err, ErrPruned) {
		t.Errorf("pruned height: %v", err)
	}
	if _, err := s.Update(1); !errors.Is(err, ErrPruned) {
		t.Errorf("pruned update: %v", err)
	}
	if _, err := s.Update(5); !errors.Is(err, ErrFuture) {
		t.Errorf("future update: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(4); !errors.Is(err, ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	params := testParams(2)
	params.Window++
	if _, err := Open(Config{Dir: "db", Params: params, FS: fs}); err == nil {
		t.Error("state of another network was opened")
	}
}

// TestViewsStay reads one View from many goroutines while blocks go on.
func TestViewsStay(t *testing.T) {
	s := openMem(t, vfs.NewMem(), 100)
	defer s.Close()
	now := records{}
	for i := range uint64(50) {
		now[chain.DealKey(i)] = []byte{0x81, byte(i % 24)}
	}
	if _, err := s.Genesis(update(t, records{}, now, 0)); err != nil {
		t.Fatal(err)
	}
	view, want := s.View(), maps.Clone(now)
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for range 4 {
		wg.Go(func() {
			for range 20 {
				for k, v := range want {
					if b, err := view.Record(k); err != nil || !bytes.Equal(b, v) {
						errs <- fmt.Errorf("%s %x is %x, %v", k.Table, k.ID, b, err)
						return
					}
				}
			}
		})
	}
	for h := chain.Height(1); h <= 30; h++ {
		next := maps.Clone(now)
		for i := range uint64(50) {
			next[chain.DealKey(i)] = []byte{0x81, byte(uint64(h)+i) % 24}
		}
		changed := s.Changed()
		apply(t, s, update(t, now, next, h))
		<-changed
		now = next
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

// TestReceipts finds messages by hash: the block where one had an effect wins,
// and pruned heights are forgotten.
func TestReceipts(t *testing.T) {
	s := openMem(t, vfs.NewMem(), 3)
	defer s.Close()
	now := records{}
	if _, err := s.Genesis(update(t, records{}, now, 0)); err != nil {
		t.Fatal(err)
	}
	ok, no := uint64(consensus.CodeOK), uint64(consensus.CodeBadNonce)
	a, b, c := chain.Hash{1}, chain.Hash{2}, chain.Hash{3}
	blocks := [][]consensus.Receipt{
		{{Hash: a, Code: no}, {Hash: b, Code: no}, {Hash: b, Code: ok}, {Hash: b, Code: no}},
		{{Hash: c, Code: uint64(consensus.CodeFailed)}, {Hash: a, Code: ok}},
		{{Hash: a, Code: no}},
	}
	for i, receipts := range blocks {
		next := maps.Clone(now)
		u := update(t, now, next, chain.Height(i+1))
		u.Receipts = receipts
		apply(t, s, u)
		now = next
	}
	for hash, want := range map[chain.Hash]Where{a: {2, 1}, b: {1, 2}, c: {2, 0}} {
		if got, found, err := s.Locate(hash); err != nil || !found || got != want {
			t.Errorf("message %s is at %v %v %v, want %v", hash, got, found, err, want)
		}
	}
	for h := chain.Height(4); h <= 5; h++ {
		next := maps.Clone(now)
		apply(t, s, update(t, now, next, h))
		now = next
	}
	if _, found, _ := s.Locate(b); found {
		t.Error("a receipt outlived its height")
	}
	if _, found, _ := s.Locate(a); !found {
		t.Error("a receipt of a kept height is gone")
	}
}

// TestBook keeps orders in the state: the book that each block hands on equals
// the one that a fresh open rebuilds.
func TestBook(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs, 100)
	now := records{}
	if _, err := s.Genesis(update(t, records{}, now, 0)); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	some := proof.LinkOf(nil)
	owner, err := chain.KeyAddress(bytes.Repeat([]byte{4}, 65))
	if err != nil {
		t.Fatal(err)
	}
	for h := chain.Height(1); h <= 20; h++ {
		next := maps.Clone(now)
		for range 10 {
			id := rng.Uint64N(40) + 1
			if next[chain.OrderKey(id)] != nil && rng.IntN(3) == 0 {
				delete(next, chain.OrderKey(id))
				continue
			}
			o := &chain.Order{ID: id, Owner: owner, Placed: h, State: chain.OrderResting}
			if id%2 == 0 {
				o.Bid = &chain.BidTerms{PieceCID: some, PayloadRoot: some, MaxPrice: chain.Atto(rng.Uint64N(9))}
			} else {
				o.Ask = &chain.AskTerms{Price: chain.Atto(rng.Uint64N(9))}
			}
			if next[chain.OrderKey(id)], err = chain.Encode(o); err != nil {
				t.Fatal(err)
			}
		}
		apply(t, s, update(t, now, next, h))
		now = next
		kept := s.View().Book()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openMem(t, fs, 100)
		if rebuilt := s.View().Book(); kept.Len() == 0 || !rebuilt.Equal(kept) {
			t.Fatalf("height %d: the rebuilt book of %d orders is not the kept one of %d", h, rebuilt.Len(), kept.Len())
		}
	}
	s.Close()
}

// BenchmarkBlock commits blocks of 1,000 changed accounts out of 100,000.
func BenchmarkBlock(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir(), Params: testParams(1000)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const accounts = 100_000
	rng := rand.New(rand.NewPCG(1, 2))
	account := func(i int, balance uint64) (chain.Key, []byte) {
		id := binary.BigEndian.AppendUint64([]byte{1}, uint64(i))
		v, err := chain.Encode(&chain.Account{Nonce: balance, Balance: chain.Atto(balance)})
		if err != nil {
			b.Fatal(err)
		}
		return chain.Key{Table: chain.TableAccount, ID: string(append(id, make([]byte, 12)...))}, v
	}
	now := records{}
	for i := range accounts {
		k, v := account(i, 1)
		now[k] = v
	}
	if _, err := s.Genesis(update(b, records{}, now, 0)); err != nil {
		b.Fatal(err)
	}
	h := chain.Height(0)
	for b.Loop() {
		b.StopTimer()
		h++
		next := records{}
		for range 1000 {
			k, v := account(rng.IntN(accounts), rng.Uint64())
			next[k] = v
		}
		u := update(b, records{}, next, h)
		b.StartTimer()
		apply(b, s, u)
	}
}

// BenchmarkMissedSectors commits what closing a deadline of 10,000 missed sectors
// changes: their records, and those of their 313 partitions, out of three deadlines.
func BenchmarkMissedSectors(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir(), Params: testParams(1000)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const sectors = 10_000
	put := func(into records, k chain.Key, v chain.CBOR) {
		raw, err := chain.Encode(v)
		if err != nil {
			b.Fatal(err)
		}
		into[k] = raw
	}
	deadline := func(into records, d uint64, since chain.Height) {
		for i := range uint64(sectors) {
			number := i*3 + d
			put(into, chain.SectorKey(1000, number), &chain.Sector{Miner: 1000, Number: number, State: chain.SectorFaulty, FaultSince: since,
				Activated: 100_000, Expiration: 1 << 24, PreCommitted: 90_000, SeedHeight: 90_150, Deadline: d, Partition: i / 32, Slot: i % 32})
		}
		for i := range uint64(sectors/chain.PartitionSectors + 1) {
			put(into, chain.PartitionKey(1000, d, i), &chain.Partition{Sectors: make([]uint64, 32), Live: 1<<32 - 1, Closes: since})
		}
	}
	all := records{}
	for d := range uint64(3) {
		deadline(all, d, 1)
	}
	if _, err := s.Genesis(update(b, records{}, all, 0)); err != nil {
		b.Fatal(err)
	}
	h := chain.Height(0)
	for b.Loop() {
		b.StopTimer()
		h++
		next := records{}
		deadline(next, uint64(h)%3, h+1)
		u := update(b, records{}, next, h)
		b.StartTimer()
		apply(b, s, u)
	}
}
