package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/internal/devnet"
)

// session runs command lines against a network.
type session struct {
	t    *testing.T
	ctx  context.Context
	node string
	home string
}

// run runs a command line, which must succeed, and returns what it wrote.
func (s *session) run(args ...string) string {
	s.t.Helper()
	out, problems, code := s.try(args...)
	if code != 0 {
		s.t.Fatalf("perdure %q: exit code %d: %s", args, code, problems)
	}
	return out
}

func (s *session) try(args ...string) (out, problems string, code int) {
	var stdout, stderr bytes.Buffer
	root := newRoot()
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	code = execute(s.ctx, root, append([]string{"--node", s.node, "--home", s.home}, args...))
	return stdout.String(), stderr.String(), code
}

// object runs a command line with --json and reads its one object.
func (s *session) object(into any, args ...string) {
	s.t.Helper()
	out := s.run(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		s.t.Fatalf("perdure %q: %v in %q", args, err, out)
	}
}

// TestDevnet stores a file and fetches it back by command lines, on a network
// with 2 KiB sectors, and looks at everything on the way.
func TestDevnet(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	params := consensus.Devnet()
	params.BlockMillis = 100
	params.ActivateBy, params.FetchBy = 3000, 2000 // blocks are many times quicker than work is
	params.EvidenceAge, params.TrustPeriod, params.Unbonding, params.EndedRetention = 10_000, 6_000, 10_000, 20_000
	dir, err := os.MkdirTemp("", "devnet-*")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := devnet.Remove(dir); err != nil {
			t.Error(err)
		}
	}()
	w, err := devnet.StartWorld(ctx, devnet.WorldOptions{
		Options: devnet.Options{Dir: dir, Validators: 2, Params: params, EngineLog: "none"}, Miners: 2, SectorSize: 2 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	t.Setenv(passphraseEnv, devnet.Passphrase)
	s := &session{t: t, ctx: ctx, node: w.Nodes[0].API(), home: w.Wallet}
	root := s.storeAndFetch()
	s.look(root)
	s.answers(w)
	s.trade(w)
	s.light(w, root)
}

// storeAndFetch returns the root of what it stored.
func (s *session) storeAndFetch() string {
	dir := s.t.TempDir()
	content := []byte(strings.Repeat("perdure ", 100))
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	var stored struct{ RootCID, Root string }
	s.object(&stored, "put", in, "--copies", "2", "--yes")
	root := stored.RootCID
	if root == "" {
		s.t.Fatal("put names no rootCid")
	}
	s.run("get", root, "-o", out)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, content) {
		s.t.Fatalf("fetched %q, %v", got, err)
	}
	if list := s.run("ls"); !strings.Contains(list, root) {
		s.t.Errorf("ls does not show %s: %s", root, list)
	}
	if _, problems, code := s.try("get", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "-o", out+"2"); code != exitFailed {
		s.t.Errorf("get of what nobody stores: exit code %d, %s", code, problems)
	}
	return root
}

// look reads everything that there is to read.
func (s *session) look(root string) {
	var deals struct {
		Items []struct {
			ID           uint64
			Miner, State string
			Sector       uint64
		}
	}
	s.object(&deals, "market", "deals", "--root", root)
	if len(deals.Items) != 2 || deals.Items[0].State != "active" || deals.Items[0].Miner == deals.Items[1].Miner {
		s.t.Errorf("deals are %+v", deals)
	}
	var sectors struct{ Items []struct{ State string } }
	s.object(&sectors, "miner", "sectors", "t01000")
	if len(sectors.Items) != 1 || sectors.Items[0].State != "active" {
		s.t.Errorf("sectors are %+v", sectors)
	}
	for _, args := range [][]string{{"status"}, {"chain", "head"}, {"chain", "block", "1"}, {"market", "book"}, {"miner", "deadlines", "t01001"},
		{"state", "get", "global"}, {"state", "get", "sector/t01000/1"}, {"channel", "list"}, {"wallet", "balance"}} {
		var any map[string]any
		s.object(&any, args...)
		if len(any) == 0 {
			s.t.Errorf("perdure %q says nothing", args)
		}
		s.run(args...)
	}
	s.prove()
}

