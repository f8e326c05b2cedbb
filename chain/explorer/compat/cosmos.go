package compat

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// denom is the name of an attoPDR among Cosmos' coins.
const denom = "attopdr"

// cosmos are the routes in the form of a Cosmos node's REST server.
func cosmos() []route {
	r := func(path string, cost int, handle func(*visit) (any, error), query ...string) route {
		return route{"/cosmos" + path, query, handle, cosmosProblem, cost}
	}
	return []route{
		r("/base/tendermint/v1beta1/node_info", 1, cosmosNode),
		r("/base/tendermint/v1beta1/syncing", 1, cosmosSyncing),
		r("/base/tendermint/v1beta1/blocks/{height}", 1, cosmosBlock),
		r("/base/tendermint/v1beta1/validatorsets/latest", 1, cosmosVoters),
		r("/staking/v1beta1/validators", 1, cosmosValidators, "status"),
		r("/staking/v1beta1/validators/{address}", 1, cosmosValidator),
		r("/staking/v1beta1/pool", 1, cosmosPool),
		r("/tx/v1beta1/txs", costlier, cosmosTxs, "query", "events", "page", "limit", "order_by"),
		r("/tx/v1beta1/txs/{hash}", 1, cosmosTx),
		r("/bank/v1beta1/balances/{address}", 1, cosmosBalances),
		r("/bank/v1beta1/balances/{address}/by_denom", 1, cosmosBalance, "denom"),
		r("/bank/v1beta1/supply", 1, cosmosSupply),
		r("/bank/v1beta1/supply/by_denom", 1, cosmosSupplyOf, "denom"),
		r("/bank/v1beta1/denoms_metadata", 1, cosmosCoins),
		r("/auth/v1beta1/accounts/{address}", 1, cosmosAccount),
	}
}

// cosmosError is how a Cosmos node speaks of an error; codes are those of gRPC.
type cosmosError struct {
	Code    int      `json:"code"`
	Message string   `json:"message"`
	Details []string `json:"details"`
}

// grpcCodes are gRPC's codes by HTTP status.
var grpcCodes = map[int]int{400: 3, 404: 5, 410: 5, 429: 8, 500: 13, 501: 12, 503: 14}

func cosmosProblem(p *explorer.Problem) (int, any) {
	code, ok := grpcCodes[p.Status]
	if !ok {
		code = 2
	}
	return p.Status, &cosmosError{code, p.Detail, []string{}}
}

// cosmosPage is what a Cosmos list says of its pages. Next is null: pages have
// numbers, and Total is "0" where nobody counts.
type cosmosPage struct {
	Next  *string `json:"next_key"`
	Total string  `json:"total"`
}

type cosmosVersions struct {
	P2P   string `json:"p2p"`
	Block string `json:"block"`
	App   string `json:"app"`
}

type cosmosPeer struct {
	Versions cosmosVersions `json:"protocol_version"`
	ID       string         `json:"default_node_id"`
	Listen   string         `json:"listen_addr"`
	Network  string         `json:"network"`
	Version  string         `json:"version"`
	Channels string         `json:"channels"` // base64
	Moniker  string         `json:"moniker"`
	Other    cosmosOther    `json:"other"`
}

type cosmosOther struct {
	TxIndex string `json:"tx_index"`
	RPC     string `json:"rpc_address"`
}

type cosmosProgram struct {
	Name    string `json:"name"`
	AppName string `json:"app_name"`
	Version string `json:"version"`
}

type cosmosNodeInfo struct {
	Node    cosmosPeer    `json:"default_node_info"`
	Program cosmosProgram `json:"application_version"`
}

func cosmosNode(v *visit) (any, error) {
	id, err := ask[explorer.Identity](v, "/v1/node/id")
	if err != nil {
		return nil, err
	}
	n := v.engine.Node()
	channels, err := hex.DecodeString(n.Channels)
	if err != nil {
		return nil, err
	}
	return &cosmosNodeInfo{
		Node: cosmosPeer{cosmosVersions{decimal(n.P2P), decimal(n.Block), decimal(n.App)}, n.ID, n.Listen, n.Network, n.Version,
			base64.StdEncoding.EncodeToString(channels), n.Moniker, cosmosOther{TxIndex: "on"}},
		Program: cosmosProgram{"perdure", "perdure", id.Version},
	}, nil
}

type cosmosSync struct {
	Syncing bool `json:"syncing"`
}

