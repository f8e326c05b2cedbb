package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/filecoin-project/go-state-types/crypto"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/retrieval"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, fs vfs.FS) *Ledger {
	t.Helper()
	l, err := Open("ledger", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// promise is voucher nonce of a lane from amount on, 10 attoPDR a chunk.
func promise(t testing.TB, channel, lane, nonce, amount uint64) (*Promise, *payment.Ticks) {
	t.Helper()
	p := &Promise{Seed: [32]byte{byte(channel), byte(lane), byte(nonce)}}
	links, err := payment.NewTicks(p.Seed, 1000)
	if err != nil {
		t.Fatal(err)
	}
	p.Voucher = chain.SignedVoucher{
		Voucher: chain.Voucher{Version: 1, ChainID: "x", Channel: channel, Lane: lane, Nonce: nonce, Amount: chain.Atto(amount),
			Anchor: links.Anchor(), TickPrice: chain.Atto(10), MaxTicks: 1000, ChunkSize: retrieval.ChunkSize, ExpiresAt: 900},
		Signature: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)},
	}
	return p, links
}

func someone(t testing.TB) chain.Address {
	a, err := chain.AddressOfKey(bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func tick(t testing.TB, links *payment.Ticks, k uint64) [32]byte {
	x, err := links.Tick(k)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPayer(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs)
	if p, err := l.Promise(7, 0); p != nil || err != nil {
		t.Fatalf("%+v, %v", p, err)
	}
	first, _ := promise(t, 7, 0, 3, 0)
	must(t, l.SavePromise(first))
	must(t, l.SaveRevealed(7, 0, 3, 11))
	if p, err := l.Promise(7, 0); err != nil || p.Settled || p.Revealed != 11 {
		t.Errorf("%+v, %v", p, err)
	}
	must(t, l.Unsettle(7, 0, 3, 11))
	must(t, l.Settle(7, 0, 3, 12))
	for name, p := range map[string][2]uint64{"same nonce": {3, 500}, "lower nonce": {2, 500}} {
		again, _ := promise(t, 7, 0, p[0], p[1])
		if err := l.SavePromise(again); !errors.Is(err, ErrStale) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, _ := promise(t, 7, 5, 1, 0)
	must(t, l.SavePromise(other))
	elsewhere, _ := promise(t, 8, 0, 1, 0)
	must(t, l.SavePromise(elsewhere))
	must(t, l.Close())
	l = open(t, fs)
	defer l.Close()
	got, err := l.Promise(7, 0)
	must(t, err)
	if got.Revealed != 12 || !got.Settled || got.Seed != first.Seed || got.Voucher.Voucher != first.Voucher.Voucher {
		t.Errorf("%+v", got)
	}
	all, err := l.Promises(7)
	must(t, err)
	if len(all) != 2 || all[1].Voucher.Voucher.Lane != 5 {
		t.Errorf("%+v", all)
	}
	next, _ := promise(t, 7, 0, 4, 120)
	must(t, l.SavePromise(next))
	if got, err = l.Promise(7, 0); err != nil || got.Revealed != 0 || got.Settled || got.Voucher.Voucher.Nonce != 4 {
		t.Errorf("%+v, %v", got, err)
	}
	must(t, l.Forget(7))
	if all, err := l.Promises(7); len(all) != 0 || err != nil {
		t.Errorf("%+v, %v", all, err)
	}
	if p, err := l.Promise(8, 0); p == nil || err != nil {
		t.Errorf("forgot another channel: %v", err)
	}
}

func TestPayee(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs)
	payer := someone(t)
	first, links := promise(t, 7, 0, 3, 0)
	must(t, l.SaveVoucher(payer, &first.Voucher))
	must(t, l.SaveVoucher(payer, &first.Voucher))
	must(t, l.SaveTick(7, 0, 3, 12, tick(t, links, 12)))
	for _, tc := range []struct {
		nonce, amount uint64
		want          error
	}{{3, 5, ErrConflict}, {2, 500, ErrStale}, {4, 119, ErrStale}, {4, 120, nil}} {
		next, _ := promise(t, 7, 0, tc.nonce, tc.amount)
		if err := l.SaveVoucher(payer, &next.Voucher); !errors.Is(err, tc.want) {
			t.Errorf("nonce %d from %d: %v", tc.nonce, tc.amount, err)
		}
	}
	must(t, l.SaveTick(7, 0, 3, 13, tick(t, links, 13))) // late, of the voucher before
	h, err := l.Holding(7, 0)
	must(t, err)
	if h.Ticks != 0 || h.Tick != h.Voucher.Voucher.Anchor || h.Payer != payer {
		t.Errorf("%+v", h)
	}
	must(t, l.ChangeDebt(7, func(d *Debt) { d.Unpaid, d.Paid = 3, 9 }))
	must(t, l.Close())
	l = open(t, fs)
	defer l.Close()
	if d, err := l.Debt(7); d != (Debt{3, 9}) || err != nil {
		t.Errorf("%+v, %v", d, err)
	}
	n := 0
	must(t, l.Holdings(func(h *Holding) error { n++; return nil }))
	must(t, l.Forget(7))
	if d, err := l.Debt(7); d != (Debt{}) || n != 1 || err != nil {
		t.Errorf("%d holdings, then %+v, %v", n, d, err)
	}
}

// TestNotes: a tick that was noted outlives the process, one that was synced the
// machine; a note that was torn leaves the one before it; none counts for another
// voucher.
func TestNotes(t *testing.T) {
	disk := vfs.NewCrashableMem()
	l := open(t, disk)
	defer l.Close()
	payer := someone(t)
	first, links := promise(t, 7, 0, 3, 0)
	other, others := promise(t, 7, 1, 1, 0)
	must(t, l.SaveVoucher(payer, &first.Voucher))
	must(t, l.SaveVoucher(payer, &other.Voucher))
	killed := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}
	after := func(what string, left *vfs.MemFS, want ...uint64) {
		t.Helper()
		for range 2 { // what was taken over stays
			l := open(t, left)
			for lane, ticks := range want {
				h, err := l.Holding(7, uint64(lane))
				if err != nil || h == nil || h.Ticks != ticks {
					t.Fatalf("%s: lane %d: %+v, %v; want tick %d", what, lane, h, err, ticks)
				}
				if err := payment.CheckTick(h.Voucher.Voucher.Anchor, h.Ticks, h.Tick); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
			must(t, l.Close())
		}
	}
	for k := uint64(1); k <= 5; k++ {
		must(t, l.NoteTick(7, 0, 3, k, tick(t, links, k)))
		after("killed", disk.CrashClone(killed), k, 0)
		if h, err := l.Holding(7, 0); err != nil || h.Ticks != k {
			t.Fatalf("%+v, %v", h, err)
		}
	}
	must(t, l.SyncNotes())
	must(t, l.NoteTick(7, 0, 3, 6, tick(t, links, 6)))
	must(t, l.NoteTick(7, 1, 1, 2, tick(t, others, 2)))
	after("synced", disk.CrashClone(vfs.CrashCloneCfg{}), 5, 0)
	after("killed", disk.CrashClone(killed), 6, 2)

	torn := disk.CrashClone(killed)
	f, err := torn.OpenReadWrite("ledger/ticks", vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.WriteAt([]byte{255, 255}, notePlace+40) // tick 6 went to the second half
	must(t, err)
	must(t, f.Close())
	after("torn", torn, 5, 2)

	next, _ := promise(t, 7, 0, 4, 60)
	must(t, l.SaveVoucher(payer, &next.Voucher))
	after("new voucher", disk.CrashClone(killed), 0, 2)
	must(t, l.Forget(7))
	if h, err := l.Holding(7, 1); h != nil || err != nil {
		t.Errorf("forgotten: %+v, %v", h, err)
	}
}

// TestIdle: a channel has served once the last voucher on any lane has expired, and one
// on which nothing was promised after a while.
func TestIdle(t *testing.T) {
	l := open(t, vfs.NewMem())
	defer func() { must(t, l.Close()) }()
	for lane, expires := range []chain.Height{900, 5_000} {
		p, _ := promise(t, 7, uint64(lane), 1, 0)
		p.Voucher.Voucher.ExpiresAt = expires
		must(t, l.SavePromise(p))
	}
	for _, c := range []struct {
		channel uint64
		now     chain.Height
		over    bool
	}{{7, 901, false}, {7, 5_000, false}, {7, 5_001, true}, {8, 100 + idleBlocks, false}, {8, 101 + idleBlocks, true}} {
		if idle, err := l.Idle(&chain.Channel{ID: c.channel, Opened: 100}, c.now); err != nil || idle != c.over {
			t.Errorf("channel %d at height %d: idle %v, %v", c.channel, c.now, idle, err)
		}
	}
}

// TestNotePlaces: channels come and go, and the file of notes does not grow with them;
// what stood at a place before is taken for nobody's.
func TestNotePlaces(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs)
	const channels = 200
	for id := uint64(1); id <= channels; id++ {
		for lane := range uint64(2) {
			p, links := promise(t, id, lane, 1, 0)
			must(t, l.SaveVoucher(someone(t), &p.Voucher))
			for k := uint64(1); k <= 3; k++ {
				must(t, l.NoteTick(id, lane, 1, k, tick(t, links, k)))
			}
		}
		if id < channels {
			must(t, l.Forget(id))
		}
	}
	info, err := fs.Stat(fs.PathJoin("ledger", notesName))
	must(t, err)
	if info.Size() > 2*2*notePlace {
		t.Errorf("the notes of two lanes take %d bytes", info.Size())
	}
	must(t, l.Close())
	l = open(t, fs)
	defer func() { must(t, l.Close()) }()
	held := 0
	must(t, l.Holdings(func(h *Holding) error {
		if held++; h.Voucher.Voucher.Channel != channels || h.Ticks != 3 {
			t.Errorf("lane %d of channel %d is held with %d ticks", h.Voucher.Voucher.Lane, h.Voucher.Voucher.Channel, h.Ticks)
		}
		return nil
	}))
	if held != 2 {
		t.Errorf("%d lanes are held", held)
	}
}

// TestSweep: what sessions wrote of a channel after it was forgotten is gone when the
// ledger is opened again; what is held stays.
func TestSweep(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs)
	p, links := promise(t, 7, 0, 1, 0)
	write := func(id uint64) {
		must(t, l.SaveTick(id, 0, 1, 2, tick(t, links, 2)))
		must(t, l.SaveRevealed(id, 0, 1, 2))
		must(t, l.ChangeDebt(id, func(d *Debt) { d.Unpaid = 3 }))
	}
	must(t, l.SavePromise(p))
	must(t, l.SaveVoucher(someone(t), &p.Voucher))
	write(7)
	must(t, l.Forget(8))
	write(8)
	must(t, l.Close())
	l = open(t, fs)
	defer func() { must(t, l.Close()) }()
	for _, table := range []byte{tableTick, tableRevealed, tableDebt} {
		for id, want := range map[uint64]bool{7: true, 8: false} {
			if found, err := l.any(key(table, id)); err != nil || found != want {
				t.Errorf("table %c of channel %d: %v, %v", table, id, found, err)
			}
		}
	}
	held, err := l.Holding(7, 0)
	must(t, err)
	if held == nil || held.Ticks != 2 {
		t.Errorf("held is %+v", held)
	}
}

func TestLease(t *testing.T) {
	l := open(t, vfs.NewMem())
	defer l.Close()
	release, ok := l.Lease(1, 2)
	if _, again := l.Lease(1, 2); !ok || again || !l.Leased(1, 2) || l.Leased(1, 3) {
		t.Error("one lane, two leases")
	}
	release()
	release()
	if _, ok := l.Lease(1, 2); !ok {
		t.Error("not given back")
	}
}

// TestCrash crashes after every step of a payee that syncs as a seller does,
// with each share of what was not synced kept: what a call had promised is
// there, and of ticks at most one window is lost.
func TestCrash(t *testing.T) {
	const steps = 40
	fs := vfs.NewCrashableMem()
	l := open(t, fs)
	first, links := promise(t, 7, 0, 1, 0)
	must(t, l.SavePromise(first))
	check := func(step int, accepted, saved uint64) {
		disk := open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
		defer disk.Close()
		if p, err := disk.Promise(7, 0); err != nil || p == nil || p.Seed != first.Seed {
			t.Fatalf("step %d: promise %+v, %v", step, p, err)
		}
		h, err := disk.Holding(7, 0)
		must(t, err)
		if step == 0 {
			return
		}
		if h == nil || h.Ticks < saved || accepted-h.Ticks >= retrieval.MaxCredit {
			t.Fatalf("step %d: %d ticks accepted, %d saved, holding %+v", step, accepted, saved, h)
		}
		if err := payment.CheckTick(h.Voucher.Voucher.Anchor, h.Ticks, h.Tick); err != nil {
			t.Fatalf("step %d: tick %d: %v", step, h.Ticks, err)
		}
	}
	check(0, 0, 0)
	must(t, l.SaveVoucher(someone(t), &first.Voucher))
	check(1, 0, 0)
	var saved uint64
	for k := uint64(1); k <= steps; k++ {
		must(t, l.SaveRevealed(7, 0, 1, k))
		if k-saved >= retrieval.MaxCredit {
			must(t, l.SaveTick(7, 0, 1, k, tick(t, links, k)))
			saved = k
		}
		check(int(k)+1, k, saved)
	}
	must(t, l.Close())
}

// TestCrashBetweenVouchers crashes at every write to the disk around a change
// of vouchers: the lane has either the old one with its tick or the new one,
// never neither, and never less than was promised.
func TestCrashBetweenVouchers(t *testing.T) {
	for stop := int32(1); ; stop++ {
		mem := vfs.NewCrashableMem()
		l := open(t, mem)
		first, links := promise(t, 7, 0, 1, 0)
		must(t, l.SaveVoucher(someone(t), &first.Voucher))
		must(t, l.SaveTick(7, 0, 1, 4, tick(t, links, 4)))
		must(t, l.Close())

		var at int32
		var mu sync.Mutex
		var crashed *vfs.MemFS
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			switch op.Kind {
			case errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpCreate, errorfs.OpRename:
				if at++; at == stop {
					crashed = mem.CrashClone(vfs.CrashCloneCfg{})
				}
			}
			return nil
		}))
		l = open(t, fs)
		next, _ := promise(t, 7, 0, 2, 40)
		must(t, l.SaveVoucher(someone(t), &next.Voucher))
		must(t, l.Close())
		if crashed == nil {
			if stop < 5 {
				t.Fatalf("only %d writes", stop)
			}
			return
		}
		disk := open(t, crashed)
		h, err := disk.Holding(7, 0)
		must(t, err)
		if h == nil {
			t.Fatalf("write %d: nothing held", stop)
		}
		claim := h.Claim()
		if worth, err := claim.Worth(); err != nil || worth != chain.Atto(40) {
			t.Fatalf("write %d: holds %s of voucher %d", stop, worth, h.Voucher.Voucher.Nonce)
		}
		must(t, disk.Close())
	}
}

