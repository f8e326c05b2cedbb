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
