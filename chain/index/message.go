package index

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// describe reads what the bytes of a message tell.
func (m *Message) describe(raw []byte) {
	m.Size = uint64(len(raw))
	signed, err := chain.DecodeSigned(raw)
	if err != nil {
		return // the receipt says so
	}
	msg := &signed.Message
	m.From, m.Nonce, m.MaxFee, m.Tip = msg.From.Bytes(), msg.Nonce, msg.MaxFee, msg.Tip
	body, err := msg.DecodeBody()
	if err != nil {
		return
	}
	if about, ok := body.(chain.MinerBody); ok {
		m.Miner = about.OfMiner()
	}
	switch body := body.(type) {
	case *chain.SubmitWindowProof:
		m.Proof, body.Proof = uint64(len(body.Proof)), nil
		m.keep(chain.Encode(body))
	case *chain.ProveCommit:
		m.Proof, body.Proof = uint64(len(body.Proof)), nil
		m.keep(chain.Encode(body))
	default:
		m.keep(msg.Body, nil)
	}
}

// keep keeps a body that is not too long.
func (m *Message) keep(body []byte, err error) {
	if err == nil && len(body) <= MaxBody {
		m.Body = body
	}
}

// The length of a place in bytes, and of the value under a message's hash: a place,
// and whether the message had an effect.
const (
	placeSize     = 8 + 4
	hashValueSize = placeSize + 1
)

// noteHash notes where a message stands. It may stand in several blocks, or twice in
// one, but has an effect in one place at most.
func (b *block) noteHash(batch *pebble.Batch, m *Message) error {
	value := append(Place{m.Height, uint32(m.Index)}.bytes(), 0)
	if m.Effect() {
		value[placeSize] = 1
		set(batch, hashKey(m.Receipt.Hash), value)
		return nil
	}
	for i := range m.Index { // only messages without an effect look back; blocks hold few of them
		if b.messages[i].Receipt.Hash == m.Receipt.Hash && b.messages[i].Effect() {
			return nil
		}
	}
	old, err := b.g.get(hashKey(m.Receipt.Hash))
	if err != nil {
		return fmt.Errorf("read place of message %x: %w", m.Receipt.Hash, err)
	}
	if len(old) != hashValueSize || old[placeSize] == 0 {
		set(batch, hashKey(m.Receipt.Hash), value)
	}
	return nil
}

func place(b []byte) (Place, bool) {
	if len(b) != hashValueSize {
		return Place{}, false
	}
	return placeOf(b), true
}

func index32(i uint64) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }
