package porep_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
)

// compound are the shapes of sectors of 32 and 64 GiB at 16 and 32 KiB, with as many layers.
var compound = []porep.Params{
	{ID: porep.ID(8), Nodes: 512, Layers: 11, Shape: merkle.Shape{Base: 8, Sub: 8}},
	{ID: porep.ID(9), Nodes: 1024, Layers: 11, Shape: merkle.Shape{Base: 8, Sub: 8, Top: 2}},
}

// compoundSectors are honest sectors of these shapes, sealed once.
var compoundSectors = make(map[int]*sector)

var sealOnce sync.Mutex

func compoundSector(t testing.TB, i int) *sector {
	t.Helper()
	sealOnce.Lock()
	defer sealOnce.Unlock()
	if compoundSectors[i] == nil {
		p := compound[i]
		compoundSectors[i] = sealSector(t, p, porep.SealInput{MinerID: 1000, Number: 7, Ticket: filled(3)}, testData(p.Nodes), forgery{})
	}
	return compoundSectors[i]
}

// TestCompoundBytes flips bits all over proofs of the compound shapes, and cuts and extends them:
// the challenge to which the byte belongs is named.
func TestCompoundBytes(t *testing.T) {
	for i, p := range compound {
		s := compoundSector(t, i)
		in := s.part(1, 36, 2)
		proof := s.prove(t, in)
		if err := p.Verify(in, proof); err != nil {
			t.Fatal(err)
		}
		ends := ends(t, s, in, proof)
		blamed := func(at int) int {
			if want := owner(ends, at); want >= 0 {
				return want + in.First
			}
			return -1
		}
		for at := 0; at < len(proof); at += 307 {
			bad := bytes.Clone(proof)
			bad[at] ^= 1 << (at % 8)
			if err := p.Verify(in, bad); err == nil || named(err) != blamed(at) {
				t.Errorf("%v: byte %d belongs to challenge %d: %v", p.Shape, at, blamed(at), err)
			}
			if at%5 == 0 {
				if err := p.Verify(in, proof[:at]); !errors.Is(err, porep.ErrLength) || named(err) != blamed(at) {
					t.Errorf("%v: cut at %d of %d: %v", p.Shape, at, len(proof), err)
				}
			}
		}
		for _, more := range []int{1, 32, 1 << 20} {
			if err := p.Verify(in, append(bytes.Clone(proof), make([]byte, more)...)); !errors.Is(err, porep.ErrLength) {
				t.Errorf("%v: %d bytes more: %v", p.Shape, more, err)
			}
		}
	}
}

// TestCompoundForgeries: sectors of the compound shapes that cheat are found.
func TestCompoundForgeries(t *testing.T) {
	junk := func(v uint64) merkle.Node { return testData(v + 1)[v] }
	for name, c := range map[string]struct {
		cheat forgery
		blame string
	}{
		"one layer left out": {forgery{label: func(layer int, v uint64, label merkle.Node) merkle.Node {
			if layer == 6 {
				return junk(v)
			}
			return label
		}}, "column"},
		"swapped parents": {forgery{parents: func(p *[graph.Degree]uint32) { p[1], p[2] = p[2], p[1] }}, "column"},
		"expander first":  {forgery{parents: func(p *[graph.Degree]uint32) { p[graph.BaseDegree] = p[graph.Degree-1] }}, "column"},
		"replica of zeros": {forgery{encoded: func(uint64, merkle.Node) merkle.Node {
			return merkle.Node{}
		}}, "replica"},
	} {
		for _, p := range compound {
			s := sealSector(t, p, porep.SealInput{MinerID: 1000, Number: 7}, testData(p.Nodes), c.cheat)
			in := s.part(9, 0, porep.MaxPartChallenges)
			err := p.Verify(in, s.prove(t, in))
			if named(err) < 0 || !errors.Is(err, merkle.ErrOpening) || !strings.Contains(err.Error(), c.blame) {
				t.Errorf("%v: %s: %v", p.Shape, name, err)
			}
		}
	}
}

