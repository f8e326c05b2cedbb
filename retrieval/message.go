package retrieval

import (
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// Ask opens a session (buyer to seller). It names the content either by its
// piece CID or by payload root and part.
type Ask struct {
	Version uint64
	ChainID string `cborgen:"maxlen=64"`
	Piece   *cid.Cid
	Root    *cid.Cid
	Part    uint64   // of the payload with this root; 0 with a piece CID
	Deal    uint64   // the deal that entitles the buyer to the piece for nothing; 0: paid
	Segment *cid.Cid // with a piece that holds several payloads: the root of the one wanted; nil: the whole piece
}

// Form is how the blocks of an offer make the bytes that hold them.
type Form uint64

// The forms.
const (
	// FormCAR is an archive: a header, and before each block its length and CID.
	FormCAR Form = 0
	// FormFlat is the blocks' data one after the other: raw leaves of ChunkSize
	// bytes, the last one shorter, that together are the piece's bytes. Pieces
	// that hold several payloads have it (package retrieval/segment).
	FormFlat Form = 1
)

// String returns the form as one word.
func (f Form) String() string {
	switch f {
	case FormCAR:
		return "car"
	case FormFlat:
		return "flat"
	}
	return fmt.Sprintf("form(%d)", uint64(f))
}

// Offer answers an Ask (seller to buyer): what there is and on which terms.
type Offer struct {
	Version     uint64
	Session     uint64 // the seller's number of this session, for both sides' records
	Piece       cid.Cid
	Root        cid.Cid        // the root that the piece's archive names; of a segment, if one was asked for
	Form        Form           // of the archive
	Blocks      uint64         // in the archive
	Bytes       uint64         // of all blocks
	Archive     uint64         // bytes of the archive
	Chunks      uint64         // that the whole archive makes in one Want
	ChunkSize   uint64         // what one tick pays for at most: ChunkSize
	Price       chain.Amount   // attoPDR a chunk
	Payee       *chain.Address // whom the channel must pay; none at price zero
	Free        uint64         // chunks of this session that cost nothing, the first ones
	Credit      uint64         // most chunks that may be unpaid
	ExpireAfter chain.Height   // a voucher must expire later than this
	Miner       chain.MinerID  // who the seller is on chain: a receipt in the Bye is for it; 0: none is wanted
	Unseal      uint64         // ticks that are due before the first chunk, since the piece must be unsealed; 0: none
}

// Pay presents a voucher (buyer to seller): the newest of its lane, with the
// newest tick that the buyer knows to have revealed of it.
type Pay struct {
	Voucher chain.SignedVoucher
	Ticks   uint64
	Tick    [32]byte // x_Ticks; the anchor when Ticks is 0
	Resume  bool     // a voucher of an earlier session: no refusal if it does not meet the offer any more
}

// Standing says where the lane stands (seller to buyer): the newest tick of the
// newest voucher that the seller holds, which proves itself; nonce 0 if it
// holds none. It answers a Pay and a Bye, and is sent when a voucher is used up
// and more was asked for.
type Standing struct {
	Channel uint64
	Lane    uint64
	Nonce   uint64
	Ticks   uint64
	Tick    [32]byte
}

// Run is a run of blocks in the order of the archive. It begins at the block
// CID if that is given, else at ordinal First.
type Run struct {
	CID   *cid.Cid
	First uint64
	Count uint64 // 0: to the end of the archive
}

// Want asks for blocks (buyer to seller). IDs grow within a session.
type Want struct {
	ID   uint64
	Runs []Run `cborgen:"maxlen=512"`
}

// Reason says why a Want ended.
type Reason uint64

// The reasons for which a Want ends.
const (
	Complete  Reason = 1 // all that was asked was sent
	Missing   Reason = 2 // the archive has no such block; those before it were sent
	Cancelled Reason = 3 // the buyer called it off
)

// String returns the reason as one word.
func (r Reason) String() string {
	switch r {
	case Complete:
		return "complete"
	case Missing:
		return "missing"
	case Cancelled:
		return "cancelled"
	}
	return fmt.Sprintf("reason(%d)", uint64(r))
}

// End follows the last chunk of a Want (seller to buyer).
type End struct {
	Want   uint64
	Blocks uint64 // sent for it
	Reason Reason
}

// Tick pays for one more chunk, or for several (buyer to seller).
type Tick struct {
	Ticks uint64
	Tick  [32]byte // x_Ticks of the session's voucher
}

// Cancel ends a Want before its end (buyer to seller). What is under way still arrives.
type Cancel struct{ Want uint64 }

// Bye ends the session (buyer to seller). The seller makes what it holds
// durable, answers with its Standing if there is a voucher, and closes.
type Bye struct {
	Receipt *chain.SignedReceipt // for what came, if the offer names a miner; nil: the buyer signs none
}

// Wait says that the seller is at work on what the next chunk needs, and that the
// session stands (seller to buyer).
type Wait struct {
	Seconds uint64 // until it can go on, as far as it knows; 0: it does not know
}

var errForm = errors.New("malformed message")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errForm}, args...)...)
}

