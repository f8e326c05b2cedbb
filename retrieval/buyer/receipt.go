package buyer

import (
	"context"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// Witness signs receipts for what sellers brought, so that they can show it.
type Witness interface {
	// Height is the newest height known, without waiting.
	Height(ctx context.Context) (chain.Height, error)
	// Sign signs for what a peer brought, who says which miner it is; nil if it is
	// not that miner.
	Sign(ctx context.Context, b Brought) (*chain.SignedReceipt, error)
}

// Brought is what one session brought.
type Brought struct {
	Peer     string        // binary ID of the seller
	Miner    chain.MinerID // who the seller says it is
	Piece    cid.Cid
	Bytes    uint64 // of blocks, each checked against its CID
	From, To chain.Height
}

// signTime bounds how long a session's leave waits for its receipt.
const signTime = 3 * time.Second

// witness notes when the first blocks of a session came, if there is to be a receipt.
func (s *session) witness(ctx context.Context) {
	w := s.buyer.cfg.Witness
	if w == nil || s.offer.Miner == 0 || s.got != 1 {
		return
	}
	if height, err := w.Height(ctx); err == nil {
		s.from = height
	}
}

// receipt is the receipt for what the session brought, nil if there is none: it is a
// courtesy, and no fetch fails for the lack of it.
func (s *session) receipt() *chain.SignedReceipt {
	if s.from == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), signTime)
	defer cancel()
	w := s.buyer.cfg.Witness
	to, err := w.Height(ctx)
	if err != nil {
		return nil
	}
	r, err := w.Sign(ctx, Brought{Peer: s.tally.peer(s.seat), Miner: s.offer.Miner, Piece: s.offer.Piece, Bytes: s.bytes, From: s.from, To: max(s.from, to)})
	if err != nil {
		return nil
	}
	return r
}
