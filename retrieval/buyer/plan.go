package buyer

import (
	"errors"
	"fmt"

	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// plan knows which blocks are due. A block that it accepts was checked.
type plan interface {
	// want is what to ask a seller for next.
	want() []retrieval.Run
	// accept takes a block that a seller sent, or says why it is not the one due.
	accept(b retrieval.Block) error
	// ended hears of the end of a Want.
	ended(e *retrieval.End, o *retrieval.Offer) error
	// done says whether all is there.
	done() bool
	// due names the next block for people.
	due() string
	// chunks is how many chunks the seller with this offer may have to send at most.
	chunks(o *retrieval.Offer) uint64
}

// walkPlan follows a payload depth first.
type walkPlan struct{ *dag.Walker }

func (p walkPlan) want() []retrieval.Run {
	next, _ := p.Next()
	return []retrieval.Run{{CID: &next}}
}

func (p walkPlan) accept(b retrieval.Block) error {
	if next, ok := p.Next(); !ok || !next.Equals(b.CID) {
		return fmt.Errorf("block %s came where %s is due", b.CID, p.due())
	}
	return p.Accept(b.Data)
}

func (p walkPlan) ended(*retrieval.End, *retrieval.Offer) error { return nil }

func (p walkPlan) done() bool { return p.Done() }

func (p walkPlan) due() string {
	next, ok := p.Next()
	if !ok {
		return "nothing"
	}
	return fmt.Sprintf("block %d (%s)", p.Blocks(), next)
}

func (p walkPlan) chunks(o *retrieval.Offer) uint64 { return o.Chunks }

var errTooMuch = errors.New("the archive is larger than the piece allows")

// sizeBound is the bytes of an archive so far, and the most it may have.
type sizeBound struct {
	size, most uint64
	flat       bool // nothing stands between the blocks
}

// with is the size with one block more, if it may have that.
func (s *sizeBound) with(b retrieval.Block) (uint64, error) {
	size := s.size + uint64(len(b.Data))
	if !s.flat {
		size = s.size + car.SectionSize(b.CID, len(b.Data))
	}
	if size > s.most {
		return s.size, errTooMuch
	}
	return size, nil
}

// wholePlan gets an archive that holds a whole payload.
type wholePlan struct {
	walkPlan
	sizeBound
}

func (p *wholePlan) accept(b retrieval.Block) error {
	size, err := p.with(b)
	if err == nil {
		err = p.walkPlan.accept(b)
	}
	if err == nil {
		p.size = size
	}
	return err
}

// piecePlan gets a whole archive by ordinals. It cannot know the CIDs
// beforehand: the piece commitment over the archive is the caller's to check.
type piecePlan struct {
	next uint64 // ordinal
	sizeBound
	whole bool
}

func (p *piecePlan) want() []retrieval.Run { return []retrieval.Run{{First: p.next}} }

func (p *piecePlan) accept(b retrieval.Block) error {
	size, err := p.with(b)
	if err == nil {
		err = car.Verify(b.CID, b.Data)
	}
	if err == nil {
		p.size = size
		p.next++
	}
	return err
}

func (p *piecePlan) ended(e *retrieval.End, o *retrieval.Offer) error {
	if e.Reason != retrieval.Complete || p.next != o.Blocks {
		return fmt.Errorf("the archive ended at block %d of %d (%s)", p.next, o.Blocks, e.Reason)
	}
	p.whole = true
	return nil
}

func (p *piecePlan) done() bool { return p.whole }

func (p *piecePlan) due() string { return fmt.Sprintf("block %d", p.next) }

func (p *piecePlan) chunks(o *retrieval.Offer) uint64 { return o.Chunks }
