package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/perdure/perdure/retrieval/p2p"
)

// verdict is the answer of net check.
type verdict struct {
	Reachable bool       `json:"reachable"` // by strangers
	How       string     `json:"how"`       // directly, by relay, unknown or not at all
	Running   bool       `json:"running"`   // the running miner was asked
	Findings  []finding  `json:"findings"`
	Report    p2p.Report `json:"report"`
}

// finding is one thing that was looked at.
type finding struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Says string `json:"says"`
	Do   string `json:"do,omitempty"` // empty: nothing has to be done
}

// judge turns what a host knows into plain sentences.
func judge(r *p2p.Report) *verdict {
	v := &verdict{Report: *r, How: "not at all"}
	backed := slices.ContainsFunc(r.DialBacks, func(d p2p.DialBack) bool { return d.Reached })
	placed := len(r.Relayed) > 0 || slices.ContainsFunc(r.Places, func(p p2p.Place) bool { return p.Given })
	switch {
	case r.Local:
	case r.Mode == p2p.Off:
		v.How = "unknown"
	case backed || len(r.Confirmed) > 0 || r.Verdict == "public":
		v.Reachable, v.How = true, "directly"
	case placed:
		v.Reachable, v.How = true, "by relay"
	}
	direct := v.How == "directly"
	v.Findings = []finding{listens(r)}
	if r.Local || r.Mode == p2p.Off {
		return v
	}
	v.Findings = append(v.Findings, seen(r), dialledBack(r, direct), portMapped(r, direct), relayed(r, direct, placed), punched(r, direct), announced(r, v.Reachable))
	return v
}

// write tells people.
func (v *verdict) write(out io.Writer) {
	for _, f := range v.Findings {
		mark := "ok  "
		if !f.OK {
			mark = "BAD "
		}
		fmt.Fprintf(out, "%s%-12s %s\n", mark, f.Name, f.Says)
		if f.Do != "" {
			fmt.Fprintf(out, "    %-12s -> %s\n", "", f.Do)
		}
	}
	switch v.How {
	case "directly":
		fmt.Fprintln(out, "\nStrangers reach this miner directly.")
	case "by relay":
		fmt.Fprintln(out, "\nStrangers reach this miner by a relay, and directly where holes can be punched: slower to begin, and slow without a hole.")
	case "unknown":
		fmt.Fprintln(out, "\nWhether strangers reach this miner was not looked at.")
	default:
		fmt.Fprintln(out, "\nStrangers do not reach this miner.")
	}
}

func listens(r *p2p.Report) finding {
	f := finding{Name: "listening", OK: len(r.Listening) > 0, Says: "It listens on " + strings.Join(r.Listening, ", ") + "."}
	switch {
	case len(r.Listening) == 0:
		f.Says, f.Do = "It listens nowhere.", "Set listen in config.toml, such as /ip4/0.0.0.0/tcp/4001; another program may hold the port."
	case r.Local:
		f.OK = false
		f.Says += " Only programs on this machine reach that."
		f.Do = "On a devnet that is right; elsewhere set listen in config.toml to /ip4/0.0.0.0/tcp/4001 and /ip4/0.0.0.0/udp/4001/quic-v1."
	case r.Mode == p2p.Off:
		f.Says += ` nat = "off" in config.toml: nothing is found out about how strangers reach it, and they are told ` + strings.Join(r.Announced, ", ") + "."
		f.OK, f.Do = false, `Set nat = "auto" under [p2p], unless all clients are on the same network.`
	}
	return f
}

func seen(r *p2p.Report) finding {
	f := finding{Name: "seen as", OK: true}
	if len(r.Observed) == 0 {
		f.OK, f.Says = false, fmt.Sprintf("No peer said how it sees this machine (%d connected).", r.Peers)
		f.Do = "Check that the machine has a connection to the internet and that --node is a node of a chain with other miners, or name peers with --peer."
		return f
	}
	var all []string
	for _, s := range r.Observed {
		if !slices.Contains(all, s.Addr) {
			all = append(all, s.Addr)
		}
	}
	f.Says = "Peers see it at " + strings.Join(all, ", ") + "."
	switch {
	case translated(r):
		f.Says += " That is a router's address: it translates between this machine and the internet."
	default:
		f.Says += " That is this machine's own address: no router translates it."
	}
	return f
}

// hostOf is the IP address that a multiaddr begins with.
func hostOf(addr string) string {
	parts := strings.Split(addr, "/")
	if len(parts) < 3 || net.ParseIP(parts[2]) == nil {
		return ""
	}
	return parts[2]
}

// translated reports whether peers see an address that this machine does not have.
func translated(r *p2p.Report) bool {
	own := map[string]bool{}
	for _, a := range r.Listening {
		own[hostOf(a)] = true
	}
	return slices.ContainsFunc(r.Observed, func(s p2p.Sighting) bool { return !own[hostOf(s.Addr)] })
}

