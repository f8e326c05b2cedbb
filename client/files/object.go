package files

import (
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/pack"
)

// Object is one put: a payload, how it opens, and what is paid for it.
type Object struct {
	Number  uint64    `json:"number"` // counts the puts of this home, from 1
	Created time.Time `json:"created"`

	Root        string `json:"root"` // CID of the payload
	Kind        string `json:"kind"` // file, directory, or batch: the piece that others share
	Name        string `json:"name,omitempty"`
	Mode        uint32 `json:"mode,omitempty"`
	Size        uint64 `json:"size"`   // of the content in bytes
	SHA256      []byte `json:"sha256"` // of the content
	Key         string `json:"key,omitempty"`
	PayloadSize uint64 `json:"payloadSize"` // of all archives in bytes

	ChainID  string       `json:"chainId"`
	Client   string       `json:"client"`   // address that pays
	Copies   uint64       `json:"copies"`   // of every piece
	Duration uint64       `json:"duration"` // blocks
	MaxPrice chain.Amount `json:"maxPrice"` // attoPDR per GiB per block
	Renew    *Renew       `json:"renew,omitempty"`

	// Waiting says that the object is in the batch that is not flushed yet, and
	// In, once it was, which object is the piece that it shares with others. Its
	// Pieces are then that one's.
	Waiting bool   `json:"waiting,omitempty"`
	In      uint64 `json:"in,omitempty"`
	// Imported says that another home stored it: what is known is how to fetch and
	// to open it.
	Imported bool `json:"imported,omitempty"`
	// Public says of a piece that several share that all of them are public.
	Public bool `json:"public,omitempty"`
	// Allow are the miners that the bid is for, Regions those of which a miner has to
	// claim one, ascending; none: all.
	Allow   []uint64 `json:"allow,omitempty"`
	Regions []string `json:"regions,omitempty"`

	Pieces []Piece      `json:"pieces"`
	Spool  string       `json:"spool,omitempty"` // directory in the spool; empty once it is gone
	Seen   chain.Height `json:"seen"`            // Updates up to this one are taken in
}

// KindBatch is the Kind of a piece that several objects share.
const KindBatch = string(pack.KindTogether)

// Own reports whether the object has pieces of its own to place and to follow: it is
// neither waiting in a batch, nor in another object's piece, nor another home's.
func (o *Object) Own() bool { return !o.Waiting && o.In == 0 && !o.Imported }

// IsPublic reports whether everybody who has the blocks can read the content.
func (o *Object) IsPublic() bool {
	if o.Kind == KindBatch {
		return o.Public
	}
	return o.Key == ""
}

// Renew says that the chain bids for further terms of every copy, each as long as
// the first, before its deal ends.
type Renew struct {
	Count    uint64       `json:"count"`    // of each copy
	MaxPrice chain.Amount `json:"maxPrice"` // attoPDR per GiB per block
}

// Piece is one part of the payload.
type Piece struct {
	CID         string `json:"pieceCid"`
	PaddedSize  uint64 `json:"paddedSize"`
	PayloadSize uint64 `json:"payloadSize"`
	Part        uint64 `json:"part"`
	Archive     string `json:"archive"` // file in the object's spool directory
	Bid         Bid    `json:"bid"`
	Deals       []Deal `json:"deals,omitempty"`
}

// BidState is a bid's place in its life.
type BidState string

// The states of a bid. Between BidNone and BidStands the signed message, if
// there is one, says whether it may have been sent.
const (
	BidNone   BidState = ""       // not known to have landed
	BidStands BidState = "stands" // in the book, as far as is known
	BidOver   BidState = "over"   // filled, expired or cancelled
	BidFailed BidState = "failed" // refused: it locked no money
)

// Bid is the bid for all copies of one piece.
type Bid struct {
	State  BidState `json:"state,omitempty"`
	Sent   *Sent    `json:"sent,omitempty"`
	Order  uint64   `json:"order,omitempty"` // once it landed
	Reason string   `json:"reason,omitempty"`
}

