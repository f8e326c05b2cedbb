package seal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
	"github.com/perdure/perdure/porep/seal/layers"
)

// Config names a sector and says where it lives.
type Config struct {
	ProofType abi.RegisteredSealProof
	MinerID   uint64 // actor number of the miner
	Number    abi.SectorNumber
	Dir       string // made if it does not exist; holds this sector alone

	// Workers bounds the cores used; 0 means as many as there are.
	Workers int
	// Memory bounds the bytes that are resident for labelling, mapped files included;
	// 0 means three quarters of what the machine has. See [layers.Least].
	Memory uint64
	// LayersInMemory is how many layers (0 to 2) labelling holds in memory of the
	// process instead of mapped files: see [layers.Options].
	LayersInMemory int
	// Parents is a directory of tables of parents, which sectors share; the table is
	// made there if it is missing. Empty means that parents are computed when they
	// are needed, which costs time and saves 56 bytes a node.
	Parents string
	// Progress, if not nil, is told how far a step is, in nodes. It is called by
	// one goroutine at a time and must not call the sector.
	Progress func(step Step, done, total uint64)

	// Params, if not nil, replace the parameters of the registered proof: the
	// compound trees of large sectors at small sizes, for tests and for whoever
	// wants to look at them. No chain takes such sectors; [porep.Params.Verify]
	// checks their proofs. ProofType may then be 0, and [Find] opens the sector
	// with the same parameters.
	Params *porep.Params
}

// Errors that a caller may want to tell apart.
var (
	ErrIdentity = errors.New("directory holds another sector")
	ErrTicket   = errors.New("sector was sealed with another ticket")
	ErrOrder    = errors.New("an earlier step is not done")
	ErrData     = errors.New("sector holds data already")
	ErrPiece    = errors.New("piece has not the commitment that it should have")
	ErrVersion  = errors.New("record of another version of this program")
	ErrMemory   = layers.ErrMemory
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
	StepCheck     Step = "check"       // random nodes of everything, and a proof
	Done          Step = "done"

	// StepParents is not a step of its own: it names the progress of making the table
	// of parents, which [StepLabels] begins with if it is missing.
	StepParents Step = "parents"
)

// Result is what sealing gives: the commitments as stored, and the replica id.
type Result struct {
	CommD, CommR, CommC, CommRLast, ReplicaID [32]byte
}

// Sector is one sector's directory. It is not safe for concurrent use, but a
// finished sector may be opened any number of times for reading.
type Sector struct {
	cfg      Config
	params   porep.Params
	record   record
	lock     *os.File        // nil: open for reading only
	settled  bool            // the files on disk were compared with the record
	verified map[string]bool // files that this process wrote or compared with their digests
}

// Open opens the directory of a sector, which may be new, and locks it until
// Close. It fails with [ErrIdentity] if the directory holds another sector or
// files of an unknown one, with [ErrVersion] if another version of this program
// made it, and with [ErrLocked] if somebody else has it open. Nothing is changed
// then.
func Open(cfg Config) (*Sector, error) {
	s, err := newSector(cfg)
	if err == nil {
		err = s.open()
	}
	if err != nil {
		return nil, fmt.Errorf("open sector %d: %w", cfg.Number, err)
	}
	return s, nil
}

