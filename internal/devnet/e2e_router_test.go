package devnet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// router is an internet of this process: homes, each a network namespace with one
// device, whose packets it carries, and translates for homes behind a NAT as the
// routers that people have do.
type router struct {
	t    *testing.T
	name string

	mu    sync.Mutex
	homes []*home
}

// translation is what stands between a home and the others.
type translation int

const (
	noNAT translation = iota
	// coneNAT gives each port inside one outside, whoever is spoken to, and lets in
	// only who was spoken to: holes can be punched.
	coneNAT
	// symmetricNAT gives another port for each who is spoken to: they cannot.
	symmetricNAT
)

// home is a network namespace.
type home struct {
	space  string     // its name
	inside netip.Addr // of its device
	public netip.Addr // as others see it
	nat    translation
	maps   bool // the router opens ports when it is asked by NAT-PMP
	device *os.File

	out  map[flow]uint16            // port outside, by port inside and, of a symmetric NAT, by peer
	in   map[door]uint16            // port inside, by port outside
	open map[door]map[peerPort]bool // who was spoken to from a port outside; nil in it: everybody may enter
	next uint16
	talk map[netip.Addr]int // packets to others, by their public address
}

// door is a port of a transport protocol.
type door struct {
	protocol byte
	port     uint16
}

type peerPort struct {
	addr netip.Addr
	port uint16
}

type flow struct {
	door
	to peerPort // zero: any
}

// newRouter makes an internet without homes, or skips the test where this process
// may not.
func newRouter(t *testing.T) *router {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need the command ip (iproute2)")
	}
	return &router{t: t, name: fmt.Sprintf("pr%d", os.Getpid()%100_000)}
}

// addHome makes a home. Its public address is of 5.0.0.0/8, which is as good as any
// other inside; a home behind a NAT has a private one itself.
func (r *router) addHome(nat translation, maps bool) *home {
	r.t.Helper()
	n := byte(len(r.homes) + 1)
	h := &home{space: fmt.Sprintf("%s-%d", r.name, n), public: netip.AddrFrom4([4]byte{5, n, 0, 2}), nat: nat, maps: maps,
		out: map[flow]uint16{}, in: map[door]uint16{}, open: map[door]map[peerPort]bool{}, next: 30_000, talk: map[netip.Addr]int{}}
	h.inside = h.public
	if nat != noNAT {
		h.inside = netip.AddrFrom4([4]byte{192, 168, n, 2})
	}
	if err := ip("netns", "add", h.space); err != nil {
		r.t.Skipf("no network namespace to be had: %v", err)
	}
	r.t.Cleanup(func() { r.must("netns", "del", h.space) })
	var err error
	if h.device, err = deviceIn(h.space, "wire"); err != nil {
		r.t.Skipf("no network device to be had: %v", err)
	}
	r.must("-n", h.space, "addr", "add", h.inside.String()+"/24", "dev", "wire")
	r.must("-n", h.space, "link", "set", "lo", "up")
	r.must("-n", h.space, "link", "set", "wire", "up")
	r.must("-n", h.space, "route", "add", "default", "via", h.gateway().String(), "dev", "wire")
	r.connect(h)
	return h
}

// connect begins to carry a home's packets.
func (r *router) connect(h *home) {
	r.mu.Lock()
	r.homes = append(r.homes, h)
	r.mu.Unlock()
	done := make(chan struct{})
	go func() { r.carry(h); close(done) }()
	r.t.Cleanup(func() { h.device.Close(); <-done })
}

// joinTest lets the test's own process reach one home.
func (r *router) joinTest(to *home) {
	r.t.Helper()
	h := &home{public: netip.AddrFrom4([4]byte{5, byte(len(r.homes) + 1), 0, 2}), talk: map[netip.Addr]int{}}
	h.inside = h.public
	var err error
	if h.device, err = deviceIn("", r.name); err != nil {
		r.t.Skipf("no network device to be had: %v", err)
	}
	r.must("addr", "add", h.inside.String()+"/32", "dev", r.name)
	r.must("link", "set", r.name, "up")
	r.must("route", "add", to.public.String()+"/32", "dev", r.name, "src", h.inside.String())
	r.connect(h)
}

// wrap is what a command that runs at the home begins with.
func (h *home) wrap() []string { return []string{"ip", "netns", "exec", h.space} }

func (r *router) must(args ...string) {
	r.t.Helper()
	if err := ip(args...); err != nil {
		r.t.Fatal(err)
	}
}

// gateway is the router's address as the home sees it.
func (h *home) gateway() netip.Addr {
	a := h.inside.As4()
	a[3] = 1
	return netip.AddrFrom4(a)
}

// deviceIn makes a device of this process in a namespace; empty: its own. The thread
// that went there does not come back.
func deviceIn(space, name string) (*os.File, error) {
	type made struct {
		f   *os.File
		err error
	}
	out := make(chan made)
	go func() {
		runtime.LockOSThread()
		f, err := enterAndOpen(space, name)
		out <- made{f, err}
	}()
	m := <-out
	return m.f, m.err
}

