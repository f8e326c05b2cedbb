package explorer

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
)

// Outlook is what a miner offers and what it has to do next. It is beside the
// miner's record, so an answer with a proof has none.
type Outlook struct {
	VoteAddress  string    `json:"voteAddress,omitempty"`  // consensus address of its key, hexadecimal; absent: it never votes
	NextDeadline *Deadline `json:"nextDeadline,omitempty"` // of those with sectors the one that is open or opens next, without its partitions
	Asks         []*Order  `json:"asks"`                   // that are not over, the newest first; at most 20
}

// maxAsks is how many asks a miner's answer has.
const maxAsks = 20

func (q *query) outlookOf(m *chain.Miner) (*Outlook, error) {
	out := &Outlook{Asks: []*Order{}}
	if len(m.Keys.ConsensusKey) > 0 {
		out.VoteAddress = hexText(consensus.ConsensusAddress(m.Keys.ConsensusKey))
	}
	s := q.params().Schedule()
	for i, sectors := range m.Deadlines {
		if sectors == 0 {
			continue
		}
		d, err := q.deadlineOf(m, s, uint64(i), false)
		if err != nil {
			return nil, err
		}
		if out.NextDeadline == nil || d.Opens < out.NextDeadline.Opens {
			out.NextDeadline = d
		}
	}
	if q.snap == nil {
		return out, nil
	}
	list := index.Orders(index.OrderFilter{Live: true, Side: index.AskSide, Miner: m.ID})
	_, err := q.snap.Records(list, index.Page{Limit: maxAsks}, func(r *index.Record) (bool, error) {
		o := new(chain.Order)
		if err := r.Decode(o); err != nil {
			return false, err
		}
		out.Asks = append(out.Asks, q.orderOf(o, r))
		return true, nil
	})
	return out, err
}
