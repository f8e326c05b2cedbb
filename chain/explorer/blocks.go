package explorer

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
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
	Beacon      string     `json:"beacon,omitempty"`  // random value, hexadecimal; absent once pruned
	BeaconSkip  bool       `json:"beaconSkipped"`     // nobody contributed to it
	AppHash     string     `json:"appHash,omitempty"` // of the state after it; absent once pruned
	MessageList []*Message `json:"messageList"`       // the first 100
	EventList   []*Event   `json:"eventList"`         // the first 100
}

// inBlock is how many messages and events a block's answer has.
const inBlock = 100

func (a *API) blockRoutes() []route {
	return []route{
		{path: "/v1/blocks", query: paged(), handle: a.blocks, indexed: true},
		{path: "/v1/blocks/{height}", handle: a.block, indexed: true},
		{path: "/v1/blocks/{height}/messages", query: paged(), handle: a.blockMessages, indexed: true},
		{path: "/v1/blocks/{height}/events", query: paged(), handle: a.blockEvents, indexed: true},
	}
}

func (a *API) blocks(q *query) (any, error) {
	return listOf(q, func(p index.Page, add func(*Block)) ([]byte, error) {
		return a.index.Blocks(p, func(b *index.Block) (bool, error) {
			add(blockOf(b))
			return true, nil
		})
	})
}

// indexed finds the block that the path names.
func (a *API) indexed(q *query) (*index.Block, error) {
	h, err := q.height()
	if err != nil {
		return nil, err
	}
	first, tip, built := a.index.Tip()
	if !built {
		return nil, index.ErrBuilding
	}
	if q.r.PathValue("height") == latest {
		h = min(h, tip) // the index may be a block behind
	}
	b, err := a.index.Block(h)
	switch {
	case err != nil:
		return nil, err
	case b != nil:
		return b, nil
	case h < first:
		p := problem(410, "blocks before height %d are not kept here", first)
		p.Oldest = first
		return nil, p
	}
	return nil, notFound("block %d is not committed yet", h)
}

func (a *API) block(q *query) (any, error) {
	b, err := a.indexed(q)
	if err != nil {
		return nil, err
	}
	out := &BlockDetail{Block: blockOf(b), MessageList: []*Message{}, EventList: []*Event{}}
	var beacon chain.Beacon
	if ok, err := q.load(chain.BeaconKey(b.Height), &beacon); err != nil {
		return nil, err
	} else if ok {
		out.Beacon, out.BeaconSkip = hexText(beacon.Value[:]), beacon.Skipped
	}
	if tree, err := a.node.Store().At(b.Height); err == nil { // else it is pruned
		out.AppHash = hexText(tree.AppHash())
	}
	page := index.Page{Limit: inBlock}
	_, err = a.index.BlockMessages(b.Height, page, func(m *index.Message) (bool, error) {
		out.MessageList = append(out.MessageList, q.messageOf(m))
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	_, err = a.index.BlockEvents(b.Height, page, func(e *consensus.Event) (bool, error) {
		out.EventList = append(out.EventList, q.eventOf(e))
		return true, nil
	})
	return out, err
}

func (a *API) blockMessages(q *query) (any, error) {
	b, err := a.indexed(q)
	if err != nil {
		return nil, err
	}
	q.settle(b.Height, b.Time)
	return listOf(q, func(p index.Page, add func(*Message)) ([]byte, error) {
		return a.index.BlockMessages(b.Height, p, func(m *index.Message) (bool, error) {
			add(q.messageOf(m))
			return true, nil
		})
	})
}

func (a *API) blockEvents(q *query) (any, error) {
	b, err := a.indexed(q)
	if err != nil {
		return nil, err
	}
	q.settle(b.Height, b.Time)
	return listOf(q, func(p index.Page, add func(*Event)) ([]byte, error) {
		return a.index.BlockEvents(b.Height, p, func(e *consensus.Event) (bool, error) {
			add(q.eventOf(e))
			return true, nil
		})
	})
}