func enterAndOpen(space, name string) (*os.File, error) {
	if space != "" {
		ns, err := os.Open("/run/netns/" + space)
		if err != nil {
			return nil, err
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return nil, fmt.Errorf("enter %s: %w", space, err)
		}
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

const (
	tcpNumber, udpNumber = 6, 17
	pmpPort              = 5351
)

// datagram is an IPv4 packet of TCP or UDP, whole.
type datagram []byte

func (d datagram) ok() bool {
	return len(d) >= 28 && d[0]>>4 == 4 && len(d) >= d.head()+8 && (d[9] == tcpNumber || d[9] == udpNumber)
}
func (d datagram) head() int { return int(d[0]&15) * 4 }
func (d datagram) src() peerPort {
	return peerPort{netip.AddrFrom4([4]byte(d[12:16])), binary.BigEndian.Uint16(d[d.head():])}
}
func (d datagram) dst() peerPort {
	return peerPort{netip.AddrFrom4([4]byte(d[16:20])), binary.BigEndian.Uint16(d[d.head()+2:])}
}

func (d datagram) set(addr, port int, p peerPort) {
	a := p.addr.As4()
	copy(d[addr:], a[:])
	binary.BigEndian.PutUint16(d[d.head()+port:], p.port)
}
func (d datagram) setSrc(p peerPort) { d.set(12, 0, p) }
func (d datagram) setDst(p peerPort) { d.set(16, 2, p) }

// sum is the ones' complement sum of IP, TCP and UDP (RFC 1071).
func sum(start uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		start += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		start += uint32(b[0]) << 8
	}
	return start
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// seal makes the sums right.
func (d datagram) seal() {
	d[10], d[11] = 0, 0
	binary.BigEndian.PutUint16(d[10:], fold(sum(0, d[:d.head()])))
	body, at := d[d.head():], 16
	if d[9] == udpNumber {
		at = 6
	}
	body[at], body[at+1] = 0, 0
	s := fold(sum(sum(uint32(d[9])+uint32(len(body)), d[12:20]), body))
	if s == 0 && d[9] == udpNumber {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(body[at:], s)
}

// carry carries the packets of a home until its device is closed.
func (r *router) carry(h *home) {
	buf := make([]byte, 1<<16)
	for {
		n, err := h.device.Read(buf)
		if err != nil {
			return
		}
		d := datagram(buf[:n])
		if !d.ok() {
			continue
		}
		if to := r.route(h, d); to != nil {
			d.seal()
			_, _ = to.device.Write(d) // a home that is gone loses its packets
		}
	}
}

// route translates a packet and returns the home that it goes to; nil: nowhere.
func (r *router) route(from *home, d datagram) *home {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.dst().addr == from.gateway() {
		if d[9] == udpNumber && d.dst().port == pmpPort && from.maps {
			from.answer(d)
		}
		return nil
	}
	from.leave(d)
	for _, to := range r.homes {
		if to.public == d.dst().addr && to != from {
			from.talk[to.public]++
			if to.enter(d) {
				return to
			}
		}
	}
	return nil
}

// leave translates what leaves a home.
func (h *home) leave(d datagram) {
	if h.nat == noNAT {
		return
	}
	f := flow{door: door{d[9], d.src().port}}
	if h.nat == symmetricNAT {
		f.to = d.dst()
	}
	port, known := h.out[f]
	if !known {
		h.next++
		port = h.next
		h.out[f] = port
		h.in[door{d[9], port}] = d.src().port
		h.open[door{d[9], port}] = map[peerPort]bool{}
	}
	if who := h.open[door{d[9], port}]; who != nil {
		who[d.dst()] = true
	}
	d.setSrc(peerPort{h.public, port})
}

// enter translates what comes to a home, and reports whether it may.
func (h *home) enter(d datagram) bool {
	if h.nat == noNAT {
		return true
	}
	g := door{d[9], d.dst().port}
	port, known := h.in[g]
	if who := h.open[g]; !known || who != nil && !who[d.src()] {
		return false
	}
	d.setDst(peerPort{h.inside, port})
	return true
}

// answer answers a request of NAT-PMP (RFC 6886) over the same device: the public
// address, or a port that everybody may enter by.
func (h *home) answer(d datagram) {
	ask := d[d.head()+8:]
	if len(ask) < 2 || ask[0] != 0 {
		return
	}
	var say []byte
	switch {
	case ask[1] == 0:
		a := h.public.As4()
		say = append([]byte{0, 128, 0, 0, 0, 0, 0, 1}, a[:]...)
	case len(ask) >= 12 && ask[1] <= 2:
		protocol := byte(udpNumber)
		if ask[1] == 2 {
			protocol = tcpNumber
		}
		inside := binary.BigEndian.Uint16(ask[4:])
		outside, known := h.out[flow{door: door{protocol, inside}}]
		if !known {
			h.next++
			outside = h.next
			h.out[flow{door: door{protocol, inside}}] = outside
		}
		h.in[door{protocol, outside}] = inside
		h.open[door{protocol, outside}] = nil
		say = append([]byte{0, 128 + ask[1], 0, 0, 0, 0, 0, 1}, ask[4:6]...)
		say = append(binary.BigEndian.AppendUint16(say, outside), ask[8:12]...)
	default:
		return
	}
	back := append(append(datagram{}, d[:d.head()+8]...), say...)
	from, to := d.dst(), d.src()
	back.setSrc(from)
	back.setDst(to)
	binary.BigEndian.PutUint16(back[2:], uint16(len(back)))
	binary.BigEndian.PutUint16(back[back.head()+4:], uint16(8+len(say)))
	back.seal()
	_, _ = h.device.Write(back)
}

// spoke is how many packets went straight from one home to another.
func (r *router) spoke(from, to *home) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return from.talk[to.public]
}
