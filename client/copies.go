package client

import (
	"slices"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/client/files"
)

// CopyStatus is how one copy of one piece stands.
type CopyStatus struct {
	Part     uint64       `json:"part"` // of the payload, from 0
	PieceCID string       `json:"pieceCid"`
	Deal     uint64       `json:"deal,omitempty"`
	Miner    string       `json:"miner,omitempty"`
	State    string       `json:"state"` // that of the deal; without one: placing, bid (in the book), none
	Reason   string       `json:"reason,omitempty"`
	Deadline chain.Height `json:"deadline,omitempty"` // until when the state can last: then the copy is void, or its term over
	Left     float64      `json:"left,omitempty"`     // seconds until then
	Expected chain.Height `json:"expected,omitempty"` // when it will be stored, as quickly as recent deals were
	ETA      float64      `json:"eta,omitempty"`      // seconds until then
}

// clock is what times are reckoned by.
type clock struct {
	now    chain.Height
	params *consensus.Params
	delay  uint64 // blocks from a match to the proof, by recent deals; 0: not known
}

// after is how many seconds it is to a height.
func (c *clock) after(h chain.Height) float64 {
	return (time.Duration(uint64(h-min(h, c.now))*c.params.BlockMillis) * time.Millisecond).Seconds()
}

// copies are all copies of an object, by piece.
func (c *clock) copies(o *files.Object) []CopyStatus {
	out := []CopyStatus{}
	for i := range o.Pieces {
		p := &o.Pieces[i]
		for j := range p.Deals {
			out = append(out, c.copy(p, &p.Deals[j]))
		}
		for range o.Copies - min(o.Copies, p.Matched()) {
			out = append(out, c.unmatched(p))
		}
	}
	return out
}

// copy is how a deal stands.
func (c *clock) copy(p *files.Piece, d *files.Deal) CopyStatus {
	out := CopyStatus{Part: p.Part, PieceCID: p.CID, Deal: d.ID, Miner: chain.FormatMiner(d.Miner, c.params.Network), State: d.State, Reason: d.Reason}
	switch {
	case d.State == chain.DealMatched.String():
		out.Deadline = d.FetchBy
	case d.State == chain.DealAccepted.String():
		out.Deadline = d.ActivateBy
	case d.Active():
		out.Deadline = d.End
	}
	if d.Pending() && c.delay > 0 {
		out.Expected = max(d.Matched+chain.Height(c.delay), c.now+1)
		out.ETA = c.after(out.Expected)
	}
	if out.Deadline > 0 {
		out.Left = c.after(out.Deadline)
	}
	return out
}

// unmatched is how a copy stands that no miner has taken.
func (c *clock) unmatched(p *files.Piece) CopyStatus {
	out := CopyStatus{Part: p.Part, PieceCID: p.CID, Reason: p.Bid.Reason}
	switch p.Bid.State {
	case files.BidNone:
		out.State = "placing"
	case files.BidStands:
		out.State, out.Deadline = "bid", p.Bid.Expiry()
	default:
		out.State = "none"
	}
	if out.Deadline > 0 {
		out.Left = c.after(out.Deadline)
	}
	return out
}

// median is the middle one of some numbers, 0 of none.
func median(of []uint64) uint64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
