package live

import (
	"context"
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
)

// Feed is the chain that is streamed.
type Feed interface {
	// Watch returns the oldest and the newest height that can be read, ok if
	// there are any, and a channel that is closed when that changes.
	Watch() (first, tip chain.Height, ok bool, changed <-chan struct{})
	// Block reads a block. It is the same whenever it is read. ErrGone: Watch
	// says by now that it is not there; a *GapError: it never will be.
	Block(ctx context.Context, h chain.Height) (*Block, error)
	// Key returns the name under which the items of a topic are found, which
	// is one for all ways to write the topic. Its error is for the reader.
	Key(topic string) (string, error)
}

// ErrGone is returned by a Feed for a block that it does not have any more, or
// not now.
var ErrGone = errors.New("block is not there")

// GapError is returned by a Feed for a block that it never took in.
type GapError struct{ Next chain.Height } // the first height after the gap

// Error implements error.
func (e *GapError) Error() string { return fmt.Sprintf("block lies in a gap before height %d", e.Next) }

// Block is what happened in a block, in a fixed order.
type Block struct {
	Time  string // RFC 3339
	Items []Item
}

// Item is one thing that happened.
type Item struct {
	Type string   // what Data is: block, message, event, trade, level
	Data any      // that has a JSON form
	Keys []string // of the topics that it belongs to
}
