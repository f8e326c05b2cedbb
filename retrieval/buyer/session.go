package buyer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/p2p"
)

// session is one stream to one seller, and what is paid on it.
type session struct {
	buyer *Buyer
	tally *tally
	seat  int // of the seller in the tally
	conn  *p2p.Conn
	offer retrieval.Offer
	purse *purse        // nil: nothing was paid yet
	need  func() uint64 // chunks that are still to come of it, as far as is known; 0: none
	shown int           // Pays that the seller has not answered
	aside chain.Amount  // of the budget, for blocks on their way

	owed    bool // what earlier sessions left unpaid is to be paid
	resumed bool // the lane was in use before
	told    int  // Standings since the last chunk

	got    uint64       // chunks of this session
	bytes  uint64       // of blocks
	from   chain.Height // when the first of them came, if a receipt is to say so; else 0
	unsent bool         // the newest tick waits for the next one
	waited stopwatch

	paidBefore int       // sessions in which it was paid for unsealing, or shown that it was
	awake      bool      // it was paid for
	held       time.Time // when the seller first said that it is at work
}

// readAhead is how many frames are received while one is taken apart: a credit
// window with that one.
const readAhead = retrieval.MaxCredit - 1

// ask opens a stream and gets an offer. The caller closes the Conn.
func (b *Buyer) ask(ctx context.Context, peer chain.Peer, a *retrieval.Ask) (*p2p.Conn, *retrieval.Offer, error) {
	a.Version, a.ChainID = retrieval.Version, b.cfg.ChainID
	stream, err := b.cfg.Dialer.Open(ctx, peer)
	if err != nil {
		return nil, nil, err
	}
	conn := p2p.NewConn(stream, b.cfg.StallTimeout)
	stop := context.AfterFunc(ctx, conn.Abort)
	defer stop()
	offer, err := askOn(conn, a)
	if err != nil {
		conn.Abort()
		return nil, nil, errors.Join(err, ctx.Err())
	}
	return conn, offer, nil
}

func askOn(conn *p2p.Conn, a *retrieval.Ask) (*retrieval.Offer, error) {
	if err := conn.Write(a); err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	m, err := conn.Read()
	if err != nil {
		return nil, blame(fmt.Errorf("read offer: %w", err))
	}
	switch m := m.(type) {
	case *retrieval.Offer:
		if a.Piece != nil && !m.Piece.Equals(*a.Piece) {
			return nil, fmt.Errorf("%w: offers piece %s, asked was %s", ErrFault, m.Piece, a.Piece)
		}
		if a.Segment != nil && !m.Root.Equals(*a.Segment) {
			return nil, fmt.Errorf("%w: offers root %s, asked was %s in the piece", ErrFault, m.Root, a.Segment)
		}
		return m, nil
	case *retrieval.Error:
		return nil, fmt.Errorf("ask: %w", m)
	}
	return nil, fmt.Errorf("%w: frame of kind %d where an offer is due", ErrFault, m.Kind())
}

// blame marks what a Read gave as the seller's fault where it is: frames that
// break the protocol, and silence. A stream that broke may be nobody's.
func blame(err error) error {
	if retrieval.IsMalformed(err) || errors.Is(err, p2p.ErrIdle) || blames(retrieval.CodeOf(err)) || retrieval.CodeOf(err) == retrieval.CodeUnsupported {
		return fmt.Errorf("%w: %w", ErrFault, err)
	}
	return err
}

// leave ends the session in peace: the seller makes the last ticks durable and
// frees the lane before it closes the stream. What it says then changes nothing.
func (s *session) leave() {
	s.showTick()
	if s.conn.Write(&retrieval.Bye{Receipt: s.receipt()}) != nil {
		s.conn.Abort()
		return
	}
	for {
		if _, err := s.conn.Read(); err != nil {
			break
		}
	}
	_ = s.conn.Close()
}

// mustPay says whether chunks chunks go beyond what is free.
func (s *session) mustPay(chunks uint64) bool {
	return !s.offer.Price.IsZero() && chunks > s.offer.Free
}

// read waits for what the seller says next. Where it is about the payment, or
// an error, it is dealt with here and comes back as nil, nil or the error.
func (s *session) read(ctx context.Context) (retrieval.Message, error) {
	if s.conn.Waiting() == 0 {
		s.showTick()
	}
	s.waited.start()
	m, err := s.conn.Read()
	silent := s.waited.stop()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, blame(fmt.Errorf("receive: %w", err))
	}
	// The stream is aborted beside us: chunks already buffered would still
	// be taken and paid.
	if ctx.Err() != nil {
		return nil, errors.New("receive: stopped")
	}
	switch m := m.(type) {
	case *retrieval.Chunk:
		s.told = 0
		return m, nil
	case *retrieval.End:
		return m, nil
	case *retrieval.Standing:
		if s.told++; s.told > maxTold {
			return nil, fmt.Errorf("%w: speaks of the payment %d times and sends nothing", ErrFault, s.told)
		}
		return nil, s.standing(ctx, m)
	case *retrieval.Wait:
		return nil, s.hold(m, silent)
	case *retrieval.Error:
		err = fmt.Errorf("the seller broke off: %w", m)
		if m.Code == retrieval.CodeUnpaid && s.resumed && s.got == 0 {
			err = debtError{err}
		}
		if blames(m.Code) {
			err = fmt.Errorf("%w: %w", ErrFault, err)
		}
		return nil, err
	}
	return nil, fmt.Errorf("%w: frame of kind %d is none of a seller's", ErrFault, m.Kind())
}

// maxTold is how many Standings may come between two chunks: answers to what was
// shown first and what is shown in its place, and that this is used up.
const maxTold = 8

// taken counts a chunk whose blocks were all right, and pays it.
func (s *session) taken(ctx context.Context, c *retrieval.Chunk) error {
	s.got++
	n := c.Bytes()
	s.bytes += n
	s.tally.came(s.seat, n)
	s.witness(ctx)
	if s.mustPay(s.got) {
		if err := s.pay(); err != nil {
			return err
		}
	}
	if s.mustPay(s.got+1) && s.purse == nil && s.need() > 0 {
		if err := s.present(ctx); err != nil {
			return err
		}
	}
	s.tally.progress()
	return nil
}

// slow is the fault of a seller below the least rate, once that was measured.
func (s *session) slow() error {
	rate, waited := s.buyer.cfg.MinRate, s.waited.elapsed()
	if rate == 0 || waited < s.buyer.cfg.SlowGrace {
		return nil
	}
	if got := float64(s.bytes) / waited.Seconds(); got < float64(rate) {
		return fmt.Errorf("%w: %w: %.0f bytes a second, at least %d are wanted", ErrFault, errSlow, got, rate)
	}
	return nil
}

// Quote asks a seller for its offer of a piece and takes leave.
func (b *Buyer) Quote(ctx context.Context, peer chain.Peer, piece cid.Cid) (*retrieval.Offer, error) {
	return b.quote(ctx, peer, &retrieval.Ask{Piece: &piece})
}

func (b *Buyer) quote(ctx context.Context, peer chain.Peer, a *retrieval.Ask) (*retrieval.Offer, error) {
	conn, offer, err := b.ask(ctx, peer, a)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, conn.Abort)
	defer stop()
	(&session{conn: conn}).leave()
	return offer, nil
}
