package devnet

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/retrieval/p2p"
)

// actorEnv tells this test's binary to be an actor.
const actorEnv = "PERDURE_ACTOR"

// part is what an actor is told to be.
type part struct {
	Home   string
	Listen []string
	Mode   p2p.Mode
	Relays []string
}

// order is a line that an actor is told, reply one that it answers.
type order struct {
	Do    string // report, connect or talk
	Addrs []string
}

type reply struct {
	Err     string
	Self    []string // addresses for strangers
	Report  *p2p.Report
	Relayed bool
}

// TestE2EActor is no test: it is a host in a process of its own, which answers to
// its standard input.
func TestE2EActor(t *testing.T) {
	text, ok := os.LookupEnv(actorEnv)
	if !ok {
		t.Skip("only tests that need hosts in other processes run this")
	}
	var p part
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	key, err := p2p.LoadIdentity(filepath.Join(p.Home, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := p2p.New(p2p.Config{Identity: key, Listen: p.Listen, NAT: p2p.NAT{Mode: p.Mode, Relays: p.Relays}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	h.Serve(func(_ context.Context, s io.ReadWriteCloser, _ string) {
		_, _ = io.Copy(s, s)
		_ = s.Close()
	})
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var o order
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(obey(t.Context(), h, o))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s%s\n", replyMark, out)
	}
}

// replyMark begins the lines that are replies; the test's own go between them.
const replyMark = "reply: "

func obey(ctx context.Context, h *p2p.Host, o order) (r reply) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	fail := func(err error) reply {
		r.Err = err.Error()
		return r
	}
	if o.Do == "report" {
		report := h.Report()
		return reply{Report: &report, Self: p2p.FormatAddrs(h.Self())}
	}
	peer, err := p2p.ParsePeer(o.Addrs...)
	if err != nil {
		return fail(err)
	}
	if o.Do == "connect" {
		err := h.Connect(ctx, peer)
		r.Relayed = h.Relayed(string(peer.ID))
		if err != nil {
			return fail(err)
		}
		return r
	}
	s, err := h.Open(ctx, peer)
	if err != nil {
		return fail(err)
	}
	defer s.Close()
	r.Relayed = h.Relayed(string(peer.ID))
	said := make([]byte, 2<<20)
	_, _ = rand.Read(said)
	go func() {
		_, _ = s.Write(said)
		_ = s.(interface{ CloseWrite() error }).CloseWrite()
	}()
	heard, err := io.ReadAll(s)
	if err == nil && !bytes.Equal(heard, said) {
		err = fmt.Errorf("%d bytes of %d came back", len(heard), len(said))
	}
	if err != nil {
		return fail(err)
	}
	return r
}

// actor is a host in a process at a home.
type actor struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

// play starts an actor. It ends with the test.
func play(t *testing.T, at *home, p part) *actor {
	t.Helper()
	p.Home = t.TempDir()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := append(at.wrap(), self, "-test.run=^TestE2EActor$", "-test.timeout=20m")
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), actorEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill() // it may have ended by itself
		cmd.Wait()
	})
	a := &actor{t: t, in: in, out: bufio.NewScanner(out)}
	a.out.Buffer(nil, 1<<20)
	return a
}

// errActor is of an actor that is gone.
var errActor = errors.New("the actor ended")

// do tells the actor what to do.
func (a *actor) do(what string, addrs ...string) (r reply) {
	a.t.Helper()
	text, err := json.Marshal(order{what, addrs})
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(a.in, "%s\n", text); err != nil {
		a.t.Fatal(err)
	}
	for a.out.Scan() {
		if line, ok := strings.CutPrefix(a.out.Text(), replyMark); ok {
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				a.t.Fatal(err)
			}
			return r
		}
	}
	a.t.Fatal(errors.Join(errActor, a.out.Err()))
	return r
}

