package seller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/ledger"
	"github.com/perdure/perdure/retrieval/p2p"
)

// errPeace ends a session that the buyer took leave of.
var errPeace = errors.New("session over")

// session is one stream. What is below mu's line is guarded by seller.mu.
type session struct {
	seller *Seller
	conn   *p2p.Conn
	peer   string
	deal   uint64
	offer  retrieval.Offer
	piece  *piece
	data   Archive
	asleep Dormant // data, until it can be read; the sender's
	quota  *quota
	height chain.Height // of the last look at the channel; the sender's
	began  chain.Height // when the offer was made; 0 where no receipt is wanted
	buf    []byte       // of the last chunk's frame; the sender's

	wake   chan struct{} // something below changed
	flush  chan struct{} // a tick waits to be synced
	saving sync.Mutex    // around every write of a tick, so that they are in order
	done   chan struct{} // closed when run has ended

	// seller.mu:
	err      error                // why the session ends
	bye      bool                 // the buyer took leave
	receipt  *chain.SignedReceipt // that came with it
	attested uint64               // bytes of the receipt that is kept
	outbox   []retrieval.Message  // to be sent before anything else
	wants    []*want
	last     uint64 // ID of the newest Want
	free     uint64 // free chunks left
	chunks   uint64 // sent, free ones too
	bytes    uint64
	sent     uint64 // sent and due
	paid     uint64 // ticks accepted in this session
	stored   uint64 // of them, saved
	fee      uint64 // ticks that are due for unsealing
	unsealed uint64 // ticks that were paid for it
	placed   bool   // lane holds
	lane     laneKey
	held     *ledger.Holding // the voucher that pays, with the newest tick
	covers   uint64          // ticks of it that the channel covers; 0: none pays
	told     bool            // the buyer knows that the voucher is used up
	owed     uint64          // chunks that earlier sessions of the channel left unpaid
	waits    bool            // for credit
	turn     uint64          // when it was last lent a chunk, by Seller.turn
}

// want is one Want being answered.
type want struct {
	retrieval.Want
	cancelled bool
}

// signal wakes the sender.
func (x *session) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// fail ends the session for the first reason given.
func (x *session) fail(err error) {
	x.seller.mu.Lock()
	if x.err == nil {
		x.err = err
	}
	x.seller.mu.Unlock()
	x.signal()
}

// reason is why the session ends, as far as anybody said.
func (x *session) reason() error {
	x.seller.mu.Lock()
	defer x.seller.mu.Unlock()
	return x.err
}

// run serves until the session ends, in peace (nil) or not.
func (x *session) run(ctx context.Context) error {
	x.done = make(chan struct{})
	defer close(x.done)
	var aside sync.WaitGroup
	aside.Add(2)
	go func() { defer aside.Done(); x.read(ctx) }()
	stop := make(chan struct{})
	go func() { defer aside.Done(); x.store(stop) }()

	err := x.send(ctx)
	if first := x.reason(); err != nil && first != nil {
		err = first // a write that failed is what came of it
	}
	if err == nil {
		err = x.farewell(ctx)
	} else if !errors.Is(err, p2p.ErrIdle) {
		_ = x.conn.Write(retrieval.ToWire(err)) // the peer may be gone
		_ = x.conn.Close()
	}
	x.conn.Abort() // ends the reader
	close(stop)
	aside.Wait()
	return errors.Join(err, x.storeTick(), x.settle(), x.honour(), x.data.Close())
}

// farewell answers a Bye: what is held is durable, and the lane free for another
// session, before the buyer is told.
func (x *session) farewell(ctx context.Context) error {
	if err := errors.Join(x.storeTick(), x.settle(), x.keepReceipt(ctx)); err != nil {
		return err
	}
	if s := x.standing(); s != nil {
		if err := x.conn.Write(s); err != nil {
			return err
		}
	}
	return x.conn.Close()
}

// standing is where the session's lane stands, nil without a voucher.
func (x *session) standing() *retrieval.Standing {
	x.seller.mu.Lock()
	defer x.seller.mu.Unlock()
	if x.held == nil {
		return nil
	}
	return standingOf(x.held)
}

