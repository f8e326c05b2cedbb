package consensus

import "github.com/perdure/perdure/chain"

// cursor returns how far a queue is worked off.
func (s *state) cursor(q chain.Queue) *chain.Cursor {
	for uint64(len(s.global.Cursors)) <= uint64(q) {
		s.global.Cursors = append(s.global.Cursors, chain.Cursor{Height: s.global.Height, Index: 1})
	}
	return &s.global.Cursors[q]
}

// enqueue makes item due at the end of the block of height h, or of the next
// block that works off the queue if that is past.
func (s *state) enqueue(q chain.Queue, h chain.Height, item chain.QueueItem) {
	h = max(h, s.cursor(q).Height)
	var head chain.QueueHead
	key := chain.QueueKey(q, h, 0)
	s.load(key, &head)
	head.Count++
	s.store(key, &head)
	s.store(chain.QueueKey(q, h, head.Count), &item)
}

// due is how each queue's items are worked off. A handler that finds its
// record gone or moved on does nothing: items are never taken out early.
var due = map[chain.Queue]func(*state, *chain.QueueItem) error{
	chain.QueueMinerKeys:      (*state).actPendingKeys,
	chain.QueuePreCommitEnd:   (*state).dropPreCommit,
	chain.QueueDeadlineClose:  (*state).closeDeadline,
	chain.QueueSectorExpire:   (*state).expireSector,
	chain.QueueOrderMature:    (*state).matureOrder,
	chain.QueueOrderExpire:    (*state).expireOrder,
	chain.QueueDealFetchBy:    (*state).voidUnfetched,
	chain.QueueDealActivateBy: (*state).voidInactive,
	chain.QueueDealEnd:        (*state).endDeal,
	chain.QueueReplayForget:   (*state).forgetReplay,
	chain.QueueProposal:       (*state).enactProposal,
	chain.QueueDealRenew:      (*state).renewDeal,
	chain.QueuePledgeFree:     (*state).freePledge,
	chain.QueueSectorForget:   (*state).forgetSector,
	chain.QueueDealForget:     (*state).forgetDeal,
	chain.QueueChannelForget:  (*state).forgetChannel,
}

// drain works off what is due up to the block's height, at most QueueItems
// items of each queue; what is left carries over, in order.
func (s *state) drain() error {
	for q := chain.Queue(1); q < chain.QueueEnd; q++ {
		if err := s.drainQueue(q); err != nil {
			return err
		}
	}
	return s.broken
}

func (s *state) drainQueue(q chain.Queue) error {
	for left := s.params.QueueItems; left > 0 && s.cursor(q).Height <= s.global.Height && s.broken == nil; {
		c := *s.cursor(q)
		var head chain.QueueHead
		headKey := chain.QueueKey(q, c.Height, 0)
		if !s.load(headKey, &head) || c.Index > head.Count {
			s.remove(headKey)
			*s.cursor(q) = chain.Cursor{Height: c.Height + 1, Index: 1}
			continue
		}
		var item chain.QueueItem
		key := chain.QueueKey(q, c.Height, c.Index)
		if s.load(key, &item) {
			s.remove(key)
			if err := due[q](s, &item); err != nil {
				return err
			}
		}
		s.cursor(q).Index++
		left--
	}
	return nil
}

// forgetReplay lets go of a replay key whose window is long over.
func (s *state) forgetReplay(item *chain.QueueItem) error {
	s.remove(chain.Key{Table: chain.TableReplay, ID: string(item.Key)})
	return nil
}
