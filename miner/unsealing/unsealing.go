// Package unsealing lets a miner do without the plain copies of pieces that are sealed
// in active sectors, and gets one back from its sector when somebody pays for that.
//
// A copy that nobody has read for a while is dropped; its index stays. An order to get
// a piece back is a file beside the others, durable before the work begins: a process
// that dies goes on where it was, so that what was paid for is done. Pieces are
// unsealed one at a time, in the order of the orders, each only its own range of the
// sector; what came is the piece or is thrown away, by its commitment.
package unsealing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/disk"
)

// Config says how copies are kept. Describe is required.
type Config struct {
	// Idle is how long a copy stays that nobody reads; 0: for ever.
	Idle time.Duration
	// Retry is how long a piece rests that could not be unsealed, default 30 s.
	Retry time.Duration
	// Describe returns how many bytes a piece's copy has, by the index beside it,
	// which it makes if the copy is there.
	Describe func(ctx context.Context, piece cid.Cid) (uint64, error)
	// Unseal writes length raw bytes from offset on of the sector in a directory; nil:
	// package seal does.
	Unseal func(ctx context.Context, dir string, w io.Writer, offset, length uint64) error
	Log    *slog.Logger // nil: none
}

// State is where a piece's bytes are.
type State int

// The states of a piece.
const (
	Absent  State = iota
	Here          // there is a copy
	Sealed        // only in an active sector
	Ordered       // likewise, and it is being unsealed
)

// ErrGone is returned for a piece that is in no active sector any more.
var ErrGone = errors.New("the piece is in no active sector")

// Unsealing works on the copies of all pieces of a miner.
type Unsealing struct {
	cfg     Config
	records miner.Records
	disk    *disk.Disk
	wake    chan struct{}

	mu      sync.Mutex
	orders  []*order // the oldest first
	used    map[cid.Cid]time.Time
	changes uint64
}

// order is a piece that is to be unsealed.
type order struct {
	piece  cid.Cid
	rest   time.Time     // not before
	tried  chan struct{} // closed after the next try
	err    error         // of the last try
	began  time.Time     // of the present try
	size   uint64        // bytes of it
	have   uint64        // of them, from an earlier try
	writes uint64        // bytes written in this one
}

// New takes up the orders that an earlier process left.
func New(cfg Config, records miner.Records, d *disk.Disk) (*Unsealing, error) {
	if cfg.Retry == 0 {
		cfg.Retry = 30 * time.Second
	}
	if cfg.Unseal == nil {
		cfg.Unseal = unsealSector
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	u := &Unsealing{cfg: cfg, records: records, disk: d, wake: make(chan struct{}, 1), used: map[cid.Cid]time.Time{}}
	left, err := d.Orders()
	if err != nil {
		return nil, fmt.Errorf("look for pieces to unseal: %w", err)
	}
	for _, piece := range left {
		u.orders = append(u.orders, &order{piece: piece, tried: make(chan struct{})})
	}
	return u, nil
}

// State says where a piece is.
func (u *Unsealing) State(piece cid.Cid) (State, error) {
	if _, err := os.Stat(u.disk.Piece(piece)); !errors.Is(err, os.ErrNotExist) {
		return Here, err
	}
	if u.order(piece) != nil {
		return Ordered, nil
	}
	_, err := u.locate(piece)
	switch {
	case errors.Is(err, ErrGone):
		return Absent, nil
	case err != nil:
		return Absent, err
	}
	return Sealed, nil
}

// Changes counts what came and went: while it stays, so do the states of all pieces.
func (u *Unsealing) Changes() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.changes
}

func (u *Unsealing) order(piece cid.Cid) *order {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, o := range u.orders {
		if o.piece.Equals(piece) {
			return o
		}
	}
	return nil
}

// Used notes that somebody reads the copy of a piece, so that it stays.
func (u *Unsealing) Used(piece cid.Cid) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.used[piece] = time.Now()
}

