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

// session is one stream to one seller.
type session struct {
	buyer *Buyer
	job   *job
	peer  chain.Peer
	conn  *p2p.Conn
	offer retrieval.Offer
	purse *purse // nil: nothing was paid yet
	stats *SellerStats

	wantID uint64
	packer retrieval.Packer // of the present Want
	got    uint64           // chunks of this session
	ended  uint64           // blocks of the present Want
	waited time.Duration    // for the seller
	bytes  uint64
}

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

// leave ends the session in peace: the seller makes the last ticks durable
// before it answers. What it says then changes nothing.
func (s *session) leave() {
	if s.conn.Write(&retrieval.Bye{}) != nil {
		s.conn.Abort()
		return
	}
	for {
		m, err := s.conn.Read()
		if err != nil || m.Kind() == retrieval.KindStanding {
			break
		}
	}
	_ = s.conn.Close()
}

// run asks for what the plan wants until it is done (nil), the seller has no
// more of it (errAbsent), or something fails.
func (s *session) run(ctx context.Context, p plan) error {
	stop := context.AfterFunc(ctx, s.conn.Abort)
	defer stop()
	if s.mustPay(p.chunks(&s.offer)) {
		if err := s.present(ctx, p); err != nil {
			return err
		}
	}
	for !p.done() {
		s.wantID++
		s.packer, s.ended = retrieval.Packer{}, 0
		runs := p.want()
		if len(runs) == 0 {
			break
		}
		if err := s.conn.Write(&retrieval.Want{ID: s.wantID, Runs: runs}); err != nil {
			return err
		}
		end, err := s.receive(ctx, p)
		if err != nil {
			return errors.Join(err, ctx.Err())
		}
		if err := p.ended(end, &s.offer); err != nil {
			return fmt.Errorf("%w: %w", ErrFault, err)
		}
		if end.Blocks == 0 && !p.done() {
			return errAbsent
		}
	}
	return nil
}

// mustPay says whether chunks chunks go beyond what is free.
func (s *session) mustPay(chunks uint64) bool {
	return !s.offer.Price.IsZero() && chunks > s.offer.Free
}

// receive takes what comes until the End of the present Want.
func (s *session) receive(ctx context.Context, p plan) (*retrieval.End, error) {
	for {
		began := time.Now()
		m, err := s.conn.Read()
		s.waited += time.Since(began)
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
			err = s.chunk(ctx, p, m)
		case *retrieval.Standing:
			err = s.standing(ctx, p, m)
		case *retrieval.End:
			if m.Want == s.wantID && m.Blocks == s.ended {
				return m, nil
			}
			err = fmt.Errorf("%w: end of want %d after %d blocks, at want %d after %d", ErrFault, m.Want, m.Blocks, s.wantID, s.ended)
		case *retrieval.Error:
			err = fmt.Errorf("the seller broke off: %w", m)
			if blames(m.Code) {
				err = fmt.Errorf("%w: %w", ErrFault, err)
			}
		default:
			err = fmt.Errorf("%w: frame of kind %d is none of a seller's", ErrFault, m.Kind())
		}
		if err != nil {
			return nil, err
		}
	}
}

// chunk checks the blocks, hands them on and pays. Of a chunk with a wrong
// block the good ones before it are kept and nothing is paid.
func (s *session) chunk(ctx context.Context, p plan, c *retrieval.Chunk) error {
	if c.Want != s.wantID {
		return fmt.Errorf("%w: chunk of want %d, at want %d", ErrFault, c.Want, s.wantID)
	}
	for i, b := range c.Blocks {
		if began := s.packer.Add(uint64(len(b.Data))); began != (i == 0) {
			return fmt.Errorf("%w: chunks are cut short", ErrFault)
		}
		if err := p.accept(b); err != nil {
			return fmt.Errorf("%w: %w", ErrFault, err)
		}
		if err := s.job.put(ctx, b.CID, b.Data); err != nil {
			return ownError{err}
		}
		s.ended++
	}
	s.got++
	n := c.Bytes()
	s.bytes += n
	s.job.count(s, n)
	if !s.offer.Price.IsZero() && s.got > s.offer.Free {
		if err := s.pay(); err != nil {
			return err
		}
	}
	if s.mustPay(s.got+1) && s.purse == nil && !p.done() {
		if err := s.present(ctx, p); err != nil {
			return err
		}
	}
	s.job.progress()
	return s.pace()
}

// pace drops a seller that is slower than it may be, if there is another.
func (s *session) pace() error {
	rate := s.buyer.cfg.MinRate
	if rate == 0 || s.waited < s.buyer.cfg.SlowGrace || !s.job.hasOther(s.stats.Peer) {
		return nil
	}
	if got := float64(s.bytes) / s.waited.Seconds(); got < float64(rate) {
		return fmt.Errorf("%w: %.0f bytes a second, at least %d are wanted", ErrFault, got, rate)
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
