package gateway

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// The most open connections, of all clients and of one address. A proxy in front
// is one address.
const (
	maxConns     = 4096
	maxPeerConns = 1024
)

// crowd bounds the open connections of a server. Where there are too many, the one
// goes that has been waiting longest without a request, so that a client that
// opens them and sends nothing, or sends it slowly, keeps nobody out.
type crowd struct {
	all, each int

	mu      sync.Mutex
	members map[net.Conn]*member
	peers   map[string]int
	waiting list.List // of *member, those without a request, the longest first
}

// member is an open connection.
type member struct {
	conn net.Conn
	peer string
	seat *list.Element // among those that wait; nil: it is being answered
}

func newCrowd(all, each int) *crowd {
	return &crowd{all: all, each: each, members: map[net.Conn]*member{}, peers: map[string]int{}}
}

// note is an http.Server's ConnState.
func (c *crowd) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[conn]
	switch {
	case state == http.StateNew:
		c.enter(conn)
	case m == nil: // it was turned out
	case state == http.StateActive:
		c.stand(m)
	case state == http.StateIdle:
		m.seat = c.waiting.PushBack(m)
	default:
		c.leave(m)
	}
}

// enter makes room for a connection, or closes it if all others are being answered.
func (c *crowd) enter(conn net.Conn) {
	m := &member{conn: conn, peer: client(conn.RemoteAddr().String())}
	if c.peers[m.peer] >= c.each && !c.turnOut(func(other *member) bool { return other.peer == m.peer }) ||
		len(c.members) >= c.all && !c.turnOut(func(*member) bool { return true }) {
		conn.Close()
		return
	}
	c.members[conn] = m
	c.peers[m.peer]++
	m.seat = c.waiting.PushBack(m)
}

// turnOut closes the connection that has been waiting longest of those it may be.
func (c *crowd) turnOut(may func(*member) bool) bool {
	for e := c.waiting.Front(); e != nil; e = e.Next() {
		if m := e.Value.(*member); may(m) {
			c.leave(m)
			m.conn.Close()
			return true
		}
	}
	return false
}

func (c *crowd) stand(m *member) {
	if m.seat != nil {
		c.waiting.Remove(m.seat)
		m.seat = nil
	}
}

func (c *crowd) leave(m *member) {
	c.stand(m)
	delete(c.members, m.conn)
	if c.peers[m.peer]--; c.peers[m.peer] == 0 {
		delete(c.peers, m.peer)
	}
}
