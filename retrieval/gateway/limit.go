package gateway

import (
	"net"
	"net/http"
	"strings"
	"sync"
)

// Limit refuses requests beyond all at one time, or beyond each of one client, with
// 429. A client is an IPv4 address or a /64 of IPv6. Health is always answered.
func Limit(all, each int, next http.Handler) http.Handler {
	l := &limiter{all: all, each: each, peers: map[string]int{}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/health/") {
			next.ServeHTTP(w, r)
			return
		}
		peer := client(r.RemoteAddr)
		if !l.enter(peer) {
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Cache-Control", "no-store")
			problem{Title: "too many requests", Status: http.StatusTooManyRequests,
				Detail: "as many requests are being answered as are answered at one time"}.write(w)
			return
		}
		defer l.leave(peer)
		next.ServeHTTP(w, r)
	})
}

// limiter counts requests under way.
type limiter struct {
	all, each int

	mu    sync.Mutex
	under int
	peers map[string]int
}

func (l *limiter) enter(peer string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.under >= l.all || l.peers[peer] >= l.each {
		return false
	}
	l.under++
	l.peers[peer]++
	return true
}

func (l *limiter) leave(peer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.under--
	if l.peers[peer]--; l.peers[peer] == 0 {
		delete(l.peers, peer)
	}
}

// client is what counts as one client: an IPv4 address, or the network of an
// IPv6 address, of which a household has as many as it likes.
func client(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	ip := net.ParseIP(host)
	if ip == nil || ip.To4() != nil {
		return host
	}
	return ip.Mask(net.CIDRMask(64, 128)).String()
}
