package p2p

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/perdure/perdure/chain"
)

// newRelay is a host that relays for others, on this machine.
func newRelay(t *testing.T) *Host {
	t.Helper()
	return newHost(t, func(c *Config) { c.NAT.Mode = Public })
}

// hidden is a host that takes others to be out of strangers' reach, with a relay.
func hidden(t *testing.T, relay *Host) *Host {
	t.Helper()
	return newHost(t, func(c *Config) { c.NAT = NAT{Mode: Private, Relays: relay.Addrs(), NoPortMap: true} })
}

// through is where a host is by a relay.
func through(t *testing.T, relay, h *Host) chain.Peer {
	t.Helper()
	p := chain.Peer{ID: []byte(h.ID())}
	for _, a := range relay.Addrs() {
		c, err := ma.NewMultiaddr(a + "/p2p-circuit")
		if err != nil {
			t.Fatal(err)
		}
		p.Addrs = append(p.Addrs, c.Bytes())
	}
	return p
}

// TestRelay: a client that has only a relay's address of a seller opens streams to
// it, and the seller one back over the same connection.
func TestRelay(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	relay := newRelay(t)
	miner := hidden(t, relay)
	miner.Serve(echo)
	client := newHost(t, func(c *Config) { c.Listen, c.NAT.Mode = nil, Dials })
	client.Serve(echo)
	client.nat.wait, miner.nat.wait = 10*time.Millisecond, 10*time.Millisecond // no holes on one machine
	there := through(t, relay, miner)
	for client.Connect(ctx, there) != nil { // until the miner has its place
		if ctx.Err() != nil {
			t.Fatal("the miner has no place at the relay")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !client.Connected(miner.ID()) || !client.Relayed(miner.ID()) {
		t.Errorf("connected: %v, relayed: %v", client.Connected(miner.ID()), client.Relayed(miner.ID()))
	}
	if err := miner.Await(ctx, client.ID()); err != nil {
		t.Fatal(err)
	}
	said := strings.Repeat("perdure", 100_000)
	for _, way := range []struct {
		from *Host
		to   chain.Peer
	}{{client, there}, {miner, chain.Peer{ID: []byte(client.ID())}}} {
		s, err := way.from.Open(ctx, way.to)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = io.WriteString(s, said)
			_ = s.(interface{ CloseWrite() error }).CloseWrite()
		}()
		heard, err := io.ReadAll(s)
		if err != nil || string(heard) != said {
			t.Errorf("%d bytes of %d came back: %v", len(heard), len(said), err)
		}
		_ = s.Close()
	}
	off := newHost(t, func(c *Config) { c.Listen = nil })
	if err := off.Connect(ctx, there); err == nil {
		t.Error("a host with its NAT off went through a relay")
	}
}

// TestProbe: a hidden host is told that nobody dials it back and that there is a place
// for it, as long as the relay has one for its address.
func TestProbe(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	relay := newRelay(t)
	for i := range relayPlacesIP + 1 {
		h := newHost(t, func(c *Config) { c.NAT = NAT{Mode: Private, Relays: relay.Addrs(), NoPortMap: true} })
		r, err := h.Probe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict != "private" || r.Mode != Private || !r.Local || len(r.DialBacks) != 1 || r.DialBacks[0].Reached || !r.DialBacks[0].Refused {
			t.Errorf("verdict %s, mode %s, dialled back %+v", r.Verdict, r.Mode, r.DialBacks)
		}
		if want := i < relayPlacesIP; len(r.Places) != 1 || r.Places[0].Given != want || (r.Places[0].Err == "") != want {
			t.Errorf("host %d: places %+v, given must be %v", i, r.Places, want)
		}
		if len(r.Observed) != 1 || !strings.HasPrefix(r.Observed[0].Addr, "/ip4/127.0.0.1/") {
			t.Errorf("seen as %+v", r.Observed)
		}
		if text, err := json.Marshal(r); err != nil || strings.Contains(string(text), "null") {
			t.Errorf("%s, %v", text, err)
		}
	}
	if r, err := relay.Probe(ctx); err != nil || r.Verdict != "public" || len(r.Places) != 0 {
		t.Errorf("of the relay: %+v, %v", r, err)
	}
}

// TestOneMachine: a host for one machine finds nothing out, and is where it listens.
func TestOneMachine(t *testing.T) {
	h := newHost(t, func(c *Config) { c.NAT.Mode = Auto })
	if h.nat.mode != Dials || !h.Settled() || len(h.Self().Addrs) != 2 {
		t.Errorf("mode %s, settled %v, at %s", h.nat.mode, h.Settled(), FormatAddrs(h.Self()))
	}
	fixed := newHost(t, func(c *Config) {
		c.Listen, c.Announce, c.NAT = []string{"/ip4/0.0.0.0/tcp/0"}, []string{"/dns4/miner.example/tcp/4001"}, NAT{Mode: Auto, NoPortMap: true}
	})
	if self := FormatAddrs(fixed.Self()); !fixed.Settled() || len(self) != 1 || !strings.HasPrefix(self[0], "/dns4/miner.example/tcp/4001/") {
		t.Errorf("settled %v, at %s", fixed.Settled(), self)
	}
	open := newHost(t, func(c *Config) { c.Listen, c.NAT = []string{"/ip4/0.0.0.0/tcp/0"}, NAT{Mode: Auto, NoPortMap: true} })
	for _, a := range FormatAddrs(open.Self()) {
		if strings.Contains(a, "127.0.0.1") {
			t.Errorf("strangers are told %s", a)
		}
	}
	if open.Settled() {
		t.Error("settled before it found anything out")
	}
	if _, err := New(Config{Identity: h.host.Peerstore().PrivKey(h.host.ID()), NAT: NAT{Mode: Private, Relays: []string{"nowhere"}}}); err == nil {
		t.Error("a relay that is none is taken")
	}
	for text, want := range map[string]Mode{"": Auto, "auto": Auto, "private": Private, "public": Public, "off": Off} {
		if m, err := ParseMode(text); err != nil || m != want {
			t.Errorf("%q: %s, %v", text, m, err)
		}
	}
	if _, err := ParseMode("dials"); err == nil {
		t.Error(`"dials" is taken from a config`)
	}
}

// TestPortOf: what a router can map.
func TestPortOf(t *testing.T) {
	for text, want := range map[string]string{
		"/ip4/0.0.0.0/tcp/4001":             "{tcp 4001} ",
		"/ip4/192.168.1.2/udp/4001/quic-v1": "{udp 4001} /quic-v1",
		"/ip4/127.0.0.1/tcp/4001":           "",
		"/ip6/::/tcp/4001":                  "",
		"/p2p-circuit":                      "",
		"/ip4/192.168.1.2/sctp/1":           "",
	} {
		got := ""
		if p, rest, ok := portOf(addrs(t, text)[0]); ok {
			got = fmt.Sprintf("%v %s", p, rest)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func addrs(t *testing.T, text string) (out []ma.Multiaddr) {
	t.Helper()
	for word := range strings.FieldsSeq(text) {
		a, err := ma.NewMultiaddr(word)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

// TestStrangers: only what strangers can use is announced.
func TestStrangers(t *testing.T) {
	const (
		loop   = " /ip4/127.0.0.1/tcp/4001"
		home   = " /ip4/192.168.1.5/tcp/4001"
		server = " /ip4/203.0.114.7/tcp/4001"
		router = " /ip4/198.51.101.9/tcp/4001"
		relay  = " /ip4/203.0.114.8/tcp/4001/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN/p2p-circuit"
		inside = " /ip4/10.0.0.8/tcp/4001/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN/p2p-circuit"
	)
	for name, c := range map[string]struct {
		all, own, confirmed string
		verdict             network.Reachability
		want                string
	}{
		"nothing known, at home":     {loop + home, loop + home, "", network.ReachabilityUnknown, ""},
		"nothing known, a server":    {loop + server, loop + server, "", network.ReachabilityUnknown, server},
		"a server behind a wall":     {loop + server, loop + server, "", network.ReachabilityPrivate, ""},
		"seen by peers alone":        {loop + home + router, loop + home, "", network.ReachabilityUnknown, ""},
		"dialled back":               {loop + home + router, loop + home, router, network.ReachabilityUnknown, router},
		"one of two dialled back":    {server + router, server, router, network.ReachabilityPrivate, router},
		"known to be reached":        {loop + home + router, loop + home, "", network.ReachabilityPublic, router},
		"a relay":                    {loop + home + relay, loop + home, "", network.ReachabilityPrivate, relay},
		"a relay in the house":       {loop + home + inside, loop + home, "", network.ReachabilityPrivate, ""},
		"a relay, direct ones first": {relay + router, "", router, network.ReachabilityUnknown, router + relay},
	} {
		got := strangers(addrs(t, c.all), addrs(t, c.own), addrs(t, c.confirmed), c.verdict)
		if fmt.Sprint(got) != fmt.Sprint(addrs(t, c.want)) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// rolls is a node that lists miners.
type rolls []*Host

// JSON implements Explorer.
func (r rolls) JSON(_ context.Context, path string, v any) error {
	if !strings.HasPrefix(path, "/v1/miners?") {
		return fmt.Errorf("asked for %s", path)
	}
	var items []map[string]any
	for _, h := range r {
		items = append(items, map[string]any{"peer": map[string]any{"id": h.host.ID().String(), "addrs": texts(h.host.Addrs())}})
	}
	items = append(items, map[string]any{"peer": map[string]any{"id": "", "addrs": []string{}}},
		map[string]any{"peer": map[string]any{"id": "x", "addrs": []string{"/ip4/192.0.2.1/tcp/1"}}})
	raw, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// TestTable: a client that knows only the chain's miners finds who announced a
// payload to one of them, and finds at once that no miner is in the table.
func TestTable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	idle, hub, seller := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	if err := hub.JoinDHT(ctx, DHTConfig{Server: true}); err != nil {
		t.Fatal(err)
	}
	if err := seller.JoinDHT(ctx, DHTConfig{Peers: []chain.Peer{hub.Self()}}); err != nil {
		t.Fatal(err)
	}
	if err := seller.MeetDHT(ctx, []chain.Peer{idle.Self(), hub.Self()}); err != nil {
		t.Fatal(err)
	}
	root := rawCID(t, "sold")
	if err := seller.Announce(ctx, root); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		miners rolls
		want   string
	}{
		"one of two": {rolls{idle, hub}, seller.ID()},
		"none":       {rolls{idle}, ""},
		"nobody":     {nil, ""},
	} {
		client := newHost(t, func(c *Config) { c.Listen = nil })
		var finder Finder = &Table{Host: client, Node: c.miners}
		for range 2 { // the second time it is in it already
			found, err := finder.FindProviders(ctx, root, 3)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if len(found) > 1 || (len(found) == 1) != (c.want != "") || len(found) == 1 && string(found[0].ID) != c.want {
				t.Errorf("%s: found %v", name, found)
			}
		}
	}
}