// TestCompoundStatement changes the statement of a proof.
func TestCompoundStatement(t *testing.T) {
	for i, p := range compound {
		s := compoundSector(t, i)
		in := s.part(1, 0, 3)
		proof := s.prove(t, in)
		for name, change := range map[string]func(*porep.SealInput){
			"seed":   func(in *porep.SealInput) { in.Seed[0] ^= 1 },
			"ticket": func(in *porep.SealInput) { in.Ticket[0] ^= 1 },
			"miner":  func(in *porep.SealInput) { in.MinerID++ },
			"CommD":  func(in *porep.SealInput) { in.CommD[0] ^= 1 },
			"CommR":  func(in *porep.SealInput) { in.CommR[0] ^= 1 },
			"first":  func(in *porep.SealInput) { in.First = 3 },
			"fewer":  func(in *porep.SealInput) { in.Count-- },
			"more":   func(in *porep.SealInput) { in.Count++ },
		} {
			changed := in
			change(&changed)
			if err := p.Verify(changed, proof); err == nil {
				t.Errorf("%v: passed with another %s", p.Shape, name)
			}
		}
		for _, other := range compound {
			if other.Shape != p.Shape && other.Verify(in, proof) == nil {
				t.Errorf("%v: passed as %v", p.Shape, other.Shape)
			}
		}
	}
}

// damage changes a proof in one of many ways, or not at all.
func damage(rt *rapid.T, proof []byte) []byte {
	bad := bytes.Clone(proof)
	node := rapid.IntRange(0, (len(proof)-2)/porep.NodeSize-1)
	at := 2 + node.Draw(rt, "node")*porep.NodeSize
	switch rapid.SampledFrom([]string{"not", "flip", "modulus", "swap", "cut", "cut node", "drop", "extend"}).Draw(rt, "damage") {
	case "flip":
		bad[at+at%32] ^= 1 << (at % 8)
	case "modulus":
		copy(bad[at:], bytes.Repeat([]byte{0xff}, porep.NodeSize))
	case "swap":
		other := 2 + node.Draw(rt, "other")*porep.NodeSize
		copy(bad[at:at+porep.NodeSize], proof[other:])
		copy(bad[other:other+porep.NodeSize], proof[at:])
	case "cut":
		bad = bad[:at+at%32]
	case "cut node":
		bad = bad[:at]
	case "drop":
		bad = slices.Delete(bad, at, at+porep.NodeSize)
	case "extend":
		bad = append(bad, bad[at:at+porep.NodeSize]...)
	}
	return bad
}

// TestTogether checks proofs, damaged or not, in one batch and one by one: both accept the one
// valid proof and nothing else, and Verify names the place that reading one by one finds.
func TestTogether(t *testing.T) {
	sectors := []*sector{honest(t), compoundSector(t, 0), compoundSector(t, 1)}
	rapid.Check(t, func(rt *rapid.T) {
		s := rapid.SampledFrom(sectors).Draw(rt, "sector")
		in := s.part(1, rapid.IntRange(0, 3).Draw(rt, "first"), rapid.IntRange(1, 4).Draw(rt, "count"))
		proof := s.prove(t, in)
		bad := damage(rt, proof)
		good := bytes.Equal(bad, proof)
		together, single := s.params.Together(in, bad), s.params.OneByOne(in, bad)
		if (together == nil) != good || (single == nil) != good {
			rt.Fatalf("together: %v, one by one: %v", together, single)
		}
		if got := s.params.Verify(in, bad); named(got) != named(single) || (got == nil) != good {
			rt.Fatalf("verify: %v, one by one: %v", got, single)
		}
	})
}

// FuzzVerifyCompound: no bytes crash the verifier, and none but the proof itself pass.
func FuzzVerifyCompound(f *testing.F) {
	s := compoundSector(f, 1)
	in := s.part(1, 0, 2)
	proof := s.prove(f, in)
	f.Add(proof)
	f.Add(proof[:len(proof)/2])
	f.Add(proof[:headerSize])
	f.Add([]byte{'S', 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := s.params.Verify(in, data); (err == nil) != bytes.Equal(data, proof) {
			t.Fatalf("%d bytes: %v", len(data), err)
		}
	})
}
