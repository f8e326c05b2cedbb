package devnet

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
)

// govern is a town whose validators each speak for their own votes.
type govern struct {
	*town
	owners []string // homes
}

// propose proposes an order deposit from a height on with the votes of one owner.
func (g *govern) propose(owner int, deposit string, effective chain.Height) uint64 {
	g.t.Helper()
	var sent struct{ ID uint64 }
	g.run(&sent, "govern", "propose", "--set", "orderDeposit="+deposit, "--effective", fmt.Sprint(effective),
		"--home", g.home(g.owners[owner]), "--node", g.apis[owner])
	return sent.ID
}

func (g *govern) approve(owner int, proposal uint64) {
	g.t.Helper()
	g.run(nil, "govern", "approve", fmt.Sprint(proposal), "--home", g.home(g.owners[owner]), "--node", g.apis[owner])
}

// deposit is what a node says that orders put down.
func (g *govern) deposit(node int) string {
	g.t.Helper()
	var sheet struct {
		Parameters []consensus.Parameter
	}
	g.run(&sheet, "state", "parameters", "--node", g.apis[node])
	for _, p := range sheet.Parameters {
		if p.Name == "orderDeposit" {
			return p.Value
		}
	}
	g.t.Fatal("state parameters lists no orderDeposit")
	return ""
}

// events reads what a node's updates up to a height say of proposals: when each
// was adopted, and when and how it ended.
func (g *govern) events(node int, upTo chain.Height) (out []string) {
	g.t.Helper()
	c := rpc.New(g.apis[node])
	defer c.Close()
	err := c.Follow(g.ctx, 1, func(u *consensus.Update) error {
		for i := range u.Events {
			switch e := &u.Events[i]; e.Kind {
			case consensus.EventAdopted, consensus.EventProposalEnded:
				out = append(out, fmt.Sprintf("%d %s %d %s", u.Height, e.Kind, e.Index, e.Reason))
			}
		}
		if u.Height >= upTo {
			return errReady
		}
		return nil
	})
	if !errors.Is(err, errReady) {
		g.t.Fatal(err)
	}
	return out
}

// placeBid places an order and returns it.
func (g *govern) placeBid(node int) (o chain.Order) {
	g.t.Helper()
	var sent struct{ ID uint64 }
	g.run(&sent, "market", "bid", "--piece", "baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq", "--padded-size", "2KiB",
		"--root", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "--peer", "12D3KooWHemf4i8dw9E1jutiFBm12rvAEntAsdRmUXFkEMv6H74J",
		"--duration", "100", "--max-price", "1", "--home", g.home("client"), "--node", g.apis[node])
	c := rpc.New(g.apis[node])
	defer c.Close()
	if ok, err := c.Record(g.ctx, chain.OrderKey(sent.ID), &o); err != nil || !ok {
		g.t.Fatalf("order %d: %v, %v", sent.ID, ok, err)
	}
	return o
}

// TestE2EGovern changes a parameter of a chain of four validators, each a process
// of its own owner, with the commands that people type: half of the votes are not
// enough, three quarters are, and from the height on, not before, every node has
// the new value and takes orders by it. A node that was away meanwhile gets it too.
func TestE2EGovern(t *testing.T) {
	endToEnd(t)
	w := newTown(t)
	g := &govern{town: w, owners: []string{"owner0", "owner1", "owner2", "owner3"}}
	var accounts []string
	for _, name := range append(g.owners, "client") {
		accounts = append(accounts, w.newWallet(name))
	}
	w.rewards = accounts[:4]
	w.startNodes(4, accounts...)
	was, now := g.deposit(0), chain.Atto(chain.AttoPerPDR/500).String()

	half := w.height(0) + chain.Height(consensus.Devnet().Notice()) + 120
	most := half + 4
	short := g.propose(0, "0.003PDR", half)
	g.approve(1, short)
	enough := g.propose(0, "0.002PDR", most)
	g.approve(1, enough)
	w.nodes[3].kill()
	g.approve(2, enough)

	rightFrom := func(o chain.Order) {
		t.Helper()
		want := was
		if o.Placed >= most {
			want = now
		}
		if o.Deposit.String() != want {
			t.Errorf("the order of height %d puts down %s, want %s: the change is for %d", o.Placed, o.Deposit, want, most)
		}
	}
	rightFrom(g.placeBid(1))
	if got := g.deposit(1); got != was && w.height(1) < most-1 {
		t.Errorf("the deposit is %s before height %d, want %s", got, most, was)
	}
	for i := range 3 {
		w.reach(i, most)
	}
	w.restart(w.nodes[3])
	w.reach(3, most)
	for i := range w.nodes {
		if got := g.deposit(i); got != now {
			t.Errorf("node %d: the deposit is %s, want %s", i, got, now)
		}
	}
	rightFrom(g.placeBid(1))
	last := w.height(0)
	for i := range w.nodes {
		w.reach(i, last)
	}
	first := g.events(0, last)
	if len(first) != 3 || !strings.HasSuffix(first[0], fmt.Sprintf(" adopted %d ", enough)) ||
		first[1] != fmt.Sprintf("%d proposalEnded %d not adopted", half-1, short) ||
		first[2] != fmt.Sprintf("%d proposalEnded %d in force", most-1, enough) {
		t.Errorf("what became of the proposals: %q", first)
	}
	for i := 1; i < len(w.nodes); i++ {
		if got := g.events(i, last); strings.Join(got, "\n") != strings.Join(first, "\n") {
			t.Errorf("node %d tells of the proposals %q, node 0 %q", i, got, first)
		}
	}
	w.sameHashes(last)
}
