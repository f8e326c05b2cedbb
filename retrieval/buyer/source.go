package buyer

import (
	"errors"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/p2p"
)

// source is one seller of one part.
type source struct {
	part  int
	peer  chain.Peer
	offer *retrieval.Offer
	seat  int // in the tally
	tried bool
	woke  int  // sessions in which it was paid for unsealing, or shown that it was
	fails int  // in a row, without a block
	broke int  // sessions that broke off early, though blocks came
	owed  bool // it says that earlier sessions left chunks unpaid
	gone  bool // not asked again in this fetch
	// pardoned is set when only sellers are left that lied in earlier fetches.
	pardoned bool
}

// steady is how many blocks of one session make up for those that broke off.
const steady = 64

// failed draws the consequences of a session that ended with err after came
// blocks. other says that somebody else could go on. drop tells that the seller
// is to be remembered.
func (s *source) failed(cfg *Config, came uint64, err error, other bool) (drop bool) {
	if errors.Is(err, ErrFault) {
		s.gone = true
		return true
	}
	if came > 0 {
		s.fails = 0
		s.broke++
	}
	if came >= steady {
		s.broke = 0
	}
	s.fails++
	var debt debtError
	if errors.As(err, &debt) && !s.owed {
		s.owed = true // the next session pays them
		return false
	}
	var pay payError
	if s.gone = s.fails > cfg.Retries || errors.As(err, &pay); s.gone {
		return false
	}
	switch retrieval.CodeOf(err) {
	case 0, retrieval.CodeBusy, retrieval.CodeTimeout, retrieval.CodeUnavailable, retrieval.CodeInternal:
	case retrieval.CodeUnpaid:
		s.gone = came == 0 // else the payment was on its way too long, as over a link that was cut
	default: // it would say the same again
		s.gone = true
	}
	if s.gone {
		return false
	}
	s.gone = other && s.broke > cfg.Retries
	return s.gone
}

// ahead is in how many sessions the seller was paid ahead, for unsealing. One that is only
// pardoned is not paid ahead at all.
func (s *source) ahead() int {
	if s.pardoned {
		return shownOnce + 1
	}
	return s.woke
}

// roused counts a session in which unsealing was paid for.
func (s *source) roused(paid bool) {
	if paid {
		s.woke++
	}
}

// pause is how long to wait before a seller is asked again.
func (s *source) pause(cfg *Config) time.Duration {
	return cfg.RetryDelay << min(max(s.fails, 1)-1, 6)
}

// silent reports whether an error is a seller's silence alone.
func silent(err error) bool { return errors.Is(err, p2p.ErrIdle) }
