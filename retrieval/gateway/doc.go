// Package gateway serves what a node holds to ordinary programs over HTTP:
//
//	/ipfs/CID[/PATH]              files, directories, blocks and archives, as any IPFS gateway
//	                              (https://specs.ipfs.tech/http-gateways/)
//	/piece/PIECECID               the bytes of a piece, with ranges
//	/routing/v1/providers/CID     who has it, from deals; the node with this door, if it gives it away
//	/health/livez, /health/readyz
//
// A Source says what there is and what it costs; Store is the Source of a node
// that serves imported archives alone. What is not free is refused with 402 and
// the terms before any of it is read, what has ended with 410, what cannot be had
// yet with 503. Nothing is looked up outside: no name, no record, no other peer.
//
// What strangers can make of a gateway is bounded: requests and connections at one
// time, the time to send a request and to take an answer, and what content, whose
// author may be a stranger too, makes of whoever reads it (see walk).
//
// Every block is held against its CID before it is sent, so that a rotten disk
// gives an error and not a wrong file.
package gateway
