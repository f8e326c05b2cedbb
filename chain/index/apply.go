package index

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Committed is a block as the chain has committed it.
type Committed struct {
	Update   []byte   // encoded
	Messages [][]byte // encoded, in order; nil if the block is not kept
	AppHash  []byte   // of the state after it; nil if that is not known any more
	Votes    *Commit  // who voted on the block before, as this one brought it; nil if it is not kept
}

// Apply takes in the block that follows the tip.
func (x *Index) Apply(c Committed) error {
	g, done, err := x.use()
	if err != nil {
		return err
	}
	defer done()
	b, err := prepare(&c)
	if err != nil {
		return err
	}
	return g.apply(b)
}

// prepare reads a block as far as that needs nothing of the index: it may run
// beside the writing of the block before.
func prepare(c *Committed) (*block, error) {
	u := new(consensus.Update)
	if err := parse(c.Update, u); err != nil {
		return nil, fmt.Errorf("index: decode update: %w", err)
	}
	b := newBlock(u)
	b.hash, b.appHash, b.commit = sha256.Sum256(c.Update), c.AppHash, c.Votes
	if err := b.decode(c.Messages); err != nil {
		return nil, fmt.Errorf("index block %d: %w", u.Height, err)
	}
	return b, nil
}

func (g *generation) apply(b *block) error {
	at := g.at()
	if at == nil || at.pending {
		return ErrBuilding
	}
	if b.u.Height != at.height+1 {
		return &GapError{Tip: at.height, Got: b.u.Height}
	}
	next := &tip{height: b.u.Height, update: b.hash, chainID: at.chainID}
	next.first, next.gaps = g.firstKept(at, b.u.Height)
	b.g = g
	err := b.read()
	if err == nil {
		err = b.derive()
	}
	if err == nil {
		err = b.reward()
	}
	if err == nil {
		err = g.write(next, func(batch *pebble.Batch) error {
			if err := g.pruneTo(batch, at, next); err != nil {
				return err
			}
			return b.fill(batch)
		})
	}
	if err != nil {
		return fmt.Errorf("index block %d: %w", b.u.Height, err)
	}
	for i := range b.changes {
		g.lately.keep(b.changes[i].key, b.changes[i].raw)
	}
	return nil
}

// block is one Update on its way into the index, or, of a scan, a part of the
// records of a state.
type block struct {
	g        *generation
	u        *consensus.Update
	scan     bool
	again    bool     // of a scan: the mirror may have the records already
	hash     [32]byte // SHA-256 of the encoded Update
	appHash  []byte
	commit   *Commit // votes on the block before; nil: not known
	messages []Message
	bytes    uint64
	changes  []change
	at       map[chain.Key]int // their places
	beacon   chain.Beacon
	rewarded []byte              // address that its proposer earns by; nil: there is none
	tips     chain.Amount        // of the messages, if somebody got them
	events   []consensus.Event   // of the chain, then the derived ones
	mentions map[string]*mention // by the prefix of the subject
	subjects map[string]struct{} // prefixes under which the block has rows that go with it
}

func newBlock(u *consensus.Update) *block {
	return &block{u: u, events: u.Events, mentions: map[string]*mention{}, subjects: map[string]struct{}{}}
}

// steps are what a block does to the index. Each sees the records as they were
// before the block and after it (block.changes), and the messages.
var steps = []func(*block, *pebble.Batch) error{
	(*block).mirror, (*block).history, (*block).lists, (*block).touched, (*block).windows, (*block).market, (*block).book,
	(*block).figure, (*block).mentioned,
}

// scanSteps are what the records of a scanned state do to the index: nothing has
// happened, but records have come or, if the mirror had some, changed and gone.
var scanSteps = []func(*block, *pebble.Batch) error{(*block).mirror, (*block).book, (*block).figure}

func (b *block) fill(batch *pebble.Batch) error {
	todo := steps
	if b.scan {
		todo = scanSteps
	}
	for _, step := range todo {
		if err := step(b, batch); err != nil {
			return err
		}
	}
	if b.scan {
		return nil
	}
	return b.journal(batch)
}

