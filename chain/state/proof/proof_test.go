package proof_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/state/proof"
)

// tree is a state with records in a table of every shape.
func tree(t testing.TB) (*state.View, []consensus.Change) {
	t.Helper()
	p := consensus.Devnet()
	p.ChainID = "proof-test"
	s, err := state.Open(state.Config{Dir: "db", Params: p, FS: vfs.NewMem(), Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	global, err := chain.Encode(&chain.Global{RuleVersion: 1})
	if err != nil {
		t.Fatal(err)
	}
	changes := []consensus.Change{{Table: chain.TableGlobal, Value: global}}
	add := func(k chain.Key, n uint64) {
		b, err := chain.Encode(&chain.QueueHead{Count: n})
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, consensus.Change{Table: k.Table, ID: []byte(k.ID), Value: b})
	}
	for i := range uint64(300) {
		add(chain.Key{Table: chain.TableAccount, ID: string(binary.BigEndian.AppendUint64([]byte{1}, i))}, i)
		add(chain.DealKey(i*i), i)
		add(chain.SectorKey(1000+i%5, i), i)
	}
	slices.SortFunc(changes, func(a, b consensus.Change) int {
		if a.Key().Less(b.Key()) {
			return -1
		}
		return 1
	})
	if _, err := s.Genesis(&consensus.Update{Version: consensus.UpdateVersion, Changes: changes}); err != nil {
		t.Fatal(err)
	}
	return s.View(), changes
}

// TestRecords proves every record, and that the app hash alone convinces.
func TestRecords(t *testing.T) {
	v, changes := tree(t)
	for _, c := range changes {
		car, err := v.Proof(c.Key())
		if err != nil {
			t.Fatal(err)
		}
		got, err := proof.Verify(car, v.AppHash(), c.Key())
		if err != nil || !bytes.Equal(got, c.Value) {
			t.Fatalf("%s %x: %x, %v; want %x", c.Table, c.ID, got, err, c.Value)
		}
	}
}

// TestAbsence proves that records are not there, in tables with and without others.
func TestAbsence(t *testing.T) {
	v, _ := tree(t)
	for _, k := range []chain.Key{
		{Table: chain.TableAccount, ID: "nobody"}, chain.DealKey(2), chain.DealKey(1 << 60),
		chain.SectorKey(1000, 1), chain.SectorKey(7, 1), chain.OrderKey(1),
	} {
		car, err := v.Proof(k)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := proof.Verify(car, v.AppHash(), k); err != nil || got != nil {
			t.Errorf("%s %x: %x, %v; want nothing", k.Table, k.ID, got, err)
		}
	}
}

// TestForgery changes proofs: no change is accepted as a proof of anything
// but the truth.
func TestForgery(t *testing.T) {
	v, _ := tree(t)
	k := chain.SectorKey(1002, 2)
	good, err := v.Proof(k)
	if err != nil {
		t.Fatal(err)
	}
	other, err := v.Proof(chain.DealKey(4))
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, err := proof.Verify(bad, v.AppHash(), k); err == nil {
			t.Fatalf("a proof with byte %d changed was accepted", i)
		}
		if _, err := proof.Verify(good[:i], v.AppHash(), k); err == nil {
			t.Fatalf("a proof cut at %d was accepted", i)
		}
	}
	if _, err := proof.Verify(other, v.AppHash(), k); !errors.Is(err, proof.ErrMissing) {
		t.Errorf("proof of another key: %v", err)
	}
	header := len(good) - len(bytes.TrimPrefix(good, good[:60]))
	if _, err := proof.Verify(slices.Concat(good, other[header:]), v.AppHash(), k); !errors.Is(err, proof.ErrMalformed) {
		t.Errorf("proof with more than its path: %v", err)
	}
	wrong := slices.Clone(v.AppHash())
	wrong[20]++
	if _, err := proof.Verify(good, wrong, k); !errors.Is(err, proof.ErrMalformed) {
		t.Errorf("proof under another app hash: %v", err)
	}
	for _, hash := range [][]byte{nil, make([]byte, 32), []byte("Qm")} {
		if _, err := proof.Verify(good, hash, k); err == nil {
			t.Errorf("app hash %x was accepted", hash)
		}
	}
}

// FuzzVerify feeds archives: none may panic, and none but a true one may show
// a record.
func FuzzVerify(f *testing.F) {
	v, changes := tree(f)
	for _, c := range []consensus.Change{changes[0], changes[1], changes[400], changes[700]} {
		car, err := v.Proof(c.Key())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(car, uint64(c.Table), c.ID)
	}
	f.Fuzz(func(t *testing.T, car []byte, table uint64, id []byte) {
		k := chain.Key{Table: chain.Table(table), ID: string(id)}
		got, err := proof.Verify(car, v.AppHash(), k)
		if err != nil {
			return
		}
		want, err := v.Record(k)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s %x: %x was shown, the state has %x (%v)", k.Table, k.ID, got, want, err)
		}
	})
}

// FuzzRoot reads root records: what decodes is canonical and encodes back.
func FuzzRoot(f *testing.F) {
	b, err := chain.Encode(&proof.Root{Schema: proof.Schema, Params: proof.LinkOf(nil), Single: []byte{0x80}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r proof.Root
		if chain.Decode(b, &r) != nil {
			return
		}
		if again, err := chain.Encode(&r); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x encodes back as %x, %v", b, again, err)
		}
	})
}
