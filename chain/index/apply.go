package index

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Apply takes in the Update that follows the tip, with the encoded messages of
// its block, or none if the block is not kept.
func (x *Index) Apply(raw []byte, messages [][]byte) error {
	u := new(consensus.Update)
	if err := chain.Decode(raw, u); err != nil {
		return fmt.Errorf("index: decode update: %w", err)
	}
	x.mu.RLock()
	at := x.tip
	x.mu.RUnlock()
	if at == nil {
		return ErrBuilding
	}
	if u.Height != at.height+1 {
		return &GapError{Tip: at.height, Got: u.Height}
	}
	next := &tip{first: x.firstKept(at.first, u.Height), height: u.Height, update: sha256.Sum256(raw), chainID: at.chainID}
	b := block{x: x, u: u}
	if err := b.decode(messages); err != nil {
		return fmt.Errorf("index block %d: %w", u.Height, err)
	}
	err := x.write(next, func(batch *pebble.Batch) error {
		for h := at.first; h < next.first; h++ {
			if err := x.prune(batch, h); err != nil {
				return fmt.Errorf("prune height %d: %w", h, err)
			}
		}
		return b.fill(batch)
	})
	if err != nil {
		return fmt.Errorf("index block %d: %w", u.Height, err)
	}
	return nil
}

// block is one Update on its way into the index.
type block struct {
	x        *Index
	u        *consensus.Update
	messages []Message
	bytes    uint64
}

// decode reads what the index keeps of the messages. The receipts name them.
func (b *block) decode(raw [][]byte) error {
	if raw != nil && len(raw) != len(b.u.Receipts) {
		return fmt.Errorf("%d messages, %d receipts", len(raw), len(b.u.Receipts))
	}
	b.messages = make([]Message, len(b.u.Receipts))
	for i := range b.u.Receipts {
		m := &b.messages[i]
		*m = Message{Height: b.u.Height, Index: uint64(i), Time: b.u.Time, Receipt: b.u.Receipts[i]}
		if raw == nil {
			continue
		}
		if hash := chain.HashBytes(raw[i]); hash != m.Receipt.Hash {
			return fmt.Errorf("message %d is %s, its receipt is about %x", i, hash, m.Receipt.Hash)
		}
		m.Size = uint64(len(raw[i]))
		b.bytes += m.Size
		signed, err := chain.DecodeSigned(raw[i])
		if err != nil {
			continue // the receipt says so
		}
		m.From, m.Nonce = signed.Message.From.Bytes(), signed.Message.Nonce
		if body, err := signed.Message.DecodeBody(); err == nil {
			if proof, ok := body.(*chain.SubmitWindowProof); ok {
				m.Miner = proof.Miner
			}
		}
	}
	return nil
}

func (b *block) fill(batch *pebble.Batch) error {
	if err := b.history(batch); err != nil {
		return err
	}
	if err := b.touched(batch); err != nil {
		return err
	}
	if err := b.market(batch); err != nil {
		return err
	}
	ended := reasons(b.u)
	for i := range b.u.Changes {
		if err := b.change(batch, &b.u.Changes[i], ended); err != nil {
			return err
		}
	}
	return nil
}

// history writes the block, its messages and its events.
func (b *block) history(batch *pebble.Batch) error {
	sum := &Block{Height: b.u.Height, Time: b.u.Time, Proposer: b.u.Proposer, Messages: uint64(len(b.messages)),
		Events: uint64(len(b.u.Events)), Changes: uint64(len(b.u.Changes)), Bytes: b.bytes}
	for i := range b.messages {
		m := &b.messages[i]
		sum.Units += m.Receipt.Units
		switch {
		case m.Receipt.Code != uint64(consensus.CodeOK):
			sum.Failed++
		case m.Receipt.Kind == chain.KindSubmitWindowProof:
			sum.Proofs++
		}
		var err error
		if sum.Fees, err = sum.Fees.Add(m.Receipt.Fee); err != nil {
			return fmt.Errorf("sum fees: %w", err)
		}
		if err := b.message(batch, m); err != nil {
			return err
		}
	}
	for i := range b.u.Events {
		if b.u.Events[i].Kind == consensus.EventDealMatched {
			sum.Deals++
		}
		if err := put(batch, in([]byte{'e'}, b.u.Height, uint32(i)), &b.u.Events[i]); err != nil {
			return err
		}
	}
	return put(batch, number([]byte{'b'}, uint64(b.u.Height)), sum)
}

