package node

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestEquivocation: a validator with a tenth of the votes signs two blocks of
// one height. The engine checks the evidence and puts it into a block; two heights
// later the validator has no votes, in the rules and in the engine, and the key
// is guilty for good.
func TestEquivocation(t *testing.T) {
	home, other := tempDir(t), tempDir(t)
	p := consensus.Devnet()
	p.ChainID, p.BlockMillis = "evidence-1", 100
	who, err := chain.AddressOfKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	g := &consensus.Genesis{Params: *p, Accounts: []consensus.GenesisAccount{
		{Address: chain.FormatAddress(who, p.Network), Balance: chain.PDR(100)}}}
	for i, dir := range []string{home, other} {
		id, err := Init(dir)
		if err != nil {
			t.Fatal(err)
		}
		g.Validators = append(g.Validators, id.Validator([]uint64{9, 1}[i], who, p.Network))
	}
	doc, err := MakeGenesis(g, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveGenesis(home, doc); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.API, c.RPC, c.P2P = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	n, stop := run(t, Options{Home: home, Config: &c})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	waitFor(t, ctx, n, 3)
	guilty, err := loadKeys(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.comet.EvidencePool().AddEvidence(twoVotes(t, n, guilty, p.ChainID, 2)); err != nil {
		t.Fatal(err)
	}
	address := consensus.ConsensusAddress(guilty.sign.Key.PubKey.Bytes())
	var key chain.VoteKey
	for h := chain.Height(4); key.Guilty == 0; h++ {
		waitFor(t, ctx, n, h)
		raw, err := n.Record(chain.VoteKeyKey(address))
		if err != nil {
			t.Fatal(err)
		}
		if err := chain.Decode(raw, &key); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, ctx, n, key.Guilty+3)
	block := n.comet.BlockStore().LoadBlock(int64(key.Guilty))
	if len(block.Evidence.Evidence) != 1 {
		t.Errorf("the block of height %d holds %d pieces of evidence", key.Guilty, len(block.Evidence.Evidence))
	}
	for h, want := range map[chain.Height]int{key.Guilty + 1: 2, key.Guilty + 2: 1} {
		header := n.comet.BlockStore().LoadBlockMeta(int64(h)).Header
		set := types.NewValidatorSet(nil)
		for i, v := range []string{home, other}[:want] {
			k, err := loadKeys(v)
			if err != nil {
				t.Fatal(err)
			}
			if err := set.UpdateWithChangeSet([]*types.Validator{types.NewValidator(k.sign.Key.PubKey, []int64{9, 1}[i])}); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(header.ValidatorsHash, set.Hash()) {
			t.Errorf("height %d, evidence came at %d: not %d validators", h, key.Guilty, want)
		}
	}
	voters, err := consensus.Voters(n.Store().View(), n.Store().View().Height())
	if err != nil || len(voters) != 1 || bytes.Equal(voters[0].PubKey, guilty.sign.Key.PubKey.Bytes()) {
		t.Errorf("voters are %v, %v", voters, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// waitFor waits until a node has committed a height.
func waitFor(t *testing.T, ctx context.Context, n *Node, h chain.Height) {
	t.Helper()
	for {
		changed := n.Store().Changed()
		if v := n.Store().View(); v != nil && v.Height() >= h {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("wait for height %d: %v", h, ctx.Err())
		}
	}
}

// twoVotes are precommits for two blocks of a height, signed by one validator.
func twoVotes(t *testing.T, n *Node, k *keys, chainID string, h int64) *types.DuplicateVoteEvidence {
	t.Helper()
	set, err := n.comet.ConfigureRPC()
	if err != nil {
		t.Fatal(err)
	}
	validators, err := set.StateStore.LoadValidators(h)
	if err != nil {
		t.Fatal(err)
	}
	at := n.comet.BlockStore().LoadBlockMeta(h).Header.Time
	index, _ := validators.GetByAddress(k.sign.Key.Address)
	var votes []*types.Vote
	for _, block := range []string{"one", "two"} {
		vote := &types.Vote{Type: cmtproto.PrecommitType, Height: h, Timestamp: at, ValidatorAddress: k.sign.Key.Address, ValidatorIndex: index,
			BlockID: types.BlockID{Hash: tmhash.Sum([]byte(block)), PartSetHeader: types.PartSetHeader{Total: 1, Hash: tmhash.Sum([]byte(block))}}}
		if vote.Signature, err = k.sign.Key.PrivKey.Sign(types.VoteSignBytes(chainID, vote.ToProto())); err != nil {
			t.Fatal(err)
		}
		votes = append(votes, vote)
	}
	evidence, err := types.NewDuplicateVoteEvidence(votes[0], votes[1], at, validators)
	if err != nil {
		t.Fatal(err)
	}
	return evidence
}
