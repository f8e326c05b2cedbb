package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"
)

const (
	recordFile    = "seal.json"
	recordVersion = 1
)

// record is what seal.json holds: the identity of the sector and what is done.
type record struct {
	Version   int                     `json:"version"`
	ProofType abi.RegisteredSealProof `json:"proofType"`
	MinerID   uint64                  `json:"minerId"`
	Number    abi.SectorNumber        `json:"number"`
	Ticket    *digest                 `json:"ticket,omitempty"`
	Pieces    []pieceRecord           `json:"pieces,omitempty"`
	Files     map[string]fileRecord   `json:"files"`
	Result    *resultRecord           `json:"result,omitempty"`
}

type pieceRecord struct {
	CommP      *digest `json:"commP,omitempty"`
	Offset     uint64  `json:"offset"` // in padded bytes
	PaddedSize uint64  `json:"paddedSize"`
}

type fileRecord struct {
	Size   int64  `json:"size"`
	SHA256 digest `json:"sha256"`
}

type resultRecord struct {
	CommD     digest `json:"commD"`
	CommR     digest `json:"commR"`
	CommC     digest `json:"commC"`
	CommRLast digest `json:"commRLast"`
	ReplicaID digest `json:"replicaId"`
}

func readRecord(path string) (record, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return record{}, err
	}
	var r record
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return record{}, fmt.Errorf("read %s: %w", path, err)
	}
	if r.Version != recordVersion {
		return record{}, fmt.Errorf("read %s: version %d, want %d", path, r.Version, recordVersion)
	}
	if r.Files == nil {
		r.Files = make(map[string]fileRecord)
	}
	return r, nil
}

// loadRecord takes the record of the directory, or starts one, and forgets files
// that are missing or have another size.
func (s *Sector) loadRecord() error {
	r, err := readRecord(s.path(recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		s.record = record{
			Version: recordVersion, ProofType: s.cfg.ProofType, MinerID: s.cfg.MinerID, Number: s.cfg.Number,
			Files: make(map[string]fileRecord),
		}
		s.checked = true // nothing is on disk
		return s.saveRecord()
	}
	if err != nil {
		return err
	}
	if r.ProofType != s.cfg.ProofType || r.MinerID != s.cfg.MinerID || r.Number != s.cfg.Number {
		return fmt.Errorf("%s: sector %d of miner %d, seal proof %d: %w",
			s.cfg.Dir, r.Number, r.MinerID, r.ProofType, ErrIdentity)
	}
	for name, file := range r.Files {
		if info, err := os.Stat(s.path(name)); err != nil || info.Size() != file.Size {
			delete(r.Files, name)
		}
	}
	s.record = r
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
	return out.publish()
}

func (s *Sector) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

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

// checkFiles compares every noted file of an unfinished sector with its digest,
// once, and forgets those that differ; what a killed step left is removed.
func (s *Sector) checkFiles(ctx context.Context) error {
	if s.checked {
		return nil
	}
	torn, err := s.damaged(ctx)
	if err != nil {
		return err
	}
	left, err := filepath.Glob(s.path("*" + tempSuffix))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	for _, name := range torn {
		delete(s.record.Files, name)
	}
	s.checked = true
	return s.saveRecord()
}

// damaged returns the noted files whose content is not what was noted.
func (s *Sector) damaged(ctx context.Context) ([]string, error) {
	var torn []string
	for _, name := range s.noted() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		file, err := os.Open(s.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			torn = append(torn, name)
			continue
		}
		if err != nil {
			return nil, err
		}
		found, err := noteFile(file)
		file.Close()
		if err != nil {
			return nil, err
		}
		if found != s.record.Files[name] {
			torn = append(torn, name)
		}
	}
	return torn, nil
}

// Check reads every file of the sector that should be there and returns the
// names of those that do not hold what was written.
func (s *Sector) Check(ctx context.Context) ([]string, error) {
	noted, err := readRecord(s.path(recordFile))
	if err != nil {
		return nil, fmt.Errorf("check sector %d: %w", s.cfg.Number, err)
	}
	whole := &Sector{cfg: s.cfg, params: s.params, record: noted}
	torn, err := whole.damaged(ctx)
	if err != nil {
		return nil, fmt.Errorf("check sector %d: %w", s.cfg.Number, err)
	}
	return torn, nil
}

// remove deletes files, after the record has forgotten them.
func (s *Sector) remove(names []string) error {
	for _, name := range names {
		delete(s.record.Files, name)
	}
	if err := s.saveRecord(); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