// Expiry is the last height at which the bid may match, 0 if that is not known.
func (b *Bid) Expiry() chain.Height {
	if b.Sent == nil {
		return 0
	}
	var m chain.SignedMessage
	var bid chain.PlaceBid
	if chain.Decode(b.Sent.Raw, &m) != nil || m.Message.Kind != chain.KindPlaceBid || chain.Decode(m.Message.Body, &bid) != nil {
		return 0
	}
	return bid.Terms.Expiry
}

// Sent is a message that may have been sent. It is kept before it is, so that
// it can be found again, and never sent a second time in another form.
type Sent struct {
	Raw   []byte       `json:"raw"` // the encoded signed message
	Nonce uint64       `json:"nonce"`
	Since uint64       `json:"since"` // the chain's next order or channel ID before it was signed
	Deals uint64       `json:"deals"` // and its next deal ID
	At    chain.Height `json:"at"`    // newest height then
}

// Deal is one copy of a piece on one miner.
type Deal struct {
	ID       uint64       `json:"id"`
	Miner    uint64       `json:"miner"`
	State    string       `json:"state"` // as the chain names it
	Price    chain.Amount `json:"price"` // attoPDR per GiB per block
	Total    chain.Amount `json:"total"` // attoPDR
	Matched  chain.Height `json:"matched"`
	FetchBy  chain.Height `json:"fetchBy"`
	Accepted chain.Height `json:"accepted,omitempty"`
	// ActivateBy is the height by which a proof has to be accepted.
	ActivateBy chain.Height `json:"activateBy,omitempty"`
	ActiveAt   chain.Height `json:"activeAt,omitempty"`
	End        chain.Height `json:"end,omitempty"`
	Sector     uint64       `json:"sector,omitempty"`
	Reason     string       `json:"reason,omitempty"`   // why it ended
	Succeeds   uint64       `json:"succeeds,omitempty"` // the deal before, whose copy the chain had repaired or renewed by this one
}

// Pending reports whether the deal may still become active.
func (d *Deal) Pending() bool {
	return d.State == chain.DealMatched.String() || d.State == chain.DealAccepted.String()
}

// Over reports whether the deal has ended.
func (d *Deal) Over() bool { return !d.Pending() && !d.Active() }

// Active reports whether the copy is in a proven sector.
func (d *Deal) Active() bool { return d.State == chain.DealActive.String() }

// RootCID is the payload's root.
func (o *Object) RootCID() (cid.Cid, error) {
	c, err := cid.Decode(o.Root)
	if err != nil {
		return c, fmt.Errorf("record %d: root: %w", o.Number, err)
	}
	return c, nil
}

// Settled reports whether nothing more will happen to the piece by itself: its bid is
// over and every copy is active or has ended.
func (p *Piece) Settled() bool {
	if p.Bid.State != BidOver && p.Bid.State != BidFailed {
		return false
	}
	for i := range p.Deals {
		if p.Deals[i].Pending() {
			return false
		}
	}
	return true
}

// Settled reports whether every piece is.
func (o *Object) Settled() bool {
	if o.Waiting {
		return false
	}
	for i := range o.Pieces {
		if !o.Pieces[i].Settled() {
			return false
		}
	}
	return true
}

// Matched is how many copies the bid itself has matched, repairs and renewals not counted.
func (p *Piece) Matched() (n uint64) {
	for i := range p.Deals {
		if p.Deals[i].Succeeds == 0 {
			n++
		}
	}
	return n
}

// Landed reports whether every bid has landed, or was refused.
func (o *Object) Landed() bool {
	if o.Waiting {
		return false
	}
	for i := range o.Pieces {
		if o.Pieces[i].Bid.State == BidNone {
			return false
		}
	}
	return true
}

// Count is how the copies stand: of how many are wanted, so many are active and
// so many can still become so.
func (o *Object) Count() (wanted, active, pending uint64) {
	for i := range o.Pieces {
		p := &o.Pieces[i]
		var live, wait uint64
		for j := range p.Deals {
			switch d := &p.Deals[j]; {
			case d.Succeeds != 0: // counted with the first deal of the copy
			case p.stands(d, (*Deal).stored):
				live++
			case p.stands(d, (*Deal).Pending):
				wait++
			}
		}
		if p.Bid.State == BidNone || p.Bid.State == BidStands {
			wait += o.Copies - min(o.Copies, p.Matched())
		}
		wanted, active, pending = wanted+o.Copies, active+live, pending+wait
	}
	return wanted, active, pending
}

