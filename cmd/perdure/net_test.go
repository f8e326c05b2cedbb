package main

import (
	"strings"
	"testing"

	"github.com/perdure/perdure/retrieval/p2p"
)

// TestJudge: what a miner hears of each thing that may be wrong, and what to do.
func TestJudge(t *testing.T) {
	home := p2p.Report{Mode: p2p.Auto, Listening: []string{"/ip4/192.168.1.5/tcp/4001"}, Verdict: "private", Peers: 2,
		Observed:  []p2p.Sighting{{By: "a", Addr: "/ip4/5.1.1.1/tcp/4001"}, {By: "b", Addr: "/ip4/5.1.1.1/tcp/4001"}},
		DialBacks: []p2p.DialBack{{By: "a"}, {By: "b"}}, PortMap: p2p.PortMap{Asked: true}}
	change := func(f func(r *p2p.Report)) p2p.Report {
		r := home
		f(&r)
		return r
	}
	for name, c := range map[string]struct {
		report p2p.Report
		how    string
		says   []string
	}{
		"one machine": {p2p.Report{Mode: p2p.Dials, Local: true, Listening: []string{"/ip4/127.0.0.1/tcp/1"}}, "not at all",
			[]string{"BAD listening", "Only programs on this machine reach that.", "On a devnet that is right"}},
		"nothing": {p2p.Report{Mode: p2p.Auto}, "not at all", []string{"It listens nowhere.", "No peer said how it sees this machine (0 connected).",
			"No peer is known that dials back.", "No relay is known.", "Strangers are told no address yet"}},
		"off": {p2p.Report{Mode: p2p.Off, Listening: []string{"x"}, Announced: []string{"y"}}, "unknown", []string{`nat = "off"`, "was not looked at"}},
		"behind a router": {home, "not at all", []string{"BAD dialled back", "2 peers tried to dial it back and none got through.", "Forward the port",
			"That is a router's address", "No router answers by UPnP or NAT-PMP.", "BAD relay", "Strangers do not reach this miner."}},
		"a relay": {change(func(r *p2p.Report) { r.Relayed = []string{"/ip4/5.2.2.2/tcp/1/p2p/x/p2p-circuit"} }), "by relay",
			[]string{"ok  relay", "It has places at relays", "Nobody has come by a relay yet.", "slow without a hole"}},
		"a place": {change(func(r *p2p.Report) { r.Places = []p2p.Place{{Relay: "x", Given: true}} }), "by relay", []string{"Relays have a place for it: x."}},
		"no place": {change(func(r *p2p.Report) { r.Places = []p2p.Place{{Relay: "x", Err: "full"}} }), "not at all",
			[]string{"No relay has a place for it: x: full.", "Name other relays"}},
		"a changing port": {change(func(r *p2p.Report) {
			r.Observed = []p2p.Sighting{{By: "a", Addr: "/ip4/5.1.1.1/tcp/4001"}, {By: "b", Addr: "/ip4/5.1.1.1/tcp/4002"}}
		}), "not at all",
			[]string{"BAD hole punch", "symmetric NAT"}},
		"two routers": {change(func(r *p2p.Report) {
			r.PortMap = p2p.PortMap{Asked: true, Router: true, Addrs: []string{"/ip4/10.0.0.1/tcp/1"}}
		}), "not at all",
			[]string{"BAD port map", "Peers cannot use it all the same.", "another router behind it"}},
		"a mapped port": {change(func(r *p2p.Report) {
			r.PortMap = p2p.PortMap{Asked: true, Router: true, Addrs: []string{"/ip4/5.1.1.1/tcp/1"}}
			r.DialBacks = []p2p.DialBack{{By: "a", Reached: true}, {By: "b", Refused: true, Err: "too many"}}
		}), "directly", []string{"ok  port map", "1 of 1 peers that tried dialled it back.", "It needs no relay.", "Strangers reach this miner directly."}},
		"refused": {change(func(r *p2p.Report) { r.DialBacks = []p2p.DialBack{{By: "a", Refused: true, Err: "too many"}} }), "not at all",
			[]string{"would not dial back: too many.", "Name a peer with --peer"}},
		"an open server": {change(func(r *p2p.Report) {
			r.Listening, r.Verdict, r.Confirmed, r.DialBacks = []string{"/ip4/5.1.1.1/tcp/4001"}, "public", []string{"/ip4/5.1.1.1/tcp/4001"}, nil
		}), "directly", []string{"no router translates it", "Earlier dials reached"}},
		"a hole": {change(func(r *p2p.Report) {
			r.Relayed, r.Punches = []string{"x"}, p2p.Punches{Tried: 3, Succeeded: 2}
		}), "by relay", []string{"2 of 3 attempts got from a relay to a direct connection."}},
		"no hole": {change(func(r *p2p.Report) {
			r.Relayed, r.Punches = []string{"x"}, p2p.Punches{Tried: 3, LastError: "no way"}
		}), "by relay", []string{"BAD hole punch", "the last one: no way."}},
	} {
		v := judge(&c.report)
		var out strings.Builder
		v.write(&out)
		if v.How != c.how || v.Reachable != (c.how == "directly" || c.how == "by relay") {
			t.Errorf("%s: reached %s, %v", name, v.How, v.Reachable)
		}
		for _, words := range c.says {
			if !strings.Contains(out.String(), words) {
				t.Errorf("%s: %q is not in:\n%s", name, words, out.String())
			}
		}
		for _, f := range v.Findings {
			if !f.OK && f.Do == "" && f.Name != "announced" && f.Name != "hole punch" {
				t.Errorf("%s: %s is wrong, and nothing is said of what to do", name, f.Name)
			}
		}
	}
}