func newSector(cfg Config) (*Sector, error) {
	s := &Sector{cfg: cfg, verified: make(map[string]bool)}
	if s.cfg.Workers <= 0 {
		s.cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Params != nil {
		s.params = *cfg.Params
		return s, checkParams(s.params)
	}
	var err error
	s.params, err = porep.ParamsOf(cfg.ProofType)
	return s, err
}

// checkParams checks that there are sectors of given parameters.
func checkParams(p porep.Params) error {
	if p.Layers < 1 || p.Layers > porep.MaxLayers {
		return fmt.Errorf("parameters: %d layers, want 1 to %d", p.Layers, porep.MaxLayers)
	}
	if _, err := graph.New(p.ID, p.Nodes); err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	if _, err := p.Shape.Arities(p.Nodes); err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	if _, err := merkle.Binary.Arities(p.Nodes); err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	_, err := newForest(p)
	return err
}

func (s *Sector) open() error {
	// Looked at before it is locked too: in a directory that is somebody else's
	// not even a lock file is made.
	if err := s.loadRecord(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.cfg.Dir, 0o755); err != nil {
		return err
	}
	lock, err := lockDir(s.cfg.Dir, s.path(lockFile))
	if err != nil {
		return err
	}
	s.lock = lock
	if err := s.loadRecord(); err != nil {
		return errors.Join(err, s.Close())
	}
	if _, err := os.Stat(s.path(recordFile)); errors.Is(err, fs.ErrNotExist) {
		if err := s.saveRecord(); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	return nil
}

// Find opens the directory of a sector that exists already, with the identity
// that its record names, for reading: to prove it and to get its data back.
// Whatever would change the directory fails with [ErrReadOnly]. It takes no lock.
func Find(dir string) (*Sector, error) {
	r, err := readRecord(filepath.Join(dir, recordFile))
	if err != nil {
		return nil, fmt.Errorf("open sector in %s: %w", dir, err)
	}
	cfg := Config{ProofType: r.ProofType, MinerID: r.MinerID, Number: r.Number, Dir: dir}
	if r.Params != nil {
		params := r.Params.params()
		cfg.Params = &params
	}
	s, err := newSector(cfg)
	if err == nil {
		err = s.loadRecord()
	}
	if err != nil {
		return nil, fmt.Errorf("open sector in %s: %w", dir, err)
	}
	return s, nil
}

// Close lets go of the directory. It may be called more than once; afterwards
// the sector can only be read.
func (s *Sector) Close() error {
	if s.lock == nil {
		return nil
	}
	err := releaseLock(s.lock)
	s.lock = nil
	return err
}

// writable fails with [ErrReadOnly] unless the directory is locked for this
// sector.
func (s *Sector) writable() error {
	if s.lock == nil {
		return fmt.Errorf("%s: %w", s.cfg.Dir, ErrReadOnly)
	}
	return nil
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
			return fmt.Errorf("set ticket of sector %d in %s: have %x, want %x: %w", s.cfg.Number, s.cfg.Dir, have, ticket, ErrTicket)
		}
		return nil
	}
	fixed := digest(ticket)
	s.record.Ticket = &fixed
	if err := s.saveRecord(); err != nil {
		s.record.Ticket = nil
		return fmt.Errorf("set ticket of sector %d: %w", s.cfg.Number, err)
	}
	return nil
}

// Next returns the first step that is not done, or [Done].
func (s *Sector) Next() Step {
	if s.record.Checked {
		return Done
	}
	for _, step := range s.steps() {
		if !s.has(step.files...) {
			return step.name
		}
	}
	if s.record.Result == nil {
		return StepCommit
	}
	return StepCheck
}

// stepFiles is a step, the files that it reads from end to end, those that it
// leaves, and what it does.
type stepFiles struct {
	name  Step
	reads []string
	files []string
	do    func(context.Context) error
}

func (s *Sector) steps() []stepFiles {
	layers := make([]string, s.params.Layers)
	for i := range layers {
		layers[i] = layerFile(i + 1)
	}
	last := layers[len(layers)-1]
	return []stepFiles{
		{name: StepData, files: []string{unsealedFile}},
		{StepTreeD, []string{unsealedFile}, []string{treeDFile}, s.buildTreeD},
		{StepLabels, s.newestLayer(), layers, s.buildLabels},
		{StepTreeC, layers, baseFiles(treeCFile, s.params.Shape), s.buildTreeC},
		{StepReplica, []string{last, unsealedFile}, []string{sealedFile}, s.buildReplica},
		{StepTreeRLast, []string{sealedFile}, baseFiles(treeRLastFile, s.params.Shape), s.buildTreeRLast},
		{StepCommit, nil, []string{auxFile}, s.commit},
		{StepCheck, nil, nil, s.check},
	}
}

// newestLayer names the layer that the next one is computed from, if any.
func (s *Sector) newestLayer() []string {
	for layer := 1; layer <= s.params.Layers; layer++ {
		if s.has(layerFile(layer)) {
			continue
		}
		if layer == 1 {
			return nil
		}
		return []string{layerFile(layer - 1)}
	}
	return nil
}

// Do does the next step, which must be the one given; a step that is done
// already is left as it is. [StepData] needs the data: see [Sector.WriteData].
// It may find that a file of an earlier step is damaged, which fails with a
// [*DamageError], and [StepCheck] that a step went wrong, which fails with a
// [*CheckError]: Next names the step that must be done again.
func (s *Sector) Do(ctx context.Context, step Step) error {
	do, err := s.begin(ctx, step)
	if err == nil && do != nil {
		err = do(ctx)
	}
	if err != nil {
		return s.stepError(step, err)
	}
	return nil
}