// State is the object's state in one word: waiting, imported, placing, open, active, partial, void.
func (o *Object) State() string {
	wanted, active, pending := o.Count()
	switch {
	case o.Waiting:
		return "waiting"
	case o.Imported:
		return "imported"
	case !o.Landed():
		return "placing"
	case active == wanted:
		return "active"
	case pending > 0:
		return "open"
	case active > 0:
		return "partial"
	}
	return "void"
}

// stored reports whether the copy is in a proven sector, or was for all of its term.
func (d *Deal) stored() bool { return d.Active() || d.State == chain.DealCompleted.String() }

// stands reports whether a deal, or one that succeeds it, is as asked.
func (p *Piece) stands(d *Deal, is func(*Deal) bool) bool {
	if is(d) {
		return true
	}
	for i := range p.Deals {
		if next := &p.Deals[i]; next.Succeeds == d.ID && p.stands(next, is) {
			return true
		}
	}
	return false
}

// Problems lists in one line each why copies are missing.
func (o *Object) Problems() []string {
	var out []string
	if o.Waiting || o.Imported {
		return nil
	}
	for i := range o.Pieces {
		p := &o.Pieces[i]
		if p.Bid.State == BidFailed {
			out = append(out, fmt.Sprintf("piece %d of %d: bid refused: %s", p.Part+1, len(o.Pieces), p.Bid.Reason))
			continue
		}
		for j := range p.Deals {
			if d := &p.Deals[j]; !p.stands(d, (*Deal).stored) && !p.stands(d, (*Deal).Pending) {
				out = append(out, fmt.Sprintf("piece %d of %d: deal %d with miner %d is %s", p.Part+1, len(o.Pieces), d.ID, d.Miner, reasonOr(d.Reason, d.State)))
			}
		}
		if n := p.Matched(); p.Bid.State == BidOver && n < o.Copies {
			out = append(out, fmt.Sprintf("piece %d of %d: %d of %d copies found no miner: bid %d is %s",
				p.Part+1, len(o.Pieces), o.Copies-n, o.Copies, p.Bid.Order, reasonOr(p.Bid.Reason, "over")))
		}
	}
	return out
}

func reasonOr(reason, otherwise string) string {
	if reason != "" {
		return reason
	}
	return otherwise
}

// Gone notes that the chain has no record of a deal any more: it forgets deals long
// after their end. One that nobody saw end was lost if it is gone before the end of
// its term; else that it lasted is what is known of it.
func (d *Deal) Gone(now chain.Height) {
	switch {
	case d.Pending():
		d.State = chain.DealVoid.String()
	case d.Active() && now < d.End:
		d.State = chain.DealLost.String()
	case d.Active():
		d.State = chain.DealCompleted.String()
	default:
		return
	}
	d.Reason = "the chain has forgotten it"
}

// Note brings the record of a deal up to the chain's and reports whether that
// changed anything. The deal must be of the piece's bid.
func (p *Piece) Note(on *chain.Deal, reason string) bool {
	d := Deal{
		ID: on.ID, Miner: on.Miner, State: on.State.String(), Price: on.Price, Total: on.Total, Matched: on.Matched,
		FetchBy: on.FetchBy, Accepted: on.Accepted, ActivateBy: on.ActivateBy, ActiveAt: on.Activated, End: on.End, Reason: reason,
	}
	if on.Succeeds != nil {
		d.Succeeds = on.Succeeds.Deal
	}
	if on.Committed {
		d.Sector = on.Sector
	}
	return p.Keep(d)
}

// Keep puts the record of a deal in the place of an older one of it, and reports
// whether that changed anything. A deal that is over stays so.
func (p *Piece) Keep(d Deal) bool {
	for i := range p.Deals {
		old := &p.Deals[i]
		if old.ID != d.ID {
			continue
		}
		if d.Reason == "" {
			d.Reason = old.Reason
		}
		if *old == d || old.Over() && !d.Over() {
			return false
		}
		*old = d
		return true
	}
	p.Deals = append(p.Deals, d)
	return true
}
