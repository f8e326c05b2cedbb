package explorer

import (
	_ "embed"
	"net/http"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// The document in its two parts: what people write, and the examples of its
// components, which a test writes from the API's answers.
var (
	//go:embed openapi.yaml
	described []byte
	//go:embed examples.yaml
	examples []byte

	openAPI = slices.Concat(described, examples)
)

// Status is the state of the network and of this node.
type Status struct {
	ChainID      string       `json:"chainId"`
	Network      string       `json:"network"` // devnet, testnet or mainnet
	AppHash      string       `json:"appHash"` // of Height, hexadecimal
	RuleVersion  uint64       `json:"ruleVersion"`
	Upgrade      *Upgrade     `json:"upgrade,omitempty"` // that is announced
	Synced       bool         `json:"synced"`
	Peers        int          `json:"peers"`
	NodeID       string       `json:"nodeId"`
	Version      string       `json:"version"`
	OldestHeight chain.Height `json:"oldestHeight"` // whose state and Update are kept
	BaseFee      chain.Amount `json:"baseFee"`      // attoPDR per byte and per unit
	Supply       Supply       `json:"supply"`
	PowerBytes   uint64       `json:"powerBytes"` // proven bytes of all miners
	Miners       uint64       `json:"miners"`     // registered so far
	Deals        uint64       `json:"deals"`      // matched so far
	Orders       uint64       `json:"orders"`     // placed so far
	BookOrders   int          `json:"bookOrders"` // in the order book
	Channels     uint64       `json:"channels"`   // opened so far
	Validators   int          `json:"validators"`
	Notice       string       `json:"notice,omitempty"` // what users of this network must know
	Index        IndexStatus  `json:"index"`
	AsOf
}

// smallSectors is said of networks that take sectors which are cheaper to
// seal again than to keep.
const smallSectors = "this network takes sectors below 32 GiB, which can be sealed again within a window: its proofs show the mechanism, they do not secure storage"

func (a *API) nodeRoutes() []route {
	return []route{
		{path: "/v1/status", handle: a.status},
		{path: "/v1/params", query: proofQuery(), handle: a.parameters},
		{path: "/v1/proposals", query: paged("state", "sortDesc"), handle: a.proposals, indexed: true},
		{path: "/v1/supply", query: proofQuery(), handle: a.supply},
		{path: "/v1/node/id", handle: a.identity},
		{path: "/v1/openapi.yaml", handle: a.openAPI},
		{path: "/health/livez", handle: a.livez},
		{path: "/health/readyz", handle: a.readyz},
	}
}

func (a *API) status(q *query) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	q.unsteady = true
	g := q.global
	voters, err := consensus.Voters(q.view, g.Height+1)
	if err != nil {
		return nil, err
	}
	s := &Status{ChainID: a.params.ChainID, Network: a.params.Name, AppHash: hexText(q.view.AppHash()), RuleVersion: g.RuleVersion, Upgrade: upgradeOf(g),
		Synced: a.node.Synced(), Peers: a.node.Peers(), NodeID: a.config.NodeID, Version: a.config.Version,
		OldestHeight: a.node.Store().Oldest(), BaseFee: g.BaseFee,
		Supply:     supplyOf(g),
		PowerBytes: g.Power, Miners: g.NextMiner - chain.FirstMinerID, Deals: g.NextDeal - 1, Orders: g.NextOrder - 1,
		BookOrders: q.view.Book().Len(), Channels: g.NextChannel - 1, Validators: len(voters), AsOf: q.asOf()}
	if slices.ContainsFunc(q.params().SealProofs, small) {
		s.Notice = smallSectors
	}
	at := a.index.Status()
	s.Index = indexStatusOf(&at)
	return s, nil
}

func small(p abi.RegisteredSealProof) bool {
	size, err := p.SectorSize()
	return err != nil || size < 32<<30
}

// Parameters are the network's parameters.
type Parameters struct {
	*consensus.Params
	SectorSizes []uint64 `json:"sectorSizes"` // bytes, of SealProofs in their order
	AsOf
	Proof *Proof `json:"proof,omitempty"`
}

func (a *API) parameters(q *query) (any, error) {
	out := &Parameters{Params: q.params(), SectorSizes: []uint64{}, AsOf: q.asOf()}
	wants, err := q.wantsProof()
	if err != nil {
		return nil, err
	}
	if wants {
		p, err := q.proven(answerParams, chain.GlobalKey())
		if err != nil {
			return nil, err
		}
		out.Params, out.AsOf, out.Proof = new(consensus.Params), p.asOf, p.proof
		if err := chain.Decode(p.proof.Params, out.Params); err != nil {
			return nil, err
		}
	}
	for _, p := range out.SealProofs {
		out.SectorSizes = append(out.SectorSizes, sectorSize(p))
	}
	return out, nil
}

// sectorSize is the size of a registered proof's sectors in bytes.
func sectorSize(p abi.RegisteredSealProof) uint64 {
	size, err := p.SectorSize()
	if err != nil {
		return 0
	}
	return uint64(size)
}

// Identity is who this node is among its peers.
type Identity struct {
	NodeID  string   `json:"nodeId"` // hexadecimal
	Listen  []string `json:"listen"` // ID@host:port
	ChainID string   `json:"chainId"`
	Version string   `json:"version"`
	AsOf
}

func (a *API) identity(q *query) (any, error) {
	return &Identity{a.config.NodeID, append([]string{}, a.config.Listen...), a.params.ChainID, a.config.Version, q.asOf()}, nil
}

// Health is the answer of the health checks.
type Health struct {
	Status string `json:"status"` // "ok"
	AsOf
}

func (a *API) livez(q *query) (any, error) {
	q.unsteady = true
	return &Health{"ok", q.asOf()}, nil
}

func (a *API) readyz(q *query) (any, error) {
	q.unsteady = true
	if err := q.ready(); err != nil {
		return nil, err
	}
	_, indexed, built := a.index.Tip()
	off := a.index == nil
	switch {
	case !a.node.Synced():
		return nil, problem(http.StatusServiceUnavailable, "the node is syncing, at height %d", q.view.Height())
	case off:
	case !built:
		return nil, problem(http.StatusServiceUnavailable, "the index is being built")
	case indexed+maxLag < q.view.Height():
		return nil, problem(http.StatusServiceUnavailable, "the index is %d blocks behind", q.view.Height()-indexed)
	}
	return &Health{"ok", q.asOf()}, nil
}

// maxLag is by how many blocks the index of a ready node may be behind.
const maxLag = 10

func (a *API) openAPI(*query) (any, error) { return verbatim{"application/yaml", openAPI}, nil }