// ports are the ports that peers see by one transport.
func ports(r *p2p.Report, transport string) (out []string) {
	for _, s := range r.Observed {
		if _, after, ok := strings.Cut(s.Addr, "/"+transport+"/"); ok {
			port, _, _ := strings.Cut(after, "/")
			out = append(out, port)
		}
	}
	return out
}

// changing reports whether the router shows each peer another port.
func changing(r *p2p.Report) bool {
	for _, transport := range []string{"udp", "tcp"} {
		if all := ports(r, transport); len(all) > 1 {
			slices.Sort(all)
			return len(slices.Compact(all)) > 1
		}
	}
	return false
}

// forward is what helps every miner behind a router.
const forward = "Forward the port that it listens on, TCP and UDP, in the router to this machine, or turn on UPnP or NAT-PMP there."

func dialledBack(r *p2p.Report, direct bool) finding {
	f := finding{Name: "dialled back", OK: direct}
	reached, refusals := 0, []string{}
	for _, d := range r.DialBacks {
		if d.Reached {
			reached++
		} else if d.Refused {
			refusals = append(refusals, d.Err)
		}
	}
	tried := len(r.DialBacks) - len(refusals)
	switch {
	case reached > 0:
		f.Says = fmt.Sprintf("%d of %d peers that tried dialled it back.", reached, tried)
	case tried > 0:
		f.Says = fmt.Sprintf("%d peers tried to dial it back and none got through.", tried)
	case len(refusals) > 0:
		f.Says = "The peers that were asked would not dial back: " + strings.Join(slices.Compact(refusals), "; ") + "."
	default:
		f.Says = "No peer is known that dials back."
	}
	if len(r.Confirmed) > 0 {
		f.Says += " Earlier dials reached " + strings.Join(r.Confirmed, ", ") + "."
	}
	switch {
	case direct:
	case tried > 0:
		f.Do = forward
	default:
		f.Do = "Name a peer with --peer, or try again once the chain has more miners."
	}
	return f
}

func portMapped(r *p2p.Report, direct bool) finding {
	f := finding{Name: "port map", OK: true}
	switch m := r.PortMap; {
	case len(m.Addrs) > 0:
		f.Says = "The router mapped " + strings.Join(m.Addrs, ", ") + "."
		if !direct {
			f.OK = false
			f.Says += " Peers cannot use it all the same."
			f.Do = "There may be another router behind it (of the provider): ask for a public address, or be content with relays."
		}
	case m.Router:
		f.OK, f.Says = direct, "The router answers by UPnP or NAT-PMP, and mapped no port."
	case m.Asked:
		f.OK, f.Says = direct, "No router answers by UPnP or NAT-PMP."
	default:
		f.OK, f.Says = direct, "No router is asked for ports."
	}
	if !f.OK && f.Do == "" {
		f.Do = forward
	}
	return f
}

func relayed(r *p2p.Report, direct, placed bool) finding {
	f := finding{Name: "relay", OK: direct || placed}
	var given, refusals []string
	for _, p := range r.Places {
		if p.Given {
			given = append(given, p.Relay)
		} else {
			refusals = append(refusals, p.Relay+": "+p.Err)
		}
	}
	switch {
	case len(r.Relayed) > 0:
		f.Says = "It has places at relays: " + strings.Join(r.Relayed, ", ") + "."
	case len(given) > 0:
		f.Says = "Relays have a place for it: " + strings.Join(given, ", ") + "."
	case direct:
		f.Says = "It needs no relay."
	case len(refusals) > 0:
		f.Says, f.Do = "No relay has a place for it: "+strings.Join(refusals, "; ")+".", "Name other relays: relays under [p2p] in config.toml, or --peer."
	default:
		f.Says, f.Do = "No relay is known.", "Name relays: relays under [p2p] in config.toml, or --peer. Miners that strangers reach are relays."
	}
	return f
}

func punched(r *p2p.Report, direct bool) finding {
	f := finding{Name: "hole punch", OK: true}
	p := r.Punches
	switch {
	case p.Succeeded > 0:
		f.Says = fmt.Sprintf("%d of %d attempts got from a relay to a direct connection.", p.Succeeded, p.Tried)
	case p.Tried > 0 || p.LastError != "":
		f.OK, f.Says = direct, fmt.Sprintf("%d attempts, none got to a direct connection; the last one: %s.", p.Tried, p.LastError)
	case direct:
		f.Says = "None is needed."
	default:
		f.Says = "Nobody has come by a relay yet."
	}
	if !direct && translated(r) && changing(r) {
		f.OK = false
		f.Says += " The router shows each peer another port (a symmetric NAT), so that holes cannot be punched."
		f.Do = forward
	}
	return f
}

func announced(r *p2p.Report, reachable bool) finding {
	f := finding{Name: "announced", OK: reachable || len(r.Announced) > 0}
	switch {
	case r.Fixed:
		f.Says = "The config announces " + strings.Join(r.Announced, ", ") + "."
	case len(r.Announced) > 0:
		f.Says = "Strangers are told " + strings.Join(r.Announced, ", ") + "."
	default:
		f.Says = "Strangers are told no address yet. A miner that runs announces one a minute after it is known to work."
	}
	return f
}
