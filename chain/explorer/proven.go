package explorer

import (
	"context"
	"errors"

	"github.com/perdure/perdure/chain"
)

// Proof is what an answer of ?proof=true carries beside its fields. It stands
// under the header of the height after the answer's.
type Proof struct {
	Answer   string   `json:"answer"`             // kind of the answer: which of its fields stand where in the record
	Table    string   `json:"table"`              // of the record
	Key      string   `json:"key"`                // hexadecimal
	Bundle   []byte   `json:"bundle"`             // chain/state/SPEC.md, base64
	Params   []byte   `json:"params,omitempty"`   // block of the parameters, to which the state's root links, base64
	Fields   []string `json:"fields"`             // of the answer that the proof bears out
	Unproven []string `json:"unproven,omitempty"` // of the answer that it does not: they are computed from something else
}

// link says where a field of an answer stands in the record that proves it.
type link struct {
	To   string // field of the answer; one in an object is written object.field
	From string // field of the record as Readable writes it, or of sources
	As   string // how it is written, of conversions; empty: as it is
	If   string // field of the record: if that says nothing, the answer does not have this one
}

// same links fields that have one name in both.
func same(names ...string) []link {
	out := make([]link, len(names))
	for i, n := range names {
		out[i] = link{To: n, From: n}
	}
	return out
}

// inside links fields of an object of the answer with those of one of the
// record, which is there if both are.
func inside(to, from string, names ...string) []link {
	out := make([]link, len(names))
	for i, n := range names {
		out[i] = link{To: to + "." + n, From: from + "." + n, If: from}
	}
	return out
}

