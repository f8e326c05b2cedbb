package exhibit_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/seal"
	"github.com/perdure/perdure/post/exhibit"
	"github.com/perdure/perdure/post/prove"
)

var seed = [32]byte{1, 2, 3, 31: 0xff}

// sealed makes a 2 KiB sector and returns its directory.
func sealed(t testing.TB) string {
	t.Helper()
	s, err := seal.Open(seal.Config{
		ProofType: abi.RegisteredSealProof_StackedDrg2KiBV1_1, MinerID: 1000, Number: 7, Dir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	data := seal.Piece{Data: bytes.NewReader([]byte("what the sector holds")), PaddedSize: 128}
	if err := s.WriteData(context.Background(), []seal.Piece{data}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(context.Background(), [32]byte{9}); err != nil {
		t.Fatal(err)
	}
	return s.Config().Dir
}

func encoded(t testing.TB, dir string, kind exhibit.Kind, challenges int) []byte {
	t.Helper()
	e, err := prove.Exhibit(context.Background(), dir, kind, seed, challenges)
	if err != nil {
		t.Fatal(err)
	}
	data, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestExhibitsHold(t *testing.T) {
	dir := sealed(t)
	for _, c := range []struct {
		kind       exhibit.Kind
		challenges int
		parts      int
	}{{exhibit.Seal, 1, 1}, {exhibit.Seal, 18, 1}, {exhibit.Seal, 19, 2}, {exhibit.Seal, 40, 3}, {exhibit.Window, 10, 1}} {
		data := encoded(t, dir, c.kind, c.challenges)
		e, err := exhibit.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Verify(); err != nil {
			t.Errorf("%s, %d challenges: %v", c.kind, c.challenges, err)
		}
		if len(e.Parts) != c.parts || e.MinerID != 1000 || e.Number != 7 || e.Seed != seed || e.Ticket != [32]byte{9} {
			t.Errorf("%s, %d challenges: read back as %d parts, miner %d, number %d", c.kind, c.challenges, len(e.Parts), e.MinerID, e.Number)
		}
		again, err := e.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s, %d challenges: encoded differently, %v", c.kind, c.challenges, err)
		}
	}
}

// TestAnyChangeIsRefused flips a bit of every byte, cuts the file and extends it.
func TestAnyChangeIsRefused(t *testing.T) {
	dir := sealed(t)
	for _, kind := range []exhibit.Kind{exhibit.Seal, exhibit.Window} {
		data := encoded(t, dir, kind, 2)
		named := 0
		for i := range data {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << (i % 8)
			e, err := exhibit.Decode(bad)
			if err != nil {
				continue
			}
			if err = e.Verify(); err == nil {
				t.Fatalf("%s: byte %d of %d does not count", kind, i, len(data))
			}
			if first, ok := exhibit.FirstBad(err); ok {
				named++
				if first < 0 || first > 1 {
					t.Fatalf("%s: byte %d: first bad challenge %d of 2", kind, i, first)
				}
			}
		}
		if named < len(data)/2 {
			t.Errorf("%s: of %d bytes only %d name a challenge", kind, len(data), named)
		}
		for _, bad := range [][]byte{nil, data[:len(data)-1], data[1:], append(bytes.Clone(data), 0), data[:40]} {
			if e, err := exhibit.Decode(bad); err == nil && e.Verify() == nil {
				t.Errorf("%s: %d bytes of %d accepted", kind, len(bad), len(data))
			}
		}
	}
}

// TestClaimsAreProtected says what is proven by the proof and what only by the file's digest.
func TestClaimsAreProtected(t *testing.T) {
	data := encoded(t, sealed(t), exhibit.Window, 10)
	const minerAt = 8 + 2 + 2
	data[minerAt] ^= 1
	e, err := exhibit.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Verify(); !errors.Is(err, exhibit.ErrAltered) {
		t.Errorf("another miner: %v, want ErrAltered", err)
	}
	if _, ok := exhibit.FirstBad(exhibit.ErrAltered); ok {
		t.Error("an altered claim named a challenge")
	}
}

func TestEncodeRefuses(t *testing.T) {
	good := exhibit.Exhibit{Kind: exhibit.Seal, ProofType: abi.RegisteredSealProof_StackedDrg2KiBV1_1, Challenges: 2, Parts: [][]byte{{}}}
	if _, err := good.Encode(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*exhibit.Exhibit){
		"kind":       func(e *exhibit.Exhibit) { e.Kind = "other" },
		"no kind":    func(e *exhibit.Exhibit) { e.Kind = "" },
		"proof type": func(e *exhibit.Exhibit) { e.ProofType = abi.RegisteredSealProof_StackedDrg2KiBV1 },
		"none":       func(e *exhibit.Exhibit) { e.Challenges = 0 },
		"too many":   func(e *exhibit.Exhibit) { e.Challenges = exhibit.MaxSealChallenges + 1 },
		"parts":      func(e *exhibit.Exhibit) { e.Challenges = porep.MaxPartChallenges + 1 },
		"window":     func(e *exhibit.Exhibit) { e.Kind, e.Challenges = exhibit.Window, 1000 },
	} {
		e := good
		change(&e)
		if _, err := e.Encode(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzDecode: no bytes crash the reader or the check, what is read has one encoding apart from its
// digest, and nothing holds but the files that were made.
func FuzzDecode(f *testing.F) {
	dir := sealed(f)
	whole := [][]byte{
		encoded(f, dir, exhibit.Seal, 2), encoded(f, dir, exhibit.Seal, 19),
		encoded(f, dir, exhibit.Window, 10), encoded(f, dir, exhibit.Window, 1),
	}
	for _, file := range whole {
		f.Add(file)
		f.Add(file[:len(file)/2])
	}
	f.Add([]byte("PDRPROOF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := exhibit.Decode(data)
		if err != nil {
			return
		}
		again, err := e.Encode()
		if err != nil || !bytes.Equal(again[:len(again)-32], data[:len(data)-32]) {
			t.Fatalf("read but written differently: %v", err)
		}
		made := slices.ContainsFunc(whole, func(file []byte) bool { return bytes.Equal(file, data) })
		if err := e.Verify(); (err == nil) != made {
			t.Fatalf("%d bytes: %v", len(data), err)
		}
	})
}
