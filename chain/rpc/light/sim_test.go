package light

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmtversion "github.com/cometbft/cometbft/proto/tendermint/version"
	"github.com/cometbft/cometbft/types"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/chain/wallet"
)

// began is the time of the simulated chain's block 0; one block a second follows.
var began = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// sim is a chain without an engine: states that the store makes of simple
// Updates, under headers signed by whoever votes at a height. It is the
// rpc.Backend of a node that knows it.
type sim struct {
	t       testing.TB
	params  *consensus.Params
	store   *state.Store
	voters  func(h int64) []string // names of the validators
	headers map[int64]*types.LightBlock
	report  [][]byte
}

// newSim makes a chain of so many heights.
func newSim(t testing.TB, heights int64, voters func(h int64) []string) *sim {
	t.Helper()
	p := consensus.Devnet()
	p.ChainID, p.BlockMillis = "light-test", 1000
	s := &sim{t: t, params: p, voters: voters, headers: map[int64]*types.LightBlock{}}
	var err error
	s.store, err = state.Open(state.Config{Dir: "db", Params: p, FS: vfs.NewMem(), Cache: 1 << 20})
	must(t, err)
	t.Cleanup(func() { must(t, s.store.Close()) })
	_, err = s.store.Genesis(s.update(0))
	must(t, err)
	for range heights {
		s.block()
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// client is an account that gets one PDR in each block.
func client(t testing.TB) chain.Address {
	t.Helper()
	a, err := chain.AddressOfKey([]byte("a private key of thirty-two byte"))
	must(t, err)
	return a
}

// receipt is the one of a height's only message.
func receipt(h chain.Height) consensus.Receipt {
	return consensus.Receipt{Hash: sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(h))), Kind: chain.KindTransfer,
		Fee: chain.Atto(uint64(h)), Error: "text"}
}

func (s *sim) update(h chain.Height) *consensus.Update {
	u := &consensus.Update{Version: consensus.UpdateVersion, Height: h, Receipts: []consensus.Receipt{receipt(h)}}
	account := chain.AccountKey(client(s.t))
	for _, r := range []struct {
		k chain.Key
		v chain.CBOR
	}{{chain.GlobalKey(), &chain.Global{RuleVersion: consensus.RuleVersion, Height: h}},
		{account, &chain.Account{Nonce: uint64(h), Balance: chain.PDR(uint64(h))}}} {
		raw, err := chain.Encode(r.v)
		must(s.t, err)
		u.Changes = append(u.Changes, consensus.Change{Table: r.k.Table, ID: []byte(r.k.ID), Value: raw})
	}
	return u
}

// block makes the next header and the state after it.
func (s *sim) block() {
	s.t.Helper()
	h := int64(s.store.View().Height()) + 1
	s.headers[h] = s.sign(h, s.store.View().AppHash(), s.voters(h))
	_, err := s.store.Stage(s.update(chain.Height(h)))
	must(s.t, err)
	must(s.t, s.store.Commit())
}

func secret(name string) ed25519.PrivKey { return ed25519.GenPrivKeyFromSecret([]byte(name)) }

func setOf(names []string) *types.ValidatorSet {
	var all []*types.Validator
	for _, name := range names {
		all = append(all, types.NewValidator(secret(name).PubKey(), 10))
	}
	return types.NewValidatorSet(all)
}

