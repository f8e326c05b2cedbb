package seller

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/car"
)

// piece is what is remembered of a piece that was opened: its sums, and which of
// its blocks were found right. A block is hashed once, when it is first sent:
// after that a disk that changes it is found out by the buyer.
type piece struct {
	index   *car.Index
	bytes   uint64 // of all blocks
	chunks  uint64 // that the whole archive makes in one Want
	checked []atomic.Uint64
}

func newPiece(x *car.Index) *piece {
	sizes := x.Sizes()
	p := &piece{index: x, chunks: retrieval.Chunks(sizes), checked: make([]atomic.Uint64, (len(sizes)+63)/64)}
	for _, size := range sizes {
		p.bytes += uint64(size)
	}
	return p
}

// check hashes block i unless it was found right before.
func (p *piece) check(i int, c cid.Cid, data []byte) error {
	word, bit := &p.checked[i/64], uint64(1)<<(i%64)
	if word.Load()&bit != 0 {
		return nil
	}
	if err := car.Verify(c, data); err != nil {
		return err
	}
	word.Or(bit)
	return nil
}

// maxPieces bounds how many pieces are remembered.
const maxPieces = 256

// pieces remembers the pieces that were opened.
type pieces struct {
	mu    sync.Mutex
	known map[Content]*piece
}

// of returns what is known of a piece that has this index.
func (p *pieces) of(c Content, x *car.Index) *piece {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.known[c]; known != nil && known.index == x {
		return known
	}
	if len(p.known) >= maxPieces || p.known == nil {
		p.known = map[Content]*piece{}
	}
	made := newPiece(x)
	p.known[c] = made
	return made
}

// open finds and opens what the Ask names and fills in the offer.
func (x *session) open(ctx context.Context, ask *retrieval.Ask) error {
	s := x.seller
	o := &x.offer
	var what Content
	if ask.Piece != nil {
		what.Piece = *ask.Piece
		if ask.Segment != nil {
			what.Segment = *ask.Segment
		}
	} else {
		var err error
		if what, err = s.cfg.Source.Find(ctx, *ask.Root, ask.Part); err != nil {
			return sourceError(err)
		}
	}
	o.Piece = what.Piece
	if err := x.granted(ctx, ask.Deal); err != nil {
		return err
	}
	index, data, err := s.cfg.Source.Open(ctx, what)
	if err != nil {
		return sourceError(err)
	}
	x.data, x.piece = data, s.pieces.of(what, index)
	x.asleep, _ = data.(Dormant)
	o.Version, o.Root, o.ChunkSize, o.Credit = retrieval.Version, index.Root(), retrieval.ChunkSize, s.cfg.Credit
	o.Blocks, o.Bytes, o.Archive, o.Chunks = uint64(index.Len()), x.piece.bytes, index.Size(), x.piece.chunks
	if index.IsFlat() {
		o.Form = retrieval.FormFlat
	}
	if ask.Deal == 0 {
		err = x.price(ctx)
	}
	if err == nil && ask.Deal == 0 && s.cfg.Miner != 0 {
		o.Miner = s.cfg.Miner
		x.began, err = s.cfg.Chain.Height(ctx)
	}
	if err != nil {
		_ = data.Close() // the refusal says why
		return err
	}
	s.mu.Lock()
	s.number++
	o.Session = s.number
	s.mu.Unlock()
	return nil
}

// granted refuses a deal that does not entitle the peer to the piece.
func (x *session) granted(ctx context.Context, deal uint64) error {
	switch {
	case deal == 0:
		return nil
	case x.seller.cfg.Grants == nil:
		return retrieval.Errorf(retrieval.CodeRefused, "no deal entitles to a fetch here")
	}
	if err := x.seller.cfg.Grants.Granted(ctx, x.peer, deal, x.offer.Piece); err != nil {
		return retrieval.Errorf(retrieval.CodeRefused, "deal %d: %s", deal, err)
	}
	return nil
}

// price fills in what the offer costs.
func (x *session) price(ctx context.Context) error {
	s := x.seller
	terms, err := s.cfg.Prices.Terms(ctx, Item{Peer: x.peer, Piece: x.offer.Piece, Root: x.offer.Root})
	if err == nil {
		err = terms.check(&s.cfg)
	}
	if err != nil {
		return fmt.Errorf("ask for the price: %w", err)
	}
	switch terms.Access {
	case Closed:
		return retrieval.Errorf(retrieval.CodeRefused, "it is not for sale; name the deal that entitles you")
	case Free:
		return x.priceUnsealing(ctx, &terms)
	}
	if err := x.charge(ctx, terms.Price, *terms.Payee); err != nil {
		return err
	}
	x.free = s.takeFree(x.peer, terms.FreeChunks)
	x.offer.Free = x.free
	return x.priceUnsealing(ctx, &terms)
}

// charge puts a price into the offer.
func (x *session) charge(ctx context.Context, price chain.Amount, payee chain.Address) (err error) {
	s := x.seller
	if x.height, err = s.cfg.Chain.Height(ctx); err != nil {
		return fmt.Errorf("ask height: %w", err)
	}
	x.offer.Price, x.offer.Payee = price, &payee
	x.offer.ExpireAfter = x.height + chain.Height(s.life()+s.cfg.Margin)
	return nil
}
