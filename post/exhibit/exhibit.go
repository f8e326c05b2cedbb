// Package exhibit puts a proof and the statement that it proves into one file, so that it can be
// checked offline, by anyone, with nothing else at hand. The chain has no use for it: there the
// statement comes from the state.
//
// A seal exhibit proves that the sector of the miner, number, ticket and CommD was sealed into
// CommR. A window exhibit proves that whoever made it held the replica behind CommR when the seed
// was drawn; it carries miner, ticket and CommD too, as the prover names them, and proves nothing
// about those.
package exhibit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/post"
)

// Kind says what an exhibit proves.
type Kind string

// The kinds of exhibits.
const (
	Seal   Kind = "seal"   // the sector was sealed
	Window Kind = "window" // the sector is still held
)

// MaxSealChallenges bounds the challenges of a seal exhibit.
const MaxSealChallenges = 4096

var (
	// ErrFormat says that bytes are not an exhibit of this version.
	ErrFormat = errors.New("not a proof file of this version")
	// ErrAltered says that the proof holds but the file is not what was written.
	ErrAltered = errors.New("the file was changed after it was written")
)

// Exhibit is a proof with its statement.
type Exhibit struct {
	Kind      Kind
	ProofType abi.RegisteredSealProof // also of the sector of a window proof
	MinerID   uint64                  // actor number
	Number    abi.SectorNumber
	Ticket    [32]byte
	Seed      [32]byte // of the seal challenges, or the randomness of the window as drawn
	CommD     [32]byte
	CommR     [32]byte
	// Challenges is the number of challenges that the proof answers.
	Challenges int
	// Parts are the proofs: of a seal one for each run of at most porep.MaxPartChallenges
	// challenges, of a window exactly one.
	Parts [][]byte

	altered bool // the file's digest does not fit
}

// PartCount returns the number of challenges that part i of a seal exhibit answers.
func PartCount(challenges, i int) int {
	return min(porep.MaxPartChallenges, challenges-i*porep.MaxPartChallenges)
}

// parts returns the number of parts that the kind and challenges ask for.
func (e *Exhibit) parts() int {
	if e.Kind == Window {
		return 1
	}
	return (e.Challenges + porep.MaxPartChallenges - 1) / porep.MaxPartChallenges
}

// Verify checks the proof. FirstBad tells from the error which challenge is the first that does
// not hold. A file whose proof holds but that was changed elsewhere gives ErrAltered.
func (e *Exhibit) Verify() error {
	var err error
	if e.Kind == Window {
		err = e.verifyWindow()
	} else {
		err = e.verifySeal()
	}
	if err == nil && e.altered {
		return ErrAltered
	}
	return err
}

func (e *Exhibit) verifySeal() error {
	for i, part := range e.Parts {
		in := porep.SealInput{
			ProofType: e.ProofType, MinerID: e.MinerID, Number: e.Number, Ticket: e.Ticket, Seed: e.Seed,
			CommD: e.CommD, CommR: e.CommR, First: i * porep.MaxPartChallenges, Count: PartCount(e.Challenges, i),
		}
		if err := porep.Verify(in, part); err != nil {
			return fmt.Errorf("seal proof, part %d: %w", i, err)
		}
	}
	return nil
}

func (e *Exhibit) verifyWindow() error {
	in, err := e.Statement()
	if err != nil {
		return err
	}
	if err := post.Verify(in, e.Parts[0]); err != nil {
		return fmt.Errorf("window proof: %w", err)
	}
	return nil
}

// Statement returns the statement of a window exhibit: its one sector, randomness and challenges.
func (e *Exhibit) Statement() (post.WindowInput, error) {
	proof, err := post.WindowProof(e.ProofType)
	if err != nil {
		return post.WindowInput{}, err
	}
	return post.WindowInput{
		ProofType: proof, Randomness: e.Seed, Challenges: e.Challenges,
		Sectors: []post.Sector{{Number: e.Number, CommR: e.CommR}},
	}, nil
}

