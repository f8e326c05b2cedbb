package buyer

import (
	"errors"
	"time"
)

// errSlow is wrapped by the fault of a seller that is slower than it may be.
var errSlow = errors.New("too slow")

// lied reports whether a seller was dropped for what it sent, not for being slow,
// silent or gone.
func lied(err error) bool {
	return errors.Is(err, ErrFault) && !silent(err) && !errors.Is(err, errSlow) && !errors.Is(err, errRemembered)
}

// Remember has a seller, by its binary peer ID, not asked until then, as if it had
// been dropped. A caller that keeps who Lied gives it to later buyers so.
func (b *Buyer) Remember(peer string, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped[peer] = until
}

// left takes down why a seller was left.
func (s *SellerStats) left(err error, dropped bool) {
	s.Err = err.Error()
	s.Dropped = s.Dropped || dropped
	s.Lied = s.Lied || dropped && lied(err)
}
