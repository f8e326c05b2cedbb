package seller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/p2p"
)

// The block limits of the two packages must be one.
var _ [retrieval.MaxBlock - car.MaxBlockSize]struct{} = [0]struct{}{}

// maxFreePeers bounds the table of peers that used up free chunks.
const maxFreePeers = 4096

// Seller serves sessions. It has no goroutines of its own: those of a session
// end before its Serve returns.
type Seller struct {
	cfg      Config
	throttle *throttle
	pieces   pieces
	paying   sync.Mutex // around the taking of a voucher

	mu        sync.Mutex // guards all below, and what session.go says
	number    uint64
	turn      uint64 // chunks lent
	peers     map[string]int
	lanes     map[laneKey]*session
	free      map[string]uint64 // chunks used of the allowance
	freeUntil time.Time
	freeLeft  uint64 // of FreeTotal
	stats     Stats
}

// laneKey names a lane that a session is paid on.
type laneKey struct{ channel, lane uint64 }

// New makes a seller.
func New(cfg Config) (*Seller, error) {
	cfg.setDefaults()
	if cfg.Prices == nil {
		cfg.Prices = Terms{}
	}
	if cfg.ChainID == "" || cfg.Source == nil {
		return nil, errors.New("make seller: needs a chain ID and a source of pieces")
	}
	if cfg.Miner != 0 && (cfg.Chain == nil || cfg.Ledger == nil) {
		return nil, errors.New("make seller: receipts need a chain and a ledger")
	}
	if fixed, ok := cfg.Prices.(Terms); ok {
		if err := fixed.check(&cfg); err != nil {
			return nil, err
		}
	}
	return &Seller{cfg: cfg, throttle: newThrottle(cfg.BytesPerSecond, cfg.PeerBytesPerSecond),
		peers: map[string]int{}, lanes: map[laneKey]*session{}, free: map[string]uint64{}}, nil
}

// Stats returns the sums so far.
func (s *Seller) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	for _, n := range s.peers {
		st.Active += n
	}
	return st
}

// Active reports whether a session is being paid on the lane.
func (s *Seller) Active(channel, lane uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lanes[laneKey{channel, lane}] != nil
}

// Handle is Serve in the form of a p2p.Handler.
func (s *Seller) Handle(ctx context.Context, stream io.ReadWriteCloser, peer string) {
	_ = s.Serve(ctx, stream, peer) // it is in the log and the report
}

// Serve answers one stream until it ends, and closes it. peer is the buyer's ID
// in binary form. It returns nil if the session ended in peace.
func (s *Seller) Serve(ctx context.Context, stream io.ReadWriteCloser, peer string) error {
	conn := p2p.NewConn(stream, s.cfg.IdleTimeout)
	defer conn.Abort()
	stop := context.AfterFunc(ctx, conn.Abort)
	defer stop()
	if err := s.admit(peer); err != nil {
		if _, e := conn.Read(); e == nil && conn.Write(retrieval.ToWire(err)) == nil {
			_ = conn.Close()
		}
		return err
	}
	defer s.dismiss(peer)
	x, err := s.greet(ctx, conn, peer)
	if err != nil {
		s.mu.Lock()
		s.stats.Refused++
		s.mu.Unlock()
		if conn.Write(retrieval.ToWire(err)) == nil {
			_ = conn.Close()
		}
		s.cfg.Log.Info("retrieval refused", "peer", p2p.FormatPeer(peer), "reason", err)
		return fmt.Errorf("serve %s: %w", p2p.FormatPeer(peer), err)
	}
	x.quota = s.throttle.join(peer)
	defer s.throttle.leave(peer, x.quota)
	if err = x.run(ctx); err != nil {
		err = fmt.Errorf("serve %s, session %d: %w", p2p.FormatPeer(peer), x.offer.Session, err)
	}
	s.account(x, err)
	return err
}

// admit counts a session in, or refuses it.
func (s *Seller) admit(peer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, n := range s.peers {
		total += n
	}
	if total >= s.cfg.MaxSessions || s.peers[peer] >= s.cfg.MaxPeerSessions {
		s.stats.Refused++
		return retrieval.Errorf(retrieval.CodeBusy, "%d sessions are open, %d of this peer", total, s.peers[peer])
	}
	s.peers[peer]++
	return nil
}

