// Package seal makes sealed sectors and reads them: it writes data into a
// sector, seals it in durable steps, opens it for proofs and gets the data back.
//
// A sector lives in one directory, with the file names of the reference
// implementation's cache:
//
//	unsealed                       the padded data
//	sealed                         the replica
//	p_aux                          CommC || CommRLast
//	sc-02-data-tree-d.dat          tree over the data
//	sc-02-data-layer-{1..L}.dat    labels
//	sc-02-data-tree-c[-i].dat      trees over the columns, one a base tree
//	sc-02-data-tree-r-last[-i].dat trees over the replica, the lowest rows left out
//	seal.json                      what is done: size and SHA-256 of every file
//
// Every file is written beside its place, synced, renamed, and only then noted
// in seal.json, so that a killed process goes on after the last finished step,
// and a file that does not hold what was noted is made again. All steps are
// functions of the data, the ticket and the identity of the sector: doing one
// twice gives the same bytes.
package seal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
)

// Config names a sector and says where it lives.
type Config struct {
	ProofType abi.RegisteredSealProof
	MinerID   uint64 // actor number of the miner
	Number    abi.SectorNumber
	Dir       string // made if it does not exist; holds this sector alone

	// Workers bounds the cores used; 0 means as many as there are.
	Workers int
	// Progress, if not nil, is told how far a step is, in nodes. It is called by
	// one goroutine at a time and must not call the sector.
	Progress func(step Step, done, total uint64)

	// params replaces the registered ones in tests of other shapes.
	params *porep.Params
}

// Errors that a caller may want to tell apart.
var (
	ErrIdentity = errors.New("directory holds another sector")
	ErrTicket   = errors.New("sector was sealed with another ticket")
	ErrOrder    = errors.New("an earlier step is not done")
	ErrData     = errors.New("sector holds data already")
	ErrPiece    = errors.New("piece has not the commitment that it should have")
)

// Step is one durable step of sealing.
type Step string

// The steps in their order. Done stands for what comes after the last.
const (
	StepData      Step = "data"        // pieces padded into the sector
	StepTreeD     Step = "tree-d"      // CommD
	StepLabels    Step = "labels"      // one layer after the other
	StepTreeC     Step = "tree-c"      // CommC
	StepReplica   Step = "replica"     // data encoded with the last layer
	StepTreeRLast Step = "tree-r-last" // CommRLast
	StepCommit    Step = "commit"      // CommR
	Done          Step = "done"
)

// Result is what sealing gives: the commitments as stored, and the replica id.
type Result struct {
	CommD, CommR, CommC, CommRLast, ReplicaID [32]byte
}

// Sector is one sector's directory. It is not safe for concurrent use, but a
// finished sector may be opened any number of times for reading.
type Sector struct {
	cfg     Config
	params  porep.Params
	record  record
	checked bool // the files on disk were compared with the record
}

// Open opens the directory of a sector, which may be new. It fails with
// [ErrIdentity] if the directory holds another one.
func Open(cfg Config) (*Sector, error) {
	s := &Sector{cfg: cfg}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open sector %d: %w", cfg.Number, err)
	}
	return s, nil
}