func joined(parts ...[]link) []link {
	out := []link{{To: "height", From: "@height"}, {To: "time", From: "@time"}}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// The kinds of answers that can be proven.
const (
	answerAccount = "account"
	answerMiner   = "miner"
	answerSector  = "sector"
	answerDeal    = "deal"
	answerOrder   = "order"
	answerChannel = "channel"
	answerSupply  = "supply"
	answerParams  = "params"
)

// provable is an answer that can be proven by one record.
type provable struct {
	table    chain.Table
	links    []link
	unproven []string
}

var keyNames = []string{"owner", "worker", "provers", "beneficiary", "consensusKey", "beaconKey"}

// provables are the answers by their kinds. verify.js has the same table.
var provables = map[string]provable{
	answerAccount: {table: chain.TableAccount, links: joined([]link{{To: "address", From: "@key", As: "address"}, {To: "exists", From: "@exists"}},
		same("nonce", "balance", "noShows", "noShowAt"))},
	answerMiner: {table: chain.TableMiner, links: joined([]link{{To: "miner", From: "id"}, {To: "sectorSize", From: "sealProof", As: "sectorSize"},
		{To: "powerBytes", From: "power"}, {To: "peer.id", From: "peer.id"}}, inside("keys", "keys", keyNames...), inside("pendingKeys", "pendingKeys", keyNames...),
		same("pendingAt", "sealProof", "created", "periodStart", "balance", "pledge", "bound", "deposits", "debt", "sectors", "faulty",
			"voting", "guilty", "noShows", "noShowAt")), unproven: []string{"peer.addrs"}},
	answerSector: {table: chain.TableSector, links: joined(same("miner", "number", "state", "sealProof", "commR", "commD", "ticket", "preCommitted",
		"seedHeight", "pieces", "deposit", "pledge", "activated", "expiration", "faultSince", "paidThrough"),
		[]link{{To: "sectorSize", From: "sealProof", As: "sectorSize"}, {To: "sealedCid", From: "commR", As: "sealedCid"},
			{To: "unsealedCid", From: "commD", As: "unsealedCid"}, {To: "partsProven", From: "proven", As: "count"},
			{To: "deadline", From: "deadline", If: "@live"}, {To: "partition", From: "partition", If: "@live"},
			{To: "slot", From: "slot", If: "@live"}}), unproven: []string{"parts"}},
	answerDeal: {table: chain.TableDeal, links: joined(same("id", "bid", "ask", "state", "client", "clientPeer", "miner", "pieceCid", "paddedSize",
		"payloadRoot", "part", "parts", "duration", "price", "total", "unspent", "collateral", "clientDeposit", "minerDeposit", "matched",
		"fetchBy", "activateBy", "accepted", "activated", "end", "paidThrough", "faultBlocks", "public", "selfTrade", "renew", "renewAt",
		"succeeds", "retrievalPrice", "unsealPrice"),
		[]link{{To: "claimedRegion", From: "region"}, {To: "sector", From: "sector", If: "committed"}})},
	answerOrder: {table: chain.TableOrder, links: joined(same("id", "state", "owner", "placed", "matchable", "locked", "deposit", "noShows", "succeeds"),
		[]link{{To: "side", From: "bid", As: "side"}, {To: "bid.copiesLeft", From: "copies", If: "bid"}, {To: "bid.miners", From: "miners", If: "bid"},
			{To: "ask.free", From: "free", If: "ask"}, {To: "ask.claimedRegion", From: "ask.region", If: "ask"}},
		inside("bid", "bid", "pieceCid", "paddedSize", "payloadRoot", "part", "parts", "duration", "maxPrice", "copies", "minCollateral",
			"expiry", "allow", "deny", "regions", "public", "clientPeer", "renew"),
		inside("ask", "ask", "miner", "price", "capacity", "minPiece", "maxPiece", "minDuration", "maxDuration", "collateral", "expiry",
			"refresh", "retrievalPrice", "unsealPrice"))},
	answerChannel: {table: chain.TableChannel, links: joined(same("id", "payer", "payee", "balance", "redeemed", "opened", "settleAt"),
		[]link{{To: "state", From: "settleAt", As: "channelState"}, {To: "lanes", From: "lanes", As: "lanes"}})},
	answerSupply: {table: chain.TableGlobal, links: joined([]link{{To: "minted", From: "supply.minted"}, {To: "burned", From: "supply.burned"},
		{To: "accounts", From: "supply.accounts"}, {To: "locked", From: "supply.locked"}, {To: "unissued", From: "issuance.unissued"},
		{To: "powerBytes", From: "power"}}), unproven: []string{"circulating", "emission"}},
	answerParams: {table: chain.TableGlobal, links: joined(paramLinks(), []link{{To: "sectorSizes", From: "sealProofs", As: "sectorSizes"}})},
}

// proofQuery are the query parameters of an answer that can be proven.
func proofQuery() []string { return []string{"proof", "height"} }

// provenRecord is a record with its proof.
type provenRecord struct {
	raw   []byte // nil: there is none
	proof *Proof
	asOf  AsOf
}

// wantsProof reads proof and height, which goes with it.
func (q *query) wantsProof() (bool, error) {
	proven, err := q.choice("proof", "false", "true")
	if err == nil && proven != 1 && q.given("height") {
		err = badRequest("height goes with proof=true")
	}
	return proven == 1, err
}

// proven reads a record with its proof, at the height that the query names or
// at the newest that can be proven.
func (q *query) proven(answer string, k chain.Key) (*provenRecord, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	tree, global, err := q.api.treeOf(q, true)
	if err != nil {
		return nil, err
	}
	of := provables[answer]
	out := &provenRecord{asOf: q.at(tree.Height(), global.Time),
		proof: &Proof{Answer: answer, Table: k.Table.String(), Key: hexText([]byte(k.ID)), Unproven: of.unproven}}
	for _, l := range of.links {
		out.proof.Fields = append(out.proof.Fields, l.To)
	}
	if out.raw, err = tree.Record(k); err != nil {
		return nil, err
	}
	if answer == answerParams {
		if out.proof.Params, err = q.api.node.Store().Blocks().Block(tree.ParamsLink()); err != nil {
			return nil, err
		}
	}
	out.proof.Bundle, err = q.bundle(k, tree.Height())
	return out, err
}

// bundle is the encoded proof of a record in the state of a height.
func (q *query) bundle(k chain.Key, at chain.Height) ([]byte, error) {
	q.unsteady = true // votes for the header may still come in
	q.done()          // while this waits for a block, others read
	b, err := q.api.node.Prove(q.context(), k, at)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, notFound("the header after that height is not there yet")
	}
	if err != nil {
		return nil, err
	}
	return chain.Encode(b)
}

// prove answers from a record with its proof, if the caller asks for that; if
// not, it reports false. The record is decoded into r. That an account does not
// exist can be the answer; of all else there is none.
func (q *query) prove(answer string, k chain.Key, r chain.CBOR, show func(exists bool, at AsOf, p *Proof) (any, error)) (any, bool, error) {
	if wants, err := q.wantsProof(); !wants {
		return nil, err != nil, err
	}
	p, err := q.proven(answer, k)
	if err != nil {
		return nil, true, err
	}
	if p.raw == nil && answer != answerAccount {
		return nil, true, notFound("there is no record of it in the state of height %d; /v1/state/%s/%s?proof=true proves that",
			p.asOf.Height, p.proof.Table, p.proof.Key)
	}
	if p.raw != nil {
		if err := chain.Decode(p.raw, r); err != nil {
			return nil, true, err
		}
	}
	out, err := show(p.raw != nil, p.asOf, p.proof)
	return out, true, err
}