// FirstBad returns the number of the first challenge that does not hold, if an error of Verify
// names one.
func FirstBad(err error) (int, bool) {
	var seal *porep.ChallengeError
	if errors.As(err, &seal) {
		return seal.Index, true
	}
	var window *post.SectorError
	if errors.As(err, &window) && window.Challenge >= 0 {
		return window.Challenge, true
	}
	return 0, false
}

// The file: magic, version, kind, statement, parts, digest of all before. Numbers are big-endian.
const (
	magic      = "PDRPROOF"
	version    = 1
	headerSize = len(magic) + 2 + 2 + 8 + 8 + 4*32 + 4
)

// kindBytes gives each kind its number in the file.
var kindBytes = [...]Kind{1: Seal, 2: Window}

// Encode returns the file. It fails for a statement that Decode would refuse.
func (e *Exhibit) Encode() ([]byte, error) {
	kind := byte(0)
	for i, k := range kindBytes {
		if k != "" && k == e.Kind {
			kind = byte(i)
		}
	}
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("write proof file: %w", err)
	}
	if len(e.Parts) != e.parts() {
		return nil, fmt.Errorf("write proof file: %d parts for %d challenges: %w", len(e.Parts), e.Challenges, ErrFormat)
	}
	out := append([]byte(magic), version, kind)
	out = binary.BigEndian.AppendUint16(out, uint16(e.ProofType))
	out = binary.BigEndian.AppendUint64(out, e.MinerID)
	out = binary.BigEndian.AppendUint64(out, uint64(e.Number))
	for _, node := range [][32]byte{e.Ticket, e.Seed, e.CommD, e.CommR} {
		out = append(out, node[:]...)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(e.Challenges))
	for _, part := range e.Parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	digest := sha256.Sum256(out)
	return append(out, digest[:]...), nil
}

// check says whether kind, proof type and number of challenges are possible.
func (e *Exhibit) check() error {
	if _, err := porep.ParamsOf(e.ProofType); err != nil {
		return err
	}
	most := MaxSealChallenges
	switch e.Kind {
	case Seal:
	case Window:
		most = post.MaxChallenges
	default:
		return fmt.Errorf("kind %q: %w", e.Kind, ErrFormat)
	}
	if e.Challenges < 1 || e.Challenges > most {
		return fmt.Errorf("%d challenges, want 1 to %d: %w", e.Challenges, most, ErrFormat)
	}
	return nil
}

// Decode reads a file. It checks the form alone: whether the proof holds, and whether the file is
// as it was written, is for Verify.
func Decode(data []byte) (*Exhibit, error) {
	if len(data) < headerSize+sha256.Size || string(data[:len(magic)]) != magic || data[len(magic)] != version {
		return nil, fmt.Errorf("read proof file: %w", ErrFormat)
	}
	body, digest := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	e := &Exhibit{altered: sha256.Sum256(body) != [32]byte(digest)}
	rest := body[len(magic)+1:]
	if int(rest[0]) < len(kindBytes) {
		e.Kind = kindBytes[rest[0]]
	}
	e.ProofType = abi.RegisteredSealProof(binary.BigEndian.Uint16(rest[1:]))
	e.MinerID = binary.BigEndian.Uint64(rest[3:])
	e.Number = abi.SectorNumber(binary.BigEndian.Uint64(rest[11:]))
	rest = rest[19:]
	for _, node := range []*[32]byte{&e.Ticket, &e.Seed, &e.CommD, &e.CommR} {
		rest = rest[copy(node[:], rest):]
	}
	e.Challenges = int(binary.BigEndian.Uint32(rest))
	rest = rest[4:]
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("read proof file: %w", err)
	}
	for i := range e.parts() {
		if len(rest) < 4 || uint64(len(rest)-4) < uint64(binary.BigEndian.Uint32(rest)) {
			return nil, fmt.Errorf("read proof file: part %d is cut off: %w", i, ErrFormat)
		}
		size := int(binary.BigEndian.Uint32(rest))
		e.Parts = append(e.Parts, rest[4:4+size])
		rest = rest[4+size:]
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("read proof file: %d bytes after the last part: %w", len(rest), ErrFormat)
	}
	return e, nil
}
