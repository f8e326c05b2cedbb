// Package explorer is the HTTP API by which people and programs read the
// chain: JSON under /v1, described by openapi.yaml, which is served at
// /v1/openapi.yaml and held against the handlers by a test.
//
// It answers from the newest committed state and from package index, which it
// owns and feeds. A node mounts it beside the raw endpoints of package rpc
// (records, receipts and the feed of Updates in their canonical encoding):
//
//	x, err := index.Open(index.Config{Dir: dir, ChainID: chainID})
//	api, err := explorer.New(explorer.Config{Backend: node, Index: x})
//	// mount api.Handler(), run api.Run(ctx), in the end api.Close()
//
// # Rules of the answers
//
// Keys are camelCase. Amounts are decimal strings of attoPDR; prices and
// collateral are attoPDR per GiB and, prices, per block. Heights, counts, sizes
// (bytes) and IDs are numbers. Miners are written t01000, accounts in the
// network's form, CIDs as base32 CIDv1, hashes and commitments in hexadecimal,
// peer IDs in base58. What speaks of the present says of which height and time.
//
// Lists are {"items": [...], "next": "..."}: give next back as cursor to go on;
// it is absent at the end. A page may hold fewer items than the limit, even
// none, and still have a next, if a filter took out most of what it looked at.
//
// With ?proof=true an answer about one thing is made from a state whose app hash
// stands in a header, and carries the proof of its record; [Compare] tells which
// of its fields the record bears out.
//
// Errors are RFC 9457 problems whose detail is one clear line. A query
// parameter that a path does not know is an error, not ignored.
package explorer
