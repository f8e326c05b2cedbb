package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/wallet"
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

// changeVotes gives the first miner a consensus key and returns when it votes,
// although no node of its own runs: the others have more than two thirds.
func (s *session) changeVotes(w *devnet.World) {
	s.t.Helper()
	miner := w.Miners[0]
	key, err := devnet.Keystore(miner.Home).Key(miner.Owner)
	s.must(err)
	node := w.Network.Client(0)
	defer node.Close()
	sender, err := wallet.NewSender(node, key, chain.Amount{})
	s.must(err)
	var m chain.Miner
	_, err = node.Record(s.ctx, chain.MinerKey(miner.ID), &m)
	s.must(err)
	seed := sha256.Sum256([]byte("consensus key"))
	secret := ed25519.NewKeyFromSeed(seed[:])
	keys := m.Keys
	keys.ConsensusKey = secret.Public().(ed25519.PublicKey)
	keys.ConsensusProof = ed25519.Sign(secret, consensus.VoteKeyMessage(w.Params.ChainID, keys.Owner, keys.Worker))
	sent, err := sender.Send(s.ctx, &chain.UpdateMiner{Miner: miner.ID, Keys: &keys})
	s.must(err)
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
}

func (s *session) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
