// Package vanilla reads window proofs of the reference implementation of Filecoin's proofs, before
// a SNARK is made of them, so that they can be checked here as they are:
//
//	proof, err := vanilla.DecodeWindow(file)
//	err = proof.Verify(post.SectorInput{
//		ProofType:    abi.RegisteredPoStProof_StackedDrgWindow32GiBV1_1,
//		SectorNumber: number, CommR: commR, Randomness: randomness,
//	})
//
// ORIGIN.md has the format.
package vanilla

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/post"
)

// Limits of what DecodeWindow takes; a proof of the reference implementation keeps far below them.
const (
	maxBytes  = 1 << 20
	maxLevels = 32 // of all paths of an opening together
)

var (
	// ErrFormat says that bytes are not a vanilla window proof of one sector.
	ErrFormat = errors.New("not a vanilla window proof of one sector")
	// ErrClaim says that a proof contradicts itself or the statement in what it says about itself.
	ErrClaim = errors.New("vanilla proof contradicts itself or its statement")
)

// Window is the vanilla proof that one sector was held.
type Window struct {
	Sector           abi.SectorNumber
	CommR            [32]byte
	Openings         []Opening // in the order of the challenges
	CommC, CommRLast [32]byte
}

// Opening is one challenged leaf with the paths that lead from it to the root: one through the base
// tree and, in the trees of large sectors, one through each of the levels that join base trees.
type Opening struct {
	Root, Leaf [32]byte
	Paths      [][]Level // 1 to 3: base, sub, top
}

// Level is one level of a path: the siblings in order, and the place of the node itself among them.
type Level struct {
	Siblings [][32]byte
	Place    uint64
}

// DecodeWindow reads a proof to the end of r. It demands the exact form: one sector, at least one
// opening and at most post.MaxChallenges, at least one level a path, each with 1 to 63 siblings and
// a place within them, and nothing after the last byte. Errors are ErrFormat or those of r.
func DecodeWindow(r io.Reader) (*Window, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read vanilla proof: %w", err)
	}
	if len(data) > maxBytes {
		return nil, fmt.Errorf("read vanilla proof: more than %d bytes: %w", maxBytes, ErrFormat)
	}
	d := &decoder{rest: data}
	w := &Window{Sector: abi.SectorNumber(d.number("sector number")), CommR: d.node("CommR")}
	d.count("sector proofs", 1, 1)
	openings := d.count("openings", 1, post.MaxChallenges)
	for i := 0; i < openings && d.err == nil; i++ {
		w.Openings = append(w.Openings, d.opening())
	}
	w.CommC, w.CommRLast = d.node("CommC"), d.node("CommRLast")
	if d.err == nil && len(d.rest) != 0 {
		d.fail("%d bytes after the end", len(d.rest))
	}
	if d.err != nil {
		return nil, fmt.Errorf("read vanilla proof: byte %d: %w", len(data)-len(d.rest), d.err)
	}
	return w, nil
}

// decoder reads values from the front of rest until the first error, which stays.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrFormat)
	}
}

// bytes takes n bytes, of which there may be too few: then they are zeros.
func (d *decoder) bytes(what string, n int) []byte {
	if d.err != nil || len(d.rest) < n {
		d.fail("%s is cut off", what)
		return make([]byte, n)
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out
}

func (d *decoder) number(what string) uint64 { return binary.LittleEndian.Uint64(d.bytes(what, 8)) }

func (d *decoder) node(what string) [32]byte { return [32]byte(d.bytes(what, 32)) }

// count takes a number of things that must be in a range.
func (d *decoder) count(what string, least, most int) int {
	n := d.number(what)
	if d.err == nil && (n < uint64(least) || n > uint64(most)) {
		d.fail("%d %s, want %d to %d", n, what, least, most)
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

func (d *decoder) opening() Opening {
	var o Opening
	variant := binary.LittleEndian.Uint32(d.bytes("variant", 4))
	switch variant {
	case 0:
		o.Root, o.Leaf = d.node("root"), d.node("leaf")
		o.Paths = [][]Level{d.path()}
		return o
	case 1, 2:
		for range variant + 1 {
			o.Paths = append(o.Paths, d.path())
		}
		o.Root, o.Leaf = d.node("root"), d.node("leaf")
		return o
	}
	d.fail("variant %d of an opening, want 0 to 2", variant)
	return o
}

func (d *decoder) path() []Level {
	var path []Level
	levels := d.count("levels", 1, maxLevels)
	for i := 0; i < levels && d.err == nil; i++ {
		var level Level
		siblings := d.count("siblings", 1, merkle.MaxArity-1)
		for j := 0; j < siblings && d.err == nil; j++ {
			level.Siblings = append(level.Siblings, d.node("sibling"))
		}
		level.Place = d.number("place")
		if level.Place > uint64(siblings) {
			d.fail("place %d among %d siblings", level.Place, siblings)
		}
		path = append(path, level)
	}
	return path
}

// Encode writes the proof in the form that DecodeWindow reads, without checking it.
func (w *Window) Encode() []byte {
	number := binary.LittleEndian.AppendUint64
	out := number(nil, uint64(w.Sector))
	out = append(out, w.CommR[:]...)
	out = number(out, 1)
	out = number(out, uint64(len(w.Openings)))
	for _, o := range w.Openings {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(o.Paths)-1))
		ends := append(o.Root[:], o.Leaf[:]...)
		if len(o.Paths) == 1 {
			out = append(out, ends...)
		}
		for _, path := range o.Paths {
			out = number(out, uint64(len(path)))
			for _, level := range path {
				out = number(out, uint64(len(level.Siblings)))
				out = merkle.AppendNodes(out, level.Siblings)
				out = number(out, level.Place)
			}
		}
		if len(o.Paths) > 1 {
			out = append(out, ends...)
		}
	}
	return append(append(out, w.CommC[:]...), w.CommRLast[:]...)
}