func standingOf(h *ledger.Holding) *retrieval.Standing {
	v := &h.Voucher.Voucher
	return &retrieval.Standing{Channel: v.Channel, Lane: v.Lane, Nonce: v.Nonce, Ticks: h.Ticks, Tick: h.Tick}
}

// send answers Wants in turn until the buyer says Bye.
func (x *session) send(ctx context.Context) error {
	for {
		var w *want
		idle := x.seller.cfg.IdleTimeout
		late := retrieval.Errorf(retrieval.CodeTimeout, "nothing was asked for within %s", idle)
		err := x.await(ctx, idle, late, func() bool {
			if len(x.wants) > 0 {
				w = x.wants[0]
			}
			return w != nil || x.bye
		})
		if err != nil {
			return err
		}
		if w == nil {
			return nil
		}
		if err := x.answer(ctx, w); err != nil {
			return err
		}
		x.seller.mu.Lock()
		x.wants = x.wants[1:]
		x.seller.mu.Unlock()
	}
}

// await waits until ready, called under seller.mu, says so. It sends what is in
// the outbox meanwhile. limit, if not 0, is how long the buyer may take; late is
// what it is told then.
func (x *session) await(ctx context.Context, limit time.Duration, late error, ready func() bool) error {
	var over <-chan time.Time
	for {
		x.seller.mu.Lock()
		if err := x.err; err != nil {
			x.seller.mu.Unlock()
			return err
		}
		out := x.outbox
		x.outbox = nil
		ok := ready()
		x.seller.mu.Unlock()
		for _, m := range out {
			if err := x.conn.Write(m); err != nil {
				return err
			}
		}
		if ok {
			return nil
		}
		if limit > 0 && over == nil {
			timer := time.NewTimer(limit)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-x.wake:
		case <-over:
			return late
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read takes in what the buyer says until the stream ends.
func (x *session) read(ctx context.Context) {
	for {
		m, err := x.conn.Read()
		if err == nil {
			err = x.take(ctx, m)
		}
		if err == io.EOF {
			err = fmt.Errorf("the buyer closed the stream: %w", io.ErrUnexpectedEOF)
		}
		if err == errPeace {
			return
		}
		if err != nil {
			x.fail(err)
			return
		}
	}
}

func (x *session) take(ctx context.Context, m retrieval.Message) error {
	switch m := m.(type) {
	case *retrieval.Pay:
		return x.takePay(ctx, m)
	case *retrieval.Tick:
		return x.takeTick(m)
	case *retrieval.Want:
		return x.takeWant(m)
	case *retrieval.Cancel:
		x.cancel(m.Want)
		return nil
	case *retrieval.Bye:
		x.seller.mu.Lock()
		x.bye, x.receipt = true, m.Receipt
		for _, w := range x.wants {
			w.cancelled = true
		}
		x.seller.mu.Unlock()
		x.signal()
		return errPeace
	case *retrieval.Error:
		return fmt.Errorf("the buyer gave up: %w", m)
	}
	return retrieval.Errorf(retrieval.CodeMalformed, "frame of kind %d is none of a buyer's", m.Kind())
}

func (x *session) takeWant(m *retrieval.Want) error {
	x.seller.mu.Lock()
	defer x.seller.mu.Unlock()
	if len(x.wants) >= retrieval.MaxWants {
		return retrieval.Errorf(retrieval.CodeMalformed, "more than %d wants at one time", retrieval.MaxWants)
	}
	if m.ID <= x.last {
		return retrieval.Errorf(retrieval.CodeMalformed, "want %d after want %d", m.ID, x.last)
	}
	x.last = m.ID
	x.wants = append(x.wants, &want{Want: *m})
	x.signal()
	return nil
}

func (x *session) cancel(id uint64) {
	x.seller.mu.Lock()
	defer x.seller.mu.Unlock()
	for _, w := range x.wants {
		w.cancelled = w.cancelled || w.ID == id
	}
	x.signal()
}
