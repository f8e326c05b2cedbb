package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state"
)

// benchState is how many sectors, and as many deals, the benchmark's state has.
func benchState(b *testing.B) uint64 {
	text := os.Getenv("PERDURE_BENCH_STATE")
	if text == "" {
		return 20_000
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		b.Fatalf("PERDURE_BENCH_STATE=%q: want a number of sectors", text)
	}
	return n
}

// digest is a hash that no two records share.
func digest(table byte, i uint64) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte{table}, i))
}

func cidOf(codec uint64, table byte, i uint64) cid.Cid {
	d := digest(table, i)
	mh, _ := multihash.Encode(d[:], multihash.SHA2_256)
	return cid.NewCidV1(codec, mh)
}

// sectorsPerMiner is how many sectors a miner of the benchmark's state has.
const sectorsPerMiner = 1_000

// sector is sector i of the benchmark's state, active with one deal in it.
func sector(i uint64) *chain.Sector {
	s := &chain.Sector{Miner: chain.FirstMinerID + i/sectorsPerMiner, Number: i % sectorsPerMiner, State: chain.SectorActive,
		SealProof: abi.RegisteredSealProof_StackedDrg32GiBV1_1, CommR: digest(1, i), CommD: digest(2, i), Ticket: digest(3, i),
		PreCommitted: 1_000_000, SeedHeight: 1_000_150, Proven: 1<<10 - 1, Pledge: chain.PDR(320), Activated: 1_001_000,
		Expiration: 3_001_000, Deadline: i % 48, Partition: i % sectorsPerMiner / 32, Slot: i % 32, PaidThrough: 1_002_000}
	s.Pieces = []chain.SectorPiece{{Deal: i + 1, PieceCID: cidOf(cid.FilCommitmentUnsealed, 4, i), PaddedSize: 32 << 30}}
	return s
}

// deal is the deal of a client that sector i holds.
func deal(i uint64, client chain.Address) *chain.Deal {
	peer := digest(5, i)
	return &chain.Deal{ID: i + 1, Bid: 2*i + 1, Ask: 2*i + 2, State: chain.DealActive, Client: client, ClientPeer: peer[:],
		Miner: chain.FirstMinerID + i/sectorsPerMiner, PieceCID: cidOf(cid.FilCommitmentUnsealed, 4, i), PaddedSize: 32 << 30,
		PayloadRoot: cidOf(cid.Raw, 6, i), Part: 1, Parts: 1, Duration: 2_000_000, Price: chain.Atto(1_000_000_000),
		Total: chain.PDR(64), Unspent: chain.PDR(60), Collateral: chain.PDR(10), Matched: 999_000, FetchBy: 1_013_000,
		ActivateBy: 1_042_000, Accepted: 1_000_000, Committed: true, Sector: i % sectorsPerMiner, Activated: 1_001_000,
		End: 3_001_000, PaidThrough: 1_002_000}
}

// generate fills a store on the disk with sectors and deals.
func generate(b *testing.B, s *state.Store, n uint64) {
	b.Helper()
	const each = 20_000 // records a height
	var pending []consensus.Change
	h := chain.Height(0)
	block := func() {
		global, err := chain.Encode(&chain.Global{RuleVersion: 1, Height: h})
		if err != nil {
			b.Fatal(err)
		}
		u := &consensus.Update{Version: consensus.UpdateVersion, Height: h,
			Changes: append([]consensus.Change{{Table: chain.TableGlobal, Value: global}}, pending...)}
		if h == 0 {
			_, err = s.Genesis(u)
		} else if _, err = s.Stage(u); err == nil {
			err = s.Commit()
		}
		if err != nil {
			b.Fatal(err)
		}
		h++
		pending = nil
	}
	add := func(k chain.Key, v chain.CBOR) {
		raw, err := chain.Encode(v)
		if err != nil {
			b.Fatal(err)
		}
		if pending = append(pending, consensus.Change{Table: k.Table, ID: []byte(k.ID), Value: raw}); len(pending) == each {
			block()
		}
	}
	for i := range n {
		x := sector(i)
		add(chain.SectorKey(x.Miner, x.Number), x)
	}
	block()
	var clients []chain.Address
	for i := range uint64(100) {
		key := digest(7, i)
		a, err := chain.AddressOfKey(key[:])
		if err != nil {
			b.Fatal(err)
		}
		clients = append(clients, a)
	}
	for i := range n {
		add(chain.DealKey(i+1), deal(i, clients[i%100]))
	}
	block()
}

// onDisk opens a store on the disk.
func onDisk(b *testing.B, dir string) *state.Store {
	b.Helper()
	p := consensus.Mainnet()
	p.ChainID = "snapshot-bench"
	s, err := state.Open(state.Config{Dir: dir, Params: p, Keep: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// sequential writes as many bytes as a snapshot has, synced, and returns how
// long that takes.
func sequential(b *testing.B, path string, size uint64) time.Duration {
	b.Helper()
	block := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	begun := time.Now()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	for left := size; left > 0 && err == nil; {
		n := min(left, uint64(len(block)))
		_, err = f.Write(block[:n])
		left -= n
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		b.Fatal(err)
	}
	f.Close()
	took := time.Since(begun)
	os.Remove(path)
	return took
}

// BenchmarkSnapshot writes and restores the snapshot of a state with
// PERDURE_BENCH_STATE sectors and deals (20,000), beside a file of its size
// that is written from one end to the other and synced.
func BenchmarkSnapshot(b *testing.B) {
	n, dir := benchState(b), b.TempDir()
	s := onDisk(b, filepath.Join(dir, "state"))
	generate(b, s, n)
	tip := s.View()
	var wrote, restored, disk time.Duration
	var size uint64
	for i := range b.N {
		a, err := Open(filepath.Join(dir, "snapshots", strconv.Itoa(i)))
		if err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		m, err := a.Write(b.Context(), s, tip.Height())
		if err != nil {
			b.Fatal(err)
		}
		wrote += time.Since(begun)
		size = m.Size
		disk += sequential(b, filepath.Join(dir, "file"), size)
		path := filepath.Join(dir, "copy", strconv.Itoa(i))
		begun = time.Now()
		to := onDisk(b, path)
		r, err := Receive(to, m)
		for done := false; err == nil && !done; {
			var chunk []byte
			if chunk, err = a.Chunk(m.Height, r.Next()); err == nil {
				done, err = r.Chunk(chunk)
			}
		}
		if err != nil {
			b.Fatal(err)
		}
		restored += time.Since(begun)
		if !bytes.Equal(to.View().AppHash(), tip.AppHash()) {
			b.Fatal("the restored state has another app hash")
		}
	}
	rate := func(took time.Duration) float64 { return float64(size) * float64(b.N) / took.Seconds() / 1e6 }
	b.ReportMetric(float64(size)/1e6, "MB")
	b.ReportMetric(rate(wrote), "write-MB/s")
	b.ReportMetric(rate(restored), "restore-MB/s")
	b.ReportMetric(rate(disk), "disk-MB/s")
	b.ReportMetric(float64(s.Size())/float64(2*n), "stored-B/record")
	b.ReportMetric(0, "ns/op")
}
