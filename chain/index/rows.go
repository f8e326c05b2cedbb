package index

import (
	"cmp"
	"encoding/binary"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Block sums up a block. Nothing in it changes later.
type Block struct {
	Height      chain.Height
	Time        uint64   // Unix seconds
	Proposer    []byte   `cborgen:"maxlen=64"` // consensus address
	Update      [32]byte // SHA-256 of its encoded Update
	AppHash     []byte   `cborgen:"maxlen=64"` // of the state after it; empty: it was pruned when the index came by
	Beacon      [32]byte // random value
	Skipped     bool     // nobody contributed to Beacon
	RuleVersion uint64
	BaseFee     chain.Amount // attoPDR per byte and per unit of the next block's ordinary lane
	Supply      chain.Supply // after it
	Power       uint64       // proven bytes of all miners after it
	Messages    uint64
	Failed      uint64 // of them, without success
	Proofs      uint64 // of them, accepted window proofs
	Events      uint64 // of the chain; Derived follow them
	Derived     uint64
	Changes     uint64 // records written or deleted
	Deals       uint64 // matched in it
	Bytes       uint64 // of the messages; 0 if the block was not kept
	Units       uint64
	Fees        chain.Amount // attoPDR
	Tips        chain.Amount // of them, to the proposer; 0 if the block was not kept
}

// Message is a message in a block. From, Nonce, MaxFee, Tip, Size, Miner and
// Body are zero if the block's messages were not kept or it does not decode.
type Message struct {
	Height  chain.Height
	Index   uint64 // among the block's messages, from 0
	Time    uint64 // Unix seconds of the block
	From    []byte `cborgen:"maxlen=64"` // address bytes of who signed it
	Nonce   uint64
	MaxFee  chain.Amount  // attoPDR
	Tip     chain.Amount  // attoPDR
	Size    uint64        // bytes
	Miner   chain.MinerID // that it is about; 0: none
	Body    []byte        `cborgen:"maxlen=4096"` // without its proof; empty: longer than MaxBody
	Proof   uint64        // bytes of the proof that Body is without
	First   uint64        // the first of its events among the block's
	Events  uint64        // that there are up to its last
	Receipt consensus.Receipt
}

// MaxBody is the longest body, without its proof, that the index keeps.
const MaxBody = 4096

// Effect reports whether the message paid its fee.
func (m *Message) Effect() bool { return effect(&m.Receipt) }

func effect(r *consensus.Receipt) bool {
	return r.Code == uint64(consensus.CodeOK) || r.Code == uint64(consensus.CodeFailed)
}

// Place is where a message or an event stands among those of its block.
type Place struct {
	Height chain.Height
	Index  uint32
}

func placeOf(b []byte) Place { return Place{height(b), be32(b[8:])} }

func (p Place) bytes() []byte { return in(nil, p.Height, p.Index) }

// behind reports whether a place follows another in the direction of reading.
func (p Place) behind(o Place, upward bool) bool {
	c := cmp.Or(cmp.Compare(p.Height, o.Height), cmp.Compare(p.Index, o.Index))
	return upward && c > 0 || !upward && c < 0
}

// number appends a big-endian number.
func number(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }

// named is a prefix, then a name behind its length, so that no name is the
// beginning of another.
func named(table, list byte, name []byte) []byte {
	b := make([]byte, 0, 3+len(name)+16)
	b = append(b, table)
	if list != 0 {
		b = append(b, list)
	}
	return append(append(b, byte(len(name))), name...)
}

// byNumber is a prefix of two letters, then a number.
func byNumber(table, list byte, n uint64) []byte {
	return number(append(make([]byte, 0, 2+8+16), table, list), n)
}

// byCID and byAddress are byNumber for a CID and an address.
func byCID(table, list byte, c cid.Cid) []byte { return named(table, list, c.Bytes()) }

func byAddress(table, list byte, a chain.Address) []byte { return named(table, list, a.Bytes()) }

// in is a prefix, then a height and an index.
func in(prefix []byte, h chain.Height, n uint32) []byte {
	b := make([]byte, 0, len(prefix)+12)
	return binary.BigEndian.AppendUint32(number(append(b, prefix...), uint64(h)), n)
}

func blockKey(h chain.Height) []byte { return number([]byte{'b'}, uint64(h)) }

func recordKey(k chain.Key) []byte {
	b := make([]byte, 0, 2+len(k.ID))
	return append(append(b, 'R', byte(k.Table)), k.ID...)
}

// gonePrefix is of the records that a block took out of the state and the index keeps.
func gonePrefix(h chain.Height) []byte { return number([]byte{'z'}, uint64(h)) }

func hashKey(h [32]byte) []byte { return append([]byte{'h'}, h[:]...) }

// Gap is a run of heights that the index never saw.
type Gap struct{ From, To chain.Height } // both in it

// tip is how far the index is.
type tip struct {
	first, height chain.Height
	update        [32]byte // SHA-256 of the encoded Update of height
	pending       bool     // the mirror is being made anew: only the history is whole
	gaps          []Gap    // of the history, ascending
	chainID       string
}

const (
	formatVersion = 9
	tipHead       = 1 + 8 + 8 + 32 + 1 + 2 // the last two count gaps
	gapSize       = 8 + 8
)

var tipKey = []byte{'t'}

func (t *tip) bytes() []byte {
	b := number(number([]byte{formatVersion}, uint64(t.first)), uint64(t.height))
	b = append(b, t.update[:]...)
	if t.pending {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.gaps)))
	for _, g := range t.gaps {
		b = number(number(b, uint64(g.From)), uint64(g.To))
	}
	return append(b, t.chainID...)
}

// parseTip reads a tip; one of another version is no tip, so the index is made anew.
func parseTip(b []byte) *tip {
	if len(b) < tipHead || b[0] != formatVersion {
		return nil
	}
	t := &tip{first: height(b[1:]), height: height(b[9:]), pending: b[49] != 0}
	copy(t.update[:], b[17:])
	gaps, b := int(binary.BigEndian.Uint16(b[50:])), b[tipHead:]
	if len(b) < gaps*gapSize {
		return nil
	}
	for ; gaps > 0; gaps-- {
		t.gaps = append(t.gaps, Gap{height(b), height(b[8:])})
		b = b[gapSize:]
	}
	t.chainID = string(b)
	return t
}
