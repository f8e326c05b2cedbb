package devnet

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/retrieval/p2p"
)

// allPorts is what a miner outside of devnets listens on.
const allPorts = "/ip4/0.0.0.0/tcp/4001,/ip4/0.0.0.0/udp/4001/quic-v1"

// startMinerAt makes a miner that lives at a home, and runs it.
func (w *town) startMinerAt(at *home, name, owner string, args ...string) {
	w.t.Helper()
	home := w.home(name)
	w.run(nil, append([]string{"miner", "init", "--home", home, "--wallet", w.home(owner), "--node", w.apis[0],
		"--sector-size", "8MiB", "--fund", "1000PDR", "--listen", allPorts}, args...)...)
	w.miners = append(w.miners, w.startAt(site{wrap: at.wrap()}, name, "miner", "run", "--home", home))
}

// peerOf is where the chain says that a miner is.
func (w *town) peerOf(node *rpc.Client, id chain.MinerID) chain.Peer {
	var m chain.Miner
	if ok, err := node.Record(w.ctx, chain.MinerKey(id), &m); err != nil || !ok {
		return chain.Peer{}
	}
	return m.Peer
}

// TestE2EHomeMiner is a home miner's whole life on the network: two miners in the
// open relay, a third behind a router of its own finds them on the chain, takes
// places with them and announces those; a client behind another router stores a
// file with it and buys it back, with only the chain to say where it is. Packets go
// straight through the holes in both routers.
func TestE2EHomeMiner(t *testing.T) {
	endToEnd(t)
	r := newRouter(t)
	at := r.addHome(noNAT, false)
	r.joinTest(at)
	open0, open1 := r.addHome(noNAT, false), r.addHome(noNAT, false)
	hidden, buys := r.addHome(coneNAT, false), r.addHome(coneNAT, false)
	w := newTown(t)
	names := []string{"client", "owner0", "owner1", "owner2"}
	var accounts []string
	for _, name := range names {
		accounts = append(accounts, w.newWallet(name))
	}
	w.startNodesAt([]site{{ip: at.public.String(), wrap: at.wrap()}}, accounts...)
	w.startMinerAt(open0, "miner0", "owner0", "--nat", "public")
	w.startMinerAt(open1, "miner1", "owner1", "--nat", "public")
	w.startMinerAt(hidden, "miner2", "owner2", "--capacity", "64MiB")
	node := rpc.New(w.apis[0])
	defer node.Close()
	id := chain.MinerID(chain.FirstMinerID + 2)
	w.await("the hidden miner's places on chain", func() bool { return len(w.peerOf(node, id).Addrs) > 0 })
	for _, a := range p2p.FormatAddrs(w.peerOf(node, id)) {
		if !strings.Contains(a, "/p2p-circuit/") {
			t.Errorf("the chain says that it is at %s", a)
		}
	}
	w.checked(hidden, "miner2", "by relay")
	w.checked(open0, "miner0", "directly")

	content := make([]byte, 4<<20)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.home("content"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	var put struct{ RootCID string }
	w.run(&put, "put", w.home("content"), "--copies", "1", "--no-wait", "--home", w.home("client"), "--node", w.apis[0])
	server := w.startAt(site{wrap: buys.wrap()}, "client", "client", "run", "--home", w.home("client"), "--node", w.apis[0])
	w.await("the copy active", func() bool {
		var d chain.Deal
		ok, err := node.Record(w.ctx, chain.DealKey(1), &d)
		return err == nil && ok && d.State == chain.DealActive
	})
	// It takes leave: the miner would take one that was killed for connected, and
	// punch no hole, until it misses it half a minute later.
	if err := server.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-server.done
	server.cmd = nil
	stored, answered := r.spoke(buys, hidden), r.spoke(hidden, buys)

	get := w.wrapped(w.ctx, buys.wrap(), "get", put.RootCID, "-o", w.home("copy"), "--json", "--yes", "--home", w.home("client"), "--node", w.apis[0])
	out, err := get.Output()
	if err != nil {
		t.Fatalf("get: %v: %s", err, out)
	}
	if copied, err := os.ReadFile(w.home("copy")); err != nil || !bytes.Equal(copied, content) {
		t.Errorf("fetched %d bytes, %v", len(copied), err)
	}
	bought := r.spoke(hidden, buys) - answered
	t.Logf("%d packets went straight to the miner while the file was stored, %d straight to the client while it was fetched", stored, bought)
	if stored+bought < 1000 {
		t.Error("all data went through the relays, and both routers let holes be punched")
	}
}

// checked has the running miner of a home judge how it is reached.
func (w *town) checked(at *home, name, how string) {
	w.t.Helper()
	out, err := w.wrapped(w.ctx, at.wrap(), "net", "check", "--json", "--home", w.home(name)).Output()
	var said struct {
		Running bool
		How     string
	}
	if bad := json.Unmarshal(out, &said); bad != nil || err != nil || !said.Running || said.How != how {
		w.t.Errorf("net check of %s: running %v, reached %s, want %s: %v, %v", name, said.Running, said.How, how, err, bad)
	}
}