func (s *Sector) stepError(step Step, err error) error {
	return fmt.Errorf("seal sector %d: %s: %w", s.cfg.Number, step, err)
}

// begin checks that a step can be done and returns what does it, nil if it is
// done already.
func (s *Sector) begin(ctx context.Context, step Step) (do func(context.Context) error, err error) {
	if s.record.Checked {
		return nil, nil
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	if err := s.checkFiles(ctx); err != nil {
		return nil, err
	}
	next := s.Next()
	for _, each := range s.steps() {
		switch {
		case each.name == step && step != next:
			return nil, nil // done already: the next step comes after it
		case each.name == step && each.do == nil:
			return nil, fmt.Errorf("no data was written: %w", ErrOrder)
		case each.name == step:
			return each.do, s.verify(ctx, each.reads)
		case each.name == next:
			return nil, fmt.Errorf("%s first: %w", next, ErrOrder)
		}
	}
	return nil, errors.New("unknown step")
}

// Seal sets the ticket and does every step that is not done. A sector to which
// nothing was written is sealed empty, with zeros for data. It may be called
// again after an error, by another process too, and goes on where it stopped; a
// finished sector gives its result at once. Files that are found damaged are made
// again, and so is a step that the check finds wrong, once.
func (s *Sector) Seal(ctx context.Context, ticket [32]byte) (Result, error) {
	if err := s.advance(ctx, ticket, Done); err != nil {
		return Result{}, err
	}
	return s.Result()
}

// advance sets the ticket and does the steps before one.
func (s *Sector) advance(ctx context.Context, ticket [32]byte, until Step) error {
	if err := s.SetTicket(ticket); err != nil {
		return err
	}
	if !s.record.Checked {
		if err := s.checkFiles(ctx); err != nil {
			return fmt.Errorf("seal sector %d: %w", s.cfg.Number, err)
		}
	}
	for step := s.Next(); s.order(step) < s.order(until); step = s.Next() {
		if step == StepData {
			if err := s.rewriteEmpty(ctx); err != nil {
				return err
			}
		}
		if err := s.Do(ctx, step); err != nil && !s.again(err) {
			return err
		}
	}
	return nil
}

// order returns the place of a step among all; [Done] comes last.
func (s *Sector) order(step Step) int {
	steps := s.steps()
	for i, each := range steps {
		if each.name == step {
			return i
		}
	}
	return len(steps)
}

// again reports whether an error means that a step must be done again. That
// ends: what is made again was written by this process, and a check sends each
// step back once.
func (s *Sector) again(err error) bool {
	var damage *DamageError
	var check *CheckError
	return errors.As(err, &damage) || errors.As(err, &check) && check.Again
}

// rewriteEmpty writes the data of a sector without pieces. Data that was written
// and is gone cannot be made up.
func (s *Sector) rewriteEmpty(ctx context.Context) error {
	if len(s.record.Pieces) > 0 {
		return fmt.Errorf("seal sector %d: %s: %s is missing or damaged: write the data again",
			s.cfg.Number, StepData, s.path(unsealedFile))
	}
	return s.WriteData(ctx, nil)
}

// Result returns the commitments of a finished sector; otherwise it fails with
// [ErrOrder].
func (s *Sector) Result() (Result, error) {
	if !s.record.Checked {
		return Result{}, fmt.Errorf("sector %d in %s: not sealed yet, next is %s: %w", s.cfg.Number, s.cfg.Dir, s.Next(), ErrOrder)
	}
	return s.record.Result.result(), nil
}

func (r *resultRecord) result() Result {
	return Result{
		CommD: r.CommD, CommR: r.CommR, CommC: r.CommC, CommRLast: r.CommRLast, ReplicaID: r.ReplicaID,
	}
}

// Reset throws away everything but the data and the ticket's choice, so that the
// sector can be sealed with another ticket. The data must still be there.
func (s *Sector) Reset() error {
	if !s.has(unsealedFile) {
		return fmt.Errorf("reset sector %d: %s is gone: %w", s.cfg.Number, unsealedFile, ErrOrder)
	}
	if err := s.writable(); err != nil {
		return fmt.Errorf("reset sector %d: %w", s.cfg.Number, err)
	}
	s.record.Ticket, s.record.Result, s.record.Checked, s.record.Redone = nil, nil, false, nil
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
