// Package chain holds the nouns that everyone on the network signs, stores or
// pays with: addresses, amounts, heights, messages, orders, deals, sectors,
// channels and the records of the state tree.
//
// It is a leaf: values, their canonical encoding (dag-cbor tuples) and their
// sign-bytes, without rules, disk, clock or network. The rules live in
// chain/consensus; the exact bytes stand in SPEC.md beside this file.
package chain