// FuzzRecords reads damaged records: an error, never a panic, never another
// meaning.
func FuzzRecords(f *testing.F) {
	p, _ := promise(f, 7, 0, 1, 40)
	value, err := encodePromise(p)
	must(f, err)
	f.Add(value)
	value, err = encodeVoucher(someone(f), &p.Voucher)
	must(f, err)
	f.Add(value)
	f.Add(append(encodeNumbers(3), make([]byte, 32)...))
	f.Fuzz(func(t *testing.T, value []byte) {
		if p, err := decodePromise(value); err == nil {
			if again, err := encodePromise(p); err != nil || !bytes.Equal(again, value) {
				t.Errorf("promise %x reads as %x (%v)", value, again, err)
			}
		}
		if h, err := decodeHolding(value); err == nil {
			if again, err := encodeVoucher(h.Payer, &h.Voucher); err != nil || !bytes.Equal(again, value) {
				t.Errorf("voucher %x reads as %x (%v)", value, again, err)
			}
		}
		_, _, _ = decodeTick(value)
	})
}

// BenchmarkSaveTick is what a credit window costs on a real disk; lanes that
// save at one time share syncs.
func BenchmarkSaveTick(b *testing.B) {
	for _, lanes := range []int{1, 8} {
		b.Run(fmt.Sprintf("lanes=%d", lanes), func(b *testing.B) {
			l, err := Open(b.TempDir(), Options{})
			must(b, err)
			defer l.Close()
			var all sync.WaitGroup
			for lane := range lanes {
				all.Add(1)
				go func() {
					defer all.Done()
					for k := range uint64(b.N / lanes) {
						if err := l.SaveTick(1, uint64(lane), 1, k, [32]byte{byte(k)}); err != nil {
							b.Error(err)
						}
					}
				}()
			}
			all.Wait()
		})
	}
}