// Validate checks the form of the message.
func (a *Ask) Validate() error {
	switch {
	case a.Version != Version:
		return Errorf(CodeUnsupported, "message version %d, this peer speaks %d", a.Version, Version)
	case a.ChainID == "" || len(a.ChainID) > 64:
		return malformed("ask without a chain ID of 1 to 64 bytes")
	case (a.Piece == nil) == (a.Root == nil):
		return malformed("ask names either a piece or a root")
	case a.Piece != nil && a.Part != 0:
		return malformed("ask names a piece and a part")
	case a.Segment != nil && (a.Piece == nil || a.Deal != 0):
		return malformed("ask names a segment without a piece, or by a deal, which is for the whole piece")
	}
	for _, c := range []*cid.Cid{a.Piece, a.Root, a.Segment} {
		if c == nil {
			continue
		}
		if err := checkCID(*c); err != nil {
			return err
		}
	}
	return nil
}

// Validate checks the form of the message and that its numbers fit together.
func (o *Offer) Validate() error {
	switch {
	case o.Version != Version:
		return Errorf(CodeUnsupported, "offer version %d, this peer speaks %d", o.Version, Version)
	case o.Form > FormFlat:
		return malformed("offer of %s", o.Form)
	case o.ChunkSize != ChunkSize:
		return malformed("offer of chunks of %d bytes, want %d", o.ChunkSize, ChunkSize)
	case o.Credit < 1 || o.Credit > MaxCredit:
		return malformed("offer of credit %d, want 1 to %d", o.Credit, MaxCredit)
	case o.Unseal > chain.MaxTicks || o.Unseal > 0 && o.Price.IsZero():
		return malformed("offer with %d ticks for unsealing at %s attoPDR each, want at most %d of a price", o.Unseal, o.Price, chain.MaxTicks)
	case o.Price.IsZero() != (o.Payee == nil):
		return malformed("offer has a price without a payee, or a payee without a price")
	case o.Payee != nil && !chain.IsKeyAddress(*o.Payee):
		return malformed("payee %s is no key address", o.Payee)
	case o.Chunks > o.Blocks || o.Blocks > 0 && o.Chunks == 0 || o.Bytes > o.Archive:
		return malformed("offer of %d blocks in %d chunks, %d bytes in an archive of %d", o.Blocks, o.Chunks, o.Bytes, o.Archive)
	}
	if err := checkCID(o.Piece); err != nil {
		return err
	}
	return checkCID(o.Root)
}

// Validate checks the form of the message. Whether the voucher is worth
// anything is CheckVoucher's question.
func (p *Pay) Validate() error {
	v := &p.Voucher.Voucher
	switch {
	case v.Version != chain.MessageVersion:
		return Errorf(CodeUnsupported, "voucher version %d, this peer speaks %d", v.Version, chain.MessageVersion)
	case v.MaxTicks == 0 || v.MaxTicks > chain.MaxTicks:
		return malformed("voucher of %d ticks, want 1 to %d", v.MaxTicks, chain.MaxTicks)
	case v.Lane >= chain.MaxLanes:
		return malformed("voucher on lane %d of %d", v.Lane, chain.MaxLanes)
	case p.Ticks > v.MaxTicks:
		return malformed("tick %d of a voucher of %d", p.Ticks, v.MaxTicks)
	case p.Ticks == 0 && p.Tick != v.Anchor:
		return malformed("tick 0 is not the voucher's anchor")
	}
	return nil
}

// Validate checks the form of the message.
func (s *Standing) Validate() error {
	if s.Lane >= chain.MaxLanes || s.Ticks > chain.MaxTicks {
		return malformed("standing at tick %d of lane %d", s.Ticks, s.Lane)
	}
	return nil
}

// Validate checks the form of the message.
func (w *Want) Validate() error {
	if len(w.Runs) == 0 || len(w.Runs) > MaxRuns {
		return malformed("want of %d runs, want 1 to %d", len(w.Runs), MaxRuns)
	}
	for i, r := range w.Runs {
		if r.CID == nil {
			continue
		}
		if r.First != 0 {
			return malformed("run %d begins at a CID and at an ordinal", i)
		}
		if err := checkCID(*r.CID); err != nil {
			return err
		}
	}
	return nil
}

// Validate checks the form of the message.
func (e *End) Validate() error {
	if e.Reason < Complete || e.Reason > Cancelled {
		return malformed("end for reason %d", uint64(e.Reason))
	}
	return nil
}

// Validate checks the form of the message.
func (t *Tick) Validate() error {
	if t.Ticks == 0 || t.Ticks > chain.MaxTicks {
		return malformed("tick %d, want 1 to %d", t.Ticks, chain.MaxTicks)
	}
	return nil
}

// Validate implements Message: every Cancel is well formed.
func (*Cancel) Validate() error { return nil }

// Validate checks the form of the message. Whether the receipt is worth anything
// is the seller's question.
func (b *Bye) Validate() error {
	if b.Receipt != nil && b.Receipt.Receipt.Version != chain.MessageVersion {
		return Errorf(CodeUnsupported, "receipt version %d, this peer speaks %d", b.Receipt.Receipt.Version, chain.MessageVersion)
	}
	return nil
}

// Validate implements Message: every Wait is well formed.
func (*Wait) Validate() error { return nil }

func checkCID(c cid.Cid) error {
	if !c.Defined() || c.ByteLen() > maxCID {
		return malformed("no CID of at most %d bytes", maxCID)
	}
	return nil
}
