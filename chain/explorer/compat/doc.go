// Package compat answers in the forms of three explorers of other chains, so
// that wallets, trackers and web pages made for those can read this one:
// Blockscout's API of version 2 (/api/v2/), Etherscan's (/api?module=) and the
// few paths of a Cosmos node's REST server that block explorers ask for
// (/cosmos/). docs/compat.md says which paths there are, how our nouns are
// translated, and what is missing; openapi-compat.yaml, which a node serves at
// /v1/openapi-compat.yaml, describes them.
//
// It has no data of its own: every answer is made from answers of package
// explorer's API in the same process, and from the headers that the consensus
// engine keeps. Parameters that a path does not know are ignored, as its tools
// expect.
//
// What the translation means: a message is a transaction, a unit is gas, an
// address is in the network's own form (t1..., t01000), amounts are attoPDR,
// hashes are hexadecimal without 0x (Cosmos: base64 or capitals, as there).
package compat