func put(batch *pebble.Batch, key []byte, v chain.CBOR) error {
	raw, err := chain.Encode(v)
	if err != nil {
		return fmt.Errorf("encode row %c: %w", key[0], err)
	}
	set(batch, key, raw)
	return nil
}

// placeSize is height, index, and whether the message had an effect.
const placeSize = 8 + 4 + 1

// message writes a message's row and notes where it stands. A message may
// stand in several blocks, or twice in one, but has an effect in one place at most.
func (b *block) message(batch *pebble.Batch, m *Message) error {
	if err := put(batch, in([]byte{'m'}, m.Height, uint32(m.Index)), m); err != nil {
		return err
	}
	value := append(in(nil, m.Height, uint32(m.Index)), 0)
	if m.Effect() {
		value[placeSize-1] = 1
		set(batch, hashKey(m.Receipt.Hash), value)
		return nil
	}
	for i := range m.Index { // only messages without an effect look back; blocks hold few of them
		if b.messages[i].Receipt.Hash == m.Receipt.Hash && b.messages[i].Effect() {
			return nil
		}
	}
	old, err := b.x.get(hashKey(m.Receipt.Hash))
	if err != nil {
		return fmt.Errorf("read place of message %x: %w", m.Receipt.Hash, err)
	}
	if len(old) != placeSize || old[placeSize-1] == 0 {
		set(batch, hashKey(m.Receipt.Hash), value)
	}
	return nil
}

// touched notes the messages of each address.
func (b *block) touched(batch *pebble.Batch) error {
	events := make([]*consensus.Event, len(b.u.Events))
	for i := range events {
		events[i] = &b.u.Events[i]
	}
	return touches(b.u.Height, b.messages, events, func(key []byte) { set(batch, key, nil) })
}

// touches calls note with the row of each message of a block in the list of
// each address: of who sent it and of whom its events name. A message without
// an effect may name anybody as its sender, so it is in no list.
func touches(h chain.Height, messages []Message, events []*consensus.Event, note func(key []byte)) error {
	address := func(i int, a []byte) {
		if len(a) > 0 {
			note(in(addressPrefix(a), h, uint32(i)))
		}
	}
	miner := func(i int, id chain.MinerID) error {
		if id == 0 {
			return nil
		}
		a, err := chain.MinerAddress(id)
		if err != nil {
			return fmt.Errorf("miner %d: %w", id, err)
		}
		address(i, a.Bytes())
		return nil
	}
	for i := range messages {
		if m := &messages[i]; m.Effect() {
			address(i, m.From)
			if err := miner(i, m.Miner); err != nil {
				return err
			}
		}
	}
	for _, e := range events {
		if e.Message == 0 {
			continue
		}
		address(int(e.Message-1), e.From)
		address(int(e.Message-1), e.To)
		if err := miner(int(e.Message-1), e.Miner); err != nil {
			return err
		}
	}
	return nil
}

// reasons collects why orders and channels ended in a block.
func reasons(u *consensus.Update) map[chain.Key]string {
	out := map[chain.Key]string{}
	for i := range u.Events {
		switch e := &u.Events[i]; e.Kind {
		case consensus.EventOrderCancelled:
			out[chain.OrderKey(e.Order)] = e.Reason
		case consensus.EventOrderFilled:
			out[chain.OrderKey(e.Order)] = "filled"
		case consensus.EventChannelCollected:
			out[chain.ChannelKey(e.Channel)] = "collected"
		}
	}
	return out
}

