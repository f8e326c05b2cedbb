package node

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"
)

// latecomer is a reactor that is slow to start if the reactor that dials peers
// was started before it: it waits until a peer has been dialled, and a while
// longer, for the peer to come in.
type latecomer struct {
	p2p.BaseReactor
	dialled func() bool
	waited  bool
	started atomic.Bool
	early   atomic.Int32 // peers that came in before it had started
	late    atomic.Int32 // and after
}

// OnStart implements service.Service.
func (l *latecomer) OnStart() error {
	if pex, ok := l.Switch.Reactor("PEX"); ok && pex.IsRunning() {
		for !l.dialled() {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		l.waited = true
	}
	l.started.Store(true)
	return nil
}

// AddPeer implements p2p.Reactor.
func (l *latecomer) AddPeer(p2p.Peer) {
	if l.started.Load() {
		l.late.Add(1)
	} else {
		l.early.Add(1)
	}
}

// TestDoor starts a node that dials a peer while one of its reactors is being
// started: the peer comes in when all have been.
func TestDoor(t *testing.T) {
	home, c := newHome(t)
	host, stop := run(t, Options{Home: home, Config: c})
	guests := func() int { return host.comet.Switch().Peers().Size() }
	await := func(what string, cond func() bool) {
		for !cond() {
			if t.Context().Err() != nil {
				t.Fatal(what)
			}
			time.Sleep(time.Millisecond)
		}
	}
	await("the host runs", host.comet.IsRunning)

	guest := tempDir(t)
	if _, err := Init(guest); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(home, "genesis.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveGenesis(guest, doc); err != nil {
		t.Fatal(err)
	}
	conf := localConfig()
	conf.Seeds, conf.LocalPeers = []string{host.Peer()}, true
	for waited := false; !waited; { // the order of starting is drawn
		n, err := New(Options{Home: guest, Config: &conf})
		if err != nil {
			t.Fatal(err)
		}
		l := &latecomer{dialled: func() bool { return guests() > 0 }}
		l.BaseReactor = *p2p.NewBaseReactor("Latecomer", l)
		n.comet.Switch().AddReactor("LATECOMER", l)
		end := start(n)
		await("the guest comes in", func() bool { return l.early.Load()+l.late.Load() > 0 })
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if l.early.Load() > 0 {
			t.Fatal("a peer came in before all reactors had been started")
		}
		waited = l.waited
		await("the guest leaves", func() bool { return guests() == 0 })
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
