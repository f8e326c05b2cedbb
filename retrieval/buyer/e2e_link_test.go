package buyer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/sys/unix"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/seller"
)

// faults are what a link does to packets.
type faults struct {
	delay          time.Duration // one way
	drop, doubling float64       // shares of the packets
	seed           uint64
}

// link is a network device whose packets come back with source and destination
// swapped: who dials far from this machine is answered by who listens at near on
// it. So both ends are in one process, and all between them is the kernel's own TCP
// and UDP, over a line that the test holds in its hand.
type link struct {
	near, far netip.Addr
	faults    faults
	device    *os.File
	severed   atomic.Bool
	passed    atomic.Int64
	lost      atomic.Int64 // dropped or cut
	doubled   atomic.Int64
}

// packet is on its way until a time.
type packet struct {
	bytes []byte
	due   time.Time
}

// newLink makes a link, or skips the test where this process may not.
func newLink(t *testing.T, f faults) *link {
	t.Helper()
	if os.Getenv("PERDURE_E2E") == "" {
		t.Skip("set PERDURE_E2E=1: this takes a while")
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no network device to be had: %v", err)
	}
	net := uint32(198)<<24 | uint32(18)<<16 | uint32(os.Getpid()%16_000)<<2 // of 198.18.0.0/15, kept for tests
	at := func(host uint32) netip.Addr {
		n := net | host
		return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	l := &link{near: at(1), far: at(2), faults: f}
	if err := l.set(fd, fmt.Sprintf("pdlink%d", os.Getpid()%10_000)); err != nil {
		_ = unix.Close(fd)
		t.Skipf("no network device to be had: %v", err)
	}
	l.device = os.NewFile(uintptr(fd), "/dev/net/tun")
	way := make(chan packet, 4096)
	done := make(chan struct{})
	go l.take(way)
	go func() { l.give(way); close(done) }()
	t.Cleanup(func() {
		l.device.Close()
		<-done
		t.Logf("the link passed %d packets, doubled %d and lost %d", l.passed.Load(), l.doubled.Load(), l.lost.Load())
	})
	return l
}

// set makes the device of a file descriptor and gives it the near address.
func (l *link) set(fd int, name string) error {
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	for _, step := range []struct {
		request uint
		addr    []byte
	}{{unix.SIOCSIFADDR, l.near.AsSlice()}, {unix.SIOCSIFNETMASK, []byte{255, 255, 255, 252}}} {
		if err := r.SetInet4Addr(step.addr); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(sock, step.request, r); err != nil {
			return fmt.Errorf("address of %s: %w", name, err)
		}
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(sock, unix.SIOCSIFFLAGS, r)
}

// take reads packets until the device is closed, and puts on the way what is not lost.
func (l *link) take(way chan<- packet) {
	defer close(way)
	luck := rand.New(rand.NewPCG(l.faults.seed, 0))
	buf := make([]byte, 1<<16)
	for {
		n, err := l.device.Read(buf)
		if err != nil {
			return
		}
		if n < 20 || buf[0]>>4 != 4 { // IPv6 finds nobody here
			continue
		}
		copies := 1
		if luck.Float64() < l.faults.doubling {
			copies, _ = 2, l.doubled.Add(1)
		}
		if l.severed.Load() || luck.Float64() < l.faults.drop {
			l.lost.Add(1)
			continue
		}
		for range copies {
			p := packet{append([]byte(nil), buf[:n]...), time.Now().Add(l.faults.delay)}
			select {
			case way <- p:
			default: // a router with full buffers drops
				l.lost.Add(1)
			}
		}
	}
}

// give hands packets on when they are due, to whom they come from: the sums of IP,
// TCP and UDP are the same for swapped addresses.
func (l *link) give(way <-chan packet) {
	for p := range way {
		time.Sleep(time.Until(p.due))
		for i := range 4 {
			p.bytes[12+i], p.bytes[16+i] = p.bytes[16+i], p.bytes[12+i]
		}
		if _, err := l.device.Write(p.bytes); err == nil {
			l.passed.Add(1)
		}
	}
}

// cut severs the link for a while.
func (l *link) cut(t *testing.T, d time.Duration) {
	l.severed.Store(true)
	heal := time.AfterFunc(d, func() { l.severed.Store(false) })
	t.Cleanup(func() { heal.Stop() })
}

// over makes a world's buyer and a shop of it meet over the link, by one transport.
func (l *link) over(w *world, s *shop, listen string) {
	w.t.Helper()
	host := newHost(w.t, fmt.Sprintf("/ip4/%s%s", l.near, listen))
	host.Serve(s.Handle)
	s.peer = host.Self()
	for i, raw := range s.peer.Addrs {
		a, err := ma.NewMultiaddrBytes(raw)
		if err == nil {
			a, err = ma.NewMultiaddr(strings.Replace(a.String(), l.near.String(), l.far.String(), 1))
		}
		if err != nil {
			w.t.Fatal(err)
		}
		s.peer.Addrs[i] = a.Bytes()
	}
	w.config.Dialer = newHost(w.t)
	w.remake()
}

// TestE2ELossyLink buys a file over a link that drops two of a hundred packets,
// doubles one, delays each by 20 ms and is cut for six seconds in the middle of
// the file, longer than the seller waits: the file arrives whole, each side lost at
// most its window for each session that broke, and the buyer paid for what it got.
func TestE2ELossyLink(t *testing.T) {
	for _, listen := range []string{"/tcp/0", "/udp/0/quic-v1"} {
		t.Run(strings.Split(listen, "/")[1], func(t *testing.T) {
			l := newLink(t, faults{delay: 20 * time.Millisecond, drop: 0.02, doubling: 0.01, seed: 5})
			w := newWorld(t)
			w.config.StallTimeout, w.config.Retries, w.config.RetryDelay = time.Minute, 10, 200*time.Millisecond
			f := makeFile(t, 14*leaf+9, 60)
			parts := f.cut(t)
			s := w.open(10, 7, func(c *seller.Config) { c.IdleTimeout, c.PayTimeout = 2*time.Second, 2*time.Second }, parts...)
			l.over(w, s, listen)
			var got basket
			cut := false
			sink := buyer.SinkFunc(func(ctx context.Context, c cid.Cid, data []byte) error {
				if len(got.order) >= 6 && !cut {
					cut = true
					l.cut(t, 6*time.Second)
				}
				return got.Put(ctx, c, data)
			})
			begun := time.Now()
			st, err := w.buyer.Fetch(ctx, w.request(f, parts, sink, s))
			if err != nil {
				t.Fatal(err)
			}
			got.holds(t, f)
			s.reported(t)
			w.mu.Lock()
			broken := uint64(len(s.reports) - 1)
			w.mu.Unlock()
			lost := w.lost(st.Blocks, s)
			t.Logf("%d chunks and %d bytes in %.1f s; %d sessions broke", st.Chunks, st.Bytes, time.Since(begun).Seconds(), broken)
			if !cut || broken == 0 {
				t.Errorf("cut: %v; %d sessions broke, want one at least", cut, broken)
			}
			if most := broken * retrieval.MaxCredit; !lost.within(chunksLost(most, most)) {
				t.Errorf("lost %+v: more than %d chunks for each of %d broken sessions", lost, retrieval.MaxCredit, broken)
			}
			if want, err := chain.Atto(7).Mul(st.Paid); err != nil || want != st.Spent || w.redeem(s) != want {
				t.Errorf("spent %s for %d chunks, the seller redeemed %s (%v)", st.Spent, st.Paid, w.redeem(s), err)
			}
		})
	}
}
