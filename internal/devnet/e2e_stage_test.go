package devnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/miner"
)

// endToEnd skips a scenario unless `make e2e` asks for it.
func endToEnd(t *testing.T) {
	t.Helper()
	if os.Getenv("PERDURE_E2E") == "" {
		t.Skip("set PERDURE_E2E=1, or run make e2e")
	}
}

// stage is a gated network of one validator with miners, seen by a test.
type stage struct {
	*World
	t     *testing.T
	ctx   context.Context
	chain *rpc.Client
}

// stageParams are devnet's with more time, in blocks, for what the client and
// the miners do in seconds.
func stageParams() *consensus.Params {
	p := consensus.Devnet()
	p.FetchBy, p.ActivateBy = 2_000, 4_000
	return p
}

// setStage starts a gated network with miners of 2 KiB sectors.
func setStage(t *testing.T, miners int) *stage {
	t.Helper()
	return setStageWith(t, miners, stageParams())
}

func setStageWith(t *testing.T, miners int, p *consensus.Params) *stage {
	t.Helper()
	return setStageOf(t, WorldOptions{Miners: miners}, p)
}

// setStageOf is setStage with other options of the world.
func setStageOf(t *testing.T, o WorldOptions, p *consensus.Params) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	o.Dir, o.Params, o.Gated, o.SectorSize = dirOf(t), p, true, 2<<10
	if os.Getenv("PERDURE_E2E_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	w, err := StartWorld(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{World: w, t: t, ctx: ctx, chain: w.Network.Client(0)}
	t.Cleanup(func() {
		s.chain.Close()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// pace is how long a gated block waits at most for what is looked for, so that
// client and miners, who work in seconds, keep up with the chain.
const (
	pace   = 40 * time.Millisecond
	glance = 4 * time.Millisecond
)

// until makes blocks until cond holds, which is looked at between the blocks.
func (s *stage) until(what string, cond func() bool) {
	s.t.Helper()
	for !s.holds(cond) {
		if err := s.Advance(s.ctx, 1); err != nil {
			s.t.Fatalf("%s: %v", what, err)
		}
		s.caughtUp()
	}
	s.t.Logf("%s: height %d", what, s.Height())
}

// holds reports whether cond holds within the pace of a block.
func (s *stage) holds(cond func() bool) bool {
	for end := time.Now().Add(pace); ; time.Sleep(glance) {
		if cond() {
			return true
		}
		if !time.Now().Before(end) {
			return false
		}
	}
}

// caughtUp returns when every miner has taken in the last block.
func (s *stage) caughtUp() {
	s.t.Helper()
	for _, m := range s.Miners {
		for m.Running() && s.minerHeight(m) < s.Height() {
			if s.ctx.Err() != nil {
				s.t.Fatalf("miner %d is at %d of %d: %v", m.ID, s.minerHeight(m), s.Height(), s.ctx.Err())
			}
			time.Sleep(glance)
		}
	}
}

// blocks makes n blocks.
func (s *stage) blocks(n int) {
	s.t.Helper()
	end := s.Height() + chain.Height(n)
	s.until(fmt.Sprintf("%d blocks", n), func() bool { return s.Height() >= end })
}

// ask reads JSON of a miner's own API.
func (s *stage) ask(m *Miner, path string, into any) {
	s.t.Helper()
	resp, err := http.Get("http://" + m.daemon.StatusAddr() + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) minerHeight(m *Miner) chain.Height {
	var info struct{ Height chain.Height }
	s.ask(m, "/v1/status", &info)
	return info.Height
}

// minerDeal is a miner's own record of a deal, nil if it has none.
func (s *stage) minerDeal(m *Miner, id uint64) *miner.Deal {
	var all struct{ Items []*miner.Deal }
	s.ask(m, "/v1/deals", &all)
	for _, d := range all.Items {
		if d.ID == id {
			return d
		}
	}
	return nil
}

// minerSectors are a miner's own records of its sectors.
func (s *stage) minerSectors(m *Miner) []*miner.Sector {
	var all struct{ Items []*miner.Sector }
	s.ask(m, "/v1/sectors", &all)
	return all.Items
}

// record reads a record that must be there.
func record[T any, P interface {
	*T
	chain.CBOR
}](s *stage, k chain.Key) *T {
	s.t.Helper()
	v, ok := find[T, P](s, k)
	if !ok {
		s.t.Fatalf("no record %s %x", k.Table, k.ID)
	}
	return v
}

// find reads a record if it is there.
func find[T any, P interface {
	*T
	chain.CBOR
}](s *stage, k chain.Key) (*T, bool) {
	s.t.Helper()
	v := new(T)
	ok, err := s.chain.Record(s.ctx, k, P(v))
	if err != nil {
		s.t.Fatal(err)
	}
	return v, ok
}

func (s *stage) global() *chain.Global         { return record[chain.Global](s, chain.GlobalKey()) }
func (s *stage) deal(id uint64) *chain.Deal    { return record[chain.Deal](s, chain.DealKey(id)) }
func (s *stage) minerOf(m *Miner) *chain.Miner { return record[chain.Miner](s, chain.MinerKey(m.ID)) }
func (s *stage) active(id uint64) func() bool {
	return func() bool { return s.deal(id).State == chain.DealActive }
}

func (s *stage) sector(m *Miner, number uint64) *chain.Sector {
	return record[chain.Sector](s, chain.SectorKey(m.ID, number))
}

func (s *stage) account(a chain.Address) *chain.Account {
	s.t.Helper()
	acc, err := s.chain.Account(s.ctx, a)
	if err != nil {
		s.t.Fatal(err)
	}
	return acc
}

// sender signs with the key of a home.
func (s *stage) sender(home string) *wallet.Sender {
	s.t.Helper()
	keys := Keystore(home)
	a, err := keys.Default()
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := keys.Key(a)
	if err != nil {
		s.t.Fatal(err)
	}
	sender, err := wallet.NewSender(s.chain, key, chain.Amount{})
	if err != nil {
		s.t.Fatal(err)
	}
	return sender
}

// send posts a message and makes one block, which has it.
func (s *stage) send(from *wallet.Sender, body chain.Body) *wallet.Inclusion {
	s.t.Helper()
	hash, err := from.Post(s.ctx, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.Advance(s.ctx, 1); err != nil {
		s.t.Fatal(err)
	}
	in, err := s.chain.Await(s.ctx, hash)
	if err != nil {
		s.t.Fatal(err)
	}
	return in
}

// errRead ends the reading of the chain's history.
var errRead = errors.New("read")

// history is every Update so far.
func (s *stage) history() []*consensus.Update {
	s.t.Helper()
	var all []*consensus.Update
	last := s.Height()
	err := s.chain.Follow(s.ctx, 1, func(u *consensus.Update) error {
		if all = append(all, u); u.Height == last {
			return errRead
		}
		return nil
	})
	if !errors.Is(err, errRead) {
		s.t.Fatal(err)
	}
	return all
}

// events are those of the history that are of a kind, oldest first.
func (s *stage) events(kind consensus.EventKind, of func(*consensus.Event) bool) []consensus.Event {
	s.t.Helper()
	var out []consensus.Event
	for _, u := range s.history() {
		for i := range u.Events {
			if e := &u.Events[i]; e.Kind == kind && of(e) {
				out = append(out, *e)
			}
		}
	}
	return out
}

// checkMoney sums every record that holds money and compares with the supply.
func checkMoney(t *testing.T, tree *state.Tree) {
	t.Helper()
	g, err := tree.Global()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Supply.Check(); err != nil {
		t.Error(err)
	}
	var free, locked []chain.Amount
	each(t, tree, chain.TableAccount, func(a *chain.Account) { free = append(free, a.Balance) })
	each(t, tree, chain.TableMiner, func(m *chain.Miner) {
		free = append(free, m.Balance)
		locked = append(locked, m.Deposits, m.Pledge)
	})
	each(t, tree, chain.TableOrder, func(o *chain.Order) { locked = append(locked, o.Locked, o.Deposit) })
	each(t, tree, chain.TableChannel, func(c *chain.Channel) { locked = append(locked, c.Balance) })
	each(t, tree, chain.TableDeal, func(d *chain.Deal) { locked = append(locked, heldBy(d)...) })
	for _, c := range []struct {
		name string
		in   []chain.Amount
		want chain.Amount
	}{{"accounts", free, g.Supply.Accounts}, {"locked", locked, g.Supply.Locked}} {
		if sum, err := chain.Sum(c.in...); err != nil || sum != c.want {
			t.Errorf("%s hold %s, the supply says %s, %v", c.name, sum, c.want, err)
		}
	}
}

// each decodes every record of a table.
func each[T any, P interface {
	*T
	chain.CBOR
}](t *testing.T, tree *state.Tree, table chain.Table, visit func(*T)) {
	t.Helper()
	err := tree.ForEach(table, func(_ string, raw []byte) error {
		v := new(T)
		if err := chain.Decode(raw, P(v)); err != nil {
			return err
		}
		visit(v)
		return nil
	})
	if err != nil {
		t.Fatalf("read table %s: %v", table, err)
	}
}

// sameState compares the app hashes of running nodes at a height.
func sameState(t *testing.T, n *Network, h chain.Height) {
	t.Helper()
	var first []byte
	for i, d := range n.Nodes {
		tree, err := d.Store().At(h)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = tree.AppHash()
		}
		if !bytes.Equal(first, tree.AppHash()) {
			t.Errorf("height %d: node %d has another app hash", h, i)
		}
	}
}

// heldBy is what a deal keeps locked.
func heldBy(d *chain.Deal) []chain.Amount {
	return []chain.Amount{d.Unspent, d.Collateral, d.ClientDeposit, d.MinerDeposit}
}

// proven is how many accepted window proofs cover a sector.
func (s *stage) proven(m *Miner, number uint64) int {
	s.t.Helper()
	return len(s.events(consensus.EventSectorProven, func(e *consensus.Event) bool { return e.Miner == m.ID && e.Sector == number }))
}

// check looks at what must hold whatever happened.
func (s *stage) check() {
	s.t.Helper()
	h := s.Height()
	sameState(s.t, s.Network, h)
	tree, err := s.Nodes[0].Store().At(h)
	if err != nil {
		s.t.Fatal(err)
	}
	checkMoney(s.t, tree)
}
