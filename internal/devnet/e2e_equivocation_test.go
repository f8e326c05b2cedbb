package devnet

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	rpchttp "github.com/cometbft/cometbft/rpc/client/http"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestE2EStorageEquivocation: a miner that votes with sectors that it has really
// sealed signs two blocks of one height. Somebody hands the evidence to a node's
// JSON-RPC, as a light client does; the engine checks it and puts it into a block.
// A share of the miner's pledge is burned, its votes are gone two heights later in
// rules and engine, and they never come back, though it still proves its sectors.
func TestE2EStorageEquivocation(t *testing.T) {
	endToEnd(t)
	p := quick()
	p.BlockMillis, p.VoteEpoch = 200, 10
	e := newElectorate(t, 5*time.Minute, WorldOptions{Options: Options{Dir: dirOf(t), Params: p, EngineLog: "none", Followers: 2}, Miners: 2, Voting: true,
		Commit: 2, SectorSize: 2 << 10})
	w, ctx := e.World, e.ctx
	e.until("genesis and two miners", 2, 3)

	bad, offence := w.Miners[0].ID, w.Height()
	before := e.miner(bad)
	evidence := e.twoVotes(w.home(w.nodeOf(0)), int64(offence))
	e.report(evidence)
	convicted, burned := e.conviction(bad, offence)
	slash, err := before.Pledge.MulDivCeil(p.SlashShare, 100)
	if err != nil || slash.IsZero() || burned != slash {
		t.Errorf("a pledge of %s lost %s, want %s (%v)", before.Pledge, burned, slash, err)
	}
	after := e.miner(bad)
	if after.Guilty != convicted || after.Voting || after.Power == 0 {
		t.Errorf("convicted at %d: %+v", convicted, after)
	}
	if err := e.reach(ctx, 0, convicted+2); err != nil {
		t.Fatal(err)
	}
	who := evidence.VoteA.ValidatorAddress.String()
	for h, want := range map[chain.Height]bool{convicted + 1: true, convicted + 2: false} {
		if got := e.engineVotes(h)[who] != 0; got != want {
			t.Errorf("height %d, convicted at %d: the engine counts its votes: %v", h, convicted, got)
		}
	}

	later := convicted + chain.Height(4*p.VoteEpoch)
	for next := convicted + 3; next <= later; next++ {
		if err := e.reach(ctx, 0, next); err != nil {
			t.Fatal(err)
		}
		if e.engineVotes(next)[who] != 0 {
			t.Fatalf("height %d: it votes again", next)
		}
	}
	if m := e.miner(bad); m.Power != after.Power || m.Voting {
		t.Errorf("four vote epochs later: %+v", m)
	}
	e.until("the others", 1, 2)
	sameHashes(t, w.Network, later-1)
}

// miner is a miner's record as the first node has it.
func (e *electorate) miner(id chain.MinerID) (m chain.Miner) {
	e.t.Helper()
	c := e.Network.Client(0)
	defer c.Close()
	if ok, err := c.Record(e.ctx, chain.MinerKey(id), &m); err != nil || !ok {
		e.t.Fatalf("miner %d: %v, %v", id, ok, err)
	}
	return m
}

// engine is a client of the first node's JSON-RPC.
func (e *electorate) engine() *rpchttp.HTTP {
	e.t.Helper()
	c, err := rpchttp.New(e.Nodes[0].RPC(), "/websocket")
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// twoVotes are precommits for two blocks of a height, signed with the consensus
// key of a node's home.
func (e *electorate) twoVotes(home string, h int64) *types.DuplicateVoteEvidence {
	e.t.Helper()
	c := e.engine()
	all, err := c.Validators(e.ctx, &h, nil, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	header, err := c.Header(e.ctx, &h)
	if err != nil {
		e.t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(home, "comet", "config", "priv_validator_key.json"))
	if err != nil {
		e.t.Fatal(err)
	}
	var key privval.FilePVKey
	if err := cmtjson.Unmarshal(raw, &key); err != nil {
		e.t.Fatal(err)
	}
	set := types.NewValidatorSet(all.Validators)
	index, _ := set.GetByAddress(key.Address)
	var votes []*types.Vote
	for _, block := range []string{"one", "two"} {
		v := &types.Vote{Type: cmtproto.PrecommitType, Height: h, Timestamp: header.Header.Time, ValidatorAddress: key.Address, ValidatorIndex: index,
			BlockID: types.BlockID{Hash: tmhash.Sum([]byte(block)), PartSetHeader: types.PartSetHeader{Total: 1, Hash: tmhash.Sum([]byte(block))}}}
		if v.Signature, err = key.PrivKey.Sign(types.VoteSignBytes(e.Params.ChainID, v.ToProto())); err != nil {
			e.t.Fatal(err)
		}
		votes = append(votes, v)
	}
	out, err := types.NewDuplicateVoteEvidence(votes[0], votes[1], header.Header.Time, set)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// report hands evidence to the first node, which refuses it with a signature changed.
func (e *electorate) report(evidence *types.DuplicateVoteEvidence) {
	e.t.Helper()
	c := e.engine()
	forged, vote := *evidence, *evidence.VoteA
	vote.Signature = append([]byte{vote.Signature[0] ^ 1}, vote.Signature[1:]...)
	forged.VoteA = &vote
	if _, err := c.BroadcastEvidence(e.ctx, &forged); err == nil {
		e.t.Error("evidence with a wrong signature is taken")
	}
	if _, err := c.BroadcastEvidence(e.ctx, evidence); err != nil {
		e.t.Fatal(err)
	}
}

// conviction waits for the block that convicts a miner and returns its height and
// what it burns.
func (e *electorate) conviction(id chain.MinerID, from chain.Height) (at chain.Height, burned chain.Amount) {
	e.t.Helper()
	found := errors.New("found")
	c := e.Network.Client(0)
	defer c.Close()
	err := c.Follow(e.ctx, from, func(u *consensus.Update) error {
		for i := range u.Events {
			if ev := &u.Events[i]; ev.Kind == consensus.EventEquivocation && ev.Miner == id && chain.Height(ev.Index) == from {
				at, burned = u.Height, ev.Amount
				return found
			}
		}
		return nil
	})
	if !errors.Is(err, found) {
		e.t.Fatalf("wait for the conviction of miner %d: %v", id, err)
	}
	return at, burned
}
