package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/seal/layers"
)

const (
	recordFile    = "seal.json"
	recordVersion = 2
)

// record is what seal.json holds: the identity of the sector and what is done.
type record struct {
	Version   int                     `json:"version"`
	ProofType abi.RegisteredSealProof `json:"proofType"`
	Params    *paramsRecord           `json:"params,omitempty"` // of a shape that is not registered
	MinerID   uint64                  `json:"minerId"`
	Number    abi.SectorNumber        `json:"number"`
	Ticket    *digest                 `json:"ticket,omitempty"`
	Pieces    []pieceRecord           `json:"pieces,omitempty"`
	CommD     *digest                 `json:"commD,omitempty"` // root of the noted tree over the data
	Files     map[string]fileRecord   `json:"files"`
	Result    *resultRecord           `json:"result,omitempty"`
	Checked   bool                    `json:"checked"`          // the result stood the check
	Redone    []Step                  `json:"redone,omitempty"` // steps that a check has sent back once
}

type paramsRecord struct {
	PorepID digest `json:"porepId"`
	Nodes   uint64 `json:"nodes"`
	Layers  int    `json:"layers"`
	Shape   [3]int `json:"shape"` // base, sub, top
}

func newParamsRecord(p porep.Params) *paramsRecord {
	return &paramsRecord{PorepID: p.ID, Nodes: p.Nodes, Layers: p.Layers, Shape: [3]int{p.Shape.Base, p.Shape.Sub, p.Shape.Top}}
}

func (p *paramsRecord) params() porep.Params {
	return porep.Params{
		ID: p.PorepID, Nodes: p.Nodes, Layers: p.Layers,
		Shape: merkle.Shape{Base: p.Shape[0], Sub: p.Shape[1], Top: p.Shape[2]},
	}
}

type pieceRecord struct {
	CommP      *digest `json:"commP,omitempty"`
	Offset     uint64  `json:"offset"` // in padded bytes
	PaddedSize uint64  `json:"paddedSize"`
}

// fileRecord notes a file. The digest is the SHA-256 of the SHA-256 digests of its
// consecutive MiB.
type fileRecord struct {
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // nanoseconds since 1970
	Digest   digest `json:"digest"`
}

type resultRecord struct {
	CommD     digest `json:"commD"`
	CommR     digest `json:"commR"`
	CommC     digest `json:"commC"`
	CommRLast digest `json:"commRLast"`
	ReplicaID digest `json:"replicaId"`
}

// params returns the parameters that the record names.
func (r *record) params() (porep.Params, error) {
	if r.Params != nil {
		return r.Params.params(), nil
	}
	return porep.ParamsOf(r.ProofType)
}

// describe says in words what a sector is.
func describe(miner uint64, number abi.SectorNumber, proof abi.RegisteredSealProof, p porep.Params) string {
	return fmt.Sprintf("sector %d of miner %d (seal proof %d: %d bytes, %d layers, tree shape %d-%d-%d)",
		number, miner, proof, p.SectorSize(), p.Layers, p.Shape.Base, p.Shape.Sub, p.Shape.Top)
}

// readRecord reads a record. Errors name the path.
func readRecord(path string) (record, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return record{}, err
	}
	var version struct{ Version int }
	if err := json.Unmarshal(raw, &version); err != nil {
		return record{}, fmt.Errorf("read %s: %w", path, err)
	}
	if version.Version != recordVersion {
		return record{}, fmt.Errorf("read %s: version %d, want %d: %w", path, version.Version, recordVersion, ErrVersion)
	}
	var r record
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return record{}, fmt.Errorf("read %s: %w", path, err)
	}
	if _, err := r.params(); err != nil {
		return record{}, fmt.Errorf("read %s: %w", path, err)
	}
	if r.Files == nil {
		r.Files = make(map[string]fileRecord)
	}
	return r, nil
}

// loadRecord takes the record of the directory and forgets files that are
// missing or have another size. If there is none it starts one, unless the
// directory holds files of a sector that nothing is known of.
func (s *Sector) loadRecord() error {
	r, err := readRecord(s.path(recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s.startRecord()
	}
	if err != nil {
		return err
	}
	found, err := r.params()
	if err != nil {
		return err
	}
	if r.ProofType != s.cfg.ProofType || r.MinerID != s.cfg.MinerID || r.Number != s.cfg.Number || found != s.params {
		return fmt.Errorf("%s holds %s, want %s: %w", s.cfg.Dir,
			describe(r.MinerID, r.Number, r.ProofType, found),
			describe(s.cfg.MinerID, s.cfg.Number, s.cfg.ProofType, s.params), ErrIdentity)
	}
	for name, file := range r.Files {
		info, err := os.Stat(s.path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // it may be whole: nothing is made anew until it can be looked at
		}
		if err != nil || info.Size() != file.Size {
			delete(r.Files, name)
		}
	}
	s.record = r
	return nil
}

// startRecord makes the record of a new sector, in memory.
func (s *Sector) startRecord() error {
	for _, name := range append(s.files(), auxFile) {
		if _, err := os.Lstat(s.path(name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: there is no %s, so the sector of this file is unknown: %w", s.path(name), recordFile, ErrIdentity)
		}
	}
	s.record = record{
		Version: recordVersion, ProofType: s.cfg.ProofType, MinerID: s.cfg.MinerID, Number: s.cfg.Number,
		Files: make(map[string]fileRecord),
	}
	if s.cfg.Params != nil {
		s.record.Params = newParamsRecord(s.params)
	}
	return nil
}

func (s *Sector) saveRecord() error {
	raw, err := json.MarshalIndent(s.record, "", "  ")
	if err != nil {
		return err
	}
	out, err := s.create(recordFile)
	if err != nil {
		return err
	}
	defer out.abort()
	if _, err := out.Write(append(raw, '\n')); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return out.publish()
}

func (s *Sector) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// files returns the names of all files that sealing makes but p_aux, in the
// order of the steps.
func (s *Sector) files() []string {
	var names []string
	for _, step := range s.steps() {
		if step.name != StepCommit {
			names = append(names, step.files...)
		}
	}
	return names
}

// has reports whether all files are noted as done.
func (s *Sector) has(names ...string) bool {
	for _, name := range names {
		if _, ok := s.record.Files[name]; !ok {
			return false
		}
	}
	return true
}

// noted returns the names of the files that are noted as done, but for some.
func (s *Sector) noted(but ...string) []string {
	var names []string
	for name := range s.record.Files {
		if !slices.Contains(but, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// forget strikes files from the record in memory, and what rests on their
// content in it.
func (s *Sector) forget(names []string) {
	for _, name := range names {
		delete(s.record.Files, name)
		delete(s.verified, name)
		if name == treeDFile {
			s.record.CommD = nil
		}
	}
}

// strike forgets files durably. If a layer is among them, what has grown of the
// next one goes too: it may rest on what is wrong.
func (s *Sector) strike(names []string) error {
	s.forget(names)
	if err := s.saveRecord(); err != nil {
		return err
	}
	for layer := 1; layer < s.params.Layers; layer++ {
		if slices.Contains(names, layerFile(layer)) {
			if err := layers.Discard(s.path(layerFile(layer + 1))); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes files, after the record has forgotten them.
func (s *Sector) remove(names []string) error {
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.strike(names); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