// change writes the rows of a changed record.
func (b *block) change(batch *pebble.Batch, c *consensus.Change, ended map[chain.Key]string) error {
	if c.Value != nil {
		return record(batch, c.Key(), c.Value, b.u.Height)
	}
	switch c.Table {
	case chain.TableOrder, chain.TableChannel, chain.TableSector, chain.TableDeal:
	default:
		return nil
	}
	raw, err := b.x.get(keptKey(c.Key()))
	if err != nil {
		return fmt.Errorf("read last form of %s %x: %w", c.Table, c.ID, err)
	}
	if c.Table == chain.TableOrder {
		remove(batch, append([]byte{'l'}, c.ID...))
	}
	if raw == nil { // made and ended in one block
		return nil
	}
	kept := new(Kept)
	if err := chain.Decode(raw, kept); err != nil {
		return fmt.Errorf("decode last form of %s %x: %w", c.Table, c.ID, err)
	}
	kept.Ended, kept.Reason = b.u.Height, ended[c.Key()]
	set(batch, append(append(endedPrefix(b.u.Height), byte(c.Table)), c.ID...), nil)
	return put(batch, keptKey(c.Key()), kept)
}

// record writes the rows of a record as it is at a height.
func record(batch *pebble.Batch, k chain.Key, value []byte, h chain.Height) error {
	switch k.Table {
	case chain.TableMiner:
		m := new(chain.Miner)
		if err := chain.Decode(value, m); err != nil {
			return fmt.Errorf("decode miner: %w", err)
		}
		set(batch, number(minerPrefix(m.Keys.Owner.Bytes()), m.ID), nil)
		set(batch, number(minerPrefix(m.Keys.Worker.Bytes()), m.ID), nil)
	case chain.TableSector:
		s := new(chain.Sector)
		if err := chain.Decode(value, s); err != nil {
			return fmt.Errorf("decode sector: %w", err)
		}
		set(batch, append([]byte{'s'}, k.ID...), nil)
		switch {
		case s.Ended():
			return put(batch, keptKey(k), &Kept{Record: value, Changed: h})
		case s.State == chain.SectorPreCommitted: // maybe another one had the number before
			remove(batch, keptKey(k))
		}
	case chain.TableDeal:
		d := new(chain.Deal)
		if err := chain.Decode(value, d); err != nil {
			return fmt.Errorf("decode deal: %w", err)
		}
		for _, by := range listsOf(d) {
			set(batch, number(by.prefix, d.ID), nil)
		}
		if d.Ended() {
			return put(batch, keptKey(k), &Kept{Record: value, Changed: h})
		}
	case chain.TableOrder:
		o := new(chain.Order)
		if err := chain.Decode(value, o); err != nil {
			return fmt.Errorf("decode order: %w", err)
		}
		set(batch, number([]byte{'o'}, o.ID), nil)
		set(batch, number([]byte{'l'}, o.ID), nil)
		set(batch, number(ownerPrefix(o.Owner.Bytes()), o.ID), nil)
		return put(batch, keptKey(k), &Kept{Record: value, Changed: h})
	case chain.TableChannel:
		c := new(chain.Channel)
		if err := chain.Decode(value, c); err != nil {
			return fmt.Errorf("decode channel: %w", err)
		}
		set(batch, number(channelPrefix(c.Payer.Bytes()), c.ID), nil)
		set(batch, number(channelPrefix(c.Payee.Bytes()), c.ID), nil)
		return put(batch, keptKey(k), &Kept{Record: value, Changed: h})
	}
	return nil
}

func place(b []byte) (Place, bool) {
	if len(b) != placeSize {
		return Place{}, false
	}
	return Place{chain.Height(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:])}, true
}