// Order has a piece unsealed. It is durable when it returns; one that is there or
// ordered already is left as it is.
func (u *Unsealing) Order(piece cid.Cid) error {
	switch s, err := u.State(piece); {
	case err != nil:
		return err
	case s == Absent:
		return fmt.Errorf("piece %s: %w", piece, ErrGone)
	case s != Sealed:
		return nil
	}
	if err := u.disk.Order(piece); err != nil {
		return fmt.Errorf("order piece %s: %w", piece, err)
	}
	u.mu.Lock()
	if !slices.ContainsFunc(u.orders, func(o *order) bool { return o.piece.Equals(piece) }) {
		u.orders = append(u.orders, &order{piece: piece, tried: make(chan struct{})})
		u.used[piece] = time.Now()
		u.changes++
	}
	u.mu.Unlock()
	u.cfg.Log.Info("piece is to be unsealed", "piece", piece)
	select {
	case u.wake <- struct{}{}:
	default: // it will look anyway
	}
	return nil
}

// Await waits until a piece that was ordered is there, or until a try has failed.
func (u *Unsealing) Await(ctx context.Context, piece cid.Cid) error {
	u.mu.Lock()
	var o *order
	for _, each := range u.orders {
		if each.piece.Equals(piece) {
			o = each
		}
	}
	var tried chan struct{}
	if o != nil {
		tried = o.tried
	}
	u.mu.Unlock()
	if o == nil {
		if s, err := u.State(piece); err != nil || s == Here {
			return err
		}
		return fmt.Errorf("piece %s: %w", piece, ErrGone)
	}
	select {
	case <-tried:
	case <-ctx.Done():
		return ctx.Err()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return o.err
}

// Left is about how long a piece that was ordered will still take; 0: nobody knows.
func (u *Unsealing) Left(piece cid.Cid) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, o := range u.orders {
		if o.piece.Equals(piece) && o.writes > 0 {
			each := float64(time.Since(o.began)) / float64(o.writes)
			return time.Duration(each * float64(o.size-min(o.size, o.have+o.writes)))
		}
	}
	return 0
}

// Run unseals what is ordered and drops what is idle, until ctx ends.
func (u *Unsealing) Run(ctx context.Context) error {
	tick := time.NewTicker(u.pause())
	defer tick.Stop()
	for {
		for {
			o := u.next()
			if o == nil || ctx.Err() != nil {
				break
			}
			u.work(ctx, o)
		}
		if err := u.drop(ctx); err != nil && ctx.Err() == nil {
			u.cfg.Log.Warn("drop copies of sealed pieces", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-u.wake:
		case <-tick.C:
		}
	}
}

// pause is how often Run looks for what is idle.
func (u *Unsealing) pause() time.Duration {
	if u.cfg.Idle == 0 {
		return u.cfg.Retry
	}
	return max(time.Second, min(u.cfg.Retry, u.cfg.Idle/4))
}

// next is the oldest order that does not rest.
func (u *Unsealing) next() *order {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, o := range u.orders {
		if time.Now().After(o.rest) {
			return o
		}
	}
	return nil
}

// work tries an order once, and tells who waits for it.
func (u *Unsealing) work(ctx context.Context, o *order) {
	u.mu.Lock()
	o.began, o.writes = time.Now(), 0
	u.mu.Unlock()
	err := u.restore(ctx, o)
	if ctx.Err() != nil {
		return // the next process goes on with it
	}
	gone := errors.Is(err, ErrGone)
	if err == nil || gone {
		err = errors.Join(err, u.disk.OrderDone(o.piece))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	o.err = err
	close(o.tried)
	switch {
	case err == nil || gone:
		u.forget(o)
		u.used[o.piece] = time.Now()
		u.cfg.Log.Info("piece unsealed", "piece", o.piece, "took", time.Since(o.began).Round(time.Millisecond), "err", err)
	default:
		o.rest, o.tried = time.Now().Add(u.cfg.Retry), make(chan struct{})
		u.cfg.Log.Error("unseal piece; tried again", "piece", o.piece, "err", err)
	}
}

// forget removes an order. u.mu is held.
func (u *Unsealing) forget(o *order) {
	for i, each := range u.orders {
		if each == o {
			u.orders = append(u.orders[:i:i], u.orders[i+1:]...)
			break
		}
	}
	u.changes++
}