func cosmosSyncing(v *visit) (any, error) {
	s, err := ask[explorer.Status](v, "/v1/status")
	if err != nil {
		return nil, err
	}
	return &cosmosSync{!s.Synced}, nil
}

type cosmosParts struct {
	Total uint32 `json:"total"`
	Hash  []byte `json:"hash"` // base64, as all bytes here
}

type cosmosBlockID struct {
	Hash  []byte      `json:"hash"`
	Parts cosmosParts `json:"part_set_header"`
}

func cosmosID(b BlockID) cosmosBlockID {
	return cosmosBlockID{b.Hash, cosmosParts{b.Parts, b.PartsHash}}
}

type cosmosVersion struct {
	Block string `json:"block"`
	App   string `json:"app"`
}

type cosmosHeader struct {
	Version        cosmosVersion `json:"version"`
	ChainID        string        `json:"chain_id"`
	Height         string        `json:"height"`
	Time           string        `json:"time"`
	Last           cosmosBlockID `json:"last_block_id"`
	LastCommit     []byte        `json:"last_commit_hash"`
	Data           []byte        `json:"data_hash"`
	Validators     []byte        `json:"validators_hash"`
	NextValidators []byte        `json:"next_validators_hash"`
	Consensus      []byte        `json:"consensus_hash"`
	AppHash        []byte        `json:"app_hash"`
	LastResults    []byte        `json:"last_results_hash"`
	Evidence       []byte        `json:"evidence_hash"`
	Proposer       []byte        `json:"proposer_address"`
}

type cosmosData struct {
	Txs [][]byte `json:"txs"`
}

type cosmosEvidence struct {
	Evidence []string `json:"evidence"`
}

type cosmosVote struct {
	Flag      string `json:"block_id_flag"`
	Validator []byte `json:"validator_address"` // null of one that did not vote
	Timestamp string `json:"timestamp"`
	Signature []byte `json:"signature"` // null of one that did not vote
}

type cosmosCommit struct {
	Height     string        `json:"height"`
	Round      int32         `json:"round"`
	ID         cosmosBlockID `json:"block_id"`
	Signatures []cosmosVote  `json:"signatures"`
}

type cosmosBlockBody struct {
	Header     cosmosHeader   `json:"header"`
	Data       cosmosData     `json:"data"`
	Evidence   cosmosEvidence `json:"evidence"`
	LastCommit cosmosCommit   `json:"last_commit"`
}

type cosmosBlockAnswer struct {
	ID    cosmosBlockID   `json:"block_id"`
	Block cosmosBlockBody `json:"block"`
}

var voteFlags = map[VoteFlag]string{VoteAbsent: "BLOCK_ID_FLAG_ABSENT", VoteCommit: "BLOCK_ID_FLAG_COMMIT", VoteNil: "BLOCK_ID_FLAG_NIL"}

// nanoseconds writes a time as protobuf's JSON does.
func nanoseconds(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func cosmosBlock(v *visit) (any, error) {
	height, err := v.cosmosHeight(v.part("height"))
	if err != nil {
		return nil, err
	}
	b := v.engine.Block(height)
	if b == nil {
		return nil, refusal(http.StatusNotFound, "block %d is not kept here, or not committed yet", height)
	}
	h := &b.Header
	out := &cosmosBlockAnswer{ID: cosmosID(h.ID), Block: cosmosBlockBody{
		Header: cosmosHeader{cosmosVersion{decimal(h.Block), decimal(h.App)}, h.ChainID, decimal(h.Height), nanoseconds(h.Time), cosmosID(h.Last),
			h.LastCommit, h.Data, h.Validators, h.NextValidators, h.Consensus, h.AppHash, h.LastResults, h.Evidence, h.Proposer},
		Data:       cosmosData{append([][]byte{}, b.Txs...)},
		Evidence:   cosmosEvidence{[]string{}},
		LastCommit: cosmosCommit{decimal(b.Commit.Height), b.Commit.Round, cosmosID(b.Commit.ID), []cosmosVote{}},
	}}
	for _, s := range b.Commit.Votes {
		out.Block.LastCommit.Signatures = append(out.Block.LastCommit.Signatures, cosmosVote{voteFlags[s.Flag], s.Validator, nanoseconds(s.Time), s.Signature})
	}
	return out, nil
}

// cosmosHeight reads a height or "latest".
func (v *visit) cosmosHeight(s string) (chain.Height, error) {
	if s == "latest" {
		return v.tip()
	}
	return parseHeight("height", s)
}
