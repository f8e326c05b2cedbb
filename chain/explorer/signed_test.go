package explorer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmtversion "github.com/cometbft/cometbft/proto/tendermint/version"
	"github.com/cometbft/cometbft/types"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/rpc/light"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/chain/wallet"
)

// voters are the validators of a height: four, of which one is replaced every
// eighth block, and whose votes differ.
func voters(h chain.Height) *types.ValidatorSet {
	var all []*types.Validator
	for i := range chain.Height(4) {
		all = append(all, types.NewValidator(voter(h/8+i).PubKey(), int64(10+(h/8+i)%3)))
	}
	return types.NewValidatorSet(all)
}

func voter(i chain.Height) ed25519.PrivKey {
	return ed25519.GenPrivKeyFromSecret(fmt.Appendf(nil, "validator %d", i))
}

// header is the signed header of a height; it makes those before it, too.
func (n *network) header(h chain.Height) *types.LightBlock {
	n.mu.Lock()
	defer n.mu.Unlock()
	for at := chain.Height(len(n.headers)) + 1; at <= h; at++ {
		tree, err := n.store.At(at - 1)
		sure(err)
		n.headers = append(n.headers, n.sign(at, tree.AppHash(), voters(at), n.headers))
	}
	return n.headers[h-1]
}

// sign makes a header over an app hash with the votes of a set.
func (n *network) sign(h chain.Height, appHash []byte, set *types.ValidatorSet, before []*types.LightBlock) *types.LightBlock {
	some := seed("of no meaning")
	var last types.BlockID
	if len(before) > 0 {
		last = before[len(before)-1].Commit.BlockID
	}
	header := &types.Header{Version: cmtversion.Consensus{Block: 11, App: consensus.RuleVersion}, ChainID: n.params.ChainID, Height: int64(h),
		Time: time.Unix(1_700_000_000+int64(h), int64(h)*1000).UTC(), LastBlockID: last, LastCommitHash: some, DataHash: some,
		ValidatorsHash: set.Hash(), NextValidatorsHash: voters(h + 1).Hash(), ConsensusHash: some, AppHash: appHash,
		LastResultsHash: some, EvidenceHash: some, ProposerAddress: set.Validators[0].Address}
	id := types.BlockID{Hash: header.Hash(), PartSetHeader: types.PartSetHeader{Total: 1, Hash: some}}
	commit := &types.Commit{Height: int64(h), Round: int32(h % 2), BlockID: id}
	for i, v := range set.Validators {
		commit.Signatures = append(commit.Signatures, n.vote(h, commit, v, int32(i), header.Time))
	}
	return &types.LightBlock{SignedHeader: &types.SignedHeader{Header: header, Commit: commit}, ValidatorSet: set}
}

func (n *network) vote(h chain.Height, c *types.Commit, v *types.Validator, i int32, at time.Time) types.CommitSig {
	vote := &types.Vote{Type: cmtproto.PrecommitType, Height: int64(h), Round: c.Round, BlockID: c.BlockID, Timestamp: at,
		ValidatorAddress: v.Address, ValidatorIndex: i}
	for k := range h/8 + 8 {
		if key := voter(k); slices.Equal(key.PubKey().Address(), v.Address) {
			signature, err := key.Sign(types.VoteSignBytes(n.params.ChainID, vote.ToProto()))
			sure(err)
			return types.CommitSig{BlockIDFlag: types.BlockIDFlagCommit, ValidatorAddress: v.Address, Timestamp: at, Signature: signature}
		}
	}
	return types.NewCommitSigAbsent()
}

// sure panics: requests of a fuzz target may not use the test that made the network.
func sure(err error) {
	if err != nil {
		panic(err)
	}
}

func encoded(h *types.LightBlock) []byte {
	p, err := h.ToProto()
	sure(err)
	raw, err := p.Marshal()
	sure(err)
	return raw
}

// trust names a header of the chain.
func (n *network) trust(h chain.Height) light.Trust {
	return light.Trust{Height: h, Hash: n.header(h).Hash()}
}

// raw serves the endpoints of the node beside the API.
func (n *network) raw() http.Handler { return rpc.Handler(rawNode{n}) }

// rawNode is the network as the backend of the raw endpoints that verifying needs.
type rawNode struct{ *network }

var errUnasked = errors.New("nobody asks for that here")

func (n rawNode) Record(k chain.Key) ([]byte, error)                            { return n.store.View().Record(k) }
func (rawNode) Await(context.Context, chain.Hash) (*wallet.Inclusion, error)    { return nil, errUnasked }
func (rawNode) Updates(context.Context, chain.Height, func([]byte) error) error { return errUnasked }
func (rawNode) Report([]byte) error                                             { return errUnasked }
func (n rawNode) StateBlock(c cid.Cid) ([]byte, error)                          { return n.store.Block(c) }
func (n rawNode) Header(_ context.Context, h chain.Height) ([]byte, error) {
	if h == 0 || h > n.store.View().Height() {
		return nil, fmt.Errorf("header %d: %w", h, rpc.ErrNotFound)
	}
	return encoded(n.header(h)), nil
}

// Prove stands proofs under signed headers.
func (n *network) Prove(_ context.Context, k chain.Key, at chain.Height) (*proof.Bundle, error) {
	if at >= n.store.View().Height() {
		return nil, context.DeadlineExceeded // no block comes while a request waits
	}
	tree, err := n.store.At(at)
	if err != nil {
		return nil, err
	}
	path, err := tree.Proof(k)
	return &proof.Bundle{Version: proof.BundleVersion, Headers: []proof.Header{{Light: encoded(n.header(at + 1))}},
		Table: k.Table, ID: []byte(k.ID), Path: path}, err
}
