package main

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	chainnode "github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/internal/devnet"
)

// light runs commands that believe no node.
func (s *session) light(w *devnet.World, root string) {
	var made struct{ Header string }
	s.object(&made, "state", "proof", "global", "-o", filepath.Join(s.t.TempDir(), "proof"))
	with := func(args ...string) []string { return append(args, "--light", "--witness", w.Nodes[1].API()) }
	if _, problems, code := s.try(with("wallet", "balance")...); code != exitFailed || !strings.Contains(problems, "give one with --trust") {
		s.t.Errorf("light without trust: exit code %d, %s", code, problems)
	}
	if _, problems, code := s.try("wallet", "balance", "--light", "--trust", made.Header); code != exitUsage || !strings.Contains(problems, "no witness") {
		s.t.Errorf("light without a witness: exit code %d, %s", code, problems)
	}
	var balance struct{ Balance string }
	s.object(&balance, with("wallet", "balance", "--trust", made.Header)...)
	if balance.Balance == "" || balance.Balance == "0" {
		s.t.Errorf("balance is %q", balance.Balance)
	}
	var deal struct{ Value struct{ State string } }
	s.object(&deal, with("state", "get", "deal/1")...) // the header is remembered
	if deal.Value.State != "active" {
		s.t.Errorf("deal 1 is %+v", deal)
	}
	var sent struct{ Height uint64 }
	s.object(&sent, with("wallet", "send", "t01000", "1PDR")...)
	if sent.Height == 0 {
		s.t.Error("a transfer has no height")
	}
	if _, problems, code := s.try(with("status")...); code != 0 || !strings.Contains(problems, "not verified: ") {
		s.t.Errorf("light status: exit code %d, %q", code, problems)
	}
	if _, problems, code := s.try(with("miner", "run")...); code != exitUsage || !strings.Contains(problems, "--light is for clients") {
		s.t.Errorf("light miner: exit code %d, %q", code, problems)
	}
	out := filepath.Join(s.t.TempDir(), "out")
	s.run(with("get", root, "-o", out)...)
	in := filepath.Join(s.t.TempDir(), "in")
	if err := os.WriteFile(in, []byte(strings.Repeat("light ", 50)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.run(with("put", in, "--copies", "1", "--yes")...)
	s.changeVotes(w)
	s.run(with("wallet", "balance")...) // from the header that was remembered before
	file := filepath.Join(s.t.TempDir(), "proof")
	s.run("state", "proof", "miner/t01000", "-o", file, "--trust", made.Header)
	s.run("state", "verify", file, "--trust", made.Header)
}

// changeVotes gives the first miner the keys of a node and returns when it votes,
// although that node does not run: the others have more than two thirds.
func (s *session) changeVotes(w *devnet.World) {
	s.t.Helper()
	home := s.t.TempDir()
	own, err := chainnode.Init(home)
	s.must(err)
	client, miner := &session{s.t, s.ctx, s.node, s.home}, &session{s.t, s.ctx, s.node, w.Miners[0].Home}
	for want, args := range map[string][]string{
		"its owner is":           {"--miner", "t01000", "--validator", home},
		"no such miner":          {"--miner", "t01009", "--validator", home},
		"none in --home":         {"--validator", home},
		"key file":               {"--miner", "t01000", "--wallet", miner.home, "--validator", filepath.Join(home, "nowhere")},
		"registered already":     {"--miner", "t01000", "--wallet", miner.home, "--validator", filepath.Join(filepath.Dir(s.home), "node0")},
		"--light is for":         {"--miner", "t01000", "--validator", home, "--light"},
		`flag(s) "validator"`:    {"--miner", "t01000"},
		"owner's wallet " + home: {"--miner", "t01000", "--wallet", home, "--validator", home},
	} {
		if _, problems, code := client.try(append([]string{"miner", "keys", "set"}, args...)...); code == 0 || !strings.Contains(problems, want) {
			s.t.Errorf("miner keys set %q: exit code %d, %q, want %q", args, code, problems, want)
		}
	}
	var sent struct {
		Miner, ConsensusKey string
		Height, ActsAt      chain.Height
	}
	miner.object(&sent, "miner", "keys", "set", "--validator", home)
	if least := sent.Height + chain.Height(2*w.Params.VoteEpoch); sent.Miner != "t01000" || sent.ActsAt != least || sent.ConsensusKey != hex.EncodeToString(own.ConsensusKey) {
		s.t.Errorf("miner keys set answers %+v, want height %d and key %x", sent, least, own.ConsensusKey)
	}
	if _, problems, code := miner.try("miner", "keys", "set", "--validator", home); code != exitFailed || !strings.Contains(problems, "vote keys already") {
		s.t.Errorf("the same keys again: exit code %d, %s", code, problems)
	}
	node := w.Network.Client(0)
	defer node.Close()
	voting := errors.New("voting")
	var from chain.Height
	err = node.Follow(s.ctx, sent.Height, func(u *consensus.Update) error {
		for i := range u.Events {
			if u.Events[i].Kind == consensus.EventVotesChanged {
				from = chain.Height(u.Events[i].Index)
			}
		}
		if from != 0 && u.Height > from+1 {
			return voting
		}
		return nil
	})
	if !errors.Is(err, voting) {
		s.t.Fatalf("wait for another vote set: %v", err)
	}
	var validators struct {
		Items []struct{ Miner, ConsensusKey string }
	}
	s.must(node.JSON(s.ctx, "/v1/validators", &validators))
	if !slices.ContainsFunc(validators.Items, func(v struct{ Miner, ConsensusKey string }) bool {
		return v.Miner == "t01000" && v.ConsensusKey == sent.ConsensusKey
	}) {
		s.t.Errorf("validators are %+v, t01000 votes with %s", validators, sent.ConsensusKey)
	}
}

func (s *session) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
