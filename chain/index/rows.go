package index

import (
	"encoding/binary"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Block sums up a block.
type Block struct {
	Height   chain.Height
	Time     uint64 // Unix seconds
	Proposer []byte `cborgen:"maxlen=64"` // consensus address
	Messages uint64
	Failed   uint64 // of them, without success
	Proofs   uint64 // of them, accepted window proofs
	Events   uint64
	Changes  uint64 // records written or deleted
	Deals    uint64 // matched in it
	Bytes    uint64 // of the messages; 0 if the block was not kept
	Units    uint64
	Fees     chain.Amount // attoPDR
}

// Message is a message in a block. From, Nonce and Size are zero if the block's
// messages were not kept or the message does not decode.
type Message struct {
	Height  chain.Height
	Index   uint64 // among the block's messages, from 0
	Time    uint64 // Unix seconds of the block
	From    []byte `cborgen:"maxlen=64"` // address bytes of who signed it
	Nonce   uint64
	Size    uint64        // bytes
	Miner   chain.MinerID // that a window proof is about; 0: none
	Receipt consensus.Receipt
}

// Effect reports whether the message paid its fee.
func (m *Message) Effect() bool { return effect(&m.Receipt) }

func effect(r *consensus.Receipt) bool {
	return r.Code == uint64(consensus.CodeOK) || r.Code == uint64(consensus.CodeFailed)
}

// Kept is the last form of a record that the state deletes when its life is over.
type Kept struct {
	Record  []byte       `cborgen:"maxlen=2097152"` // canonical encoding
	Changed chain.Height // of that form; 0: before the index's history
	Ended   chain.Height // block that deleted it; 0: it lives
	Reason  string       // why, as its last event says
}

// Place is where a message stands.
type Place struct {
	Height chain.Height
	Index  uint32
}

// DealsBy says which of the lists of deals is asked.
type DealsBy struct{ prefix []byte }

// ByRoot lists the deals of a payload.
func ByRoot(root cid.Cid) DealsBy { return DealsBy{named('d', 'r', root.Bytes())} }

// ByPiece lists the deals over a piece.
func ByPiece(piece cid.Cid) DealsBy { return DealsBy{named('d', 'p', piece.Bytes())} }

// ByMiner lists the deals of a miner.
func ByMiner(id chain.MinerID) DealsBy { return DealsBy{number([]byte{'d', 'm'}, id)} }

// ByClient lists the deals of a client.
func ByClient(a chain.Address) DealsBy { return DealsBy{named('d', 'c', a.Bytes())} }

// listsOf are the lists that a deal stands in.
func listsOf(d *chain.Deal) []DealsBy {
	return []DealsBy{ByRoot(d.PayloadRoot), ByPiece(d.PieceCID), ByMiner(d.Miner), ByClient(d.Client)}
}

// number appends a big-endian number.
func number(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }

// named is a prefix, then a name behind its length, so that no name is the
// beginning of another.
func named(table, list byte, name []byte) []byte {
	b := []byte{table}
	if list != 0 {
		b = append(b, list)
	}
	return append(append(b, byte(len(name))), name...)
}

// in is a prefix, then a height and an index.
func in(prefix []byte, h chain.Height, n uint32) []byte {
	return binary.BigEndian.AppendUint32(number(prefix, uint64(h)), n)
}

func addressPrefix(a []byte) []byte { return named('a', 0, a) }

func ownerPrefix(a []byte) []byte { return named('p', 0, a) }

// minerPrefix is of the miners that an account owns or works for, or once did.
func minerPrefix(a []byte) []byte { return named('w', 0, a) }

func channelPrefix(a []byte) []byte { return named('c', 0, a) }

func sectorPrefix(m chain.MinerID) []byte { return number([]byte{'s'}, m) }

func keptKey(k chain.Key) []byte { return append([]byte{'k', byte(k.Table)}, k.ID...) }

// endedPrefix is of the records of orders, channels, sectors and deals that a
// block deleted.
func endedPrefix(h chain.Height) []byte { return number([]byte{'z'}, uint64(h)) }

func hashKey(h [32]byte) []byte { return append([]byte{'h'}, h[:]...) }

// tip is how far the index is.
type tip struct {
	first, height chain.Height
	update        [32]byte // SHA-256 of the encoded Update of height
	chainID       string
}

const (
	formatVersion = 3
	tipHead       = 1 + 8 + 8 + 32
)

var tipKey = []byte{'t'}

func (t *tip) bytes() []byte {
	b := number(number([]byte{formatVersion}, uint64(t.first)), uint64(t.height))
	return append(append(b, t.update[:]...), t.chainID...)
}

// parseTip reads a tip; one of another version is no tip, so the index is made anew.
func parseTip(b []byte) *tip {
	if len(b) < tipHead || b[0] != formatVersion {
		return nil
	}
	t := &tip{first: chain.Height(binary.BigEndian.Uint64(b[1:])), height: chain.Height(binary.BigEndian.Uint64(b[9:]))}
	copy(t.update[:], b[17:])
	t.chainID = string(b[tipHead:])
	return t
}
