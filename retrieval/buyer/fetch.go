package buyer

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// Part is one piece of a payload and who may have it.
type Part struct {
	Piece   cid.Cid // undefined: nobody knows, sellers are asked for the root
	Sellers []chain.Peer
	// Segment is the payload's root if the piece holds others beside it;
	// undefined: the piece holds this payload alone.
	Segment cid.Cid
}

// ask is the Ask for the part of a payload with this root.
func (p *Part) ask(root cid.Cid, deal uint64) *retrieval.Ask {
	if !p.Piece.Defined() {
		return &retrieval.Ask{Root: &root}
	}
	a := &retrieval.Ask{Piece: &p.Piece, Deal: deal}
	if p.Segment.Defined() {
		a.Segment = &p.Segment
	}
	return a
}

// Request is a fetch of a payload.
type Request struct {
	Root cid.Cid
	// Parts are all parts of the payload, in order.
	Parts []Part
	// From is how many blocks were fetched before; Have gives them again, so
	// that the walk is taken up where it stopped. 0: from the start.
	From uint64
	Have dag.Get
	// Sink takes the blocks after those.
	Sink Sink
	// MaxPrice is the most attoPDR a chunk may cost; zero: only for nothing.
	MaxPrice chain.Amount
	// Budget is the most attoPDR the fetch may cost; zero: no bound.
	Budget chain.Amount
	// Progress, if given, hears of every chunk; it must not wait.
	Progress func(Stats)
}

// PieceRequest is a miner's fetch of the piece of a deal.
type PieceRequest struct {
	// Peers are who may have the piece: with a Deal its client, else sellers.
	Peers []chain.Peer
	Piece cid.Cid
	Root  cid.Cid // that the archive must name
	Deal  uint64  // that entitles to the piece for nothing; 0: it is bought
	// Form is the form in which the Sink keeps the piece. A seller that has it in
	// another form ends the fetch with a FormError before anything is paid.
	Form retrieval.Form
	// From is how many blocks are there already, Size how many bytes the archive
	// has with them, its header included (OpenArchive tells both).
	From, Size uint64
	// MaxSize is the most bytes that the archive may have.
	MaxSize uint64
	// Have, if set, says that the piece is all of the payload, and gives the
	// blocks that are there already: then no block is taken or paid that is not
	// the one due.
	Have dag.Get
	// Budget is the most attoPDR that the whole piece may cost; a seller that
	// asks for more is not paid at all. Zero: only for nothing.
	Budget   chain.Amount
	Sink     Sink
	Progress func(Stats)
}

// Fetch fetches a payload block by block, depth first. The error, if any,
// comes with the Stats so far: what the sink took stays good, and its number of
// blocks is the From of a later Request.
func (b *Buyer) Fetch(ctx context.Context, r Request) (Stats, error) {
	w, err := dag.NewWalker(r.Root)
	if err == nil && r.From > 0 {
		err = w.Replay(ctx, r.From, r.Have)
	}
	if err != nil {
		return Stats{}, car.Named("fetch", r.Root, err)
	}
	j := b.newJob(&r, walkPlan{w})
	err = j.run(ctx)
	if err != nil {
		err = car.Named("fetch", r.Root, err)
	}
	return j.snapshot(), err
}

// FetchPiece fetches the blocks of a deal's piece, in the order in which they
// stand in its archive. Without Have each is checked against the CID that comes
// with it alone; whether the archive is the piece is then for the caller to
// check, and to Blame its sellers if it is not.
//
// A deal's client that falls silent is tried again like one whose connection
// broke, and is not remembered as dropped: the deal has no other source.
func (b *Buyer) FetchPiece(ctx context.Context, r PieceRequest) (Stats, error) {
	p, err := newPiecePlan(ctx, &r)
	if err != nil {
		return Stats{}, &FetchError{"piece", r.Piece, err}
	}
	j := b.newJob(&Request{Root: r.Root, Parts: []Part{{Piece: r.Piece, Sellers: r.Peers}}, Sink: r.Sink, Progress: r.Progress,
		MaxPrice: r.Budget, Budget: r.Budget}, p)
	j.deal, j.whole, j.form = r.Deal, true, r.Form
	if err := j.run(ctx); err != nil {
		return j.snapshot(), &FetchError{"piece", r.Piece, err}
	}
	return j.snapshot(), nil
}

// FetchError says what could not be fetched.
type FetchError struct {
	Kind string // block, file or piece
	CID  cid.Cid
	Err  error // why not
}

// Error implements error.
func (e *FetchError) Error() string { return fmt.Sprintf("fetch %s %s: %v", e.Kind, e.CID, e.Err) }

// Unwrap returns why.
func (e *FetchError) Unwrap() error { return e.Err }

// FormError says that a seller has the piece in another form than the one that was
// asked for.
type FormError struct{ Form retrieval.Form }

// Error implements error.
func (e *FormError) Error() string { return fmt.Sprintf("the piece has the form %s", e.Form) }

// newPiecePlan is the plan of a piece: block by block as the payload's DAG has
// them if the request can tell, else as the archive has them.
func newPiecePlan(ctx context.Context, r *PieceRequest) (plan, error) {
	bound := sizeBound{max(r.Size, car.HeaderSize(r.Root)), r.MaxSize, false}
	if r.Form == retrieval.FormFlat {
		return &piecePlan{next: r.From, sizeBound: sizeBound{r.Size, r.MaxSize, true}}, nil
	}
	if r.Have == nil {
		return &piecePlan{next: r.From, sizeBound: bound}, nil
	}
	w, err := dag.NewWalker(r.Root)
	if err == nil {
		err = w.Replay(ctx, r.From, r.Have)
	}
	return &wholePlan{walkPlan{w}, bound}, err
}