func (s *Sector) open() (err error) {
	if s.cfg.params != nil {
		s.params = *s.cfg.params
	} else if s.params, err = porep.ParamsOf(s.cfg.ProofType); err != nil {
		return err
	}
	if s.cfg.Workers <= 0 {
		s.cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if err := os.MkdirAll(s.cfg.Dir, 0o755); err != nil {
		return err
	}
	return s.loadRecord()
}

// Find opens the directory of a sector that exists already, with the identity
// that its record names.
func Find(dir string) (*Sector, error) {
	r, err := readRecord(filepath.Join(dir, recordFile))
	if err != nil {
		return nil, fmt.Errorf("open sector in %s: %w", dir, err)
	}
	return Open(Config{ProofType: r.ProofType, MinerID: r.MinerID, Number: r.Number, Dir: dir})
}

// Config returns the identity and place of the sector.
func (s *Sector) Config() Config { return s.cfg }

// Params returns the parameters of the sector's registered proof.
func (s *Sector) Params() porep.Params { return s.params }

// Ticket returns the ticket with which the sector is sealed, and whether one is
// set.
func (s *Sector) Ticket() (ticket [32]byte, ok bool) {
	if s.record.Ticket == nil {
		return ticket, false
	}
	return [32]byte(*s.record.Ticket), true
}

// SetTicket fixes the ticket, durably. Another ticket than the one that is set
// is refused with [ErrTicket]: see [Sector.Reset].
func (s *Sector) SetTicket(ticket [32]byte) error {
	if have, ok := s.Ticket(); ok {
		if have != ticket {
			return fmt.Errorf("set ticket of sector %d: %w", s.cfg.Number, ErrTicket)
		}
		return nil
	}
	fixed := digest(ticket)
	s.record.Ticket = &fixed
	if err := s.saveRecord(); err != nil {
		return fmt.Errorf("set ticket of sector %d: %w", s.cfg.Number, err)
	}
	return nil
}

// Next returns the first step that is not done, or [Done].
func (s *Sector) Next() Step {
	if s.record.Result != nil {
		return Done
	}
	for _, step := range s.steps() {
		if !s.has(step.files...) {
			return step.name
		}
	}
	return StepCommit
}

// stepFiles is a step, the files that it leaves and what it does.
type stepFiles struct {
	name  Step
	files []string
	do    func(context.Context) error
}

func (s *Sector) steps() []stepFiles {
	layers := make([]string, s.params.Layers)
	for i := range layers {
		layers[i] = layerFile(i + 1)
	}
	return []stepFiles{
		{StepData, []string{unsealedFile}, nil},
		{StepTreeD, []string{treeDFile}, s.buildTreeD},
		{StepLabels, layers, s.buildLabels},
		{StepTreeC, baseFiles(treeCFile, s.params.Shape), s.buildTreeC},
		{StepReplica, []string{sealedFile}, s.buildReplica},
		{StepTreeRLast, baseFiles(treeRLastFile, s.params.Shape), s.buildTreeRLast},
		{StepCommit, []string{auxFile}, s.commit},
	}
}

// Do does the next step, which must be the one given; a step that is done
// already is left as it is. [StepData] needs the data: see [Sector.WriteData].
// The first call compares the files with the record, so it may find that a file
// of an earlier step is damaged: then it fails with [ErrOrder], and Next names
// that step.
func (s *Sector) Do(ctx context.Context, step Step) error {
	if err := s.do(ctx, step); err != nil {
		return fmt.Errorf("seal sector %d: %s: %w", s.cfg.Number, step, err)
	}
	return nil
}

func (s *Sector) do(ctx context.Context, step Step) error {
	if s.record.Result != nil {
		return nil
	}
	if err := s.checkFiles(ctx); err != nil {
		return err
	}
	for _, each := range s.steps() {
		done := s.has(each.files...)
		switch {
		case each.name == step && done && step != StepCommit:
			return nil
		case each.name == step && each.do == nil:
			return fmt.Errorf("no data was written: %w", ErrOrder)
		case each.name == step:
			return each.do(ctx)
		case !done:
			return fmt.Errorf("%s first: %w", each.name, ErrOrder)
		}
	}
	return errors.New("unknown step")
}

// Seal sets the ticket and does every step that is not done. A sector to which
// nothing was written is sealed empty, with zeros for data. It may be called
// again after an error, by another process too, and goes on where it stopped; a
// finished sector gives its result at once.
func (s *Sector) Seal(ctx context.Context, ticket [32]byte) (Result, error) {
	if err := s.SetTicket(ticket); err != nil {
		return Result{}, err
	}
	if s.record.Result == nil {
		if err := s.checkFiles(ctx); err != nil {
			return Result{}, fmt.Errorf("seal sector %d: %w", s.cfg.Number, err)
		}
	}
	for step := s.Next(); step != Done; step = s.Next() {
		if step == StepData {
			if err := s.rewriteEmpty(ctx); err != nil {
				return Result{}, err
			}
		}
		if err := s.Do(ctx, step); err != nil {
			return Result{}, err
		}
	}
	return s.Result()
}

// rewriteEmpty writes the data of a sector without pieces. Data that was written
// and is gone cannot be made up.
func (s *Sector) rewriteEmpty(ctx context.Context) error {
	if len(s.record.Pieces) > 0 {
		return fmt.Errorf("seal sector %d: %s is missing or damaged: write the data again",
			s.cfg.Number, filepath.Join(s.cfg.Dir, unsealedFile))
	}
	return s.WriteData(ctx, nil)
}

// Result returns the commitments of a finished sector; otherwise it fails with
// [ErrOrder].
func (s *Sector) Result() (Result, error) {
	if s.record.Result == nil {
		return Result{}, fmt.Errorf("sector %d: not sealed yet, next is %s: %w", s.cfg.Number, s.Next(), ErrOrder)
	}
	r := s.record.Result
	return Result{
		CommD: r.CommD, CommR: r.CommR, CommC: r.CommC, CommRLast: r.CommRLast, ReplicaID: r.ReplicaID,
	}, nil
}

// Reset throws away everything but the data and the ticket's choice, so that the
// sector can be sealed with another ticket. The data must still be there.
func (s *Sector) Reset() error {
	if !s.has(unsealedFile) {
		return fmt.Errorf("reset sector %d: %s is gone: %w", s.cfg.Number, unsealedFile, ErrOrder)
	}
	s.record.Ticket, s.record.Result = nil, nil
	if err := s.remove(s.noted(unsealedFile, treeDFile)); err != nil {
		return fmt.Errorf("reset sector %d: %w", s.cfg.Number, err)
	}
	return nil
}

// newGraph returns the graph along which the sector is labelled.
func (s *Sector) newGraph() (*graph.Graph, error) {
	return graph.New(s.params.ID, s.params.Nodes)
}

// digest is 32 bytes that JSON shows in hex.
type digest [32]byte

func (d digest) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(d[:])), nil }

func (d *digest) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil {
		return err
	}
	if len(raw) != len(d) {
		return fmt.Errorf("%d bytes of hex, want %d", len(raw), len(d))
	}
	copy(d[:], raw)
	return nil
}