func (s *Seller) dismiss(peer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers[peer]--; s.peers[peer] == 0 {
		delete(s.peers, peer)
	}
}

// takeFree reserves what is left of a peer's free chunks, and of all peers';
// giveFree returns what was not used.
func (s *Seller) takeFree(peer string, most uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.After(s.freeUntil) {
		s.free, s.freeUntil, s.freeLeft = map[string]uint64{}, now.Add(s.cfg.FreePeriod), s.cfg.FreeTotal
	}
	used, known := s.free[peer]
	if used >= most || !known && len(s.free) >= maxFreePeers {
		return 0
	}
	n := most - used
	if s.cfg.FreeTotal > 0 {
		n = min(n, s.freeLeft)
		s.freeLeft -= n
	}
	s.free[peer] = used + n
	return n
}

func (s *Seller) giveFree(peer string, unused uint64) {
	if used := s.free[peer]; unused > 0 && used >= unused {
		s.free[peer] = used - unused
		s.freeLeft += unused
	}
}

// account adds a session to the sums and tells who wants to know.
func (s *Seller) account(x *session, err error) {
	s.mu.Lock()
	r := Report{Session: x.offer.Session, Peer: x.peer, Piece: x.offer.Piece, Deal: x.deal,
		Channel: x.lane.channel, Chunks: x.chunks, Bytes: x.bytes, Paid: x.paid, Unseal: x.unsealed, Signed: x.attested, Err: err}
	r.Earned, _ = x.offer.Price.Mul(x.paid) // at most what the channel covers
	if x.sent > x.paid {
		s.stats.Unpaid += x.sent - x.paid
	}
	s.stats.Sessions++
	s.stats.Chunks += r.Chunks
	s.stats.Bytes += r.Bytes
	s.stats.Paid += r.Paid
	if sum, err := s.stats.Earned.Add(r.Earned); err == nil {
		s.stats.Earned = sum
	}
	s.giveFree(x.peer, x.free)
	s.mu.Unlock()
	served := []any{"session", r.Session, "peer", p2p.FormatPeer(r.Peer), "piece", r.Piece, "chunks", r.Chunks, "bytes", r.Bytes, "paid", r.Paid}
	if err != nil {
		served = append(served, "err", err)
	}
	s.cfg.Log.Info("retrieval served", served...)
	if s.cfg.Ended != nil {
		s.cfg.Ended(r)
	}
}

// life is how many blocks a voucher must have left.
func (s *Seller) life() uint64 { return s.cfg.SettleDelay + s.cfg.Margin }

// greet reads the Ask, opens the piece and makes the offer.
func (s *Seller) greet(ctx context.Context, conn *p2p.Conn, peer string) (*session, error) {
	m, err := conn.Read()
	if err != nil {
		return nil, fmt.Errorf("read ask: %w", err)
	}
	ask, ok := m.(*retrieval.Ask)
	if !ok {
		return nil, retrieval.Errorf(retrieval.CodeMalformed, "frame of kind %d where an ask is due", m.Kind())
	}
	if ask.ChainID != s.cfg.ChainID {
		return nil, retrieval.Errorf(retrieval.CodeUnsupported, "this seller is on chain %q", s.cfg.ChainID)
	}
	x := &session{seller: s, conn: conn, peer: peer, deal: ask.Deal, wake: make(chan struct{}, 1), flush: make(chan struct{}, 1)}
	if err := x.open(ctx, ask); err != nil {
		return nil, err
	}
	if err := conn.Write(&x.offer); err != nil {
		s.mu.Lock()
		s.giveFree(peer, x.free)
		s.mu.Unlock()
		return nil, errors.Join(err, x.data.Close())
	}
	return x, nil
}

func sourceError(err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return retrieval.Errorf(retrieval.CodeNotFound, "%s", ErrNotFound)
	case errors.Is(err, ErrUnavailable):
		return retrieval.Errorf(retrieval.CodeUnavailable, "%s", ErrUnavailable)
	}
	return fmt.Errorf("open piece: %w", err)
}
