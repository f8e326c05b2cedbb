package proof

import (
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
)

// BundleVersion is the version of the bundles that this code writes and reads.
const BundleVersion = 1

// Limits of a bundle. A header with the votes and keys of 256 validators is
// about 60 KB; each header in between halves what is left of a distance, so
// that more are of no use.
const (
	MaxHeaders     = 64
	MaxHeaderBytes = 256 << 10
	MaxBundle      = MaxBytes + MaxHeaders*MaxHeaderBytes + 2<<20
)

// Header is a header of the chain with the votes for it and the validators that
// cast them, as the engine encodes its light blocks.
type Header struct {
	Light []byte `cborgen:"maxlen=262144"`
}

// Bundle is a proof that stands alone: with one trusted header of the chain it
// shows a record of the state, or that there is none, to who is offline.
// [github.com/perdure/perdure/chain/rpc/light] checks it.
type Bundle struct {
	Version uint64
	// Headers rise in height. The last is of the height after the state's: it
	// has its app hash. Of those before it each vouches for the next, by its
	// validators among the voters of the next or by being right before it.
	Headers []Header `cborgen:"maxlen=64"`
	// Root and Params are the root record under the app hash of Headers[0] and
	// the network's parameters below it, which say how long a header can be
	// trusted. Both are empty if there is one header.
	Root   []byte `cborgen:"maxlen=1048576"`
	Params []byte `cborgen:"maxlen=1048576"`
	Table  chain.Table
	ID     []byte `cborgen:"maxlen=64"`
	Path   []byte `cborgen:"maxlen=16777216"` // the CARv1 of Make
}

// ErrBundle is wrapped for bytes that are no bundle.
var ErrBundle = errors.New("not a proof bundle")

// DecodeBundle reads a bundle and checks its form, which proves nothing yet.
func DecodeBundle(raw []byte) (*Bundle, error) {
	if len(raw) > MaxBundle {
		return nil, fmt.Errorf("%w: %d bytes exceed %d", ErrBundle, len(raw), MaxBundle)
	}
	b := new(Bundle)
	if err := chain.Decode(raw, b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	if b.Version != BundleVersion {
		return nil, fmt.Errorf("%w of version %d: it is of version %d", ErrBundle, BundleVersion, b.Version)
	}
	if len(b.Headers) == 0 {
		return nil, fmt.Errorf("%w: it has no header", ErrBundle)
	}
	if single := len(b.Headers) == 1; single != (len(b.Root) == 0) || single != (len(b.Params) == 0) {
		return nil, fmt.Errorf("%w: %d headers with %d bytes of root and %d of parameters", ErrBundle,
			len(b.Headers), len(b.Root), len(b.Params))
	}
	if err := CheckKey(b.Key()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	return b, nil
}

// Key is the key whose record is proven.
func (b *Bundle) Key() chain.Key { return chain.Key{Table: b.Table, ID: string(b.ID)} }