// under writes a row of the block's history under a subject's prefix; it goes
// when the block's height does. rest follows the height in the key.
func (b *block) under(batch *pebble.Batch, prefix, rest, value []byte) {
	key := make([]byte, 0, len(prefix)+8+len(rest))
	key = append(number(append(key, prefix...), uint64(b.u.Height)), rest...)
	set(batch, key, value)
	if _, ok := b.subjects[string(prefix)]; !ok {
		b.subjects[string(prefix)] = struct{}{}
	}
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
		b.bytes += uint64(len(raw[i]))
		m.describe(raw[i])
	}
	for i := range b.u.Events {
		if n := b.u.Events[i].Message; n > 0 && n <= uint64(len(b.messages)) {
			m := &b.messages[n-1]
			if m.Events == 0 {
				m.First = uint64(i)
			}
			m.Events = uint64(i) - m.First + 1
		}
	}
	return nil
}

func (b *block) history(batch *pebble.Batch) error {
	sum, err := b.sum()
	if err != nil {
		return err
	}
	for i := range b.messages {
		if err := b.noteHash(batch, &b.messages[i]); err != nil {
			return err
		}
	}
	err = b.writeChunks(batch, messageTable, len(b.messages), func(i int) chain.CBOR { return &b.messages[i] })
	if err != nil {
		return err
	}
	err = b.writeChunks(batch, eventTable, len(b.events), func(i int) chain.CBOR { return &b.events[i] })
	if err != nil {
		return err
	}
	return put(batch, blockKey(b.u.Height), sum)
}

// sum sums up the block.
func (b *block) sum() (*Block, error) {
	sum := &Block{Height: b.u.Height, Time: b.u.Time, Proposer: b.u.Proposer, Update: b.hash, AppHash: b.appHash,
		Beacon: b.beacon.Value, Skipped: b.beacon.Skipped, Messages: uint64(len(b.messages)), Events: uint64(len(b.u.Events)),
		Derived: uint64(len(b.events) - len(b.u.Events)), Changes: uint64(len(b.u.Changes)), Bytes: b.bytes, Tips: b.tips}
	if i, ok := b.at[chain.GlobalKey()]; ok {
		if g := now[chain.Global](&b.changes[i]); g != nil {
			sum.RuleVersion, sum.BaseFee, sum.Supply, sum.Power = g.RuleVersion, g.BaseFee, g.Supply, g.Power
		}
	}
	for i := range b.messages {
		r := &b.messages[i].Receipt
		sum.Units += r.Units
		switch {
		case r.Code != uint64(consensus.CodeOK):
			sum.Failed++
		case r.Kind == chain.KindSubmitWindowProof:
			sum.Proofs++
		}
		fees, err := sum.Fees.Add(r.Fee)
		if err != nil {
			return nil, fmt.Errorf("sum fees: %w", err)
		}
		sum.Fees = fees
	}
	for i := range b.u.Events {
		if b.u.Events[i].Kind == consensus.EventDealMatched {
			sum.Deals++
		}
	}
	return sum, nil
}

func put(batch *pebble.Batch, key []byte, v chain.CBOR) error {
	raw, err := chain.Encode(v)
	if err != nil {
		return fmt.Errorf("encode row %c: %w", key[0], err)
	}
	set(batch, key, raw)
	return nil
}

// touched notes the messages of each address: of who sent it, of the miner that
// it is about, and of whom its events name. A message without an effect may
// name anybody as its sender, so it is in no list.
func (b *block) touched(*pebble.Batch) error {
	list := func(i uint64, a []byte) {
		if len(a) > 0 {
			m := b.mention(ofAddress(a))
			m.messages = append(m.messages, uint32(i))
		}
	}
	miner := func(i uint64, id chain.MinerID) {
		if id != 0 {
			list(i, minerBytes(id))
		}
	}
	for i := range b.messages {
		if m := &b.messages[i]; m.Effect() {
			list(m.Index, m.From)
			miner(m.Index, m.Miner)
		}
	}
	var last consensus.Event
	for i := range b.u.Events {
		e := &b.u.Events[i]
		if e.Message == 0 || e.Message == last.Message && e.Miner == last.Miner && len(e.From)+len(e.To) == 0 {
			continue // such as the 32 sectors of one proof
		}
		list(e.Message-1, e.From)
		list(e.Message-1, e.To)
		miner(e.Message-1, e.Miner)
		last = *e
	}
	return nil
}
