package light

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cometbft/cometbft/crypto/tmhash"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Trust names the header that a user trusts.
type Trust struct {
	Height chain.Height // from 1
	Hash   []byte       // of the header, SHA-256
}

// IsZero reports whether nothing is named.
func (t Trust) IsZero() bool { return t.Height == 0 }

// String writes HEIGHT:HASH.
func (t Trust) String() string { return fmt.Sprintf("%d:%s", t.Height, hashText(t.Hash)) }

// ParseTrust reads HEIGHT:HASH, the hash in hexadecimal.
func ParseTrust(s string) (Trust, error) {
	height, text, _ := strings.Cut(s, ":")
	h, err := strconv.ParseUint(height, 10, 63)
	hash, bad := hex.DecodeString(text)
	if err != nil || bad != nil || h == 0 || len(hash) != tmhash.Size {
		return Trust{}, fmt.Errorf("%q: want HEIGHT:HASH, the hash with %d hexadecimal digits", s, 2*tmhash.Size)
	}
	return Trust{chain.Height(h), hash}, nil
}

// hashText writes a header's hash as CometBFT does.
func hashText(hash []byte) string { return strings.ToUpper(hex.EncodeToString(hash)) }

// Lie is something that a node or a file says and that is not so.
type Lie struct {
	From     string // who says it: a node's URL or a file's name; may be empty
	What     string // what it is about
	Expected string
	Found    string
}

// Error implements error.
func (l *Lie) Error() string {
	from := ""
	if l.From != "" {
		from = l.From + ": "
	}
	return fmt.Sprintf("%s%s is not true: expected %s, found %s", from, l.What, l.Expected, l.Found)
}

// checkHash compares a header with the trusted one of its height.
func checkHash(header *types.LightBlock, want Trust) error {
	if found := header.Hash(); !bytes.Equal(found, want.Hash) {
		return &Lie{What: fmt.Sprintf("header of height %d", header.Height), Expected: "hash " + hashText(want.Hash),
			Found: "hash " + hashText(found)}
	}
	return nil
}

// from names the one who lies, if an error is a lie.
func from(who string, err error) error {
	var lie *Lie
	if errors.As(err, &lie) && lie.From == "" {
		lie.From = who
	}
	return err
}

// ClockDrift is by how much a header may be ahead of the reader's clock.
const ClockDrift = 10 * time.Second

// Period is how long a header of a network is trusted: for as long as its
// voters' pledge is held for what they sign.
func Period(p *consensus.Params) time.Duration {
	return time.Duration(p.TrustPeriod*p.BlockMillis) * time.Millisecond
}
