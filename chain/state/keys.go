package state

import (
	"encoding/binary"

	"github.com/perdure/perdure/chain"
)

// The first byte of every key in the database.
const (
	prefixNode    = 'n'
	prefixRefs    = 'r'
	prefixJournal = 'j'
	prefixRoot    = 'o'
	prefixUpdate  = 'u'
	prefixReceipt = 'h'
)

// tipKey holds format version (1 byte), height (8), root CID (36).
var tipKey = []byte{'t'}

const tipSize = 1 + 8 + 36

// restoringKey is there while a snapshot is restored and not whole yet.
var restoringKey = []byte{'x'}

func digestKey(prefix byte, d [32]byte) []byte { return append([]byte{prefix}, d[:]...) }

func heightKey(prefix byte, h chain.Height) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefix}, uint64(h))
}

func journalKey(h chain.Height, d [32]byte) []byte {
	return append(heightKey(prefixJournal, h), d[:]...)
}

// refs is the number of places where a block hangs in the newest tree, and
// the height at which it last fell to none.
type refs struct {
	count   uint32
	dropped chain.Height
}

const refsSize = 12

func (r refs) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, r.count), uint64(r.dropped))
}