// until looks at an actor's report until it is as wanted.
func (a *actor) until(what string, cond func(r reply) bool) reply {
	a.t.Helper()
	begun := time.Now()
	for {
		r := a.do("report")
		if cond(r) {
			a.t.Logf("%s after %.1f s", what, time.Since(begun).Seconds())
			return r
		}
		if time.Since(begun) > 3*time.Minute {
			a.t.Fatalf("waiting for: %s; the report is %+v, %s", what, r.Report, r.Self)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// outskirts are public hosts that dial back and relay, and their addresses.
func outskirts(r *router, n int) (addrs []string) {
	r.t.Helper()
	for range n {
		a := play(r.t, r.addHome(noNAT, false), part{Listen: p2p.AllAddrs(4001), Mode: p2p.Public})
		addrs = append(addrs, a.do("report").Self...)
	}
	return addrs
}

// behind plays a seller at a home behind a NAT, that knows relays.
func behind(r *router, at *home, relays []string) *actor {
	r.t.Helper()
	return play(r.t, at, part{Listen: p2p.AllAddrs(4001), Mode: p2p.Auto, Relays: relays})
}

// TestE2EBehindNAT has a seller at a home whose router answers no request for ports.
// It finds out that nobody reaches it, takes places at relays and announces nothing
// else. A client behind a router of its own comes by a relay, and where both
// routers keep a port for a port the two then speak directly; where they do not,
// their data go on through the relay.
func TestE2EBehindNAT(t *testing.T) {
	endToEnd(t)
	for _, c := range []struct {
		name   string
		nat    translation
		direct bool
	}{{"cone", coneNAT, true}, {"symmetric", symmetricNAT, false}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRouter(t)
			relays := outskirts(r, 3)
			sells, buys := r.addHome(c.nat, false), r.addHome(c.nat, false)
			seller := behind(r, sells, relays)
			at := seller.until("a place at a relay", func(r reply) bool { return len(r.Report.Announced) > 0 })
			for _, a := range at.Self {
				if !strings.Contains(a, "/p2p-circuit/") || strings.Contains(a, "/192.168.") {
					t.Errorf("strangers are told %s", a)
				}
			}
			if at.Report.Verdict != "private" || len(at.Report.Confirmed) != 0 || at.Report.PortMap.Router {
				t.Errorf("report %+v", at.Report)
			}
			straight, got := r.spoke(buys, sells), reply{Relayed: true}
			for clients := 0; clients == 0 || c.direct && got.Relayed && got.Err == "" && clients < 4; clients++ {
				// A hole is tried once a client: both must send in the same moment, which
				// a busy machine may miss, and the client must know its own address.
				got = visit(play(t, buys, part{Listen: p2p.AllAddrs(0), Mode: p2p.Dials}), at.Self)
			}
			if got.Err != "" || got.Relayed == c.direct {
				t.Errorf("talked: relayed %v, %s", got.Relayed, got.Err)
			}
			sent := r.spoke(buys, sells) - straight
			punches := seller.do("report").Report.Punches
			t.Logf("%d packets went straight; the seller tried %d times to punch a hole, %d succeeded: %s", sent, punches.Tried, punches.Succeeded, punches.LastError)
			if c.direct != (punches.Succeeded > 0) || c.direct && sent < 1000 {
				t.Errorf("direct must be %v", c.direct)
			}
		})
	}
}

// visit has a client come by a relay and talk until it does so straight, for some time.
func visit(client *actor, to []string) (got reply) {
	client.t.Helper()
	if got := client.do("connect", to...); got.Err != "" {
		client.t.Fatalf("not reached by a relay: %s", got.Err)
	}
	got.Relayed = true
	for tries := 0; got.Relayed && got.Err == "" && tries < 5; tries++ { // a hole may take a while
		got = client.do("talk", to...)
	}
	return got
}

// TestE2EPortMap has a seller at a home whose router opens ports when it is asked by
// NAT-PMP: peers dial it back there, it announces that alone, and a client comes
// straight.
func TestE2EPortMap(t *testing.T) {
	endToEnd(t)
	r := newRouter(t)
	relays := outskirts(r, 3)
	sells, buys := r.addHome(coneNAT, true), r.addHome(coneNAT, false)
	seller := behind(r, sells, relays)
	client := play(t, buys, part{Listen: p2p.AllAddrs(0), Mode: p2p.Dials})
	at := seller.until("dialled back", func(r reply) bool { return len(r.Report.Announced) > 0 && len(r.Report.Confirmed) > 0 })
	for _, a := range at.Self {
		if !strings.HasPrefix(a, "/ip4/"+sells.public.String()+"/") || strings.Contains(a, "/p2p-circuit") {
			t.Errorf("strangers are told %s", a)
		}
	}
	if !at.Report.PortMap.Router || len(at.Report.PortMap.Addrs) == 0 {
		t.Errorf("port map %+v", at.Report.PortMap)
	}
	if got := client.do("talk", at.Self...); got.Err != "" || got.Relayed {
		t.Errorf("talked: relayed %v, %s", got.Relayed, got.Err)
	}
}

// TestE2ENetCheck runs the command that tells a home miner how it is reached, at homes
// with routers of three kinds.
func TestE2ENetCheck(t *testing.T) {
	endToEnd(t)
	r := newRouter(t)
	w := newTown(t)
	relays := outskirts(r, 3)
	for _, c := range []struct {
		name string
		at   *home
		how  string
	}{
		{"a router that opens ports", r.addHome(coneNAT, true), "directly"},
		{"one that does not", r.addHome(coneNAT, false), "by relay"},
		{"none", r.addHome(noNAT, false), "directly"},
	} {
		args := []string{"net", "check", "--json", "--home", w.home(c.at.space), "--node", "http://127.0.0.1:1", "--peer", strings.Join(relays, ",")}
		out, err := w.wrapped(w.ctx, c.at.wrap(), args...).Output()
		var said struct {
			Reachable bool
			How       string
			Findings  []struct{ Name, Says string }
		}
		if bad := json.Unmarshal(out, &said); bad != nil {
			t.Fatalf("%s: %v, %v: %s", c.name, err, bad, out)
		}
		for _, f := range said.Findings {
			t.Logf("%s: %s: %s", c.name, f.Name, f.Says)
		}
		if err != nil || !said.Reachable || said.How != c.how {
			t.Errorf("%s: reached %s, want %s; %v", c.name, said.How, c.how, err)
		}
	}
	alone := r.addHome(coneNAT, false)
	err := w.wrapped(w.ctx, alone.wrap(), "net", "check", "--home", w.home("alone"), "--node", "http://127.0.0.1:1").Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("without anybody to ask: %v, want exit code 1", err)
	}
}