// prove writes proofs to files and checks them offline.
func (s *session) prove() {
	file := filepath.Join(s.t.TempDir(), "proof")
	type shown struct {
		Path, AppHash, Header string
		Exists                bool
		Value                 map[string]any
	}
	var made, checked shown
	s.object(&made, "state", "proof", "miner", "t01000", "-o", file)
	if !made.Exists || made.Path != "miner/t01000" || made.Value["id"] != "t01000" {
		s.t.Errorf("proof of a miner shows %+v", made)
	}
	s.object(&checked, "state", "verify", file, "miner/t01000", "--trust", made.Header)
	if checked.AppHash != made.AppHash || checked.Value["id"] != "t01000" {
		s.t.Errorf("the file shows %+v, want %+v", checked, made)
	}
	s.run("state", "verify", file, "--app-hash", made.AppHash)
	garbage := filepath.Join(s.t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	wrong := strings.Replace(made.Header, ":", ":0", 1)
	for want, args := range map[string][]string{
		"found one of miner/t01000":       {file, "deal/1", "--trust", made.Header},
		"expected hash":                   {file, "--trust", wrong[:len(wrong)-1]},
		"has no way to it":                {file, "--trust", "1:" + strings.Repeat("00", 32)},
		"it stands under app hash":        {file, "--app-hash", "01711220" + strings.Repeat("00", 32)},
		"not a proof bundle":              {garbage, "--trust", made.Header},
		"give what you trust":             {file},
		"want HEIGHT:HASH, the hash with": {file, "--trust", "12"},
	} {
		if _, problems, code := s.try(append([]string{"state", "verify"}, args...)...); code == 0 || !strings.Contains(problems, want) {
			s.t.Errorf("verify %q: exit code %d, %q, want %q", args, code, problems, want)
		}
	}
	earlier := made.Header
	s.object(&made, "state", "proof", "deal/1", "-o", file, "--trust", earlier)
	s.object(&checked, "state", "verify", file, "--trust", earlier)
	if checked.Path != "deal/1" || !checked.Exists || checked.Header != made.Header {
		s.t.Errorf("from an earlier header the file shows %+v, want %+v", checked, made)
	}
}

// trade moves money and orders.
func (s *session) trade(w *devnet.World) {
	var sent struct {
		Hash   string
		Height uint64
	}
	voter := &session{s.t, s.ctx, s.node, s.t.TempDir()}
	genesis := filepath.Join(filepath.Dir(s.home), "node0")
	if _, problems, code := voter.try("miner", "init", "--wallet", s.home, "--sector-size", "2KiB", "--validator", genesis); code != exitFailed ||
		!strings.Contains(problems, "registered already") {
		s.t.Errorf("a miner with the keys of a genesis validator: exit code %d, %s", code, problems)
	}
	s.object(&sent, "wallet", "send", "t01000", "1.5PDR")
	var message struct{ Code, Kind string }
	s.object(&message, "chain", "message", sent.Hash)
	if message.Code != "ok" || message.Kind != "Transfer" {
		s.t.Errorf("message %s is %+v", sent.Hash, message)
	}
	var bid struct{ ID uint64 }
	s.object(&bid, "market", "bid", "--piece", "baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq", "--padded-size", "2KiB",
		"--root", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "--peer", "12D3KooWHemf4i8dw9E1jutiFBm12rvAEntAsdRmUXFkEMv6H74J",
		"--duration", "100", "--max-price", "1")
	s.run("market", "cancel", jsonNumber(bid.ID))
	if _, problems, code := s.try("market", "cancel", jsonNumber(bid.ID)); code != exitFailed || !strings.Contains(problems, "no order") {
		s.t.Errorf("cancel twice: exit code %d, %s", code, problems)
	}
	miner := &session{s.t, s.ctx, s.node, w.Miners[0].Home}
	var placed struct{ ID uint64 }
	miner.object(&placed, "market", "ask", "--miner", "t01000", "--price", "9", "--capacity", "2KiB", "--collateral", "1000")
	miner.run("market", "cancel", jsonNumber(placed.ID))
	var offer struct{ Running bool }
	miner.object(&offer, "miner", "ask", "set", "--price", "5")
	if !offer.Running {
		s.t.Error("the running miner was not told of its new offer")
	}
}

func jsonNumber(n uint64) string {
	raw, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	return string(raw)
}
