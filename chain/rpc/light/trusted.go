package light

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/internal/lifecycle"
)

// trustedVersion is the version of the file of what is trusted.
const trustedVersion = 1

// trusted is what a reader remembers from one run to the next: one file, so
// that several processes of one home can use it, of which the last to write wins.
type trusted struct {
	Version int    `json:"version"`
	Trust   string `json:"trust"`  // HEIGHT:HASH of the user's
	Height  int64  `json:"height"` // of Header, for people
	Header  []byte `json:"header"` // newest verified one, with votes and validators
	Params  []byte `json:"params"` // proven ones of the network
}

// remembered is the newest that is verified.
type remembered struct {
	trust   Trust
	header  *types.LightBlock
	params  *consensus.Params
	current bool // params are of a header that was verified in this run
}

// load reads the file; nil without one.
func load(path string) (*remembered, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read trusted header: %w", err)
	}
	r, err := parseTrusted(raw)
	if err != nil {
		return nil, fmt.Errorf("read trusted header %s: %w (remove the file to begin anew)", path, err)
	}
	return r, nil
}

func parseTrusted(raw []byte) (*remembered, error) {
	var t trusted
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, err
	}
	return t.remembered()
}

func (t *trusted) remembered() (*remembered, error) {
	if t.Version != trustedVersion {
		return nil, fmt.Errorf("version %d, want %d", t.Version, trustedVersion)
	}
	r := &remembered{params: new(consensus.Params)}
	var err error
	if r.trust, err = ParseTrust(t.Trust); err != nil {
		return nil, err
	}
	if r.header, err = decodeHeader(t.Header); err != nil {
		return nil, err
	}
	if err := chain.Decode(t.Params, r.params); err != nil {
		return nil, fmt.Errorf("decode parameters: %w", err)
	}
	return r, nil
}

// save writes the file, unless it knows a newer header under the same trust.
func (r *remembered) save(path string) error {
	if old, err := load(path); err == nil && old != nil && old.trust.String() == r.trust.String() && old.header.Height >= r.header.Height {
		return nil
	}
	entry, err := r.entry()
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(entry, "", "  ")
	if err != nil {
		return err
	}
	return lifecycle.WriteFile(path, append(raw, '\n'), 0o600)
}

// entry is what the file says of it.
func (r *remembered) entry() (*trusted, error) {
	header, err := encodeHeader(r.header)
	if err != nil {
		return nil, err
	}
	params, err := chain.Encode(r.params)
	if err != nil {
		return nil, fmt.Errorf("encode parameters: %w", err)
	}
	return &trusted{trustedVersion, r.trust.String(), r.header.Height, header, params}, nil
}
