// Package rpc is the typed client of a chain node, and the few raw endpoints
// that it needs of one: records and receipts in their canonical encoding,
// submission, and the feed of Updates. What people and explorers read is JSON
// and stands in chain/explorer.
//
//	GET  /v1/raw/params                      consensus.Params
//	GET  /v1/raw/records/TABLE/KEY           a record; KEY in hexadecimal, 404 if there is none
//	POST /v1/raw/messages                    an encoded signed message
//	GET  /v1/raw/receipts/HASH               wallet.Inclusion, as soon as there is one (long poll)
//	GET  /v1/updates?from=HEIGHT             Updates, each behind its length (u32BE), without gap and without end
//
// With these a reader needs to believe nobody; chain/rpc/light does it:
//
//	GET  /v1/raw/proofs/TABLE/KEY?height=H   proof.Bundle of one header; without height the newest that has one
//	GET  /v1/raw/headers/HEIGHT              header, votes and validators of a height, 0 for the newest: CometBFT's
//	                                         LightBlock in protobuf, as soon as there is one (long poll)
//	GET  /v1/raw/blocks/CID                  a block of the state tree of a kept height
//	POST /v1/raw/evidence                    evidence of misbehaviour: CometBFT's Evidence in protobuf
//	GET  /v1/updates?from=HEIGHT&proof=true  after each Update, behind its length, the proof.Bundle of the global record
//	                                         of its state, whose root names the Update's hash
//
// Bodies are CBOR unless said otherwise; refusals are RFC 9457 problems with
// the code of the rules.
//
// A [Client] waits half a minute for an answer, longer where the node itself waits, and for
// the feed without end; a node that is silent for longer is a [*SilentError].
package rpc

import (
	"math"
	"time"

	"github.com/perdure/perdure/chain"
)

// The paths of the endpoints.
const (
	PathParams   = "/v1/raw/params"
	PathRecords  = "/v1/raw/records/"
	PathMessages = "/v1/raw/messages"
	PathReceipts = "/v1/raw/receipts/"
	PathUpdates  = "/v1/updates"
	PathProofs   = "/v1/raw/proofs/"
	PathHeaders  = "/v1/raw/headers/"
	PathBlocks   = "/v1/raw/blocks/"
	PathEvidence = "/v1/raw/evidence"
)

// Newest asks for the proof in the newest state whose app hash stands in a header.
const Newest = chain.Height(math.MaxUint64)

const (
	contentCBOR    = "application/cbor"
	contentProto   = "application/protobuf"
	contentProblem = "application/problem+json"
	// maxUpdate bounds one Update of the feed in bytes.
	maxUpdate = 64 << 20
	// maxRecord bounds one record in bytes.
	maxRecord = 4 << 20
	// maxEvidence bounds evidence in bytes.
	maxEvidence = 1 << 20
	// headerTime is how long a node waits for a header or proof before it says not yet.
	headerTime = 5 * time.Second
	// pollTime is how long a node waits for a receipt before it says not yet.
	pollTime = 20 * time.Second
)

// problem is an RFC 9457 problem; Code is a consensus.Code, Oldest the first
// height of the feed for one that has grown too old.
type problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"` // the request's ID
	Code     uint32 `json:"code,omitempty"`
	Oldest   uint64 `json:"oldest,omitempty"`
}
