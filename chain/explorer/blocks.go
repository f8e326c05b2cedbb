package explorer

import (
	"encoding/hex"
	"net/http"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
)

// Block sums up a block.
type Block struct {
	Height   chain.Height `json:"height"`
	Time     string       `json:"time"`
	Proposer string       `json:"proposer"` // consensus address, hexadecimal
	Messages uint64       `json:"messages"`
	Failed   uint64       `json:"failed"` // of them, without success
	Proofs   uint64       `json:"proofs"` // of them, accepted window proofs
	Events   uint64       `json:"events"`
	Changes  uint64       `json:"changes"` // records written or deleted
	Deals    uint64       `json:"deals"`   // matched
	Bytes    uint64       `json:"bytes"`   // of the messages
	Units    uint64       `json:"units"`
	Fees     chain.Amount `json:"fees"`
}

func blockOf(b *index.Block) *Block {
	return &Block{b.Height, clock(b.Time), hexText(b.Proposer), b.Messages, b.Failed, b.Proofs, b.Events, b.Changes,
		b.Deals, b.Bytes, b.Units, b.Fees}
}

// BlockDetail is a block with the beginning of its lists.
type BlockDetail struct {
	*Block
	Hash        string     `json:"hash,omitempty"`    // of its header, hexadecimal; absent if the engine no longer keeps it
	Beacon      string     `json:"beacon,omitempty"`  // random value, hexadecimal
	BeaconSkip  bool       `json:"beaconSkipped"`     // nobody contributed to it
	AppHash     string     `json:"appHash,omitempty"` // of the state after it; absent if it was pruned before the index had it
	MessageList []*Message `json:"messageList"`       // the first 100
	EventList   []*Event   `json:"eventList"`         // the first 100
}

// inBlock is how many messages and events a block's answer has.
const inBlock = 100

func (a *API) blockRoutes() []route {
	return []route{
		{path: "/v1/blocks", query: ordered(), handle: a.blocks, indexed: true},
		{path: "/v1/blocks/{height}", handle: a.block, indexed: true},
		{path: "/v1/blocks/{height}/messages", query: paged("content"), handle: a.blockMessages, indexed: true},
		{path: "/v1/blocks/{height}/events", query: paged(), handle: a.blockEvents, indexed: true},
	}
}

func (a *API) blocks(q *query) (any, error) {
	return history(q, 8, (*index.Snapshot).Blocks, func(b *index.Block) (chain.Height, *Block) { return b.Height, blockOf(b) })
}

// hashDigits are those of a block's hash in hexadecimal.
const hashDigits = 64

// namedHeight reads which block the path names: by its height, as the latest, or by
// the hash of its header.
func (q *query) namedHeight() (chain.Height, error) {
	text := q.r.PathValue("height")
	hash, err := hex.DecodeString(text)
	if len(text) != hashDigits || err != nil {
		return q.height()
	}
	h, ok := q.api.findBlock(hash)
	if !ok {
		return 0, notFound("no block that is kept here has the hash %x", hash)
	}
	return h, nil
}

// findBlock is the height of the block with a hash of the engine's.
func (a *API) findBlock(hash []byte) (chain.Height, bool) {
	if a.config.Hashes == nil {
		return 0, false
	}
	return a.config.Hashes.Find(hash)
}

// indexedBlock finds the block that the path names.
func (q *query) indexedBlock() (*index.Block, error) {
	h, err := q.namedHeight()
	if err != nil {
		return nil, err
	}
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	if q.r.PathValue("height") == latest {
		h = min(h, s.Height) // the index may be a block behind
	}
	return blockAt(s, h)
}

// blockAt reads a block of the history, or tells why it is not there.
func blockAt(s *index.Snapshot, h chain.Height) (*index.Block, error) {
	b, err := s.Block(h)
	switch {
	case err != nil:
		return nil, err
	case b != nil:
		return b, nil
	case h < s.First:
		p := problem(http.StatusGone, "blocks before height %d are not kept here", s.First)
		p.Oldest = s.First
		return nil, p
	case s.InGap(h) != nil:
		gap := s.InGap(h)
		p := problem(http.StatusGone, "blocks %d to %d are missing here: the index did not run", gap.From, gap.To)
		p.Oldest = s.First
		return nil, p
	}
	return nil, notFound("block %d is not committed yet", h)
}

func (a *API) block(q *query) (any, error) {
	b, err := q.indexedBlock()
	if err != nil {
		return nil, err
	}
	q.settle(b.Height, b.Time)
	out := &BlockDetail{Block: blockOf(b), MessageList: []*Message{}, EventList: []*Event{}}
	out.Beacon, out.BeaconSkip, out.AppHash = hexText(b.Beacon[:]), b.Skipped, hexText(b.AppHash)
	if a.config.Hashes != nil {
		out.Hash = hexText(a.config.Hashes.HashOf(b.Height))
	}
	page := index.Page{Limit: inBlock, Upward: true}
	_, err = q.snap.BlockMessages(b.Height, page, func(m *index.Message) (bool, error) {
		out.MessageList = append(out.MessageList, q.messageOf(m))
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	_, err = q.snap.BlockEvents(b.Height, page, func(e *index.Event) (bool, error) {
		if uint64(e.Index) >= b.Events {
			return false, nil
		}
		out.EventList = append(out.EventList, q.eventOf(&e.Event))
		return true, nil
	})
	return out, err
}

func (a *API) blockMessages(q *query) (any, error) {
	b, err := q.indexedBlock()
	if err != nil {
		return nil, err
	}
	wanted, err := q.wantsContent()
	if err != nil {
		return nil, err
	}
	q.settle(b.Height, b.Time)
	if wanted {
		full := &contents{query: q}
		return listOf(q, func(p index.Page, add func(*MessageContent)) ([]byte, error) {
			p.Upward = true
			return q.snap.BlockMessages(b.Height, p, func(m *index.Message) (bool, error) {
				out, err := full.of(m)
				if err == nil {
					add(out)
				}
				return err == nil, err
			})
		})
	}
	return listOf(q, func(p index.Page, add func(*Message)) ([]byte, error) {
		p.Upward = true
		return q.snap.BlockMessages(b.Height, p, func(m *index.Message) (bool, error) {
			add(q.messageOf(m))
			return true, nil
		})
	})
}

func (a *API) blockEvents(q *query) (any, error) {
	b, err := q.indexedBlock()
	if err != nil {
		return nil, err
	}
	q.settle(b.Height, b.Time)
	return listOf(q, func(p index.Page, add func(*Event)) ([]byte, error) {
		return q.snap.BlockEvents(b.Height, p, func(e *index.Event) (bool, error) {
			if uint64(e.Index) >= b.Events { // what the index derived is no event of the chain
				return false, nil
			}
			add(q.eventOf(&e.Event))
			return true, nil
		})
	})
}