// sign makes a header of a height over an app hash with the votes of its set.
func (s *sim) sign(h int64, appHash []byte, voters []string) *types.LightBlock {
	s.t.Helper()
	set := setOf(voters)
	hash := sha256.Sum256([]byte("part of no meaning"))
	last := types.BlockID{}
	if before := s.headers[h-1]; before != nil {
		last = before.Commit.BlockID
	}
	header := &types.Header{Version: cmtversion.Consensus{Block: 11, App: consensus.RuleVersion}, ChainID: s.params.ChainID, Height: h,
		Time: began.Add(time.Duration(h) * time.Second), LastBlockID: last, LastCommitHash: hash[:], DataHash: hash[:],
		ValidatorsHash: set.Hash(), NextValidatorsHash: setOf(s.voters(h + 1)).Hash(), ConsensusHash: hash[:], AppHash: appHash,
		LastResultsHash: hash[:], EvidenceHash: hash[:], ProposerAddress: set.Validators[0].Address}
	id := types.BlockID{Hash: header.Hash(), PartSetHeader: types.PartSetHeader{Total: 1, Hash: hash[:]}}
	commit := &types.Commit{Height: h, BlockID: id}
	for i, v := range set.Validators {
		name := voters[slices.IndexFunc(voters, func(n string) bool { return secret(n).PubKey().Equals(v.PubKey) })]
		vote := &types.Vote{Type: cmtproto.PrecommitType, Height: h, BlockID: id, Timestamp: header.Time, ValidatorAddress: v.Address, ValidatorIndex: int32(i)}
		signature, err := secret(name).Sign(types.VoteSignBytes(s.params.ChainID, vote.ToProto()))
		must(s.t, err)
		commit.Signatures = append(commit.Signatures, types.CommitSig{BlockIDFlag: types.BlockIDFlagCommit, ValidatorAddress: v.Address,
			Timestamp: header.Time, Signature: signature})
	}
	return &types.LightBlock{SignedHeader: &types.SignedHeader{Header: header, Commit: commit}, ValidatorSet: set}
}

// trust names a header of the chain.
func (s *sim) trust(h int64) Trust { return Trust{chain.Height(h), s.headers[h].Hash()} }

// after is a time within a second after a block.
func (s *sim) after(h int64) time.Time {
	return began.Add(time.Duration(h)*time.Second + time.Second/2)
}

// The chain as a node's Backend.

func (s *sim) Params() *consensus.Params            { return s.params }
func (s *sim) Record(k chain.Key) ([]byte, error)   { return s.store.View().Record(k) }
func (s *sim) Submit(context.Context, []byte) error { return nil }
func (s *sim) Report(raw []byte) error              { s.report = append(s.report, raw); return nil }
func (s *sim) tip() chain.Height                    { return s.store.View().Height() }
func (s *sim) StateBlock(c cid.Cid) ([]byte, error) { return s.store.Block(c) }

func (s *sim) Await(_ context.Context, hash chain.Hash) (*wallet.Inclusion, error) {
	for h := chain.Height(1); h < s.tip(); h++ {
		if r := receipt(h); r.Hash == [32]byte(hash) {
			return &wallet.Inclusion{Height: h, Receipt: r}, nil
		}
	}
	return nil, rpc.ErrNotFound
}

func (s *sim) Updates(ctx context.Context, from chain.Height, each func([]byte) error) error {
	for h := from; h < s.tip(); h++ {
		raw, err := s.store.Update(h)
		if err != nil {
			return err
		}
		if err := each(raw); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *sim) Header(_ context.Context, h chain.Height) ([]byte, error) {
	if h == 0 {
		h = s.tip()
	}
	header := s.headers[int64(h)]
	if header == nil {
		return nil, fmt.Errorf("header %d: %w", h, rpc.ErrNotFound)
	}
	return encodeHeader(header)
}

func (s *sim) Prove(ctx context.Context, k chain.Key, at chain.Height) (*proof.Bundle, error) {
	if at == rpc.Newest {
		at = s.tip() - 1
	}
	header, err := s.Header(ctx, at+1)
	if err != nil {
		return nil, err
	}
	tree, err := s.store.At(at)
	if err != nil {
		return nil, err
	}
	path, err := tree.Proof(k)
	return &proof.Bundle{Version: proof.BundleVersion, Headers: []proof.Header{{Light: header}}, Table: k.Table, ID: []byte(k.ID), Path: path}, err
}

// serve runs a backend as a node and returns its URL.
func serve(t testing.TB, b rpc.Backend) string {
	t.Helper()
	s := httptest.NewServer(rpc.Handler(b))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// always is a set that never changes.
func always(names ...string) func(int64) []string {
	return func(int64) []string { return names }
}

// moving is a set of four of which one is replaced every second block: after
// eight blocks nobody is left.
func moving(h int64) []string {
	var names []string
	for i := range int64(4) {
		names = append(names, fmt.Sprintf("validator %d", h/2+i))
	}
	return names
}
