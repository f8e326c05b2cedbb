package node

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"syscall"

	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/explorer/access"
)

// AccessConfig bounds what the callers of the API may take; 0 is the default.
// Callers on the node's own machine have no bounds but the one on all.
type AccessConfig struct {
	Rate        int `toml:"rate"`        // requests a second of one address; 0: 100
	Burst       int `toml:"burst"`       // and at once; 0: 400
	Streams     int `toml:"streams"`     // answers without end that one address reads at once; 0: 20
	Connections int `toml:"connections"` // at once, of all; 0: 10,000. Half of the files that the process may open at most
	PerAddress  int `toml:"per_address"` // of one address; 0: 200

	// TrustedProxies are addresses, or networks such as "10.0.0.0/8", that are
	// believed when they say in X-Forwarded-For for whom they ask.
	TrustedProxies []string `toml:"trusted_proxies"`
}

// The bounds on connections, if the config has none.
const (
	maxConnections = 10_000
	maxPerAddress  = 200
)

func (c *AccessConfig) validate() error {
	for _, f := range []struct {
		key   string
		value int
	}{{"rate", c.Rate}, {"burst", c.Burst}, {"streams", c.Streams}, {"connections", c.Connections}, {"per_address", c.PerAddress}} {
		if f.value < 0 {
			return fmt.Errorf("access.%s is %d, want 0 or more", f.key, f.value)
		}
	}
	_, err := c.proxies()
	return err
}

func (c *AccessConfig) proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range c.TrustedProxies {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("access.trusted_proxies: %q is neither an address nor a network", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// openFiles is how many files the process may have open.
func openFiles() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return math.MaxUint64
	}
	return uint64(l.Cur)
}

// within is how many connections are taken: at most half of the files that may be
// open, since an engine and databases that can open none stop the node.
func within(connections int, files uint64) int {
	return int(min(uint64(connections), max(files/2, 1)))
}

// limits are those of the explorer's API.
func (c *AccessConfig) limits() explorer.Limits {
	return explorer.Limits{PerSecond: float64(c.Rate), Burst: c.Burst, Streams: c.Streams}
}

func (c *AccessConfig) connections() access.Connections {
	proxies, _ := c.proxies() // validate has seen them
	return access.Connections{Total: within(cmp.Or(c.Connections, maxConnections), openFiles()), PerAddress: cmp.Or(c.PerAddress, maxPerAddress), Proxies: proxies}
}
