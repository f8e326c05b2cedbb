package hints

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/multiformats/go-multiaddr"

	"github.com/perdure/perdure/chain"
)

// Doors are the HTTP doors among a peer's addresses, as URLs.
func Doors(p chain.Peer) []string {
	var out []string
	for _, raw := range p.Addrs {
		if a, err := multiaddr.NewMultiaddrBytes(raw); err == nil {
			if url, ok := doorURL(a); ok {
				out = append(out, url)
			}
		}
	}
	return out
}

// doorURL writes /ip4/1.2.3.4/tcp/80/http, or with dns, https or tls/http, as a URL.
func doorURL(a multiaddr.Multiaddr) (string, bool) {
	var host, port, scheme string
	for _, c := range a {
		switch c.Protocol().Code {
		case multiaddr.P_IP4, multiaddr.P_IP6, multiaddr.P_DNS, multiaddr.P_DNS4, multiaddr.P_DNS6:
			host = c.Value()
		case multiaddr.P_TCP:
			port = c.Value()
		case multiaddr.P_TLS:
			scheme = "https"
		case multiaddr.P_HTTPS:
			scheme = "https"
		case multiaddr.P_HTTP:
			if scheme == "" {
				scheme = "http"
			}
			return scheme + "://" + net.JoinHostPort(host, port), host != "" && port != ""
		default:
			return "", false
		}
	}
	return scheme + "://" + net.JoinHostPort(host, port), scheme == "https" && host != "" && port != ""
}

// DoorAddr is the multiaddr of an HTTP door at host:port, in binary form; false if the
// host is none that others could dial, such as 0.0.0.0.
func DoorAddr(hostPort string) ([]byte, bool) {
	at, err := netip.ParseAddrPort(hostPort)
	if err != nil || at.Addr().IsUnspecified() {
		return nil, false
	}
	family := "ip4"
	if at.Addr().Is6() && !at.Addr().Is4In6() {
		family = "ip6"
	}
	a, err := multiaddr.NewMultiaddr(fmt.Sprintf("/%s/%s/tcp/%d/http", family, at.Addr().Unmap().WithZone(""), at.Port()))
	if err != nil {
		return nil, false
	}
	return a.Bytes(), true
}

// ParseDoor reads a multiaddr of an HTTP door.
func ParseDoor(text string) ([]byte, error) {
	a, err := multiaddr.NewMultiaddr(text)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", text, err)
	}
	if _, ok := doorURL(a); !ok {
		return nil, fmt.Errorf("address %q: want one like /dns4/example.com/tcp/443/https or /ip4/1.2.3.4/tcp/80/http", text)
	}
	return a.Bytes(), nil
}

var errPrivate = errors.New("the address is not a public one")

// dialer makes connections to public addresses alone, whatever a name resolves to:
// miners must not be able to send a node into the network that it stands in.
func dialer(private bool) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTime}
	if !private {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if ip := at.Addr().Unmap(); !ip.IsGlobalUnicast() || ip.IsPrivate() || shared.Contains(ip) {
				return fmt.Errorf("%s: %w", ip, errPrivate)
			}
			return nil
		}
	}
	return d.DialContext
}

// shared is the address space between carriers and their customers (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")
