package bench

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// relay stands between two hosts and holds what passes back, so that loopback becomes a link with
// a round trip of delay. What a TCP connection takes to be made is added to its first bytes.
type relay struct {
	delay  time.Duration
	target string
	tcp    net.Listener   // nil: over UDP
	udp    net.PacketConn // nil: over TCP

	mu     sync.Mutex
	conns  map[io.Closer]struct{}
	closed bool
	group  sync.WaitGroup
}

// parcel is bytes and when they arrive.
type parcel struct {
	bytes []byte
	at    time.Time
}

// newRelay listens on loopback for who wants to reach target, "127.0.0.1:port".
func newRelay(network, target string, delay time.Duration) (r *relay, err error) {
	r = &relay{delay: delay, target: target, conns: map[io.Closer]struct{}{}}
	if network == "tcp" {
		if r.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, err
		}
		r.group.Go(r.accept)
		return r, nil
	}
	if r.udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	r.group.Go(r.datagrams)
	return r, nil
}

// port is where the relay listens.
func (r *relay) port() int {
	if r.tcp != nil {
		return r.tcp.Addr().(*net.TCPAddr).Port
	}
	return r.udp.LocalAddr().(*net.UDPAddr).Port
}

// keep remembers a connection that is to be closed in the end.
func (r *relay) keep(c io.Closer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = c.Close()
		return false
	}
	r.conns[c] = struct{}{}
	return true
}

func (r *relay) accept() {
	for {
		near, err := r.tcp.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		if !r.keep(near) || !r.keep(far) {
			return
		}
		made := time.Now().Add(r.delay)
		r.group.Go(func() { r.pump(near, far, made) })
		r.group.Go(func() { r.pump(far, near, made) })
	}
}

// pump passes on what comes from one side, half a round trip later. Nothing sets out
// before the connection is made.
func (r *relay) pump(from io.Reader, to io.WriteCloser, made time.Time) {
	parcels := make(chan parcel, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p := range parcels {
			time.Sleep(time.Until(p.at))
			if _, err := to.Write(p.bytes); err != nil {
				break
			}
		}
		for range parcels { // nobody takes them
		}
		_ = to.Close()
	}()
	for {
		buf := make([]byte, 64<<10)
		n, err := from.Read(buf)
		now := time.Now()
		if now.Before(made) {
			now = made
		}
		parcels <- parcel{buf[:n], now.Add(r.delay / 2)}
		if err != nil {
			break
		}
	}
	close(parcels)
	<-done
}

// datagrams passes datagrams on between the target and whoever sends some.
func (r *relay) datagrams() {
	far := map[string]net.Conn{} // by who sends
	send := func(b []byte, write func([]byte) (int, error)) {
		own := append([]byte(nil), b...)
		time.AfterFunc(r.delay/2, func() { _, _ = write(own) }) // datagrams may be lost
	}
	buf := make([]byte, 64<<10)
	for {
		n, from, err := r.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		conn := far[from.String()]
		if conn == nil {
			if conn, err = net.Dial("udp", r.target); err != nil || !r.keep(conn) {
				return
			}
			far[from.String()] = conn
			r.group.Go(func() {
				buf := make([]byte, 64<<10)
				for {
					n, err := conn.Read(buf)
					if err != nil {
						return
					}
					send(buf[:n], func(b []byte) (int, error) { return r.udp.WriteTo(b, from) })
				}
			})
		}
		send(buf[:n], conn.Write)
	}
}

// Close ends everything that passes.
func (r *relay) Close() error {
	r.mu.Lock()
	r.closed = true
	var err error
	if r.tcp != nil {
		err = r.tcp.Close()
	} else {
		err = r.udp.Close()
	}
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.group.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
