package devnet

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
)

// street is a bridge on this host with a network namespace for each node.
type street struct {
	t     *testing.T
	name  string
	sites []site
}

// ip runs an ip command.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// newStreet builds a street, or skips the test where this process may not.
func newStreet(t *testing.T, n int) *street {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need the command ip (iproute2)")
	}
	pid := os.Getpid()
	s := &street{t: t, name: fmt.Sprintf("pd%d", pid%100_000)}
	net := fmt.Sprintf("10.%d.%d.", 200+pid%50, pid/50%250)
	if err := ip("link", "add", s.name, "type", "bridge"); err != nil {
		t.Skipf("no bridge to be had: %v", err)
	}
	t.Cleanup(func() {
		for i := range s.sites {
			s.must("netns", "del", s.house(i))
		}
		s.must("link", "del", s.name)
	})
	s.must("addr", "add", net+"254/24", "dev", s.name)
	s.must("link", "set", s.name, "up")
	for i := range n {
		house := s.house(i)
		if err := ip("netns", "add", house); err != nil {
			t.Skipf("no network namespace to be had: %v", err)
		}
		at := site{ip: fmt.Sprint(net, i+1), wrap: []string{"ip", "netns", "exec", house}}
		s.sites = append(s.sites, at)
		s.must("link", "add", s.door(i), "type", "veth", "peer", "name", "eth0", "netns", house)
		s.must("link", "set", s.door(i), "master", s.name, "up")
		s.must("-n", house, "addr", "add", at.ip+"/24", "dev", "eth0")
		s.must("-n", house, "link", "set", "eth0", "up")
		s.must("-n", house, "link", "set", "lo", "up")
	}
	return s
}

func (s *street) must(args ...string) {
	s.t.Helper()
	if err := ip(args...); err != nil {
		s.t.Fatal(err)
	}
}

// house is the namespace of a node, door its link on the bridge.
func (s *street) house(i int) string { return fmt.Sprintf("%s-%d", s.name, i) }
func (s *street) door(i int) string  { return fmt.Sprintf("%sd%d", s.name, i) }

// shut drops all packets from and to nodes, open lets them through again.
func (s *street) shut(nodes ...int) {
	s.t.Helper()
	for _, i := range nodes {
		s.must("link", "set", s.door(i), "down")
	}
}

func (s *street) open(nodes ...int) {
	s.t.Helper()
	for _, i := range nodes {
		s.must("link", "set", s.door(i), "up")
	}
}

// blockTime is the time in the header of a height.
func (w *town) blockTime(i int, h chain.Height) time.Time {
	w.t.Helper()
	var answer struct {
		Result struct {
			SignedHeader struct {
				Header struct{ Time time.Time }
			} `json:"signed_header"`
		}
	}
	if !get(fmt.Sprintf("%s/commit?height=%d", w.rpcs[i], h), &answer) {
		w.t.Fatalf("node %d does not say when block %d was made", i, h)
	}
	return answer.Result.SignedHeader.Header.Time
}

// TestE2ECutOff runs seven validators, a process and a network namespace each.
// Two are cut off: the others go on; back on the network, they catch up and
// have the same states. Then three are killed, more than a third: no block is
// made until the operators start them again, and then the chain goes on.
func TestE2ECutOff(t *testing.T) {
	endToEnd(t)
	s := newStreet(t, 7)
	w := newTown(t)
	w.startNodesAt(s.sites, w.newWallet("client"))

	s.shut(5, 6)
	cut := w.height(0)
	w.reach(0, cut+10)
	s.open(5, 6)
	there := w.height(0)
	w.reach(5, there)
	w.reach(6, there)
	w.sameHashes(there)

	for i := 4; i < 7; i++ {
		w.nodes[i].kill()
	}
	stood := w.height(0) + 1 // what was decided may still be on its way
	time.Sleep(3 * time.Second)
	again := time.Now()
	for i := 4; i < 7; i++ {
		w.restart(w.nodes[i])
	}
	for i := range w.nodes {
		w.reach(i, stood+3)
	}
	if first := w.blockTime(0, stood+2); first.Before(again) {
		t.Errorf("block %d was made at %s, before enough validators were back at %s", stood+2, first, again)
	}
	w.sameHashes(stood + 3)
}
