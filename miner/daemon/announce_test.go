package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/p2p"
)

// TestAnnouncer: addresses go on chain when they have changed for good.
func TestAnnouncer(t *testing.T) {
	at := func(addrs ...string) chain.Peer {
		p := chain.Peer{ID: []byte("me")}
		for _, a := range addrs {
			p.Addrs = append(p.Addrs, []byte(a))
		}
		return p
	}
	type look struct {
		after time.Duration // since the start
		self  chain.Peer
		want  bool // a message is due, which then lands
	}
	other := at("a")
	other.ID = []byte("you")
	for name, c := range map[string]struct {
		on    chain.Peer
		fixed bool
		looks []look
	}{
		"the same in another order": {at("a", "b"), false, []look{{0, at("b", "a"), false}, {2 * time.Hour, at("b", "a"), false}}},
		"fixed by the config":       {at("a"), true, []look{{0, at("b"), true}, {time.Second, at("c"), true}}},
		"nothing known yet":         {at("a"), false, []look{{0, at(), false}, {5 * time.Hour, at(), false}}},
		"the first":                 {at(), false, []look{{0, at("a"), false}, {30 * time.Second, at("a"), false}, {time.Minute, at("a"), true}, {61 * time.Second, at("a"), false}}},
		"another peer ID":           {other, false, []look{{0, at("a"), false}, {time.Minute, at("a"), true}}},
		"all others":                {at("a", "b"), false, []look{{0, at("c"), false}, {time.Minute, at("c"), true}}},
		"some others":               {at("a", "b"), false, []look{{0, at("a", "c"), false}, {30 * time.Minute, at("a", "c"), false}, {time.Hour, at("a", "c"), true}}},
		"one more":                  {at("a"), false, []look{{0, at("a", "b"), false}, {time.Hour, at("a", "b"), true}}},
		"a flutter": {at("a", "b"), false, []look{{0, at("a"), false}, {50 * time.Minute, at("a", "b"), false},
			{70 * time.Minute, at("a"), false}, {120 * time.Minute, at("a"), false}, {130 * time.Minute, at("a"), true}}},
		"gone and back": {at("a"), false, []look{{0, at(), false}, {time.Hour, at("a"), false}}},
		"always others": {at("a"), false, []look{{0, at("b"), false}, {time.Minute, at("b"), true}, {2 * time.Minute, at("c"), false},
			{4 * time.Minute, at("c"), false}, {11*time.Minute - time.Second, at("c"), false}, {11 * time.Minute, at("c"), true}}},
	} {
		t.Run(name, func(t *testing.T) {
			var a announcer
			start, on := time.Unix(1_700_000_000, 0), c.on
			for i, l := range c.looks {
				now := start.Add(l.after)
				if got := a.due(now, l.self, on, c.fixed); got != l.want {
					t.Fatalf("look %d, after %s: due %v", i, l.after, got)
				}
				if l.want {
					a.sent, on = now, l.self
				}
			}
		})
	}
}

func TestHostConfig(t *testing.T) {
	cfg := DefaultConfig()
	cfg.P2P.Relays = []string{"r"}
	host, err := cfg.HostConfig()
	if err != nil {
		t.Fatal(err)
	}
	if n := host.NAT; n.Mode != p2p.Auto || n.NoPortMap || n.NoRelayService || len(n.Relays) != 1 || len(host.Listen) == 0 {
		t.Errorf("%+v", host)
	}
	cfg.P2P = P2PConfig{NAT: "on"}
	if _, err := cfg.HostConfig(); err == nil || !strings.Contains(err.Error(), `p2p.nat: "on": want auto`) {
		t.Errorf("nat = on: %v", err)
	}
}
