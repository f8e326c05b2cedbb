package buyer

import (
	"context"
	"errors"
	"fmt"

	"github.com/perdure/perdure/retrieval"
)

// sequence is a session that serves a job: what the plan wants next, in order.
type sequence struct {
	session
	job  *job
	peer string // binary ID of the seller

	wantID uint64
	packer retrieval.Packer // of the present Want
	ended  uint64           // blocks of the present Want
}

// chunksLeft is how many chunks are still to be paid, as far as is known.
func (s *sequence) chunksLeft() uint64 {
	if s.job.plan.done() {
		return 0
	}
	all, had := s.job.plan.chunks(&s.offer), max(s.got, s.offer.Free)
	if all <= had {
		return 1
	}
	return all - had
}

// run asks for what the plan wants until it is done (nil), the seller has no
// more of it (errAbsent), or something fails.
func (s *sequence) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.conn.Abort)
	defer stop()
	p := s.job.plan
	if s.mustPay(p.chunks(&s.offer)) {
		if err := s.present(ctx); err != nil {
			return err
		}
	}
	if p.done() {
		return nil
	}
	if err := s.rouse(ctx); err != nil {
		return err
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
		end, err := s.receive(ctx)
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

// receive takes what comes until the End of the present Want.
func (s *sequence) receive(ctx context.Context) (*retrieval.End, error) {
	for {
		m, err := s.read(ctx)
		if err != nil {
			return nil, err
		}
		switch m := m.(type) {
		case *retrieval.Chunk:
			if err := s.chunk(ctx, m); err != nil {
				return nil, err
			}
		case *retrieval.End:
			if m.Want != s.wantID || m.Blocks != s.ended {
				return nil, fmt.Errorf("%w: end of want %d after %d blocks, at want %d after %d", ErrFault, m.Want, m.Blocks, s.wantID, s.ended)
			}
			return m, nil
		}
	}
}

// chunk checks the blocks, hands them on and pays. Of a chunk with a wrong
// block the good ones before it are kept and nothing is paid.
func (s *sequence) chunk(ctx context.Context, c *retrieval.Chunk) error {
	if c.Want != s.wantID {
		return fmt.Errorf("%w: chunk of want %d, at want %d", ErrFault, c.Want, s.wantID)
	}
	for i, b := range c.Blocks {
		if began := s.packer.Add(uint64(len(b.Data))); began != (i == 0) {
			return errCutShort
		}
		if err := s.job.plan.accept(b); err != nil {
			return fmt.Errorf("%w: %w", ErrFault, err)
		}
		if err := s.job.req.Sink.Put(ctx, b.CID, b.Data); err != nil {
			return ownError{fmt.Errorf("keep block %s: %w", b.CID, err)}
		}
		s.tally.kept(len(b.Data))
		s.ended++
	}
	if err := s.taken(ctx, c); err != nil {
		return err
	}
	if s.job.hasOther(s.peer) {
		return s.slow()
	}
	return nil
}

var errCutShort = fmt.Errorf("%w: chunks are cut short", ErrFault)
